"""What an attack refuses to start from: inputs, labels, radii and victims with which its answer would be wrong."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from advgames.attacks.base import Model
from advgames.attacks.norms import Bounds, Size
from advgames.errors import InputError, SettingError, VictimError

__all__ = [
    "check_bounds",
    "check_count",
    "check_finite",
    "check_inputs",
    "check_labels",
    "check_least",
    "check_logits",
    "check_model",
    "check_radius",
    "refuse_graph",
]

DTYPES = (torch.float32, torch.float64)
_BATCH_NORM = nn.modules.batchnorm._BatchNorm
_NORMALISING = (_BATCH_NORM, nn.modules.instancenorm._InstanceNorm)


def check_bounds(bounds: Bounds) -> None:
    """(low, high) with finite low < high, or None.

    Raises:
        SettingError
    """
    if bounds is not None and not -math.inf < bounds[0] < bounds[1] < math.inf:
        raise SettingError(f"bounds must be None or (low, high) with finite low < high, got {bounds}")


def check_count(name: str, value: object, least: int = 1) -> None:
    """An integer of at least `least`.

    Raises:
        SettingError
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingError(f"{name} must be an integer of at least {least}, got {value!r}")


def check_least(name: str, value: float, least: float) -> None:
    """A finite number of at least `least`.

    Raises:
        SettingError
    """
    if not least <= value < math.inf:
        raise SettingError(f"{name} must be finite and at least {least:g}, got {value!r}")


def refuse_graph(attack: str, create_graph: bool) -> None:
    """No answer differentiable through to parameters.

    Raises:
        SettingError
    """
    if create_graph:
        raise SettingError(
            f"{attack} picks the best of hundreds of iterates: its answer has no derivative worth the memory; "
            "take create_graph with fgm, bim, pgd or deepfool"
        )


def check_inputs(inputs: Tensor, bounds: Bounds) -> None:
    """Finite float32 or float64 values within the bounds; one pass over them.

    Raises:
        InputError
    """
    if inputs.dtype not in DTYPES:
        raise InputError(f"inputs must be float32 or float64, got {inputs.dtype}")
    if inputs.numel() == 0:
        return
    least, most = inputs.aminmax()  # NaN propagates
    low, high = least.item(), most.item()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError("inputs contain NaN or infinity")
    if bounds is not None and not (bounds[0] <= low and high <= bounds[1]):
        raise InputError(
            f"inputs must lie within the bounds {bounds}, got values from {low:.6g} to {high:.6g} "
            "(bounds=None where inputs are unbounded)"
        )


def check_labels(labels: Tensor, inputs: Tensor) -> None:
    """int64 labels (*lead,) of inputs (*lead, *input_shape), on one device.

    Raises:
        InputError
    """
    if not (isinstance(labels, Tensor) and isinstance(inputs, Tensor)):
        raise InputError(f"inputs and labels must be tensors, got {type(inputs).__name__} and {type(labels).__name__}")
    if labels.dtype != torch.int64:
        raise InputError(f"labels must be int64, got {labels.dtype}")
    if not 1 <= labels.ndim < inputs.ndim:
        raise InputError(
            f"labels (*lead,) go with inputs (*lead, *input_shape) of at least one dimension each, "
            f"got labels {tuple(labels.shape)} and inputs {tuple(inputs.shape)}"
        )
    if inputs.shape[: labels.ndim] != labels.shape:
        raise InputError(f"labels {tuple(labels.shape)} do not lead the shape of inputs {tuple(inputs.shape)}")
    if labels.device != inputs.device:
        raise InputError(f"labels lie on {labels.device}, inputs on {inputs.device}")


def check_radius(radius: object, labels: Tensor, dtype: torch.dtype, name: str = "radius") -> Size:
    """A float, or a tensor per input, (*lead, 1).

    Raises:
        InputError: negative, not finite, or of a shape that does not broadcast to the labels.
    """
    if not isinstance(radius, Tensor):
        if isinstance(radius, bool) or not isinstance(radius, int | float) or not 0 <= radius < math.inf:
            raise InputError(f"{name} must be finite and not negative, got {radius!r}")
        return float(radius)
    try:
        each = radius.to(labels.device, dtype).expand(labels.shape)
    except RuntimeError:
        raise InputError(f"{name} {tuple(radius.shape)} does not broadcast to labels {tuple(labels.shape)}") from None
    if radius.numel() and not bool(((radius >= 0) & radius.isfinite()).all()):
        raise InputError(f"{name} must be finite and not negative, for every input")
    return each.unsqueeze(-1)


def check_model(model: Model) -> None:
    """No layer that draws numbers, mixes inputs or changes itself when the model is called.

    Raises:
        VictimError: names the layer.
    """
    if not isinstance(model, nn.Module):
        return
    layers = [model]
    for layer in layers:  # grows; several times faster than modules(), which matters for tiny victims
        layers += [child for child in layer._modules.values() if child is not None]
        if (layer.training or isinstance(layer, _BATCH_NORM)) and (fault := _fault(layer)):
            name = next(name for name, other in model.named_modules() if other is layer)
            raise VictimError(f"layer {name or 'itself'!r} ({type(layer).__name__}) {fault}")


def check_precision(model: Model, inputs: Tensor, failure: RuntimeError) -> None:
    """Inputs of another precision than the weights are why a model failed, if they are of another.

    Raises:
        InputError: they are.
    """
    weights = [w for w in model.parameters() if w.is_floating_point()] if isinstance(model, nn.Module) else []
    if weights and inputs.dtype not in {w.dtype for w in weights}:
        raise InputError(f"inputs are {inputs.dtype}, the victim's weights {weights[0].dtype}: {failure}") from failure


def check_logits(logits: object, labels: Tensor) -> None:
    """Logits (*lead, K) with K > 1, and labels in [0, K).

    Raises:
        VictimError: the logits are at fault.
        InputError: the labels are.
    """
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise VictimError(f"the victim must return logits as a tensor of floats, got {type(logits).__name__}")
    if logits.shape[:-1] != labels.shape or logits.shape[-1] < 2:
        raise VictimError(
            f"the victim must return logits of shape {(*labels.shape, 'K')} with at least 2 classes, "
            f"got {tuple(logits.shape)} (the labels' shape, {tuple(labels.shape)}, says how inputs are counted)"
        )
    if labels.numel() == 0:
        return
    least, most = labels.aminmax()
    low, high = least.item(), most.item()
    if not 0 <= low <= high < logits.shape[-1]:
        raise InputError(f"labels must lie in [0, {logits.shape[-1]}), got labels from {low} to {high}")


def check_finite(logits: Tensor, points: Tensor) -> None:
    """Finite logits at finite points.

    Raises:
        VictimError
    """
    # The sum is not finite if an entry is not; where the sum alone overflows, look again.
    if math.isfinite(logits.sum().item()) or bool(logits.isfinite().all()):
        return
    if bool(points.isfinite().all()):
        raise VictimError("the victim's logits contain NaN or infinity")
    raise VictimError("the gradient of the victim's logits contains NaN or infinity")


def _fault(layer: nn.Module) -> str:
    """What is wrong with attacking through this layer, or nothing."""
    if isinstance(layer, _BATCH_NORM) and layer.running_mean is None:
        return "normalises by the batch itself, so that the inputs of a batch are no victims of their own"
    if not layer.training:
        return ""
    if isinstance(layer, _NORMALISING) and layer.running_mean is not None:
        return "is in training mode, where it changes itself with every batch; call eval() on the victim first"
    if _random_in_training(layer):
        return "is in training mode, where it is random; call eval() on the victim first"
    return ""


def _random_in_training(layer: nn.Module) -> bool:
    if isinstance(layer, nn.modules.dropout._DropoutNd):
        return layer.p > 0
    if isinstance(layer, nn.RNNBase | nn.MultiheadAttention):
        return layer.dropout > 0
    return isinstance(layer, nn.RReLU)
