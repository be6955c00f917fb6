"""First-order optimisers as pure functions over parameters stacked over matches.

Each equals its torch.optim namesake per match. Being pure, an update can be differentiated through: that is
how a white-box player sees the true effect of its perturbation on the next parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from advgames.errors import SettingError, UnknownNameError

__all__ = ["SGD", "Adam", "Optimizer", "Params", "make_optimizer"]

Params = dict[str, Tensor]  # name -> (G, *shape)


@dataclass(frozen=True)
class SGD:
    """theta <- theta - lr * b with b <- momentum * b + gradient (heavy ball; plain SGD at momentum 0)."""

    learning_rate: float
    momentum: float = 0.0

    def init(self, params: Mapping[str, Tensor]) -> Params:
        """Zero buffers for stacked parameters (none at momentum 0)."""
        if self.momentum == 0.0:
            return {}
        return {f"momentum.{name}": torch.zeros_like(p) for name, p in params.items()}

    def update(
        self, params: Mapping[str, Tensor], gradients: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> tuple[Params, Params]:
        """The parameters and buffers after one step."""
        if self.momentum == 0.0:
            return {name: p - self.learning_rate * gradients[name] for name, p in params.items()}, {}
        moved = {f"momentum.{name}": self.momentum * buffers[f"momentum.{name}"] + gradients[name] for name in params}
        return {name: p - self.learning_rate * moved[f"momentum.{name}"] for name, p in params.items()}, moved


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015) with bias correction, as torch.optim.Adam without weight decay."""

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def init(self, params: Mapping[str, Tensor]) -> Params:
        """Zero moments and one step counter per match, (G,)."""
        first = next(iter(params.values()))
        buffers = {"step": torch.zeros(first.shape[0], dtype=torch.float64, device=first.device)}
        for name, p in params.items():
            buffers[f"first.{name}"] = torch.zeros_like(p)
            buffers[f"second.{name}"] = torch.zeros_like(p)
        return buffers

    def update(
        self, params: Mapping[str, Tensor], gradients: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> tuple[Params, Params]:
        """The parameters and buffers after one step."""
        step = buffers["step"] + 1
        after: Params = {"step": step}
        moved: Params = {}
        for name, p in params.items():
            gradient = gradients[name]
            first = self.beta1 * buffers[f"first.{name}"] + (1 - self.beta1) * gradient
            second = self.beta2 * buffers[f"second.{name}"] + (1 - self.beta2) * gradient * gradient
            after[f"first.{name}"], after[f"second.{name}"] = first, second
            count = step.reshape(-1, *[1] * (p.ndim - 1))
            scale = (self.learning_rate / (1 - self.beta1**count)).to(p.dtype)
            root = ((1 - self.beta2**count) ** 0.5).to(p.dtype)
            # clamp: sqrt has an infinite derivative at an exactly zero second moment.
            denominator = second.clamp(min=torch.finfo(p.dtype).tiny).sqrt() / root + self.eps
            moved[name] = p - scale * first / denominator
        return moved, after


Optimizer = SGD | Adam


def make_optimizer(name: str, learning_rate: float, momentum: float = 0.9) -> Optimizer:
    """An optimiser by name: ``sgd``, ``momentum`` (heavy ball) or ``adam``."""
    if not learning_rate > 0:
        raise SettingError(f"learning_rate must be positive, got {learning_rate}")
    if not 0 <= momentum < 1:
        raise SettingError(f"momentum must lie in [0, 1), got {momentum}")
    if name == "sgd":
        return SGD(learning_rate)
    if name == "momentum":
        return SGD(learning_rate, momentum)
    if name == "adam":
        return Adam(learning_rate)
    raise UnknownNameError("optimizer", name, ["sgd", "momentum", "adam"])
