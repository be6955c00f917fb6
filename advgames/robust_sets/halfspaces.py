"""Robust sets in the defender's units: rows u . w + t >= 0 over the unit ball, as the optimisers see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advgames.robust_sets.sets import TOLERANCE, RobustSets
from advgames.threat import Norm

__all__ = ["Array", "Halfspaces", "Mask"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SMALL = 0.01  # the ||v|| of RobustSets' rounding, in radii: of all but the smallest perturbations not too large
RANK = 1e-13  # singular values below this share of the largest are rounding


@dataclass(frozen=True)
class Halfspaces:
    """n sets, each of r rows: set i holds w iff u_ij . w + t_ij >= 0 for every j, with v = radius w, ||w|| <= 1.

    u = g / ||g||_* and t = (m / ||g||_* - eps) / radius, so that u . w + t is the distance of v from the border in
    units of the radius and |u . w| <= 1: rows with t >= 1 hold the whole ball, rows with t < -1 miss it.

    Attributes:
        units: of dual norm 1, or zero with t = +-2 where the gradient vanishes.  # (n, r, d)
        heights: t.  # (n, r)
        slop: by how much rounding may hurt a row, see :class:`RobustSets`.  # (n, r)
        norm: of the ball.
    """

    units: Array
    heights: Array
    slop: Array
    norm: Norm

    @classmethod
    def of(cls, sets: RobustSets, attack_radius: float, radius: float) -> Halfspaces:
        """The sets for one pair of radii; radius > 0."""
        gradients, margins = sets.gradients.cpu().numpy(), sets.margins.cpu().numpy()
        norms = sets.dual_norms.cpu().numpy()
        flat = norms == 0
        safe = np.where(flat, 1.0, norms)
        heights = np.where(flat, np.where(margins >= 0, 2.0, -2.0), (margins / safe - attack_radius) / radius)
        slop = np.where(flat, 0.0, TOLERANCE * ((np.abs(margins) / safe + attack_radius) / radius + SMALL))
        return cls(gradients / safe[..., None], heights, slop, sets.norm)

    def __len__(self) -> int:
        return len(self.heights)

    @property
    def dimension(self) -> int:
        """d."""
        return int(self.units.shape[2])

    @property
    def always(self) -> Mask:
        """Sets that hold the whole ball.  # (n,)"""
        return np.asarray((self.heights >= 1).all(1))

    @property
    def never(self) -> Mask:
        """Sets of which one row misses the whole ball.  # (n,)"""
        return np.asarray((self.heights < -1 - self.slop).any(1))

    def select(self, index: npt.NDArray[np.intp] | Mask) -> Halfspaces:
        """Some of the sets."""
        return Halfspaces(self.units[index], self.heights[index], self.slop[index], self.norm)

    def reduced(self, rank: bool = False) -> tuple[Halfspaces, Array | None]:
        """The same problem over the span of the u where that is smaller than the space and the ball is round.

        Args:
            rank: whether to look for a smaller span where there are more rows than dimensions too, which takes a
                singular value decomposition.

        Returns the problem (d' dimensions) and an orthonormal basis of them (d, d'), w = basis w', or None if the
        problem is unchanged.
        """
        n, r, d = self.units.shape
        if self.norm == "linf" or (d <= n * r and not rank):
            return self, None
        _, values, basis = np.linalg.svd(self.units.reshape(n * r, d), full_matrices=False)
        kept = max(int((values > RANK * values[0]).sum()), 1)
        if kept == d:
            return self, None
        return Halfspaces(self.units @ basis[:kept].T, self.heights, self.slop, self.norm), basis[:kept].T

    def rows(self, w: Array) -> Array:
        """u_ij . w + t_ij of several points (m, d).  # (m, n, r)"""
        n, r, d = self.units.shape
        products = w @ self.units.reshape(n * r, d).T
        return np.asarray(products.reshape(len(w), n, r) + self.heights)

    def holds(self, rows: Array) -> Mask:
        """Which sets hold the points whose rows (m, n, r) are given.  # (m, n)"""
        return np.asarray((rows >= -self.slop).all(2))

    def count(self, w: Array) -> npt.NDArray[np.intp]:
        """How many sets hold each point (m, d).  # (m,)"""
        return np.asarray(self.holds(self.rows(w)).sum(1))

    def project(self, w: Array) -> Array:
        """The nearest points of the unit ball.  # (m, d)"""
        if self.norm == "linf":
            return np.clip(w, -1.0, 1.0)
        return np.asarray(w / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1.0))

    def steepest(self, direction: Array) -> Array:
        """The points of norm 1 farthest along each direction; zero along zero.  # (m, d)"""
        if self.norm == "linf":
            return np.sign(direction)
        largest = np.abs(direction).max(1, keepdims=True)  # scaling first keeps tiny gradients from underflowing
        scaled = direction / np.where(largest > 0, largest, 1.0)
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        return np.asarray(scaled / np.where(length > 0, length, 1.0))
