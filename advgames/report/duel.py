"""Duel: the strongest attack and the best defence against it, as told by one measure."""

from __future__ import annotations

from dataclasses import dataclass

from advgames.report.tables import CellTable
from advgames.report.view import Measure, View, is_null

__all__ = ["Duel"]


@dataclass(frozen=True)
class Duel:
    """The story of one measure: nobody interferes, the strongest attack alone, the best defence against it.

    Attributes:
        clean: the measure between the null players.
        attack, attacked: the attack that hurts an undefended victim most, and the measure under it.
        defence, defended: the best defence against that attack, and the measure then.
        idle: the measure when that defence meets no attack.
        as_strong, as_good: other attacks and defences that these seeds cannot tell apart from those.
    """

    clean: float
    attack: str
    attacked: float
    defence: str
    defended: float
    idle: float
    as_strong: list[str]
    as_good: list[str]

    @classmethod
    def of(cls, view: View) -> Duel | None:
        """The story of the view's measure; None where there is no such story, or not yet."""
        if view.outcome is None or view.measure is None or set(view.players) != {"attacker", "defender"}:
            return None
        table = _Sides(view.outcome, view.measure, view.players[0] == "attacker")
        null_attack = next(filter(is_null, table.attackers), None)
        null_defence = next(filter(is_null, table.defenders), None)
        if null_attack is None or null_defence is None or not view.outcome.complete:
            return None
        attacks = [a for a in table.attackers if a != null_attack]
        defences = [d for d in table.defenders if d != null_defence]
        if not attacks or not defences:
            return None
        attack = min(attacks, key=lambda a: table.good(a, null_defence))
        defence = max(defences, key=lambda d: table.good(attack, d))
        return cls(
            clean=table.at(null_attack, null_defence),
            attack=attack,
            attacked=table.at(attack, null_defence),
            defence=defence,
            defended=table.at(attack, defence),
            idle=table.at(null_attack, defence),
            as_strong=[a for a in attacks if a != attack and table.alike((a, null_defence), (attack, null_defence))],
            as_good=[d for d in defences if d != defence and table.alike((attack, d), (attack, defence))],
        )

    @property
    def regained(self) -> float:
        """The share of what the attack took that the defence gives back."""
        return (self.defended - self.attacked) / (self.clean - self.attacked)


class _Sides:
    """A table read by attacker and defender, whichever of them has the rows."""

    def __init__(self, table: CellTable, measure: Measure, attacker_rows: bool) -> None:
        self._table, self._flip = table, not attacker_rows
        self._sign = 1.0 if measure.high_helps == "defender" else -1.0
        self.attackers, self.defenders = (table.rows, table.columns)[:: 1 if attacker_rows else -1]

    def at(self, attacker: str, defender: str) -> float:
        return self._table.at(*self._pair(attacker, defender))

    def good(self, attacker: str, defender: str) -> float:
        """The measure in the defender's direction."""
        return self._sign * self.at(attacker, defender)

    def alike(self, first: tuple[str, str], second: tuple[str, str]) -> bool:
        """Whether the interval of the difference, seed by seed, holds 0."""
        one, other = (self._table.samples.get(self._pair(*pair), {}) for pair in (first, second))
        shared = {seed: one[seed] - other[seed] for seed in one if seed in other}
        table = CellTable.from_samples(["a"], ["b"], ("a", "b"), {("a", "b"): shared}, self._table.confidence)
        return bool(table.low[0, 0] <= 0 <= table.high[0, 0])

    def _pair(self, attacker: str, defender: str) -> tuple[str, str]:
        return (defender, attacker) if self._flip else (attacker, defender)
