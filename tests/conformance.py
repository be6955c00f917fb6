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

from advgames.dialogue.acts import ASK, END, INFORM, PASS, PROPOSE
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.splits import NO_DEAL
from advgames.envs import Faces, matrix_v0, negotiation_v0, perturbation_v0, poisoning_v0

__all__ = [
    "AT_ONCE",
    "ROWS",
    "Row",
    "Turn",
    "after_global_draws",
    "assert_same",
    "assert_same_state",
    "draw",
    "every_role",
    "every_row",
    "in_space",
    "play",
    "row_of",
    "rows_at_once",
    "rows_in_numbers",
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
        careless: settings under which any element of the action space may be played at any time.
        chance: whether matches differ by their seeds.
    """

    name: str
    module: Any
    settings: dict[str, Any] = field(default_factory=dict)
    careless: dict[str, Any] = field(default_factory=dict)
    chance: bool = True

    @property
    def lockstep(self) -> bool:
        """Whether all matches go through all phases of all rounds."""
        return bool(self.env().unwrapped.game.lockstep)

    @property
    def in_text(self) -> bool:
        """Whether actions are texts."""
        env = self.env()
        return isinstance(env.action_space(env.possible_agents[0]), spaces.Text)

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

#: so that no dialogue pays nothing
WALKED = {"walk_away_attacker": 2.0, "walk_away_defender": 1.0, "max_turns": 5}
OUTCOME = {"illegal": "outcome"}

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
    Row("negotiation-acts", negotiation_v0, WALKED, OUTCOME),
    Row("negotiation-accept", negotiation_v0, {**WALKED, "ending": "accept", "discount": 0.9}, OUTCOME),
    Row("negotiation-adversarial", negotiation_v0, {**WALKED, "adversarial": True, "first": "attacker"}, OUTCOME),
    Row("negotiation-words", negotiation_v0, {**WALKED, "actions": "tokens", "grammar": True}, OUTCOME),
    Row(
        "negotiation-utterances",
        negotiation_v0,
        {**WALKED, **OUTCOME, "actions": "tokens", "unit": "utterance", "grammar": True},
    ),
    Row("negotiation-text", negotiation_v0, {**WALKED, "actions": "text"}),
    Row("matrix-pennies", matrix_v0, {"task": "biased-pennies", "rounds": 3}, chance=False),
    Row("matrix-row-first", matrix_v0, {"task": "random:3x5", "order": "row-first", "rounds": 3}, chance=False),
    Row("matrix-dilemma", matrix_v0, {"task": "prisoners-dilemma", "order": "column-first", "rounds": 4}, chance=False),
    Row("toy-at-once", toy_v0),
    Row("toy-at-once-twice", toy_v0, {"phases": TWICE, "actions": "ball"}),
    Row("toy-in-turn", toy_v0, {"phases": IN_TURN}),
    Row("toy-second-first", toy_v0, {"phases": SECOND_FIRST, "actions": "ball"}),
]
AT_ONCE = [row for row in ROWS if row.env().unwrapped.game.simultaneous]
ROLES = [(row, role) for row in ROWS for role in row.env().possible_agents]

IN_NUMBERS = [row for row in ROWS if not row.in_text]

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
rows_at_once = pytest.mark.parametrize("row", AT_ONCE, ids=lambda row: row.name)
rows_in_numbers = pytest.mark.parametrize("row", IN_NUMBERS, ids=lambda row: row.name)
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
    """One episode with random legal actions drawn from the seed `actions`.

    `spoil` gets every observation and action after its use, `watch` the environment after every step.
    """
    env.reset(seed=seed)
    for i, agent in enumerate(env.possible_agents):
        env.action_space(agent).seed(actions + i)
    record = []
    for agent in env.agent_iter(turns):
        observation, reward, terminated, truncated, _ = env.last()
        action = None if terminated or truncated else draw(env.action_space(agent), observation)
        record.append(Turn(agent, copied(observation), reward, terminated, truncated, copied(action)))
        if spoil is not None:
            spoil(observation)
        env.step(action)
        if spoil is not None:
            spoil(action)
        if watch is not None:
            watch(env)
    return record


#: texts that are legal in every match, while there is talk and after it
SAYINGS = ("i want 1 hat", "I want 1 book, please!", "you can have everything", "What do you want?", "a hat is worth 3")
CHOICES = ("nothing", "everything", "no deal", "1 hat")


def draw(space: spaces.Space[Any], observation: dict[str, Any]) -> Any:
    """A random element of a space that is legal now: by its mask where there is one, of words some that can be said."""
    if isinstance(space, spaces.Text):
        texts = CHOICES if "what do you take?" in observation["text"] else SAYINGS
        return texts[int(space.np_random.integers(len(texts)))]
    if isinstance(space, spaces.MultiDiscrete) and "to_do" in observation:
        return _utterance(space, talking=observation["to_do"] == 1)
    return space.sample(observation["action_mask"]) if "action_mask" in observation else space.sample()


def _utterance(space: spaces.MultiDiscrete, talking: bool) -> Any:
    """A choice of nothing or no deal, or words: a question, a claim, an offer of everything, or the end of the talk."""
    grammar = Grammar()
    act = torch.tensor([(ASK, INFORM + 3, PROPOSE, END)[int(space.np_random.integers(4))] if talking else PASS])
    choice = NO_DEAL if talking else (0, NO_DEAL)[int(space.np_random.integers(2))]
    return np.concatenate([[choice], grammar.render(act)[0].numpy()])


def row_of(observation: dict[str, torch.Tensor], i: int) -> dict[str, Any]:
    """One match of a batch's observation, as a face of a single match shows it."""
    arrays = {name: tensor[i].numpy() for name, tensor in observation.items()}
    return {name: int(a) if a.shape == () else a for name, a in arrays.items()}


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
    if isinstance(space, spaces.Text):
        return type(value) is str and space.contains(value)
    if isinstance(space, spaces.Discrete):
        return type(value) is int and space.contains(value)
    return isinstance(value, np.ndarray) and value.dtype == space.dtype and space.contains(value)
