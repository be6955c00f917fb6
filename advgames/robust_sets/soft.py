"""Parts of the soft ascents: each set's lowest row, weighted directions, and the centre of sets that meet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from advgames.robust_sets.halfspaces import Array, Halfspaces

__all__ = ["centre", "lowest_rows", "weighted"]


def centre(problem: Halfspaces, point: Array, steps: int = 100) -> Array:
    """Ascend the soft minimum of all sets' slacks from `point`; the visited point of greatest least slack.  # (d,)

    The soft minimum -tau log sum_i exp(-s_i / tau) is concave; tau and the steps shrink together.
    """
    w = point[None]
    best, best_slack = w, -np.inf
    for step in range(steps):
        share = step / max(steps - 1, 1)
        lowest, slack = lowest_rows(problem.rows(w))
        least = float(slack.min())
        if least > best_slack:
            best, best_slack = w, least
        weights = np.exp(-(slack - least) / (0.1 * (1e-3 / 0.1) ** share))
        gradient = weighted(problem, lowest, weights)
        w = problem.project(w + 0.1 * (1e-3 / 0.1) ** share * problem.steepest(gradient))
    return np.asarray(best[0])


def lowest_rows(rows: Array) -> tuple[npt.NDArray[np.intp], Array]:
    """Index and value of each set's lowest row; rows (m, n, r) -> (m, n) twice."""
    lowest = rows.argmin(2)
    return lowest, np.take_along_axis(rows, lowest[..., None], 2)[..., 0]


def weighted(problem: Halfspaces, lowest: npt.NDArray[np.intp], weights: Array) -> Array:
    """sum_i weights_i u_i, each set by its lowest row; (m, n) twice -> (m, d)."""
    n, r, d = problem.units.shape
    if r == 1:
        return np.asarray(weights @ problem.units[:, 0])
    spread = np.zeros((len(weights), n, r))
    np.put_along_axis(spread, lowest[..., None], weights[..., None], 2)
    return np.asarray(spread.reshape(len(weights), n * r) @ problem.units.reshape(n * r, d))
