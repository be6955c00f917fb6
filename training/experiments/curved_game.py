"""The additive game under the true f on a sample of inputs, and best replies on a grid of the plane."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from advgames.attacks import fgm
from advgames.equilibrium.tables import Array
from advgames.robust_sets import RobustSets, maximise

__all__ = ["CurvedGame", "disc", "grid_replies"]


class CurvedGame:
    """Two players add vectors of L2 norm at most eps to n inputs; the attacker wins an input if its class changes.

        u(a, v) = mean_i u_i,  u_i = +1 if sgn f(x_i + a_i + v) != sgn f(x_i), else -1

    (additive_nash.txt eq. 1 and 2, with the true f instead of f_L, and the sample instead of p_X; no bounds on the
    inputs, as there). A strategy of the attacker is one perturbation per input, (n, d); one of the defender a single
    vector, (d,).

    Args:
        model: two logits of inputs (B, *shape), f = Z_1 - Z_0; in evaluation mode, float64.
        inputs: (n, *shape), float64.
        radius: eps.

    Attributes:
        inputs: flat.  # (n, d)
        up: whether f(x_i) > 0.  # (n,)
        sets: the robust sets of f linearised at the inputs.
        scale: the median of eps ||grad f(x_i)||: by how much f moves within the radius.
        gradients: points at which the gradient of f was computed so far.
        values: points at which only f was.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, radius: float) -> None:
        self.model, self.shape, self.radius = model, tuple(inputs.shape[1:]), radius
        self.inputs = inputs.flatten(1)
        self.gradients = self.values = 0
        self.sets = RobustSets.from_model(self.logits, inputs)
        self.scale = max(radius * float(self.sets.dual_norms.median()), torch.finfo(torch.float64).tiny)
        with torch.no_grad():
            self.up = self.f(self.inputs) > 0

    def logits(self, inputs: Tensor) -> Tensor:
        """The model's, counted.  # (B, 2)"""
        if inputs.requires_grad:
            self.gradients += len(inputs)
        else:
            self.values += len(inputs)
        logits: Tensor = self.model(inputs)
        return logits

    @property
    def counts(self) -> tuple[int, int]:
        """Gradients and values so far."""
        return self.gradients, self.values

    def spent_since(self, counts: tuple[int, int]) -> dict[str, int]:
        """Gradients and values since there were so many."""
        return {"gradients": self.gradients - counts[0], "values": self.values - counts[1]}

    def f(self, points: Tensor) -> Tensor:
        """Z_1 - Z_0 of flat points, (*lead, d) to (*lead,)."""
        logits = self.logits(points.reshape(-1, *self.shape))
        found: Tensor = (logits[:, 1] - logits[:, 0]).reshape(points.shape[:-1])
        return found

    @torch.no_grad()
    def flips(self, attack: Tensor, vectors: Tensor) -> Tensor:
        """Whether inputs change their class under attacks (*lead, n, d) or (d,) and vectors (K, d).  # (*lead, n, K)"""
        points = (self.inputs + attack).unsqueeze(-2) + vectors
        flipped: Tensor = (self.f(points) > 0) != self.up[:, None]
        return flipped

    def payoffs(self, rows: Sequence[Tensor], columns: Sequence[Tensor]) -> Array:
        """u of all pairs.  # (len(rows), len(columns))"""
        vectors = torch.stack(list(columns))
        shares = torch.stack([self.flips(row, vectors).to(torch.float64).mean(0) for row in rows])
        return np.asarray(2 * shares.numpy() - 1)

    @cached_property
    def fast_gradient(self) -> Tensor:
        """s_FGM: a_i = -eps sgn(f) grad f / ||grad f|| at x_i, (n, d) (additive_nash.txt section 3)."""
        return self.steepest(torch.zeros_like(self.inputs[0]))

    def steepest(self, vector: Tensor) -> Tensor:
        """FGM by an attacker who knows the vector: the gradient is taken at x_i + v, (n, d)."""
        moved = (self.inputs + vector).reshape(-1, *self.shape)
        found = fgm(self.logits, moved, self.up.long(), radius=self.radius, bounds=None, loss="margin")
        return (found.perturbed - moved).flatten(1)

    @cached_property
    def smooth(self) -> Tensor:
        """s_SMOOTH: v_n*, the vector in the most robust sets of f_L, (d,) (eq. 6)."""
        return maximise(self.sets, self.radius, self.radius, method="annealed").v

    def smooth_after(self, moved: Tensor) -> Tensor:
        """The vector that puts the most attacked inputs (n, d) right, by f linearised at them, (d,)."""
        sets = RobustSets.from_model(self.logits, moved.reshape(-1, *self.shape), self.up.long())
        return maximise(sets, 0.0, self.radius, method="annealed").v


def disc(radius: float, rings: int = 16, spokes: int = 60) -> Tensor:
    """A polar grid of the disc, centre and rim included, (1 + rings * spokes, 2)."""
    lengths = radius * torch.arange(1, rings + 1, dtype=torch.float64) / rings
    angles = 2 * torch.pi * torch.arange(spokes, dtype=torch.float64) / spokes
    circle = torch.stack([angles.cos(), angles.sin()], 1)
    points = (lengths[:, None, None] * circle).reshape(-1, 2)
    return torch.cat([torch.zeros(1, 2, dtype=torch.float64), points])


def grid_replies(
    game: CurvedGame,
    attacks: Sequence[Tensor],
    attack_weights: Array,
    vectors: Sequence[Tensor],
    vector_weights: Array,
    points: Tensor,
) -> tuple[float, float]:
    """u when the attacker, and u when the defender, answers the other's mix by the best of some points (m, d)."""
    v, q, p = torch.stack(list(vectors)), torch.from_numpy(vector_weights), torch.from_numpy(attack_weights)
    chances = torch.stack([game.flips(point, v).to(q) @ q for point in points]).amax(0)  # (n,)
    shares = torch.stack([game.flips(attack, points).to(p).mean(0) for attack in attacks])  # (J, m)
    return float(2 * chances.mean() - 1), float(2 * (p @ shares).min() - 1)
