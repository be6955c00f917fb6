"""The worst case per input among several answers."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from advgames.attacks.base import Attacked
from advgames.attacks.problem import Problem

__all__ = ["worst_case"]


def worst_case(problem: Problem, answers: Iterable[Attacked], *, shortest: bool = False) -> Attacked:
    """Per input the answer that succeeds, before one that does not; among equals the one of largest objective.

    Args:
        problem: whose model and objective judge.
        shortest: among equals the one nearest to the input, in the problem's norm.
    """
    best: Attacked | None = None
    best_score = torch.empty(0)
    for answer in answers:
        score = -_length(problem, answer) if shortest else _objective(problem, answer)
        if best is None:
            best, best_score = answer, score
            continue
        better = (answer.success & ~best.success) | ((answer.success == best.success) & (score > best_score))
        each = better.reshape(*better.shape, *[1] * len(problem.input_shape))
        best = Attacked(torch.where(each, answer.perturbed, best.perturbed), best.success | answer.success)
        best_score = torch.where(better, score, best_score)
    assert best is not None
    return best


def _length(problem: Problem, answer: Attacked) -> Tensor:
    perturbed = answer.perturbed.detach().flatten(problem.labels.ndim)
    return problem.geometry.length(perturbed - problem.inputs.detach()).squeeze(-1)


def _objective(problem: Problem, answer: Attacked) -> Tensor:
    def value(part: Problem, points: Tensor) -> tuple[Tensor]:
        with torch.no_grad():
            return (part.objective(part.logits(points)),)

    return problem.in_chunks(value, answer.perturbed.detach().flatten(problem.labels.ndim))[0]
