"""The classifiers and the regression of the papers, as plain torch modules."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from advgames.victims.base import Victim, squared_error

__all__ = [
    "Polygon",
    "ResidualRegression",
    "cifar10_cnn",
    "digits_cnn",
    "linear_classifier",
    "mlp",
    "mnist_cnn",
    "pair_cnn",
    "polygon_classifier",
    "residual_regression",
]


def mnist_cnn() -> nn.Sequential:
    """R2T2's MNIST model: convolutions of 16 and 64 channels, 64 hidden units; 92,330 parameters.

    Source: r2t2.txt A.1.2. The paper gives no kernel size; 5x5 without padding and 2x2 max pooling has the
    "around 0.1M" parameters it states.
    """
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 64, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


def cifar10_cnn() -> nn.Sequential:
    """R2T2's CIFAR-10 model: convolutions of 128, 128 and 512 channels, 3x3 average pool, 256 hidden units.

    Source: r2t2.txt A.1.2. Kernel sizes and strides are not given: 3x3, the first two at stride 2 with padding 1
    and the third unpadded, so that the 3x3 pool of a 6x6 map leaves 512 * 4 features; 1,268,618 parameters
    ("around 1M").
    """
    return nn.Sequential(
        *(nn.Conv2d(3, 128, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(128, 128, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(128, 512, 3), nn.ReLU(), nn.AvgPool2d(3)),
        *(nn.Flatten(), nn.Linear(2048, 256), nn.ReLU(), nn.Linear(256, 10)),
    )


def digits_cnn(activation: type[nn.Module] = nn.ReLU, outputs: int = 10) -> nn.Sequential:
    """A small CNN for 8x8 digits: 3x3 convolutions of 16 and 32 channels, 64 hidden units; 13,706 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3), activation()),
        *(nn.Conv2d(16, 32, 3, stride=2), activation()),
        *(nn.Flatten(), nn.Linear(128, 64), activation(), nn.Linear(64, outputs)),
    )


def pair_cnn() -> nn.Sequential:
    """A 4-layer ReLU network that tells two classes of 28x28 images apart; 21,432 parameters.

    Source: additive_nash.txt section 4, "a 4-layer convolutional neural network with ReLU activation functions" and
    nothing more: here 5x5 convolutions of 10 and 20 channels, each with 2x2 max pooling, 50 hidden units, two logits.
    """
    return nn.Sequential(
        *(nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(320, 50), nn.ReLU(), nn.Linear(50, 2)),
    )


def mlp(inputs: int, hidden: int = 64, outputs: int = 10, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """One hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), activation(), nn.Linear(hidden, outputs))


def linear_classifier(inputs: int, outputs: int = 2) -> nn.Sequential:
    """A single linear layer (logistic regression where outputs = 2; R2T2's 1-versus-7 model)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))


class ResidualRegression(nn.Module):
    """One-dimensional regression through the origin; its output is the residual (theta - theta*) x.

    The ground truth y(x) = theta* x is a function of the input, so a perturbed input has a perturbed truth:
    the loss at x'' is (theta x'' - theta* x'')^2, and the label to compare the residual with is 0.
    Source: R12, r2t2.txt section 5 and A.2.1.
    """

    def __init__(self, truth: float = 20.0) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1))
        self.truth = truth

    def forward(self, inputs: Tensor) -> Tensor:
        """Residuals (B, 1) of inputs (B, 1)."""
        return (self.theta - self.truth) * inputs


def residual_regression(start: float = -10.0, truth: float = 20.0) -> Victim:
    """R12's victim: theta_0 = -10 in every match, theta* = 20, squared error."""
    module = ResidualRegression(truth)
    return Victim(
        module,
        loss=squared_error,
        init=lambda seeds: {"theta": torch.full((len(seeds), 1), start, dtype=module.theta.dtype, device=seeds.device)},
    )


class Polygon(nn.Module):
    """Inside or outside a regular polygon around the origin: f(x) = min_j (apothem - n_j . x), logits (-f / 2, f / 2).

    A piecewise-linear victim whose boundary, gradients and robust sets are known by heart; class 1 is inside.
    """

    def __init__(self, sides: int = 3, apothem: float = 4.0) -> None:
        super().__init__()
        angles = 2 * math.pi * torch.arange(sides) / sides
        self.normals = nn.Parameter(torch.stack([angles.cos(), angles.sin()], 1))
        self.apothem = apothem

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, 2) of points (B, 2)."""
        signed = (self.apothem - inputs @ self.normals.T).amin(1)
        return torch.stack([-signed / 2, signed / 2], 1)


def polygon_classifier(sides: int = 3, apothem: float = 4.0) -> Victim:
    """The :class:`Polygon` with its own parameters in every match."""
    module = Polygon(sides, apothem)
    return Victim(module, init=lambda seeds: {"normals": module.normals.detach().expand(len(seeds), -1, -1).clone()})
