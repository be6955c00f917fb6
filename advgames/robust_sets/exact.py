"""The exact maximum of phi_n: a sweep along all borders in the plane, a mixed-integer programme elsewhere."""

from __future__ import annotations

import time

import numpy as np

from advgames.robust_sets.halfspaces import Array, Halfspaces
from advgames.robust_sets.lines import best_on_lines
from advgames.robust_sets.programme import Solved, solve_programme

__all__ = ["solve", "sweep"]

BUNDLE = 64  # lines between two looks at the clock


def solve(problem: Halfspaces, point: Array, time_limit: float) -> Solved:
    """The point of the ball in the most sets, from a good guess; see :func:`sweep` and :func:`solve_programme`."""
    if problem.dimension <= 2:
        return sweep(problem, point, time_limit)
    return solve_programme(problem, point, time_limit)


def sweep(problem: Halfspaces, point: Array, time_limit: float = 60.0) -> Solved:
    """One or two dimensions: the best point on any border, n r sweeps of n r log n steps.

    The sets that hold a maximiser have a closed convex intersection with the ball. Either it is the ball, and zero
    is a maximiser, or it meets the border of a row, and a maximiser lies on that line. The line of a row
    u . w + t = 0 is swept by :func:`best_on_lines`; in one dimension there is one line.
    """
    d = problem.dimension
    lines = _borders(problem) if d == 2 else (np.zeros((1, 1)), np.ones((1, 1)))
    start = np.stack([point, np.zeros(d)])
    counts = problem.count(start)
    best, point = int(counts.max()), start[int(counts.argmax())]
    deadline = time.monotonic() + time_limit
    done = 0
    while done < len(lines[0]) and best < len(problem) and time.monotonic() < deadline:
        here = slice(done, done + BUNDLE)
        _, there = best_on_lines(problem, lines[0][here], lines[1][here])
        count = int(problem.count(there[None])[0])
        if count > best:
            best, point = count, there
        done += BUNDLE
    finished = done >= len(lines[0]) or best == len(problem)
    return Solved(best, point, best if finished else len(problem), 0)


def _borders(problem: Halfspaces) -> tuple[Array, Array]:
    """A point of the plane and a direction for the border of every row that meets the ball.  # (q, 2) twice"""
    units, heights = problem.units.reshape(-1, 2), problem.heights.reshape(-1)
    squared = np.maximum((units**2).sum(1), np.finfo(np.float64).tiny)
    near = np.abs(heights) <= 1 + problem.slop.reshape(-1)
    feet = -(heights / squared)[:, None] * units
    along = np.stack([-units[:, 1], units[:, 0]], 1)
    return feet[near], along[near]
