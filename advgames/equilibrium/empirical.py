"""EmpiricalGame: a table of played matches read as a game: equilibria, commitment, exploitability."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from advgames.equilibrium.exploitability import BestResponse, Exploitability, exploitability
from advgames.equilibrium.intervals import check_settings, percentiles, resampled_tables
from advgames.equilibrium.sampled import SampledTable, Side
from advgames.equilibrium.solutions import Equilibrium, ValueInterval
from advgames.equilibrium.stackelberg import Commitment, StackelbergSolution, solve_stackelberg
from advgames.equilibrium.tables import Array, Mix, as_mix
from advgames.equilibrium.zero_sum import Method, ZeroSumSolution, solve_zero_sum
from advgames.errors import UnsupportedFormError

__all__ = ["EmpiricalGame"]

SUPPORT = 1e-6  # weight from which a strategy counts as part of a mix
CONSTANT_SUM = 1e-6  # in units of the payoffs' range; leaves room for payoffs computed in float32


@dataclass(frozen=True, eq=False, repr=False)
class EmpiricalGame(SampledTable):
    """A two-player game whose payoffs are means over matches; both players maximise their own payoff.

    Make one with :meth:`from_samples` or :meth:`from_matrix`. All answers are exact on the table of means,
    and say nothing of strategies outside it: exploitability by these strategies is a lower bound of
    exploitability.

    Example::

        game = EmpiricalGame.from_samples(["pgd"], ["none", "smoothing"], {("pgd", "none"): [1.0, 0.9],
                                          ("pgd", "smoothing"): [0.4, 0.5]})
        game.nash().column  # array([0., 1.]): the defender smooths
    """

    @property
    def constant_sum(self) -> bool:
        """Whether the players' payoffs add up to the same in every cell, within 1e-6 of their range.

        Zero-sum games do, and so does accuracy against error rate. Such a game has a value.
        """
        return bool(np.ptp(self.payoff + self.column_payoff) <= CONSTANT_SUM * np.ptp(self.payoff))

    def nash(self, method: Method = "auto") -> Equilibrium:
        """A Nash equilibrium of a zero-sum or constant-sum game, see :func:`solve_zero_sum` for ``method``.

        Raises UnsupportedFormError for other games: their equilibria differ in what they pay; use
        ``stackelberg`` if one player moves first, ``exploitability`` to check given mixes.
        """
        self._require_value("nash")
        found = solve_zero_sum(self.payoff, method)
        gains = self.exploitability(found.row, found.column)
        return Equilibrium(found.value, found.row, found.column, found.gap, gains, found.method)

    def pure_equilibria(self) -> list[tuple[str, str]]:
        """The cells in which each player's strategy is a best response to the other's, as (row, column); ties count."""
        rounding = 1e-12 * max(float(np.abs(self.payoff).max()), float(np.abs(self.column_payoff).max()))
        best = self.payoff >= self.payoff.max(axis=0) - rounding
        best &= self.column_payoff >= self.column_payoff.max(axis=1, keepdims=True) - rounding
        return [(self.rows[i], self.columns[j]) for i, j in np.argwhere(best)]

    def best_response(self, mix: Mix, player: Side) -> BestResponse:
        """What pays ``player`` most against the other player's ``mix``; the first strategy where several tie.

        Args:
            mix: the other player's weights in order, ``{name: weight}``, or the name of one strategy.
            player: who responds.

        Raises SettingError if the mix is none, UnknownNameError for an unknown player or strategy.
        """
        if self.side(player) == 0:
            payoffs, names = self.payoff @ self._mix(mix, "column"), self.rows
        else:
            payoffs, names = self._mix(mix, "row") @ self.column_payoff, self.columns
        index = int(payoffs.argmax())
        return BestResponse(index, names[index], float(payoffs[index]))

    def exploitability(self, row_mix: Mix, column_mix: Mix) -> Exploitability:
        """How much each player could gain by deviating from these mixes, within the table; general-sum too.

        Args:
            row_mix: weights in order, ``{name: weight}``, or one name.
            column_mix: likewise.

        Raises SettingError if a mix is none, UnknownNameError for an unknown strategy.
        """
        row, column = self._mix(row_mix, "row"), self._mix(column_mix, "column")
        return exploitability(self.payoff, row, column, self.column_payoff)

    def stackelberg(self, leader: Side, commitment: Commitment = "pure") -> StackelbergSolution:
        """The game in which ``leader`` commits first and the other player answers; general-sum too.

        With the classifier as leader and "pure" this is adversarial training, with the adversary as leader
        the universal attack (stackelberg.txt eq. 32 and 33). See :func:`solve_stackelberg` for ties and
        "mixed".

        Raises UnknownNameError for an unknown player or commitment.
        """
        if self.side(leader) == 0:
            solution, answers = solve_stackelberg(self.payoff, self.column_payoff, commitment), self.columns
        else:
            solution, answers = solve_stackelberg(self.column_payoff.T, self.payoff.T, commitment), self.rows
        return replace(solution, response_name=answers[solution.response])

    def value_interval(
        self, confidence: float = 0.95, resamples: int = 500, seed: int = 0, method: Method = "auto"
    ) -> ValueInterval:
        """Bootstrap of the whole equilibrium: resample seeds, solve each resampled table, collect the values.

        NaN throughout if any cell has a single sample. Percentiles of few seeds are too narrow, as in
        ``interval``. A strategy counts as in the support from a weight of 1e-6; where a table has several
        equilibria the frequencies are those of the solver's choice.

        Args:
            confidence: coverage, strictly between 0 and 1.
            resamples: tables to solve, each one linear program (1.4 ms at 20 x 20).
            seed: of the bootstrap's own generator.
            method: see :func:`solve_zero_sum`.

        Raises SettingError for bad arguments, UnsupportedFormError for games that are not constant-sum.
        """
        check_settings(confidence, resamples)
        self._require_value("value_interval")
        if min(len(group.seeds) for group in self.groups) < 2:
            unknown = (np.full(size, np.nan) for size in self.shape)
            return ValueInterval(float("nan"), float("nan"), *unknown)
        solved: dict[bytes, ZeroSumSolution] = {}  # few seeds make few different tables
        found = []
        for payoff, _ in self.resampled(resamples, seed):
            key = payoff.tobytes()
            if key not in solved:
                solved[key] = solve_zero_sum(payoff, method)
            found.append(solved[key])
        low, high = percentiles(np.array([solution.value for solution in found]), confidence).tolist()
        rows = np.mean([solution.row > SUPPORT for solution in found], axis=0)
        columns = np.mean([solution.column > SUPPORT for solution in found], axis=0)
        return ValueInterval(low, high, rows, columns)

    def resampled(self, resamples: int, seed: int = 0) -> Iterator[tuple[Array, Array]]:
        """Row and column payoff tables over seeds drawn with replacement, (m, n) each."""
        for tables in resampled_tables(self.groups, self.shape, resamples, seed):
            yield tables[0], (tables[1] if len(tables) == 2 else 0.0 - tables[0])

    def named(self, mix: Mix, player: Side, threshold: float = SUPPORT) -> dict[str, float]:
        """A player's mix as ``{name: weight}``, without weights below ``threshold``."""
        names = (self.rows, self.columns)[self.side(player)]
        weights = self._mix(mix, player).tolist()
        return {name: weight for name, weight in zip(names, weights, strict=True) if weight >= threshold}

    def _mix(self, mix: Mix, player: Side) -> Array:
        """A player's mix as checked weights."""
        side = self.side(player)
        names = (self.rows, self.columns)[side]
        return as_mix(mix, len(names), names, what=f"{self.players[side]}'s mix")

    def _require_value(self, what: str) -> None:
        """Raise UnsupportedFormError unless the game has a value."""
        if not self.constant_sum:
            raise UnsupportedFormError(
                f"{what} needs a zero-sum (or constant-sum) game, and these payoffs add up to no constant; "
                "use stackelberg(leader, commitment) where one player moves first, or "
                "exploitability(row_mix, column_mix) to check mixes found elsewhere"
            )
