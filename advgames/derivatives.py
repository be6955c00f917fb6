"""The derivatives white-box players use, exact, batched over matches and never larger than a vector.

Shapes: params and directions are stacked, name -> (G, *shape); inputs (G, B, *input_shape), labels (G, B, ...).
Losses are means over samples, except in the mixed derivative, which is per sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp

from advgames.optimizers import Params
from advgames.victims import Victim

__all__ = [
    "ConjugateGradientResult",
    "add",
    "chunks",
    "conjugate_gradient",
    "dot",
    "gauss_newton_vector_product",
    "hessian_vector_product",
    "loss",
    "loss_and_gradient",
    "mixed_derivative",
    "scale",
]

Product = Callable[[Params], Params]


def chunks(size: int, samples: int) -> Iterator[slice]:
    """Slices of at most `size` that cover range(samples)."""
    for start in range(0, samples, size):
        yield slice(start, min(start + size, samples))


def dot(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Tensor:
    """Inner product per match, (G,)."""
    total = [(a[name] * b[name]).flatten(1).sum(1) for name in a]
    return torch.stack(total).sum(0)


def add(a: Mapping[str, Tensor], b: Mapping[str, Tensor], factor: float | Tensor = 1.0) -> Params:
    """a + factor * b; factor is a number or one per match, (G,)."""
    return {name: value + _per_match(factor, value) * b[name] for name, value in a.items()}


def scale(a: Mapping[str, Tensor], factor: float | Tensor) -> Params:
    """factor * a; factor is a number or one per match, (G,)."""
    return {name: _per_match(factor, value) * value for name, value in a.items()}


@torch.no_grad()
def loss(victim: Victim, params: Mapping[str, Tensor], inputs: Tensor, labels: Tensor, chunk_size: int) -> Tensor:
    """Mean loss per match, (G,)."""

    def part(x: Tensor, y: Tensor) -> tuple[Tensor]:
        return (victim.losses(params, x, y).sum(1),)

    return _mean_over_chunks(part, inputs, labels, chunk_size)[0]


@torch.enable_grad()
def loss_and_gradient(
    victim: Victim, params: Mapping[str, Tensor], inputs: Tensor, labels: Tensor, chunk_size: int
) -> tuple[Tensor, Params]:
    """Mean loss per match, (G,), and its gradient with respect to the parameters, from one pass."""
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}

    def part(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        losses = victim.losses(leaves, x, y).sum(1)
        return losses.detach(), *torch.autograd.grad(losses.sum(), tuple(leaves.values()))

    mean, *gradient = _mean_over_chunks(part, inputs, labels, chunk_size)
    return mean, dict(zip(leaves, gradient, strict=True))


@torch.enable_grad()
def mixed_derivative(
    victim: Victim,
    params: Mapping[str, Tensor],
    inputs: Tensor,
    labels: Tensor,
    direction: Mapping[str, Tensor],
    chunk_size: int,
) -> Tensor:
    """grad_x <grad_theta L(x), v> for every input, (G, B, *input_shape); v is `direction`.

    The product B^x v of r2t2.txt eq. 7. Computed reverse over forward: the inner product is the derivative of the
    loss along v (one forward pass of dual numbers), and its gradient in x is one backward pass; the cheapest of
    the three exact forms (see docs/benchmarks.md). Samples are independent, so chunks are exact.
    """
    params = {name: p.detach() for name, p in params.items()}
    direction = {name: v.detach() for name, v in direction.items()}
    parts = []
    for c in chunks(chunk_size, inputs.shape[1]):
        x = inputs[:, c].detach().requires_grad_()

        def total(p: Params, x: Tensor = x, y: Tensor = labels[:, c]) -> Tensor:
            return victim.losses(p, x, y).sum()

        _, slope = _along(total, params, direction)
        parts.append(torch.autograd.grad(slope, x)[0])
    return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


@torch.enable_grad()
def hessian_vector_product(
    victim: Victim,
    params: Mapping[str, Tensor],
    inputs: Tensor,
    labels: Tensor,
    vector: Mapping[str, Tensor],
    chunk_size: int,
) -> Params:
    """H v with H the Hessian of the mean loss in the parameters; H is never formed."""
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    vectors = tuple(vector[name].detach() for name in leaves)

    def part(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        gradient = torch.autograd.grad(victim.losses(leaves, x, y).sum(), tuple(leaves.values()), create_graph=True)
        # A linear layer of the loss leaves no graph in some gradients: their second derivative is zero.
        slope = torch.stack([(g * v).sum() for g, v in zip(gradient, vectors, strict=True)]).sum()
        return torch.autograd.grad(slope, tuple(leaves.values()), materialize_grads=True)

    return dict(zip(leaves, _mean_over_chunks(part, inputs, labels, chunk_size), strict=True))


@torch.enable_grad()
def gauss_newton_vector_product(
    victim: Victim,
    params: Mapping[str, Tensor],
    inputs: Tensor,
    labels: Tensor,
    vector: Mapping[str, Tensor],
    chunk_size: int,
) -> Params:
    """J^T (d^2 loss / d outputs^2) J v of the mean loss: the positive semi-definite part of the Hessian."""
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    vector = {name: vector[name].detach() for name in leaves}

    def part(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        outputs, tangent = _along(lambda p: victim(p, x), leaves, vector)
        head = outputs.detach().requires_grad_()
        slope = torch.autograd.grad(victim.loss(head, y).sum(), head, create_graph=True)[0]
        bent = torch.autograd.grad(slope, head, tangent.detach())[0]
        return torch.autograd.grad(outputs, tuple(leaves.values()), bent, materialize_grads=True)

    return dict(zip(leaves, _mean_over_chunks(part, inputs, labels, chunk_size), strict=True))


@dataclass(frozen=True)
class ConjugateGradientResult:
    """Solution of A x = b per match, with the evidence.

    Attributes:
        solution: x, name -> (G, *shape).
        residual: ||b - A x|| / ||b|| at the end, (G,).
        iterations: steps each match took, (G,).
        negative_curvature: whether a direction d with d^T A d <= 0 was met, (G,) bool; such a match stopped there.
    """

    solution: Params
    residual: Tensor
    iterations: Tensor
    negative_curvature: Tensor


def conjugate_gradient(
    product: Product, right_side: Params, tolerance: float, max_iterations: int
) -> ConjugateGradientResult:
    """Solve A x = b per match, A given by its products with vectors; matches stop one by one.

    A match that has converged, or met a direction of non-positive curvature, is frozen while others go on, so
    its result does not depend on its company. At negative curvature in the first step, x is b itself (steepest
    descent); the flag says so.
    """
    x = scale(right_side, 0.0)
    r, d = dict(right_side), dict(right_side)
    start = dot(r, r)
    rr, running = start, start > 0
    count = torch.zeros_like(start, dtype=torch.int64)
    negative = torch.zeros_like(start, dtype=torch.bool)
    for step in range(max_iterations):
        if not bool(running.any()):
            break
        a = product(d)
        curvature = dot(d, a)
        bad = running & (curvature <= 0)
        if step == 0:
            x = add(x, right_side, bad.to(start.dtype))  # x is still zero
        negative, running = negative | bad, running & ~bad
        safe = curvature.where(curvature > 0, torch.ones_like(curvature))
        alpha = torch.where(running, rr / safe, torch.zeros_like(rr))
        x, r = add(x, d, alpha), add(r, a, -alpha)
        count = count + running.to(count.dtype)
        new = dot(r, r)
        beta = torch.where(running, new / torch.where(rr > 0, rr, 1.0), 0.0)
        d, rr = add(r, d, beta), torch.where(running, new, rr)
        running = running & (rr > tolerance**2 * start)
    relative = (rr / torch.where(start > 0, start, 1.0)).sqrt()
    return ConjugateGradientResult(x, relative, count, negative)


def _mean_over_chunks(
    part: Callable[[Tensor, Tensor], tuple[Tensor, ...]], inputs: Tensor, labels: Tensor, chunk_size: int
) -> tuple[Tensor, ...]:
    """Sums over samples, chunk by chunk and in one order for all who ask, divided by the number of samples."""
    total: tuple[Tensor, ...] | None = None
    for c in chunks(chunk_size, inputs.shape[1]):
        found = part(inputs[:, c], labels[:, c])
        total = found if total is None else tuple(a + b for a, b in zip(total, found, strict=True))
    assert total is not None
    return tuple(t / inputs.shape[1] for t in total)


def _along(function: Callable[[Params], Tensor], params: Params, direction: Params) -> tuple[Tensor, Tensor]:
    """The value of a function of the parameters, and its derivative along a direction (forward mode)."""
    outcome: Any = jvp(function, (params,), (direction,))
    return outcome[0], outcome[1]


def _per_match(factor: float | Tensor, like: Tensor) -> float | Tensor:
    return factor.reshape(-1, *[1] * (like.ndim - 1)) if isinstance(factor, Tensor) else factor
