"""The problem every attack solves, checked once, in chunks, with an honest verdict on what is returned."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from advgames.attacks.base import Attacked, Model, Norm
from advgames.attacks.checks import (
    check_bounds,
    check_count,
    check_finite,
    check_inputs,
    check_labels,
    check_logits,
    check_model,
    check_precision,
    check_radius,
)
from advgames.attacks.losses import Loss, LossName, loss_of, slope_of
from advgames.attacks.norms import Bounds, Geometry, Size, geometry_of
from advgames.errors import InputError, VictimError

__all__ = ["ChunkSize", "Problem"]

#: inputs per call of the model, along the last leading dimension; None: all at once
ChunkSize = int | Literal["auto"] | None

ENTRIES = 2**17  # of a chunk on a CPU: 167 MNIST images, 42 of CIFAR-10; convolutions are fastest there
FEWEST, MOST = 32, 8192


class Problem:
    """Move inputs, within a radius and bounds, so that a loss of the model's logits rises (targeted: falls).

    Works on flat inputs: points, gradients and perturbations are (*lead, D), radii a float or (*lead, 1).

    Args:
        model: logits (*lead, K) of inputs (*lead, *input_shape), each input treated alone.
        inputs: (*lead, *input_shape), float32 or float64.
        labels: classes to leave, or with `targeted` to reach.  # (*lead,) int64
        radius: of the perturbation, at least 0; a float, or a tensor that broadcasts to labels. None: unlimited, for
            attacks that look for a short perturbation.
        norm: in which the radius is measured.
        bounds: valid range of every input entry, or None.
        loss: what rises; a name or a function (see losses.py).
        targeted: whether labels are to be reached.
        create_graph: whether the answer is to be differentiable through to the model's parameters.
        chunk_size: inputs per call of the model along the last leading dimension; "auto": what is fastest on a CPU;
            None: all at once, for a model that is no function of each input alone.

    Raises:
        InputError: inputs, labels or radius are wrong.
        VictimError: the model holds layers that are random or change themselves, or returns no finite logits.
        SettingError, UnknownNameError: bounds, norm or loss are none.
    """

    def __init__(
        self,
        model: Model,
        inputs: Tensor,
        labels: Tensor,
        *,
        radius: float | Tensor | None,
        norm: Norm | Geometry,
        bounds: Bounds,
        loss: LossName | Loss = "cross_entropy",
        targeted: bool = False,
        create_graph: bool = False,
        chunk_size: ChunkSize = "auto",
    ) -> None:
        if chunk_size is not None and chunk_size != "auto":
            check_count("chunk_size", chunk_size)
        check_bounds(bounds)
        check_model(model)
        check_labels(labels, inputs)
        check_inputs(inputs, bounds)
        if inputs.is_inference() or labels.is_inference():
            with torch.inference_mode(False):  # as in_chunks does
                inputs, labels = inputs.clone(), labels.clone()
        self.model, self.labels, self.bounds = model, labels, bounds
        self.input_shape = inputs.shape[labels.ndim :]
        flat = inputs if len(self.input_shape) == 1 else inputs.flatten(labels.ndim)
        self.inputs = flat if create_graph else flat.detach()  # (*lead, D)
        self.radius: Size = torch.inf if radius is None else check_radius(radius, labels, inputs.dtype)
        self.geometry = geometry_of(norm)
        self.loss = loss_of(loss)
        self.targeted, self.create_graph, self.chunk_size = targeted, create_graph, chunk_size
        self._slope = slope_of(self.loss)
        self._checked = False

    def logits(self, points: Tensor) -> Tensor:
        """Logits (*lead, K) of flat points; checked when first asked for."""
        if self._checked:
            return self.model(self.shaped(points))
        try:
            found = self.model(self.shaped(points))
        except RuntimeError as error:
            check_precision(self.model, points, error)
            raise
        check_logits(found, self.labels)
        self._checked = True
        return found

    def gradient(self, points: Tensor) -> Tensor:
        """The direction in which the objective rises, up to a positive factor per input, (*lead, D).

        The derivative is taken with respect to the points alone, never to the model's parameters.
        """
        points = self.leaf(points)
        logits = self.logits(points)
        return self.pull_back(logits, self.ascent(self.settled(logits)), points)

    def ascent(self, logits: Tensor) -> Tensor:
        """The derivative of the objective in the logits, up to a positive factor per input, (*lead, K)."""
        slope = self._slope(logits, self.labels)
        return -slope if self.targeted else slope

    def leaf(self, points: Tensor) -> Tensor:
        """Points to differentiate at: cut off from what made them, unless the answer is to be differentiable."""
        return points if self.create_graph and points.requires_grad else points.detach().requires_grad_()

    def settled(self, values: Tensor) -> Tensor:
        """Values to go on with: without their derivatives, unless the answer is to be differentiable."""
        return values if self.create_graph else values.detach()

    def pull_back(self, logits: Tensor, slope: Tensor, points: Tensor, again: bool = False) -> Tensor:
        """The derivative of ``(slope * logits).sum()`` in the points; `again`: it will be asked for once more.

        Raises:
            VictimError: the logits do not depend on the points.
        """
        if not logits.requires_grad:
            raise VictimError("the victim's logits carry no gradient: it runs under no_grad, or detaches")
        found = torch.autograd.grad(
            logits, points, slope, retain_graph=again or None, create_graph=self.create_graph, allow_unused=True
        )[0]
        if found is None:
            raise VictimError("the victim's logits do not depend on its inputs")
        return found

    def step(self, points: Tensor, size: Size) -> Tensor:
        """Points after the steepest step of this size."""
        return points + self.geometry.step(self.gradient(points), size, points, self.bounds)

    def within(self, points: Tensor) -> Tensor:
        """Points projected onto the ball around the inputs, then into the bounds."""
        return self.bounded(self.inputs + self.geometry.project(points - self.inputs, self.radius))

    def bounded(self, points: Tensor) -> Tensor:
        """Points within the bounds; this never leaves the ball, since the inputs lie within the bounds."""
        return points if self.bounds is None else points.clamp(*self.bounds)

    def objective(self, logits: Tensor) -> Tensor:
        """What the attack maximises, (*lead,)."""
        value = self.loss(logits, self.labels)
        return -value if self.targeted else value

    def reached(self, logits: Tensor) -> Tensor:
        """Whether the model says what the attack wants, (*lead,)."""
        classes = logits.argmax(-1)
        return classes == self.labels if self.targeted else classes != self.labels

    def solve(self, attack: Callable[..., Tensor], *each: Size) -> Attacked:
        """What ``attack(problem, *each)`` returns, (*lead, D), brought to the inputs' shape, with the verdict.

        The attack gets one chunk at a time, and of each tensor in `each`, (*lead, ...), the same chunk; floats stay.
        """

        if not isinstance(self.radius, Tensor) and self.radius == torch.inf:
            raise InputError("radius must be given: a finite number, or a tensor of them")

        def answer(problem: Problem, *part: Size) -> tuple[Tensor, Tensor]:
            points = attack(problem, *part)
            return points, problem.verdict(points)

        perturbed, success = self.in_chunks(answer, *each)
        return Attacked(self.shaped(perturbed), success)

    def solve_shortest(self, attack: Callable[..., Tensor]) -> Attacked:
        """As :meth:`solve`, for attacks that look for a short perturbation: where they fail, the input comes back.

        To be longer than the radius is to fail.
        """

        def answer(problem: Problem) -> tuple[Tensor, Tensor]:
            points = attack(problem)
            far = problem.geometry.length((points - problem.inputs).detach()) > problem.radius
            points = torch.where(far, problem.inputs, points)
            success = problem.verdict(points)
            return torch.where(success.unsqueeze(-1), points, problem.inputs), success

        perturbed, success = self.in_chunks(answer)
        return Attacked(self.shaped(perturbed), success)

    def columns(self, wanted: Tensor) -> Tensor:
        """Places along the last leading dimension where any input is wanted, (*lead,) bool; all, if chunks are not
        allowed and any is."""
        if self.chunk_size is None and bool(wanted.any()):
            wanted = torch.ones_like(wanted)
        return wanted.flatten(0, -2).any(0).nonzero().squeeze(-1) if wanted.ndim > 1 else wanted.nonzero().squeeze(-1)

    def pick(self, columns: Tensor) -> Problem:
        """The problem of these places along the last leading dimension alone."""
        dim = self.labels.ndim - 1
        if len(columns) == self.labels.shape[dim]:
            return self
        radius = self.radius.index_select(dim, columns) if isinstance(self.radius, Tensor) else self.radius
        return self._part(self.inputs.index_select(dim, columns), self.labels.index_select(dim, columns), radius)

    def relabelled(self, points: Tensor) -> Problem:
        """The same problem about the classes that the model gives to these points."""
        with torch.no_grad():
            classes = self.logits(points).argmax(-1)
        other = copy.copy(self)
        other.labels = classes
        return other

    def shaped(self, points: Tensor) -> Tensor:
        """Flat points in the shape of the inputs."""
        if len(self.input_shape) == 1:
            return points
        return points.reshape(*points.shape[:-1], *self.input_shape)

    def verdict(self, points: Tensor) -> Tensor:
        """Whether the model, asked once more, says at these very points what the attack wants, (*lead,)."""
        with torch.no_grad():
            logits = self.logits(points)
            check_finite(logits, points)
            return self.reached(logits)

    def in_chunks(self, work: Callable[..., tuple[Tensor, ...]], *each: Size) -> tuple[Tensor, ...]:
        """The tensors (*lead, ...) that ``work(problem, *each)`` returns, computed chunk by chunk."""
        if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
            with torch.inference_mode(False), torch.enable_grad():
                return self.in_chunks(work, *each)
        if self._fits():
            return work(self, *each)
        dim, size = self.labels.ndim - 1, self._chunk()
        pieces = (_split(value, size, dim) for value in (self.inputs, self.labels, self.radius, *each))
        found = [work(self._part(x, y, r), *part) for x, y, r, *part in zip(*pieces)]  # noqa: B905 (floats repeat)
        return tuple(torch.cat(parts, dim) for parts in zip(*found, strict=True))

    def _part(self, inputs: Tensor, labels: Tensor, radius: Size) -> Problem:
        part = copy.copy(self)
        part.inputs, part.labels, part.radius = inputs, labels, radius
        return part

    def _fits(self) -> bool:
        """Whether all inputs make one chunk."""
        if self.chunk_size is None or (self.chunk_size == "auto" and self.inputs.numel() <= ENTRIES):
            return True
        return self.labels.shape[-1] <= self._chunk()

    def _chunk(self) -> int:
        """Inputs per chunk, along the last leading dimension."""
        if isinstance(self.chunk_size, int):
            return self.chunk_size
        if self.inputs.device.type != "cpu":
            return self.labels.shape[-1]
        best = min(max(ENTRIES // self.inputs.shape[-1], FEWEST), MOST)
        return max(1, best // math.prod(self.labels.shape[:-1]))


def _split(value: Size, size: int, dim: int) -> Iterable[Any]:
    return torch.split(value, size, dim) if isinstance(value, Tensor) else itertools.repeat(value)
