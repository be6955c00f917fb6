"""Payoff samples of a table by seed, grouped by the seeds that cells share (common random numbers)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from advgames.equilibrium.tables import Array
from advgames.errors import SettingError

__all__ = ["CellSamples", "Pair", "Seed", "SeedGroup", "group_samples"]

Seed = int | str
Pair = tuple[str, str]
CellSamples = Sequence[float] | Mapping[Seed, float] | NDArray[np.floating]
"""One cell's payoffs by seed; a plain sequence has its positions 0, 1, ... for seeds."""

NAMED_PAIRS = 20


@dataclass(frozen=True, eq=False)
class SeedGroup:
    """The cells of a table that were played with the same seeds.

    Attributes:
        seeds: the seeds, sorted.  # S of them
        cells: flat indices (row * n + column), ascending.  # (C,)
        payoffs: the row player's samples and, in general-sum games, the column player's.  # (1 or 2, C, S)
    """

    seeds: tuple[Seed, ...]
    cells: NDArray[np.intp]
    payoffs: Array

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        self.cells.setflags(write=False)
        self.payoffs.setflags(write=False)


def group_samples(
    rows: Sequence[str],
    columns: Sequence[str],
    samples: Mapping[Pair, CellSamples],
    column_samples: Mapping[Pair, CellSamples] | None = None,
) -> tuple[SeedGroup, ...]:
    """All cells' samples in groups with identical seeds, in an order that no insertion order changes.

    Args:
        rows: names of the row player's strategies.
        columns: names of the column player's strategies.
        samples: the row player's payoffs of every pair (row, column).
        column_samples: the column player's payoffs, same pairs and seeds; None in zero-sum games.

    Raises SettingError, naming the pairs, if one is missing, empty, unknown or has samples that are not
    finite, or if the players' seeds differ.
    """
    pairs = [(row, column) for row in rows for column in columns]
    sides = [_checked(pairs, samples, "samples")]
    if column_samples is not None:
        sides.append(_checked(pairs, column_samples, "column_samples"))
        unlike = [pair for pair in pairs if sides[0][pair].keys() != sides[1][pair].keys()]
        if unlike:
            raise SettingError(f"the two players' samples have different seeds in {_listed(unlike)}")
    members: dict[tuple[Seed, ...], list[int]] = {}
    for index, pair in enumerate(pairs):
        members.setdefault(_sorted(sides[0][pair]), []).append(index)
    return tuple(
        SeedGroup(
            seeds,
            np.array(cells, dtype=np.intp),
            np.array([[[side[pairs[cell]][seed] for seed in seeds] for cell in cells] for side in sides]),
        )
        for seeds, cells in members.items()
    )


def _checked(pairs: list[Pair], samples: Mapping[Pair, CellSamples], what: str) -> dict[Pair, dict[Seed, float]]:
    """All cells as ``{seed: payoff}``, complete and finite."""
    unknown = sorted(set(samples) - set(pairs), key=repr)
    if unknown:
        raise SettingError(f"{what}: no such row or column in the table: {_listed(unknown)}")
    cells = {pair: _by_seed(samples.get(pair, ()), what, pair) for pair in pairs}
    missing = [pair for pair, cell in cells.items() if not cell]
    if missing:
        raise SettingError(f"{what}: {len(missing)} of {len(pairs)} cells are missing: {_listed(missing)}")
    bad = [pair for pair, cell in cells.items() if not np.isfinite(list(cell.values())).all()]
    if bad:
        raise SettingError(f"{what}: NaN or infinite payoffs in {len(bad)} of {len(pairs)} cells: {_listed(bad)}")
    return cells


def _by_seed(cell: CellSamples, what: str, pair: Pair) -> dict[Seed, float]:
    """One cell's payoffs by seed, with plain Python seeds and floats."""
    try:
        items = cell.items() if isinstance(cell, Mapping) else enumerate(cell)
        payoffs = {_seed(seed): float(payoff) for seed, payoff in items}
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"{what}: expected payoffs, or payoffs by seed (an integer or a text), in cell {pair}; {error}"
        ) from error
    return payoffs


def _seed(seed: object) -> Seed:
    """A seed as a plain int or str."""
    if isinstance(seed, Integral):
        return int(seed)
    if isinstance(seed, str):
        return seed
    raise TypeError(f"seed {seed!r}")


def _sorted(seeds: Mapping[Seed, float]) -> tuple[Seed, ...]:
    """Integers in order, then texts in order."""
    return tuple(sorted(seeds, key=lambda seed: (isinstance(seed, str), seed)))


def _listed(pairs: Sequence[object]) -> str:
    """The pairs for an error message, the first 20 of them by name."""
    rest = len(pairs) - NAMED_PAIRS
    return ", ".join(map(str, pairs[:NAMED_PAIRS])) + (f" and {rest} more" if rest > 0 else "")
