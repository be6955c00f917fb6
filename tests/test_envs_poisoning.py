"""The training-time game through its faces: the README's loop, agents in their seats, rewards, registries, pictures."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
import torch
from conformance import assert_same, play
from gymnasium import spaces
from toy_games import IN_TURN, TWICE, Half, Toy

from advgames.agents import LevelK, Momentum, RandomDirection
from advgames.envs import Ball, Faces, poisoning_v0, register
from advgames.envs.naming import Names

LINEAR = {"task": "linear-regression", "iterations": 5}
DIGITS = {"task": "digits", "train_size": 60, "validation_size": 20, "test_size": 20, "batch_size": 4}
toy_v0 = Faces("toy_v0", Toy)


def duel(env: Any, seed: int | None, attacker: Any, defender: Any) -> tuple[list[float], dict[str, float]]:
    """The attacker's rewards of one match, and its measures."""
    players = {"attacker_0": attacker, "defender_0": defender}
    rewards = []
    env.reset(seed=seed)
    for name in env.agent_iter():
        _, reward, terminated, truncated, _ = env.last()
        if name == "attacker_0":
            rewards.append(reward)
        env.step(None if terminated or truncated else env.unwrapped.move(players[name]))
    return rewards, env.unwrapped.measures()


# Documentation.


EXAMPLES = re.findall(r"```python\n(.*?)```", poisoning_v0.__doc__ or "", re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("poisoning_v0.")[1].split("(")[0])
def test_the_examples_of_the_documentation_run(example: str) -> None:
    exec(compile(example, "poisoning_v0.__doc__", "exec"), {})


def test_the_documentation_has_an_example_of_every_face_in_15_lines() -> None:
    faces = {face for text in EXAMPLES for face in re.findall(r"poisoning_v0\.(\w+)\(", text)}
    assert faces == {"env", "gym_env", "vector_env"}
    assert all(len(text.splitlines()) <= 15 for text in EXAMPLES)


# Registries and imports.


def test_pettingzoo_and_gymnasium_know_the_environment() -> None:
    env = gymnasium.make("advgames/poisoning-v0", role="defender", **LINEAR)
    assert env.unwrapped.agent == "defender_0"  # type: ignore[attr-defined]
    assert gymnasium.make("advgames/poisoning-v0", **LINEAR).unwrapped.agent == "attacker_0"  # type: ignore[attr-defined]
    if not hasattr(pettingzoo, "make"):
        pytest.skip("this PettingZoo has no registry (it came with 1.27)")
    aec = pettingzoo.make("aec", "advgames/poisoning-v0", max_cycles=2, **LINEAR)
    assert str(aec) == "poisoning_v0" and aec.unwrapped.max_cycles == 2
    assert "advgames/poisoning-v0" not in pettingzoo.parallel_registry


def test_registering_twice_is_silent(recwarn: pytest.WarningsRecorder) -> None:
    register("advgames/poisoning-v0", "advgames.envs.poisoning_v0", parallel=False, role="attacker")
    assert not recwarn.list


def test_importing_environments_is_light_and_registers_without_a_warning() -> None:
    code = (
        "import sys, advgames.envs; heavy = {'matplotlib', 'sklearn', 'stable_baselines3', 'advgames.agents', "
        "'advgames.training'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True, timeout=120)


# Agents and seats.


def test_agents_names_end_in_a_number() -> None:
    assert Names(("attacker", "defender")).agents == ["attacker_0", "defender_0"]
    assert Names(("seller_0", "buyer_1")).agents == ["seller_0", "buyer_1"]
    assert poisoning_v0.env(**LINEAR).possible_agents == ["attacker_0", "defender_0"]


def test_the_attackers_rewards_sum_to_the_rise_of_the_validation_loss() -> None:
    env = poisoning_v0.env(**DIGITS, iterations=6, epsilon=1.3)
    env.reset(seed=3)
    before = env.unwrapped.measures()["validation_loss"]
    rewards, measures = duel(env, 3, LevelK(1), None)
    assert sum(rewards) == pytest.approx(measures["validation_loss"] - before, abs=1e-5)


def test_a_level_1_attacker_harms_and_a_level_1_defender_repairs() -> None:
    env = poisoning_v0.env(task="digits", epsilon=1.3, iterations=20)
    clean = sum(duel(env, 0, None, None)[0])
    attacked = sum(duel(env, 0, LevelK(1), None)[0])
    defended = sum(duel(env, 0, LevelK(1), LevelK(1))[0])
    assert clean < defended < attacked


def test_the_defender_sees_perturbed_inputs_only() -> None:
    env = poisoning_v0.env(**LINEAR, epsilon=0.1)
    env.reset(seed=0)
    clean = env.observe("attacker_0")["inputs"]
    assert not env.observe("defender_0")["inputs"].any()
    env.step(np.ones_like(clean))
    assert env.observe("defender_0")["inputs"] == pytest.approx(clean + 0.1)
    assert not hasattr(env.unwrapped.access("defender_0"), "inputs")


def test_no_face_shows_the_test_accuracy_in_an_observation() -> None:
    env = poisoning_v0.env(**DIGITS, iterations=2)
    assert set(env.observation_space("attacker_0")) == {"inputs", "labels", "progress", "validation_loss"}
    assert set(env.unwrapped.access("attacker_0").__dict__ if play(env, 0, turns=1) else {}).isdisjoint({"test"})
    assert {"test_accuracy", "test_loss", "validation_loss"} == set(env.unwrapped.measures())


def test_move_plays_what_the_agent_would() -> None:
    env = poisoning_v0.env(**LINEAR)
    env.reset(seed=0)
    raw, agent = env.unwrapped, LevelK(1)
    seen = raw.game.observe(raw.game_state, "attacker")
    expected = agent.act(seen, raw.access("attacker_0"))[0].numpy()
    assert np.array_equal(raw.move(agent), expected)
    assert env.agent_selection == "attacker_0"


def test_an_agent_is_reset_once_an_episode() -> None:
    agent = Half()
    env = toy_v0.env(phases=IN_TURN, actions="ball", iterations=3)
    for episode in (1, 2):
        env.reset(seed=episode)
        for _ in env.agent_iter():
            done = env.terminations[env.agent_selection]
            env.step(None if done else env.unwrapped.move(agent if env.agent_selection == "row_0" else None))
        assert agent.resets == episode


def test_opponents_are_reset_once_an_episode() -> None:
    agent = Half()
    env = toy_v0.gym_env("column", agent, phases=TWICE, actions="ball", max_cycles=2)
    for episode in (1, 2):
        env.reset()
        for _ in range(4):
            *_, truncated, _ = env.step(env.action_space.sample())
        assert truncated and agent.resets == episode


def test_momentum_forgets_between_episodes() -> None:
    """An opponent with memory plays the same match twice the same way."""
    env = poisoning_v0.gym_env("defender", Momentum(LevelK(1)), **DIGITS, iterations=4)

    def episode() -> list[Any]:
        observations = [env.reset(seed=1)[0]]
        for _ in range(4):
            observations.append(env.step(np.zeros(env.action_space.shape, np.float32))[0])
        return observations

    assert_same(episode(), episode())


@pytest.mark.parametrize(
    "opponents", ["level-1", LevelK(1), {"attacker": "level-1"}, {"attacker_0": LevelK(1)}], ids=repr
)
def test_opponents_by_name_object_or_mapping(opponents: Any) -> None:
    env = poisoning_v0.gym_env("defender", opponents, **LINEAR, epsilon=0.1)
    observation, _ = env.reset(seed=0)
    clean = poisoning_v0.env(**LINEAR)
    clean.reset(seed=0)
    assert np.abs(observation["inputs"] - clean.observe("attacker_0")["inputs"]) == pytest.approx(0.1, abs=1e-6)


def test_a_reward_before_the_learners_first_turn_comes_with_its_first_step() -> None:
    """In the toy every phase pays: the follower's first reward includes what the leader's move cost it."""
    env = toy_v0.gym_env("column", Half("coin"), phases=IN_TURN)
    env.reset(seed=0)
    lost = float(env.match._payoffs["column"][0])
    assert lost < 0
    _, reward, *_ = env.step(0)
    after_second_round_began = float(env.match._payoffs["column"][1])
    assert reward == pytest.approx(lost + after_second_round_began)


# Projected actions.


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_gym_env_plays_the_nearest_legal_perturbation(norm: str) -> None:
    settings = {**DIGITS, "iterations": 2, "norm": norm, "epsilon": 0.5}
    env = poisoning_v0.gym_env("attacker", **settings)
    assert type(env.action_space) is spaces.Box and env.action_space.contains(np.ones((4, 1, 8, 8), np.float32))
    env.reset(seed=0)
    env.step(np.ones((4, 1, 8, 8), np.float32))
    played = env.match.state.last.attack  # type: ignore[attr-defined]
    assert torch.allclose(played, torch.full_like(played, 1 / 8 if norm == "l2" else 1.0))


def test_legal_actions_are_not_changed_by_the_projection() -> None:
    env = poisoning_v0.gym_env("attacker", **LINEAR)
    env.reset(seed=0)
    env.step(np.array([[-0.3]], np.float32))
    assert float(env.match.state.last.attack) == pytest.approx(-0.3)  # type: ignore[attr-defined]


def test_without_projection_the_space_is_the_ball() -> None:
    env = poisoning_v0.gym_env("attacker", project_actions=False, **LINEAR)
    assert env.action_space == Ball((1, 1))


# Batches, precision, pictures.


def test_a_batch_of_agents_plays_what_single_agents_play() -> None:
    singles = [duel(poisoning_v0.env(**LINEAR), seed, LevelK(2), RandomDirection())[0] for seed in (0, 1, 2)]
    env = poisoning_v0.vector_env(3, **LINEAR)
    players = {"attacker_0": LevelK(2), "defender_0": RandomDirection()}
    env.reset(seed=0)
    total = torch.zeros(3)
    for _ in range(2 * 5):
        *_, info = (out := env.step({agent: env.move(agent, players[agent]) for agent in env.movers}))
        total += out[1]["attacker_0"]
    assert total.tolist() == pytest.approx([sum(rewards) for rewards in singles], rel=1e-4)
    assert env.game.measures(info["final_state"])["validation_loss"].shape == (3,)


def test_a_vector_env_truncates_all_rows_and_begins_anew() -> None:
    env = poisoning_v0.vector_env(2, **LINEAR, max_cycles=1)
    env.reset(seed=[4, 9])
    assert env.seeds == [4, 9]
    env.step({"attacker": torch.zeros(2, 1, 1)})
    observations, rewards, terminated, truncated, info = env.step({"defender": torch.zeros(2, 1, 1)})
    assert truncated.all() and not terminated.any()
    assert rewards["attacker_0"].shape == (2,)
    assert info["final_state"].round == 1 and env.game_state.round == 0
    assert list(observations) == ["attacker_0"]
    assert len({*env.seeds, 4, 9}) == 4


def test_a_float64_game_is_float64_at_the_edge() -> None:
    env = poisoning_v0.env(**LINEAR, dtype=torch.float64)
    env.reset(seed=0)
    assert env.observe("attacker_0")["inputs"].dtype == env.action_space("attacker_0").dtype == np.float64
    env.step(np.zeros((1, 1), np.float32))


def test_human_mode_draws_every_round_into_a_file_without_a_display(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    env = poisoning_v0.env(render_mode="human", **LINEAR)
    play(env, seed=0, turns=2)
    said = capfd.readouterr().err
    picture = Path(said.split("into ")[1].strip())
    drawn = picture.read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert env.render() is None
    env.step(np.ones((1, 1), np.float32))
    env.step(np.ones((1, 1), np.float32))
    assert picture.read_bytes() != drawn
    assert "into" not in capfd.readouterr().err
    env.close()
    assert not picture.exists()


@pytest.mark.parametrize("settings", [{**DIGITS, "iterations": 3}, LINEAR], ids=["digits", "linear-regression"])
def test_pictures_show_the_match(settings: dict[str, Any]) -> None:
    env = poisoning_v0.env(render_mode="rgb_array", **settings)
    env.reset(seed=0)
    frames = [env.render()]
    for _ in range(4):
        env.step(env.unwrapped.move(LevelK(1)))
        frames.append(env.render())
    assert all(f.shape == frames[0].shape and f.dtype == np.uint8 for f in frames)
    assert all((one != two).any() for one, two in itertools.pairwise(frames))
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_rendering_does_not_change_the_match() -> None:
    plain, drawn = poisoning_v0.env(**LINEAR), poisoning_v0.env(render_mode="rgb_array", **LINEAR)
    for seed in (0, None):
        assert_same(play(drawn, seed, watch=lambda env: env.render()), play(plain, seed))
    assert plain.render() is None


def test_ppo_learns_a_few_steps() -> None:
    ppo = pytest.importorskip("stable_baselines3").PPO
    for role in ("attacker", "defender"):
        env = poisoning_v0.gym_env(role, "level-1", task="linear-regression", iterations=8)
        model = ppo("MultiInputPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0, device="cpu")
        model.learn(64)
        action, _ = model.predict(env.reset(seed=0)[0])
        assert env.action_space.contains(action)
