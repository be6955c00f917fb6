"""The restricted game of double oracle: strategies found so far, told apart, and the payoffs of all their pairs."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from advgames.equilibrium.tables import Array
from advgames.errors import SettingError

__all__ = ["AnyPayoffs", "BatchedPayoffs", "Payoffs", "RestrictedGame"]

R = TypeVar("R")
C = TypeVar("C")
T = TypeVar("T")
R_contra = TypeVar("R_contra", contravariant=True)
C_contra = TypeVar("C_contra", contravariant=True)


@runtime_checkable
class Payoffs(Protocol[R_contra, C_contra]):
    """A zero-sum game by the row player's payoff of one pair; strategies are any objects."""

    def payoff(self, row: R_contra, column: C_contra, /) -> float:
        """What the row player receives and the column player pays."""
        ...


@runtime_checkable
class BatchedPayoffs(Protocol[R_contra, C_contra]):
    """A zero-sum game that computes the payoffs of all pairs of some rows and columns at once."""

    def payoffs(self, rows: Sequence[R_contra], columns: Sequence[C_contra], /) -> ArrayLike:
        """The row player's payoffs.  # (len(rows), len(columns))"""
        ...


AnyPayoffs: TypeAlias = Payoffs[R, C] | BatchedPayoffs[R, C] | Callable[[R, C], float]


class RestrictedGame(Generic[R, C]):
    """A table that grows by rows and columns; an interrupt never leaves it half extended.

    Args:
        game: what to ask for payoffs, once for every pair.
        key: two strategies are the same if their keys are equal; None: if they are one object, or equal.

    Attributes:
        rows, columns: the strategies, in the order in which they came.
        table: the row player's payoffs, never changed in place.  # (len(rows), len(columns))
    """

    def __init__(self, game: AnyPayoffs[R, C], key: Callable[[Any], Hashable] | None = None) -> None:
        if not (hasattr(game, "payoff") or hasattr(game, "payoffs") or callable(game)):
            raise SettingError(
                f"game: expected a function of (row, column), or an object with the method payoff(row, column) or "
                f"payoffs(rows, columns), got {game!r}"
            )
        self.game, self.key = game, key
        self.rows: list[R] = []
        self.columns: list[C] = []
        self.table: Array = np.zeros((0, 0))

    def add(self, rows: Sequence[R], columns: Sequence[C]) -> tuple[list[int], list[int]]:
        """Add what is new among the strategies; their places, in the order given.

        Raises SettingError for payoffs that are no finite numbers, or too few or too many of them.
        """
        known_rows, row_places = self._merged(self.rows, rows)
        known_columns, column_places = self._merged(self.columns, columns)
        m, n = self.table.shape
        table = np.empty((len(known_rows), len(known_columns)))
        table[:m, :n] = self.table
        if n < len(known_columns) and m > 0:
            table[:m, n:] = self._payoffs(self.rows, known_columns[n:])
        if m < len(known_rows):
            table[m:] = self._payoffs(known_rows[m:], known_columns)
        self.rows, self.columns, self.table = known_rows, known_columns, table
        return row_places, column_places

    def _merged(self, known: list[T], replies: Sequence[T]) -> tuple[list[T], list[int]]:
        """The strategies with those that are new behind them, and the places of the replies."""
        merged, places = list(known), []
        for reply in replies:
            place = next((i for i, other in enumerate(merged) if self._same(reply, other)), len(merged))
            if place == len(merged):
                merged.append(reply)
            places.append(place)
        return merged, places

    def _same(self, one: object, other: object) -> bool:
        """Whether two strategies of a player are one; arrays and tensors if of one shape and equal throughout."""
        if self.key is not None:
            return self.key(one) == self.key(other)
        if one is other:
            return True
        if getattr(one, "shape", ()) != getattr(other, "shape", ()):
            return False
        equal: Any = one == other
        return bool(equal.all() if hasattr(equal, "all") else equal)

    def _payoffs(self, rows: Sequence[R], columns: Sequence[C]) -> Array:
        if isinstance(self.game, BatchedPayoffs):
            found = np.asarray(self.game.payoffs(rows, columns), dtype=np.float64)
        else:
            payoff = self.game.payoff if isinstance(self.game, Payoffs) else self.game
            found = np.array([[payoff(r, c) for c in columns] for r in rows], dtype=np.float64)
        if found.shape != (len(rows), len(columns)):
            raise SettingError(f"payoffs: expected shape {(len(rows), len(columns))}, got {found.shape}")
        for i, j in np.argwhere(~np.isfinite(found)).tolist():
            pair = f"{reprlib.repr(rows[i])} against {reprlib.repr(columns[j])}"
            raise SettingError(f"payoff of {pair}: expected a finite number, got {found[i, j]}")
        return found
