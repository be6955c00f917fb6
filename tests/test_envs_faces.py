"""All faces of a game show the same match: AEC, Parallel, one seat of it, one row of a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conformance import (
    AT_ONCE,
    ROWS,
    Row,
    Turn,
    assert_same,
    draw,
    every_role,
    every_row,
    play,
    row_of,
    rows_at_once,
    rows_in_numbers,
    scribble,
)

from advgames.errors import PhaseError, UnsupportedFormError


@rows_at_once
def test_aec_and_parallel_agree(row: Row) -> None:
    record = play(row.env(), seed=3)
    parallel = row.parallel_env()
    observations, _ = parallel.reset(seed=3)
    turns = iter(record)
    while parallel.agents:
        group = [next(turns) for _ in parallel.agents]
        assert_same({turn.agent: turn.observation for turn in group}, {t.agent: observations[t.agent] for t in group})
        observations, rewards, terminations, truncations, infos = parallel.step({t.agent: t.action for t in group})
        assert all(type(value) is float for value in rewards.values())
        assert all(bool(infos[agent]) == terminations[agent] for agent in parallel.possible_agents)
        received = {turn.agent: turn for turn in _next_of_each(record, group)}
        for agent, turn in received.items():
            assert (turn.terminated, turn.truncated) == (terminations[agent], truncations[agent])
            assert turn.reward == pytest.approx(rewards[agent])
    assert infos[parallel.possible_agents[0]]["measures"]
    with pytest.raises(PhaseError):
        parallel.step({})


def _next_of_each(record: list[Turn], group: list[Turn]) -> list[Turn]:
    """The turns that come after a group: when its agents hear what came of it."""
    place = next(i for i, turn in enumerate(record) if turn is group[-1])
    return record[place + 1 : place + 1 + len(group)]


@every_row
def test_games_in_turn_have_no_parallel_form(row: Row) -> None:
    if row in AT_ONCE:
        assert row.parallel_env().possible_agents == row.env().possible_agents
        return
    with pytest.raises(UnsupportedFormError, match=r"has no parallel form.*use \w+_v0\.env\(\)"):
        row.parallel_env()


@rows_in_numbers
def test_row_i_of_a_vector_env_is_the_single_env_of_its_seed(row: Row) -> None:
    """For two episodes: the second, begun by the auto-reset, has derived seeds in both faces.

    Where matches end at different times a row that is not to move passes, and has its end told from then on.
    """
    singles = [row.env() for _ in range(3)]
    vector = row.vector_env(3)
    played = [[*play(env, 40 + i, 9 * i), *play(env, None, 9 * i + 1)] for i, env in enumerate(singles)]
    left = [[turn for turn in turns if turn.action is not None] for turns in played]
    per_episode = [_episodes(turns) for turns in played]
    observations = vector.reset(seed=40)
    episodes, earned = 0, {agent: torch.zeros(3) for agent in vector.possible_agents}
    while episodes < 2:
        assert list(observations) == vector.movers
        actions = {agent: _moves(vector, agent, observations[agent], left) for agent in vector.movers}
        observations, rewards, terminated, truncated, info = vector.step(actions)
        for agent, reward in rewards.items():
            earned[agent] += reward
        to_come = [per_episode[i][1] if episodes == 0 else 0 for i in range(3)]
        assert terminated.tolist() == [len(turns) == later for turns, later in zip(left, to_come, strict=True)]
        if info:
            assert terminated.all() and not truncated.any()
            assert vector.game.over(info["final_state"])
            for i, turns in enumerate(played):
                final = [turn for turn in turns if turn.action is None][2 * episodes : 2 * episodes + 2]
                for turn in final:
                    assert_same(turn.observation, row_of(info["final_observations"][turn.agent], i), 1e-4)
            episodes += 1
    for i, turns in enumerate(played):
        for agent in vector.possible_agents:
            total = sum(turn.reward for turn in turns if turn.agent == agent)
            assert float(earned[agent][i]) == pytest.approx(total, rel=1e-4, abs=1e-5)


def _episodes(turns: list[Turn]) -> tuple[int, int]:
    """How many moves each of two episodes has."""
    end = next(i for i, turn in enumerate(turns) if turn.action is None)
    return end, sum(turn.action is not None for turn in turns[end:])


def _moves(vector: Any, agent: str, observation: dict[str, torch.Tensor], left: list[list[Turn]]) -> torch.Tensor:
    """What an agent did in each row, taken from the turns that are left there; a row that waits passes."""
    moves = vector.game.null_action(vector.game_state, vector.game.players[vector.possible_agents.index(agent)])
    for i, active in enumerate(vector.active(agent).tolist()):
        if active:
            turn = left[i].pop(0)
            assert turn.agent == agent
            assert_same(turn.observation, row_of(observation, i), 1e-4)
            moves[i] = torch.as_tensor(turn.action)
    return moves


def test_texts_have_no_batched_form() -> None:
    (row,) = [row for row in ROWS if row.in_text]
    for face in (lambda: row.vector_env(2), lambda: row.module.sb3_env("attacker", None, 2, **row.settings)):
        with pytest.raises(UnsupportedFormError, match=r"no batched form where actions are texts: use \w+_v0\.env\(\)"):
            face()


@rows_in_numbers
def test_scribbling_on_tensors_of_a_vector_env_changes_nothing(row: Row) -> None:
    def run(spoil: bool) -> list[Any]:
        env = row.vector_env(2)
        observations, found = env.reset(seed=1), []
        for agent in env.possible_agents:
            env.action_spaces[agent].seed(1)
        for _ in range(6):
            found.append({a: {n: t.numpy().copy() for n, t in o.items()} for a, o in observations.items()})
            actions = {}
            for agent in env.movers:
                actions[agent] = env.move(agent, None)
                for i in env.active(agent).nonzero()[:, 0].tolist():
                    actions[agent][i] = torch.as_tensor(draw(env.action_spaces[agent], row_of(observations[agent], i)))
            if spoil:
                scribble(observations)
            observations, rewards, *_ = env.step(actions)
            found.append({agent: reward.numpy().copy() for agent, reward in rewards.items()})
            if spoil:
                scribble(actions)
            state = env.game_state.to_dict()
            found.append({n: t.numpy().copy() for n, t in state.items() if isinstance(t, torch.Tensor)})
        return found

    assert_same(run(spoil=True), run(spoil=False))


@every_role
def test_gym_env_is_the_aec_env_seen_from_one_seat(row: Row, role: str) -> None:
    aec, learner = row.env(), row.gym_env(role, project_actions=False)
    others = learner.opponents
    own = learner.action_space
    own.seed(11)
    observation, info = learner.reset(seed=2)
    aec.reset(seed=2)
    masked = {"action_mask"} & set(aec.observation_space(role).spaces)
    assert set(info) == masked
    earned = 0.0
    if learner.match.over:  # the others ended it before the learner's first turn: the first step tells
        observation, earned, ended, cut, info = learner.step(own.sample())
    for agent in aec.agent_iter():
        seen, reward, terminated, truncated, _ = aec.last()
        if agent == role:
            assert_same(seen, {**observation, **{name: info[name] for name in masked}})
            assert reward == pytest.approx(earned)
        if terminated or truncated:
            action = None
        elif agent == role:
            action = draw(own, {**observation, **info})
            observation, earned, ended, cut, info = learner.step(action)
            assert ("measures" in info) == ended and masked <= set(info)
        else:
            action = aec.unwrapped.move(others[agent])
        aec.step(action)
    assert ended and not cut and info["measures"] == pytest.approx(aec.unwrapped.measures())
    with pytest.raises(PhaseError):
        learner.step(own.sample())
