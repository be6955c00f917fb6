"""What is to be played: one match, or a tournament; validated, hashable, and the same thing in YAML."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from advgames.errors import ConfigError
from advgames.settings import Settings, parse

__all__ = ["MatchSpec", "TournamentSpec", "parse_yaml", "read_yaml"]

Seed = Annotated[int, Field(ge=0, lt=2**63)]
#: settings in which matches of one batch may differ
PER_MATCH = ("epsilon", "epsilon_attacker", "epsilon_defender")
Dtype = Literal["float32", "float64"]


class MatchSpec(Settings):
    """One match: everything that decides its outcome on a given machine.

    Attributes:
        game, task: registry names.
        players: player name -> agent, as :func:`advgames.agents.make_agent` reads it.
        seed: decides the model's initial parameters, the order of the data and all randomness of the players.
        settings: the game's settings where they differ from the task's defaults.
        dtype: precision the game is played in.
        evaluations: how often on the way the curves are measured.
    """

    game: str = "poisoning"
    task: str
    players: dict[str, str]
    seed: Seed = 0
    settings: dict[str, Any] = Field(default_factory=dict)
    dtype: Dtype = "float32"
    evaluations: PositiveInt = 20

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that name this match."""
        return _digest(self.model_dump(mode="json"))

    @property
    def batch_key(self) -> str:
        """Equal for matches that differ only in seed or radius: those run as one batch."""
        rest = self.model_dump(mode="json", exclude={"seed"})
        rest["settings"] = {n: v for n, v in rest["settings"].items() if n not in PER_MATCH}
        return _digest(rest)

    def __hash__(self) -> int:
        return hash(self.id)


class TournamentSpec(Settings):
    """Every strategy of one player against every strategy of the other, over the same seeds.

    Attributes:
        game, task, settings, dtype, evaluations: as in :class:`MatchSpec`.
        players: for each of two players its strategies; the first player named is the row player.
        seeds: seeds of every cell (a number n in YAML means 0 ... n - 1).
        radii: radii of the attacker at which every cell is played besides, for curves of accuracy against radius. The
            defender keeps its own radius, and knows the attacker's. The payoff table holds none of these matches.
        device: where the matches run, such as ``"cpu"`` or ``"cuda"``.
        batch_limit: matches that run as one batch at most.
    """

    game: str = "poisoning"
    task: str
    players: dict[str, list[str]]
    seeds: list[Seed] = Field(default_factory=lambda: [0, 1, 2])
    radii: list[NonNegativeFloat] = Field(default_factory=list)
    settings: dict[str, Any] = Field(default_factory=dict)
    device: str = "cpu"
    dtype: Dtype = "float32"
    evaluations: PositiveInt = 20
    batch_limit: PositiveInt = 32

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that name this tournament."""
        return _digest(self.model_dump(mode="json"))

    def __hash__(self) -> int:
        return hash(self.id)

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return list(range(value))
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds_distinct(cls, value: list[int]) -> list[int]:
        if not value or len(set(value)) != len(value):
            raise ValueError("seeds must be distinct and at least one")
        return value

    @field_validator("radii")
    @classmethod
    def _radii_ascend(cls, value: list[float]) -> list[float]:
        if len(set(value)) != len(value):
            raise ValueError("radii must be distinct")
        return sorted(value)

    @model_serializer(mode="wrap")
    def _without_empty_radii(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A tournament without radii reads, and is named, as if they did not exist."""
        found: dict[str, Any] = handler(self)
        return {name: value for name, value in found.items() if name != "radii" or value}

    @field_validator("players", mode="before")
    @classmethod
    def _null_is_a_name(cls, value: Any) -> Any:
        """YAML reads an unquoted null as nothing; here it is the player that does nothing."""
        if not isinstance(value, dict):
            return value
        return {
            player: ["null" if name is None else name for name in names] if isinstance(names, list) else names
            for player, names in value.items()
        }

    @field_validator("players")
    @classmethod
    def _two_players(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        if len(value) != 2:
            raise ValueError(f"a tournament has two players, got {', '.join(value) or 'none'}")
        for player, strategies in value.items():
            if not strategies or len(set(strategies)) != len(strategies):
                raise ValueError(f"{player}: strategies must be distinct and at least one")
        return value

    @classmethod
    def from_yaml(cls, path: str | Path) -> TournamentSpec:
        """The tournament a YAML file describes.

        Raises:
            ConfigError: the file is missing or no YAML mapping.
            UnknownNameError, SettingError: a field nobody knows, or a value outside its domain.
        """
        return parse(cls, read_yaml(path), str(path))

    def to_yaml(self) -> str:
        """YAML that :meth:`from_yaml` reads back to an equal spec."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def cell(self, row: str, column: str, radius: float | None = None) -> list[MatchSpec]:
        """The matches of one cell, in the order of the seeds; with a radius those of its curve."""
        first, second = self.players
        common = self.model_dump(include={"game", "task", "settings", "dtype", "evaluations"})
        if radius is not None:
            common["settings"] = {**self.settings, "epsilon_attacker": radius}
        return [MatchSpec(players={first: row, second: column}, seed=seed, **common) for seed in self.seeds]

    def matches(self) -> Iterator[MatchSpec]:
        """All matches, row by row, in each cell first those of the table, then those at other radii."""
        rows, columns = self.players.values()
        for row in rows:
            for column in columns:
                yield from self.cell(row, column)
                for radius in self.radii:
                    if radius != self.settings.get("epsilon_attacker"):  # else it is the table's own
                        yield from self.cell(row, column, radius)

    def in_table(self, match: MatchSpec) -> bool:
        """Whether a match of this tournament counts for the payoff table: it is not one at another radius."""
        return match.settings == self.settings


class _Loader(yaml.SafeLoader):
    """YAML 1.1, but for numbers such as ``1e-3``, which are numbers as in YAML 1.2."""


_Loader.add_implicit_resolver(  # of a copy: PyYAML's own loader stays as it is
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_yaml(text: str) -> Any:
    """The plain values in a YAML text; ``1e-3`` is a number in it.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    return yaml.load(text, _Loader)


def read_yaml(path: str | Path) -> Mapping[str, Any]:
    """The mapping in a YAML file; ``1e-3`` is a number in it.

    Raises:
        ConfigError: no such file, not YAML (with line and column), or not a mapping.
    """
    try:
        loaded = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, found {type(loaded).__name__}")
    return loaded


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
