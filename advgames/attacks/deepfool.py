"""DeepFool: Newton steps to the nearest boundary of the linearised model."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from advgames.attacks.base import Attacked, Model, Norm
from advgames.attacks.checks import check_count
from advgames.attacks.norms import Bounds, Geometry
from advgames.attacks.problem import ChunkSize, Problem
from advgames.errors import SettingError

__all__ = ["deepfool"]


def deepfool(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    radius: float | Tensor | None = None,
    norm: Norm | Geometry = "l2",
    bounds: Bounds = (0.0, 1.0),
    steps: int = 50,
    overshoot: float = 0.02,
    candidates: int = 10,
    create_graph: bool = False,
    chunk_size: ChunkSize = "auto",
) -> Attacked:
    """A small perturbation that succeeds: x <- x + (1 + overshoot) d_l e(w_l) until the class changes.

    w_k = grad (Z_k - Z_y), d_k = (Z_y - Z_k) / ||w_k||_dual, l = argmin_k d_k: the nearest boundary of the linearised
    model (Moosavi-Dezfooli et al., CVPR 2016). Steps are clipped to the bounds. Where half the steps did not suffice,
    entries that stand at a bound and would leave it count for nothing in w any more, so that clipping cannot stop the
    walk for good; and no step is shorter than sqrt(eps) of the way gone (eps the dtype's), so that rounding cannot
    stop it just inside the boundary.

    Inputs already misclassified are returned as they are, and so, with success False, are those where it fails.
    Arguments and errors: see :class:`~advgames.attacks.problem.Problem`, and

    Args:
        radius: longer perturbations count as failures; None: any length.
        steps: most steps.
        candidates: rival classes considered, the largest logits at the input.
    """
    check_count("steps", steps)
    check_count("candidates", candidates)
    if not 0 <= overshoot < 1:
        raise SettingError(f"overshoot must lie in [0, 1), got {overshoot}")
    problem = Problem(
        model,
        inputs,
        labels,
        radius=radius,
        norm=norm,
        bounds=bounds,
        loss="margin",
        create_graph=create_graph,
        chunk_size=chunk_size,
    )
    return problem.solve_shortest(
        functools.partial(_walk, steps=steps, overshoot=overshoot, candidates=candidates),
    )


def _walk(problem: Problem, *, steps: int, overshoot: float, candidates: int) -> Tensor:
    """Steps of every input until its class has changed; those that have arrived leave the batch."""
    points, dim = problem.inputs, problem.labels.ndim - 1
    with torch.no_grad():
        logits = problem.logits(points)
    rivals = _rivals(logits, problem.labels, candidates)
    arrived = problem.reached(logits)
    for i in range(steps):
        columns = problem.columns(~arrived)
        if len(columns) == 0:
            break
        part = problem.pick(columns)
        here, there = points.index_select(dim, columns), arrived.index_select(dim, columns)
        step = _newton_step(part, here, rivals.index_select(dim, columns), overshoot, 2 * i >= steps)
        moved = torch.where(there.unsqueeze(-1), here, part.bounded(here + step))
        with torch.no_grad():
            there = there | part.reached(part.logits(moved))
        points, arrived = points.index_copy(dim, columns, moved), arrived.index_copy(dim, columns, there)
    return points


def _rivals(logits: Tensor, labels: Tensor, candidates: int) -> Tensor:
    """The classes of the largest logits but the label's, (*lead, C)."""
    others = logits.scatter(-1, labels.unsqueeze(-1), -torch.inf)
    return others.topk(min(candidates, logits.shape[-1] - 1), dim=-1).indices


def _newton_step(problem: Problem, points: Tensor, rivals: Tensor, overshoot: float, hold: bool) -> Tensor:
    """(1 + overshoot) d_l e(w_l), (*lead, D); `hold`: of entries that the bounds leave free to move."""
    leaf, label = problem.leaf(points), problem.labels.unsqueeze(-1)
    logits = problem.logits(leaf)
    values, here = problem.settled(logits), points.detach()
    free = _free(here, *problem.bounds) if hold and problem.bounds is not None else None
    least, nearest = torch.full_like(values[..., :1], torch.inf), torch.zeros_like(here)
    for rival in torch.split(rivals, 1, -1):
        difference = torch.zeros_like(values).scatter(-1, rival, 1.0).scatter(-1, label, -1.0)
        w = problem.pull_back(logits, difference, leaf, again=True)
        w = w if free is None else w.clamp(*free)
        gap = values.gather(-1, label) - values.gather(-1, rival)
        slope = problem.geometry.dual(w)
        distance = torch.where(slope > 0, gap / torch.where(slope > 0, slope, 1.0), torch.inf)
        nearer = distance < least
        least, nearest = torch.where(nearer, distance, least), torch.where(nearer, w, nearest)
    size = torch.maximum((1 + overshoot) * least, _shortest(problem, here))
    return problem.geometry.step(nearest, torch.where(least < torch.inf, size, 0.0), points, problem.bounds)


def _free(points: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Limits of gradient entries, 0 where to follow them would leave the bounds, and else infinite."""
    infinite = torch.full((), torch.inf, dtype=points.dtype, device=points.device)
    return torch.where(points <= low, 0.0, -infinite), torch.where(points >= high, 0.0, infinite)


def _shortest(problem: Problem, points: Tensor) -> Tensor:
    """The least step that rounding does not swallow, (*lead, 1); it grows with the way gone."""
    eps = torch.finfo(points.dtype).eps
    gone = problem.geometry.length(points - problem.inputs.detach())
    least: Tensor = eps**0.5 * gone + 16 * eps * points.abs().amax(-1, keepdim=True)
    return least
