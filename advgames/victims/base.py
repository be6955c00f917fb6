"""Victim: a model under attack as a pure function of (params, inputs), stacked over G matches."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from advgames import rng
from advgames.errors import SettingError
from advgames.optimizers import Params

__all__ = ["Batching", "Loss", "Victim", "cross_entropy", "squared_error"]

# Where fused convolutions win on a CPU, as measured (docs/benchmarks.md): few samples per match, or little work.
_FUSED_SAMPLES = 16
_FUSED_WORK_FEW, _FUSED_WORK_MANY, _FEW_MATCHES = 3_200_000, 2_000_000, 8  # multiplications per match

Batching = Literal["auto", "vmap", "loop"]
Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy per sample: logits (..., K) and class labels (...) -> (...)."""
    return torch.logsumexp(outputs, -1) - outputs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Squared error per sample, summed over the outputs: (..., K) and (..., K) -> (...)."""
    return ((outputs - labels) ** 2).sum(-1)


class Victim:
    """A torch module read as a function of its parameters, for G matches at once.

    Args:
        module: the architecture, without buffers that training changes (its own parameter values are not used).
            It maps (B, *input_shape) to (B, K).
        loss: per-sample loss of (outputs, labels).
        init: parameters (G, ...) for match seeds (G,); default: torch's own scheme for linear and convolution
            layers, uniform(-1/sqrt(fan_in), 1/sqrt(fan_in)), drawn from each match's seed.
        batching: how G matches share one call. ``"vmap"`` fuses them, ``"loop"`` runs one after the other,
            ``"auto"`` fuses unless the module convolves on a CPU and a match's share of the call is large: there
            fused (grouped) convolutions are slower than one match after the other. One match alone is always
            called plainly.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Loss = cross_entropy,
        init: Callable[[Tensor], Params] | None = None,
        batching: Batching = "auto",
    ) -> None:
        if batching not in get_args(Batching):
            raise SettingError(f"batching must be one of {', '.join(get_args(Batching))}, got {batching!r}")
        self.module = module
        self.loss = loss
        self.batching = batching
        self._init = init
        self._convolves = any(isinstance(m, nn.modules.conv._ConvNd) for m in module.modules())
        self._work: dict[torch.Size, int] = {}  # multiplications of the convolutions per sample, by input shape

    @property
    def num_parameters(self) -> int:
        """Number of trained parameters of one match's model."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the parameters."""
        return next(self.module.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.module.parameters()).device

    @property
    def convolves_on_cpu(self) -> bool:
        """Whether calls are convolutions on a CPU, which like small pieces."""
        return self._convolves and self.device.type == "cpu"

    def fuses(self, inputs: Tensor) -> bool:
        """Whether a call with inputs (G, B, *input_shape) runs all matches fused (else one after the other)."""
        if inputs.shape[0] == 1 or self.batching != "auto":
            return inputs.shape[0] > 1 and self.batching == "vmap"
        if not self.convolves_on_cpu:
            return True
        matches, samples, shape = inputs.shape[0], inputs.shape[1], inputs.shape[2:]
        if samples <= _FUSED_SAMPLES:
            return True
        if shape not in self._work:
            self._work[shape] = _multiplications(self.module, shape)
        limit = _FUSED_WORK_FEW if matches <= _FEW_MATCHES else _FUSED_WORK_MANY
        return samples * self._work[shape] <= limit

    def init(self, seeds: Tensor) -> Params:
        """Initial parameters for match seeds (G,), stacked: name -> (G, *shape)."""
        return self._init(seeds) if self._init else uniform_init(self.module, seeds)

    def __call__(self, params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Outputs (G, B, K) of inputs (G, B, *input_shape) under stacked params."""
        if self.fuses(inputs):
            fused: Tensor = vmap(self._call)(params, inputs)
            return fused
        matches = range(inputs.shape[0])
        return torch.stack([self._call({n: p[g] for n, p in params.items()}, inputs[g]) for g in matches])

    def losses(self, params: Mapping[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of every sample, (G, B)."""
        return self.loss(self(params, inputs), labels)

    def _call(self, params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        outputs: Tensor = functional_call(self.module, dict(params), (inputs,))
        return outputs


def _multiplications(module: nn.Module, shape: torch.Size) -> int:
    """Multiplications of the convolutions for one sample, from shapes alone."""
    ghost = copy.deepcopy(module).to("meta")
    counts: list[int] = []
    for layer in ghost.modules():
        if isinstance(layer, nn.modules.conv._ConvNd):
            layer.register_forward_hook(lambda m, _, out: counts.append(out.numel() * m.weight[0].numel()))
    ghost(torch.zeros(1, *shape, device="meta", dtype=next(ghost.parameters()).dtype))
    return sum(counts)


def uniform_init(module: nn.Module, seeds: Tensor) -> Params:
    """torch's default initialisation of linear and convolution layers, drawn from each match's seed."""
    params: Params = {}
    for prefix, layer in module.named_modules():
        own = dict(layer.named_parameters(recurse=False))
        if not own:
            continue
        if not isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            raise SettingError(f"no initialisation is known for {type(layer).__name__}: give the victim its own")
        bound = 1.0 / math.sqrt(layer.weight[0].numel())
        for name, p in own.items():
            full = f"{prefix}.{name}" if prefix else name
            unit = rng.uniform(seeds, f"init.{full}", 0, p.shape, dtype=p.dtype)
            params[full] = (2 * unit - 1) * bound
    return params
