"""maximise: the perturbation that lies in the most robust sets, by one of three optimisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from advgames.errors import SettingError, UnknownNameError
from advgames.robust_sets.annealed import annealed_ascent
from advgames.robust_sets.exact import solve
from advgames.robust_sets.halfspaces import Array, Halfspaces
from advgames.robust_sets.paper import clipped_ascent
from advgames.robust_sets.polytopes import deepest
from advgames.robust_sets.programme import Solved
from advgames.robust_sets.sets import RobustSets, checked_radius
from advgames.robust_sets.soft import centre

__all__ = ["Maximum", "Method", "maximise"]

Method = Literal["paper", "annealed", "exact"]


@dataclass(frozen=True, eq=False)
class Maximum:
    """A defence v, what it is worth, and how much better another could be.

    Attributes:
        v: the perturbation, float64, of norm at most the radius, in the inputs' units.  # (d,)
        phi: phi_n(v), the share of the sets that hold v.
        bound: no v of the radius has a larger phi_n.
        method: who found it.
        stalled: the paper's ascent met a point without gradient; False for the others.
        iterations: steps of an ascent, or mixed-integer programmes of ``"exact"``.
    """

    v: Tensor
    phi: float
    bound: float
    method: Method
    stalled: bool = False
    iterations: int = 0

    @property
    def gap(self) -> float:
        """bound - phi; 0 proves v optimal."""
        return self.bound - self.phi


def maximise(
    sets: RobustSets,
    attack_radius: float,
    radius: float,
    method: Method = "annealed",
    *,
    steps: int = 150,
    seed: int = 0,
    time_limit: float = 60.0,
) -> Maximum:
    """max_v phi_n(v) subject to ||v|| <= radius (additive_nash.txt eq. 6-7), in the sets' norm.

    - ``"paper"``: projected ascent on the mean of min(max(0, alpha), 1) from v = 0. It has no gradient where every
      alpha is below 0 or at least 1, and depends on the scale of the logits; where it cannot move it ends and
      says ``stalled``.
    - ``"annealed"``: a sigmoid of each set's distance with a falling temperature, several starts (the paper's
      answer among them, so it is never worse), exact steps along lines, then the middle of what was found.
      Scale-free; does not stall. No certificate but the trivial one.
    - ``"exact"``: a sweep along every border in one or two dimensions, elsewhere a mixed-integer programme with cuts
      for the ball; proves its answer unless time runs out, and then says how much is left (``gap``). v lies as deep
      as it can in the sets that it is in.

    Ascents take time linear in n (K-1) d steps; the programme's grows fast with the number of sets that conflict.

    Args:
        sets: the robust sets.
        attack_radius: the attacker's, finite and at least 0.
        radius: the defender's, likewise; the paper has one epsilon for both.
        method: the optimiser.
        steps: of the ascents, at least 1.
        seed: of the random starts and directions of ``"annealed"``, from which ``"exact"`` starts.
        time_limit: seconds ``"exact"`` may take, about.

    Raises SettingError (radii, steps, time_limit), UnknownNameError (method).
    """
    attack_radius = checked_radius("attack_radius", attack_radius)
    radius = checked_radius("radius", radius)
    if method not in get_args(Method):
        raise UnknownNameError("method", method, get_args(Method), where="maximise")
    if steps < 1:
        raise SettingError(f"steps: expected at least 1, got {steps}")
    if not time_limit > 0:
        raise SettingError(f"time_limit: expected more than 0 seconds, got {time_limit}")
    if radius == 0:
        zero = torch.zeros(sets.dimension, dtype=torch.float64, device=sets.margins.device)
        phi = float(sets.phi(zero, attack_radius))
        return Maximum(zero, phi, phi, method)
    problem, basis = Halfspaces.of(sets, attack_radius, radius).reduced()
    ascent = clipped_ascent(problem, sets.dual_norms.cpu().numpy() * radius, steps)
    points, bound, iterations = [ascent.point], int((~problem.never).sum()), ascent.iterations
    if method != "paper":
        points, iterations = [*_annealed(problem, ascent.point, steps, seed), ascent.point], steps
    if method == "exact":
        solved = _exact(problem, points[0], time_limit)
        points, bound, iterations = [deepest(problem, solved.point), solved.point], solved.bound, solved.rounds
    vs = [_lifted(sets, radius, point, basis) for point in points]
    phis = [float(sets.phi(v, attack_radius)) for v in vs]
    phi = max(phis)
    stalled = method == "paper" and ascent.stalled
    return Maximum(vs[phis.index(phi)], phi, max(phi, bound / len(sets)), method, stalled, iterations)


def _annealed(problem: Halfspaces, start: Array, steps: int, seed: int) -> list[Array]:
    """What the annealed ascent of the undecided sets finds, moved into the middle and as it was found."""
    undecided = ~(problem.always | problem.never)
    point = start
    if undecided.any():
        _, point = annealed_ascent(problem.select(undecided), start[None], steps, seed)
    held = problem.holds(problem.rows(point[None]))[0]
    return [centre(problem.select(held), point), point] if held.any() else [point]


def _exact(problem: Halfspaces, start: Array, time_limit: float) -> Solved:
    """The most sets, over the span of the undecided ones; counts and bound are those of all sets."""
    undecided = ~(problem.always | problem.never)
    if not undecided.any():
        certain = int(problem.always.sum())
        return Solved(certain, start, certain, 0)
    smaller, basis = problem.select(undecided).reduced(rank=True)
    solved = solve(smaller, start if basis is None else start @ basis, time_limit)
    point = solved.point if basis is None else basis @ solved.point
    certain = int(problem.always.sum())
    return Solved(certain + solved.held, point, certain + solved.bound, solved.rounds)


def _lifted(sets: RobustSets, radius: float, point: Array, basis: Array | None) -> Tensor:
    """A point of the unit ball as a perturbation of norm at most the radius."""
    v = torch.from_numpy(radius * (point if basis is None else basis @ point)).to(sets.margins.device)
    length = float(torch.linalg.vector_norm(v, ord=2.0 if sets.norm == "l2" else float("inf")))
    return v * (radius / length * (1 - 1e-15)) if length > radius else v  # longer by rounding
