"""What the players of the training-time game know: the model, its optimiser, and a validation set."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from advgames import derivatives
from advgames.access import Order, WhiteBox
from advgames.errors import AccessError, SettingError
from advgames.optimizers import Optimizer, Params
from advgames.victims import Victim

__all__ = ["Curvature", "PoisoningAccess", "ValidationPass"]

Curvature = Literal["gauss-newton", "hessian"]


class ValidationPass:
    """Loss and gradient of one model version on a set of points, each computed at most once.

    Asked for both, it makes one pass; whoever needs the gradient of a model version shares it. `used` tells the
    game whether anybody did, so that the next version's loss and gradient come from one pass as well.
    """

    def __init__(
        self, victim: Victim, params: Mapping[str, Tensor], inputs: Tensor, labels: Tensor, chunk_size: int
    ) -> None:
        self._arguments = (victim, params, inputs, labels, chunk_size)
        self._loss: Tensor | None = None
        self._gradient: Params | None = None
        self.used = False

    @property
    def loss(self) -> Tensor:
        """Mean loss, (G,)."""
        if self._loss is None:
            self._loss = derivatives.loss(*self._arguments)
        return self._loss

    @property
    def gradient(self) -> Params:
        """Gradient of the mean loss, name -> (G, *shape)."""
        self.used = True
        return self.evaluate()

    def evaluate(self) -> Params:
        """Compute loss and gradient in one pass, without counting as use."""
        if self._gradient is None:
            self._loss, self._gradient = derivatives.loss_and_gradient(*self._arguments)
        return self._gradient

    def product(self, vector: Params, curvature: Curvature) -> Params:
        """Hessian or Gauss-Newton matrix of the mean loss times a vector."""
        victim, params, inputs, labels, chunk_size = self._arguments
        form = {
            "hessian": derivatives.hessian_vector_product,
            "gauss-newton": derivatives.gauss_newton_vector_product,
        }[curvature]
        return form(victim, params, inputs, labels, vector, chunk_size)

    def repeated(self, times: int, params: Mapping[str, Tensor]) -> ValidationPass:
        """Every match's points `times` times, one after another, under other parameters."""
        victim, _, inputs, labels, chunk_size = self._arguments
        inputs, labels = (part.repeat_interleave(times, 0) for part in (inputs, labels))
        return ValidationPass(victim, params, inputs, labels, chunk_size)

    def at(self, params: Mapping[str, Tensor]) -> ValidationPass:
        """The same points under other parameters."""
        victim, _, inputs, labels, chunk_size = self._arguments
        return ValidationPass(victim, params, inputs, labels, chunk_size)


class PoisoningAccess(WhiteBox):
    """White-box knowledge of one player in one phase of the training-time game.

    U is the increment of the mean validation loss caused by this round's model update (r2t2.txt eq. 4).

    Attributes:
        victim: the model under training.
        optimizer: its update rule.
        labels: labels of this round's minibatch, (G, B, ...).
        validation: the points the player reasons with (r2t2.txt section 3; the attacker's own minibatch under R9).
        sample_ids: which training samples these are, (G, B); None for the defender, who cannot recognise inputs.
        num_samples: how many different samples there are, for the attacker's memory.
        budget: what the attacker has left to spend, (G,), for itself alone; None: no limit, or not one's own.
    """

    def __init__(
        self,
        *,
        victim: Victim,
        params: Params,
        buffers: Params,
        optimizer: Optimizer,
        labels: Tensor,
        validation: ValidationPass,
        chunk_size: int,
        sample_ids: Tensor | None,
        num_samples: int,
        budget: Tensor | None = None,
        reach: Tensor | None = None,
        known: Tensor | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.victim = victim
        self._params = params
        self._buffers = buffers
        self.optimizer = optimizer
        self.labels = labels
        self.validation = validation
        self.sample_ids = sample_ids
        self.num_samples = num_samples
        self.budget = budget
        self._reach = reach
        self._known = known
        self._chunk_size = chunk_size

    @property
    def params(self) -> Params:
        """The current parameters theta_t, name -> (G, *shape): a copy."""
        return {name: p.clone() for name, p in self._params.items()}

    @property
    def buffers(self) -> Params:
        """The optimiser's state: a copy."""
        return {name: b.clone() for name, b in self._buffers.items()}

    def known(self, count: int | None = None) -> Tensor:
        """The first inputs of the validation set, (n, *input_shape): a copy.

        Raises:
            AccessError: the player does not know it (R9).
        """
        if self._known is None:
            raise AccessError(f"the {self.player} does not know the validation set: see the setting validation")
        return self._known[:count].clone()

    def utility(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """U if the model trained on `inputs` (G, B, ...): the true update and validation pass, (G,)."""
        after, _ = self._updated(inputs, self.labels if labels is None else labels)
        return self.validation.at(after).loss - self.validation.loss

    def utility_gradient(self, inputs: Tensor, order: Order = "first") -> Tensor:
        """grad_x U at `inputs`, (G, B, *input_shape).

        ``"first"``: -eta grad_x <grad_theta L(x), g_val> (eq. 7), the loss linear in theta.
        ``"second"``: g_val - eta H_val g_batch in place of g_val (Theorem 2, Corollary 3), quadratic in theta.
        ``"exact"``: through the optimiser's true step to the true validation gradient behind it.
        The first two read the model update as SGD with the optimiser's learning rate, as the paper's derivation
        does whatever the optimiser. Gradients with respect to each input include the mean over the minibatch.
        """
        return -self.mixed_derivative(inputs, self.direction(inputs, order)) / inputs.shape[1]

    def direction(self, inputs: Tensor, order: Order) -> Params:
        """v in grad_x U(x) = -grad_x <grad_theta L(x), v>: how validation sees a change of the minibatch gradient."""
        eta = self.optimizer.learning_rate
        if order == "first":
            return derivatives.scale(self.validation.gradient, eta)
        if order == "second":
            bent = self.validation.product(self.batch_gradient(inputs), "hessian")
            return derivatives.scale(derivatives.add(self.validation.gradient, bent, -eta), eta)
        if order == "exact":
            return self._exact_direction(inputs)
        raise SettingError(f"order must be 'first', 'second' or 'exact', got {order!r}")

    def batch_gradient(self, inputs: Tensor) -> Params:
        """Gradient of the minibatch loss that the model update would use at `inputs`."""
        return derivatives.loss_and_gradient(self.victim, self._params, inputs, self.labels, self._chunk_size)[1]

    def mixed_derivative(self, inputs: Tensor, direction: Params) -> Tensor:
        """grad_x <grad_theta L(x), direction>, the paper's B^x v, (G, B, *input_shape)."""
        return derivatives.mixed_derivative(self.victim, self._params, inputs, self.labels, direction, self._chunk_size)

    def inverse_curvature_product(
        self, vector: Params, curvature: Curvature, damping: float, tolerance: float, max_iterations: int
    ) -> derivatives.ConjugateGradientResult:
        """(C + damping I)^-1 vector by conjugate gradients, C the validation loss's curvature matrix."""

        def product(v: Params) -> Params:
            return derivatives.add(self.validation.product(v, curvature), v, damping)

        return derivatives.conjugate_gradient(product, vector, tolerance, max_iterations)

    def repeated(self, times: int) -> PoisoningAccess:
        """Every match `times` times, one after another, to be imagined in different ways."""
        other = copy.copy(self)
        other._params, other._buffers = (
            {name: part.repeat_interleave(times, 0) for name, part in parts.items()}
            for parts in (self._params, self._buffers)
        )
        for name in ("radius", "opponent_radius", "labels", "_noise_keys"):
            setattr(other, name, getattr(self, name).repeat_interleave(times, 0))
        for name in ("sample_ids", "budget", "_reach"):
            value = getattr(self, name)
            setattr(other, name, None if value is None else value.repeat_interleave(times, 0))
        other.validation = self.validation.repeated(times, other._params)
        return other

    def turned(self) -> PoisoningAccess:
        """The other player's seat, as this one imagines it: it knows no more than this player does."""
        other = copy.copy(self)
        other.player = "defender" if self.sign > 0 else "attacker"
        other.sign, other.radius, other.opponent_radius = -self.sign, self.opponent_radius, self.radius
        other.sample_ids = other.budget = other._reach = None
        return other

    def advanced(self, trained_on: Tensor, labels: Tensor, move: Tensor | None = None) -> PoisoningAccess:
        """The next iteration, after the model's update on inputs (G, B, ...).

        Args:
            trained_on: the inputs.
            labels: of the next minibatch, (G, B, ...).
            move: the player's own (G, B, ...), which costs it some of its budget; None: it did nothing.
        """
        other = copy.copy(self)
        if self.budget is not None and self._reach is not None and move is not None:
            other.budget = (self.budget - self.radius * self.threat.norms(move).amax(1)).clamp(min=0.0)
            other.radius = torch.minimum(self._reach, other.budget)
        _, gradient = derivatives.loss_and_gradient(
            self.victim, self._params, trained_on, self.labels, self._chunk_size
        )
        other._params, other._buffers = self.optimizer.update(self._params, gradient, self._buffers)
        other.labels, other.round, other.sample_ids = labels, self.round + 1, None
        other.validation = self.validation.at(other._params)
        return other

    def _updated(self, inputs: Tensor, labels: Tensor) -> tuple[Params, Params]:
        """The parameters after the true update on `inputs`, and the gradient that made it."""
        _, gradient = derivatives.loss_and_gradient(self.victim, self._params, inputs, labels, self._chunk_size)
        return self.optimizer.update(self._params, gradient, self._buffers)[0], gradient

    @torch.enable_grad()
    def _exact_direction(self, inputs: Tensor) -> Params:
        """-(d theta' / d gradient)^T g_val(theta'), by one backward pass through the optimiser's update."""
        after, gradient = self._updated(inputs, self.labels)
        ahead = self.validation.at(after).evaluate()
        leaves = {name: g.detach().requires_grad_() for name, g in gradient.items()}
        moved, _ = self.optimizer.update(self._params, leaves, self._buffers)
        pulled = torch.autograd.grad(tuple(moved.values()), tuple(leaves.values()), tuple(ahead[n] for n in moved))
        return {name: -p for name, p in zip(leaves, pulled, strict=True)}
