"""Seeds of successive episodes: the one given, then numbers hashed from it; never a global generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from advgames import rng
from advgames.errors import SettingError

__all__ = ["EpisodeSeeds"]

_LOW_63_BITS = 2**63 - 1


class EpisodeSeeds:
    """Match seeds for rows of matches, episode after episode.

    A seed that is given is the match seed, so ``reset(seed=s)`` plays exactly match s. Later episodes without one
    hash (the row's last given seed, episodes since); rows that were never seeded start from the system's entropy.
    Row i therefore draws what a single environment of the same seed draws.

    Args:
        rows: number of matches.
    """

    def __init__(self, rows: int = 1) -> None:
        self.rows = rows
        self._given: torch.Tensor | None = None
        self._episode = 0

    def next(self, seed: int | Sequence[int] | None = None) -> list[int]:
        """The seeds of the next episode; an integer s means s, s + 1, ... by row.

        Raises:
            SettingError: not a seed, or not one per row; nothing has changed then.
        """
        if seed is not None:
            self._given, self._episode = rng.seed_tensor(self._per_row(seed)), 0
            return [int(s) for s in self._given.tolist()]
        if self._given is None:
            entropy = np.random.SeedSequence().generate_state(self.rows, np.uint64) >> np.uint64(1)
            self._given = rng.seed_tensor([int(s) for s in entropy])
        self._episode += 1
        drawn = rng.bits(self._given, "episode", self._episode, (1,))[:, 0] & _LOW_63_BITS
        return [int(s) for s in drawn.tolist()]

    def _per_row(self, seed: Any) -> list[int]:
        if isinstance(seed, Sequence | np.ndarray):
            seeds = [int(s) if isinstance(s, np.integer) else s for s in seed]
            if len(seeds) != self.rows:
                raise SettingError(f"expected one seed per match ({self.rows}), got {len(seeds)}")
            return seeds
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise SettingError(f"a seed must be an integer in [0, 2**63), got {seed!r}")
        return [int(seed) + row for row in range(self.rows)]
