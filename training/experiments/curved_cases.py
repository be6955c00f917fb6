"""The victims with curved boundaries, their samples, and the budgets of the experiment."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from advgames import rng
from advgames.tasks import Recipe, Split, Task, load_task, trained_module
from advgames.training.experiments.curved_game import CurvedGame
from advgames.training.experiments.curved_search import Search
from advgames.victims import Victim, mlp

__all__ = ["CASES", "QUICK", "Case", "two_moons"]


@dataclass(frozen=True)
class Case:
    """A kind of victim, and how it is looked at.

    Attributes:
        name: of the victim.
        make: (seed, n, epochs) -> a trained victim, a sample of n inputs, and a disjoint one.
        inputs: n.
        epochs: of the victim's training.
        radius: eps of both players.
        search: for replies.
        iterations: of the double oracle, at most.
        patience: iterations without a new lowest exploitability after which it stops.
    """

    name: str
    make: Callable[[int, int, int], tuple[nn.Module, Tensor, Tensor]]
    inputs: int
    epochs: int
    radius: float
    search: Search
    iterations: int
    patience: int

    @property
    def thorough(self) -> Search:
        """A search to check the other: twice the steps, three times the samples, random starts and members."""
        more = {name: 3 * getattr(self.search, name) for name in ("members", "random", "samples")}
        return replace(self.search, steps=2 * self.search.steps, **more)

    def games(self, seed: int) -> tuple[CurvedGame, CurvedGame]:
        """The game on the sample and the one on the held-out sample."""
        module, *samples = self.make(seed, self.inputs, self.epochs)
        model = copy.deepcopy(module).double()
        one, other = (CurvedGame(model, inputs.double(), self.radius) for inputs in samples)
        return one, other


def two_moons(seed: int, count: int) -> Split:
    """Points on two interleaved half circles of radius 1 with normal noise of 0.1, half of each class.  # (count, 2)"""
    key = rng.seed_tensor([seed])
    angle = math.pi * rng.uniform(key, "moons.angle", 0, (count,))[0]
    labels = torch.arange(count) % 2
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    noise = 0.1 * rng.normal(key, "moons.noise", 0, (count, 2))[0]
    return Split(torch.where(labels[:, None] == 0, upper, lower) + noise, labels)


def _moons(seed: int, count: int, epochs: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A net of 16 tanh units trained on 400 points, and two fresh samples."""
    train, fresh = two_moons(2 * seed, 400), two_moons(2 * seed + 1, 2 * count)
    task = Task("two-moons", train, fresh, fresh, lambda: Victim(mlp(2, 16, 2, nn.Tanh)), bounds=None, num_classes=2)
    module = trained_module(task, Recipe(seed, epochs, batch_size=50, learning_rate=1e-2))
    return module, fresh.inputs[:count], fresh.inputs[count:]


def _digits(seed: int, count: int, epochs: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A net of 64 ReLU units that tells fours from nines, and two disjoint samples of the 361 images of them.

    The victim was trained on part of either sample; what is held out is held out from the players.
    """
    task = replace(load_task("digits:4v9"), make_victim=lambda: Victim(mlp(64, 64, 2)))
    module = trained_module(task, Recipe(seed, epochs, batch_size=20, learning_rate=3e-3))
    images = torch.cat([split.inputs for split in (task.train, task.validation, task.test)])
    order = rng.permutation(rng.seed_tensor([seed]), "curved.sample", 0, len(images))[0]
    return module, images[order[:count]], images[order[count : 2 * count]]


CASES = (
    Case("two-moons", _moons, 100, 100, 0.4, Search(), iterations=30, patience=10),
    Case("digits:4v9", _digits, 180, 20, 0.8, Search(samples=16, random=2), iterations=30, patience=10),
)
QUICK = (
    replace(CASES[0], inputs=30, search=Search(steps=5, samples=8, random=1), iterations=4),
    replace(CASES[1], inputs=40, epochs=5, search=Search(steps=5, samples=8, random=1), iterations=4),
)
