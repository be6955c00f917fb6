"""Points around a triangle: an embedded two-dimensional task whose victim, gradients and robust sets are known."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from advgames import rng
from advgames.errors import SettingError
from advgames.tasks.base import Recipe, Split, Task
from advgames.victims import polygon_classifier

__all__ = ["polygon_task"]

_SIDES, _APOTHEM, _SEED = 3, 4.0, 2020
_SHARES = (0.7, 0.2, 0.1)  # of the points, by side
_INSIDE = 0.9  # share of points inside
_REACH = 2.0  # largest distance from the side
_SIZE = 200


def polygon_task(root: str | Path | None, sizes: tuple[int | None, int | None, int | None]) -> Task:
    """200 points up to 2 away from a side of a triangle, 90 % of them inside, the sides' shares 70, 20 and 10 %.

    Points keep away from the corners, so that within 2 of each the boundary is one straight line: the locally
    linear model of additive_nash.txt section 2 holds exactly up to radius 1. Training, validation and test points
    are the same: the value of the game on them is known, and nothing is lost to generalisation.
    """
    if any(size is not None for size in sizes):
        raise SettingError("polygon is one set of points: train_size, validation_size, test_size do not apply")
    key = rng.seed_tensor([_SEED])
    side, place, distance, within = (rng.uniform(key, name, 0, (_SIZE,))[0] for name in ("side", "at", "far", "in"))
    which = torch.bucketize(side, torch.tensor(_SHARES).cumsum(0)[:-1])
    inside = within <= _INSIDE
    points = Split(_points(which, place, torch.where(inside, -distance, distance) * _REACH), inside.to(torch.int64))
    return Task(
        "polygon",
        train=points,
        validation=points,
        test=points,
        make_victim=lambda: polygon_classifier(_SIDES, _APOTHEM),
        bounds=None,
        num_classes=2,
        defaults={"batch_size": 50, "epochs": 10, "optimizer": "sgd", "learning_rate": 0.1, "epsilon": 1.0},
        recipe=Recipe(epochs=0),
    )


def _points(side: Tensor, place: Tensor, outwards: Tensor) -> Tensor:
    """Points at a signed distance outwards from a place on a side, (N, 2)."""
    angle = 2 * math.pi * side / _SIDES
    normal = torch.stack([angle.cos(), angle.sin()], 1)
    along = torch.stack([-angle.sin(), angle.cos()], 1)
    half = _APOTHEM * math.tan(math.pi / _SIDES) - 2 * _REACH / math.tan(math.pi / _SIDES)
    return (_APOTHEM + outwards)[:, None] * normal + ((2 * place - 1) * half)[:, None] * along
