"""The stable-baselines3 face: rows are matches, finished rows begin anew, and PPO learns players of known value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conformance import ROWS, Row, every_row

from advgames import errors
from advgames.envs import perturbation_v0, poisoning_v0

pytest.importorskip("stable_baselines3")

LINEAR = {"task": "linear-regression", "iterations": 3}


@pytest.mark.parametrize("role", [0, 1])
@every_row
def test_a_row_is_the_match_of_a_single_environment(row: Row, role: int) -> None:
    """Same seeds, same actions: the observations and rewards of gym_env, over two episodes."""
    agent = row.env().possible_agents[role]
    batch = row.module.sb3_env(agent, num_games=3, **row.settings)
    single = row.gym_env(agent)
    batch.seed(7)
    seen = batch.reset()
    alone, _ = single.reset(seed=8)
    generator = np.random.default_rng(0)
    for _ in range(2 * single.game.horizon * len(single.game.phases)):
        for name, value in alone.items():
            np.testing.assert_allclose(seen[name][1], value, rtol=1e-5, atol=1e-5)
        action = generator.uniform(-1, 1, (3, *batch.action_space.shape)).astype(np.float32)
        if batch.action_space.dtype != np.float32:
            action = generator.integers(0, 2, (3, *batch.action_space.shape))
        seen, rewards, done, infos = batch.step(action)
        alone, reward, terminated, truncated, info = single.step(action[1])
        assert rewards[1] == pytest.approx(reward, rel=1e-4, abs=1e-5)
        assert bool(done[1]) == (terminated or truncated)
        if done[1]:
            for name, value in alone.items():
                np.testing.assert_allclose(infos[1]["terminal_observation"][name], value, rtol=1e-5, atol=1e-5)
            assert infos[1]["measures"] == pytest.approx(info["measures"], rel=1e-4)
            assert infos[1]["TimeLimit.truncated"] is False
            alone, _ = single.reset()


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
    assert {row.module for row in ROWS} >= {perturbation_v0, poisoning_v0}
