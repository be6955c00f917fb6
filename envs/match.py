"""One match of a game at numpy's edge; the faces of the ecosystem are thin shells around it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from advgames.access import Access
from advgames.envs.naming import Names
from advgames.envs.players import Hands, Player
from advgames.envs.screen import Paper, Screen
from advgames.envs.seeding import EpisodeSeeds
from advgames.envs.spaces import Array, as_array, check_action, to_gymnasium
from advgames.errors import ActionDtypeError, PhaseError, SettingError, UnknownNameError
from advgames.games import Game, State

__all__ = ["Match"]


class Match:
    """A single match (G = 1) with agents' names, numpy observations, checked actions and Python payoffs.

    Args:
        game: the rules.
        max_cycles: truncate after this many rounds; None: only the game's own horizon ends a match.
        render_mode: None, ``"human"`` (every round is drawn as it ends, or every line printed), and ``"rgb_array"`` or
            ``"ansi"``: what the game has.

    Attributes:
        names: agents and players.
        action_spaces, observation_spaces: of each agent.
        terminated, truncated: whether and how the match has ended.
    """

    def __init__(self, game: Game[Any], max_cycles: int | None = None, render_mode: str | None = None) -> None:
        self.game = game
        self.max_cycles = max_cycles
        self.names = Names(game.players)
        self.render_modes = _render_modes(type(game.rules))
        if render_mode is not None and render_mode not in self.render_modes:
            raise UnknownNameError("render mode", render_mode, self.render_modes, game.name)
        self.render_mode = render_mode
        self.action_spaces = {self.names.agent(p): to_gymnasium(game.action_space(p), game.dtype) for p in game.players}
        self.observation_spaces = {
            self.names.agent(p): to_gymnasium(game.observation_space(p), game.dtype) for p in game.players
        }
        self.terminated = self.truncated = False
        self._state: State | None = None
        self._seeds = EpisodeSeeds()
        self._hands = Hands(game)
        self._payoffs: dict[str, list[float]] = {}
        self._screen, self._paper = Screen(game.name), Paper()

    @property
    def max_cycles(self) -> int | None:
        """Rounds after which the match is truncated, or None."""
        return self._max_cycles

    @max_cycles.setter
    def max_cycles(self, rounds: int | None) -> None:
        if rounds is not None and (isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1):
            raise SettingError(f"max_cycles must be a positive integer or None, got {rounds!r}")
        self._max_cycles = rounds

    @property
    def state(self) -> State:
        """The game's state."""
        if self._state is None:
            raise PhaseError(f"{self.game.name}: reset the environment first")
        return self._state

    @property
    def over(self) -> bool:
        """Whether the match has ended."""
        return self.terminated or self.truncated

    @property
    def movers(self) -> list[str]:
        """Agents who move now, at once."""
        return [self.names.agent(player) for player in self.game.movers(self.state)]

    def reset(self, seed: int | None = None) -> None:
        """A fresh match: of this seed, or of the next one derived from the last seed given."""
        self._state = self.game.reset(self._seeds.next(seed))
        self.terminated = self.truncated = False
        self._hands.clear()
        self._payoffs = {player: [] for player in self.game.players}
        self._paper.begin()
        if self.render_mode == "human" and self._in_text:
            self.render()

    def observe(self, agent: str) -> dict[str, Any]:
        """What an agent sees, arrays of its own; ``text`` where its moves are texts."""
        player = self.names.player(agent)
        space = self.observation_spaces[self.names.agent(player)]
        assert isinstance(space, spaces.Dict)
        seen = self.game.observe(self.state, player)
        found = {name: as_array(space[name], tensor[0]) for name, tensor in seen.items()}
        return {**found, "text": self.game.prompt(self.state, player)} if "text" in space.spaces else found

    def legal(self, agent: str, action: Any, space: spaces.Space[Any] | None = None) -> Tensor:
        """An action as a tensor of its own, (1, ...); a named error if it does not lie in the agent's space.

        Where actions are texts, any string is one.

        Raises:
            ActionError: what is wrong with the action; nothing has changed.
        """
        space = space or self.action_spaces[agent]
        if isinstance(space, spaces.Text):
            if not isinstance(action, str):
                raise ActionDtypeError(f"{agent}: expected a string, got {type(action).__name__}")
            return self.game.read_action(self.state, self.names.player(agent), action).unsqueeze(0)
        array = check_action(space, action, agent)
        dtype = self.game.dtype if array.dtype.kind == "f" else torch.int64
        return torch.tensor(array, dtype=dtype, device=self.game.device).unsqueeze(0)

    def check(self, agent: str, action: Tensor) -> None:
        """Refuse what the rules do not allow now, before the others of the phase have moved.

        Raises:
            ActionError: what is wrong with the action; nothing has changed.
        """
        self.game.check(self.state, self.names.player(agent), action)

    def step(self, actions: Mapping[str, Tensor]) -> dict[str, float]:
        """Play one phase with actions (1, ...) of all agents who move; the payoffs of all agents.

        Raises:
            PhaseError: the match has ended, or these are not the agents who move.
            ActionError: a rejected action; nothing has changed.
        """
        if self.over:
            raise PhaseError(f"{self.game.name}: the match has ended; reset the environment")
        before = self.state
        self._state, given, _ = self.game.step(before, self.names.by_player(actions))
        payoffs = {p: float(given[p]) if p in given else 0.0 for p in self.game.players}
        for player, history in self._payoffs.items():
            history += [0.0] * (before.round + 1 - len(history))  # a round need not begin in phase 0
            history[-1] += payoffs[player]
        self.terminated = self.game.over(self._state)
        if not self.terminated and self.max_cycles is not None:
            self.truncated = self._state.round >= self.max_cycles
        if self.render_mode == "human" and (self._in_text or self._state.round > before.round):
            self.render()
        return self.names.by_agent(payoffs)

    def access(self, agent: str) -> Access:
        """What the threat model grants an agent now."""
        return self.game.access(self.state, self.names.player(agent))

    def move(self, agent: str, player: Player | None) -> Tensor:
        """What an advgames agent plays in the seat of `agent`, (1, ...); None plays the null action."""
        return self._hands.move(self.state, self.names.player(agent), player)

    def played(self, agent: str, player: Player | None) -> Any:
        """:meth:`move` as an element of the agent's action space: of a mix one draw, by the match's own randomness."""
        action, space = self.move(agent, player)[0], self.action_spaces[agent]
        if isinstance(space, spaces.Text):
            return self.game.write_action(self.state, self.names.player(agent), action)
        if space.shape is not None and action.ndim > len(space.shape) and (access := self.access(agent)).may_mix:
            action = action[int(access.pick(len(action))[0])]
        return as_array(space, action)

    def measures(self) -> dict[str, float]:
        """What a report wants to know, such as the test accuracy; costs an evaluation, and no player sees it.

        What has no number in this match (such as the efficiency of an agreement where there was none) is left out.
        """
        measured = {name: float(values[0]) for name, values in self.game.measures(self.state).items()}
        return {name: value for name, value in measured.items() if not math.isnan(value)}

    def final_info(self) -> dict[str, Any]:
        """The measures once the match has ended, for the info of every agent; before, nothing."""
        return {"measures": self.measures()} if self.over else {}

    @cached_property
    def _parts(self) -> dict[str, dict[str, spaces.Space[Any]]]:
        """Of each agent's observation what is numbers: a text says in words what they say."""
        return {
            agent: {n: s for n, s in cast(spaces.Dict, space).items() if not isinstance(s, spaces.Text)}
            for agent, space in self.observation_spaces.items()
        }

    @cached_property
    def state_space(self) -> spaces.Box:
        """The observations of all agents, flattened into one vector."""
        flat = [spaces.flatten_space(space) for parts in self._parts.values() for space in parts.values()]
        low, high = (np.concatenate([getattr(box, side) for box in flat]) for side in ("low", "high"))
        return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)

    def state_vector(self) -> Array:
        """What all agents see now as one vector in :attr:`state_space`, for centralised training."""
        seen = {agent: self.observe(agent) for agent in self._parts}
        parts = [spaces.flatten(s, seen[agent][n]) for agent, found in self._parts.items() for n, s in found.items()]
        return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])

    @property
    def _in_text(self) -> bool:
        return "rgb_array" not in self.render_modes

    def render(self) -> Array | str | None:
        """The match as an RGB array, (H, W, 3) uint8, or as a text; in the human mode it is shown instead."""
        if self.render_mode is None:
            return None
        if self._in_text or self.render_mode == "ansi":
            text = self.game.render_text(self.state)
            if self.render_mode == "ansi":
                return text
            self._paper.show(text)
            return None
        frame: Array = self.game.render(self.state, 0, self._payoffs)
        if self.render_mode == "rgb_array":
            return frame
        self._screen.show(frame)
        return None

    def close(self) -> None:
        """Take the picture off the screen."""
        self._screen.close()


def _render_modes(game: type[Game[Any]]) -> list[str]:
    """``human``, and what the game can be rendered as."""
    pictured, told = game.render is not Game.render, game.render_text is not Game.render_text
    return ["human"] * (pictured or told) + ["rgb_array"] * pictured + ["ansi"] * told
