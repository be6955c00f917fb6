"""A rejected action raises its named error at every face's edge, and changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from conformance import assert_same, assert_same_state, play, state_of
from toy_games import IN_TURN, Half, Toy

from advgames.envs import Faces, poisoning_v0
from advgames.errors import (
    ActionDeviceError,
    ActionDtypeError,
    ActionError,
    ActionShapeError,
    NonFiniteActionError,
    PhaseError,
    RadiusExceededError,
    SettingError,
    UnknownNameError,
    UnsupportedFormError,
)

LINEAR = {"task": "linear-regression", "iterations": 4, "batch_size": 3}
toy_v0 = Faces("toy_v0", Toy)

BAD_ACTIONS = {
    "none": (None, ActionDtypeError),
    "list": ([[0.0]] * 3, ActionDtypeError),
    "tensor": (torch.zeros(3, 1), ActionDtypeError),
    "float64": (np.zeros((3, 1)), ActionDtypeError),
    "shape": (np.zeros((3,), np.float32), ActionShapeError),
    "match dimension": (np.zeros((1, 3, 1), np.float32), ActionShapeError),
    "nan": (np.array([[0.0], [np.nan], [0.0]], np.float32), NonFiniteActionError),
    "infinite": (np.array([[0.0], [np.inf], [0.0]], np.float32), NonFiniteActionError),
    "too long": (np.array([[0.0], [1.01], [0.0]], np.float32), RadiusExceededError),
}
every_bad_action = pytest.mark.parametrize(("action", "error"), BAD_ACTIONS.values(), ids=BAD_ACTIONS)


@every_bad_action
@pytest.mark.parametrize("turns", [0, 1, 2, 5])
def test_aec_rejects_and_stays_as_it_was(action: Any, error: type[ActionError], turns: int) -> None:
    env = poisoning_v0.env(**LINEAR)
    play(env, seed=0, turns=turns)
    before, picture = state_of(env), env.observe(env.agent_selection)
    with pytest.raises(error, match=env.agent_selection):
        env.step(action)
    assert_same_state(before, state_of(env))
    assert_same(env.observe(env.agent_selection), picture)


def test_an_episode_goes_on_as_if_the_rejected_action_had_not_been() -> None:
    plain, tried = poisoning_v0.env(**LINEAR), poisoning_v0.env(**LINEAR)

    def try_something(env: Any) -> None:
        if env.agents and not env.terminations[env.agent_selection]:
            with pytest.raises(RadiusExceededError):
                env.step(np.full((3, 1), 2.0, np.float32))

    assert_same(play(tried, seed=1, watch=try_something), play(plain, seed=1))


@every_bad_action
@pytest.mark.parametrize("role", ["attacker", "defender"])
def test_gym_env_rejects_and_stays_as_it_was(action: Any, error: type[ActionError], role: str) -> None:
    env = poisoning_v0.gym_env(role, "random", project_actions=False, **LINEAR)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    before = state_of(env)
    with pytest.raises(error, match=f"{role}_0"):
        env.step(action)
    assert_same_state(before, state_of(env))


def test_parallel_rejects_and_stays_as_it_was() -> None:
    env = toy_v0.parallel_env(actions="ball")
    env.reset(seed=0)
    good = np.zeros((2, 3), np.float32)
    before = state_of(env)
    for bad, error in (
        ({"row_0": good, "column_0": good + 1}, RadiusExceededError),
        ({"row_0": good}, PhaseError),
        ({}, PhaseError),
        ({"row_0": good, "column_0": good, "third_0": good}, UnknownNameError),
        ({"row_0": good, "row": good}, SettingError),
    ):
        with pytest.raises(error):
            env.step(bad)
        assert_same_state(before, state_of(env))
    env.step({"row_0": good, "column_0": good})


def test_in_a_simultaneous_phase_the_one_who_errs_is_told_at_once() -> None:
    """Not when the last agent of the phase moves."""
    env = toy_v0.env(actions="ball")
    env.reset(seed=0)
    with pytest.raises(RadiusExceededError, match="row_0"):
        env.step(np.ones((2, 3), np.float32))
    assert env.agent_selection == "row_0"
    env.step(np.zeros((2, 3), np.float32))
    assert env.agent_selection == "column_0"


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (np.zeros((2, 3, 1), np.float32), ActionDtypeError),
        (torch.zeros(2, 3, 1, dtype=torch.float64), ActionDtypeError),
        (torch.zeros(3, 1), ActionShapeError),
        (torch.zeros(2, 3, 1, device="meta"), ActionDeviceError),
        (torch.full((2, 3, 1), torch.nan), NonFiniteActionError),
        (torch.full((2, 3, 1), 1.1), RadiusExceededError),
    ],
)
def test_vector_env_rejects_and_stays_as_it_was(action: Any, error: type[ActionError]) -> None:
    env = poisoning_v0.vector_env(2, **LINEAR)
    env.reset(seed=0)
    before = env.game_state
    with pytest.raises(error, match="attacker"):
        env.step({"attacker_0": action})
    with pytest.raises(PhaseError, match="belongs to attacker"):
        env.step({"defender_0": torch.zeros(2, 3, 1)})
    assert env.game_state is before


def test_a_dead_agent_may_only_step_none() -> None:
    env = toy_v0.env(iterations=1)
    play(env, seed=0, turns=2)
    with pytest.raises(ValueError, match="only valid action is None"):
        env.step(0)
    env.step(None)
    assert env.agents == ["column_0"]


def test_using_an_environment_before_its_reset_is_a_phase_error() -> None:
    for env in (toy_v0.raw_env(), toy_v0.parallel_env(), toy_v0.gym_env("row")):
        with pytest.raises(PhaseError, match="reset"):
            env.step(0)
    with pytest.raises(PhaseError, match="reset"):
        toy_v0.vector_env(2).step({})


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "0"])
def test_a_bad_seed_is_refused_and_the_episode_goes_on(seed: Any) -> None:
    env = toy_v0.env()
    env.reset(seed=3)
    env.reset()
    before = state_of(env)
    with pytest.raises(SettingError, match="seed"):
        env.reset(seed=seed)
    assert_same_state(before, state_of(env))
    env.reset()
    third = state_of(env)
    for given in (3, None, None):
        env.reset(seed=given)
    assert_same_state(third, state_of(env))


def test_names_and_settings_are_checked() -> None:
    with pytest.raises(UnknownNameError, match=r"epsilom.*'epsilon'"):
        poisoning_v0.env(epsilom=1.0)
    with pytest.raises(UnknownNameError, match=r"'digit'.*'digits'"):
        poisoning_v0.env(task="digit")
    with pytest.raises(SettingError, match="epsilon"):
        poisoning_v0.env(epsilon=-1.0)
    with pytest.raises(UnknownNameError, match=r"'atacker'.*'attacker_0'"):
        poisoning_v0.gym_env("atacker", **LINEAR)
    with pytest.raises(UnknownNameError, match=r"'levle-1'.*level-1"):
        poisoning_v0.gym_env("attacker", "levle-1", **LINEAR)
    with pytest.raises(SettingError, match="opponents must name an agent for defender"):
        poisoning_v0.gym_env("attacker", {}, **LINEAR)
    with pytest.raises(SettingError, match="leaves to its user"):
        poisoning_v0.gym_env("attacker", {"defender": "null", "attacker_0": "null"}, **LINEAR)
    with pytest.raises(SettingError, match=r"got 1$"):
        poisoning_v0.gym_env("attacker", 1, **LINEAR)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="render mode 'ansi'"):
        poisoning_v0.env(render_mode="ansi", **LINEAR)
    for rounds in (0, -1, 1.5, True):
        with pytest.raises(SettingError, match="max_cycles"):
            poisoning_v0.env(max_cycles=rounds, **LINEAR)  # type: ignore[arg-type]
        with pytest.raises(SettingError, match="max_cycles"):
            poisoning_v0.vector_env(2, max_cycles=rounds, **LINEAR)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="num_games"):
        poisoning_v0.vector_env(0, **LINEAR)
    with pytest.raises(SettingError, match="one seed per match"):
        poisoning_v0.vector_env(2, **LINEAR).reset(seed=[1, 2, 3])
    env = poisoning_v0.env(**LINEAR)
    env.reset()
    with pytest.raises(UnknownNameError, match=r"'defender_1'.*'defender_0'"):
        env.unwrapped.access("defender_1")
    with pytest.raises(UnknownNameError, match=r"'defender_1'.*'defender_0'"):
        env.observe("defender_1")


def test_the_missing_parallel_form_is_one_clear_sentence() -> None:
    with pytest.raises(UnsupportedFormError) as caught:
        poisoning_v0.parallel_env(**LINEAR)
    assert str(caught.value) == (
        "poisoning_v0 has no parallel form because its players move in turn (attacker, then defender): "
        "use poisoning_v0.env(), or poisoning_v0.gym_env(role, opponents) for one learner"
    )


def test_an_error_of_an_opponent_surfaces() -> None:
    env = toy_v0.gym_env("row", Half("coin"), phases=IN_TURN, actions="ball")
    env.reset(seed=0)
    with pytest.raises(ActionDtypeError, match="column"):
        env.step(np.zeros((2, 3), np.float32))
