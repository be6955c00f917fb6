"""Match records on disk: append-only, resumable, the same table after any interruption."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, field_validator

from advgames.errors import ResultsMismatchError, SettingError
from advgames.files import drop_cut_line, whole_lines, write_whole
from advgames.settings import Settings, parse
from advgames.spec import MatchSpec, TournamentSpec

if TYPE_CHECKING:
    from advgames.equilibrium import EmpiricalGame

__all__ = ["MatchRecord", "Results"]


class MatchRecord(Settings):
    """What happened in one match, with everything needed to play it again.

    (An agent given as an object is recorded by its repr; only agents with a name can be played again from a record.)

    Attributes:
        id: the spec's id.
        game, task, players, seed, settings, dtype, evaluations: the spec.
        payoffs: player -> sum of its payoffs over the match; NaN where the training diverged.
        measures: name -> number at the end of the match (``test_accuracy``, ``validation_loss``, ...), or NaN.
        curves: ``round`` -> rounds measured, and for each curve its values there.
        timings: ``total_s`` of the batch, ``seconds_per_move`` by player, ``seconds_per_round`` of the game itself (the
            model update and the validation pass, whose gradient the players share), ``matches_in_batch``.
        versions, device: where it was played.
        panels: file of arrays for pictures (example inputs, and what the game's `pictures` gives), relative to the
            results directory, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)

    id: str
    game: str
    task: str
    players: dict[str, str]
    seed: int
    settings: dict[str, Any]
    dtype: str = "float32"
    evaluations: int = 20
    payoffs: dict[str, float]
    measures: dict[str, float]
    curves: dict[str, list[float]] = Field(default_factory=dict)
    timings: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    device: str = "cpu"
    panels: str | None = None

    @field_validator("payoffs", "measures", mode="before")
    @classmethod
    def _numbers(cls, value: dict[str, float | None]) -> dict[str, float]:
        return {name: _finite_or_nan(number) for name, number in value.items()}

    @field_validator("curves", mode="before")
    @classmethod
    def _lists_of_numbers(cls, value: dict[str, list[float | None]]) -> dict[str, list[float]]:
        return {name: [_finite_or_nan(number) for number in numbers] for name, numbers in value.items()}

    @property
    def diverged(self) -> bool:
        """Whether the match has no finite payoffs."""
        return any(math.isnan(payoff) for payoff in self.payoffs.values())

    @property
    def spec(self) -> MatchSpec:
        """The match to play to get this record again."""
        return MatchSpec(**self.model_dump(include=set(MatchSpec.model_fields)))

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict; NaN is null."""
        found: dict[str, Any] = _without_nan(self.model_dump(mode="json"))
        return found


class Results:
    """A results directory: ``tournament.yaml``, ``records.jsonl``, and what players and reports add.

    Every record is one line, written with its newline in one append and flushed to the disk; a line cut short by
    a kill is dropped on opening, and its match is played again.
    """

    def __init__(self, directory: Path, spec: TournamentSpec) -> None:
        self.directory = directory
        self.spec = spec
        self._file = directory / "records.jsonl"

    @classmethod
    def create(
        cls, directory: str | Path, spec: TournamentSpec, *, resume: bool = False, extend: bool = False
    ) -> Results:
        """A directory for `spec`; with `resume` it may hold part of this very tournament already, with `extend` one
        that differs only in lacking some of its strategies or radii.

        Raises:
            ResultsMismatchError: the directory holds another tournament, or holds this one and `resume` is off.
        """
        directory = Path(directory)
        held = directory / "tournament.yaml"
        if held.exists():
            if not (resume or extend):
                raise ResultsMismatchError(f"{directory} holds a tournament already; resume it or choose another")
            found = TournamentSpec.from_yaml(held)
            # as text, in order: the order of the players says who has the rows
            texts = [{n: json.dumps(v) for n, v in s.model_dump(mode="json").items()} for s in (found, spec)]
            differing = [n for n in type(spec).model_fields if texts[0].get(n) != texts[1].get(n)]
            if extend and differing and _contains(spec, found, differing):
                write_whole(held, spec.to_yaml())
            elif differing:
                raise ResultsMismatchError(
                    f"{directory} holds another tournament: "
                    + "; ".join(f"{n} is {getattr(found, n)!r}, not {getattr(spec, n)!r}" for n in differing)
                )
        elif (directory / "records.jsonl").exists():
            raise ResultsMismatchError(f"{directory} holds records but no tournament.yaml that says of what")
        else:
            directory.mkdir(parents=True, exist_ok=True)
            write_whole(held, spec.to_yaml())
        results = cls(directory, spec)
        drop_cut_line(results._file)
        return results

    @classmethod
    def open(cls, directory: str | Path) -> Results:
        """An existing results directory, to read.

        Raises:
            ResultsMismatchError: there is no tournament in it.
        """
        directory = Path(directory)
        held = directory / "tournament.yaml"
        if not held.exists():
            raise ResultsMismatchError(f"{directory} is no results directory: it has no tournament.yaml")
        return cls(directory, TournamentSpec.from_yaml(held))

    def append(self, records: Iterable[MatchRecord]) -> None:
        """Add records, in one durable write."""
        text = "".join(json.dumps(record.to_json(), sort_keys=True) + "\n" for record in records)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def records(self) -> list[MatchRecord]:
        """All complete records that belong to the tournament, in the order of its matches.

        Raises:
            ResultsMismatchError: a line was altered, or belongs to another tournament.
        """
        order = {match.id: index for index, match in enumerate(self.spec.matches())}
        found: dict[str, MatchRecord] = {}
        for number, line in enumerate(whole_lines(self._file), 1):
            try:
                record = parse(MatchRecord, json.loads(line), f"{self._file}, line {number}")
            except json.JSONDecodeError as error:
                raise ResultsMismatchError(f"{self._file}, line {number} is damaged: {error}") from error
            if record.id not in order or record.spec.id != record.id:
                raise ResultsMismatchError(f"{self._file}, line {number} is no match of this tournament")
            found.setdefault(record.id, record)
        return sorted(found.values(), key=lambda record: order[record.id])

    def missing(self) -> list[MatchSpec]:
        """Matches not yet played, in order."""
        played = {record.id for record in self.records()}
        return [match for match in self.spec.matches() if match.id not in played]

    def empirical_game(self) -> EmpiricalGame:
        """The payoff table, row player first; cells keep their samples by seed. Matches at other radii do not count.

        Raises:
            SettingError: cells without any match, or matches whose training diverged, by name.
        """
        from advgames.equilibrium import EmpiricalGame

        first, second = self.spec.players
        samples: dict[tuple[str, str], dict[int | str, float]] = {}
        others: dict[tuple[str, str], dict[int | str, float]] = {}
        records = [record for record in self.records() if self.spec.in_table(record.spec)]
        if diverged := [record for record in records if record.diverged]:
            named = ", ".join(f"{' vs '.join(r.players.values())} (seed {r.seed})" for r in diverged[:10])
            raise SettingError(
                f"{self.directory}: {len(diverged)} matches diverged and have no payoff: {named}; "
                "a smaller learning_rate or radius may help"
            )
        for record in records:
            cell = (record.players[first], record.players[second])
            samples.setdefault(cell, {})[record.seed] = record.payoffs[first]
            others.setdefault(cell, {})[record.seed] = record.payoffs[second]
        zero_sum = all(samples[c][s] == -others[c][s] for c in samples for s in samples[c])
        return EmpiricalGame.from_samples(
            self.spec.players[first],
            self.spec.players[second],
            samples,
            players=(first, second),
            column_samples=None if zero_sum else others,
        )


def _contains(larger: TournamentSpec, smaller: TournamentSpec, differing: list[str]) -> bool:
    """Whether a tournament has, for the same players in the same order, all strategies and radii of another that
    differs in nothing else."""
    same_players = list(larger.players) == list(smaller.players)
    more = all(set(smaller.players[player]) <= set(larger.players.get(player, ())) for player in smaller.players)
    return set(differing) <= {"players", "radii"} and same_players and more and {*smaller.radii} <= {*larger.radii}


def _finite_or_nan(number: float | None) -> float:
    return number if number is not None and math.isfinite(number) else math.nan


def _without_nan(value: Any) -> Any:
    """NaN as None, all the way down: JSON has no NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return value
