"""A last improvement for small problems: take a set in, let one go, and see whether another fits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from advgames.robust_sets.halfspaces import Array, Halfspaces
from advgames.robust_sets.polytopes import Index, meeting

__all__ = ["exchange"]

FILLERS = 6  # sets tried in the place of the one that left


def exchange(problem: Halfspaces, point: Array, budget: int = 100) -> tuple[int, Array]:
    """From a point of the ball, points of more sets: one added, or two for one, first improvement first.

    Sets that are not held are tried nearest first. If one fits beside those held, in it goes. If not, those that
    conflict with it (:func:`meeting`) are let go one at a time, and the nearest others tried in that place.

    Args:
        problem: the sets.
        point: of the ball.  # (d,)
        budget: how many intersections may be examined; each is a small least-squares problem or linear programme.

    Returns the count and the point; never worse than the start.
    """
    count = int(problem.count(point[None])[0])
    examined = 0
    improved = True
    while improved and count < len(problem):
        improved = False
        for trial in _trials(problem, point):
            examined += 1
            if examined > budget:
                return count, point
            reached = 0 if trial is None else int(problem.count(trial[None])[0])
            if trial is not None and reached > count:
                count, point, improved = reached, trial, True
                break
    return count, point


def _trials(problem: Halfspaces, point: Array) -> Iterator[Array | None]:
    """Points that may lie in more sets than `point` does; None for each attempt that has no point."""
    held = np.flatnonzero(problem.holds(problem.rows(point[None]))[0])
    missed = _nearest(problem, point, held)
    conflicts = []
    for new in missed:
        met = meeting(problem, np.append(held, new))
        conflicts.append(met.conflict)
        yield met.point
    for new, conflict in zip(missed, conflicts, strict=True):
        for old in conflict[conflict != new]:
            swapped = np.append(held[held != old], new)
            met = meeting(problem, swapped)
            yield met.point
            if met.point is None:
                continue
            others = _nearest(problem, met.point, np.append(swapped, old))[:FILLERS]
            yield from (meeting(problem, np.append(swapped, other)).point for other in others)


def _nearest(problem: Halfspaces, point: Array, without: Index) -> Index:
    """The sets but the given ones, those whose lowest row is highest at the point first."""
    slack = problem.rows(point[None])[0].min(1)
    order = np.argsort(-slack, kind="stable")
    return order[~np.isin(order, without)]
