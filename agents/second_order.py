"""Players that invert a curvature matrix: optimal contraction and the influence-function attack."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import get_args

from torch import Tensor

from advgames.access import PerturbationAccess
from advgames.agents.base import Agent
from advgames.derivatives import ConjugateGradientResult, add
from advgames.errors import AccessError, SettingError
from advgames.games.poisoning_access import Curvature, PoisoningAccess

__all__ = ["InfluenceFunction", "OptimalContraction"]


class _InverseCurvature(Agent):
    """Common part: v = (C + damping I)^-1 g_val by conjugate gradients, then the unit vector along -+B^x v."""

    needs = "white-box"

    def __init__(
        self,
        *,
        curvature: Curvature = "gauss-newton",
        damping: float = 0.01,
        tolerance: float = 1e-3,
        max_iterations: int = 100,
    ) -> None:
        if curvature not in get_args(Curvature):
            raise SettingError(f"curvature must be one of {', '.join(get_args(Curvature))}, got {curvature!r}")
        if not (damping >= 0 and math.isfinite(damping)):
            raise SettingError(f"damping must be finite and not negative, got {damping}")
        if not 0 < tolerance < 1 or max_iterations < 1:
            raise SettingError(
                f"tolerance must lie in (0, 1) and max_iterations be positive, got {tolerance} and {max_iterations}"
            )
        self.curvature, self.damping = curvature, damping
        self.tolerance, self.max_iterations = tolerance, max_iterations
        #: evidence of the last move: residuals, iterations and whether negative curvature was met, per match
        self.last_solve: ConjugateGradientResult | None = None

    def act(self, observation: Mapping[str, Tensor], access: PerturbationAccess) -> Tensor:
        """Unit perturbations, (G, B, *input_shape)."""
        if not isinstance(access, PoisoningAccess):
            raise AccessError(f"{self!r} plays the training-time game only")
        inputs = observation["inputs"]
        solve = access.inverse_curvature_product(
            access.validation.gradient, self.curvature, self.damping, self.tolerance, self.max_iterations
        )
        if self.curvature == "hessian" and bool(solve.negative_curvature.any()):
            warnings.warn(
                f"{self!r}: the validation Hessian is not positive definite in "
                f"{int(solve.negative_curvature.sum())} of {len(solve.residual)} matches (round {access.round}); "
                "conjugate gradients stopped there",
                RuntimeWarning,
                stacklevel=2,
            )
        self.last_solve = solve
        direction = access.mixed_derivative(inputs, self._direction(inputs, solve, access))
        return access.threat.unit(-access.sign * direction)

    def _direction(self, inputs: Tensor, solve: ConjugateGradientResult, access: PoisoningAccess) -> dict[str, Tensor]:
        raise NotImplementedError


class OptimalContraction(_InverseCurvature):
    """R3: push the next parameters away from (attacker) or towards (defender) the validation optimum.

    Along -+B^x [H^-1 g_val - eta grad_theta L(x)], the last gradient that of the whole minibatch
    (r2t2.txt Corollary 1).

    Args:
        curvature: matrix inverted: ``"gauss-newton"`` (positive semi-definite; mid-training Hessians are
            indefinite) or ``"hessian"`` (a RuntimeWarning says when negative curvature stops the solver).
        damping: added to its diagonal.
        tolerance: relative residual at which conjugate gradients stop.
        max_iterations: of conjugate gradients.
    """

    def _direction(self, inputs: Tensor, solve: ConjugateGradientResult, access: PoisoningAccess) -> dict[str, Tensor]:
        return add(solve.solution, access.batch_gradient(inputs), -access.optimizer.learning_rate)


class InfluenceFunction(_InverseCurvature):
    """R4: the influence-function direction, optimal contraction without its second term (r2t2.txt eq. 8).

    Args: as :class:`OptimalContraction`.
    """

    def _direction(self, inputs: Tensor, solve: ConjugateGradientResult, access: PoisoningAccess) -> dict[str, Tensor]:
        return solve.solution
