"""Every environment keeps the protocols of PettingZoo, Gymnasium and stable-baselines3, and this house's own rules.

A new environment joins by one line in conformance.ROWS; test_envs_faces.py holds its faces to one another.
"""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium.utils.env_checker
import numpy as np
import pytest
import torch
from conformance import (
    ROWS,
    Row,
    after_global_draws,
    assert_same,
    draw,
    every_role,
    every_row,
    in_space,
    play,
    rows_at_once,
    scribble,
)
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    render_test,
    seed_test,
    state_test,
)
from pettingzoo.test.state_test import test_state as check_state
from pettingzoo.test.state_test import test_state_space as check_state_space
from toy_games import Toy

from advgames.envs import Faces, matrix_v0, negotiation_v0

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # the checkers' advice on Dict observations
]


# What the ecosystem checks.


@every_row
def test_pettingzoo_api(row: Row) -> None:
    api_test(row.env(), num_cycles=20)
    api_test(row.env(max_cycles=2), num_cycles=20)


@every_row
def test_pettingzoo_seeds(row: Row) -> None:
    seed_test(row.env, num_cycles=20)


@every_row
def test_pettingzoo_rendering(row: Row, capfd: pytest.CaptureFixture[str]) -> None:
    """In pictures, or in text."""
    in_text = row.module in (matrix_v0, negotiation_v0)
    assert row.env().metadata["render_modes"] == ["human", "ansi" if in_text else "rgb_array"]
    render_test(row.env)


@every_row
def test_pettingzoo_state(row: Row) -> None:
    check_state_space(row.env())
    check_state(row.env(**row.careless), 20)


@rows_at_once
def test_pettingzoo_parallel(row: Row) -> None:
    parallel_api_test(row.parallel_env(), num_cycles=20)
    parallel_api_test(row.parallel_env(), num_cycles=1)
    parallel_seed_test(row.parallel_env, num_cycles=20)
    state_test(row.env(), row.parallel_env())


def test_pettingzoo_max_cycles() -> None:
    max_cycles_test(Faces("toy_v0", Toy))


@every_role
def test_gymnasium_checker(row: Row, role: str) -> None:
    gymnasium.utils.env_checker.check_env(row.gym_env(role))
    gymnasium.utils.env_checker.check_env(row.gym_env(role, project_actions=False))


@every_role
def test_stable_baselines3_checker(row: Row, role: str) -> None:
    if row.in_text:
        pytest.skip("stable-baselines3 has no actions in text")
    check_env = pytest.importorskip("stable_baselines3.common.env_checker").check_env
    check_env(row.gym_env(role))
    check_env(row.gym_env(role, project_actions=False))


# What this house checks beyond that.


@every_row
def test_facts_of_the_game_hold(row: Row) -> None:
    """Agents move in the order of the phases, for as many rounds as the game declares, and then end."""
    env = row.env()
    moments: list[tuple[int, int, str]] = []

    def watch(env: Any) -> None:
        if not all(env.terminations.values()):
            moments.append((env.unwrapped.game_state.round, env.unwrapped.game_state.phase, env.agent_selection))

    record = play(env, seed=1, watch=watch)
    game, agent = env.unwrapped.game, env.unwrapped.match.names.agent
    in_phase_order = [agent(player) for phase in game.phases for player in phase]
    alive = [turn for turn in record if not turn.terminated]
    assert sorted(in_phase_order) == sorted(agent(p) for phase in game.phases for p in game.players if p in phase)
    if game.lockstep:
        assert [turn.agent for turn in alive] == in_phase_order * game.horizon
    else:
        assert moments == sorted(moments, key=lambda at: at[:2]) and moments[-1][0] < game.horizon
        assert all(who in map(agent, game.phases[phase]) for _, phase, who in moments)
        assert len(moments) > 1
    assert env.unwrapped.game_state.round == game.horizon
    assert [turn.agent for turn in record[len(alive) :]] == env.possible_agents
    assert env.agents == []
    assert not any(turn.truncated for turn in record)
    assert game.hidden and game.name


@every_row
def test_episodes_are_deterministic_to_their_end(row: Row) -> None:
    assert_same(play(row.env(), seed=7), play(row.env(), seed=7))


@every_row
def test_another_seed_is_another_episode(row: Row) -> None:
    if not row.chance:
        pytest.skip("nothing is drawn")
    with pytest.raises(AssertionError):
        assert_same(play(row.env(), seed=7), play(row.env(), seed=8))


@every_row
def test_reseeding_the_same_object_repeats_the_episode(row: Row) -> None:
    env = row.env()
    first = play(env, seed=7)
    play(env, seed=None)
    for turns in range(1, len(first), 1 + len(first) // 12):
        play(env, seed=3, turns=turns)
        assert_same(play(env, seed=7), first)


@every_row
def test_unseeded_episodes_follow_from_the_last_seed(row: Row) -> None:
    one, two = row.env(), row.env()
    play(two, seed=None)
    episodes = [play(one, seed=5), play(one, seed=None), play(one, seed=None)]
    assert_same([play(two, seed=5), play(two, seed=None), play(two, seed=None)], episodes)
    seeds = []
    for given in (5, None, None):
        one.reset(seed=given)
        seeds.append(int(one.unwrapped.game_state.seeds[0]))
    assert seeds[0] == 5 and len(set(seeds)) == 3


@every_row
def test_never_seeded_environments_differ(row: Row) -> None:
    seeds = set()
    for _ in range(2):
        env = row.env()
        env.reset()
        seeds.add(int(env.unwrapped.game_state.seeds[0]))
    assert len(seeds) == 2


@every_row
def test_no_global_random_generator_is_touched(row: Row) -> None:
    before = after_global_draws()
    play(row.env(), seed=0)
    play(row.env(), seed=None)
    env = row.gym_env(row.env().possible_agents[0])
    env.reset(seed=0)
    env.step(env.action_space.sample())
    if not row.in_text:
        row.vector_env(2).reset()
    assert after_global_draws() == before


@every_row
def test_global_random_generators_change_nothing(row: Row) -> None:
    first = play(row.env(), seed=0)
    torch.manual_seed(123)
    np.random.seed(123)
    assert_same(play(row.env(), seed=0), first)


@every_row
def test_observations_lie_in_their_spaces(row: Row) -> None:
    env = row.env()
    for turn in play(env, seed=2):
        assert in_space(env.observation_space(turn.agent), turn.observation)
        assert type(turn.reward) is float and type(turn.terminated) is bool and type(turn.truncated) is bool
        assert turn.action is None or env.action_space(turn.agent).contains(turn.action)


@every_row
def test_scribbling_on_arrays_changes_nothing(row: Row) -> None:
    """Neither observations nor submitted actions share memory with the game."""
    assert_same(play(row.env(), seed=4, spoil=scribble), play(row.env(), seed=4))


@every_row
def test_observing_twice_gives_two_arrays(row: Row) -> None:
    env = row.env()
    env.reset(seed=0)
    for agent in env.agents:
        first = env.observe(agent)
        scribble(first)
        second = env.observe(agent)
        assert not any(np.shares_memory(first[n], second[n]) for n in first if isinstance(first[n], np.ndarray))
    assert not np.shares_memory(env.state(), env.state())


@every_row
def test_rewards_sum_to_zero_where_the_game_says_so(row: Row) -> None:
    paid = []

    def watch(env: Any) -> None:
        assert not env.unwrapped.game.zero_sum or sum(env.rewards.values()) == pytest.approx(0.0, abs=1e-6)
        paid.extend(map(abs, env.rewards.values()))

    play(row.env(), seed=6, watch=watch)
    assert sum(paid) > 0.0


@every_row
def test_last_gives_every_reward_exactly_once(row: Row) -> None:
    given = dict.fromkeys(row.env().possible_agents, 0.0)

    def watch(env: Any) -> None:
        for agent, reward in env.rewards.items():
            given[agent] += reward

    record = play(row.env(), seed=6, watch=watch)
    received = {agent: sum(turn.reward for turn in record if turn.agent == agent) for agent in given}
    assert received == pytest.approx(given)
    assert any(given.values())


@every_row
def test_max_cycles_truncates_after_that_many_rounds(row: Row) -> None:
    env = row.env(max_cycles=2)
    record = play(env, seed=0)
    per_round = sum(map(len, env.unwrapped.game.phases))
    if not row.lockstep:
        assert env.unwrapped.game_state.round >= 2 and record[-1].truncated
        assert env.unwrapped.game_state.turn <= 4
        assert not any(turn.terminated for turn in record)
        return
    assert [turn.truncated for turn in record] == [False] * 2 * per_round + [True] * len(env.possible_agents)
    assert not any(turn.terminated for turn in record)


@every_row
def test_the_horizon_terminates_even_where_max_cycles_would_truncate(row: Row) -> None:
    horizon = row.env().unwrapped.game.horizon
    for max_cycles in (horizon, horizon + 5):
        record = play(row.env(max_cycles=max_cycles), seed=0)
        assert record[-1].terminated and not any(turn.truncated for turn in record)


@every_row
def test_only_the_final_info_carries_measures(row: Row) -> None:
    env = row.env()
    env.reset(seed=0)
    for agent in env.agent_iter():
        observation, _, terminated, truncated, info = env.last()
        assert info == ({"measures": env.unwrapped.measures()} if terminated else {})
        assert all(type(value) is float for value in info.get("measures", {}).values())
        env.step(None if terminated or truncated else draw(env.action_space(agent), observation))


def test_every_environment_is_in_the_table() -> None:
    import advgames.envs

    modules = {name for name in advgames.envs.__all__ if name.rpartition("_v")[2].isdigit()}
    assert {row.module.__name__.rpartition(".")[2] for row in ROWS if hasattr(row.module, "__name__")} == modules


def test_the_checkers_warn_only_of_dict_observations_and_the_unbounded_loss() -> None:
    row = ROWS[1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        api_test(row.env(), num_cycles=5)
        gymnasium.utils.env_checker.check_env(row.gym_env("attacker"), skip_render_check=True)
    said = {str(warning.message) for warning in caught}
    known = (
        "Observation is not a NumPy array",
        "Observation space for each agent probably should be",
        "A Box observation space maximum value is infinity",
    )
    assert [text for text in said if not any(part in text for part in known)] == []
