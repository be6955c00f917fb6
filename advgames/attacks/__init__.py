"""White-box attacks as pure functions, batched, differentiable, each with an honest success mask."""

from __future__ import annotations

from advgames.attacks.base import Attacked, Model, Norm
from advgames.attacks.fast_gradient import fgm, fgsm
from advgames.attacks.losses import Loss, LossName, cross_entropy, dlr, margin
from advgames.attacks.norms import L1, L2, LINF, Geometry
from advgames.attacks.projected import bim, pal_vidal_pgd, pgd

__all__ = [
    "L1",
    "L2",
    "LINF",
    "Attacked",
    "Geometry",
    "Loss",
    "LossName",
    "Model",
    "Norm",
    "bim",
    "cross_entropy",
    "dlr",
    "fgm",
    "fgsm",
    "margin",
    "pal_vidal_pgd",
    "pgd",
]
