"""Gymnasium's view of a game's spaces, and the named errors of actions that lie outside them."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from advgames.errors import (
    ActionDtypeError,
    ActionError,
    ActionShapeError,
    NonFiniteActionError,
    RadiusExceededError,
)
from advgames.games import spaces as core
from advgames.threat import Norm, Threat

__all__ = ["MASK", "Ball", "as_array", "boxed", "check_action", "numpy_dtype", "to_gymnasium"]

MASK = core.MASK
Array: TypeAlias = NDArray[Any]
T = TypeVar("T")


class Ball(spaces.Box):
    """Perturbations (B, *input_shape) whose every input's perturbation has norm at most 1.

    A Box from -1 to 1 to whoever only knows boxes; :meth:`sample` and :meth:`contains` know the ball. A norm may
    exceed 1 by the rounding that the game itself tolerates (:class:`advgames.threat.Threat`).

    Args:
        shape: (B, *input_shape).
        norm: ``"l2"`` or ``"linf"``, over input_shape.
        dtype: floating-point dtype.
        seed: of :meth:`sample`.
    """

    def __init__(
        self, shape: tuple[int, ...], norm: Norm = "l2", dtype: Any = np.float32, seed: int | None = None
    ) -> None:
        super().__init__(-1.0, 1.0, shape, dtype, seed)
        self.norm: Norm = norm
        self.tolerance = Threat(norm).tolerance

    def norms(self, x: Array) -> Array:
        """The norm of each input's perturbation, (B,)."""
        order = 2 if self.norm == "l2" else np.inf
        found: Array = np.linalg.norm(x.reshape(len(x), -1), ord=order, axis=1)
        return found

    def sample(self, mask: None = None, probability: None = None) -> Array:
        """Perturbations drawn uniformly from the ball, independently per input."""
        if mask is not None or probability is not None:
            raise gymnasium.error.Error("Ball.sample takes neither a mask nor probabilities")
        if self.norm == "linf":
            return self.np_random.uniform(-1.0, 1.0, self.shape).astype(self.dtype)
        direction = self.np_random.standard_normal((self.shape[0], int(np.prod(self.shape[1:]))))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        radius = self.np_random.uniform(size=(self.shape[0], 1)) ** (1.0 / direction.shape[1])
        found: Array = (radius * direction).reshape(self.shape).astype(self.dtype)
        return found

    def contains(self, x: Any) -> bool:
        """Whether `x` has the shape, a dtype that casts safely, and finite norms of at most 1."""
        if not isinstance(x, np.ndarray) or not np.can_cast(x.dtype, self.dtype) or x.shape != self.shape:
            return False
        return bool((self.norms(x) <= 1.0 + self.tolerance).all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ball) and super().__eq__(other) and self.norm == other.norm

    def __repr__(self) -> str:
        return f"Ball({self.shape}, {self.norm!r}, {self.dtype})"


def numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """The numpy dtype of a torch dtype."""
    return torch.empty(0, dtype=dtype).numpy().dtype


def to_gymnasium(space: core.Space | core.Observation, dtype: torch.dtype) -> spaces.Space[Any]:
    """A game's space for one match as Gymnasium's; real numbers in `dtype`, classes in int64, masks in int8."""
    real: Any = numpy_dtype(dtype)
    if isinstance(space, dict):
        return spaces.Dict({name: to_gymnasium(part, dtype) for name, part in space.items()})
    if isinstance(space, core.Ball):
        return Ball(space.shape, space.norm, real)
    if isinstance(space, core.Box):
        return spaces.Box(space.low, space.high, space.shape, real)
    if isinstance(space, core.Mask):
        return spaces.MultiBinary(space.shape)
    if isinstance(space, core.Text):
        return spaces.Text(space.length, min_length=0, charset=space.characters)
    if space.shape == ():
        return spaces.Discrete(space.n)
    return spaces.MultiDiscrete(np.full(space.shape, space.n, dtype=np.int64))


def boxed(space: spaces.Space[Any]) -> tuple[spaces.Space[Any], Threat | None]:
    """The box that policies emit in place of a ball, and what projects it onto the ball; other spaces as they are."""
    if not isinstance(space, Ball):
        return space, None
    return spaces.Box(-1.0, 1.0, space.shape, space.dtype.type), Threat(space.norm)


def as_array(space: spaces.Space[Any], values: torch.Tensor) -> Any:
    """A tensor of one match as an element of `space`: an array of its own, or an int of a Discrete space."""
    if isinstance(space, spaces.Discrete):
        return int(values)
    return np.array(values.detach().cpu().numpy(), dtype=space.dtype, copy=True)


def check_action(space: spaces.Space[Any], action: Any, agent: str) -> Array:
    """`action` as an array if it lies in `space`, else a named error; an int is an element of a Discrete space.

    Raises:
        ActionDtypeError, ActionShapeError, NonFiniteActionError, RadiusExceededError, ActionError
    """
    if isinstance(space, spaces.Discrete) and isinstance(action, int) and not isinstance(action, bool):
        action = np.asarray(action)
    if not isinstance(action, np.ndarray | np.generic):
        raise ActionDtypeError(f"{agent}: expected a numpy array, got {type(action).__name__}")
    array = np.asarray(action)
    if space.dtype is None or not np.can_cast(array.dtype, space.dtype):
        raise ActionDtypeError(f"{agent}: expected dtype {space.dtype}, got {array.dtype}")
    if array.shape != space.shape:
        raise ActionShapeError(f"{agent}: expected shape {space.shape}, got {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NonFiniteActionError(f"{agent}: the action contains NaN or infinity")
    if isinstance(space, Ball):
        largest = float(space.norms(array).max())
        if largest > 1.0 + space.tolerance:
            raise RadiusExceededError(
                f"{agent}: the largest {space.norm} norm is {largest:.6g}, but at most 1 is allowed "
                "(perturbations are given in units of the radius epsilon)"
            )
    elif not space.contains(array if array.shape else array[()]):
        raise ActionError(f"{agent}: the action lies outside {space}")
    return array
