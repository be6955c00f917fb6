"""Norms of perturbations: length, dual norm, steepest step, projection and random points, on flat inputs.

Everything here works on the last dimension: perturbations, points and gradients are (*lead, D), lengths (*lead, 1),
sizes and radii a float or (*lead, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from advgames import rng
from advgames.attacks.base import Norm
from advgames.errors import UnknownNameError

__all__ = ["GEOMETRIES", "L1", "L2", "LINF", "Bounds", "Geometry", "Size", "geometry_of"]

Size = float | Tensor
Bounds = tuple[float, float] | None


class Geometry(NamedTuple):
    """What an attack must know of a norm; replace single functions with ``L2._replace(step=...)``.

    Attributes:
        length: the norm of perturbations.
        dual: the dual norm of gradients: the gain per unit of length of the steepest step.
        step: ``step(gradient, size, point, bounds)``: the perturbation of this size along which a linear function
            rises the most.
        project: ``project(delta, radius)``: the nearest perturbation of length at most radius.
        random: ``random(seeds, counter, shape, dtype)``: a point of the unit ball, uniformly, for each of shape[:-1]
            per seed; seeds (G,), result (G, *shape).
    """

    length: Callable[[Tensor], Tensor]
    dual: Callable[[Tensor], Tensor]
    step: Callable[[Tensor, Size, Tensor, Bounds], Tensor]
    project: Callable[[Tensor, Size], Tensor]
    random: Callable[[Tensor, int, Sequence[int], torch.dtype], Tensor]


def geometry_of(norm: Norm | Geometry) -> Geometry:
    """The geometry of that name, or the geometry itself.

    Raises:
        UnknownNameError: no such norm.
    """
    if isinstance(norm, Geometry):
        return norm
    if norm not in GEOMETRIES:
        raise UnknownNameError("norm", str(norm), GEOMETRIES)
    return GEOMETRIES[norm]


def _l1_length(delta: Tensor) -> Tensor:
    return delta.abs().sum(-1, keepdim=True)


def _l2_length(delta: Tensor) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(delta, dim=-1, keepdim=True)
    return found


def _linf_length(delta: Tensor) -> Tensor:
    return delta.abs().amax(-1, keepdim=True)


def _l2_dual(gradient: Tensor) -> Tensor:
    """In double precision: the squares of small gradients must not underflow."""
    found: Tensor = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True, dtype=torch.float64)
    return found.to(gradient.dtype)


def _l1_step(gradient: Tensor, size: Size, point: Tensor, bounds: Bounds) -> Tensor:
    """The whole size on the steepest coordinate; at a bound what is left goes to the next one, and so on."""
    if bounds is None:
        first = gradient.abs().argmax(-1, keepdim=True)
        alone = torch.zeros_like(gradient).scatter(-1, first, 1.0)
        return size * alone * gradient.sign()
    order = gradient.abs().argsort(-1, descending=True)
    room = torch.where(gradient > 0, bounds[1] - point, point - bounds[0]) * (gradient != 0)
    room = room.gather(-1, order)
    left = (size - (room.cumsum(-1) - room)).clamp(min=0.0)
    taken = torch.zeros_like(gradient).scatter(-1, order, torch.minimum(room, left))
    return taken * gradient.sign()


def _l2_step(gradient: Tensor, size: Size, point: Tensor, bounds: Bounds) -> Tensor:
    """Size times the unit vector of the gradient; no gradient, no step."""
    return gradient * (size / _l2_dual(gradient).clamp(min=torch.finfo(gradient.dtype).tiny))


def _linf_step(gradient: Tensor, size: Size, point: Tensor, bounds: Bounds) -> Tensor:
    """Size in every coordinate."""
    return gradient.sign().mul_(size)


def _l1_project(delta: Tensor, radius: Size) -> Tensor:
    """Soft thresholding by the theta that leaves length radius (Duchi et al., ICML 2008)."""
    size = delta.abs()
    ordered = size.sort(-1, descending=True).values
    count = torch.arange(1, delta.shape[-1] + 1, dtype=delta.dtype, device=delta.device)
    theta = (ordered.cumsum(-1) - radius) / count
    kept = (ordered > theta).sum(-1, keepdim=True).clamp(min=1)
    theta = theta.gather(-1, kept - 1).clamp(min=0.0)
    return delta.sign() * (size - theta).clamp(min=0.0)


def _l2_project(delta: Tensor, radius: Size) -> Tensor:
    tiny = torch.finfo(delta.dtype).tiny  # radius 0
    length = _l2_length(delta)
    least = length.clamp(min=max(radius, tiny)) if not isinstance(radius, Tensor) else length.clamp(radius.clamp(tiny))
    return delta * (radius / least)


def _linf_project(delta: Tensor, radius: Size) -> Tensor:
    return delta.clamp(-radius, radius)  # type: ignore[arg-type]  # both floats or both tensors


def _l1_random(seeds: Tensor, counter: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Exponential sizes with random signs, scaled to the sphere, then by u^(1/D)."""
    sizes = -torch.log(rng.uniform(seeds, "l1-start", counter, shape, torch.float64))
    signs = torch.where(rng.bits(seeds, "l1-signs", counter, shape) < 0, -1.0, 1.0)
    return _filled(sizes / _l1_length(sizes) * signs, seeds, counter).to(dtype)


def _l2_random(seeds: Tensor, counter: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Normal directions, scaled to the sphere, then by u^(1/D)."""
    direction = rng.normal(seeds, "l2-start", counter, shape, torch.float64)
    return _filled(direction / _l2_length(direction), seeds, counter).to(dtype)


def _linf_random(seeds: Tensor, counter: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return (2.0 * rng.uniform(seeds, "linf-start", counter, shape, torch.float64) - 1.0).to(dtype)


def _filled(sphere: Tensor, seeds: Tensor, counter: int) -> Tensor:
    """Points of the unit sphere moved inwards so that they fill the ball uniformly."""
    depth = rng.uniform(seeds, "start-depth", counter, (*sphere.shape[1:-1], 1), torch.float64)
    return sphere * depth ** (1.0 / sphere.shape[-1])


L1 = Geometry(_l1_length, _linf_length, _l1_step, _l1_project, _l1_random)
L2 = Geometry(_l2_length, _l2_dual, _l2_step, _l2_project, _l2_random)
LINF = Geometry(_linf_length, _l1_length, _linf_step, _linf_project, _linf_random)
GEOMETRIES: Mapping[str, Geometry] = {"l1": L1, "l2": L2, "linf": LINF}
