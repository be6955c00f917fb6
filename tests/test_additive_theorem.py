"""P3: under the local linearisation FGM and Smooth are mutual best replies, worth 1 - 2 phi(v*) to the attacker.

additive_nash.txt Lemmas 2 and 3, Theorem 1 and its third implication, without the game's machinery: the payoff is
written out from eq. 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from advgames import rng
from advgames.robust_sets import Method, RobustSets, maximise
from advgames.threat import Norm

DEVIATIONS, RADIUS, EXACT = 200, 0.5, 1e-9
SEED = rng.seed_tensor([7])
Victim = Callable[[Tensor], Tensor]


def normal(stream: str, *shape: int) -> Tensor:
    return rng.normal(SEED, stream, 0, shape, torch.float64)[0]


def linear(x: Tensor) -> Tensor:
    """f(x) = w . x + b: every gradient the same."""
    return x @ normal("linear", 5) + 0.2


def piecewise(x: Tensor) -> Tensor:
    """A ReLU net: every input has its own gradient."""
    return torch.relu(x @ normal("first", 5, 24) + normal("bias", 24)) @ normal("second", 24) / 3


VICTIMS: dict[str, Victim] = {"linear": linear, "piecewise linear": piecewise}
INPUTS = normal("inputs", 24, 5)


class LinearGame:
    """u_A under f_L, n inputs: margin_i = |f(x_i)|, slope_i = sgn f(x_i) grad f(x_i)."""

    def __init__(self, victim: Victim, norm: Norm) -> None:
        x = INPUTS.clone().requires_grad_()
        f = victim(x)
        (gradient,) = torch.autograd.grad(f.sum(), x)
        sign = torch.sign(f.detach())
        self.margin, self.slope, self.norm = f.detach().abs(), sign[:, None] * gradient, norm

    def payoff(self, a: Tensor, v: Tensor) -> Tensor:
        """Mean over the inputs of u_A, attacks (..., n, d) against defences (..., d)."""
        moved = self.margin + ((a + v[..., None, :]) * self.slope).sum(-1)
        return torch.where(moved < 0, 1.0, -1.0).to(torch.float64).mean(-1)

    def unit(self, direction: Tensor) -> Tensor:
        if self.norm == "linf":
            return torch.sign(direction)
        return torch.nn.functional.normalize(direction, dim=-1, eps=1e-300)

    def project(self, v: Tensor) -> Tensor:
        if self.norm == "linf":
            return v.clamp(-RADIUS, RADIUS)
        return v * (RADIUS / v.norm(dim=-1, keepdim=True)).clamp(max=1.0)

    def fgm(self) -> Tensor:
        return -RADIUS * self.unit(self.slope)

    def smooth(self, method: Method = "exact") -> tuple[Tensor, float]:
        found = maximise(RobustSets(self.margin[:, None], self.slope[:, None], self.norm), RADIUS, RADIUS, method)
        assert method != "exact" or found.gap == 0
        return found.v, found.phi

    def soft(self, a: Tensor, v: Tensor) -> Tensor:
        """The payoff with a slope, for those who optimise."""
        return torch.sigmoid(-20 * (self.margin + ((a + v[..., None, :]) * self.slope).sum(-1))).mean(-1)

    def ascend(self, start: Tensor, payoff: Callable[[Tensor], Tensor], steps: int = 40) -> Tensor:
        """Projected gradient ascent, all starts (m, ..., d) at once."""
        x = start
        for _ in range(steps):
            leaf = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(payoff(leaf).sum(), leaf)
            x = self.project(x + 0.1 * RADIUS * self.unit(gradient))
        return x


def draws(game: LinearGame, stream: str, *shape: int) -> Tensor:
    """Half on the sphere, half inside the ball."""
    directions = RADIUS * game.unit(normal(stream, *shape))
    lengths = rng.uniform(SEED, f"{stream}.lengths", 0, (len(directions), *[1] * (directions.ndim - 1)), torch.float64)[
        0
    ]
    lengths[::2] = 1.0
    return directions * lengths


def attacks(game: LinearGame, victim: Victim, v: Tensor) -> Tensor:
    """200 deviations of the attacker, (m, n, d): random, ascended against v, the paper's PGD on f itself, none."""
    drawn = draws(game, "attacks", DEVIATIONS // 2, *INPUTS.shape)
    ascended = game.ascend(drawn[: DEVIATIONS // 2 - 2], lambda a: game.soft(a, v))
    return torch.cat([drawn, ascended, appendix_d(game, victim)[None], torch.zeros_like(drawn[:1])])


def appendix_d(game: LinearGame, victim: Victim) -> Tensor:
    """a_PGD: ten FGM steps on f, each brought back to the sphere about x."""
    point = INPUTS
    for _ in range(10):
        x = point.clone().requires_grad_()
        f = victim(x)
        (gradient,) = torch.autograd.grad(f.sum(), x)
        stepped = point - RADIUS * torch.sign(f.detach())[:, None] * game.unit(gradient)
        point = INPUTS + RADIUS * game.unit(stepped - INPUTS)
    return point - INPUTS


def defences(game: LinearGame, a: Tensor) -> Tensor:
    """200 deviations of the defender, (m, d): random, descended against a, the other optimisers' answers, none."""
    drawn = draws(game, "defences", DEVIATIONS // 2, INPUTS.shape[1])
    descended = game.ascend(drawn[: DEVIATIONS // 2 - 3], lambda v: -game.soft(a, v))
    known = [game.smooth("paper")[0], game.smooth("annealed")[0], torch.zeros(INPUTS.shape[1], dtype=torch.float64)]
    return torch.cat([drawn, descended, torch.stack(known)])


@pytest.fixture(params=[(name, norm) for name in VICTIMS for norm in ("l2", "linf")], ids=str)
def played(request: pytest.FixtureRequest) -> tuple[LinearGame, Victim]:
    name, norm = request.param
    return LinearGame(VICTIMS[name], norm), VICTIMS[name]


def test_neither_side_gains_by_deviating_from_the_equilibrium(played: tuple[LinearGame, Victim]) -> None:
    game, victim = played
    v, phi = game.smooth()
    value = game.payoff(game.fgm(), v)
    assert abs(float(value) - (1 - 2 * phi)) <= EXACT
    assert -1 < value < 1  # an interior case: both sides win some inputs
    attacked = game.payoff(attacks(game, victim, v), v)
    defended = game.payoff(game.fgm(), defences(game, game.fgm()))
    assert len(attacked) == len(defended) == DEVIATIONS
    exploitability = (attacked.max() - value).clamp(min=0) + (value - defended.min()).clamp(min=0)
    assert float(exploitability) <= EXACT


def test_fgm_is_a_best_reply_to_any_defence_randomised_ones_included(played: tuple[LinearGame, Victim]) -> None:
    """Lemma 2."""
    game, victim = played
    mixed = draws(game, "defences", 50, INPUTS.shape[1])
    for v in mixed[:5]:
        assert game.payoff(attacks(game, victim, v), v).max() <= game.payoff(game.fgm(), v) + EXACT
    candidates = torch.cat([attacks(game, victim, v) for v in mixed[:2]])
    against = game.payoff(candidates[:, None], mixed[None]).mean(1)
    assert against.max() <= game.payoff(game.fgm(), mixed).mean() + EXACT


def test_smooth_is_a_best_reply_to_fgm_among_randomised_defences(played: tuple[LinearGame, Victim]) -> None:
    """Lemma 3: a mix is worth the mean of its parts, each of which eq. 36 values at 1 - 2 phi(v)."""
    game, _ = played
    sets = RobustSets(game.margin[:, None], game.slope[:, None], game.norm)
    mixed = defences(game, game.fgm())
    torch.testing.assert_close(game.payoff(game.fgm(), mixed), 1 - 2 * sets.phi(mixed, RADIUS), rtol=0, atol=EXACT)
    assert game.payoff(game.fgm(), mixed).mean() >= 1 - 2 * game.smooth()[1] - EXACT


def test_the_deviations_do_find_gains_where_there_are_some() -> None:
    """Against a random attack or a zero defence the same 200 deviations win: the tests above can fail."""
    game = LinearGame(piecewise, "l2")
    v, _ = game.smooth()
    weak = draws(game, "weak", *INPUTS.shape)
    assert game.payoff(attacks(game, piecewise, v), v).max() > game.payoff(weak, v) + 0.05
    nothing = torch.zeros(INPUTS.shape[1], dtype=torch.float64)
    assert game.payoff(game.fgm(), defences(game, game.fgm())).min() < game.payoff(game.fgm(), nothing) - 0.05


def test_with_many_classes_the_value_belongs_to_an_attacker_who_knows_v() -> None:
    """Which class to aim at depends on v: who knows v gets 1 - 2 phi(v), who aims at the nearest border gets less.

    The best v keeps inputs 1 and 2 by v_1 >= 0.5 and v_2 <= -0.5. Input 0's nearest border, 0.5 away along v_1, is
    then out of an attacker's reach, the other, 0.9 away along v_2, is not.
    """
    gradients = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]], [[1.0, 0.0], [0.0, -1.0]]])
    sets = RobustSets(torch.tensor([[0.5, 0.9], [0.5, 0.5], [0.5, 0.5]]), gradients)
    found = maximise(sets, 1.0, 1.0, "exact")
    assert found.phi == 2 / 3 == found.bound
    attacks = -sets.gradients  # one FGM per other class
    left = sets.margins[:, None] + ((attacks + found.v)[:, :, None] * sets.gradients[:, None]).sum(-1)
    flipped = left.amin(2) < 0  # (n, attacks)
    nearest = (sets.margins / sets.dual_norms).argmin(1)
    knows, blind = flipped.any(1), flipped[torch.arange(3), nearest]
    assert abs(float(2 * knows.double().mean() - 1) - (1 - 2 * found.phi)) <= EXACT
    assert float(2 * blind.double().mean() - 1) == -1.0
