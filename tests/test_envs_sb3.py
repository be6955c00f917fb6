"""The stable-baselines3 face: rows are matches, finished rows begin anew, and PPO learns players of known value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from conformance import ROWS, Row, draw, rows_in_numbers, toy_v0
from toy_games import IN_TURN, Half

from advgames import errors
from advgames.agents import Mix, Pool
from advgames.envs import matrix_v0, negotiation_v0, perturbation_v0, poisoning_v0

pytest.importorskip("stable_baselines3")

LINEAR = {"task": "linear-regression", "iterations": 3}


@pytest.mark.parametrize("role", [0, 1])
@rows_in_numbers
def test_a_row_is_the_match_of_a_single_environment(row: Row, role: int) -> None:
    """Same seeds, same actions: the observations and rewards of gym_env, over two episodes.

    Where matches end at different times a row waits for the others: it is paid nothing, and done with them.
    """
    agent = row.env().possible_agents[role]
    batch = row.module.sb3_env(agent, num_games=3, **row.settings)
    single = row.gym_env(agent)
    lockstep = single.game.lockstep
    batch.seed(7)
    seen, (alone, info) = batch.reset(), single.reset(seed=8)
    space, others = single.action_space, np.random.default_rng(0)
    space.seed(5)
    for _ in range(2):
        done, ended, earned, paid = np.zeros(3, bool), False, 0.0, 0.0
        while not done.any():
            actions = [draw_row(batch, seen, i, others) for i in range(3)]
            if lockstep or batch.env.active(agent)[1] or (single.match.over and not ended):
                for name, value in alone.items():
                    np.testing.assert_allclose(seen[name][1], value, rtol=1e-5, atol=1e-5)
                if "action_mask" in info:
                    assert np.array_equal(batch.action_masks()[1], info["action_mask"])
                actions[1] = draw(space, {**alone, **info})
                alone, reward, ended, cut, info = single.step(actions[1])
                earned += reward
            seen, rewards, done, infos = batch.step(np.stack(actions))
            paid += float(rewards[1])
            assert not lockstep or rewards[1] == pytest.approx(reward, rel=1e-4, abs=1e-5)
            assert not lockstep or bool(done[1]) == ended
            assert done.all() or not done.any()
        assert ended and not cut and paid == pytest.approx(earned, rel=1e-4, abs=1e-5)
        for name in batch.observation_space.spaces:
            np.testing.assert_allclose(infos[1]["terminal_observation"][name], alone[name], rtol=1e-5, atol=1e-5)
        assert infos[1]["measures"] == pytest.approx(info["measures"], rel=1e-4)
        assert infos[1]["TimeLimit.truncated"] is False
        alone, info = single.reset()


def draw_row(batch: Any, seen: dict[str, Any], i: int, generator: np.random.Generator) -> Any:
    """A random action of one row: a legal one where there is a mask."""
    space = batch.action_space
    if hasattr(batch, "action_masks"):
        return generator.choice(np.flatnonzero(batch.action_masks()[i]))
    if space.dtype == np.float32:
        return generator.uniform(-1, 1, space.shape).astype(np.float32)
    return generator.integers(0, 2, space.shape)


def test_what_is_paid_before_the_learners_first_turn_comes_with_its_first_step() -> None:
    """In the toy every phase pays: the first reward includes what the leader's move cost the learner."""
    agent = Half("coin")
    batch, single = (face("column", agent, phases=IN_TURN) for face in (toy_v0.sb3_env, toy_v0.gym_env))
    batch.seed(3)
    batch.reset()
    for episode in range(2):
        single.reset(seed=3 if episode == 0 else None)
        for _ in range(6):
            alone, (_, rewards, done, _) = single.step(0), batch.step(np.zeros(16, np.int64))
            assert rewards[0] == pytest.approx(alone[1]) and done[0] == alone[2]


@pytest.mark.parametrize("face", ["gym_env", "sb3_env"])
def test_a_match_that_the_others_end_before_the_learners_first_turn_takes_one_step(face: str) -> None:
    """Whoever does nothing ends the talk at once, which under ending="accept" is the end."""
    settings = {"first": "attacker", "ending": "accept", "walk_away_defender": 3.0}
    env: Any = getattr(negotiation_v0, face)("defender", None, **settings)
    for _ in range(3):
        seen = env.reset() if face == "sb3_env" else env.reset()[0]
        assert not np.any(seen["to_do"]) and env.action_masks().sum(-1).max() == 1
        taken = np.zeros(16, np.int64) if face == "sb3_env" else 0
        outcome = env.step(taken)
        assert np.all(outcome[1] == 3.0) and np.all(outcome[2])


def test_the_mask_is_a_method_and_no_observation() -> None:
    """By the names and shapes that sb3-contrib asks for."""
    utils = pytest.importorskip("sb3_contrib.common.maskable.utils")
    env = negotiation_v0.sb3_env("attacker", "fair", 3, first="attacker")
    single = negotiation_v0.gym_env("attacker", "fair", first="attacker")
    plain = perturbation_v0.sb3_env("attacker", None, 2, task="polygon")
    env.seed(4)
    assert "action_mask" not in env.reset()
    seen, told = single.reset(seed=5)
    masks = utils.get_action_masks(env)
    assert masks.shape == (3, env.action_space.n) and masks.dtype == bool  # type: ignore[attr-defined]
    assert "action_mask" not in seen and single.observation_space == env.observation_space
    assert np.array_equal(masks[1], utils.get_action_masks(single)) and np.array_equal(masks[1], told["action_mask"])
    assert not (masks[0] == masks[1]).all()
    assert np.array_equal(env.env_method("action_masks", indices=[2])[0], masks[2])
    assert utils.is_masking_supported(env) and utils.is_masking_supported(single)
    assert not utils.is_masking_supported(plain)
    assert not utils.is_masking_supported(perturbation_v0.gym_env("attacker", None, task="polygon"))


def test_illegal_moves_of_a_policy_without_masks_end_its_own_dialogue_only() -> None:
    env = negotiation_v0.sb3_env("attacker", "fair", 2, first="attacker")
    env.seed(0)
    env.reset()
    _, _, done, infos = env.step(np.array([0, int(np.flatnonzero(env.action_masks()[1])[0])]))
    while not done.any():
        masks = env.action_masks()
        _, _, done, infos = env.step(masks.argmax(1))
    assert [info["measures"]["illegal"] for info in infos] == [1.0, 0.0]


def test_truncated_rows_say_so() -> None:
    env = poisoning_v0.sb3_env("attacker", "level-1", 2, max_cycles=2, **LINEAR)
    env.seed(0)
    env.reset()
    action = np.zeros((2, *env.action_space.shape), dtype=np.float32)
    assert not env.step(action)[2].any()
    _, _, done, infos = env.step(action)
    assert done.all() and all(info["TimeLimit.truncated"] is True for info in infos)


def test_actions_are_projected_and_nan_is_refused() -> None:
    env = perturbation_v0.sb3_env("attacker", None, 2, task="polygon", rounds=2, batch_size=4)
    env.seed(0)
    env.reset()
    far = np.ones((2, 4, 2), dtype=np.float32)
    _, _, _, _ = env.step(far)
    last: Any = env.env.game_state.last  # type: ignore[attr-defined]
    np.testing.assert_allclose(last.attack.norm(dim=-1).numpy(), 1.0, rtol=1e-5)
    with pytest.raises(errors.ActionError, match="NaN"):
        env.step(far * np.nan)


def test_the_table_has_games_of_every_kind() -> None:
    assert {row.module for row in ROWS} >= {negotiation_v0, perturbation_v0, poisoning_v0}


def test_episodes_are_told_as_a_monitor_tells_them() -> None:
    """Return and length of every match that ended; the sums of what was paid, over two episodes."""
    env = perturbation_v0.sb3_env(
        "attacker", "level-1", 3, task="polygon", batch_size=2, rounds=3, order="attacker-first"
    )
    env.seed(1)
    env.reset()
    draws = np.random.default_rng(0)
    for _ in range(2):
        paid = np.zeros(3)
        for n in range(3):
            _, rewards, done, infos = env.step(draws.uniform(-1, 1, (3, 2, 2)).astype(np.float32))
            paid += rewards
            assert done.all() == (n == 2) == all("episode" in info for info in infos)
        for i, info in enumerate(infos):
            assert info["episode"]["r"] == pytest.approx(paid[i]) and info["episode"]["l"] == 3
            assert info["episode"]["t"] >= 0


def test_opponents_of_a_pool_stay_for_a_whole_episode() -> None:
    """PufferLib#620: who is met is drawn anew for every match, and never changes within one; the pool counts."""
    pool = Pool([Mix([1, 0, 0]), Mix([0, 1, 0])], [1, 3])
    env = matrix_v0.sb3_env("row", pool, 200, task="rock-paper-scissors", rounds=4)
    env.seed(0)
    seen, met = env.reset(), []
    for _ in range(3):
        played = []
        for _ in range(4):
            seen, _, done, infos = env.step(np.zeros(200, np.int64))
            last = [info["terminal_observation"]["other_last"] for info in infos] if done.all() else seen["other_last"]
            played.append(np.asarray(last))
        assert all((each == played[0]).all() for each in played)
        met.append(played[0])
    assert (met[0] != met[1]).any() and (met[1] != met[2]).any()
    assert sum(pool.met.values()) == 600  # opponents begin with their first move
    assert pool.met[1] / sum(pool.met.values()) == pytest.approx(0.75, abs=0.07)
    assert [(each == 2).mean() for each in met] == pytest.approx([0.75] * 3, abs=0.13)


def test_what_an_opponent_remembers_of_one_match_is_not_anothers() -> None:
    """Rows against an opponent with a memory go as each match does alone; the memory decides, or this shows nothing."""
    settings: dict[str, Any] = {"task": "linear-regression", "iterations": 4, "dtype": "float64"}

    def paid(seeds: Any, opponent: str) -> list[list[float]]:
        env = poisoning_v0.sb3_env("defender", opponent, len(seeds), **settings)
        env.env.reset()
        env.seed(seeds[0])
        env.reset()
        still = np.zeros((len(seeds), *env.action_space.shape), np.float64)
        return np.stack([env.step(still)[1] for _ in range(4)], 1).tolist()

    rows = paid(range(5, 8), "random+momentum(beta=0.9)")
    assert rows == [paid([seed], "random+momentum(beta=0.9)")[0] for seed in range(5, 8)]
    assert rows != paid(range(5, 8), "random")


def test_a_cut_episode_is_not_an_ended_one() -> None:
    """SuperSuit#232: where `max_cycles` cuts, the learner reckons with what would have come; at the end it does not."""
    sb3 = pytest.importorskip("stable_baselines3")
    for cut in (True, False):
        env = matrix_v0.sb3_env("row", "mix", 4, rounds=4 if cut else 2, max_cycles=2)
        model = sb3.PPO("MultiInputPolicy", env, n_steps=4, batch_size=8, gamma=0.5, seed=0)
        model.policy.predict_values = lambda seen: torch.full((1, 1), 1000.0)
        model.learn(16)
        paid = model.rollout_buffer.rewards.reshape(-1)
        assert (paid > 400).mean() == (0.5 if cut else 0.0)
