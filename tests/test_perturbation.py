"""The test-time game: who sees what, what a round pays, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advgames import errors
from advgames.agents import Agent, GaussianSmoothing, LevelK, Null, RandomDirection, Smooth, make_agent
from advgames.envs import perturbation_v0
from advgames.games import PerturbationGame, PerturbationState, make_game
from advgames.games.perturbation_access import HardLabelAccess, SoftLabelAccess, WhiteBoxAccess
from advgames.robust_sets import RobustSets
from advgames.tasks import Task, load_task
from advgames.training import play
from advgames.victims import FixedVictim, Victim, margin, mlp

ORDERS = ["simultaneous", "attacker-first", "defender-first"]
every_order = pytest.mark.parametrize("order", ORDERS)
DOUBLE = {"dtype": torch.float64}


class Named(nn.Module):
    """No logits, but a dict that holds them."""

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"logits": inputs}


def plane(**settings: Any) -> PerturbationGame:
    """The game on the polygon in float64."""
    return PerturbationGame("polygon", **{"batch_size": 20, "rounds": 3, **DOUBLE, **settings})


def digits(**settings: Any) -> PerturbationGame:
    """The game on digits with a small, quickly trained victim, in float64."""
    task = load_task("digits", None, 200, 50, 100)
    curved = Task(
        "digits-mlp",
        task.train,
        task.validation,
        task.test,
        lambda: Victim(mlp(64, 32)),
        num_classes=10,
        defaults=task.defaults,
        recipe=task.recipe,
    )
    return PerturbationGame(curved, **{"batch_size": 10, "rounds": 2, "victim_epochs": 5, **DOUBLE, **settings})


def round_of(
    game: PerturbationGame, state: PerturbationState, **moves: Tensor
) -> tuple[PerturbationState, dict[str, Tensor]]:
    """One round with these moves; who is not named does nothing."""
    while True:
        given = {p: moves.get(p, game.null_action(state, p)) for p in game.movers(state)}
        state, payoffs, _ = game.step(state, given)
        if state.phase == 0:
            return state, payoffs


def random_action(game: PerturbationGame, state: PerturbationState, player: str, seed: int = 0) -> Tensor:
    like = game.null_action(state, player)
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)
    return game.threat.project(noise / like[0, 0].numel() ** 0.5)


# What a round pays.


@every_order
@pytest.mark.parametrize(("payoff", "clip"), [("flip", False), ("loss", True), ("margin", False), ("margin", True)])
def test_payoffs_are_those_of_the_victim_at_the_final_points(order: str, payoff: str, clip: bool) -> None:
    game = digits(order=order, payoff=payoff, clip=clip, epsilon_attacker=2.0, epsilon_defender=1.0)
    state = game.reset([3, 4])
    a, d = (random_action(game, state, player) for player in game.players)
    x, y = state.inputs, state.labels
    if order == "simultaneous" or not clip:
        final = x + 2.0 * a + d
    elif order == "attacker-first":
        final = (x + 2.0 * a).clamp(0, 1) + d
    else:
        final = (x + d).clamp(0, 1) + 2.0 * a
    final = final.clamp(0, 1) if clip else final
    logits = game.victim(final)
    own = logits.gather(-1, y[..., None]).squeeze(-1)
    expected = {
        "flip": torch.where(logits.argmax(-1) != game.victim(x).argmax(-1), 1.0, -1.0),
        "loss": torch.logsumexp(logits, -1) - own,
        "margin": logits.scatter(-1, y[..., None], -1e9).amax(-1) - own,
    }[payoff]
    _, payoffs = round_of(game, state, attacker=a, defender=d)
    torch.testing.assert_close(payoffs["attacker"], expected.mean(1).to(torch.float64) / 2)
    assert torch.equal(payoffs["defender"], -payoffs["attacker"])


def test_flips_of_the_linearised_victim_follow_eq_1() -> None:
    """sgn f_L(x + a + d) against sgn f(x), f_L from autograd by hand, on a curved victim of two classes."""
    task = load_task("digits:0v1")
    pair = Task("pair", task.train, task.validation, task.test, lambda: Victim(mlp(64, 16, 2)), num_classes=2)
    settings = {"payoff": "flip-linear", "epsilon": 1.5, "victim_epochs": 10, "batch_size": 40, "rounds": 1}
    game = PerturbationGame(pair, **settings, **DOUBLE)
    state = game.reset([0])
    a, d = (random_action(game, state, player) for player in game.players)
    a = game.threat.unit(a)
    x = state.inputs[0].clone().requires_grad_()
    logits = game.victim(x)
    f = logits[:, 1] - logits[:, 0]
    (slope,) = torch.autograd.grad(f.sum(), x)
    linear = f + (slope * (1.5 * a + 1.5 * d)[0]).flatten(1).sum(1)
    expected = torch.where(torch.sign(linear) != torch.sign(f), 1.0, -1.0).to(torch.float64).mean()
    assert -1 < expected < 1
    _, payoffs = round_of(game, state, attacker=a, defender=d)
    torch.testing.assert_close(payoffs["attacker"][0], expected)


def test_fgm_against_a_vector_is_worth_one_minus_two_phi() -> None:
    """additive_nash.txt Lemma 2 and 3, for vectors of every kind, on all points at once."""
    game = plane(payoff="flip-linear", batch_size=200, rounds=1)
    sets = RobustSets.from_model(game.victim, game.task.test.inputs)
    fgm = make_agent("fgm")
    for seed in range(20):
        state = game.reset([seed])
        d = random_action(game, state, "defender", seed)
        _, payoffs = round_of(
            game, state, attacker=fgm.act(game.observe(state, "attacker"), game.access(state, "attacker")), defender=d
        )
        torch.testing.assert_close(payoffs["attacker"][0], 1 - 2 * sets.phi(d.reshape(-1), 1.0))


@pytest.mark.parametrize(("attacker", "defender"), [(1.0, 1.0), (0.8, 0.4), (0.6, 1.5)])
def test_fgm_and_smooth_are_mutual_best_responses_in_the_game(attacker: float, defender: float) -> None:
    """Theorem 1 through the game itself: no deviation of 200 pays either player, and the value is 1 - 2 phi(v*)."""
    radii = {"epsilon_attacker": attacker, "epsilon_defender": defender}
    game = plane(payoff="flip-linear", batch_size=200, rounds=1, **radii)
    state = game.reset([0])
    fgm, smooth = make_agent("fgm"), Smooth("exact", samples=None)
    smooth.reset(game.access(state, "defender"))
    a = fgm.act(game.observe(state, "attacker"), game.access(state, "attacker"))
    d = smooth.act(game.observe(state, "defender"), game.access(state, "defender"))
    (found,) = smooth.found.values()
    _, payoffs = round_of(game, state, attacker=a, defender=d)
    value = float(payoffs["attacker"][0])
    assert found.gap <= 1e-9 and value == pytest.approx(1 - 2 * found.phi, abs=1e-9)
    undefended = float(round_of(game, state, attacker=a)[1]["attacker"][0])
    assert value < undefended - 0.1
    for seed in range(200):
        _, against_smooth = round_of(game, state, attacker=random_action(game, state, "attacker", seed), defender=d)
        _, against_fgm = round_of(game, state, attacker=a, defender=random_action(game, state, "defender", seed))
        assert float(against_smooth["attacker"][0]) <= value + 1e-9
        assert float(against_fgm["attacker"][0]) >= value - 1e-9


@pytest.mark.parametrize("payoff", ["flip", "flip-linear"])
def test_an_input_on_the_boundary_keeps_its_class(payoff: str) -> None:
    """Robust sets are closed: a margin of exactly 0 is no flip (additive_nash.txt Lemma 1)."""

    class FirstEntry(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            x = inputs.flatten(1)[:, :1]
            return torch.cat([0 * x, x], 1)

    task = load_task("polygon")
    game = PerturbationGame(task, victim=FirstEntry(), payoff=payoff, batch_size=20, rounds=1, epsilon=64.0, **DOUBLE)
    state = game.reset([0])
    first = -state.inputs[..., 0] / 64.0  # to the boundary exactly: the scale is a power of two
    a = torch.stack([first, torch.zeros_like(first)], -1)
    beyond = a.clone()
    beyond[..., 0] *= 1 + 1e-6
    for move, expected in ((a, -1.0), (beyond, 1.0)):
        _, payoffs = round_of(game, state, attacker=move)
        assert float(payoffs["attacker"][0]) == expected


def test_a_match_pays_the_mean_over_its_rounds() -> None:
    game = plane(rounds=3)
    state = game.reset([0])
    total = 0.0
    for _ in range(3):
        state, payoffs = round_of(game, state)
        total += float(payoffs["attacker"][0])
    assert total == pytest.approx(-1.0) and game.over(state)


def test_with_radius_zero_nothing_happens() -> None:
    game = plane(epsilon=0.0, payoff="margin")
    state = game.reset([0])
    expected = -margin(game.victim(state.inputs), state.labels).mean() / 3
    a = random_action(game, state, "attacker")
    _, payoffs = round_of(game, state, attacker=a)
    torch.testing.assert_close(payoffs["attacker"][0], expected)


@every_order
def test_a_mix_of_draws_pays_their_mean(order: str) -> None:
    game = plane(order=order, payoff="margin", rounds=1)
    state = game.reset([0, 1])
    last = game.phases[-1][-1]
    draws = torch.stack([random_action(game, state, last, seed) for seed in range(4)], 1)
    _, mixed = round_of(game, state, **{last: draws})
    apart = [round_of(game, state, **{last: draw})[1]["attacker"] for draw in draws.unbind(1)]
    torch.testing.assert_close(mixed["attacker"], torch.stack(apart).mean(0))


def test_two_mixes_pay_the_mean_over_all_pairs() -> None:
    game = plane(payoff="flip", rounds=1)
    state = game.reset([0])
    a = torch.stack([random_action(game, state, "attacker", s) for s in range(3)], 1)
    d = torch.stack([random_action(game, state, "defender", s) for s in range(2)], 1)
    _, mixed = round_of(game, state, attacker=a, defender=d)
    apart = [
        round_of(game, state, attacker=one, defender=two)[1]["attacker"] for one in a.unbind(1) for two in d.unbind(1)
    ]
    torch.testing.assert_close(mixed["attacker"], torch.stack(apart).mean(0))


def test_who_moves_before_another_commits_to_one_draw() -> None:
    game = plane(order="attacker-first")
    state = game.reset([0])
    with pytest.raises(errors.ActionShapeError, match="one draw"):
        game.step(state, {"attacker": torch.zeros(1, 2, 20, 2, dtype=torch.float64)})
    agent = GaussianSmoothing(draws=8)
    first = plane(order="defender-first")
    begun = first.reset([0])
    assert agent.act(first.observe(begun, "defender"), first.access(begun, "defender")).shape == (1, 1, 2)


# Who sees what.


def test_a_vector_defender_sees_no_input_of_the_round() -> None:
    game = digits(order="simultaneous", defense="vector")
    state = game.reset([0])
    seen = game.observe(state, "defender")
    assert set(seen) == {"inputs", "progress"}
    test = {x.numpy().tobytes() for x in game.task.test.inputs}
    train = {x.numpy().tobytes() for x in game.task.train.inputs}
    shown = {x.numpy().tobytes() for x in seen["inputs"][0]}
    assert shown <= train and not shown & test


@pytest.mark.parametrize("defense", ["vector", "per-input"])
def test_a_defender_who_moves_second_sees_x_prime_only(defense: str) -> None:
    game = plane(order="attacker-first", defense=defense)
    state = game.reset([0])
    assert not game.observe(state, "defender")["inputs"].any()
    a = random_action(game, state, "attacker")
    state, _, _ = game.step(state, {"attacker": a})
    torch.testing.assert_close(game.observe(state, "defender")["inputs"], state.inputs + a)


def test_an_attacker_who_moves_second_sees_x_plus_d() -> None:
    game = plane(order="defender-first", defense="vector")
    state = game.reset([0])
    d = random_action(game, state, "defender")
    state, _, _ = game.step(state, {"defender": d})
    torch.testing.assert_close(game.observe(state, "attacker")["inputs"], state.inputs + d)


def test_the_defender_gets_classes_from_the_victim_and_not_the_labels() -> None:
    game = digits(order="attacker-first", defense="per-input", epsilon=3.0, reference="label")
    state = game.reset([0])
    a = make_agent("fgm").act(game.observe(state, "attacker"), game.access(state, "attacker"))
    state, _, _ = game.step(state, {"attacker": a})
    classes = game.access(state, "defender").labels
    assert torch.equal(classes, game.victim(state.moved).argmax(-1))
    assert not torch.equal(classes, state.labels)
    assert torch.equal(game.access(state, "attacker").labels, state.labels)


@pytest.mark.parametrize(
    ("level", "kind"), [("hard-label", HardLabelAccess), ("soft-label", SoftLabelAccess), ("white-box", WhiteBoxAccess)]
)
def test_access_is_what_the_settings_grant(level: str, kind: type[HardLabelAccess]) -> None:
    game = plane(access_attacker=level)
    access = game.access(game.reset([0]), "attacker")
    assert type(access) is kind and access.level == level
    assert hasattr(access, "logits") == (level != "hard-label")
    assert hasattr(access, "model") == hasattr(access, "utility_gradient") == (level == "white-box")
    held = any(isinstance(value, FixedVictim | nn.Module) for value in vars(access).values())
    assert held == (level == "white-box")


def test_queries_are_counted_per_match_and_kept() -> None:
    game = plane(access_attacker="hard-label", access_defender="soft-label")
    state = game.reset([0, 1])
    access = game.access(state, "attacker")
    assert torch.equal(access.predict(state.inputs[:, :7]), game.victim(state.inputs[:, :7]).argmax(-1))
    game.access(state, "attacker").predict(state.inputs)
    game.access(state, "defender").logits(state.inputs[:, :3])
    for _ in range(2):
        state, _ = round_of(game, state)
    assert state.queries_attacker.tolist() == [27, 27] and state.queries_defender.tolist() == [3, 3]
    assert game.measures(state)["queries_attacker"].tolist() == [27.0, 27.0]


def test_queries_belong_to_their_match_move_and_branch() -> None:
    game = plane(access_attacker="hard-label", access_defender="soft-label", order="attacker-first")
    state = game.reset([0, 1])
    early = game.access(state, "attacker")
    assert early.predict(state.inputs[1, :5], match=1).shape == (5,)
    with pytest.raises(errors.VictimError):
        early.predict(state.inputs * float("nan"))
    saved = PerturbationState.from_dict(state.to_dict())
    assert saved.queries_attacker.tolist() == state.queries_attacker.tolist() == [0, 5]
    one, _, _ = game.step(state, {"attacker": game.null_action(state, "attacker")})
    two, _, _ = game.step(state, {"attacker": game.null_action(state, "attacker")})
    with pytest.raises(errors.PhaseError, match="is over"):
        early.predict(state.inputs)
    game.access(one, "defender").logits(one.inputs[:, :4])
    one, two = round_of(game, one)[0], round_of(game, two)[0]
    assert one.queries_defender.tolist() == [4, 4] and two.queries_defender.tolist() == [0, 0]
    assert one.queries_attacker.tolist() == [0, 5]


def test_nothing_of_an_access_reaches_back_into_the_game() -> None:
    game = plane(order="simultaneous", defense="per-input")
    state, kept = game.reset([0]), game.reset([0])
    for player in game.players:
        access = game.access(state, player)
        access.known(None).zero_()
        for value in (access.radius, access.opponent_radius, access.labels):
            value.zero_()
        for value in game.observe(state, player).values():
            value.zero_()
    assert all(torch.equal(v, kept.to_dict()[n]) for n, v in state.to_dict().items() if isinstance(v, Tensor))
    assert game.task.train.inputs.abs().sum() > 0


def test_an_oracle_leads_to_no_weights() -> None:
    access = plane(access_attacker="hard-label").access(plane().reset([0]), "attacker")
    for value in vars(access).values():
        assert not hasattr(value, "__self__") and not isinstance(value, FixedVictim)


@pytest.mark.parametrize("agent", ["fgm", "level-1", "pgd"])
def test_a_match_that_grants_too_little_is_refused_before_it_starts(agent: str) -> None:
    with pytest.raises(errors.AccessError, match="white-box"):
        play("perturbation", "polygon", {"attacker": agent}, settings={"access_attacker": "hard-label"})


# Players.


@pytest.mark.parametrize("payoff", ["flip", "flip-linear", "margin", "loss"])
def test_utility_gradients_are_those_of_central_differences(payoff: str) -> None:
    game = digits(payoff=payoff, clip=False, reference="label")
    state = game.reset([0, 1])
    access = game.access(state, "attacker")
    assert isinstance(access, WhiteBoxAccess)
    x, step = state.inputs, 1e-6
    direction = random_action(game, state, "attacker")
    ahead, behind = access.utility(x + step * direction), access.utility(x - step * direction)
    found = (access.utility_gradient(x) * direction).flatten(1).sum(1)
    torch.testing.assert_close(found, (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-8)


def test_the_linear_utility_and_its_gradient_agree_away_from_the_inputs_too() -> None:
    game = digits(payoff="flip-linear", reference="label", epsilon=2.0)
    state = game.reset([0, 1])
    access, step = game.access(state, "attacker"), 1e-6
    assert isinstance(access, WhiteBoxAccess)
    moved = state.inputs + 2.0 * random_action(game, state, "attacker", 1)
    direction = random_action(game, state, "attacker")
    slope = (access.utility(moved + step * direction) - access.utility(moved - step * direction)) / (2 * step)
    torch.testing.assert_close(
        (access.utility_gradient(moved) * direction).flatten(1).sum(1), slope, rtol=1e-4, atol=1e-8
    )


def test_an_ensemble_pays_at_least_what_its_members_do_under_either_payoff() -> None:
    for payoff in ("flip", "flip-linear"):
        settings = {"payoff": payoff, "rounds": 2, "epsilon": 1.5}
        paid = [
            play("perturbation", "digits:3v5", {"attacker": name, "defender": "null"}, 1, settings)[0].payoffs[
                "attacker"
            ]
            for name in ("fgm", "pgd", "ensemble(members=fgm|pgd)")
        ]
        assert paid[2] >= max(paid[:2])


@pytest.mark.parametrize("name", ["deepfool", "carlini-wagner"])
def test_shortest_attacks_use_the_whole_radius_where_it_does_not_reach(name: str) -> None:
    game = digits(epsilon=0.05, clip=False)
    state = game.reset([0])
    agent = make_agent(name)
    action = agent.act(game.observe(state, "attacker"), game.access(state, "attacker"))
    left = game.access(state, "attacker").margins(game.threat.perturb(state.inputs, action, state.epsilon_attacker))
    lengths = game.threat.norms(action)
    assert (left > 0).any()
    torch.testing.assert_close(lengths[left > 0], torch.ones_like(lengths[left > 0]))


def test_attacks_of_another_norm_are_refused_before_the_match() -> None:
    for name, norm in (("fgsm", "l2"), ("pal-vidal-pgd", "linf"), ("carlini-wagner", "linf")):
        with pytest.raises(errors.SettingError, match="norm"):
            play("perturbation", "polygon", {"attacker": name, "defender": "null"}, 1, {"norm": norm})


def test_a_level_1_attacker_plays_fgm() -> None:
    for game in (plane(payoff="flip-linear"), plane(payoff="flip"), digits(payoff="margin", clip=False)):
        state = game.reset([0, 1])
        seen, access = game.observe(state, "attacker"), game.access(state, "attacker")
        torch.testing.assert_close(LevelK(1).act(seen, access), make_agent("fgm").act(seen, access))


def test_a_level_1_defender_plays_the_mean_direction_of_its_known_inputs() -> None:
    game = plane(payoff="flip-linear")
    state = game.reset([5])
    seen, access = game.observe(state, "defender"), game.access(state, "defender")
    sets = RobustSets.from_model(game.victim, seen["inputs"][0])
    mean = sets.gradients.mean((0, 1))
    torch.testing.assert_close(LevelK(1).act(seen, access)[0, 0], mean / mean.norm())


@every_order
@pytest.mark.parametrize("defense", ["vector", "per-input"])
@pytest.mark.parametrize("agent", [LevelK(2), LevelK(3, steps=4), LevelK(2, method="pgd", steps=3), RandomDirection()])
def test_level_k_plays_either_side_in_every_order(order: str, defense: str, agent: Any) -> None:
    game = plane(order=order, defense=defense, payoff="loss")
    state = game.reset([0, 1])
    for player in game.players:
        agent.reset(game.access(state, player))
    while not game.over(state):
        moves = {p: agent.act(game.observe(state, p), game.access(state, p)) for p in game.movers(state)}
        state, _, _ = game.step(state, moves)


def test_iterated_attacks_do_more_than_one_step_on_a_curved_victim() -> None:
    settings = {"rounds": 2, "batch_size": 100, "epsilon": 0.5, "victim_epochs": 10, "reference": "label"}
    rate = {
        name: play("perturbation", "digits", {"attacker": name, "defender": "null"}, 1, settings)[0].measures
        for name in ("null", "random", "fgm", "pgd", "ensemble(members=fgm|pgd(steps=20)|deepfool)")
    }
    accuracy = [measures["accuracy"] for measures in rate.values()]
    assert accuracy == sorted(accuracy, reverse=True)
    assert accuracy[1] > 0.9 and accuracy[3] < accuracy[2] - 0.03
    assert all(m["distance"] <= 0.5 + 1e-5 for m in rate.values())


def test_gaussian_smoothing_pays_an_expectation() -> None:
    """More draws of the same match: the payoffs' spread over rounds of the same points falls."""

    def payoffs(draws: int) -> Tensor:
        game = plane(payoff="flip-linear", batch_size=200, rounds=20)
        state, agent, fgm = game.reset([0]), GaussianSmoothing(draws=draws), make_agent("fgm")
        found = []
        while not game.over(state):
            a = fgm.act(game.observe(state, "attacker"), game.access(state, "attacker"))
            d = agent.act(game.observe(state, "defender"), game.access(state, "defender"))
            state, paid = round_of(game, state, attacker=a, defender=d)
            found.append(paid["attacker"] * 20)
        return torch.cat(found)

    one, many = payoffs(1), payoffs(100)
    assert float(many.std()) < float(one.std()) / 5
    assert float(many.mean()) > -0.45  # the equilibrium defence does better than noise that ignores the victim


# Matches, states, and what is refused.


@every_order
def test_a_match_of_a_batch_equals_the_same_match_alone(order: str) -> None:
    game = plane(order=order, payoff="margin", epsilon=0.7)
    radii = [0.3, 0.7, 1.1]

    def total(seeds: list[int], radius: list[float]) -> Tensor:
        state = game.reset(seeds, epsilon_attacker=radius)
        players = {"attacker": make_agent("pgd(steps=5)"), "defender": GaussianSmoothing(draws=3)}
        for name, agent in players.items():
            agent.reset(game.access(state, name))
        paid = torch.zeros(len(seeds), dtype=torch.float64)
        while not game.over(state):
            moves = {p: players[p].act(game.observe(state, p), game.access(state, p)) for p in game.movers(state)}
            state, payoffs, _ = game.step(state, moves)
            paid += payoffs["attacker"]
        return paid

    together = total([4, 5, 6], radii)
    apart = torch.cat([total([seed], [radius]) for seed, radius in zip([4, 5, 6], radii, strict=True)])
    torch.testing.assert_close(together, apart)
    assert len(set(together.tolist())) == 3


@every_order
def test_a_saved_state_goes_on_as_if_nothing_had_happened(order: str) -> None:
    game = plane(order=order)
    state = game.reset([0, 1])
    state, _ = round_of(game, state, attacker=random_action(game, state, "attacker"))
    state, _, _ = game.step(state, {p: game.null_action(state, p) for p in game.movers(state)})
    copy = PerturbationState.from_dict(state.to_dict())
    while not game.over(state):
        moves = {p: random_action(game, state, p) for p in game.movers(state)}
        state, one, _ = game.step(state, moves)
        copy, two, _ = game.step(copy, moves)
        assert torch.equal(one["attacker"], two["attacker"])
    assert {n: v.tolist() for n, v in game.measures(state).items()} == {
        n: v.tolist() for n, v in game.measures(copy).items()
    }


def test_every_test_input_is_used_once_a_pass() -> None:
    game = plane(batch_size=50, rounds=8)
    state, seen = game.reset([0]), []
    while not game.over(state):
        seen.append(state.sample_ids[0])
        state, _ = round_of(game, state)
    for half in (seen[:4], seen[4:]):
        assert sorted(torch.cat(half).tolist()) == list(range(200))


def test_a_victim_of_ones_own_is_copied_and_evaluated() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(64), nn.Linear(64, 10)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    game = PerturbationGame("digits", victim=module, rounds=1, batch_size=20)
    paid = [round_of(game, game.reset([0]))[1]["attacker"] for _ in range(2)]
    assert torch.equal(*paid)
    assert module.training and all(p.requires_grad and p.grad is None for p in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_victim_of_ones_own_plays_wherever_the_task_s_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handed over as a module, imported as one, or returned by a function: one game."""
    lines = "import torch", "net = torch.nn.Linear(2, 2)", "net.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])"
    (tmp_path / "own_nets.py").write_text("\n".join([*lines, "net.bias.data.zero_()", "def made(): return net"]))
    monkeypatch.syspath_prepend(tmp_path)
    from own_nets import net  # type: ignore[import-not-found]

    players, settings = {"attacker": "fgm", "defender": "null"}, {"payoff": "flip-linear", "rounds": 2}
    paid = [
        play("perturbation", "polygon", players, 2, settings, victim=net),
        play("perturbation", "polygon", players, 2, {**settings, "victim": "own_nets:net"}),
        play("perturbation", "polygon", players, 2, {**settings, "victim": "own_nets:made"}),
    ]
    assert paid[0][0].payoffs == paid[1][0].payoffs == paid[2][0].payoffs
    assert paid[0][0].payoffs != play("perturbation", "polygon", players, 2, settings)[0].payoffs
    assert play("perturbation", "polygon", players, 2, settings, victim="own_nets:net")[0].settings["victim"]
    with pytest.raises(errors.SettingError, match="given twice"):
        play("perturbation", "polygon", players, 2, {**settings, "victim": "own_nets:net"}, victim=net)
    with pytest.raises(errors.SettingError, match="its own victim"):
        play("poisoning", "linear-regression", victim=net)


def test_a_function_that_makes_a_victim_makes_the_same_one_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new_nets.py").write_text("import torch\ndef made(): return torch.nn.Linear(2, 2)")
    monkeypatch.syspath_prepend(tmp_path)
    inputs, logits = load_task("polygon").test.inputs, []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = torch.random.get_rng_state()
            logits.append(PerturbationGame("polygon", victim="new_nets:made").victim.logits(inputs))
            assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(*logits)


def test_inputs_come_from_the_split_that_is_asked_for() -> None:
    for split in ("train", "validation", "test"):
        game = digits(split=split)
        pool = {"train": game.task.train, "validation": game.task.validation, "test": game.task.test}[split]
        state = game.reset([0])
        assert torch.equal(state.inputs[0], pool.inputs[state.sample_ids[0]])
        others = game.task.validation if split == "train" else game.task.train
        access = game.access(state, "defender")
        assert torch.equal(access.known(None), others.inputs)
        shown = game.observe(state, "defender")["inputs"][0]
        assert all(any(torch.equal(one, other) for other in others.inputs) for one in shown)


def test_the_usual_radius_is_as_long_in_either_norm() -> None:
    radii = [PerturbationGame("digits", norm=norm).settings.epsilon_attacker for norm in ("l2", "linf")]
    assert radii == [1.3, pytest.approx(1.3 / 8)]


class Corners(Agent):
    """Three draws, in one order or in one that its own randomness decides."""

    def __init__(self, shuffled: bool = False) -> None:
        self.shuffled = shuffled

    def act(self, observation: Any, access: Any) -> Tensor:
        turn = int(access.noise_seeds[0]) % 3 if self.shuffled else 0
        return torch.tensor([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]).roll(turn, 0).reshape(1, 3, 1, 2)


@pytest.mark.parametrize("order", ["simultaneous", "attacker-first"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_mix_plays_one_of_its_draws_where_one_action_is_asked_for(order: str, shuffled: bool) -> None:
    """The faces stepped by hand take one action of the space; every draw gets its turn, by the seed of the match."""
    env = perturbation_v0.env(task="polygon", order=order, rounds=30)

    def played(seed: int) -> list[Any]:
        env.reset(seed=seed)
        found = []
        for agent in env.agent_iter():
            _, _, terminated, truncated, _ = env.last()
            if terminated or truncated:
                env.step(None)
                continue
            action = env.unwrapped.move(Corners(shuffled) if agent == "defender_0" else None)
            if agent == "defender_0":
                assert np.array_equal(action, env.unwrapped.move(Corners(shuffled)))  # asked twice, the same answer
                found.append(tuple(action.reshape(-1).tolist()))
            env.step(action)
        return found

    first = played(0)
    assert len(first) == 30 and set(first) == {(-1.0, 0.0), (0.0, 1.0), (1.0, 0.0)}
    assert played(0) == first != played(1)
    parallel = perturbation_v0.parallel_env(task="polygon")
    parallel.reset(seed=0)
    assert parallel.action_space("defender_0").contains(parallel.move("defender_0", Corners()))


def test_who_moves_first_plays_no_mix_in_the_faces_either() -> None:
    env = perturbation_v0.env(task="polygon", order="defender-first")
    env.reset(seed=0)
    with pytest.raises(errors.ActionShapeError):
        env.step(env.unwrapped.move(Corners()))


def test_a_perturbation_per_input_names_what_one_vector_needs() -> None:
    game = plane()
    state = game.reset([0])
    moves = {"attacker": game.null_action(state, "attacker"), "defender": torch.zeros_like(state.inputs)}
    with pytest.raises(errors.ActionShapeError, match=r"access\.pool.*defense='per-input'"):
        game.step(state, moves)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"payof": "flip"}, errors.UnknownNameError, "payoff"),
        ({"payoff": "flips"}, errors.SettingError, "payoff"),
        ({"order": "first"}, errors.SettingError, "order"),
        ({"batch_size": 201}, errors.SettingError, "200 test inputs"),
        ({"epsilon": -1.0}, errors.SettingError, "epsilon"),
        ({"train_size": 5}, errors.SettingError, "polygon"),
        ({"victim_weights": "nowhere.safetensors"}, errors.DataFileError, "nowhere"),
        ({"victim_weights": "a", "victim_epochs": 1}, errors.SettingError, "one only"),
        ({"victim": "a:b", "victim_weights": "c"}, errors.SettingError, "one only"),
        ({"victim": "no_such_module:net"}, errors.SettingError, "no_such_module"),
        ({"victim": "math:no_such_name"}, errors.SettingError, "no_such_name"),
        ({"victim": "math:pi"}, errors.SettingError, "torch module"),
        ({"victim": "a path"}, errors.SettingError, "my_module:name"),
        ({"split": "tests"}, errors.SettingError, "split"),
        ({"split": "validation", "batch_size": 1000}, errors.SettingError, "validation inputs"),
    ],
)
def test_bad_settings_have_their_named_error(settings: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make_game("perturbation", "polygon", settings=settings)


def test_tasks_and_victims_that_cannot_be_played_are_refused() -> None:
    with pytest.raises(errors.SettingError, match="classification"):
        PerturbationGame("linear-regression")
    with pytest.raises(errors.SettingError, match="10 classes"):
        PerturbationGame("digits", victim=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    with pytest.raises(errors.VictimError, match="logits"):
        PerturbationGame("digits", victim=nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))
    with pytest.raises(errors.VictimError, match=r"fails on an input of shape \(1, 8, 8\)"):
        PerturbationGame("digits", victim=nn.Linear(3, 10))
    with pytest.raises(errors.VictimError, match="fails on an input"):
        PerturbationGame("polygon", victim=nn.BatchNorm2d(2))
    with pytest.raises(errors.VictimError, match="got dict"):
        PerturbationGame("polygon", victim=Named())
    with pytest.raises(errors.SettingError, match="torch module"):
        PerturbationGame("digits", victim=lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(errors.SettingError, match="one only"):
        PerturbationGame("digits", victim=nn.Linear(64, 10), victim_seed=1)
    with pytest.raises(errors.SettingError, match="dtype"):
        PerturbationGame("digits", dtype="float16")
    mixing = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, track_running_stats=False), nn.Linear(64, 10))
    with pytest.raises(errors.VictimError, match="BatchNorm1d"):
        PerturbationGame("digits", victim=mixing)
    broken = nn.Linear(2, 2)
    with torch.no_grad():
        broken.weight.fill_(float("nan"))
    with pytest.raises(errors.VictimError, match="finite"):
        PerturbationGame("polygon", victim=broken).reset([0])


@every_order
def test_rejected_actions_leave_the_state_alone(order: str) -> None:
    game = plane(order=order)
    state = game.reset([0])
    good = {p: game.null_action(state, p) for p in game.movers(state)}
    flat = {n: v.clone() if isinstance(v, Tensor) else v for n, v in state.to_dict().items()}
    player = game.movers(state)[0]
    like = good[player]
    bad: list[tuple[Any, type[Exception]]] = [
        (like.to(torch.float32), errors.ActionDtypeError),
        (like.numpy(), errors.ActionDtypeError),
        (like[:, :, :1], errors.ActionShapeError),
        (like.unsqueeze(0).unsqueeze(0), errors.ActionShapeError),
        (like + 2.0, errors.RadiusExceededError),
        (like * float("nan"), errors.NonFiniteActionError),
    ]
    for action, error in bad:
        with pytest.raises(error):
            game.step(state, {**good, player: action})
    with pytest.raises(errors.PhaseError):
        game.step(state, {"nobody": like})
    after = state.to_dict()
    assert all(torch.equal(v, after[n]) if isinstance(v, Tensor) else v == after[n] for n, v in flat.items())


def test_agents_of_the_wrong_side_or_game_are_refused() -> None:
    for attacker, defender, words in [("smooth", "null", "defends"), ("null", "fgm", "attacks")]:
        with pytest.raises(errors.SettingError, match=words):
            play("perturbation", "polygon", {"attacker": attacker, "defender": defender})
    with pytest.raises(errors.SettingError, match="fixed victim"):
        play("poisoning", "linear-regression", {"attacker": "fgm", "defender": "null"})
    assert isinstance(make_agent("null"), Null)


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_linearised_logits_are_the_jacobian_s(classes: int) -> None:
    """Rows of the Jacobian (few classes) and forward mode (many) both equal Z + J delta from autograd's Jacobian."""
    generator = torch.Generator().manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 8, dtype=torch.float64), nn.Tanh())
    module.append(nn.Linear(8, classes, dtype=torch.float64))
    victim = FixedVictim(module.eval().requires_grad_(False), (2, 3), chunk_size=3)
    x = torch.randn(5, 2, 3, generator=generator, dtype=torch.float64)
    moved = x + torch.randn(4, 5, 2, 3, generator=generator, dtype=torch.float64)
    found = victim.linear_logits(x, moved)
    for i in range(5):
        jacobian: Any = torch.autograd.functional.jacobian(lambda p: victim(p[None])[0], x[i])
        expected = victim(x[i : i + 1]) + torch.einsum("kab,dab->dk", jacobian, moved[:, i] - x[i])
        torch.testing.assert_close(found[:, i], expected)
    torch.testing.assert_close(victim.linear_logits(x, moved[0]), found[0])
