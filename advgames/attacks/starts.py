"""Where iterated attacks start: at the inputs, at random points of the ball, or where the caller says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from advgames import rng
from advgames.attacks.problem import Problem
from advgames.errors import InputError, SettingError, UnknownNameError

__all__ = ["Start", "starting_point"]

#: a name, the points themselves (*lead, *input_shape), or a function of the inputs that gives them
Start = Literal["input", "random"] | Tensor | Callable[[Tensor], Tensor]


def starting_point(problem: Problem, start: Start, seed: int | Tensor, restart: int) -> Tensor:
    """Flat starting points, (*lead, D); restarts after the first are random.

    A random point is uniform in the ball, then moved into the bounds: a pure function of the seed, the number of the
    restart and the place in the batch.

    Args:
        seed: one key for all inputs, or one per leading index (a match's seed), (G,) int64.

    Raises:
        InputError: points given are not like the inputs.
        SettingError: a seed that is none.
        UnknownNameError: no start of that name.
    """
    if restart > 0 or (isinstance(start, str) and start == "random"):
        return problem.bounded(problem.inputs + problem.radius * _unit_ball(problem, seed, restart))
    if isinstance(start, str):
        if start != "input":
            raise UnknownNameError("start", start, ["input", "random"])
        return problem.inputs
    shaped = problem.shaped(problem.inputs)
    points = start if isinstance(start, Tensor) else start(shaped)
    if points.shape != shaped.shape or points.dtype != shaped.dtype or points.device != shaped.device:
        raise InputError(
            f"starting points must be like the inputs, {tuple(shaped.shape)} {shaped.dtype} on {shaped.device}, "
            f"got {tuple(points.shape)} {points.dtype} on {points.device}"
        )
    return points.flatten(problem.labels.ndim)


def _unit_ball(problem: Problem, seed: int | Tensor, restart: int) -> Tensor:
    """Uniform in the unit ball, (*lead, D): every input has a key of its own, whatever the size of the batch."""
    shape, dtype = problem.inputs.shape, problem.inputs.dtype
    if isinstance(seed, Tensor):
        if seed.shape != shape[:1] or seed.dtype != torch.int64:
            raise SettingError(f"seeds must be int64 of shape {tuple(shape[:1])}, got {seed.dtype} {tuple(seed.shape)}")
        seeds, places = seed.to(problem.inputs.device), shape[1:-1]
    else:
        seeds, places = rng.seed_tensor([seed], problem.inputs.device), shape[:-1]
    keys = rng.bits(seeds, "start", 0, places).flatten()
    return problem.geometry.random(keys, restart, shape[-1:], dtype).reshape(shape)
