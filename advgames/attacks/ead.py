"""EAD, the elastic-net attack: sparse perturbations."""

from __future__ import annotations

import functools
from typing import Literal, get_args

from torch import Tensor

from advgames.attacks.base import Attacked, Model
from advgames.attacks.checks import check_count, check_least, refuse_graph
from advgames.attacks.constant_search import ConstantSearch, shortest
from advgames.attacks.norms import Bounds
from advgames.attacks.problem import ChunkSize, Problem
from advgames.errors import UnknownNameError

__all__ = ["Rule", "ead"]

Rule = Literal["en", "l1"]


def ead(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    radius: float | Tensor | None = None,
    bounds: Bounds = (0.0, 1.0),
    steps: int = 100,
    search_steps: int = 6,
    step_size: float = 0.1,
    beta: float = 0.1,
    rule: Rule = "en",
    kappa: float = 0.0,
    targeted: bool = False,
    create_graph: bool = False,
    chunk_size: ChunkSize = "auto",
) -> Attacked:
    """A sparse perturbation that succeeds: min ||d||_2^2 + beta ||d||_1 + c max(kappa - F(x + d), 0), d = x' - x.

    Proximal gradient steps (ISTA): x' <- S(x' - alpha grad), where S moves every entry by alpha beta towards x, sets
    what crosses x to x, and clips to the bounds (Chen et al., AAAI 2018). Their S moves by beta, so that their beta is
    alpha times ours (theirs: 0.001 at alpha = 0.01, which is 0.1 here). alpha falls to a hundredth over each search
    step; F and the search over c are those of :func:`~advgames.attacks.carlini_wagner.carlini_wagner`.

    Inputs already misclassified are returned as they are, and so, with success False, are those where it fails.
    Arguments and errors: see :class:`~advgames.attacks.problem.Problem`, and

    Args:
        radius: perturbations of a longer L1 norm count as failures; None: any length.
        steps: per search step.
        search_steps: values of c.
        step_size: alpha of the first step; the quadratic term allows less than 1.
        beta: weight of the L1 norm, in units of the inputs.
        rule: which successful iterate is best, the one of least elastic net ("en") or of least L1 norm ("l1").
        kappa: margin of the logits by which the attack is to succeed.
        create_graph: refused; the answer is the best of hundreds of iterates and no smooth function of parameters.
    """
    check_count("steps", steps)
    check_count("search_steps", search_steps)
    check_least("kappa", kappa, 0.0)
    check_least("beta", beta, 0.0)
    check_least("step_size", step_size, 0.0)
    refuse_graph("ead", create_graph)
    if rule not in get_args(Rule):
        raise UnknownNameError("rule", str(rule), get_args(Rule))
    problem = Problem(
        model,
        inputs,
        labels,
        radius=radius,
        norm="l1",
        bounds=bounds,
        loss="margin",
        targeted=targeted,
        chunk_size=chunk_size,
    )
    cost = functools.partial(_elastic_net, beta=beta) if rule == "en" else problem.geometry.length
    mover = functools.partial(_Ista, steps=steps, step_size=step_size, beta=beta)
    search = functools.partial(
        shortest, cost=cost, mover=mover, kappa=kappa, steps=steps, search_steps=search_steps, l1_weight=beta
    )
    return problem.solve_shortest(search)


def _elastic_net(delta: Tensor, *, beta: float) -> Tensor:
    return (delta.square() + beta * delta.abs()).sum(-1, keepdim=True)


class _Ista:
    """Proximal gradient steps on ||d||_2^2 + beta ||d||_1 plus what is given, clipped to the bounds."""

    def __init__(self, search: ConstantSearch, *, steps: int, step_size: float, beta: float) -> None:
        self.problem, self.steps, self.step_size, self.beta = search.problem, steps, step_size, beta

    def __call__(self, points: Tensor, gradient: Tensor, step: int) -> Tensor:
        alpha = self.step_size * 0.01 ** (step / self.steps)
        delta = points - self.problem.inputs
        delta = delta - alpha * (2.0 * delta + gradient)
        shrunk = delta.sign() * (delta.abs() - alpha * self.beta).clamp(min=0.0)
        return self.problem.bounded(self.problem.inputs + shrunk)
