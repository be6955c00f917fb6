"""Nash equilibria of zero-sum tables: one linear program for both players, or regret matching+."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from advgames.equilibrium.linear_program import maximise
from advgames.equilibrium.regret_matching import regret_matching_plus
from advgames.equilibrium.tables import Array, as_table, normalised, rounded_mix
from advgames.errors import AdvgamesError, SettingError, UnknownNameError

__all__ = ["Method", "ZeroSumSolution", "solve_zero_sum"]

Method = Literal["auto", "lp", "interior-point", "regret-matching"]

LARGE = 1000  # strategies from which HiGHS' interior point method beats its simplex method
REGRET_STEPS = 10_000
POOR = 1e-11  # gap, in units of the range of payoffs, from which the other HiGHS method may do better


@dataclass(frozen=True)
class ZeroSumSolution:
    """Mixes of both players and how far they are from equilibrium.

    Attributes:
        value: the middle of [min_j (x A)_j, max_i (A y)_i]; the game's value lies within gap / 2 of it.
        row: the maximising player's mix x.  # (m,)
        column: the minimising player's mix y.  # (n,)
        gap: max_i (A y)_i - min_j (x A)_j, the sum of both players' gains from deviating, in the payoff's
            unit.
        method: "lp", "interior-point" or "regret-matching".
    """

    value: float
    row: Array
    column: Array
    gap: float
    method: str


def solve_zero_sum(
    payoff: ArrayLike, method: Method = "auto", tolerance: float = 1e-4, max_iterations: int | None = None
) -> ZeroSumSolution:
    """An equilibrium of the game in which the row player receives, and the column player pays, ``payoff``.

    The linear program is max v with (x A)_j >= v for every column j, x a mix; the prices of its inequalities
    are the column player's mix y. It runs on the table shifted and scaled to [0, 1], at HiGHS' finest
    tolerance, 1e-10. The gap is then rounding, except where huge penalties stand beside small payoffs (-1e6
    beside 0.5, say): there both HiGHS methods run, the better answer is returned with its ``method``, and the
    gap may reach 1e-7 of the range; write milder penalties. If there are several equilibria, the program
    gives a vertex of their set; a constant table gives uniform mixes.

    Args:
        payoff: the row player's payoffs.  # (m, n)
        method: "lp" dual simplex; "interior-point" with crossover; "regret-matching" for a quick
            approximation; "auto" is "lp" below 1000 strategies of either player and "interior-point" from
            there on.
        tolerance: gap, in units of the range of payoffs, at which regret matching stops; the others do not
            need it.
        max_iterations: default 10,000 for regret matching, which returns what it has by then (see ``gap``);
            HiGHS' own limit for the others, which raise when it does not suffice.

    Raises SettingError for a table that is empty, not finite or not two-dimensional, or a setting out of its
    domain; UnknownNameError for an unknown method.
    """
    table = as_table(payoff)
    if method not in get_args(Method):
        raise UnknownNameError("method", method, get_args(Method), where="solve_zero_sum")
    if not tolerance >= 0:
        raise SettingError(f"tolerance: expected at least 0, got {tolerance}")
    if max_iterations is not None and max_iterations < 1:
        raise SettingError(f"max_iterations: expected at least 1, got {max_iterations}")
    if method == "auto":
        method = "interior-point" if max(table.shape) >= LARGE else "lp"
    scaled, spread = normalised(table)
    if spread == 0:
        rows, columns = table.shape
        return _judged(table, np.full(rows, 1 / rows), np.full(columns, 1 / columns), method)
    if method == "regret-matching":
        mixes = regret_matching_plus(scaled, tolerance, max_iterations or REGRET_STEPS)
        return _judged(table, *mixes, method)
    found = _judged(table, *_program(scaled, method, max_iterations), method)
    if found.gap <= POOR * spread:
        return found
    other: Method = "lp" if method == "interior-point" else "interior-point"
    return min(found, _judged(table, *_program(scaled, other, max_iterations), other), key=lambda s: s.gap)


def _judged(table: Array, row: Array, column: Array, method: Method) -> ZeroSumSolution:
    """The mixes with the gap that they have on the table, whoever found them."""
    upper, lower = float((table @ column).max()), float((row @ table).min())
    gap = upper - lower  # below 0 only by rounding
    return ZeroSumSolution(lower + gap / 2, row, column, max(gap, 0.0), method)


def _program(scaled: Array, method: Method, max_iterations: int | None) -> tuple[Array, Array]:
    """Both players' mixes from the row player's linear program and its prices.  # (m,), (n,)"""
    rows, columns = scaled.shape
    solution = maximise(
        np.append(np.zeros(rows), 1.0),  # of z = (x, v)
        np.hstack([-scaled.T, np.ones((columns, 1))]),  # v - (x A)_j <= 0
        np.zeros(columns),
        rows,
        interior_point=method == "interior-point",
        max_iterations=max_iterations,
    )
    if solution is None:
        raise AdvgamesError("HiGHS calls a zero-sum game infeasible, which none is; try another method")
    return rounded_mix(solution.point[:rows]), rounded_mix(solution.prices)
