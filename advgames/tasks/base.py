"""Task: data splits, a victim and a loss; what a training-time or test-time game is played on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from advgames.victims import Victim

__all__ = ["Recipe", "Split", "Task"]


@dataclass(frozen=True)
class Split:
    """Inputs (N, *input_shape) and their labels: classes (N,) int64, or targets (N, K)."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Split:
        """The split on a device, floating-point tensors in `dtype`."""
        labels = self.labels.to(device, dtype if self.labels.is_floating_point() else None)
        return Split(self.inputs.to(device, dtype), labels)

    def take(self, index: Tensor) -> Split:
        """The samples at `index` (any shape), with that shape in front."""
        return Split(self.inputs[index], self.labels[index])


@dataclass(frozen=True)
class Recipe:
    """How the victim of a test-time game is trained: on minibatches; 0 epochs leave it as it begins.

    Attributes:
        seed: of the initial weights and the order of the data.
        epochs, batch_size, learning_rate: of the training.
        momentum: SGD with this momentum; None: Adam.
    """

    seed: int = 0
    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 1e-3
    momentum: float | None = None


@dataclass(frozen=True)
class Task:
    """Data, victim and usual settings.

    Attributes:
        name: registry name.
        train: what minibatches are drawn from (known to no player as a whole).
        validation: clean and public.
        test: clean and known to no player: reports of the training-time game, inputs of the test-time game.
        make_victim: builds the victim (float32, CPU).
        bounds: valid range of input entries, or None.
        num_classes: number of classes, or None for regression.
        defaults: the settings of this task's game where the caller gives none (batch_size, epochs or iterations,
            optimizer, learning_rate, epsilon).
        draw: for tasks whose minibatches are fresh draws and not passes over `train`:
            (match seeds (G,), iteration, batch_size) -> Split with leading shape (G, B).
        recipe: how the victim is trained for a test-time game.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    make_victim: Callable[[], Victim]
    bounds: tuple[float, float] | None = (0.0, 1.0)
    num_classes: int | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    draw: Callable[[Tensor, int, int], Split] | None = None
    recipe: Recipe = Recipe()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.train.inputs.shape[1:])

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Task:
        """The task on a device and in a floating-point dtype (the victim moves when it is built)."""
        splits = {name: getattr(self, name).to(device, dtype) for name in ("train", "validation", "test")}
        return replace(self, **splits)
