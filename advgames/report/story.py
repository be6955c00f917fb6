"""The report in plain sentences: what was played, what interference costs and what defence gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from advgames.report.numbers import listed, number, percent
from advgames.report.tables import FEW, CellTable
from advgames.report.view import Measure, View, is_null

if TYPE_CHECKING:
    from advgames.report.solution import Solution

__all__ = ["Card", "Duel", "caveats", "headline", "payoff_meaning"]

# game -> (its name in a sentence, what one player's payoff is)
IN_WORDS = {
    "poisoning": ("training-time game", "final minus initial validation loss of the victim"),
}
NAMED = 3  # strategies that one clause names
MIX = 0.005  # weights below half a percent are not worth a clause


@dataclass(frozen=True)
class Card:
    """One number worth a large font."""

    label: str
    value: str
    note: str


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


def headline(view: View) -> tuple[list[str], list[Card]]:
    """The summary: sentences, and the numbers among them that deserve a card."""
    sentences, cards = [_what_was_played(view)], []
    duel = Duel.of(view)
    if duel is not None and view.measure is not None:
        sentences += _interference(duel, view)
        text = view.measure.text
        like = view.outcome
        cards += [
            Card("Nobody interferes", text(duel.clean, like), view.measure.label),
            Card("Strongest attack, no defence", text(duel.attacked, like), f"{duel.attack} attacks"),
            Card("Best defence against it", text(duel.defended, like), f"{duel.defence} defends"),
        ]
    if view.solution is not None:
        sentences.append(_equilibrium(view, view.solution))
        expected = view.expected_outcome()
        if view.measure is not None and expected == expected:
            note = f"expected {view.measure.label}"
            cards.append(Card("At the equilibrium", view.measure.text(expected, view.outcome), note))
    elif view.records:
        sentences.append(f"There is no equilibrium to report: {view.unsolved}.")
    return sentences, cards


def payoff_meaning(view: View) -> str:
    """What the row player's payoff is, in words."""
    _, payoff = IN_WORDS.get(view.spec.game, ("", "sum of its payoffs over the match"))
    return payoff


def caveats(view: View) -> list[str]:
    """How far to trust the page."""
    seeds = len(view.spec.seeds)
    found = []
    if seeds == 1:
        found.append("One seed per pair: nothing here has an interval, and another seed may give another picture.")
    elif seeds < FEW:
        found.append(
            f"{seeds} seeds per pair are few. The intervals in the cells are Student's t, which keeps its coverage if "
            "the samples are close to normal. The interval of the game's value is a percentile bootstrap over seeds, "
            f"which is too narrow with few seeds: of normal samples a nominal 95 % interval covers about 75 % at "
            "3 seeds, 82 % at 5 and 90 % at 10."
        )
    if seeds > 1:
        found.append(
            "All pairs share their seeds, so that a difference between two cells is surer than their separate "
            "intervals suggest. Sentences that call two strategies alike compare them seed by seed."
        )
    if view.solution is not None and not view.flat:
        found.append(
            "The equilibrium is exact for the table of means, and knows no strategy outside it: against strategies "
            "that were not played the exploitabilities are lower bounds."
        )
    if view.measure is not None:
        found.append(
            f"The players play for their payoffs; {view.measure.label} is measured for this page, "
            "and no player is shown it."
        )
    return found


def _what_was_played(view: View) -> str:
    spec = view.spec
    name, _ = IN_WORDS.get(spec.game, ("", ""))
    game = f"the {name}" if name else f"“{spec.game}”"
    (row, rows), (column, columns) = spec.players.items()
    seeds = f"{len(spec.seeds)} seeds" if len(spec.seeds) > 1 else "one seed"
    played = f"{view.total} matches" if not view.missing else f"{len(view.records)} of {view.total} matches so far"
    sides = f"{_counted(rows, f'{row} strategy')} met {_counted(columns, f'{column} strategy')}"
    return f"In {game} on {spec.task}, {sides}, every pair over {seeds}: {played}."


def _interference(duel: Duel, view: View) -> list[str]:
    assert view.measure is not None
    measure, like = view.measure, view.outcome
    first = (
        f"When nobody interferes, the victim ends at {measure.ending(duel.clean, like)}. "
        f"The strongest attack on an undefended victim, {duel.attack}, moves that to "
        f"{measure.text(duel.attacked, like)}{_change(duel.attacked - duel.clean, measure)}"
        f"{_alike(duel.as_strong)}."
    )
    harm = duel.clean - duel.attacked if measure.high_helps == "defender" else duel.attacked - duel.clean
    if harm <= 0:
        return [first, "No attack here does any harm by this measure, so there is nothing for a defence to give back."]
    verb = "brings it back to" if duel.regained > 0 else "ends at"
    share = f", {percent(duel.regained, 0)} of what the attack took" if measure.share and duel.regained > 0 else ""
    second = (
        f"Against that attack the best defence, {duel.defence}, {verb} "
        f"{measure.text(duel.defended, like)}{share}{_alike(duel.as_good)}. "
        f"With nobody attacking, the same defence ends at {measure.text(duel.idle, like)}"
        f"{_change(duel.idle - duel.clean, measure)}."
    )
    return [first, second]


def _equilibrium(view: View, solution: Solution) -> str:
    row, column = view.players
    if solution.equilibrium is None:
        return _commitments(solution)
    found, places = solution.equilibrium, solution.payoff.places
    if view.payoff.mean.size == 1:
        ending = ""
        if view.measure is not None and view.outcome is not None:
            ending = f"; the victim ends at {view.measure.ending(float(view.outcome.mean[0, 0]), view.outcome)}"
        return f"It pays the {row} {number(found.value, places)} on average, the {column} the opposite{ending}."
    if view.flat:
        return (
            f"Every pair pays the {row} the same, {number(found.value)}, but for rounding: "
            "the payoffs tell no strategies apart, and any mix is an equilibrium."
        )
    text = (
        f"{'So far, at' if view.missing else 'At'} the Nash equilibrium of the payoff table "
        f"the {row} plays {_mix_text(solution.mix(row))} "
        f"and the {column} plays {_mix_text(solution.mix(column))}; the game is then worth "
        f"{number(found.value, places)} to the {row}"
    )
    interval = solution.interval
    if interval is not None and interval.low == interval.low:
        low, high = (number(end, places) for end in (interval.low, interval.high))
        text += f" ({100 * solution.confidence:g} % bootstrap interval {low} to {high})"
    return f"{text}."


def _commitments(solution: Solution) -> str:
    parts = []
    for leader, found in solution.leaders.items():
        names = solution.game.rows if solution.game.side(leader) == 0 else solution.game.columns
        parts.append(
            f"if the {leader} commits first it plays {names[int(found.leader_mix.argmax())]}, "
            f"is answered by {found.response_name} and receives {number(found.leader_value)}"
        )
    return f"The players' payoffs add up to no constant, so the game has no single value: {listed(parts)}."


def _mix_text(mix: dict[str, float]) -> str:
    kept = {name: weight for name, weight in mix.items() if weight > MIX}
    if len(kept) == 1:
        return next(iter(kept))
    return listed([f"{name} ({percent(weight, 0)})" for name, weight in kept.items()], "or")


def _change(difference: float, measure: Measure) -> str:
    """``, 12.3 points lower``; nothing for a measure that is no share."""
    if not measure.share:
        return ""
    return f", {number(abs(100 * difference), 1)} points {'lower' if difference < 0 else 'higher'}"


def _alike(others: Sequence[str]) -> str:
    names = listed(others) if len(others) <= NAMED else f"{len(others)} others"
    return f" ({names} cannot be told apart from it with these seeds)" if others else ""


def _counted(names: Sequence[str], what: str) -> str:
    if len(names) == 1:
        return f"one {what}"
    return f"{len(names)} {what[:-1]}ies"
