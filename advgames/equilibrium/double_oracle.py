"""Double oracle: a game too large for a table, solved on a growing table of best replies."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from advgames.equilibrium.exploitability import Exploitability
from advgames.equilibrium.restricted import AnyPayoffs, BatchedPayoffs, Payoffs, RestrictedGame
from advgames.equilibrium.tables import Array, as_table
from advgames.equilibrium.zero_sum import Method, solve_zero_sum
from advgames.errors import SettingError

__all__ = [
    "BatchedPayoffs",
    "DoubleOracleResult",
    "DoubleOracleStep",
    "Oracle",
    "Payoffs",
    "StopReason",
    "double_oracle",
    "table_oracles",
]

R = TypeVar("R")
C = TypeVar("C")
S = TypeVar("S")
T = TypeVar("T")

#: Called with the other player's strategies of positive weight and their weights (k,), which sum to 1; returns a
#: reply, or several in a list. (A strategy that is itself a list must come in a list.)
Oracle = Callable[[Sequence[S], Array], "T | list[T]"]
StopReason = Literal["tolerance", "no-new-reply", "max-iterations", "interrupted"]

ROUNDING = 1e-12  # in units of the table's range: gains below are sums in another order


@dataclass(frozen=True)
class DoubleOracleStep:
    """One iteration: a restricted game, its equilibrium, and what the oracles' replies to it pay.

    Attributes:
        iteration: from 1.
        rows, columns: strategies of the restricted game.
        value: the row player's payoff at the restricted game's equilibrium.
        row_reply: what the row oracle's best reply pays the row player against the column mix; if that oracle is
            exact, the game's value is at most this.
        column_reply: what is left to the row player against the column oracle's best reply; if that oracle is
            exact, the game's value is at least this.
    """

    iteration: int
    rows: int
    columns: int
    value: float
    row_reply: float
    column_reply: float

    @property
    def gains(self) -> Exploitability:
        """What each player gains by its oracle's reply, at least 0; the exploitability of the mixes if both oracles
        are exact, and a lower bound of it if they search."""
        return Exploitability(max(self.row_reply - self.value, 0.0), max(self.value - self.column_reply, 0.0))


@dataclass(frozen=True, eq=False)
class DoubleOracleResult(Generic[R, C]):
    """A pair of mixes, how exploitable the oracles find it, and how it came about.

    Mixes, value and :attr:`gains` belong to the last measured restricted game. Replies found against it are among
    the strategies already, with weight 0; passing the result as ``start`` goes on from there.

    Attributes:
        rows, columns: the strategies, in the order in which they were found.
        table: the row player's payoffs of all pairs.  # (len(rows), len(columns))
        row: the row player's mix.  # (len(rows),)
        column: the column player's mix.  # (len(columns),)
        value: the row player's payoff when both play their mixes.
        history: the iterations, those of an earlier result first.
        reason: why it ended, see :func:`double_oracle`.
    """

    rows: tuple[R, ...]
    columns: tuple[C, ...]
    table: Array
    row: Array
    column: Array
    value: float
    history: tuple[DoubleOracleStep, ...]
    reason: StopReason

    @property
    def converged(self) -> bool:
        """Whether the oracles answered the mixes with replies that pay no more, and no less, than the mixes do."""
        return self.reason == "tolerance"

    @property
    def gains(self) -> Exploitability:
        """What each player gains by its oracle's reply to these mixes; a lower bound if the oracles search."""
        return self.history[-1].gains

    @property
    def bounds(self) -> tuple[float, float]:
        """(highest column_reply, lowest row_reply) over the iterations: they enclose the game's value if both
        oracles are exact; if one searches, only the other's bound holds."""
        return max(step.column_reply for step in self.history), min(step.row_reply for step in self.history)


def double_oracle(
    game: AnyPayoffs[R, C],
    oracles: tuple[Oracle[C, R], Oracle[R, C]],
    start: tuple[Sequence[R], Sequence[C]] | DoubleOracleResult[R, C],
    *,
    tolerance: float = 1e-9,
    max_iterations: int = 100,
    key: Callable[[Any], Hashable] | None = None,
    method: Method = "auto",
    progress: Callable[[DoubleOracleStep], object] | None = None,
) -> DoubleOracleResult[R, C]:
    """Solve a two-player zero-sum game by best replies (McMahan, Gordon and Blum 2003, "Planning in the presence of
    cost functions controlled by an adversary").

    Each iteration solves the table of the strategies found so far, x A y, asks both oracles for replies to the
    mixes, and adds those that are new. With exact oracles the game's value V is enclosed,

        min_c E_x u(., c)  <=  V  <=  max_r E_y u(r, .)  (column_reply and row_reply of each step),

    and in a game of finitely many strategies the bounds meet. In the words of PSRO (Lanctot et al. 2017, OpenSpiel)
    the table is the meta-game, the meta-solver is Nash, and the gains' total is NashConv. An oracle that searches
    (a gradient ascent, a trained policy) proves less: its gain is a lower bound of that player's exploitability,
    and should be reported beside the oracle's budget.

    It ends for one of these reasons:
        "tolerance": both replies pay what the mixes pay, up to ``tolerance``.
        "no-new-reply": all replies are known already, yet not both pay that: an oracle that is no best response.
        "max-iterations": more may be found; go on from the result.
        "interrupted": a KeyboardInterrupt came; the last complete iteration is returned (before the first one the
            interrupt is raised). Replies not yet in the table are asked for again on resuming.

    Args:
        game: the row player's payoff, a function of (row, column); or an object with the method
            ``payoffs(rows, columns)`` for all pairs at once, or ``payoff(row, column)``. Called once for every pair.
        oracles: the row player's, which maximises, and the column player's, which minimises the payoff. Each is
            called with the other player's strategies that have weight, a list, and their weights, and returns its
            reply, or a list of replies: ``row_oracle(columns, weights)``, ``column_oracle(rows, weights)``.
        start: each player's first strategies, at least one; or an earlier result, whose table, count of iterations
            and history go on.
        tolerance: of both gains, in the payoffs' unit. What the restricted game itself is not solved to (usually
            1e-12 of its range, see :func:`solve_zero_sum`) counts on top.
        max_iterations: of this call, at least 1.
        key: two strategies of a player are the same if their keys are equal; default: if they are one object, or
            equal (arrays and tensors: of one shape and equal throughout).
        method: see :func:`solve_zero_sum`.
        progress: called with each iteration's step.

    Deterministic if the game and the oracles are. Raises SettingError for an empty start, an oracle that returns
    nothing, payoffs that are NaN, infinite or of a wrong shape, or a setting out of its domain.
    """
    if not tolerance >= 0:
        raise SettingError(f"tolerance: expected at least 0, got {tolerance}")
    if not (isinstance(oracles, Sequence) and len(oracles) == 2 and all(map(callable, oracles))):
        raise SettingError(f"oracles: expected two functions, of the row and the column player, got {oracles!r}")
    if max_iterations < 1:
        raise SettingError(f"max_iterations: expected at least 1, got {max_iterations}")
    found, result = RestrictedGame(game, key), None
    if isinstance(start, DoubleOracleResult):
        result = start
        found.rows, found.columns, found.table = list(start.rows), list(start.columns), start.table
    elif not (isinstance(start, Sequence) and len(start) == 2 and all(hasattr(part, "__len__") for part in start)):
        raise SettingError(f"start: expected a list of each player's first strategies, or a result, got {start!r}")
    elif not (len(start[0]) and len(start[1])):
        raise SettingError(f"start: expected a strategy of each player, got {len(start[0])} and {len(start[1])}")
    else:
        found.add(start[0], start[1])
    try:
        for _ in range(max_iterations):
            result = _iterate(found, oracles, tolerance, method, result.history if result else ())
            if progress is not None:
                progress(result.history[-1])
            if result.reason != "max-iterations":
                break
    except KeyboardInterrupt:
        if result is None:
            raise
        result = replace(result, reason="interrupted")
    assert result is not None
    return result


def table_oracles(payoff: ArrayLike) -> tuple[Oracle[int, int], Oracle[int, int]]:
    """Exact oracles of a game given as a table; strategies are indices, the first one where several tie.

    Args:
        payoff: the row player's payoffs.  # (m, n)

    Raises SettingError if it is no table.
    """
    table = as_table(payoff)

    def best_row(columns: Sequence[int], weights: Array) -> int:
        return int((table[:, list(columns)] @ weights).argmax())

    def best_column(rows: Sequence[int], weights: Array) -> int:
        return int((weights @ table[list(rows)]).argmin())

    return best_row, best_column


def _iterate(
    found: RestrictedGame[R, C],
    oracles: tuple[Oracle[C, R], Oracle[R, C]],
    tolerance: float,
    method: Method,
    history: tuple[DoubleOracleStep, ...],
) -> DoubleOracleResult[R, C]:
    """Solve the restricted game, ask both oracles, add their replies; the pair solved, with all that is known."""
    solution = solve_zero_sum(found.table, method)
    m, n = found.table.shape
    x, y = solution.row, solution.column
    value, spread = float(x @ found.table @ y), float(np.ptp(found.table))
    row_replies = _ask(oracles[0], found.columns, y, "row")
    column_replies = _ask(oracles[1], found.rows, x, "column")
    rows, columns = found.add(row_replies, column_replies)
    row_reply = float((found.table[rows, :n] @ y).max())
    column_reply = float((x @ found.table[:m, columns]).min())
    bar = tolerance + solution.gap + ROUNDING * spread
    reason: StopReason = "max-iterations"
    if abs(row_reply - value) <= bar and abs(value - column_reply) <= bar:
        reason = "tolerance"
    elif found.table.shape == (m, n):
        reason = "no-new-reply"
    return DoubleOracleResult(
        tuple(found.rows),
        tuple(found.columns),
        found.table,
        np.pad(x, (0, len(found.rows) - m)),
        np.pad(y, (0, len(found.columns) - n)),
        value,
        (*history, DoubleOracleStep(len(history) + 1, m, n, value, row_reply, column_reply)),
        reason,
    )


def _ask(oracle: Oracle[S, T], strategies: Sequence[S], mix: Array, player: str) -> list[T]:
    """A player's replies to the part of the other's mix that has weight."""
    support = np.flatnonzero(mix).tolist()
    answer = oracle([strategies[i] for i in support], mix[support])
    replies = answer if isinstance(answer, list) else [answer]
    if not replies or any(reply is None for reply in replies):
        raise SettingError(f"the {player} player's oracle returned no reply to a mix of {len(support)} strategies")
    return replies
