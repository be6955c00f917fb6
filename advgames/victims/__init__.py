"""Models under attack, functional in their parameters."""

from __future__ import annotations

from advgames.victims.base import Batching, Loss, Victim, cross_entropy, squared_error
from advgames.victims.classifiers import (
    Polygon,
    ResidualRegression,
    cifar10_cnn,
    digits_cnn,
    linear_classifier,
    mlp,
    mnist_cnn,
    pair_cnn,
    polygon_classifier,
    residual_regression,
)
from advgames.victims.fixed import FixedVictim, margin

__all__ = [
    "Batching",
    "FixedVictim",
    "Loss",
    "Polygon",
    "ResidualRegression",
    "Victim",
    "cifar10_cnn",
    "cross_entropy",
    "digits_cnn",
    "linear_classifier",
    "margin",
    "mlp",
    "mnist_cnn",
    "pair_cnn",
    "polygon_classifier",
    "residual_regression",
    "squared_error",
]
