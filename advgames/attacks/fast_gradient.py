"""The fast gradient method: one steepest step of the whole radius."""

from __future__ import annotations

from torch import Tensor

from advgames.attacks.base import Attacked, Model, Norm
from advgames.attacks.losses import Loss, LossName
from advgames.attacks.norms import Bounds, Geometry
from advgames.attacks.problem import ChunkSize, Problem

__all__ = ["fgm", "fgsm"]


def fgm(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    radius: float | Tensor,
    norm: Norm | Geometry = "l2",
    bounds: Bounds = (0.0, 1.0),
    loss: LossName | Loss = "cross_entropy",
    targeted: bool = False,
    create_graph: bool = False,
    chunk_size: ChunkSize = "auto",
) -> Attacked:
    """x + radius * e(grad_x L), where e(.) is the steepest direction of length 1 in the norm, then into the bounds.

    With two classes and the L2 norm this is a_FGM = -eps sgn(f) grad f / ||grad f|| of additive_nash.txt Lemma 1,
    f = Z_y - Z_other; in L-infinity it is the fast gradient sign method (Goodfellow et al., ICLR 2015).
    In L1 the step goes to the steepest coordinate, and where the bounds stop it to the next one.

    Arguments and errors: see :class:`~advgames.attacks.problem.Problem`.
    """
    problem = Problem(
        model,
        inputs,
        labels,
        radius=radius,
        norm=norm,
        bounds=bounds,
        loss=loss,
        targeted=targeted,
        create_graph=create_graph,
        chunk_size=chunk_size,
    )
    return problem.solve(lambda p: p.bounded(p.step(p.inputs, p.radius)))


def fgsm(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    radius: float | Tensor,
    bounds: Bounds = (0.0, 1.0),
    loss: LossName | Loss = "cross_entropy",
    targeted: bool = False,
    create_graph: bool = False,
    chunk_size: ChunkSize = "auto",
) -> Attacked:
    """The fast gradient sign method: :func:`fgm` in L-infinity, x + radius * sgn(grad_x L)."""
    return fgm(
        model,
        inputs,
        labels,
        radius=radius,
        norm="linf",
        bounds=bounds,
        loss=loss,
        targeted=targeted,
        create_graph=create_graph,
        chunk_size=chunk_size,
    )
