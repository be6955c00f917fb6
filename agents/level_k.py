"""Gradient-based level-k players: closed forms at levels 1 and 2, (nested) projected gradient above."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

from advgames.access import Order, PerturbationAccess, WhiteBox
from advgames.agents.base import Agent
from advgames.errors import PhaseError, SettingError

__all__ = ["LevelK", "step_size", "white_image_estimate"]

Method = Literal["auto", "closed", "pgd"]


@runtime_checkable
class _HasUtility(Protocol):
    def utility(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor: ...


def step_size(level: int, curvature: Tensor, radius: Tensor) -> Tensor:
    """Gamma_k = 1 / [M^2 k^2 (1 + 2 M eps)^(k-2)] per match; infinite at level 1 (r2t2.txt Theorem 3, B.3.2)."""
    if level == 1:
        return torch.full_like(curvature, math.inf)
    return 1.0 / (curvature**2 * level**2 * (1 + 2 * curvature * radius) ** (level - 2))


class LevelK(Agent):
    """Best response to the level-(k-1) opponent, by gradients up to order k (R1, R2, R5; r2t2.txt section 4).

    Level 1 (Theorem 1) is the unit vector along the first-order utility gradient; level 2 (Theorem 2, Corollary 3)
    the same with the second-order one. From level 3 on, or with ``method="pgd"``, the defender plays projected
    gradient descent (eq. 10) and the attacker the nested form (eq. 9), which carries an imagined defender along.
    A level-0 player is :class:`~advgames.agents.Null`.

    Args:
        k: level, at least 1.
        method: ``"auto"`` (closed forms at levels 1 and 2, unless one of the options below asks for projected
            steps), ``"closed"`` or ``"pgd"``.
        gradient: utility gradient of the projected steps: ``"first"`` (eq. 7, as the paper), ``"second"``, or
            ``"exact"`` (through the optimiser's true step).
        steps: number of projected steps; None: max(k, ceil(c / Gamma_k)) per match. The paper prints "c Gamma_k",
            but Theorem 3 needs O(1 / Gamma_k).
        c: constant of that rule (the paper's 2, 0.5 and 0.01 for MNIST, CIFAR-10 and ImageNet).
        m: the smoothness constant M; None: estimated once per match at its start as sqrt(N) |U(white image)|
            (B.3.2), the white image labelled with class 0.
        finite_steps: take steps of size Gamma_k / eps as in eq. 9-10; False: infinite steps, each the unit vector,
            as B.3.2 does in practice.
        max_steps: bound on the number of projected steps.
    """

    needs = "white-box"

    def __init__(
        self,
        k: int,
        *,
        method: Method = "auto",
        gradient: Order = "first",
        steps: int | None = None,
        c: float = 2.0,
        m: float | None = None,
        finite_steps: bool = False,
        max_steps: int = 100,
    ) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise SettingError(f"level must be an integer of at least 1 (level 0 is Null), got {k!r}")
        if method not in get_args(Method):
            raise SettingError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}")
        if gradient not in get_args(Order):
            raise SettingError(f"gradient must be one of {', '.join(get_args(Order))}, got {gradient!r}")
        if method == "closed" and k > 2:
            raise SettingError(f"closed forms exist at levels 1 and 2 only, got level {k}")
        for name, value in (("steps", steps), ("c", c), ("m", m), ("max_steps", max_steps)):
            if value is not None and not value > 0:
                raise SettingError(f"{name} must be positive, got {value}")
        for name, count in (("steps", steps), ("max_steps", max_steps)):
            if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
                raise SettingError(f"{name} must be an integer, got {count!r}")
        self.k, self.method, self.gradient, self.steps = k, method, gradient, steps
        self.c, self.m, self.finite_steps, self.max_steps = c, m, finite_steps, max_steps
        self._curvature: Tensor | None = None
        if method == "closed" and set(self._settings()) - {"k", "method"}:
            raise SettingError(f"{self!r}: closed forms take no options of projected steps")

    def reset(self, access: PerturbationAccess) -> None:
        """Forget the last match; estimate M if the number or size of steps needs it."""
        super().reset(access)
        self._curvature = None
        if self._projected and (self.steps is None or self.finite_steps):
            assert isinstance(access, WhiteBox)
            self._curvature = self._estimate(access)

    def act(self, observation: Mapping[str, Tensor], access: PerturbationAccess) -> Tensor:
        """Perturbations of norm at most 1, (G, B, *input_shape)."""
        assert isinstance(access, WhiteBox)
        inputs = observation["inputs"]
        if not self._projected:
            order: Order = "first" if self.k == 1 else "second"
            return access.threat.unit(access.pool(access.sign * access.utility_gradient(inputs, order)))
        if access.sign > 0:
            return self._nested(inputs, access)
        return self._descend(inputs, access)

    def memory(self) -> dict[str, Tensor]:
        """The estimate of M, (G,), where one was made."""
        return {} if self._curvature is None else {"m": self._curvature}

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take back the estimate of M."""
        self._curvature = memory.get("m")

    def num_steps(self, access: PerturbationAccess) -> Tensor:
        """Projected steps of each match, (G,) int64."""
        if self.steps is not None:
            return torch.full_like(access.radius, self.steps, dtype=torch.int64)
        needed = torch.ceil(self.c / self._gamma(self.k, access.radius)).clamp(min=self.k, max=self.max_steps)
        return needed.to(torch.int64)

    @property
    def _projected(self) -> bool:
        return self.method == "pgd" or (self.method == "auto" and (self.k > 2 or len(self._settings()) > 1))

    def _gamma(self, level: int, radius: Tensor) -> Tensor:
        if self._curvature is None:
            raise PhaseError(f"{self!r}: call reset(access) at the start of a match, where M is estimated")
        return step_size(level, self._curvature, radius)

    def _estimate(self, access: WhiteBox) -> Tensor:
        """M per match, (G,)."""
        if self.m is not None:
            return torch.full_like(access.radius, self.m)
        if not isinstance(access, _HasUtility):
            raise SettingError(f"{self!r}: this game offers no utility to estimate M from; give steps or m")
        return white_image_estimate(access)

    def _nested(self, inputs: Tensor, access: WhiteBox) -> Tensor:
        """The attacker's nested projected gradient (eq. 9)."""
        delta = torch.zeros_like(access.pool(inputs))
        sigma = torch.zeros_like(access.opponent_pool(inputs))
        steps, threat = self.num_steps(access), access.threat
        for i in range(int(steps.max())):
            attacked = threat.perturb(inputs, delta, access.radius)
            repaired = threat.perturb(attacked, sigma, access.opponent_radius)
            ascent = access.pool(access.utility_gradient(repaired, self.gradient))
            moved = self._advance(delta, ascent, self.k, access.radius, access)
            delta = _where(i < steps, moved, delta)
            if i + 1 == int(steps.max()):
                break  # the last imagined reply would change nothing
            attacked = threat.perturb(inputs, delta, access.radius)
            repaired = threat.perturb(attacked, sigma, access.opponent_radius)
            descent = access.opponent_pool(-access.utility_gradient(repaired, self.gradient))
            sigma = self._advance(sigma, descent, self.k - 1, access.opponent_radius, access)
        return delta

    def _descend(self, inputs: Tensor, access: WhiteBox) -> Tensor:
        """The defender's projected gradient (eq. 10)."""
        sigma = torch.zeros_like(access.pool(inputs))
        steps = self.num_steps(access)
        for i in range(int(steps.max())):
            repaired = access.threat.perturb(inputs, sigma, access.radius)
            descent = access.pool(-access.utility_gradient(repaired, self.gradient))
            moved = self._advance(sigma, descent, self.k, access.radius, access)
            sigma = _where(i < steps, moved, sigma)
        return sigma

    def _advance(self, delta: Tensor, ascent: Tensor, level: int, radius: Tensor, access: WhiteBox) -> Tensor:
        """Proj(delta + (Gamma / eps) ascent); with infinite steps the unit vector along the ascent.

        `level` and `radius` are those of the player whose step it is. Without an ascent delta stays.
        """
        if not self.finite_steps or level <= 1:
            moved = access.threat.unit(ascent)
            still = access.threat.norms(moved) == 0
            return torch.where(still.reshape(*still.shape, *[1] * (delta.ndim - 2)), delta, moved)
        size = self._gamma(level, radius) / radius.clamp(min=torch.finfo(ascent.dtype).tiny)
        return access.threat.project(delta + size.reshape(-1, *[1] * (ascent.ndim - 1)) * ascent)


def white_image_estimate(access: Any) -> Tensor:
    """M as sqrt(N) |U| of one training step on a white image of class 0, per match, (G,) (r2t2.txt B.3.2)."""
    shape = access.labels.shape
    label = torch.zeros((shape[0], 1, *shape[2:]), dtype=access.labels.dtype, device=access.labels.device)
    white = torch.ones((shape[0], 1, *access.input_shape), dtype=access.radius.dtype, device=access.radius.device)
    size = math.prod(access.input_shape)
    estimate: Tensor = math.sqrt(size) * access.utility(white, label).abs()
    return estimate.clamp(min=1e-12)


def _where(active: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Per match: new where active (G,), else old."""
    return torch.where(active.reshape(-1, *[1] * (new.ndim - 1)), new, old)
