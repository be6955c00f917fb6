"""Losses that attacks ascend: functions of logits, large where an input is far from its label.

The maximising convention: an untargeted attack moves inputs so that ``loss(logits, labels)`` rises, a targeted one
so that ``loss(logits, targets)`` falls. So one margin serves both signs of Carlini & Wagner's objective.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from advgames.errors import SettingError, UnknownNameError

__all__ = ["LOSSES", "Loss", "LossName", "Slope", "cross_entropy", "dlr", "loss_of", "margin", "rival", "slope_of"]

#: values (*lead,) of logits (*lead, K) and labels (*lead,)
Loss = Callable[[Tensor, Tensor], Tensor]
#: derivative (*lead, K) of a loss in the logits, up to a positive factor per input
Slope = Callable[[Tensor, Tensor], Tensor]
LossName = Literal["cross_entropy", "margin", "dlr"]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(Z)_y per input."""
    found = nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none")
    return found.reshape(labels.shape)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """max_{i != y} Z_i - Z_y per input: positive where the input is not classified as y.

    Carlini & Wagner's objective (robustness_thesis.txt eq. 2.6) is ``max(-margin(Z, y), -kappa)`` untargeted and
    ``max(margin(Z, t), -kappa)`` targeted, both minimised. (Eq. 2.7 prints the targeted one with the opposite sign.)
    """
    index = labels.unsqueeze(-1)
    return logits.scatter(-1, index, -torch.inf).amax(-1) - logits.gather(-1, index).squeeze(-1)


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio, -(Z_y - max_{i != y} Z_i) / (Z_(1) - Z_(3)); Z_(j) is the j-th largest logit.

    Invariant to shifts and to the scale of the logits. Source: Croce & Hein, ICML 2020, eq. 6. Their targeted form
    compares with the true label too; here a targeted attack descends this loss at the target, which needs none.

    Raises:
        SettingError: fewer than three classes.
    """
    if logits.shape[-1] < 3:
        raise SettingError(f"the dlr loss needs at least 3 classes, got {logits.shape[-1]}; take 'margin'")
    top = logits.topk(3, dim=-1).values
    spread = (top[..., 0] - top[..., 2]).clamp(min=torch.finfo(logits.dtype).tiny)
    return margin(logits, labels) / spread


def rival(offset: int) -> Loss:
    """Z_j - Z_y per input for the class j = (y + offset) mod K: the margin over one rival class."""

    def difference(logits: Tensor, labels: Tensor) -> Tensor:
        classes = torch.stack([(labels + offset) % logits.shape[-1], labels], -1)
        pair = logits.gather(-1, classes)
        return pair[..., 0] - pair[..., 1]

    return difference


LOSSES: Mapping[str, Loss] = {"cross_entropy": cross_entropy, "margin": margin, "dlr": dlr}


def loss_of(loss: LossName | Loss) -> Loss:
    """The function of that name, or the function itself.

    Raises:
        UnknownNameError: no such loss.
    """
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise UnknownNameError("loss", str(loss), LOSSES)
    return LOSSES[loss]


def slope_of(loss: Loss) -> Slope:
    """The loss's derivative in the logits: in closed form where there is one, else by autograd."""
    return _CLOSED.get(loss) or _by_autograd(loss)


def _cross_entropy_slope(logits: Tensor, labels: Tensor) -> Tensor:
    """softmax over the other classes, and -1 at y: the derivative of the log-odds logsumexp_{i != y} Z_i - Z_y.

    Cross-entropy is softplus of these log-odds, so both point the same way. The derivative of cross-entropy itself,
    softmax - onehot, loses its y entry to rounding and then everything to underflow where the model is confident.
    """
    index = labels.unsqueeze(-1)
    others = torch.softmax(logits.scatter(-1, index, -torch.inf), -1)
    return others.scatter(-1, index, -1.0)


def _margin_slope(logits: Tensor, labels: Tensor) -> Tensor:
    """+1 at the largest other class, -1 at y."""
    index = labels.unsqueeze(-1)
    best = logits.scatter(-1, index, -torch.inf).argmax(-1, keepdim=True)
    return torch.zeros_like(logits).scatter(-1, best, 1.0).scatter(-1, index, -1.0)


_CLOSED: Mapping[Loss, Slope] = {cross_entropy: _cross_entropy_slope, margin: _margin_slope}


def _by_autograd(loss: Loss) -> Slope:
    def slope(logits: Tensor, labels: Tensor) -> Tensor:
        through = logits.requires_grad  # the answer is to be differentiated once more
        logits = logits if through else logits.requires_grad_()
        (found,) = torch.autograd.grad(loss(logits, labels).sum(), logits, create_graph=through)
        return found

    return slope
