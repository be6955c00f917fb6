"""What happened to one minibatch, for pictures and reports."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Transition"]


@dataclass(frozen=True)
class Transition:
    """Labels (G, B, ...), clean x, delta, x', sigma, x'', (G, B, *input_shape) each; perturbations in radii.

    Of a randomised move the first draw is shown; draws says of how many pairs of moves that is, (G,).
    """

    labels: Tensor
    clean: Tensor
    attack: Tensor
    attacked: Tensor
    defense: Tensor
    repaired: Tensor
    draws: Tensor
