"""Confidence intervals of payoff tables: bootstrap over shared seeds, and Student's t per cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import stdtrit

from advgames.equilibrium.cells import CellStatistics
from advgames.equilibrium.samples import SeedGroup
from advgames.equilibrium.tables import Array
from advgames.errors import SettingError

__all__ = ["bootstrap_interval", "check_settings", "percentiles", "resampled_tables", "student_interval"]

CHUNK = 1 << 22  # resampled means held at once, 32 MiB


def check_settings(confidence: float, resamples: int) -> None:
    """Raise SettingError unless 0 < confidence < 1 and resamples >= 1."""
    if not 0 < confidence < 1:
        raise SettingError(f"confidence: expected strictly between 0 and 1, got {confidence}")
    if resamples < 1:
        raise SettingError(f"resamples: expected at least 1, got {resamples}")


def seed_weights(groups: Sequence[SeedGroup], resamples: int, seed: int) -> list[Array]:
    """For each group, how often each of its seeds is drawn in each resample, over S.  # (R, S) each

    Groups are drawn independently; the cells of one group share every draw.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    sizes = [len(group.seeds) for group in groups]
    return [generator.multinomial(size, np.full(size, 1 / size), size=resamples) / size for size in sizes]


def resampled_tables(groups: Sequence[SeedGroup], shape: tuple[int, int], resamples: int, seed: int) -> Iterator[Array]:
    """Tables of mean payoffs over seeds drawn with replacement, one per resample.  # (1 or 2, m, n) each"""
    weights = seed_weights(groups, resamples, seed)
    for index in range(resamples):
        table = np.empty((len(groups[0].payoffs), shape[0] * shape[1]))
        for group, weight in zip(groups, weights, strict=True):
            table[:, group.cells] = group.payoffs @ weight[index]
        yield table.reshape(-1, *shape)


def bootstrap_interval(
    groups: Sequence[SeedGroup],
    side: int,
    shape: tuple[int, int],
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[Array, Array]:
    """Percentile bootstrap of one player's mean payoffs; NaN in cells with one sample.  # (m, n), (m, n)"""
    bounds = np.full((2, shape[0] * shape[1]), np.nan)
    step = max(1, CHUNK // resamples)
    for group, weight in zip(groups, seed_weights(groups, resamples, seed), strict=True):
        if len(group.seeds) < 2:
            continue
        for start in range(0, len(group.cells), step):
            means = weight @ group.payoffs[side, start : start + step].T  # (R, cells)
            bounds[:, group.cells[start : start + step]] = percentiles(means, confidence)
    low, high = bounds.reshape(2, *shape)
    return low, high


def percentiles(values: Array, confidence: float) -> Array:
    """The (1 - confidence) / 2 quantiles at both ends, along the first axis.  # (2, ...)"""
    tail = (1 - confidence) / 2
    return np.asarray(np.quantile(values, [tail, 1 - tail], axis=0), dtype=np.float64)


def student_interval(statistics: CellStatistics, confidence: float) -> tuple[Array, Array]:
    """mean -+ t_(n-1, (1 + confidence) / 2) standard errors; NaN below two samples.  # (m, n), (m, n)"""
    freedom = np.maximum(statistics.count - 1, 1)
    reach = stdtrit(freedom, (1 + confidence) / 2) * statistics.standard_error
    return statistics.mean - reach, statistics.mean + reach
