"""Projected gradient: steepest steps, each followed by a projection onto the ball and into the bounds."""

from __future__ import annotations

import functools
from typing import Literal, get_args

import torch
from torch import Tensor

from advgames.attacks.base import Attacked, Model, Norm
from advgames.attacks.checks import check_count, check_labels, check_radius
from advgames.attacks.losses import Loss, LossName
from advgames.attacks.norms import Bounds, Geometry, Size
from advgames.attacks.problem import ChunkSize, Problem
from advgames.attacks.selection import worst_case
from advgames.attacks.starts import Start, starting_point
from advgames.errors import SettingError

__all__ = ["bim", "pal_vidal_pgd", "pgd"]


def pgd(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    radius: float | Tensor,
    norm: Norm | Geometry = "l2",
    bounds: Bounds = (0.0, 1.0),
    steps: int = 40,
    step_size: float | Tensor | None = None,
    start: Start = "input",
    restarts: int = 1,
    seed: int | Tensor = 0,
    loss: LossName | Loss = "cross_entropy",
    targeted: bool = False,
    create_graph: bool = False,
    chunk_size: ChunkSize = "auto",
) -> Attacked:
    """x <- Proj(x + alpha e(grad_x L)), `steps` times (Madry et al., ICLR 2018; robustness_thesis.txt section 2.2).

    Without restarts the answer is the last iterate. With restarts it is, per input, the best of their last iterates:
    one that succeeds before one that does not, then the one with the largest objective.

    Arguments and errors: see :class:`~advgames.attacks.problem.Problem`, and

    Args:
        steps: T.
        step_size: alpha, a float or a tensor that broadcasts to labels; None: 2.5 radius / T.
        start: "input", "random" (uniform in the ball), starting points like the inputs, or a function of the inputs.
        restarts: runs in all; those after the first start at random points.
        seed: of random starts: one key for all inputs, or one per leading index (a match's seed), (G,) int64.
    """
    check_count("steps", steps)
    check_count("restarts", restarts)
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
    if step_size is None:
        size = 2.5 / steps * problem.radius
    else:
        size = check_radius(step_size, labels, inputs.dtype, "step_size")

    def once(restart: int) -> Attacked:
        first = starting_point(problem, start, seed, restart)
        return problem.solve(functools.partial(_ascend, steps=steps), first, size)

    if restarts == 1:
        return once(0)
    return worst_case(problem, (once(restart) for restart in range(restarts)))


def _ascend(problem: Problem, points: Tensor, size: Size, *, steps: int) -> Tensor:
    for _ in range(steps):
        points = problem.within(problem.step(points, size))
    return points


def bim(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    radius: float | Tensor,
    norm: Norm | Geometry = "linf",
    bounds: Bounds = (0.0, 1.0),
    steps: int = 10,
    step_size: float | Tensor | None = None,
    loss: LossName | Loss = "cross_entropy",
    targeted: bool = False,
    create_graph: bool = False,
    chunk_size: ChunkSize = "auto",
) -> Attacked:
    """The basic iterative method (Kurakin et al., 2017): :func:`pgd` from the inputs, alpha = radius / T by default."""
    check_count("steps", steps)
    check_labels(labels, inputs)
    check_radius(radius, labels, inputs.dtype)  # before it is divided
    return pgd(
        model,
        inputs,
        labels,
        radius=radius,
        norm=norm,
        bounds=bounds,
        steps=steps,
        step_size=radius / steps if step_size is None else step_size,
        loss=loss,
        targeted=targeted,
        create_graph=create_graph,
        chunk_size=chunk_size,
    )


def pal_vidal_pgd(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    radius: float | Tensor,
    bounds: Bounds = None,
    steps: int = 10,
    sign: Literal["point", "label"] = "point",
    loss: LossName | Loss = "margin",
    create_graph: bool = False,
    chunk_size: ChunkSize = "auto",
) -> Attacked:
    """The paper's PGD: a full FGM step p' = p + a_FGM(p), then p <- x + eps (p' - x) / ||p' - x||, `steps` times.

    L2. The result is scaled to the sphere, not only into the ball; the paper knows no bounds (with bounds, every
    iterate is then brought into them). As printed, a_FGM(p) = -eps sgn f(p) grad f(p) / ||grad f(p)|| moves away from
    the class at p: beyond the boundary it turns back, and many inputs that were across end on their own side; where the
    model is linear, p' = x at every second step. There, and without a gradient, p is x itself: no direction, no step.
    ``sign="label"`` moves away from the label throughout, the stronger attack.
    Source: additive_nash.txt appendix D.

    Arguments and errors: see :class:`~advgames.attacks.problem.Problem`; steps: the paper's 10.
    """
    if sign not in get_args(Literal["point", "label"]):
        raise SettingError(f"sign must be 'point' or 'label', got {sign!r}")
    check_count("steps", steps)
    problem = Problem(
        model,
        inputs,
        labels,
        radius=radius,
        norm="l2",
        bounds=bounds,
        loss=loss,
        create_graph=create_graph,
        chunk_size=chunk_size,
    )

    least = torch.finfo(inputs.dtype).eps ** 0.5  # below it p' - x is rounding, and its direction noise

    def on_the_sphere(p: Problem) -> Tensor:
        points = p.inputs
        for _ in range(steps):
            at = p if sign == "label" else p.relabelled(points)
            moved = at.step(points, p.radius) - p.inputs
            length = p.geometry.length(moved)
            back = length <= least * p.radius
            unit = torch.where(back, 0.0, moved / torch.where(back, 1.0, length))
            points = p.bounded(p.inputs + p.radius * unit)
        return points

    return problem.solve(on_the_sphere)
