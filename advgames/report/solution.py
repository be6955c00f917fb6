"""Solution: everything that is said about an empirical game: value, mixes, exploitabilities, how sure they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from advgames.report.numbers import plain
from advgames.report.tables import CellTable

if TYPE_CHECKING:
    from advgames.equilibrium import EmpiricalGame, Equilibrium, StackelbergSolution, ValueInterval

__all__ = ["Solution", "solve"]


@dataclass(frozen=True, eq=False)
class Solution:
    """An empirical game, solved.

    Attributes:
        game: the table of matches.
        payoff: the row player's payoffs with intervals.
        equilibrium: a Nash equilibrium; None where the payoffs add up to no constant (there is no value then).
        interval: bootstrap of the value and of the supports; None likewise.
        leaders: player -> pure commitment and answer, where there is no value.
        confidence: coverage of all intervals.
        resamples: tables the bootstrap solved.
    """

    game: EmpiricalGame
    payoff: CellTable
    equilibrium: Equilibrium | None
    interval: ValueInterval | None
    leaders: dict[str, StackelbergSolution]
    confidence: float
    resamples: int

    def mix(self, player: str) -> dict[str, float]:
        """A player's equilibrium weights by strategy, zeros included; empty without an equilibrium."""
        if self.equilibrium is None:
            return {}
        row = self.game.side(player) == 0
        return _named(
            self.game.rows if row else self.game.columns, self.equilibrium.row if row else self.equilibrium.column
        )

    def support_frequency(self, player: str) -> dict[str, float]:
        """How often each strategy has weight in the resampled equilibria; NaN below two matches per cell."""
        if self.interval is None:
            return {}
        found = self.interval
        if self.game.side(player) == 0:
            return _named(self.game.rows, found.row_support_frequency)
        return _named(self.game.columns, found.column_support_frequency)

    def gain(self, player: str) -> float:
        """What a player could still gain at the equilibrium by another strategy of the table."""
        if self.equilibrium is None:
            return float("nan")
        gains = self.equilibrium.exploitability
        gain = gains.row if self.game.side(player) == 0 else gains.column
        rounding = 1e-12 * float(abs(self.game.payoff).max())
        return 0.0 if gain <= rounding else gain

    def given_away(self, player: str) -> dict[str, float]:
        """Strategy -> what a player who always plays it loses, against the value, to an opponent who knows it.

        Row player: v - min_j A_ij; column player: max_i A_ij - v.
        """
        if self.equilibrium is None:
            return {}
        value, table = self.equilibrium.value, self.game.payoff
        if self.game.side(player) == 0:
            return _named(self.game.rows, value - table.min(axis=1))
        return _named(self.game.columns, table.max(axis=0) - value)

    def commitment(self, leader: str) -> str:
        """What the leader commits to, where there is no value."""
        names = self.game.rows if self.game.side(leader) == 0 else self.game.columns
        return names[int(self.leaders[leader].leader_mix.argmax())]

    def pure_equilibria(self) -> list[str]:
        """The equilibria in pure strategies as ``(row, column)``."""
        return [f"({row}, {column})" for row, column in self.game.pure_equilibria()]

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON's own types; NaN is null."""
        players = self.game.players
        found: dict[str, Any] = {
            "players": list(players),
            "strategies": {players[0]: self.game.rows, players[1]: self.game.columns},
            "payoff": {"player": players[0], **self.payoff.to_json()},
            "value": None,
            "mixes": {player: self.mix(player) for player in players},
        }
        if self.equilibrium is not None and self.interval is not None:
            interval = {"low": self.interval.low, "high": self.interval.high}
            found |= {
                "value": self.equilibrium.value,
                "value_interval": {
                    **interval,
                    "confidence": self.confidence,
                    "method": "bootstrap",
                    "resamples": self.resamples,
                },
                "exploitability": {player: self.gain(player) for player in players},
                "exploitability_of_strategies": {player: self.given_away(player) for player in players},
                "support_frequency": {player: self.support_frequency(player) for player in players},
                "gap": self.equilibrium.gap,
                "method": self.equilibrium.method,
            }
        else:
            found["pure_equilibria"] = [list(pair) for pair in self.game.pure_equilibria()]
            found["stackelberg"] = {leader: self._commitment(leader) for leader in self.leaders}
        result = plain(found)
        assert isinstance(result, dict)
        return result

    def _commitment(self, leader: str) -> dict[str, Any]:
        solution = self.leaders[leader]
        return {
            "commitment": self.commitment(leader),
            "response": solution.response_name,
            "leader_value": solution.leader_value,
            "follower_value": solution.follower_value,
        }


def solve(game: EmpiricalGame, confidence: float = 0.95, resamples: int = 500) -> Solution:
    """Solve an empirical game and bootstrap the solution.

    Zero-sum and constant-sum games get a Nash equilibrium; in others each player's pure commitment is found.

    Args:
        game: the table of matches.
        confidence: coverage of all intervals, strictly between 0 and 1.
        resamples: tables the bootstrap solves.

    Raises SettingError for arguments out of their domain.
    """
    payoff = CellTable.from_game(game, confidence=confidence)
    if not game.constant_sum:
        leaders = {player: game.stackelberg(player) for player in game.players}
        return Solution(game, payoff, None, None, leaders, confidence, resamples)
    interval = game.value_interval(confidence, resamples)
    return Solution(game, payoff, game.nash(), interval, {}, confidence, resamples)


def _named(names: Iterable[str], values: Any) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
