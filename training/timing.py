"""What benchmarks share: a row of their table, and fair medians."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

__all__ = ["Row", "medians"]


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: what is compared with what.
        ratio: time of the first over time of the second (or the second over the first where more is better).
        floor: the bound the ratio must keep, and `better` on which side: ``"at most"`` or ``"at least"``.
        seconds: time of the suite's side, the median of the repetitions.
    """

    name: str
    ratio: float
    floor: float
    better: str
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether the bound is kept."""
        return self.ratio <= self.floor if self.better == "at most" else self.ratio >= self.floor

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        return asdict(self) | {"kept": self.kept}


def medians(
    device: torch.device,
    *works: Callable[[], object],
    repetitions: int = 15,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Median seconds of each work; the works take turns, so that a busy machine disturbs all alike.

    Args:
        warm_up: rounds before those that count.
        clock: ``time.process_time`` counts this process's own work, which on a CPU is what a ratio should compare.
    """
    times: list[list[float]] = [[] for _ in works]
    for repetition in range(warm_up + repetitions):
        for work, found in zip(works, times, strict=True):
            start = _now(device, clock)
            work()
            if repetition >= warm_up:
                found.append(_now(device, clock) - start)
    return [sorted(found)[len(found) // 2] for found in times]


def _now(device: torch.device, clock: Callable[[], float]) -> float:
    if device.type != "cuda":
        return clock()
    torch.cuda.synchronize(device)
    return time.perf_counter()
