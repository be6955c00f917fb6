"""The victim as libraries want it: a module in evaluation mode, that no attack can change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from advgames.attacks import Model

__all__ = ["VictimModule"]


class VictimModule(nn.Module):
    """Logits (N, K) of inputs (N, *input_shape), differentiable in the inputs alone, once.

    The victim is out of reach: ``train()``, ``to()``, ``requires_grad_()`` and ``parameters()`` stop at this module,
    whose only parameter is empty and tells the device, and ``backward()`` computes no gradient of any weight.
    Inputs of another dtype are cast to the victim's (libraries mix float32 and float64).

    Args:
        model: the victim.
        like: a tensor of the victim's dtype and device.
        box: (low, high): inputs arrive in [0, 1] and are mapped to this range; None: they arrive as they are.
        shape: of one input for the victim; None: as it arrives.
    """

    def __init__(
        self,
        model: Model,
        like: Tensor,
        box: tuple[float, float] | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.anchor = nn.Parameter(like.new_empty(0), requires_grad=False)

        def logits(asked: Tensor) -> Tensor:  # a function, so that no module is registered here
            return model(asked)

        self._logits = logits
        self._box, self._shape = box, shape
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, (N, K)."""
        inputs = inputs.to(self.anchor.dtype)
        if self._box is not None:
            inputs = self._box[0] + (self._box[1] - self._box[0]) * inputs
        if self._shape is not None:
            inputs = inputs.reshape(-1, *self._shape)
        if torch.is_grad_enabled() and inputs.requires_grad:
            found: Tensor = _InputsAlone.apply(inputs, self._logits)  # type: ignore[no-untyped-call]
            return found
        with torch.no_grad():
            return self._logits(inputs)

    def on_images(
        self, inputs: Tensor, box: tuple[float, float], attack: Callable[[VictimModule, Tensor], Tensor]
    ) -> Tensor:
        """The answer of an attack that knows images (N, C, H, W) in [0, 1] only, to inputs of any shape and range.

        Inputs of d entries that are no images are images of d channels and one pixel.
        """
        shape, (low, high) = inputs.shape[1:], box
        image = inputs if len(shape) == 3 else inputs.reshape(len(inputs), -1, 1, 1)
        if box == (0.0, 1.0):  # without rounding
            return attack(VictimModule(self._logits, self.anchor, None, shape), image).reshape(inputs.shape)
        victim = VictimModule(self._logits, self.anchor, box, shape)
        answer = attack(victim, ((image - low) / (high - low)).clamp(0.0, 1.0))
        return (low + (high - low) * answer).reshape(inputs.shape)


class _InputsAlone(torch.autograd.Function):
    """A function whose backward pass stops at the inputs and never enters what else the function depends on."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, function: Model) -> Tensor:
        with torch.enable_grad():
            ctx.inputs = inputs.detach().requires_grad_()
            ctx.outputs = function(ctx.inputs)
        outputs: Tensor = ctx.outputs.detach()
        if not ctx.outputs.requires_grad:  # an oracle's answers: whoever wants a gradient shall be told, not get zeros
            ctx.mark_non_differentiable(outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (found,) = torch.autograd.grad(
            ctx.outputs, ctx.inputs, gradients[0], retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return found, None
