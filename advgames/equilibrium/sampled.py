"""SampledTable: the matches behind a payoff table: means, spread, intervals, selection, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from advgames.equilibrium.cells import CellStatistics
from advgames.equilibrium.intervals import bootstrap_interval, check_settings, student_interval
from advgames.equilibrium.names import as_names, as_players, places
from advgames.equilibrium.samples import CellSamples, Pair, SeedGroup, group_samples
from advgames.equilibrium.tables import Array, as_table
from advgames.errors import SettingError, UnknownNameError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SampledTable", "Side"]

Side = str
"""A player: "row", "column", or its name in the table's ``players``."""


@dataclass(frozen=True, eq=False, repr=False)
class SampledTable:
    """Payoff samples of two players for every pair of strategies; EmpiricalGame reads them as a game.

    Wherever a ``player`` is asked for, "row", "column" and the names in ``players`` are understood.

    Attributes:
        rows: names of the row player's strategies.  # m of them
        columns: names of the column player's strategies.  # n of them
        players: names of the row and the column player.
        groups: the samples, by seed.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    players: tuple[str, str]
    groups: tuple[SeedGroup, ...]

    @classmethod
    def from_samples(
        cls,
        rows: Sequence[str],
        columns: Sequence[str],
        samples: Mapping[Pair, CellSamples],
        players: tuple[str, str] = ("attacker", "defender"),
        column_samples: Mapping[Pair, CellSamples] | None = None,
    ) -> Self:
        """A game from the matches played.

        Cells with the same seeds are taken to share their randomness, match by match, and are resampled
        together; cells with other seeds are resampled independently. A plain sequence has its positions for
        seeds.

        Args:
            rows: names of the row player's strategies.
            columns: names of the column player's strategies.
            samples: the row player's payoffs in every pair (row, column), ``{seed: payoff}`` or a sequence.
            players: names of the row and the column player.
            column_samples: the column player's payoffs in the same matches; None means minus the row
                player's.

        Raises SettingError for names that are empty or twice there and for cells that are missing, not
        finite, unknown, or have different seeds for the two players; it lists the pairs.
        """
        rows, columns = as_names(rows, "rows"), as_names(columns, "columns")
        players = as_players(players)
        return cls(rows, columns, players, group_samples(rows, columns, samples, column_samples))

    @classmethod
    def from_matrix(
        cls,
        payoff: ArrayLike,
        column_payoff: ArrayLike | None = None,
        rows: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        players: tuple[str, str] = ("attacker", "defender"),
    ) -> Self:
        """A game from known payoffs, as one sample per cell.

        Args:
            payoff: the row player's payoffs.  # (m, n)
            column_payoff: the column player's payoffs; None means minus the row player's.  # (m, n)
            rows: names; "row 0", "row 1", ... by default.
            columns: names; "column 0", "column 1", ... by default.
            players: names of the row and the column player.

        Raises SettingError if a table is not one, or names do not fit it.
        """
        tables = [as_table(payoff)]
        if column_payoff is not None:
            tables.append(as_table(column_payoff, "column payoff table"))
        shape = tables[0].shape
        names = (
            as_names([f"row {i}" for i in range(shape[0])] if rows is None else rows, "rows"),
            as_names([f"column {j}" for j in range(shape[1])] if columns is None else columns, "columns"),
        )
        sizes = (len(names[0]), len(names[1]))
        if any(table.shape != sizes for table in tables):
            raise SettingError(f"expected tables of shape {sizes}, got {[table.shape for table in tables]}")
        payoffs = np.stack(tables).reshape(len(tables), -1, 1)
        return cls(*names, as_players(players), (SeedGroup((0,), np.arange(payoffs.shape[1]), payoffs),))

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of strategies (m, n)."""
        return len(self.rows), len(self.columns)

    @cached_property
    def statistics(self) -> CellStatistics:
        """Count, mean and spread of the row player's samples.  # (m, n)"""
        return self._statistics(0)

    @cached_property
    def column_statistics(self) -> CellStatistics:
        """Count, mean and spread of the column player's samples.  # (m, n)"""
        return self._statistics(1)

    @property
    def payoff(self) -> Array:
        """The row player's mean payoffs, read-only.  # (m, n)"""
        return self.statistics.mean

    @property
    def column_payoff(self) -> Array:
        """The column player's mean payoffs, read-only.  # (m, n)"""
        return self.column_statistics.mean

    def interval(
        self,
        confidence: float = 0.95,
        resamples: int = 2000,
        seed: int = 0,
        method: Literal["bootstrap", "t"] = "bootstrap",
        player: Side = "row",
    ) -> tuple[Array, Array]:
        """Confidence interval of each cell's mean payoff; NaN where there is but one sample.

        The percentile bootstrap resamples seeds, jointly for all cells that share them. It is too narrow for
        few seeds: of normal samples, a nominal 95 % interval covers 75 % at 3, 82 % at 5 and 90 % at 10. "t"
        covers 95 % at any number if samples are close to normal: the better choice below about 20 seeds.

        Args:
            confidence: coverage, strictly between 0 and 1.
            resamples: bootstrap resamples; "t" needs none.
            seed: of the bootstrap's own generator; the same seed gives the same interval.
            method: "bootstrap" or "t" (Student).
            player: whose payoffs.

        Returns the lower and the upper ends, (m, n) each. Raises SettingError or UnknownNameError for bad
        arguments.
        """
        check_settings(confidence, resamples)
        side = self.side(player)
        if method == "t":
            return student_interval(self._statistics(side), confidence)
        if method != "bootstrap":
            raise UnknownNameError("method", method, ["bootstrap", "t"], where="interval")
        if side == 1 and not self.has_column_samples:
            low, high = bootstrap_interval(self.groups, 0, self.shape, confidence, resamples, seed)
            return 0.0 - high, 0.0 - low
        return bootstrap_interval(self.groups, side, self.shape, confidence, resamples, seed)

    def restrict(self, rows: Sequence[str] | None = None, columns: Sequence[str] | None = None) -> Self:
        """The same samples for some of the strategies, in the order given; None keeps them all.

        Raises UnknownNameError for a name that is no strategy, SettingError for none or one twice.
        """
        kept_rows = self.rows if rows is None else as_names(rows, "rows")
        kept_columns = self.columns if columns is None else as_names(columns, "columns")
        picks = np.ix_(places(kept_rows, self.rows, "row"), places(kept_columns, self.columns, "column"))
        old = np.arange(len(self.rows) * len(self.columns)).reshape(self.shape)[picks].ravel()
        groups = []
        for group in self.groups:
            new = np.flatnonzero(np.isin(old, group.cells))
            if len(new):
                kept = np.searchsorted(group.cells, old[new])
                groups.append(SeedGroup(group.seeds, new, group.payoffs[:, kept]))
        groups.sort(key=lambda group: int(group.cells[0]))
        return replace(self, rows=kept_rows, columns=kept_columns, groups=tuple(groups))

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON's lists, texts and numbers; :meth:`from_dict` gives the same table back."""
        groups = []
        for group in self.groups:
            pairs = [
                [self.rows[row], self.columns[column]]
                for row, column in zip(*np.unravel_index(group.cells, self.shape), strict=True)
            ]
            entry = {"seeds": list(group.seeds), "cells": pairs, "payoffs": group.payoffs[0].tolist()}
            if self.has_column_samples:
                entry["column_payoffs"] = group.payoffs[1].tolist()
            groups.append(entry)
        return {
            "rows": list(self.rows),
            "columns": list(self.columns),
            "players": list(self.players),
            "groups": groups,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The table that :meth:`to_dict` wrote. Raises SettingError if the data are no such table."""
        try:
            sides = [
                {
                    (row, column): dict(zip(group["seeds"], payoffs, strict=True))
                    for group in data["groups"]
                    for (row, column), payoffs in zip(group["cells"], group[key], strict=True)
                }
                for key in ("payoffs", "column_payoffs")
                if key in data["groups"][0]
            ]
            first, second = data["players"]
            names = list(data["rows"]), list(data["columns"])
            if len(sides[0]) < sum(len(group["cells"]) for group in data["groups"]):
                raise ValueError("a cell is there twice")
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise SettingError(f"from_dict: expected what to_dict writes; {type(error).__name__}: {error}") from error
        return cls.from_samples(*names, sides[0], (first, second), sides[1] if len(sides) == 2 else None)

    @property
    def has_column_samples(self) -> bool:
        """Whether the column player's payoffs were given; if not they are minus the row player's."""
        return len(self.groups[0].payoffs) == 2

    def side(self, player: Side) -> int:
        """0 for the row player, 1 for the column player. Raises UnknownNameError for anyone else."""
        if not isinstance(player, str):
            raise SettingError(f"expected the name of a player, got {type(player).__name__}")
        for index, names in enumerate(zip(("row", "column"), self.players, strict=True)):
            if player in names:
                return index
        raise UnknownNameError("player", player, {"row", "column", *self.players})

    def _statistics(self, side: int) -> CellStatistics:
        """Statistics of one player's samples, as read-only arrays.  # (m, n)"""
        if side == 1 and not self.has_column_samples:
            return _frozen(replace(self.statistics, mean=0.0 - self.statistics.mean))
        table = CellStatistics.empty(self.shape)
        for group in self.groups:
            found = CellStatistics.of(group.payoffs[side])
            table.count.flat[group.cells] = found.count
            table.mean.flat[group.cells] = found.mean
            table.squares.flat[group.cells] = found.squares
        return _frozen(table)

    def __repr__(self) -> str:
        samples = self.statistics.count
        return (
            f"{type(self).__name__}({len(self.rows)} rows of {self.players[0]}, "
            f"{len(self.columns)} columns of {self.players[1]}, "
            f"{samples.min()} to {samples.max()} samples per cell)"
        )


def _frozen(statistics: CellStatistics) -> CellStatistics:
    """The statistics with their arrays made read-only."""
    for part in (statistics.count, statistics.mean, statistics.squares):
        part.setflags(write=False)
    return statistics
