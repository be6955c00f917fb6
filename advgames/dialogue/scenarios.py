"""Scenarios of the negotiation game: all that the published rules allow, and draws from them by seed.

The rules (Lewis et al., "Deal or No Deal?", EMNLP 2017, section 2): 5 to 7 pieces of three kinds, at least one of
each; to either side all pieces together are worth 10; no kind is worth nothing to both, and one is worth something
to both. Here, as in their files, there are at most 4 pieces of a kind.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import torch
from torch import Tensor

from advgames import rng
from advgames.dialogue.splits import ITEMS, MOST

__all__ = ["all_scenarios", "generate_scenarios"]

PIECES = (5, 6, 7)
TOTAL = 10  # what all pieces are worth to a side


def all_scenarios() -> Tensor:
    """Every scenario there is, (5295, 2, 6) int64: for each side ``c0 v0 c1 v1 c2 v2``; by counts, then values."""
    return _tables()[0].clone()


def generate_scenarios(seeds: Tensor) -> Tensor:
    """One scenario for each match seed (G,), as :func:`all_scenarios` lays them out, (G, 2, 6).

    The counts are uniform over all counts allowed, the pair of values is uniform over all pairs allowed with these
    counts. A seed has the same scenario in any batch.
    """
    scenarios, first, many = (table.to(seeds.device) for table in _tables())
    draws = rng.uniform(seeds, "scenario", 0, (2,), dtype=torch.float64)  # in (0, 1]
    pool = _place(draws[:, 0], torch.full_like(seeds, len(many)))
    return scenarios[first[pool] + _place(draws[:, 1], many[pool])]


def _place(draws: Tensor, sizes: Tensor) -> Tensor:
    """Uniform places below `sizes` from uniform draws in (0, 1]."""
    return ((1 - draws) * sizes).long()


@cache
def _tables() -> tuple[Tensor, Tensor, Tensor]:
    """All scenarios; where those of each pool of pieces begin; how many they are."""
    pools = [counts for counts in product(range(1, MOST + 1), repeat=len(ITEMS)) if sum(counts) in PIECES]
    blocks = [_pairs(counts) for counts in pools]
    many = torch.tensor([len(block) for block in blocks])
    return torch.cat(blocks), many.cumsum(0) - many, many


def _pairs(counts: tuple[int, ...]) -> Tensor:
    """All scenarios with these counts, (N, 2, 6)."""
    values = torch.cartesian_prod(*[torch.arange(TOTAL + 1)] * len(ITEMS))
    values = values[(values * torch.tensor(counts)).sum(1) == TOTAL]
    one, other = (values[place] for place in torch.meshgrid(*[torch.arange(len(values))] * 2, indexing="ij"))
    allowed = ((one + other) > 0).all(-1) & ((one * other) > 0).any(-1)
    pairs = torch.stack([one[allowed], other[allowed]], 1)  # (N, 2, 3)
    return torch.stack([torch.tensor(counts).expand_as(pairs), pairs], -1).flatten(2)
