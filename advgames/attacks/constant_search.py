"""The search over the constant c that weighs success against cost, shared by Carlini & Wagner's attack and EAD."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from advgames.attacks.checks import check_finite
from advgames.attacks.problem import Problem

__all__ = ["ConstantSearch", "Cost", "Move", "shortest"]

#: of perturbations (*lead, D) -> (*lead, 1)
Cost = Callable[[Tensor], Tensor]
#: the next points from the points, the gradient of c times the hinge there, and the number of the step
Move = Callable[[Tensor, Tensor, int], Tensor]


def shortest(
    problem: Problem,
    cost: Cost,
    mover: Callable[[ConstantSearch], Move],
    *,
    kappa: float,
    steps: int,
    search_steps: int,
    l1_weight: float = 0.0,
) -> Tensor:
    """Points (*lead, D) of least cost among those visited that succeed by more than kappa; else the inputs.

    Each search step runs `steps` moves from where the last one ended, with a new mover and a new c.
    """
    search = ConstantSearch(problem, cost, kappa, l1_weight)
    points = problem.inputs
    for _ in range(search_steps):
        move = mover(search)
        held = torch.zeros_like(search.c, dtype=torch.bool)
        for step in range(steps):
            gain, gradient = search.evaluate(points)
            succeeds = search.keep(points, gain)
            if 2 * step >= steps:  # the first moves overshoot whatever c is
                held = held | succeeds
            points = move(points, gradient, step)
        check_finite(gain, points)
        search.narrow(held)
    return search.best


class ConstantSearch:
    """Per input the least cost found, and the interval in which c lies.

    Minimised is ``cost(x' - x) + c max(kappa - F(x'), 0)``, F the margin by which the attack succeeds
    (robustness_thesis.txt eq. 2.5-2.6; Carlini & Wagner, S&P 2017). c rises tenfold until the attack succeeds, then
    halves the interval. It starts at 2 gap / ||w||_2^2, w = grad F(x), gap = kappa - F(x): for a linear model and the
    cost ||.||^2 that is the least c that succeeds, whatever the scales of inputs and logits. A cost that holds
    beta ||.||_1 adds beta / ||w||_inf, below which no entry would move.

    Attributes:
        best: points of least cost so far, the inputs at first.  # (*lead, D)
        c: the constant.  # (*lead, 1)
        gap, gradient: at the inputs.  # (*lead, 1), (*lead, D)
    """

    def __init__(self, problem: Problem, cost: Cost, kappa: float, l1_weight: float) -> None:
        self.problem, self.cost, self.kappa = problem, cost, kappa
        self.best = problem.inputs
        self.c = torch.ones_like(problem.inputs[..., :1])
        self.best_cost, self.low, self.high = self.c * torch.inf, self.c * 0.0, self.c * torch.inf
        gain, self.gradient = self._margin(problem.inputs, lambda gain: torch.ones_like(gain))
        self.gap = (kappa - gain).clamp(min=0.0)
        square, largest = self.gradient.square().sum(-1, True), self.gradient.abs().amax(-1, True)
        first = 2.0 * self.gap / square + l1_weight / largest
        self.c = torch.where(square > 0, first, 1.0).clamp(max=torch.finfo(first.dtype).max ** 0.5)

    def evaluate(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """F at the points, (*lead, 1), and the gradient of c max(kappa - F, 0), (*lead, D)."""
        return self._margin(points, lambda gain: -self.c * (gain < self.kappa))

    def keep(self, points: Tensor, gain: Tensor) -> Tensor:
        """Remember the points that succeed at the least cost so far; which succeed, (*lead, 1)."""
        cost = self.cost(points - self.problem.inputs)
        succeeds = (gain >= self.kappa) & (gain > 0)
        better = succeeds & (cost < self.best_cost)
        self.best, self.best_cost = torch.where(better, points, self.best), torch.where(better, cost, self.best_cost)
        return succeeds

    def narrow(self, held: Tensor) -> None:
        """The next c, from whether the last one held the points beyond the boundary, (*lead, 1)."""
        self.high = torch.where(held, torch.minimum(self.high, self.c), self.high)
        self.low = torch.where(held, self.low, torch.maximum(self.low, self.c))
        self.c = torch.where(self.high < torch.inf, (self.low + self.high) / 2, 10.0 * self.c)

    def _margin(self, points: Tensor, weight: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """F, and the gradient of F times ``weight(F)``."""
        points = self.problem.leaf(points)
        logits = self.problem.logits(points)
        gain = self.problem.objective(logits.detach()).unsqueeze(-1)
        slope = self.problem.ascent(logits.detach()) * weight(gain)
        return gain, self.problem.pull_back(logits, slope, points)
