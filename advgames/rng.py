"""Counter-based randomness: every draw is a pure function of (match seed, stream, counter, index).

No generator state exists, so match i of a batch of 64 draws exactly what the same match draws alone, on any
device, and a restored state continues as if nothing had happened. The hash is the finaliser of SplitMix64
(Steele, Lea & Flood, OOPSLA 2014), applied once per key part.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from advgames.errors import SettingError

__all__ = ["bits", "normal", "permutation", "seed_tensor", "uniform"]

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64
_MULTIPLIER_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MULTIPLIER_2 = -7723592293110705685  # 0x94D049BB133111EB


def seed_tensor(seeds: Sequence[int] | Tensor, device: torch.device | str | None = None) -> Tensor:
    """Match seeds as an int64 tensor (G,); each must lie in [0, 2**63)."""
    if isinstance(seeds, Tensor):
        seeds = seeds.tolist()
    if len(seeds) == 0:
        raise SettingError("a batch of matches needs at least one seed, got none")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise SettingError(f"a match seed must be an integer in [0, 2**63), got {seed!r}")
    return torch.tensor(list(seeds), dtype=torch.int64, device=device)


def bits(seeds: Tensor, stream: str, counter: int, shape: Sequence[int]) -> Tensor:
    """64 random bits per entry as int64, shape (G, *shape), for match seeds (G,)."""
    key = _mix(seeds + _GOLDEN)
    key = _mix(key ^ _wrap(zlib.crc32(stream.encode()) * 0x9E3779B1))
    key = _mix(key + _wrap((counter + 1) * _GOLDEN))
    index = torch.arange(1, math.prod(shape) + 1, dtype=torch.int64, device=seeds.device)
    return _mix(key[:, None] + index * _GOLDEN).reshape(len(seeds), *shape)


def uniform(
    seeds: Tensor, stream: str, counter: int, shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Uniform draws from (0, 1], shape (G, *shape)."""
    mantissa = _shift_right(bits(seeds, stream, counter, shape), 11)
    return ((mantissa + 1).to(torch.float64) * 2.0**-53).to(dtype)


def normal(
    seeds: Tensor, stream: str, counter: int, shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Standard normal draws, shape (G, *shape), by Box-Muller."""
    pair = uniform(seeds, stream, counter, (2, *shape), dtype=torch.float64)
    radius = torch.sqrt(-2.0 * torch.log(pair[:, 0]))
    return (radius * torch.cos(2.0 * math.pi * pair[:, 1])).to(dtype)


def permutation(seeds: Tensor, stream: str, counter: int, size: int) -> Tensor:
    """One random permutation of range(size) per match, int64 (G, size)."""
    return torch.argsort(bits(seeds, stream, counter, (size,)), dim=1, stable=True)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift_right(z, 30)) * _MULTIPLIER_1
    z = (z ^ _shift_right(z, 27)) * _MULTIPLIER_2
    return z ^ _shift_right(z, 31)


def _shift_right(z: Tensor, places: int) -> Tensor:
    """Logical (zero-filling) right shift of int64."""
    return (z >> places) & ((1 << (64 - places)) - 1)


def _wrap(value: int) -> int:
    """A Python integer reduced to the int64 with the same low 64 bits."""
    return (value + 2**63) % 2**64 - 2**63
