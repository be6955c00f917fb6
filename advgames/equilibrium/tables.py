"""Payoff tables and mixes as checked float64 arrays: what every solver of this folder accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from advgames.errors import SettingError, UnknownNameError

__all__ = ["Array", "Mix", "as_mix", "as_table", "normalised", "rounded_mix"]

Array = NDArray[np.float64]
Mix = ArrayLike | Mapping[str, float]
"""A mixed strategy: weights in the order of the strategies, weights by name, or one name."""

SUM_TOLERANCE = 1e-6
NOISE = 1e-12


def as_table(payoff: ArrayLike, what: str = "payoff table") -> Array:
    """A payoff table as float64.  # (m, n)

    Raises SettingError unless it has two dimensions, at least one row and column, and finite entries whose
    range is finite too.
    """
    try:
        table = np.asarray(payoff, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SettingError(f"{what}: expected a table of numbers, got {payoff!r}") from error
    if table.ndim != 2 or 0 in table.shape:
        raise SettingError(f"{what}: expected shape (m >= 1, n >= 1), got {table.shape}")
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        row, column = bad[0].tolist()
        raise SettingError(
            f"{what}: {len(bad)} entries are not finite, the first {table[row, column]} at ({row}, {column})"
        )
    if table.max() / 2 - table.min() / 2 > np.finfo(np.float64).max / 2:
        raise SettingError(f"{what}: the range of payoffs, {table.min()} to {table.max()}, overflows")
    return table


def normalised(table: Array) -> tuple[Array, float]:
    """The table shifted and scaled to [0, 1], and its range; zeros and 0 if payoffs differ by rounding only.

    Equilibria do not change under shift and positive scale, so solvers and their tolerances work in these
    units.
    """
    spread = float(table.max() - table.min())
    if spread <= 4 * np.finfo(np.float64).eps * float(np.abs(table).max()):
        return np.zeros_like(table), 0.0
    return (table - table.min()) / spread, spread


def rounded_mix(weights: Array) -> Array:
    """A solver's weights as a distribution: rounding noise below 1e-12 becomes 0, the sum becomes 1."""
    kept = np.where(weights > NOISE * weights.max(), weights, 0.0)
    mix: Array = kept / kept.sum()
    return mix


def as_mix(mix: Mix, size: int, names: Sequence[str] | None = None, what: str = "mix") -> Array:
    """A player's mix as weights in the order of its strategies.  # (size,)

    Args:
        mix: weights over all strategies, or, where ``names`` are given, ``{name: weight}`` (0 where absent)
            or one name.
        size: the number of the player's strategies.
        names: the strategies' names.
        what: whose mix it is, for the error message.

    Raises SettingError unless the weights are finite, at least 0 within 1e-9 and sum to 1 within 1e-6 (the
    rest is rounding, and taken out); UnknownNameError for a name that is no strategy.
    """
    if isinstance(mix, str):
        mix = {mix: 1.0}
    if isinstance(mix, Mapping):
        if names is None:
            raise SettingError(f"{what}: strategies of a bare table have no names, give {size} weights")
        weights = np.zeros(size)
        for name, weight in mix.items():
            if name not in names:
                raise UnknownNameError("strategy", name, names, where=what)
            weights[list(names).index(name)] = weight
    else:
        try:
            weights = np.asarray(mix, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise SettingError(f"{what}: expected {size} weights, got {mix!r}") from error
    if weights.shape != (size,):
        raise SettingError(f"{what}: expected {size} weights, got shape {weights.shape}")
    if not np.isfinite(weights).all() or weights.min() < -1e-9 or abs(weights.sum() - 1) > SUM_TOLERANCE:
        raise SettingError(f"{what}: weights must be finite, at least 0 and sum to 1, got {weights}")
    weights = np.maximum(weights, 0.0)
    distribution: Array = weights / weights.sum()
    return distribution
