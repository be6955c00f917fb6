"""Splits of the items between two sides: all of them enumerated, their values, and the points of bargaining theory."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "ITEMS",
    "MOST",
    "NO_DEAL",
    "NUM_SPLITS",
    "Frontier",
    "frontier",
    "legal_splits",
    "mirrored",
    "split_index",
    "split_items",
    "split_values",
]

ITEMS = ("book", "hat", "ball")
MOST = 4  # pieces of one item at most, as in the data
_BASE = MOST + 1
NUM_SPLITS: int = _BASE ** len(ITEMS)  # 125 ways to name 0 to 4 pieces of each item
NO_DEAL = NUM_SPLITS  # the choice of nothing, one past the last split


def split_items(device: torch.device | str | None = None) -> Tensor:
    """What one side takes in each split, (125, 3) int64; split i takes i // 25, i // 5 % 5 and i % 5 pieces."""
    index = torch.arange(NUM_SPLITS, device=device)
    return torch.stack([index // _BASE**2, index // _BASE % _BASE, index % _BASE], -1)


def split_index(items: Tensor) -> Tensor:
    """The split in which one side takes items (..., 3)."""
    return (items[..., 0] * _BASE + items[..., 1]) * _BASE + items[..., 2]


def legal_splits(counts: Tensor) -> Tensor:
    """Which splits take no more than there is, (..., 125) bool for counts (..., 3)."""
    return (split_items(counts.device) <= counts[..., None, :]).all(-1)


def mirrored(choice: Tensor, counts: Tensor) -> Tensor:
    """The other side's part of choices (...) out of counts (..., 3); no deal stays no deal."""
    rest = counts - split_items(counts.device)[choice.clamp(max=NUM_SPLITS - 1)]
    return torch.where(choice >= NO_DEAL, NO_DEAL, split_index(rest))


def split_values(values: Tensor, items: Tensor | None = None) -> Tensor:
    """What each split is worth to the side that takes it, (..., 125), by its values (..., 3)."""
    taken = split_items(values.device) if items is None else items
    return (taken.to(values.dtype) * values[..., None, :]).sum(-1)


class Frontier(NamedTuple):
    """Where an agreement could lie, from the attacker's and the defender's values; all over G matches.

    Attributes:
        own, other: value of each split to the side that takes it, and to the other, (G, 125).
        legal: which splits there are, (G, 125) bool.
        efficient: which are Pareto efficient: no other split is better for one side and not worse for the other.
        nash: values (G, 2) at the split of the largest product of gains over walking away (the Nash point).
        kalai: values (G, 2) at the efficient split of the largest smallest gain as a share of the largest
            possible one (the Kalai-Smorodinsky point, on the splits that exist).
            Where no split is worth both sides' walking away, both points are that.
    """

    own: Tensor
    other: Tensor
    legal: Tensor
    efficient: Tensor
    nash: Tensor
    kalai: Tensor


def frontier(counts: Tensor, values: Tensor, other_values: Tensor, walk_away: tuple[float, float]) -> Frontier:
    """All splits of counts (G, 3) under both sides' values (G, 3), with their bargaining points.

    Ties between splits go to the larger sum of values, then to the split with the lower number.
    """
    taken = split_items(counts.device)
    legal = legal_splits(counts)
    own = split_values(values.double(), taken)
    other = ((counts[:, None, :] - taken).double() * other_values.double()[:, None, :]).sum(-1)
    below = legal[:, None, :] & (own[:, None, :] >= own[:, :, None]) & (other[:, None, :] >= other[:, :, None])
    better = below & ((own[:, None, :] > own[:, :, None]) | (other[:, None, :] > other[:, :, None]))
    efficient = legal & ~better.any(-1)
    gains = torch.stack([own - walk_away[0], other - walk_away[1]], -1)
    possible = efficient & (gains >= 0).all(-1)
    reach = torch.where(possible[..., None], gains, 0.0).amax(1).clamp(min=1e-9)
    total = own + other
    nash = _best(gains.clamp(min=0).prod(-1), total, possible)
    kalai = _best((gains / reach[:, None]).amin(-1), total, possible)
    points = torch.stack([own, other], -1)
    pick = torch.arange(len(counts), device=counts.device)
    apart = points.new_tensor(walk_away).where(~possible.any(-1, keepdim=True), torch.nan)
    nash_point, kalai_point = (torch.where(apart.isnan(), points[pick, at], apart) for at in (nash, kalai))
    return Frontier(own, other, legal, efficient, nash_point, kalai_point)


def _best(rank: Tensor, tie: Tensor, among: Tensor) -> Tensor:
    """The split of the highest `rank`, then of the highest `tie`, among some, (G,)."""
    least = torch.full_like(rank, -torch.inf)
    top = torch.where(among, rank, least)
    first = top >= top.amax(-1, keepdim=True) - 1e-9
    return torch.where(first, tie, least).argmax(-1)
