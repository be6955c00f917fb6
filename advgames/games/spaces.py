"""What actions and observations look like, for one match, without any environment library."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass

from advgames.threat import Norm

__all__ = ["MASK", "PRINTABLE", "Ball", "Box", "Classes", "Mask", "Observation", "Space", "Text"]

MASK = "action_mask"  # where observations say which actions are legal, by PettingZoo's convention
PRINTABLE = string.digits + string.ascii_letters + string.punctuation + " "


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


@dataclass(frozen=True)
class Mask:
    """0 or 1 at each place of a shape: 1 where the move of that number is legal."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """Strings of at most `length` of these characters."""

    length: int
    characters: str = PRINTABLE


Space = Box | Ball | Classes | Mask | Text
Observation = dict[str, Space]
