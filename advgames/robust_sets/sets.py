"""RobustSets: the perturbations under which an input keeps its class whatever a bounded attacker adds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import get_args

import torch
from torch import Tensor

from advgames.errors import InputError, SettingError
from advgames.robust_sets.linearise import Model, linearise
from advgames.threat import Norm

__all__ = ["TOLERANCE", "RobustSets", "checked_radius"]

TOLERANCE = 1e-9  # relative to the terms of alpha; far above rounding in float64, far below any radius


@dataclass(frozen=True, eq=False)
class RobustSets:
    """The robust sets of n inputs under the local linearisation, for any radius of the attacker.

    R(x_i) = {v : alpha_ik(v) >= 0 for every class k but y_i},  alpha_ik(v) = m_ik + g_ik . v - eps ||g_ik||_*

    with the margin m_ik = Z_y(x_i) - Z_k(x_i), its gradient g_ik and the dual norm: l2 for "l2", l1 for "linf".
    Two classes: c_i = g_i1 and b_i = m_i1 - eps ||g_i1||. Source: P2, additive_nash.txt Lemma 1, eq. 3 and 7
    (written there for two classes and L2).

    With two classes the attack that defeats every v outside R(x_i) is the same for all of them, FGM. With more
    classes it depends on v, and R(x_i) is what survives an attacker who knows v.

    A set is closed: it holds its border, up to rounding, alpha >= -TOLERANCE (|m| + ||g||_* (eps + ||v||)).

    Args:
        margins: finite.  # (n, K-1)
        gradients: finite, flattened over the input's entries.  # (n, K-1, d)
        norm: of the attacker's and the defender's perturbations, ``"l2"`` or ``"linf"``.

    Both are kept in float64. Raises InputError for shapes or values, SettingError for the norm.
    """

    margins: Tensor
    gradients: Tensor
    norm: Norm = "l2"

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise SettingError(f"norm must be one of {', '.join(get_args(Norm))}, got {self.norm!r}")
        for name in ("margins", "gradients"):
            value = getattr(self, name).detach().to(torch.float64)
            if not bool(torch.isfinite(value).all()):
                raise InputError(f"{name}: contain NaN or infinity")
            object.__setattr__(self, name, value)
        shape = tuple(self.gradients.shape)
        if len(shape) != 3 or 0 in shape or tuple(self.margins.shape) != shape[:2]:
            raise InputError(
                f"expected margins (n, K-1) and gradients (n, K-1, d), none empty, got {tuple(self.margins.shape)}"
                f" and {shape}"
            )

    @classmethod
    def from_model(
        cls,
        model: Model,
        inputs: Tensor,
        classes: Tensor | None = None,
        norm: Norm = "l2",
        chunk_size: int = 256,
    ) -> RobustSets:
        """The robust sets of a model at the inputs; arguments and errors as :func:`linearise`.

        An input whose given class is not the one predicted has a negative margin: its set holds the v that put it
        right whatever the attacker does. The paper, and the default, take the predicted class.
        """
        return cls(*linearise(model, inputs, classes, chunk_size), norm)

    def __len__(self) -> int:
        return len(self.margins)

    @property
    def dimension(self) -> int:
        """d, the entries of one input."""
        return self.gradients.shape[2]

    @property
    def dual_norms(self) -> Tensor:
        """||g_ik||_*: by how much an attacker of radius 1 lowers the margin.  # (n, K-1)"""
        order = 2.0 if self.norm == "l2" else 1.0
        norms: Tensor = torch.linalg.vector_norm(self.gradients, ord=order, dim=2)
        return norms

    def select(self, index: Tensor) -> RobustSets:
        """The sets of some of the inputs; index as for a tensor's first dimension."""
        return replace(self, margins=self.margins[index], gradients=self.gradients[index])

    def offsets(self, attack_radius: float) -> Tensor:
        """b_ik = m_ik - eps ||g_ik||_*, alpha at v = 0.  # (n, K-1)"""
        return self.margins - checked_radius("attack_radius", attack_radius) * self.dual_norms

    def slacks(self, v: Tensor, attack_radius: float) -> Tensor:
        """min_k alpha_ik(v), the margin that is left after the best attack, in the logits' unit.

        Args:
            v: (d,) or several, (m, d); a batch of inputs' shape may be flattened beforehand.
            attack_radius: eps, finite and at least 0.

        Returns (n,) or (m, n).
        """
        return self._alphas(v, attack_radius).amin(-1)

    def contains(self, v: Tensor, attack_radius: float) -> Tensor:
        """Whether R(x_i) holds v, up to rounding; bool (n,), or (m, n) of v (m, d). v's own norm is not looked at."""
        alphas = self._alphas(v, attack_radius)
        order = 2.0 if self.norm == "l2" else math.inf
        lengths = torch.linalg.vector_norm(v.to(alphas), ord=order, dim=-1)[..., None, None]
        terms = self.margins.abs() + self.dual_norms * (attack_radius + lengths)
        held: Tensor = (alphas >= -TOLERANCE * terms).all(-1)
        return held

    def phi(self, v: Tensor, attack_radius: float) -> Tensor:
        """phi_n(v) = mean_i 1[v in R(x_i)] (additive_nash.txt eq. 5); (), or (m,) of v (m, d)."""
        return self.contains(v, attack_radius).to(torch.float64).mean(-1)

    def _alphas(self, v: Tensor, attack_radius: float) -> Tensor:
        """alpha_ik(v), (n, K-1) or (m, n, K-1)."""
        if v.ndim not in (1, 2) or v.shape[-1] != self.dimension:
            raise InputError(f"v: expected shape ({self.dimension},) or (m, {self.dimension}), got {tuple(v.shape)}")
        gained = v.to(self.gradients) @ self.gradients.flatten(0, 1).T
        return gained.reshape(*v.shape[:-1], *self.margins.shape) + self.offsets(attack_radius)


def checked_radius(name: str, radius: float) -> float:
    """The radius, or a SettingError unless it is finite and at least 0."""
    if not 0 <= radius < math.inf:
        raise SettingError(f"{name}: expected a finite number, at least 0, got {radius}")
    return float(radius)
