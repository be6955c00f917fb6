"""What an empirical game answers: an equilibrium with its exploitability, and an interval of its value."""

from __future__ import annotations

from dataclasses import dataclass

from advgames.equilibrium.exploitability import Exploitability
from advgames.equilibrium.tables import Array

__all__ = ["Equilibrium", "ValueInterval"]


@dataclass(frozen=True)
class Equilibrium:
    """A Nash equilibrium of a zero-sum table.

    Attributes:
        value: the row player's payoff at equilibrium.
        row: the row player's mix.  # (m,)
        column: the column player's mix.  # (n,)
        gap: max_i (A y)_i - min_j (x A)_j on the table, 0 up to rounding unless found by regret matching.
        exploitability: what each player could still gain; its total is the gap up to rounding.
        method: the solver, see :func:`solve_zero_sum`.
    """

    value: float
    row: Array
    column: Array
    gap: float
    exploitability: Exploitability
    method: str


@dataclass(frozen=True)
class ValueInterval:
    """How sure the samples make us of an equilibrium; NaN throughout if any cell has a single sample.

    Attributes:
        low: lower end of the interval of the game's value.
        high: upper end.
        row_support_frequency: share of resamples in which each row has weight.  # (m,)
        column_support_frequency: share of resamples in which each column has weight.  # (n,)
    """

    low: float
    high: float
    row_support_frequency: Array
    column_support_frequency: Array
