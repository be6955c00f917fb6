"""The table of environments that the conformance tests go through, and what these tests share.

A new environment joins by one line in ROWS.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy_games import IN_TURN, SECOND_FIRST, TWICE, Toy

from advgames.envs import Faces, perturbation_v0, poisoning_v0

__all__ = [
    "AT_ONCE",
    "ROWS",
    "Row",
    "Turn",
    "after_global_draws",
    "assert_same",
    "assert_same_state",
    "every_role",
    "every_row",
    "in_space",
    "play",
    "rows_at_once",
    "scribble",
    "state_of",
]


@dataclass(frozen=True)
class Row:
    """One environment of the table.

    Args:
        name: of the test.
        module: whatever has ``env``, ``raw_env``, ``parallel_env``, ``gym_env`` and ``vector_env``.
        settings: small enough to be quick.
    """

    name: str
    module: Any
    settings: dict[str, Any] = field(default_factory=dict)

    def env(self, **kwargs: Any) -> Any:
        """The AEC environment."""
        return self.module.env(**self.settings, **kwargs)

    def parallel_env(self, **kwargs: Any) -> Any:
        """The Parallel environment."""
        return self.module.parallel_env(**self.settings, **kwargs)

    def gym_env(self, role: str, opponents: Any = None, **kwargs: Any) -> Any:
        """The Gymnasium environment."""
        return self.module.gym_env(role, opponents, **self.settings, **kwargs)

    def vector_env(self, num_games: int, **kwargs: Any) -> Any:
        """The batched environment."""
        return self.module.vector_env(num_games, **self.settings, **kwargs)


toy_v0 = Faces("toy_v0", Toy)
PLANE = {"task": "polygon", "rounds": 3, "batch_size": 5}
SMALL_DIGITS = {"train_size": 60, "validation_size": 20, "test_size": 20, "batch_size": 4}

ROWS = [
    Row("poisoning-linear-regression", poisoning_v0, {"task": "linear-regression", "iterations": 3}),
    Row("poisoning-digits", poisoning_v0, {"task": "digits", "iterations": 3, **SMALL_DIGITS}),
    Row("poisoning-linf", poisoning_v0, {"task": "digits", "norm": "linf", "epochs": 1, **SMALL_DIGITS}),
    Row("perturbation-at-once", perturbation_v0, PLANE),
    Row("perturbation-linear", perturbation_v0, {**PLANE, "payoff": "flip-linear", "defense": "per-input"}),
    Row("perturbation-attacker-first", perturbation_v0, {**PLANE, "order": "attacker-first", "payoff": "margin"}),
    Row("perturbation-defender-first", perturbation_v0, {**PLANE, "order": "defender-first", "payoff": "loss"}),
    Row(
        "perturbation-digits-linf",
        perturbation_v0,
        {"task": "digits", "norm": "linf", "order": "attacker-first", "rounds": 3, "victim_epochs": 1, **SMALL_DIGITS},
    ),
    Row("toy-at-once", toy_v0),
    Row("toy-at-once-twice", toy_v0, {"phases": TWICE, "actions": "ball"}),
    Row("toy-in-turn", toy_v0, {"phases": IN_TURN}),
    Row("toy-second-first", toy_v0, {"phases": SECOND_FIRST, "actions": "ball"}),
]
AT_ONCE = [row for row in ROWS if row.env().unwrapped.game.simultaneous]
ROLES = [(row, role) for row in ROWS for role in row.env().possible_agents]

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
rows_at_once = pytest.mark.parametrize("row", AT_ONCE, ids=lambda row: row.name)
every_role = pytest.mark.parametrize(("row", "role"), ROLES, ids=lambda part: getattr(part, "name", part))


class Turn(NamedTuple):
    """What an agent saw and what it did."""

    agent: str
    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    action: Any


def play(
    env: Any,
    seed: int | None,
    actions: int = 0,
    *,
    spoil: Callable[[Any], None] | None = None,
    watch: Callable[[Any], None] | None = None,
    turns: int = 10**6,
) -> list[Turn]:
    """One episode with random actions drawn from the seed `actions`.

    `spoil` gets every observation and action after its use, `watch` the environment after every step.
    """
    env.reset(seed=seed)
    for i, agent in enumerate(env.possible_agents):
        env.action_space(agent).seed(actions + i)
    record = []
    for agent in env.agent_iter(turns):
        observation, reward, terminated, truncated, _ = env.last()
        action = None if terminated or truncated else env.action_space(agent).sample()
        record.append(Turn(agent, copied(observation), reward, terminated, truncated, copied(action)))
        if spoil is not None:
            spoil(observation)
        env.step(action)
        if spoil is not None:
            spoil(action)
        if watch is not None:
            watch(env)
    return record


def copied(value: Any) -> Any:
    """Arrays and dicts of arrays, copied."""
    if isinstance(value, dict):
        return {name: copied(part) for name, part in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


def scribble(value: Any) -> None:
    """Overwrite an array, or every array or tensor of a dict."""
    if isinstance(value, dict):
        for part in value.values():
            scribble(part)
    elif isinstance(value, np.ndarray | torch.Tensor):
        value[...] = 1


def assert_same(one: Any, two: Any, tolerance: float = 0.0) -> None:
    """Equal in structure, and in numbers up to a relative tolerance (of the larger of 1 and the number)."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for name in one:
            assert_same(one[name], two[name], tolerance)
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            assert_same(a, b, tolerance)
    elif isinstance(one, np.ndarray | float):
        np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)
    else:
        assert one == two


def state_of(env: Any) -> dict[str, Any]:
    """Everything that a rejected action must leave alone."""
    raw = env.unwrapped
    flat = {n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in raw.match.state.to_dict().items()}
    shell = ("agents", "agent_selection", "rewards", "_cumulative_rewards", "terminations", "truncations", "infos")
    for name in shell:
        if hasattr(raw, name):
            value = getattr(raw, name)
            flat[name] = value.copy() if isinstance(value, dict | list) else value
    return flat


def assert_same_state(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Exactly equal."""
    assert one.keys() == two.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, two[name]), name
        else:
            assert value == two[name], name


def after_global_draws() -> list[Any]:
    """The states of all global random generators, comparable."""
    name, keys, *rest = np.random.get_state()
    return [random.getstate(), name, keys.tolist(), rest, torch.get_rng_state().tolist()]


def in_space(space: spaces.Space[Any], value: Any) -> bool:
    """Whether a value lies in a space and has exactly its dtype."""
    if isinstance(space, spaces.Dict):
        return value.keys() == space.keys() and all(in_space(space[n], value[n]) for n in space)
    if isinstance(space, spaces.Discrete):
        return type(value) is int and space.contains(value)
    return isinstance(value, np.ndarray) and value.dtype == space.dtype and space.contains(value)
