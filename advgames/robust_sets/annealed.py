"""Our relaxation: a sigmoid of each set's distance, annealed from several starts, then exact steps along lines."""

from __future__ import annotations

import numpy as np

from advgames.robust_sets.exchange import exchange
from advgames.robust_sets.halfspaces import Array, Halfspaces
from advgames.robust_sets.lines import climb, random_directions
from advgames.robust_sets.soft import centre, lowest_rows, weighted

__all__ = ["annealed_ascent"]

WARM, COLD = 1.0, 0.02  # temperatures, in units of the radius
FIRST, LAST = 0.3, 0.01  # lengths of the steps, likewise
RANDOM_STARTS = 2
CLIMBERS = 3  # starts whose answers are improved along lines
EXCHANGED_UP_TO = 20_000  # entries of the rows of problems whose answer is improved by exchanges


def annealed_ascent(
    problem: Halfspaces, starts: Array, steps: int = 150, seed: int = 0, climbers: int = CLIMBERS
) -> tuple[int, Array]:
    """Ascend mean_i sigmoid(s_i(w) / tau), s_i = min_j u_ij . w + t_ij, while tau falls from 1 to 0.02.

    s_i is a distance in units of the radius, at most 1 + |t| whatever the logits' scale, so that a sigmoid of it
    has a gradient everywhere: this ascent cannot stall where the clipped relaxation does. All starts run as one
    batch: those given, zero, the mean direction of the sets that zero does not hold and of all sets, the centre
    (largest least slack, soft), two random ones. The best `climbers` of them go on along lines
    (:func:`climb`), and in small problems the best by exchanges (:func:`exchange`). The answer is never worse than a
    start that was given.

    Args:
        problem: the sets.
        starts: points of the ball.  # (m, d)
        steps: of the ascent.
        seed: of the random starts and directions.
        climbers: how many answers go on along lines.

    Returns the number of sets that hold the answer, and the answer (d,).
    """
    starts = np.concatenate([starts, _starts(problem, seed)])
    best, best_counts = starts.copy(), problem.count(starts)
    w = starts
    for step in range(steps + 1):
        share = step / steps
        rows = problem.rows(w)
        counts = problem.holds(rows).sum(1)
        better = counts > best_counts
        best, best_counts = np.where(better[:, None], w, best), np.maximum(counts, best_counts)
        if step == steps or best_counts.max() == len(problem):
            break
        lowest, slack = lowest_rows(rows)
        half = np.exp(-np.abs(slack) / (2 * WARM * (COLD / WARM) ** share))  # sigmoid' = (h / (1 + h^2))^2
        gradient = weighted(problem, lowest, (half / (1 + half**2)) ** 2)
        w = problem.project(w + FIRST * (LAST / FIRST) ** share * problem.steepest(gradient))
    order = np.argsort(-best_counts, kind="stable")[:climbers]
    answers = [climb(problem, best[index], seed) for index in order]
    count, point = max(answers, key=lambda answer: answer[0])
    return exchange(problem, point) if problem.units.size <= EXCHANGED_UP_TO else (count, point)


def _starts(problem: Halfspaces, seed: int) -> Array:
    """Zero, two mean directions, the soft centre, random directions.  # (m, d)"""
    zero = np.zeros((1, problem.dimension))
    rows = problem.rows(zero)
    lowest, _ = lowest_rows(rows)
    means = weighted(problem, np.repeat(lowest, 2, 0), np.stack([~problem.holds(rows)[0], np.ones(len(problem))]))
    middle = centre(problem, zero[0])[None]
    return np.concatenate([zero, problem.steepest(means), middle, random_directions(problem, seed, -1, RANDOM_STARTS)])
