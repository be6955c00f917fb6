"""What actions and observations look like, for one match, without any environment library."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass

import torch
from torch import Tensor

from advgames.errors import ActionDeviceError, ActionDtypeError, ActionError, ActionShapeError
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

    def checked(self, move: Tensor, matches: int, device: torch.device, player: str) -> Tensor:
        """A move of every match, (G, *shape), as int64.

        Raises:
            ActionDtypeError, ActionShapeError, ActionDeviceError, ActionError: it is none.
        """
        shape = (matches, *self.shape)
        if not isinstance(move, Tensor) or move.dtype not in _INTEGERS:
            kind = str(move.dtype) if isinstance(move, Tensor) else type(move).__name__
            raise ActionDtypeError(f"{player}: expected a tensor of integers, got {kind}")
        if tuple(move.shape) != shape:
            raise ActionShapeError(f"{player}: expected a move of shape {shape}, got {tuple(move.shape)}")
        if move.device != device:
            raise ActionDeviceError(f"{player}: the move lies on {move.device}, the game on {device}")
        move = move.long()  # before numbers are compared that smaller types do not hold
        bad = ((move < 0) | (move >= self.n)).reshape(matches, -1).any(-1)
        if bool(bad.any()):
            match = int(bad.long().argmax())
            got = move[match].tolist()
            raise ActionError(f"{player}: moves are numbers from 0 to {self.n - 1}, got {got} in match {match}")
        return move


@dataclass(frozen=True)
class Mask:
    """0 or 1 at each place of a shape: 1 where the move of that number is legal."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """Strings of at most `length` of these characters."""

    length: int
    characters: str = PRINTABLE


_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

Space = Box | Ball | Classes | Mask | Text
Observation = dict[str, Space]
