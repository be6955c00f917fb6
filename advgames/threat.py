"""What a perturbation may be: a norm, and the valid range of the inputs it is added to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from advgames.errors import (
    ActionDeviceError,
    ActionDtypeError,
    ActionShapeError,
    NonFiniteActionError,
    RadiusExceededError,
    SettingError,
)

__all__ = ["Norm", "Threat"]

Norm = Literal["l2", "linf"]


@dataclass(frozen=True)
class Threat:
    """Perturbations delta with ``norm(delta) <= 1`` per input, scaled by a radius and kept in the valid range.

    Inputs and perturbations have shape (G, B, *input_shape); norms are taken over input_shape.
    Source: r2t2.txt eq. 1-2 and footnote 3 (L-infinity by the sign function).

    Args:
        norm: ``"l2"`` or ``"linf"``.
        bounds: valid range (low, high) of every input entry, or None where inputs are unbounded.
        tolerance: how far a norm may exceed 1 by rounding before it is refused.
    """

    norm: Norm = "l2"
    bounds: tuple[float, float] | None = (0.0, 1.0)
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise SettingError(f"norm must be one of {', '.join(get_args(Norm))}, got {self.norm!r}")
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise SettingError(f"bounds must be (low, high) with low < high, got {self.bounds}")

    def norms(self, delta: Tensor) -> Tensor:
        """The norm of each perturbation, (G, B)."""
        order = 2 if self.norm == "l2" else float("inf")
        found: Tensor = torch.linalg.vector_norm(delta.flatten(2), ord=order, dim=2)
        return found

    def unit(self, direction: Tensor) -> Tensor:
        """The steepest perturbation of norm 1 along `direction` (the paper's e(.)).

        A direction that is zero, or not finite (the training of that match has diverged), gives no perturbation.
        """
        largest = direction.flatten(2).abs().amax(2)
        usable = torch.isfinite(largest) & (largest > 0)
        direction = torch.where(_per_input(usable, direction), direction, torch.zeros_like(direction))
        if self.norm == "linf":
            return torch.sign(direction)
        # Scaling by the largest entry first keeps tiny gradients from underflowing in the squares.
        scaled = direction / _per_input(torch.where(usable, largest, torch.ones_like(largest)), direction)
        length = torch.linalg.vector_norm(scaled.flatten(2), dim=2)
        return scaled / _per_input(torch.where(usable, length, torch.ones_like(length)), direction)

    def project(self, delta: Tensor) -> Tensor:
        """The nearest perturbation of norm at most 1 (r2t2.txt eq. 9, Proj)."""
        if self.norm == "linf":
            return delta.clamp(-1.0, 1.0)
        return delta / _per_input(self.norms(delta).clamp(min=1.0), delta)

    def perturb(self, inputs: Tensor, delta: Tensor, radius: Tensor) -> Tensor:
        """``inputs + radius * delta`` within the bounds; radius is (G,)."""
        moved = inputs + radius.reshape(-1, *[1] * (inputs.ndim - 1)) * delta
        return moved if self.bounds is None else moved.clamp(*self.bounds)

    def check(self, delta: object, inputs: Tensor, player: str) -> Tensor:
        """A copy of `delta` if it is a legal perturbation of `inputs`, else a named error.

        Raises:
            ActionDtypeError, ActionShapeError, ActionDeviceError, NonFiniteActionError, RadiusExceededError
        """
        if not isinstance(delta, Tensor):
            raise ActionDtypeError(f"{player}: expected a torch.Tensor, got {type(delta).__name__}")
        if delta.dtype != inputs.dtype:
            raise ActionDtypeError(f"{player}: expected dtype {inputs.dtype}, got {delta.dtype}")
        if delta.shape != inputs.shape:
            raise ActionShapeError(
                f"{player}: expected shape {tuple(inputs.shape)} (matches, batch, *input), got {tuple(delta.shape)}"
            )
        if delta.device != inputs.device:
            raise ActionDeviceError(f"{player}: expected device {inputs.device}, got {delta.device}")
        largest = float(self.norms(delta.detach()).max())  # the one host sync of a move; NaN propagates
        if not math.isfinite(largest) and not bool(torch.isfinite(delta).all()):
            raise NonFiniteActionError(f"{player}: the perturbation contains NaN or infinity")
        if not largest <= 1.0 + self.tolerance:
            raise RadiusExceededError(
                f"{player}: the largest {self.norm} norm is {largest:.6g}, but at most 1 is allowed "
                "(perturbations are given in units of the radius epsilon)"
            )
        return delta.detach().clone()


def _per_input(values: Tensor, like: Tensor) -> Tensor:
    """(G, B) reshaped to broadcast against (G, B, *input_shape)."""
    return values.reshape(*values.shape, *[1] * (like.ndim - 2))
