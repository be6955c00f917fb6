"""Margins of a model's classes and their gradients with respect to the inputs, in chunks."""

from __future__ import annotations

import torch
from torch import Tensor

from advgames.attacks.base import Model
from advgames.attacks.checks import check_model
from advgames.errors import InputError, SettingError, VictimError

__all__ = ["Model", "linearise"]


def linearise(
    model: Model, inputs: Tensor, classes: Tensor | None = None, chunk_size: int = 256
) -> tuple[Tensor, Tensor]:
    """m_ik = Z_y(x_i) - Z_k(x_i) for every class k but y, and its gradient g_ik with respect to x_i.

    The margin at x_i + v under the local linearisation is m_ik + g_ik . v (additive_nash.txt eq. 1). One backward
    pass per class but one; the model's mode and its parameters' gradients are left as they are.

    Args:
        model: (B, *input_shape) to logits (B, K), K >= 2, or to one number f with the class 1 where f > 0: (B, 1)
            or (B,). Inputs of a batch must not influence each other.
        inputs: floating point.  # (n, *input_shape)
        classes: y, integers in 0..K-1; default: what the model predicts.  # (n,)
        chunk_size: inputs per call.

    Returns margins (n, K-1) and gradients (n, K-1, d), in the model's dtype, d the entries of one input; the other
    classes stand in ascending order.

    Raises InputError (inputs or classes), VictimError (logits, or a layer in training mode that draws numbers or mixes
    inputs), SettingError (chunk_size).
    """
    if not inputs.is_floating_point():
        raise InputError(f"inputs: expected a floating point dtype, got {inputs.dtype}")
    if inputs.ndim < 2 or len(inputs) == 0:
        raise InputError(f"inputs: expected shape (n, *input_shape) with n >= 1, got {tuple(inputs.shape)}")
    if not bool(torch.isfinite(inputs).all()):
        raise InputError("inputs: contain NaN or infinity")
    if classes is not None and (classes.shape != inputs.shape[:1] or classes.is_floating_point()):
        raise InputError(
            f"classes: expected {len(inputs)} integers, got {classes.dtype} of shape {tuple(classes.shape)}"
        )
    if chunk_size < 1:
        raise SettingError(f"chunk_size: expected at least 1, got {chunk_size}")
    check_model(model)
    parts = []
    for start in range(0, len(inputs), chunk_size):
        here = slice(start, start + chunk_size)
        parts.append(_chunk(model, inputs[here], None if classes is None else classes[here]))
    margins, gradients = zip(*parts, strict=True)
    return torch.cat(margins), torch.cat(gradients)


@torch.enable_grad()
def _chunk(model: Model, inputs: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor]:
    inputs = inputs.detach().requires_grad_()
    logits = _logits(model(inputs), len(inputs))
    if not logits.requires_grad:
        raise VictimError("the model's outputs do not depend on its inputs differentiably")
    if classes is None:
        classes = logits.argmax(1)
    count = logits.shape[1]
    if bool(((classes < 0) | (classes >= count)).any()):
        raise InputError(f"classes: expected 0 to {count - 1}, got {int(classes.min())} to {int(classes.max())}")
    classes = classes.long()
    others = torch.arange(count - 1, device=logits.device)[None, :]
    others = others + (others >= classes[:, None])  # the classes but y, ascending
    margins = logits.gather(1, classes[:, None]) - logits.gather(1, others)
    gradients = [
        torch.autograd.grad(margins[:, k].sum(), inputs, retain_graph=k < count - 2)[0].flatten(1)
        for k in range(count - 1)
    ]
    stacked = torch.stack(gradients, 1)
    if not bool(torch.isfinite(stacked).all()):
        raise VictimError("the model's gradients contain NaN or infinity")
    return margins.detach(), stacked


def _logits(outputs: Tensor, samples: int) -> Tensor:
    """(B, K), K >= 2; one number f stands for the logits (0, f)."""
    if outputs.shape in ((samples,), (samples, 1)):
        outputs = outputs.reshape(samples, 1)
        outputs = torch.cat([torch.zeros_like(outputs), outputs], 1)
    if outputs.ndim != 2 or outputs.shape[0] != samples:
        raise VictimError(f"expected logits of shape ({samples}, K), got {tuple(outputs.shape)}")
    if not bool(torch.isfinite(outputs).all()):
        raise VictimError("the model's logits contain NaN or infinity")
    return outputs
