"""Payoff tables as tasks of the matrix game: known ones, random ones, and those of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from advgames import rng
from advgames.errors import DataFileError, SettingError, UnknownNameError

__all__ = ["PAYOFF_TABLES", "PayoffTable", "load_payoff_table"]

Table: TypeAlias = NDArray[np.float64]
_RANDOM = re.compile(r"^random:(\d+)x(\d+)(?::(\d+))?$")


@dataclass(frozen=True, eq=False)
class PayoffTable:
    """A game of two players with finitely many strategies each.

    Attributes:
        name: registry name.
        payoff: the row player's payoffs, (m, n).
        column_payoff: the column player's, (m, n); None: the opposite.
        rows, columns: names of the strategies; none: their numbers.
    """

    name: str
    payoff: Table
    column_payoff: Table | None = None
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        payoff: ArrayLike,
        column_payoff: ArrayLike | None = None,
        name: str = "table",
        rows: Sequence[str] = (),
        columns: Sequence[str] = (),
    ) -> PayoffTable:
        """A table from anything numpy reads as one.

        Raises:
            SettingError: it is no table of finite numbers, or the two do not fit together.
        """
        tables = [_as_table(payoff, name)]
        if column_payoff is not None:
            tables.append(_as_table(column_payoff, f"{name}, the column player's"))
            if tables[0].shape != tables[1].shape:
                raise SettingError(f"{name}: the players' tables have shapes {tables[0].shape} and {tables[1].shape}")
        for names, count in zip((rows, columns), tables[0].shape, strict=True):
            if names and len(names) != count:
                raise SettingError(f"{name}: {len(names)} names for {count} strategies")
        return cls(name, tables[0], tables[1] if len(tables) == 2 else None, tuple(rows), tuple(columns))


def load_payoff_table(name: str) -> PayoffTable:
    """A table by name.

    Args:
        name: one of :data:`PAYOFF_TABLES`; ``"random:20x20"``, payoffs uniform in (0, 1] from the seed after another
            colon (default 0); or a file of numbers, one row a line, with commas between, the row player's payoffs.

    Raises:
        UnknownNameError: no such table.
        DataFileError, SettingError: the file cannot be read, or holds no table.
    """
    if name in PAYOFF_TABLES:
        return PAYOFF_TABLES[name]()
    if found := _RANDOM.match(name):
        m, n, seed = (int(part or 0) for part in found.groups())
        if not m * n:
            raise SettingError(f"task {name!r}: a table has at least one row and one column")
        numbers = rng.uniform(rng.seed_tensor([seed]), "payoff table", 0, (m, n), dtype=torch.float64)
        return PayoffTable.of(numbers[0].numpy(), name=name)
    if Path(name).suffix != ".csv":
        raise UnknownNameError("task", name, [*PAYOFF_TABLES, "random:20x20", "FILE.csv"])
    try:
        payoff = np.loadtxt(name, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise DataFileError(f"payoff table {name!r}: {error}") from error
    return PayoffTable.of(payoff, name=name)


def _as_table(values: ArrayLike, name: str) -> Table:
    try:
        table: Table = np.array(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise SettingError(f"{name}: expected a table of numbers: {error}") from error
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise SettingError(f"{name}: expected a table (m, n) of finite numbers, got shape {table.shape}")
    return table


def _matching_pennies() -> PayoffTable:
    """Matching pennies: value 0, both mix evenly."""
    return PayoffTable.of([[1, -1], [-1, 1]], name="matching-pennies", rows=_COIN, columns=_COIN)


def _biased_pennies() -> PayoffTable:
    """Matching pennies where matched heads count for 3: value 1/3, both play heads with 1/3."""
    return PayoffTable.of([[3, -1], [-1, 1]], name="biased-pennies", rows=_COIN, columns=_COIN)


def _rock_paper_scissors() -> PayoffTable:
    """Rock, paper, scissors: value 0, both mix evenly."""
    return PayoffTable.of([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], name="rock-paper-scissors", rows=_HAND, columns=_HAND)


def _biased_rock_paper_scissors() -> PayoffTable:
    """Rock, paper, scissors where rock against scissors counts for 2: value 0, both play (1/4, 1/2, 1/4)."""
    table = [[0, -1, 2], [1, 0, -1], [-2, 1, 0]]
    return PayoffTable.of(table, name="biased-rock-paper-scissors", rows=_HAND, columns=_HAND)


def _example_6_3() -> PayoffTable:
    """Stackelberg paper, Example 6.3 with a = 1/2, the row player minimising phi: 0, -a and -a / (1 + a) by order."""
    return PayoffTable.of([[0.0, 0.5], [1.0, 0.0]], name="example-6.3")


def _prisoners_dilemma() -> PayoffTable:
    """Prisoner's dilemma: both defect, 1 each, though 3 each could be had."""
    both = ("cooperate", "defect")
    return PayoffTable.of([[3, 0], [5, 1]], [[3, 5], [0, 1]], name="prisoners-dilemma", rows=both, columns=both)


_COIN, _HAND = ("heads", "tails"), ("rock", "paper", "scissors")

PAYOFF_TABLES: dict[str, Callable[[], PayoffTable]] = {
    "matching-pennies": _matching_pennies,
    "biased-pennies": _biased_pennies,
    "rock-paper-scissors": _rock_paper_scissors,
    "biased-rock-paper-scissors": _biased_rock_paper_scissors,
    "example-6.3": _example_6_3,
    "prisoners-dilemma": _prisoners_dilemma,
}
