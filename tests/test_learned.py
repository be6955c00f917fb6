"""Learned players: frozen exactly as they were trained, kept without pickle, and refused where they do not belong."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from advgames.agents import Mix, Null, Pool, RLLevelK, StrategyMix, View, make_agent
from advgames.agents.learned import FORMAT
from advgames.envs.sb3 import OpponentVecEnv
from advgames.envs.viewed import ViewedGame
from advgames.errors import (
    AccessError,
    DataFileError,
    SettingError,
    UnknownNameError,
    UnsupportedFormError,
)
from advgames.files import load_tensors, save_tensors
from advgames.games import Game, MatrixGame, NegotiationGame, PerturbationGame, PoisoningGame
from advgames.training import best_response, from_sb3, payoffs
from advgames.training.best_response import ALGORITHMS, LearningRecipe, respond, usual_options

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")
from stable_baselines3.common.torch_layers import CombinedExtractor

from advgames.training.sb3 import architecture, freeze

PLANE = {"task": "polygon", "batch_size": 3, "rounds": 2, "order": "attacker-first"}
TINY = {"num_games": 4, "net": (8, 8)}


def games() -> dict[str, tuple[Game[Any], str, str]]:
    """Games with a seat to learn in, and an opponent."""
    return {
        "matrix": (MatrixGame("rock-paper-scissors", rounds=3), "row", "mix"),
        "plane": (PerturbationGame(**PLANE), "defender", "level-1"),
        "regression": (PoisoningGame("linear-regression", iterations=3), "attacker", "level-1"),
        "acts": (NegotiationGame(illegal="outcome", max_turns=4, first="attacker"), "attacker", "fair"),
    }


CASES = [
    (name, algorithm)
    for name, (game, role, _) in games().items()
    for algorithm, made in ALGORITHMS.items()
    if (made.choices if name in ("matrix", "acts") else made.points) and (not made.masked or name == "acts")
]


@pytest.mark.parametrize(("name", "algorithm"), CASES)
def test_a_frozen_policy_is_the_trained_one(name: str, algorithm: str) -> None:
    """What stable-baselines3 predicts, action by action: its likeliest, and the distribution that it draws from."""
    game, role, other = games()[name]
    env = OpponentVecEnv(game, role, other, 4)
    made = getattr(pytest.importorskip(ALGORITHMS[algorithm].package), algorithm)
    recipe = LearningRecipe(algorithm, 8, num_games=4, options={"learning_starts": 4} if "Q" in algorithm else {})
    options = {**usual_options(recipe), **({"buffer_size": 100} if ALGORITHMS[algorithm].off_policy else {})}
    options |= {} if algorithm == "A2C" or ALGORITHMS[algorithm].off_policy else {"n_steps": 4, "batch_size": 8}
    model = made("MultiInputPolicy", env, policy_kwargs={"net_arch": [7, 5]}, seed=3, **options).learn(40)
    policy = freeze(model, game, role)
    env.seed(5)
    seen, masked = env.reset(), ALGORITHMS[algorithm].masked
    keys = torch.arange(4)
    for _ in range(3):
        mask = {"action_masks": env.action_masks()} if masked else {}
        expected = model.predict(seen, deterministic=True, **mask)[0]
        own = {part: torch.from_numpy(np.array(value)) for part, value in seen.items()}
        if masked:
            own["action_mask"] = torch.from_numpy(mask["action_masks"])
        action = policy.act(own, keys, deterministic=True).numpy()
        np.testing.assert_allclose(action, expected, rtol=1e-4, atol=1e-5)
        if policy.head.kind == "categorical":
            tensors = {part: torch.from_numpy(np.array(value)) for part, value in seen.items()}
            drawn = model.policy.get_distribution(tensors, **mask).distribution.probs.detach()
            torch.testing.assert_close(policy.chances(own).float(), drawn, rtol=1e-4, atol=1e-6)
        seen = env.step(expected)[0]


@pytest.mark.parametrize("algorithm", ["PPO", "SAC", "TD3"])
def test_images_are_read_through_a_small_cnn(algorithm: str, tmp_path: Path) -> None:
    """Frozen exactly, kept in the file, and carried into a warm start; the mean over the minibatch has no order."""
    game = PoisoningGame("digits", batch_size=2, iterations=3, train_size=20, validation_size=10, test_size=10)
    options: dict[str, Any] = {"n_steps": 3, "batch_size": 6} if algorithm == "PPO" else {"buffer_size": 50}
    recipe = LearningRecipe(algorithm, 12, num_games=2, net=(6,), options=options, images=True)
    agent = respond(game, "attacker", "null", recipe)
    again = RLLevelK.load(agent.save(tmp_path / "agent.safetensors"))
    assert [part.images for part in again.policy.parts] == [True, False, False, False]
    assert sum(weight.numel() for weight in again.policy.parameters()) < 12_000  # inputs as numbers: 128 columns more
    state = game.reset([0, 1])
    seen = game.observe(state, "attacker")
    acts = [each.policy.act(seen, torch.arange(2), deterministic=True) for each in (agent, again)]
    assert torch.equal(*acts)
    made = getattr(pytest.importorskip("stable_baselines3"), algorithm)
    env = OpponentVecEnv(game, "attacker", None, 2)
    model = made("MultiInputPolicy", env, policy_kwargs=architecture(game, "attacker", recipe), seed=0, **options)
    numbers = {name: value.numpy() for name, value in seen.items()}
    expected = model.learn(12).predict(numbers, deterministic=True)[0]
    frozen = freeze(model, game, "attacker", images=True)
    np.testing.assert_allclose(frozen.act(seen, torch.arange(2), deterministic=True), expected, rtol=1e-4, atol=1e-5)
    turned = {**seen, "inputs": seen["inputs"].flip(1)}
    torch.testing.assert_close(again.policy.act(turned, torch.arange(2), deterministic=True), acts[0])
    still = replace(recipe, start=again, options={**options, "learning_rate": 1e-12})
    warm = respond(game, "attacker", "null", still)
    torch.testing.assert_close(warm.policy.act(seen, torch.arange(2), deterministic=True), acts[0])


def test_draws_follow_the_policys_distribution() -> None:
    """Frozen opponents draw as the learner does, and not greedily: 4,000 matches against the policy's own chances."""
    game = MatrixGame("rock-paper-scissors")
    agent = best_response(game, "row", "mix", "PPO", 64, **TINY)
    state = game.reset(range(4000))
    seen, access = game.observe(state, "row"), game.access(state, "row")
    agent.reset(access)
    assert not agent.deterministic
    drawn = agent.act(seen, access)
    chances = agent.policy.chances(seen)[0].float()
    assert chances.max() < 0.6  # hardly trained: it is not greedy
    assert torch.allclose(drawn.bincount(minlength=3) / 4000, chances, atol=4 * (0.25 / 4000) ** 0.5)
    assert torch.equal(drawn[17:18], _first(agent, game, [17]))
    agent.deterministic = True
    assert (agent.act(seen, access) == chances.argmax()).all()


def _first(agent: RLLevelK, game: MatrixGame, seeds: list[int]) -> torch.Tensor:
    state = game.reset(seeds)
    agent.reset(game.access(state, "row"))
    return agent.act(game.observe(state, "row"), game.access(state, "row"))


@pytest.mark.parametrize(("role", "best"), [("row", 0.3), ("column", 0.3)])
def test_the_learner_is_paid_its_own_payoffs(role: str, best: float) -> None:
    """In either seat it learns the best answer to a known mix; on the other's payoffs (PettingZoo#1147) the worst."""
    game, fixed = MatrixGame("rock-paper-scissors"), Mix([0.5, 0.3, 0.2])
    agent = best_response(game, role, fixed, "A2C", 6_000, seed=1, options={"learning_rate": 0.01})
    other = "column" if role == "row" else "row"
    paid = payoffs(game, {role: agent, other: fixed}, range(2000))[role].mean()
    assert float(paid) == pytest.approx(best, abs=0.06)


def test_a_policy_is_a_snapshot_and_not_the_network_that_goes_on_learning() -> None:
    """ray#35393: opponents that share memory with the learner change under its hands."""
    game = MatrixGame("rock-paper-scissors")
    model = pytest.importorskip("stable_baselines3").PPO(
        "MultiInputPolicy", OpponentVecEnv(game, "row", "mix", 4), n_steps=4, batch_size=8, seed=0
    )
    policy = freeze(model, game, "row")
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    model.learn(64)
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    after = freeze(model, game, "row").state_dict()
    assert not all(torch.equal(value, before[name]) for name, value in after.items())


def test_a_saved_player_is_the_same_player(tmp_path: Path) -> None:
    for name, (game, role, other) in games().items():
        agent = best_response(game, role, other, "PPO", 8, options={"n_steps": 2, "batch_size": 4}, **TINY)
        file = agent.save(tmp_path / name / "agent.safetensors")
        again = make_agent(f"learned(file={file})")
        assert isinstance(again, RLLevelK)
        assert again.manifest == agent.manifest and repr(again) == repr(agent) and again.k == 1
        seats = dict.fromkeys(game.players, other)
        found = []
        for each in (agent, again):
            players = {player: make_agent(seats[player]) for player in game.players} | {role: each}
            found.append(payoffs(game, players, range(3))[role])
        assert torch.equal(*found)


def test_the_manifest_says_where_a_player_comes_from(tmp_path: Path) -> None:
    game = MatrixGame("biased-pennies", rounds=2)
    agent = best_response(game, "column_0", Mix([1, 3]), "A2C", 40, level=3, seed=7, **TINY)
    told = agent.manifest
    assert (told.game, told.task, told.role, told.kind) == ("matrix", "biased-pennies", "column", "table")
    assert told.level == agent.k == 3
    assert told.settings == {"order": "simultaneous", "rounds": 2} and told.opponents == "row: Mix(weights=(1.0, 3.0))"
    assert (told.algorithm, told.seed, told.steps, told.masked) == ("A2C", 7, 40, False)
    assert {"torch", "advgames"} <= set(told.versions)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_is_the_same_policy_and_global_generators_are_left_alone(algorithm: str) -> None:
    """Off policy too, whose first actions and random ones are drawn from the space."""
    name = "acts" if algorithm == "MaskablePPO" else "matrix" if ALGORITHMS[algorithm].choices else "plane"
    options = {} if ALGORITHMS[algorithm].off_policy or algorithm == "A2C" else {"n_steps": 4, "batch_size": 8}

    def weights(seed: int) -> torch.Tensor:
        game, role, other = games()[name]
        agent = best_response(game, role, other, algorithm, 120, seed=seed, options=options, **TINY)
        return torch.cat([weight.flatten() for weight in agent.policy.state_dict().values()])

    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    one = weights(4)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == np.random.get_state()[1].tolist() and states[2] == random.getstate()  # type: ignore[index]
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    assert torch.equal(one, weights(4)) and not torch.equal(one, weights(5))


@pytest.mark.parametrize("algorithm", ["PPO", "SAC", "TD3"])
def test_freezing_draws_nothing(algorithm: str) -> None:
    game = PerturbationGame(**PLANE)
    model = getattr(pytest.importorskip("stable_baselines3"), algorithm)(
        "MultiInputPolicy", OpponentVecEnv(game, "attacker", None, 2), seed=0
    )
    before = torch.get_rng_state()
    freeze(model, game, "attacker")
    assert torch.equal(before, torch.get_rng_state())


def test_the_manifest_says_who_of_a_pool_was_met() -> None:
    pool = Pool([Mix([1, 0]), Mix([0, 1])], [1, 3])
    agent = best_response(MatrixGame("matching-pennies"), "row", pool, "PPO", 64, options={"n_steps": 4}, **TINY)
    met = agent.manifest.met["column"]
    assert list(met) == [repr(member) for member in pool.agents] and met[repr(Mix([0, 1]))] > met[repr(Mix([1, 0]))]
    assert sum(met.values()) >= 64 and pool.met


def test_no_two_trainings_meet_the_same_matches() -> None:
    firsts = [LearningRecipe(seed=seed).first_match for seed in range(4)]
    assert len(set(firsts)) == 4 and min(firsts) > 10**12  # not among the seeds that players are compared on


@pytest.mark.parametrize("algorithm", ["PPO", "SAC"])
def test_points_are_drawn_from_the_distribution_of_the_trained_policy(algorithm: str) -> None:
    """Means and standard deviations of 4,000 draws against those that stable-baselines3 has."""
    game, role, other = games()["plane"]
    made = getattr(pytest.importorskip("stable_baselines3"), algorithm)
    env = OpponentVecEnv(game, role, other, 4)
    model = made("MultiInputPolicy", env, policy_kwargs={"net_arch": [7]}, seed=3)
    env.seed(5)
    seen = env.reset()
    given = {name: torch.from_numpy(value[:1]) for name, value in seen.items()}
    if algorithm == "PPO":
        model.policy.log_std.data.copy_(torch.tensor([-2.0, -1.5]))  # narrow: nothing is cut to the box
        found = model.policy.get_distribution(given).distribution
        mean, deviation = found.mean[0], found.stddev[0]
    else:
        mean, log_std, _ = model.actor.get_action_dist_params(given)
        mean, deviation = mean[0], log_std[0].exp()
    policy, many = freeze(model, game, role), 4_000
    repeated = {name: value.expand(many, *value.shape[1:]) for name, value in given.items()}
    drawn = policy.act(repeated, torch.arange(many)).view(many, -1)
    if algorithm == "SAC":
        drawn = drawn.clamp(-0.9999, 0.9999).atanh()
    half = 4 * deviation.detach() / many**0.5
    assert ((drawn.mean(0) - mean.detach()).abs() < half).all()
    assert ((drawn.std(0) - deviation.detach()).abs() < half).all()


def test_moves_of_one_round_have_randomness_of_their_own() -> None:
    """A saved player goes on with the draws that it would have made."""
    game = MatrixGame("rock-paper-scissors", rounds=2)
    agent = best_response(game, "row", "mix", "PPO", 8, options={"n_steps": 2, "batch_size": 4}, **TINY)
    state = game.reset(range(500))
    seen, access = game.observe(state, "row"), game.access(state, "row")
    agent.reset(access)
    first, second = agent.act(seen, access), agent.act(seen, access)
    assert 0.2 < (first == second).double().mean() < 0.5
    fresh = RLLevelK(agent.policy, agent.manifest)
    fresh.reset(access)
    fresh.restore(agent.memory())
    assert torch.equal(fresh.act(seen, access), agent.act(seen, access))
    state, _, _ = game.step(state, {"row": first, "column": second})
    later, now = agent.act(game.observe(state, "row"), game.access(state, "row")), game.access(state, "row")
    alone = RLLevelK(agent.policy, agent.manifest)
    alone.reset(now)
    assert torch.equal(alone.act(game.observe(state, "row"), now), later)  # rounds do not depend on moves before


def test_td3_explores_what_it_would_not_do() -> None:
    """Its noise is the suite's choice; without one every action after the first ones is the network's own."""
    game = PerturbationGame(**PLANE)
    played: list[torch.Tensor] = []

    class Spy(OpponentVecEnv):
        def step_async(self, actions: Any) -> None:
            played.append(torch.from_numpy(actions.copy()))
            super().step_async(actions)

    from advgames.training import sb3

    kept = sb3.OpponentVecEnv
    sb3.OpponentVecEnv = Spy  # type: ignore[misc]
    try:
        options = {"learning_starts": 4, "learning_rate": 1e-12, "buffer_size": 50}
        best_response(game, "defender", "level-1", "TD3", 40, options=options, num_games=4, net=(8,))
    finally:
        sb3.OpponentVecEnv = kept  # type: ignore[misc]
    later = torch.stack(played[3:])
    assert later.std(0).mean() > 0.05


def test_progress_is_told() -> None:
    heard: list[tuple[int, float]] = []
    best_response(
        MatrixGame(),
        "row",
        Mix([1, 0]),
        "PPO",
        48,
        told=lambda steps, paid: heard.append((steps, paid)),
        options={"n_steps": 4, "batch_size": 8},
        **TINY,
    )
    assert [steps for steps, _ in heard] == [16, 32, 48] and all(-1 <= paid <= 1 for _, paid in heard)


@pytest.mark.parametrize(
    ("name", "change", "error", "text"),
    [
        ("matrix", {"algorithm": "SAC"}, SettingError, "SAC cannot act in .*; PPO, A2C, MaskablePPO, DQN can"),
        ("plane", {"algorithm": "DQN"}, SettingError, "DQN cannot act in .*; PPO, A2C, SAC, TD3 can"),
        ("matrix", {"algorithm": "MaskablePPO"}, SettingError, "needs a mask"),
        ("matrix", {"algorithm": "PPOO"}, UnknownNameError, "PPO"),
        ("matrix", {"steps": 0}, SettingError, "positive"),
        ("matrix", {"net": (8, 0)}, SettingError, "positive"),
        ("matrix", {"steps": "8"}, SettingError, "whole numbers"),
        ("matrix", {"seed": None}, SettingError, "whole numbers"),
        ("matrix", {"net": 16}, SettingError, "net is the sizes"),
        ("matrix", {"algorithm": "ppo"}, UnknownNameError, "did you mean 'PPO'"),
        ("matrix", {"algorithm": dict}, SettingError, "algorithm is one of the names"),
        ("matrix", {"view": {"features": None}}, SettingError, "view must be a View"),
        ("matrix", {"start": "level-1.safetensors"}, SettingError, "start must be a RLLevelK"),
        ("matrix", {"options": None}, SettingError, "options map names"),
        ("matrix", {"level": -1}, SettingError, "a level is a whole number"),
        ("matrix", {"opponents": Mix}, SettingError, "reset and act; got <class .*; write Mix"),
        ("matrix", {"options": {"n_step": 4}}, SettingError, "n_step"),
        ("matrix", {"options": {"seed": 0}}, SettingError, "'seed' is not an option here"),
        ("matrix", {"options": {"policy_kwargs": {}}}, SettingError, "'policy_kwargs' is not an option here"),
        ("matrix", {"options": {"learning_rate": lambda left: left}}, SettingError, "options are plain values"),
        ("plane", {"options": {"use_sde": True}}, SettingError, "use_sde"),
        ("plane", {"view": View(None, StrategyMix([Null()]))}, UnknownNameError, "Null"),
        ("plane", {"view": View(["first-directoin"])}, UnknownNameError, "first-direction"),
        ("careful", {}, SettingError, "MaskablePPO, or illegal='outcome'"),
        ("utterances", {}, UnsupportedFormError, "use a view of acts"),
        ("matrix", {"opponents": "level-1"}, AccessError, "plays a payoff table"),
        ("matrix", {"opponents": Mix([1, 2])}, SettingError, "2 weights for 3 strategies"),
        ("matrix", {"opponents": {"row": "mix"}}, SettingError, "leaves to its user"),
        ("matrix", {"opponents": {"colum": "mix"}}, UnknownNameError, "column"),
        ("matrix", {"role": "attacker"}, UnknownNameError, "row"),
        ("plane", {"opponents": "smoth"}, UnknownNameError, "smooth"),
        ("acts", {"opponents": "null"}, AccessError, "perturbs inputs"),
    ],
)
def test_what_cannot_learn_is_refused_before_anything_is_trained(
    name: str, change: dict[str, Any], error: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = pytest.importorskip("stable_baselines3.common.base_class").BaseAlgorithm
    monkeypatch.setattr(base, "_setup_learn", None)
    more: dict[str, tuple[Game[Any], str, str]] = {
        "careful": (NegotiationGame(), "attacker", "fair"),
        "utterances": (NegotiationGame(actions="tokens", unit="utterance", grammar=True), "attacker", "fair"),
    }
    game, role, other = (games() | more)[name]
    given = {"role": role, "opponents": other, "algorithm": "PPO", "steps": 8, **change}
    with pytest.raises(error, match=text):
        best_response(game, given.pop("role"), given.pop("opponents"), **given, num_games=4)


def test_texts_cannot_be_learned() -> None:
    with pytest.raises(UnsupportedFormError, match="texts"):
        best_response(NegotiationGame(actions="text"), "attacker", "fair")


def test_players_are_refused_where_they_do_not_belong(tmp_path: Path) -> None:
    game = MatrixGame("rock-paper-scissors")
    agent = best_response(game, "row", "mix", "PPO", 8, options={"n_steps": 2, "batch_size": 4}, **TINY)
    other_name = MatrixGame("rock-paper-scissors")
    other_name.name = "another"
    for wrong, role, error, text in (
        (game, "column", SettingError, "was trained as the row"),
        (MatrixGame("matching-pennies"), "row", SettingError, "own_last"),
        (other_name, "row", SettingError, "row of matrix, and cannot play the row of another"),
        (NegotiationGame(), "attacker", AccessError, "plays a payoff table"),
    ):
        state = wrong.reset([0])
        with pytest.raises(error, match=text):
            agent.reset(wrong.access(state, role))
            agent.act(wrong.observe(state, role), wrong.access(state, role))


def test_files_that_hold_no_player_are_refused(tmp_path: Path) -> None:
    agent = best_response(MatrixGame(), "row", "mix", "PPO", 8, options={"n_steps": 2, "batch_size": 4}, **TINY)
    file = agent.save(tmp_path / "agent.safetensors")
    weights, values = load_tensors(file)

    def refused(error: type[Exception], text: str, change: Any = None, tensors: Any = None) -> None:
        told = json.loads(json.dumps(values))
        if change:
            change(told)
        save_tensors(tmp_path / "bad.safetensors", tensors or weights, told)
        with pytest.raises(error, match=text):
            RLLevelK.load(tmp_path / "bad.safetensors")

    text = f"version 99, this advgames reads version {FORMAT}"
    refused(SettingError, text, lambda v: v["manifest"].update(format=99))
    refused(DataFileError, "no learned player", lambda v: v.pop("policy"))
    refused(UnknownNameError, "sed", lambda v: v["manifest"].update(sed=1))
    refused(SettingError, "no policy can be built", lambda v: v["policy"]["layers"].pop())
    refused(SettingError, "no policy can be built", lambda v: v["policy"]["layers"].append(["softmax"]))
    refused(SettingError, "no policy can be built", None, {name: w for name, w in weights.items() if "0" not in name})
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataFileError, match="no learned player can be read"):
        RLLevelK.load(file)
    with pytest.raises(DataFileError, match="no learned player can be read"):
        RLLevelK.load(tmp_path / "missing.safetensors")
    with pytest.raises(DataFileError, match="pickled objects, which can run any code"):
        RLLevelK.load(tmp_path / "model.zip")


def test_ones_own_model_of_stable_baselines3_becomes_a_player(tmp_path: Path) -> None:
    """It does what the model predicts, through the view that the model learned with."""
    made, game, view = pytest.importorskip("stable_baselines3").PPO, PerturbationGame(**PLANE), View(["margins"])
    env = OpponentVecEnv(ViewedGame(game, "attacker", view), "attacker", "smooth", 2)
    model = made("MultiInputPolicy", env, n_steps=4, batch_size=8)
    model.learn(8)
    agent = from_sb3(model, game, "attacker", view=view, level=2, deterministic=True)
    assert (agent.k, agent.manifest.algorithm, agent.manifest.steps, agent.manifest.game) == (2, "PPO", 8, game.name)
    again = RLLevelK.load(agent.save(tmp_path / "own.safetensors"), deterministic=True)
    state = game.reset([0, 1])
    access, seen = game.access(state, "attacker"), game.observe(state, "attacker")
    for each in (agent, again):
        each.reset(access)
        margins = {"margins": view.observe(seen, access)["margins"].numpy()}
        predicted = torch.as_tensor(model.predict(margins, deterministic=True)[0])
        assert torch.allclose(each.act(seen, access), access.threat.project(predicted), atol=1e-6)
    with pytest.raises(UnknownNameError, match="algorithm 'dict'"):
        from_sb3({}, game, "attacker")
    with pytest.raises(SettingError, match="from_sb3 makes one"):
        best_response(game, "defender", model)
    with pytest.raises(SettingError, match="the model reads"):
        from_sb3(model, game, "attacker")
    with pytest.raises(SettingError, match="a level is a whole number"):
        from_sb3(model, game, "attacker", view=view, level=-1)
    with pytest.raises(SettingError, match="view must be a View"):
        from_sb3(model, game, "attacker", view={"features": ["margins"]})  # type: ignore[arg-type]
    normal = pytest.importorskip("stable_baselines3.common.vec_env").VecNormalize(env)
    with pytest.raises(SettingError, match="VecNormalize"):
        from_sb3(made("MultiInputPolicy", normal, n_steps=4, batch_size=8), game, "attacker", view=view)
    with pytest.raises(SettingError, match="a features extractor of its own"):
        policy = {"features_extractor_class": Turned}
        from_sb3(
            made("MultiInputPolicy", env, n_steps=4, batch_size=8, policy_kwargs=policy), game, "attacker", view=view
        )


class Turned(CombinedExtractor):
    """Reads the same numbers with their signs turned."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space)
        self.extractors = torch.nn.ModuleDict({"margins": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ELU())})


def test_numbers_may_be_numpys() -> None:
    own = LearningRecipe("PPO", np.int64(8), seed=np.int64(3), net=[np.int32(4)])  # type: ignore[arg-type]
    assert own == LearningRecipe("PPO", 8, seed=3, net=(4,)) and type(own.seed) is int


def test_a_model_of_another_game_is_not_frozen_for_this_one() -> None:
    game = MatrixGame("rock-paper-scissors")
    env = OpponentVecEnv(game, "row", "mix", 2)
    model = pytest.importorskip("stable_baselines3").PPO("MultiInputPolicy", env, n_steps=4, batch_size=8)
    with pytest.raises(SettingError, match=r"does not fit|maps"):
        freeze(model, MatrixGame("random:4x3"), "row")
    with pytest.raises(SettingError, match="the model reads"):
        freeze(model, PerturbationGame(**PLANE), "attacker")
