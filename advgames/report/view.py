"""View: everything a page tells of a results directory, gathered once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from advgames.errors import AdvgamesError
from advgames.report.numbers import number, percent
from advgames.report.solution import Solution, solve
from advgames.report.tables import CellTable
from advgames.report.words import Words, words_of

if TYPE_CHECKING:
    from advgames.results import MatchRecord, Results
    from advgames.spec import TournamentSpec

__all__ = ["MEASURES", "Measure", "View", "is_null"]


ROUNDING = 1e-9  # of the largest payoff; differences below it are not told


@dataclass(frozen=True)
class Measure:
    """How a number at the end of a match is called and read.

    Attributes:
        name: its name in the records.
        label: its name in a sentence.
        share: whether it is a share, shown in percent.
        high_helps: the player who wants it high; empty: nobody in particular.
        heading: above its column in the table of every number; empty: its name there, and shares as they are recorded.
    """

    name: str
    label: str
    share: bool
    high_helps: str
    heading: str = ""

    @property
    def scale(self) -> float:
        """What a value is multiplied with to be shown."""
        return 100.0 if self.share else 1.0

    def ending(self, value: float, like: CellTable | None = None) -> str:
        """A value as what a victim ends at: ``94.5 % test accuracy``, ``a test loss of 0.21``."""
        text = self.text(value, like)
        return f"{text} {self.label}" if self.share else f"a {self.label} of {text}"

    def text(self, value: float, like: CellTable | None = None) -> str:
        """A value in words, with the decimals that suit the table it comes from."""
        if self.share:
            return percent(value)
        return number(value, None if like is None else like.places)

    def places(self, table: CellTable) -> int:
        """Decimals of a table of this measure."""
        return 1 if self.share else table.places


# In the order in which a page prefers them.
MEASURES = (
    Measure("test_accuracy", "test accuracy", True, "defender"),
    Measure("test_loss", "test loss", False, "attacker"),
    Measure("validation_loss", "validation loss", False, "attacker"),
    Measure("accuracy", "accuracy", True, "defender", "accuracy, %"),
    Measure("linear_accuracy", "accuracy under the linearised victim", True, "defender", "linear accuracy, %"),
    Measure("flip_rate", "share of changed classes", True, "attacker", "changed classes, %"),
    Measure("clean_accuracy", "accuracy without perturbations", True, "", "clean accuracy, %"),
    Measure("distance", "distance moved", False, "", "distance moved"),
    Measure("queries_attacker", "number of queries of the attacker", False, "", "attacker's queries"),
    Measure("queries_defender", "number of queries of the defender", False, "", "defender's queries"),
    Measure("agreement", "agreement", True, "", "agreement, %"),
    Measure("advantage", "attacker's score minus the defender's", False, "attacker", "advantage"),
    Measure("positive_advantage", "share of dialogues with an advantage", True, "attacker", "positive advantage, %"),
    Measure("score_attacker", "attacker's score", False, "attacker", "attacker's score"),
    Measure("score_defender", "defender's score", False, "defender", "defender's score"),
    Measure("pareto", "efficient agreements", True, "", "efficient, %"),
    Measure("pareto_gain", "gain that was left", False, "", "gain left"),
    Measure("nash_distance", "distance to the Nash point", False, "", "to the Nash point"),
    Measure("kalai_distance", "distance to the Kalai point", False, "", "to the Kalai point"),
    Measure("illegal", "illegal ends", True, "", "illegal, %"),
    Measure("turns", "turns", False, "", "turns"),
    Measure("words", "words", False, "", "words"),
    Measure("untrue_attacker", "attacker's untrue claims", False, "", "attacker's untrue claims"),
    Measure("untrue_defender", "defender's untrue claims", False, "", "defender's untrue claims"),
)
SECOND = ("linear_accuracy", "advantage")  # measures that deserve a table beside the first


@dataclass(frozen=True, eq=False)
class View:
    """A tournament as far as it has been played.

    Attributes:
        spec: what was to be played.
        records: what was, of the payoff table's matches.
        missing: (row strategy, column strategy, seed) of every one of those that was not.
        sweep: records of the matches at other radii of the attacker.
        unswept: how many of those have not been played.
        payoff: the row player's payoffs.
        measure, outcome: what a person looks at first (accuracy where there is one), and its table.
        second: another measure worth a table of its own, and that table, or None.
        solution: the solved game, or None, and then `unsolved` says why.
    """

    spec: TournamentSpec
    records: list[MatchRecord]
    missing: list[tuple[str, str, int]]
    sweep: list[MatchRecord]
    unswept: int
    payoff: CellTable
    measure: Measure | None
    outcome: CellTable | None
    second: tuple[Measure, CellTable] | None
    solution: Solution | None
    unsolved: str

    @classmethod
    def of(cls, results: Results, confidence: float = 0.95, resamples: int = 500) -> View:
        """What `results` holds.

        Raises:
            ResultsMismatchError: the records were altered, or belong to another tournament.
        """
        spec, played, absent = results.spec, results.records(), results.missing()
        records = [record for record in played if spec.in_table(record.spec)]
        row, column = spec.players
        missing = [(m.players[row], m.players[column], m.seed) for m in absent if spec.in_table(m)]
        known = [measure for measure in MEASURES if any(measure.name in record.measures for record in records)]
        measure = known[0] if known else None
        solution, unsolved = None, ""
        try:
            solution = solve(results.empirical_game(), confidence, resamples)
        except AdvgamesError as error:
            unsolved = "some pairs have not been played" if missing else str(error)
        payoff = _table(spec, [(r, r.payoffs[row]) for r in records], confidence)

        def table(found: Measure) -> CellTable:
            measured = [(r, r.measures[found.name]) for r in records if found.name in r.measures]
            return _table(spec, measured, confidence)

        other = next((found for found in known[1:] if found.name in SECOND), None)
        return cls(
            spec=spec,
            records=records,
            missing=missing,
            sweep=[record for record in played if not spec.in_table(record.spec)],
            unswept=len(absent) - len(missing),
            payoff=payoff,
            measure=measure,
            outcome=table(measure) if measure is not None else None,
            second=(other, table(other)) if other is not None else None,
            solution=solution,
            unsolved=unsolved,
        )

    @property
    def players(self) -> tuple[str, str]:
        """The row and the column player."""
        row, column = self.spec.players
        return row, column

    @property
    def flat(self) -> bool:
        """Whether payoffs tell no strategies apart: there is one pair, or all pay the same but for rounding."""
        table = self.payoff.mean
        if np.isnan(table).any():
            return False
        return bool(np.ptp(table) <= ROUNDING * np.abs(table).max())

    @property
    def total(self) -> int:
        """Matches of the whole tournament."""
        return len(self.records) + len(self.sweep) + self.absent

    @property
    def absent(self) -> int:
        """Matches that have not been played."""
        return len(self.missing) + self.unswept

    @property
    def words(self) -> Words:
        """How to speak of the game."""
        return words_of(self.spec.game, self.spec.settings)

    def pair(self, record: MatchRecord) -> tuple[str, str]:
        """The strategies of a record, row player first."""
        row, column = self.players
        return record.players[row], record.players[column]

    def of_pair(self, row: str, column: str) -> list[MatchRecord]:
        """The records of one pair, by seed."""
        return sorted((r for r in self.records if self.pair(r) == (row, column)), key=lambda r: r.seed)

    def weight(self, row: str, column: str) -> float:
        """How often the equilibrium plays a pair; 0 without an equilibrium worth the name."""
        if self.solution is None or self.flat:
            return 0.0
        first, second = (self.solution.mix(player) for player in self.players)
        return first.get(row, 0.0) * second.get(column, 0.0)

    def expected_outcome(self) -> float:
        """The outcome's mean at the equilibrium; NaN without one."""
        if self.outcome is None or self.solution is None or self.solution.equilibrium is None:
            return math.nan
        if self.flat or not self.outcome.complete:
            return math.nan
        found = self.solution.equilibrium
        return float(found.row @ self.outcome.mean @ found.column)

    def unlike(self, name: str) -> list[Any]:
        """The different values of a record's field, in order of appearance."""
        return list(dict.fromkeys(str(getattr(record, name)) for record in self.records))


def is_null(strategy: str) -> bool:
    """Whether a strategy is the one that does nothing."""
    return strategy in ("level-0", "null")


def _table(spec: TournamentSpec, values: list[tuple[MatchRecord, float]], confidence: float) -> CellTable:
    """One value per match as a table of pairs; values that are not finite are left out."""
    (row, rows), (column, columns) = spec.players.items()
    samples: dict[tuple[str, str], dict[int, float]] = {}
    for record, value in values:
        if math.isfinite(value):
            samples.setdefault((record.players[row], record.players[column]), {})[record.seed] = value
    return CellTable.from_samples(rows, columns, (row, column), samples, confidence)
