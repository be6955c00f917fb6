"""Models under attack, functional in their parameters."""

from __future__ import annotations

from advgames.victims.base import Batching, Loss, Victim, cross_entropy, squared_error
from advgames.victims.classifiers import (
    ResidualRegression,
    cifar10_cnn,
    digits_cnn,
    linear_classifier,
    mlp,
    mnist_cnn,
    residual_regression,
)

__all__ = [
    "Batching",
    "Loss",
    "ResidualRegression",
    "Victim",
    "cifar10_cnn",
    "cross_entropy",
    "digits_cnn",
    "linear_classifier",
    "mlp",
    "mnist_cnn",
    "residual_regression",
    "squared_error",
]
