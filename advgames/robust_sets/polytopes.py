"""Do some half-spaces meet inside the unit ball: the point of least norm, the deepest point, or who is to blame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog, nnls

from advgames.robust_sets.halfspaces import Array, Halfspaces
from advgames.robust_sets.soft import centre

__all__ = ["Meeting", "deepest", "meeting"]

Index = npt.NDArray[np.intp]
ROUNDING = 1e-12  # of a norm near 1
NO_POINT = 1e-7  # residual of the least-distance problem at which the half-spaces have no common point at all
HALVINGS = 40
LARGE = 100_000  # entries of the rows up to which the deepest point is exact
FINEST = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}  # the smallest HiGHS accepts


class Meeting(NamedTuple):
    """Either a point of the ball in all sets, or a few sets that have no common point in the ball.

    Attributes:
        point: in the sets and in the ball, or None.  # (d,)
        conflict: sets without a common point, at most d + 1 of them as a rule; empty if there is a point.
        wall: a unit vector u with u . w > 1 on the conflict's common points, none if these do not exist.  # (d,)
    """

    point: Array | None
    conflict: Index
    wall: Array | None = None


def meeting(problem: Halfspaces, sets: Index) -> Meeting:
    """A point of the unit ball that all of the given sets hold, or a conflict among them.

    L2: min ||w|| subject to u_ij . w >= -t_ij, by non-negative least squares (Lawson & Hanson, Solving Least
    Squares Problems, 1974, ch. 23: least distance programming). Rows with positive multipliers alone have the same
    point of least norm: if that is longer than 1, or there is none, they are the conflict. L-infinity: a linear
    programme, its multipliers likewise.

    Half of what rounding may hurt a row is allowed, so that sets which touch do meet.
    """
    if len(sets) == 0:
        return Meeting(np.zeros(problem.dimension), sets)
    owner = np.repeat(sets, problem.heights.shape[1])
    units = problem.units[sets].reshape(len(owner), -1)
    floors = -(problem.heights + problem.slop / 2)[sets].reshape(-1)
    if problem.norm == "linf":
        point, slack, multipliers = _deepest_in_box(units, -floors)
        if slack >= 0 or problem.holds(problem.rows(point[None]))[0][sets].all():
            return Meeting(point, sets[:0])
        return Meeting(None, np.unique(owner[_blamed_in_box(units, -floors, multipliers)]))
    least, active = _least_norm(units, floors)
    length = np.inf if least is None else float(np.linalg.norm(least))
    if least is not None and length <= 1 + ROUNDING:
        return Meeting(problem.project(least[None])[0], sets[:0])
    wall = None if least is None else least / length
    return Meeting(None, np.unique(owner[active]), wall)


def _least_norm(units: Array, floors: Array) -> tuple[Array | None, Index]:
    """argmin ||w|| subject to units w >= floors, None if nothing satisfies that, and the rows it rests on."""
    rows, d = units.shape
    target = np.zeros(d + 1)
    target[d] = 1.0
    multipliers, _ = nnls(np.vstack([units.T, floors[None]]), target, maxiter=30 * (rows + d))
    active = np.flatnonzero(multipliers > 0)
    weights = multipliers[active]
    residual = np.append(weights @ units[active], weights @ floors[active]) - target
    if len(active) and float(np.linalg.norm(residual)) < NO_POINT:
        return None, active
    # the active rows hold with equality: solving for them afresh is exact to rounding
    point = np.linalg.lstsq(units[active], floors[active], rcond=None)[0] if len(active) else np.zeros(d)
    return np.asarray(point), active


def _deepest_in_box(units: Array, heights: Array) -> tuple[Array, float, Array]:
    """max_w min_i units_i . w + heights_i over the unit box: the point, its slack, the multipliers of the rows."""
    rows, d = units.shape
    result = linprog(
        np.append(np.zeros(d), -1.0),
        np.hstack([-units, np.ones((rows, 1))]),
        heights,
        bounds=[(-1.0, 1.0)] * d + [(None, 3.0)],
        method="highs",
        options=FINEST,
    )
    point = np.clip(result.x[:d], -1.0, 1.0)
    return point, float((units @ point + heights).min()), np.maximum(-result.ineqlin.marginals, 0.0)


def _blamed_in_box(units: Array, heights: Array, multipliers: Array) -> Index:
    """The rows with multipliers that matter, if those prove that nothing satisfies them, else all rows.

    Any w of the box has min_i units_i . w + heights_i <= ||sum_i l_i units_i||_1 + l . heights for a mix l.
    """
    blamed = np.flatnonzero(multipliers > 1e-9)
    part = multipliers[blamed]
    proof = float(np.abs(part @ units[blamed]).sum() + part @ heights[blamed])
    return blamed if proof < 0 else np.arange(len(heights))


def deepest(problem: Halfspaces, point: Array) -> Array:
    """The point of the ball with the largest least slack over the sets that hold `point`.  # (d,)

    L2: the largest s for which min ||w|| subject to u . w + t >= s is at most 1, by halving; L-infinity: a linear
    programme. The slack is the distance to the nearest border: rounding cannot flip a membership unless sets only
    touch each other or the ball. Very large problems settle for :func:`centre`.
    """
    held = problem.select(problem.holds(problem.rows(point[None]))[0])
    d = problem.dimension
    units, heights = held.units.reshape(-1, d), held.heights.reshape(-1)
    sloped = units.any(1)  # a flat row is as far from its border everywhere
    units, heights = units[sloped], heights[sloped]
    if len(heights) == 0:
        return point
    if units.size > LARGE:
        return centre(held, point)
    low, high = float((units @ point + heights).min()), float((1 + heights).min())
    if problem.norm == "linf":
        found, slack, _ = _deepest_in_box(units, heights)
        return found if slack > low else point
    for _ in range(HALVINGS):
        if high - low <= 1e-9:
            break
        middle = (low + high) / 2
        candidate, _ = _least_norm(units, middle - heights)
        if candidate is not None and np.linalg.norm(candidate) <= 1:
            low, point = middle, candidate
        else:
            high = middle
    return point
