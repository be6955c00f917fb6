"""Carlini & Wagner's L2 attack."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from advgames.attacks.base import Attacked, Model
from advgames.attacks.checks import check_count, check_least, refuse_graph
from advgames.attacks.constant_search import ConstantSearch, shortest
from advgames.attacks.norms import Bounds
from advgames.attacks.problem import ChunkSize, Problem

__all__ = ["carlini_wagner"]


def carlini_wagner(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    radius: float | Tensor | None = None,
    bounds: Bounds = (0.0, 1.0),
    steps: int = 100,
    search_steps: int = 6,
    step_size: float | None = None,
    kappa: float = 0.0,
    targeted: bool = False,
    create_graph: bool = False,
    chunk_size: ChunkSize = "auto",
) -> Attacked:
    """A short perturbation that succeeds: min ||x' - x||_2^2 + c max(kappa - F(x'), 0), with a search over c.

    F = max_{i != y} Z_i - Z_y, targeted Z_t - max_{i != t} Z_i (robustness_thesis.txt eq. 2.5-2.6; Carlini & Wagner,
    S&P 2017). Adam moves x' itself and every step is clipped to the bounds: the original's change of variables,
    x' = (tanh(w) + 1) / 2, has next to no gradient at pixels of exactly 0 or 1 and all but freezes them. The step
    size falls to a hundredth over each search step, and the next one starts where the last one ended.

    Inputs already misclassified are returned as they are, and so, with success False, are those where it fails.
    Arguments and errors: see :class:`~advgames.attacks.problem.Problem`, and

    Args:
        radius: longer perturbations count as failures; None: any length.
        steps: of Adam per search step.
        search_steps: values of c.
        step_size: of the first step, in units of the inputs; None: four times gap / ||w||_1, the distance to the
            linearised boundary in L-infinity, at most two fifths of the bounds' width.
        kappa: margin of the logits by which the attack is to succeed.
        create_graph: refused; the answer is the best of hundreds of iterates and no smooth function of parameters.
    """
    check_count("steps", steps)
    check_count("search_steps", search_steps)
    check_least("kappa", kappa, 0.0)
    if step_size is not None:
        check_least("step_size", step_size, 0.0)
    refuse_graph("carlini_wagner", create_graph)
    problem = Problem(
        model,
        inputs,
        labels,
        radius=radius,
        norm="l2",
        bounds=bounds,
        loss="margin",
        targeted=targeted,
        chunk_size=chunk_size,
    )
    mover = functools.partial(_Adam, steps=steps, step_size=step_size)
    search = functools.partial(
        shortest, cost=_squared_length, mover=mover, kappa=kappa, steps=steps, search_steps=search_steps
    )
    return problem.solve_shortest(search)


def _squared_length(delta: Tensor) -> Tensor:
    return delta.square().sum(-1, keepdim=True)


class _Adam:
    """Adam on ||delta||^2 plus what is given (Kingma & Ba, ICLR 2015), clipped to the bounds."""

    def __init__(self, search: ConstantSearch, *, steps: int, step_size: float | None) -> None:
        self.problem, self.steps = search.problem, steps
        self.size = _step_size(search) if step_size is None else step_size
        self.mean = torch.zeros_like(self.problem.inputs)
        self.square = torch.zeros_like(self.problem.inputs)

    def __call__(self, points: Tensor, gradient: Tensor, step: int) -> Tensor:
        gradient = gradient.add_(points - self.problem.inputs, alpha=2.0)
        self.mean.lerp_(gradient, 0.1)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        size = self.size * 0.01 ** (step / self.steps) * (1 - 0.999 ** (step + 1)) ** 0.5 / (1 - 0.9 ** (step + 1))
        tiny = torch.finfo(points.dtype).tiny
        return self.problem.bounded(points - size * self.mean / self.square.sqrt().add_(tiny))


def _step_size(search: ConstantSearch) -> Tensor:
    """Four times the L-infinity distance to the linearised boundary, (*lead, 1)."""
    bounds, slope = search.problem.bounds, search.gradient.abs().sum(-1, keepdim=True)
    size = torch.where(slope > 0, 4.0 * search.gap / slope, 0.0)
    return size if bounds is None else size.clamp(max=0.4 * (bounds[1] - bounds[0]))
