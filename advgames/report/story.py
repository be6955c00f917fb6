"""The report in plain sentences: what was played, what interference costs and what defence gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from advgames.report.duel import Duel
from advgames.report.numbers import listed, number, percent
from advgames.report.tables import FEW
from advgames.report.view import Measure, View

if TYPE_CHECKING:
    from advgames.report.solution import Solution

__all__ = ["Card", "caveats", "headline", "payoff_meaning"]

NAMED = 3  # strategies that one clause names
MIX = 0.005  # weights below half a percent are not worth a clause


@dataclass(frozen=True)
class Card:
    """One number worth a large font."""

    label: str
    value: str
    note: str


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
    turned = view.players == ("defender", "attacker") and view.words.opposed
    opposite = "opposite of the attacker's, which is the " if turned else ""
    return f"{opposite}{view.words.payoff}"


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
        exact = (
            "The equilibrium is exact for the table of means, and knows no strategy outside it: against strategies "
            "that were not played the exploitabilities are lower bounds."
        )
        committed = "The commitments are exact for the tables of means, and know no strategy outside them."
        found.append(committed if view.solution.equilibrium is None else exact)
    if view.sweep:
        found.append(
            "The matches at other radii serve the curves alone: payoff table and equilibrium are of one radius, and no "
            "equilibrium is solved at the others."
        )
    if view.measure is not None:
        secret = ", and no player is shown it" if view.measure.high_helps else ""
        found.append(f"The players play for their payoffs; {view.measure.label} is measured for this page{secret}.")
    return found


def _what_was_played(view: View) -> str:
    spec = view.spec
    name = view.words.name
    game = f"the {name}" if name else f"“{spec.game}”"
    (row, rows), (column, columns) = spec.players.items()
    seeds = f"{len(spec.seeds)} seeds" if len(spec.seeds) > 1 else "one seed"
    done = len(view.records) + len(view.sweep)
    played = f"{view.total} matches" if not view.absent else f"{done} of {view.total} matches so far"
    if spec.radii:
        seeds += f" and at {len(spec.radii)} more radii of the attacker"
    sides = f"{_counted(rows, f'{row} strategy')} met {_counted(columns, f'{column} strategy')}"
    return f"In {game} on {spec.task}, {sides}, every pair over {seeds}: {played}."


def _interference(duel: Duel, view: View) -> list[str]:
    assert view.measure is not None
    measure, like = view.measure, view.outcome
    first = (
        f"When nobody interferes, the victim {view.words.ends} {measure.ending(duel.clean, like)}. "
        f"The strongest attack on an undefended victim, {duel.attack}, moves that to "
        f"{measure.text(duel.attacked, like)}{_change(duel.attacked - duel.clean, measure)}"
        f"{_alike(duel.as_strong)}."
    )
    harm = duel.clean - duel.attacked if measure.high_helps == "defender" else duel.attacked - duel.clean
    if harm <= 0:
        return [first, "No attack here does any harm by this measure, so there is nothing for a defence to give back."]
    verb = "brings it back to" if duel.regained > 0 else view.words.leaves
    share = f", {percent(duel.regained, 0)} of what the attack took" if measure.share and duel.regained > 0 else ""
    second = (
        f"Against that attack the best defence, {duel.defence}, {verb} "
        f"{measure.text(duel.defended, like)}{share}{_alike(duel.as_good)}. "
        f"With nobody attacking, the same defence {view.words.leaves} {measure.text(duel.idle, like)}"
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
            ending = (
                f"; the victim {view.words.ends} {view.measure.ending(float(view.outcome.mean[0, 0]), view.outcome)}"
            )
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
        parts.append(
            f"if the {leader} commits first it plays {solution.commitment(leader)}, "
            f"is answered by {found.response_name} and receives {number(found.leader_value)}"
        )
    pure = solution.pure_equilibria()
    told = f"Equilibria in pure strategies: {listed(pure)}" if pure else "There is no equilibrium in pure strategies"
    return f"The players' payoffs add up to no constant, so the game has no single value: {listed(parts)}. {told}."


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
