"""What actions and observations look like, for one match, without any environment library."""

from __future__ import annotations

import math
from dataclasses import dataclass

from advgames.threat import Norm

__all__ = ["Ball", "Box", "Classes", "Observation", "Space"]


@dataclass(frozen=True)
class Box:
    """Real numbers of a shape between low and high."""

    shape: tuple[int, ...]
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Ball:
    """Perturbations (B, *input_shape) with norm at most 1 per input."""

    shape: tuple[int, ...]
    norm: Norm = "l2"


@dataclass(frozen=True)
class Classes:
    """Integers of a shape in [0, n)."""

    shape: tuple[int, ...]
    n: int


Space = Box | Ball | Classes
Observation = dict[str, Space]
