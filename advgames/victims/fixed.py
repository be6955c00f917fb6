"""A trained victim that does not change any more, as a function of inputs of any leading shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from advgames.attacks import losses
from advgames.attacks.checks import check_model
from advgames.errors import VictimError

__all__ = ["FixedVictim", "margin"]

_FEW_CLASSES = 3  # up to which a linearisation takes the Jacobian's rows


def margin(logits: Tensor, classes: Tensor) -> Tensor:
    """Z_c - max_{k != c} Z_k, (*lead,): positive where logits (*lead, K) choose the classes (*lead,).

    Source: robustness_thesis.txt eq. 2.6 (without its clipping at -kappa); for two logits and f = Z_1 - Z_0 it is
    sgn(c) f(x).
    """
    return -losses.margin(logits, classes)


class FixedVictim:
    """Logits (*lead, K) of inputs (*lead, *input_shape) under one set of weights.

    Called, it is differentiable in the inputs. The methods compute in chunks, without a graph.

    Args:
        module: maps (N, *input_shape) to logits (N, K); in evaluation mode.
        input_shape: of one input.
        chunk_size: inputs per call of the module in the methods.

    Raises:
        VictimError: the module's answer to an input is no row of at least two logits, or one of its layers draws
            numbers, mixes inputs or changes itself.
    """

    def __init__(self, module: nn.Module, input_shape: tuple[int, ...], chunk_size: int = 256) -> None:
        self._module = module
        self.input_shape = input_shape
        self.chunk_size = chunk_size
        check_model(module)
        like = next(module.parameters(), torch.zeros(0))
        try:
            with torch.no_grad():
                example = module(torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device))
        except Exception as error:
            raise VictimError(f"the victim fails on an input of shape {input_shape}: {error}") from error
        if not isinstance(example, Tensor):
            raise VictimError(f"expected logits (1, K) with K >= 2 of one input, got {type(example).__name__}")
        if example.ndim != 2 or example.shape[0] != 1 or example.shape[1] < 2:
            raise VictimError(f"expected logits (1, K) with K >= 2 of one input, got shape {tuple(example.shape)}")
        self.num_classes = int(example.shape[1])

    def __call__(self, inputs: Tensor) -> Tensor:
        """Logits, (*lead, K)."""
        lead = inputs.shape[: inputs.ndim - len(self.input_shape)]
        outputs: Tensor = self._module(inputs.reshape(-1, *self.input_shape))
        return outputs.reshape(*lead, -1)

    @torch.no_grad()
    def weights(self) -> dict[str, Tensor]:
        """Copies of all its weights, by name."""
        return {name: weight.detach().clone() for name, weight in self._module.state_dict().items()}

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits in chunks, (*lead, K).

        Raises:
            VictimError: some are not finite.
        """
        lead = inputs.shape[: inputs.ndim - len(self.input_shape)]
        flat = inputs.reshape(-1, *self.input_shape)
        outputs = torch.cat([self._module(flat[c]) for c in self._chunks(len(flat))])
        if not bool(torch.isfinite(outputs).all()):
            raise VictimError("the victim's logits are not finite")
        return outputs.reshape(*lead, -1)

    def linear_logits(self, origin: Tensor, moved: Tensor) -> Tensor:
        """Z(x) + J(x) (x' - x): logits at `moved` of the victim linearised at `origin`.

        Source: additive_nash.txt section 2, f_L, for any number of classes.

        Args:
            origin: where the victim is linearised.  # (*lead, *input_shape)
            moved: one or D points of each.  # (*lead, *input_shape) or (D, *lead, *input_shape)

        Returns (*lead, K) or (D, *lead, K).
        """
        lead = moved.shape[: moved.ndim - len(self.input_shape)]
        flat = origin.reshape(-1, *self.input_shape)
        tangents = (moved - origin).reshape(-1, len(flat), *self.input_shape)
        form = self._linear_by_rows if self.num_classes <= _FEW_CLASSES else self._linear_forward
        parts = [form(flat[c], tangents[:, c]) for c in self._chunks(len(flat))]
        return torch.cat(parts, 1).reshape(*lead, -1)

    def _linear_forward(self, origin: Tensor, tangents: Tensor) -> Tensor:
        """One forward-mode pass per tangent, (D, N, K) of (D, N, *input_shape), whatever the number of classes."""
        passes: list[Any] = [torch.func.jvp(self._module, (origin,), (tangent,)) for tangent in tangents]
        return torch.stack([(value + change).detach() for value, change in passes])

    @torch.enable_grad()
    def _linear_by_rows(self, origin: Tensor, tangents: Tensor) -> Tensor:
        """The same from the Jacobian's rows, one backward pass per class whatever the number of tangents."""
        points = origin.detach().requires_grad_()
        logits: Tensor = self._module(points)
        last = logits.shape[1] - 1
        rows = [torch.autograd.grad(logits[:, k].sum(), points, retain_graph=k < last)[0] for k in range(last + 1)]
        changes = [(tangents * row).flatten(2).sum(2) for row in rows]
        return logits.detach() + torch.stack(changes, 2)

    @torch.enable_grad()
    def pulled(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """J(x)^T w: the gradient of <w, Z(x)> for weights (*lead, K), like the inputs."""
        flat, rows = inputs.reshape(-1, *self.input_shape), weights.reshape(-1, weights.shape[-1])
        parts = []
        for c in self._chunks(len(flat)):
            points = flat[c].detach().requires_grad_()
            parts.append(torch.autograd.grad(self._module(points), points, rows[c])[0])
        return torch.cat(parts).reshape(inputs.shape)

    def _chunks(self, total: int) -> Iterator[slice]:
        return (slice(i, i + self.chunk_size) for i in range(0, total, self.chunk_size))
