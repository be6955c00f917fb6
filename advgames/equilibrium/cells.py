"""Mergeable statistics of every cell of a payoff table: count, mean and spread, in one stable pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from advgames.equilibrium.tables import Array
from advgames.errors import SettingError

__all__ = ["CellStatistics"]


@dataclass(frozen=True, eq=False)
class CellStatistics:
    """Count, mean and sum of squared deviations of the samples of each cell; any shape, usually (m, n).

    Immutable: :meth:`add` and :meth:`merge` return new statistics, so that workers can count apart and merge
    later. Merging in any order or grouping gives the same up to rounding.

    Attributes:
        count: samples seen.
        mean: their mean; NaN where there are none.
        squares: the sum of their squared deviations from the mean, M2 of Welford's algorithm.
    """

    count: NDArray[np.int64]
    mean: Array
    squares: Array

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> CellStatistics:
        """Statistics of no samples yet."""
        return cls(np.zeros(shape, dtype=np.int64), np.full(shape, np.nan), np.zeros(shape))

    @classmethod
    def of(cls, samples: ArrayLike, axis: int = -1) -> CellStatistics:
        """Statistics over one axis of an array of finite samples, in two passes.

        Raises SettingError if a sample is not finite.
        """
        values = _finite(samples)
        size = values.shape[axis]
        shape = np.delete(np.array(values.shape), axis)
        if size == 0:
            return cls.empty(tuple(shape.tolist()))
        mean = values.mean(axis=axis, keepdims=True)
        squares = ((values - mean) ** 2).sum(axis=axis)
        return cls(np.full(shape, size, dtype=np.int64), mean.squeeze(axis), squares)

    def add(self, values: ArrayLike, where: ArrayLike = True) -> CellStatistics:
        """One more sample in each cell in which ``where`` holds (Welford's update, a merge with count 1).

        Args:
            values: broadcast to the statistics' shape; looked at only where ``where`` holds.
            where: the cells that have a new sample.

        Raises SettingError if a new sample is not finite or the shapes do not fit.
        """
        try:
            new = np.broadcast_to(np.asarray(where, dtype=bool), self.count.shape)
            full = np.broadcast_to(np.asarray(values, dtype=np.float64), self.count.shape)
        except ValueError as error:
            raise SettingError(f"samples: expected a shape that fits {self.count.shape}; {error}") from error
        sample = _finite(np.where(new, full, 0.0))
        one = CellStatistics(new.astype(np.int64), np.where(new, sample, np.nan), np.zeros(new.shape))
        return self.merge(one)

    def merge(self, other: CellStatistics) -> CellStatistics:
        """Statistics of both sets of samples together (Chan, Golub and LeVeque 1979):

            n = n_a + n_b,  d = mean_b - mean_a,
            mean = mean_a + d n_b / n,  M2 = M2_a + M2_b + d^2 n_a n_b / n.

        Raises SettingError if the shapes differ.
        """
        if self.count.shape != other.count.shape:
            raise SettingError(f"merge: expected statistics of shape {self.count.shape}, got {other.count.shape}")
        count = self.count + other.count
        mine = np.where(self.count > 0, self.mean, other.mean)
        delta = np.where(other.count > 0, other.mean - mine, 0.0)
        share = other.count / np.maximum(count, 1)
        squares = self.squares + other.squares + delta**2 * self.count * share
        return CellStatistics(count, mine + delta * share, squares)

    @property
    def variance(self) -> Array:
        """Unbiased sample variance M2 / (n - 1); NaN below two samples."""
        return np.where(self.count > 1, self.squares / np.maximum(self.count - 1, 1), np.nan)

    @property
    def standard_error(self) -> Array:
        """Standard error of the mean, sqrt(variance / n); NaN below two samples."""
        return np.sqrt(self.variance / np.maximum(self.count, 1))


def _finite(samples: ArrayLike) -> Array:
    """The samples as float64; SettingError unless all are finite."""
    values = np.asarray(samples, dtype=np.float64)
    if not np.isfinite(values).all():
        raise SettingError(f"samples: {int((~np.isfinite(values)).sum())} of {values.size} are not finite")
    return values
