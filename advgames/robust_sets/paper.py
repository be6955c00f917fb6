"""The paper's optimiser: projected gradient ascent on the clipped relaxation, from zero."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from advgames.robust_sets.halfspaces import Array, Halfspaces

__all__ = ["Ascent", "clipped_ascent"]


class Ascent(NamedTuple):
    """Answer of the ascent, in units of the radius."""

    point: Array  # (d,)
    stalled: bool
    iterations: int


def clipped_ascent(problem: Halfspaces, logit_scale: Array, steps: int = 200, step: float = 0.1) -> Ascent:
    """Ascend mean_i min(max(0, alpha_i), 1), alpha_i = min_k alpha_ik, over the unit ball, from w = 0.

    Source: P2, additive_nash.txt section 4, which names the relaxation and "projected gradient descent" and no
    step: here step * (1 - t / steps) times the steepest direction of norm 1. Of all points visited the one in
    most sets is returned, the earliest among equals.

    A set with alpha < 0 or alpha >= 1 has no gradient. Where no set has one the ascent cannot move: it ends and
    says ``stalled``, unless every set is held already. Nothing is done about it here, on purpose: whoever wants
    it cured takes ``"annealed"``, which starts from this answer too. As in the paper alpha is in logits, so the
    answer depends on their scale.

    Args:
        problem: the sets.
        logit_scale: alpha_ik / (u_ik . w + t_ik), the dual norm of the gradient times the radius.  # (n, r)
        steps: at most so many, at least 1.
        step: length of the first, in units of the radius.
    """
    w = np.zeros((1, problem.dimension))
    best, best_count = w, -1
    for iteration in range(steps + 1):
        rows = problem.rows(w)
        count = int(problem.holds(rows).sum())
        if count > best_count:
            best, best_count = w, count
        if iteration == steps or best_count == len(problem):
            break
        alphas = rows[0] * logit_scale
        lowest = alphas.argmin(1)
        sets = np.arange(len(problem))
        alpha = alphas[sets, lowest]
        sloped = np.flatnonzero((alpha >= 0) & (alpha < 1))
        weights, units = logit_scale[sloped, lowest[sloped]], problem.units[sloped, lowest[sloped]]
        gradient = (weights @ units)[None]
        if not gradient.any():
            return Ascent(best[0], True, iteration)
        w = problem.project(w + step * (1 - iteration / steps) * problem.steepest(gradient))
    return Ascent(best[0], False, iteration)
