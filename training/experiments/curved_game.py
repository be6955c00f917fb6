"""The additive game under the true f on a sample of inputs, and searches for best replies in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from advgames import rng
from advgames.attacks import L2, fgm
from advgames.equilibrium.tables import Array
from advgames.robust_sets import RobustSets, maximise

__all__ = ["CurvedGame", "Search", "attack_reply", "defence_reply", "disc", "grid_replies"]

Map = Callable[[Tensor], Tensor]

FIRM = 0.3  # temperature, in units of the game's scale, at which replies that win as much are told apart


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
        gradients: gradients of f computed so far, one per point.
        evaluations: values of f computed without a gradient.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, radius: float) -> None:
        self.model, self.shape, self.radius = model, tuple(inputs.shape[1:]), radius
        self.inputs = inputs.flatten(1)
        self.sets = RobustSets.from_model(model, inputs)
        self.gradients, self.evaluations = len(inputs), 0
        self.scale = radius * float(self.sets.dual_norms.median())
        with torch.no_grad():
            self.up = self.f(self.inputs) > 0

    def f(self, points: Tensor) -> Tensor:
        """Z_1 - Z_0 of flat points, (*lead, d) to (*lead,)."""
        logits = self.model(points.reshape(-1, *self.shape))
        found: Tensor = (logits[:, 1] - logits[:, 0]).reshape(points.shape[:-1])
        return found

    @torch.no_grad()
    def flips(self, attack: Tensor, vectors: Tensor) -> Tensor:
        """Whether inputs change their class under attacks (*lead, n, d) or (d,) and vectors (K, d).  # (*lead, n, K)"""
        points = (self.inputs + attack).unsqueeze(-2) + vectors
        self.evaluations += points[..., 0].numel()
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
        found = fgm(self.model, moved, self.up.long(), radius=self.radius, bounds=None, loss="margin")
        self.gradients += len(moved)
        return (found.perturbed - moved).flatten(1)

    @cached_property
    def smooth(self) -> Tensor:
        """s_SMOOTH: v_n*, the vector in the most robust sets of f_L, (d,) (eq. 6)."""
        return maximise(self.sets, self.radius, self.radius, method="annealed").v

    def smooth_after(self, moved: Tensor) -> Tensor:
        """The vector that puts the most attacked inputs (n, d) right, by f linearised at them, (d,)."""
        sets = RobustSets.from_model(self.model, moved.reshape(-1, *self.shape), self.up.long())
        self.gradients += len(moved)
        return maximise(sets, 0.0, self.radius, method="annealed").v


@dataclass(frozen=True)
class Search:
    """Budget of a search for a best reply.

    Attributes:
        steps: of projected ascent from every start.
        random: random starts.
        members: starts made for single strategies of the opponent's mix, the weightiest.
        step: length of the first step in units of the radius; it falls linearly to a tenth.
        tau: first and last temperature of the sigmoid, in units of the game's scale; it falls geometrically.
    """

    steps: int = 20
    random: int = 4
    members: int = 1
    step: float = 0.5
    tau: tuple[float, float] = (0.5, 0.05)


def attack_reply(
    game: CurvedGame,
    vectors: Sequence[Tensor],
    weights: Array,
    search: Search,
    known: Sequence[Tensor] = (),
    seed: int = 0,
) -> Tensor:
    """The attack found to flip most over the defender's mix q, chosen input by input, (n, d).

    For each input projected ascent on sum_k q_k sigmoid(m_i(x_i + a + v_k) / tau), m_i = -sgn f(x_i) f, tau falling,
    from FGM, 0, FGM at x_i + v_k for the weightiest v_k, the best known attack, and random points. Of all points
    visited the one with the highest exact sum_k q_k 1[m_i > 0] is kept: never worse than FGM or a known attack.
    """
    v, q = torch.stack(list(vectors)), torch.from_numpy(weights)
    sign = torch.where(game.up, 1.0, -1.0).to(v)[:, None]
    known = [game.fast_gradient, torch.zeros_like(game.inputs), *known]
    starts = [*known[:2], *(game.steepest(v[k]) for k in _weightiest(weights, search.members))]
    starts += list(_random(game, seed, 0, (search.random, len(game.inputs))))

    def margins(attack: Tensor) -> Tensor:
        return -sign * game.f((game.inputs + attack).unsqueeze(-2) + v)  # (S, n, K)

    return _ascend(game, torch.stack(known), torch.stack(starts), margins, lambda won: won @ q, search)


def defence_reply(
    game: CurvedGame,
    attacks: Sequence[Tensor],
    weights: Array,
    search: Search,
    known: Sequence[Tensor] = (),
    seed: int = 0,
) -> Tensor:
    """The vector found to keep most inputs' classes over the attacker's mix p, (d,).

    Projected ascent on mean_i sum_j p_j sigmoid(m_i(x_i + a_ji + v) / tau), m_i = sgn f(x_i) f, from 0, the vector
    that puts most inputs right after the weightiest attack (f linearised there), the best known vector, and random
    points; the best point visited.
    """
    moved, p = game.inputs + torch.stack(list(attacks)), torch.from_numpy(weights)
    sign = torch.where(game.up, 1.0, -1.0).to(moved)
    known = [torch.zeros_like(game.inputs[0]), *known]
    starts = [known[0], *(game.smooth_after(moved[j]) for j in _weightiest(weights, search.members))]
    starts += list(_random(game, seed, 1, (search.random,)))

    def margins(vector: Tensor) -> Tensor:
        return sign * game.f(moved + vector[:, None, None])  # (S, J, n)

    return _ascend(game, torch.stack(known), torch.stack(starts), margins, lambda won: won.mean(2) @ p, search)


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


def _ascend(game: CurvedGame, known: Tensor, start: Tensor, margins: Map, mean: Map, search: Search) -> Tensor:
    """The best of known points (R, *lead, d) and those visited from the best of them and from starts (S, *lead, d).

    Every place of lead is a search of its own; the answer is (*lead, d).

    Args:
        margins: of points (S, *lead, d), positive where the player wins.
        mean: of what is won, shaped like the margins, over all dimensions but (S, *lead).
    """
    best = _Best(known[0])
    with torch.no_grad():
        values = margins(known) / game.scale
    game.evaluations += values.numel()
    best.offer(known, values, mean)
    point = torch.cat([best.point[None], start])
    for t in range(search.steps + 1):
        left = 1 - t / max(search.steps, 1)
        tau = search.tau[1] * (search.tau[0] / search.tau[1]) ** left
        leaf = point.detach().requires_grad_()
        with torch.enable_grad():
            values = margins(leaf) / game.scale
            soft = mean(torch.sigmoid(values / tau))
        game.gradients += values.numel()
        best.offer(point, values.detach(), mean)
        if t == search.steps:
            break
        slope = torch.autograd.grad(soft.sum(), leaf)[0]
        step = L2.step(slope, game.radius * search.step * (0.1 + 0.9 * left), point, None)
        point = L2.project(point + step, game.radius)
    return best.point


class _Best:
    """The best point so far, for each place of lead on its own: it wins most, and among equals most firmly."""

    def __init__(self, like: Tensor) -> None:
        self.point = like  # (*lead, d)
        self.won = self.firm = torch.full(like.shape[:-1], -1.0, dtype=like.dtype)

    def offer(self, points: Tensor, values: Tensor, mean: Map) -> None:
        """Consider points (S, *lead, d) with these margins."""
        exact, soft = mean((values > 0).to(values)), mean(torch.sigmoid(values / FIRM))
        for point, won, firm in zip(points, exact, soft, strict=True):
            better = (won > self.won) | ((won == self.won) & (firm > self.firm))
            self.point = torch.where(better[..., None], point, self.point)
            self.won, self.firm = torch.where(better, won, self.won), torch.where(better, firm, self.firm)


def _weightiest(weights: Array, count: int) -> list[int]:
    """Places of the largest weights, the first ones where several tie."""
    found: list[int] = np.argsort(-weights, kind="stable")[:count].tolist()
    return found


def _random(game: CurvedGame, seed: int, stream: int, shape: tuple[int, ...]) -> Tensor:
    """Points of the ball, (*shape, d)."""
    key = rng.seed_tensor([seed])
    return game.radius * L2.random(key, stream, (*shape, game.inputs.shape[1]), torch.float64)[0]
