"""What every attack takes and gives: a model, inputs and labels in; perturbed inputs and a success mask out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor

__all__ = ["Attacked", "Model", "Norm"]

#: logits (*lead, K) of inputs (*lead, *input_shape): a torch module, or any differentiable function
Model = Callable[[Tensor], Tensor]
Norm = Literal["l1", "l2", "linf"]


class Attacked(NamedTuple):
    """Answer of an attack.

    Attributes:
        perturbed: like the inputs, within radius and bounds.  # (*lead, *input_shape)
        success: whether the model misclassifies (targeted: classifies as asked) what `perturbed` holds.  # (*lead,)
    """

    perturbed: Tensor
    success: Tensor
