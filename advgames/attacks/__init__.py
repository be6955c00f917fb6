"""White-box attacks as pure functions, batched, differentiable, each with an honest success mask."""

from __future__ import annotations

from advgames.attacks.base import Attacked, Model, Norm
from advgames.attacks.carlini_wagner import carlini_wagner
from advgames.attacks.deepfool import deepfool
from advgames.attacks.ead import ead
from advgames.attacks.ensemble import Attack, ensemble, every_rival
from advgames.attacks.fast_gradient import fgm, fgsm
from advgames.attacks.losses import Loss, LossName, cross_entropy, dlr, margin
from advgames.attacks.norms import L1, L2, LINF, Geometry
from advgames.attacks.projected import bim, pal_vidal_pgd, pgd
from advgames.attacks.starts import Start

__all__ = [
    "L1",
    "L2",
    "LINF",
    "Attack",
    "Attacked",
    "Geometry",
    "Loss",
    "LossName",
    "Model",
    "Norm",
    "Start",
    "bim",
    "carlini_wagner",
    "cross_entropy",
    "deepfool",
    "dlr",
    "ead",
    "ensemble",
    "every_rival",
    "fgm",
    "fgsm",
    "margin",
    "pal_vidal_pgd",
    "pgd",
]
