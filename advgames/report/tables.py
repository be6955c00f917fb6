"""CellTable: one number per pair of strategies with its interval, and the same as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from advgames.report.numbers import decimals, number

if TYPE_CHECKING:
    from advgames.equilibrium import EmpiricalGame

__all__ = ["FEW", "CellTable", "Interval", "payoff_table"]

FEW = 20  # samples per cell below which Student's t is the better interval
Array = NDArray[np.float64]
Interval = Literal["auto", "t", "bootstrap"]
Samples = Mapping[tuple[str, str], Mapping[int, float]]


@dataclass(frozen=True, eq=False)
class CellTable:
    """One measure for every pair of strategies: its mean over matches, with a confidence interval.

    Attributes:
        rows, columns: names of the strategies.  # m and n of them
        players: names of the row and the column player.
        mean: NaN where nothing was played.  # (m, n)
        low, high: ends of the interval; NaN below two matches.  # (m, n)
        count: matches played.  # (m, n)
        samples: (row, column) -> {seed: value}.
        confidence: coverage of the intervals.
        method: "t" or "bootstrap".
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    players: tuple[str, str]
    mean: Array
    low: Array
    high: Array
    count: NDArray[np.int64]
    samples: Samples
    confidence: float
    method: str

    @classmethod
    def from_samples(
        cls,
        rows: Sequence[str],
        columns: Sequence[str],
        players: tuple[str, str],
        samples: Samples,
        confidence: float = 0.95,
        method: Interval = "auto",
    ) -> CellTable:
        """A table of whatever was played; pairs without samples stay empty.

        Args:
            rows, columns: names of the strategies.
            players: names of the row and the column player.
            samples: (row, column) -> {seed: finite value}.
            confidence: coverage of the intervals, strictly between 0 and 1.
            method: "t" (Student), "bootstrap" (percentile) or "auto": "t" where a cell has fewer than 20 samples.
        """
        from advgames.equilibrium import EmpiricalGame

        shape = len(rows), len(columns)
        mean, low, high = (np.full(shape, np.nan) for _ in range(3))
        count = np.zeros(shape, dtype=np.int64)
        used = _method(method, [len(cell) for cell in samples.values()])
        for (row, column), cell in samples.items():
            if not cell:
                continue
            place = rows.index(row), columns.index(column)
            alone = EmpiricalGame.from_samples([row], [column], {(row, column): list(cell.values())})
            ends = alone.interval(confidence, method=used)
            mean[place], count[place] = alone.payoff[0, 0], len(cell)
            low[place], high[place] = ends[0][0, 0], ends[1][0, 0]
        return cls(tuple(rows), tuple(columns), players, mean, low, high, count, samples, confidence, used)

    @classmethod
    def from_game(
        cls, game: EmpiricalGame, player: str = "row", confidence: float = 0.95, method: Interval = "auto"
    ) -> CellTable:
        """The payoffs of one player of an empirical game; arguments as in :meth:`from_samples`."""
        side = game.side(player)
        samples: dict[tuple[str, str], dict[int, float]] = {}
        for group in game.groups:
            payoffs = group.payoffs[side] if len(group.payoffs) > side else 0.0 - group.payoffs[0]
            for cell, values in zip(group.cells.tolist(), payoffs.tolist(), strict=True):
                row, column = divmod(cell, len(game.columns))
                samples[game.rows[row], game.columns[column]] = dict(zip(group.seeds, values, strict=True))  # type: ignore[arg-type]
        return cls.from_samples(game.rows, game.columns, game.players, samples, confidence, method)

    @property
    def complete(self) -> bool:
        """Whether every cell has at least one match."""
        return bool((self.count > 0).all())

    @property
    def places(self) -> int:
        """Decimals that suit the table."""
        return decimals(self.mean.ravel().tolist())

    def at(self, row: str, column: str) -> float:
        """The mean of one cell."""
        return float(self.mean[self.rows.index(row), self.columns.index(column)])

    def interval_text(self, row: int, column: int, scale: float = 1.0, places: int | None = None) -> str:
        """The interval of a cell: ``± 0.12`` for Student's t, ``[1.10, 1.32]`` for the bootstrap, or nothing."""
        low, high = scale * float(self.low[row, column]), scale * float(self.high[row, column])
        if np.isnan(low):
            return ""
        shown = self.places if places is None else places
        if self.method == "t":
            return f"± {number((high - low) / 2, shown)}"
        return f"[{number(low, shown)}, {number(high, shown)}]"

    def method_text(self) -> str:
        """How the intervals were made, in words."""
        name = "Student's t" if self.method == "t" else "percentile bootstrap over seeds"
        return f"{100 * self.confidence:g} % interval of the mean, {name}"

    def cells(self) -> list[list[str]]:
        """Each cell as ``mean interval``, a dash where nothing was played."""
        return [
            [
                " ".join(filter(None, (number(self.mean[i, j], self.places), self.interval_text(i, j))))
                for j in range(len(self.columns))
            ]
            for i in range(len(self.rows))
        ]

    def text(self) -> str:
        """The table in markdown, aligned so that it also reads as plain text."""
        head = [f"{self.players[0]} \\ {self.players[1]}", *self.columns]
        lines = [head, *([name, *cells] for name, cells in zip(self.rows, self.cells(), strict=True))]
        widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
        rendered = [
            f"| {' | '.join(text.ljust(width) for text, width in zip(line, widths, strict=True))} |" for line in lines
        ]
        rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
        return "\n".join([rendered[0], rule, *rendered[1:]])

    def to_json(self) -> dict[str, Any]:
        """Mean, count and both kinds of interval as nested lists."""
        both: dict[str, Any] = {"mean": self.mean, "count": self.count, "confidence": self.confidence}
        kinds: tuple[Interval, Interval] = ("t", "bootstrap")
        for kind in kinds:
            table = self.from_samples(self.rows, self.columns, self.players, self.samples, self.confidence, kind)
            both[kind] = {"low": table.low, "high": table.high}
        return both


def payoff_table(game: EmpiricalGame, player: str = "row", confidence: float = 0.95, method: Interval = "auto") -> str:
    """A player's mean payoffs with their intervals, as a markdown table that also reads as plain text.

    Args:
        game: the table of matches.
        player: "row", "column" or a player's name.
        confidence: coverage of the intervals, strictly between 0 and 1.
        method: "t", "bootstrap", or "auto": "t" below 20 matches per cell, where the bootstrap is too narrow.
    """
    return CellTable.from_game(game, player, confidence, method).text()


def _method(method: Interval, counts: Sequence[int]) -> Literal["t", "bootstrap"]:
    """The kind of interval that "auto" stands for."""
    if method != "auto":
        return method
    return "bootstrap" if counts and min(counts) >= FEW else "t"
