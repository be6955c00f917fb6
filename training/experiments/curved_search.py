"""Searches for best replies in the additive game under the true f: ascents of a relaxed payoff, judged exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from advgames import rng
from advgames.attacks import L2
from advgames.equilibrium.tables import Array
from advgames.training.experiments.curved_game import CurvedGame

__all__ = ["Search", "attack_reply", "defence_reply"]

Map = Callable[[Tensor], Tensor]

POLISH = (0.3, 0.1, 0.03)  # sizes, in units of the radius, of the last looks around the best point
FIRM = 0.3  # temperature, in units of the game's scale, at which replies that win as much are told apart


@dataclass(frozen=True)
class Search:
    """Budget of a search for a best reply.

    Attributes:
        steps: of projected ascent from every start.
        samples: random points looked at before the ascents, and again, shrunk, around the best point after them.
        random: as many of the samples that win most softly are starts, too.
        members: starts made for single strategies of the opponent's mix, the weightiest.
        step: length of the first step in units of the radius; it falls linearly to a tenth.
        tau: first and last temperature of the sigmoid, in units of the game's scale; it falls geometrically.
    """

    steps: int = 20
    samples: int = 64
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
    samples = _random(game, seed, 0, (search.samples, len(game.inputs)))

    def margins(attack: Tensor) -> Tensor:
        return -sign * game.f((game.inputs + attack).unsqueeze(-2) + v)  # (S, n, K)

    points = torch.stack(known), torch.stack(starts), samples
    return _ascend(game, *points, margins, lambda won: won @ q, search)


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
    samples = _random(game, seed, 1, (search.samples,))

    def margins(vector: Tensor) -> Tensor:
        return sign * game.f(moved + vector[:, None, None])  # (S, J, n)

    points = torch.stack(known), torch.stack(starts), samples
    return _ascend(game, *points, margins, lambda won: won.mean(2) @ p, search)


def _ascend(
    game: CurvedGame, known: Tensor, start: Tensor, samples: Tensor, margins: Map, mean: Map, search: Search
) -> Tensor:
    """The best of known points, samples, what is visited from starts, the best known point and the best samples, and
    what lies around the best of these.

    Known points (R, *lead, d), starts (S, *lead, d), samples (M, *lead, d); every place of lead is a search of its
    own, and the answer is (*lead, d).

    Args:
        margins: of points, positive where the player wins.
        mean: of what is won, shaped like the margins, over all dimensions but the points' first and lead.
    """
    best = _Best(known[0])
    best.offer(known, _values(game, margins, known), mean)
    start = torch.cat([best.point[None], start])
    values = _values(game, margins, samples)
    best.offer(samples, values, mean)
    softest = mean(torch.sigmoid(values / FIRM)).topk(search.random, 0).indices[..., None]
    point = torch.cat([start, samples.gather(0, softest.expand(-1, *samples.shape[1:]))])
    for t in range(search.steps):
        left = 1 - t / search.steps
        tau = search.tau[1] * (search.tau[0] / search.tau[1]) ** left
        leaf = point.detach().requires_grad_()
        with torch.enable_grad():
            values = margins(leaf) / game.scale
            slope = torch.autograd.grad(mean(torch.sigmoid(values / tau)).sum(), leaf)[0]
        best.offer(point, values.detach(), mean)
        step = L2.step(slope, game.radius * search.step * (0.1 + 0.9 * left), point, None)
        point = L2.project(point + step, game.radius)
    best.offer(point, _values(game, margins, point), mean)
    for size in POLISH:  # the exact payoff is a step function: look around for steps that no gradient shows
        around = L2.project(best.point + size * samples, game.radius)
        best.offer(around, _values(game, margins, around), mean)
    return best.point


@torch.no_grad()
def _values(game: CurvedGame, margins: Map, points: Tensor) -> Tensor:
    """Margins in units of the game's scale, without a graph."""
    parts = [margins(points[i : i + 8]) for i in range(0, len(points), 8)]  # more at once would leave the cache
    return torch.cat(parts) / game.scale


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
