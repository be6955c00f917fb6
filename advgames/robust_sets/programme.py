"""The exact maximum of phi_n as a mixed-integer programme, with cuts for the ball and for sets that conflict."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from advgames.robust_sets.halfspaces import Array, Halfspaces
from advgames.robust_sets.polytopes import Index, meeting

__all__ = ["Solved", "solve_programme"]

PAIRS_UP_TO = 300  # sets for which all pairs are looked at beforehand
ALMOST = 1e-4  # by which HiGHS' bound on an integer may be below it


class Solved(NamedTuple):
    """The best point found, how many sets hold it, how many could at most, and how many programmes that took."""

    held: int
    point: Array  # (d,)
    bound: int
    rounds: int


@dataclass
class _Rows:
    """Inequalities coefficients . (w, z, y) <= limit, as they come."""

    columns: int
    data: list[Array] = field(default_factory=list)
    indices: list[Index] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)

    def add(self, indices: Index, coefficients: Array, limit: float) -> None:
        self.indices.append(indices)
        self.data.append(coefficients)
        self.limits.append(limit)

    def constraint(self) -> LinearConstraint:
        starts = np.cumsum([0, *map(len, self.data)])
        shape = (len(self.limits), self.columns)
        matrix = csr_array((np.concatenate(self.data), np.concatenate(self.indices), starts), shape=shape)
        return LinearConstraint(matrix, -np.inf, np.array(self.limits))


def solve_programme(problem: Halfspaces, point: Array, time_limit: float = 60.0) -> Solved:
    """max sum_i z_i subject to u_ij . w + t_ij >= (t_ij - 1) (1 - z_i), ||w|| <= 1, z binary; HiGHS.

    t - 1 is the least value of u . w + t on the ball: the big-M is as tight as one row alone allows. The box is
    given as it stands; the round ball by |w_j| <= 1, u_ij . w <= 1 and then by cuts. Each round asks for more sets
    than the best point found holds. Where the sets S of an answer have no common point in the ball, a few of them
    do not either (:func:`meeting`): at least one of these must go, sum_T z <= |T| - 1; the half-space that bounds
    the ball next to their point of least norm is added too, and S shrinks by one of them until it has a point,
    which may be a new best one. The end is a round that has no answer, or whose own bound is reached.

    Args:
        problem: sets none of which misses the ball or holds all of it.
        point: of the ball, to start from.  # (d,)
        time_limit: seconds, about; HiGHS looks at its clock between steps.

    Source of the cuts: Codato & Fischetti, Combinatorial Benders' cuts, Operations Research 54(4), 2006.
    """
    n, d = len(problem), problem.dimension
    deadline = time.monotonic() + time_limit
    rows = _initial_rows(problem)
    best, bound, rounds = int(problem.count(point[None])[0]), n, 0
    while best < bound and (left := deadline - time.monotonic()) > 0:
        rounds += 1
        answer = _ask(rows, d, n, best, left)
        bound = max(best, min(bound, answer.bound))
        if answer.chosen is None:
            break
        cuts = len(rows.limits)
        found = _resolve(problem, rows, answer.chosen, answer.point)
        count = int(problem.count(found[None])[0])
        if count > best:
            best, point = count, found
        elif cuts == len(rows.limits):  # nothing learnt: the answer and the count differ by rounding
            break
    return Solved(best, point, max(bound, best), rounds)


class _Answer(NamedTuple):
    """What HiGHS says: the sets chosen and the point, if any, and a bound on how many there can be."""

    chosen: Index | None
    point: Array
    bound: int


def _ask(rows: _Rows, d: int, n: int, held: int, seconds: float) -> _Answer:
    """One programme for more than `held` sets, over (w, z, y): y = 1 stands for giving up, z = 0, worth `held`.

    Giving up is always possible, so that HiGHS has a bound to tell when its time is over.
    """
    counts = np.concatenate([np.zeros(d), np.ones(n), [0.0]])
    give_up = np.append(np.zeros(d + n), 1.0)
    result = milp(
        -counts - held * give_up,
        integrality=counts + give_up,
        bounds=Bounds(np.append(-np.ones(d), np.zeros(n + 1)), np.ones(d + n + 1)),
        constraints=[
            rows.constraint(),
            LinearConstraint(np.stack([counts + n * give_up, -counts - (held + 1) * give_up]), -np.inf, [n, -held - 1]),
        ],
        # presolving costs more than it gains here: up to six times the time in hundreds of dimensions
        options={"time_limit": seconds, "mip_rel_gap": 0.0, "presolve": False},
    )
    dual = result.mip_dual_bound
    bound = n if dual is None or not np.isfinite(dual) else int(np.floor(ALMOST - dual))
    if result.x is None or result.x[-1] > 0.5:
        return _Answer(None, np.zeros(d), bound)
    return _Answer(np.flatnonzero(result.x[d:-1] > 0.5), result.x[:d], bound)


def _resolve(problem: Halfspaces, rows: _Rows, chosen: Index, point: Array) -> Array:
    """Cut off conflicts among the chosen sets until the rest has a common point in the ball, and return that."""
    d = problem.dimension
    slacks = problem.rows(problem.project(point[None]))[0].min(1)
    if problem.norm == "l2" and (length := float(np.linalg.norm(point))) > 1:
        rows.add(np.arange(d), point / length, 1.0)
    while True:
        met = meeting(problem, chosen)
        if met.point is not None:
            return met.point
        rows.add(d + met.conflict, np.ones(len(met.conflict)), len(met.conflict) - 1.0)
        if met.wall is not None:
            rows.add(np.arange(d), met.wall, 1.0)
        chosen = chosen[chosen != met.conflict[slacks[met.conflict].argmin()]]


def _initial_rows(problem: Halfspaces) -> _Rows:
    """Membership of every set, tangents of the ball, and conflicts of pairs."""
    n, r, d = problem.units.shape
    rows, axes = _Rows(d + n + 1), np.arange(d)
    for i in range(n):
        for j in range(r):
            u, t = problem.units[i, j], float(problem.heights[i, j])
            if t < 1:
                rows.add(np.append(axes, d + i), np.append(-u, 1 - t), 1.0)
            rows.add(axes, u, 1.0)
    if problem.norm == "l2" and n <= PAIRS_UP_TO:
        for clique in _cliques(_conflicts(problem)):
            rows.add(d + clique, np.ones(len(clique)), 1.0)
    return rows


def _conflicts(problem: Halfspaces) -> npt.NDArray[np.bool_]:
    """Pairs of sets one row of each of which have no common point in the round ball.  # (n, n)

    With u1 . u2 = c and r = -t - slop: a point on both borders has least norm^2 (r1^2 + r2^2 - 2 c r1 r2) / (1 - c^2);
    where the point of least norm of one half-space lies in the other, that one decides, and is in the ball.
    """
    n, r, d = problem.units.shape
    units, floors = problem.units.reshape(n * r, d), -(problem.heights + problem.slop).reshape(-1)
    cosines = units @ units.T
    one = cosines * np.maximum(floors, 0)[:, None] >= floors[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        both = floors[:, None] ** 2 + floors[None] ** 2 - 2 * cosines * floors[:, None] * floors[None]
        apart = both > (1 - cosines**2) * (1 + 1e-9) + 1e-12
    return np.asarray((apart & ~one & ~one.T).reshape(n, r, n, r).any((1, 3)))


def _cliques(conflicts: npt.NDArray[np.bool_]) -> Iterator[Index]:
    """Sets of which any two conflict, so that a point lies in at most one; together they cover all pairs."""
    left = np.triu(conflicts, 1)
    left |= left.T
    for first in range(len(left)):
        while left[first].any():
            clique = [first]
            common = conflicts[first].copy()
            common[first] = False
            while common.any():
                # most pairs not yet covered first, but at least one beside the first
                gain = np.where(common, left[clique].sum(0) + 1, 0)
                clique.append(int(gain.argmax()))
                common &= conflicts[clique[-1]]
                common[clique[-1]] = False
            left[np.ix_(clique, clique)] = False
            yield np.array(sorted(clique))
