"""Many matches of a game at once: torch in, torch out, on the game's device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from gymnasium import spaces
from torch import Tensor

from advgames.access import Access
from advgames.envs.naming import Names
from advgames.envs.players import Hands, Player
from advgames.envs.seeding import EpisodeSeeds
from advgames.envs.spaces import to_gymnasium
from advgames.errors import PhaseError, SettingError, UnsupportedFormError
from advgames.games import Game, State, Text

__all__ = ["GameVectorEnv", "Observations"]

Observations: TypeAlias = dict[str, dict[str, Tensor]]


class GameVectorEnv:
    """`num_games` matches in lockstep, one phase per step, begun anew when they end.

    ::

        observations = env.reset(seed=0)
        for _ in range(steps):
            actions = {agent: policy[agent](seen) for agent, seen in observations.items()}
            observations, rewards, terminated, truncated, info = env.step(actions)

    Observations are those of the agents who move now (others: :meth:`observe`). Once all matches have ended, the step
    returns the observations of fresh ones, and ``info`` has ``final_observations`` (all agents) and ``final_state``
    (for ``game.measures``). Where matches end at different times (``game.lockstep`` is False), ``terminated`` is true
    for each from its end on; it is paid nothing more, and its agents pass until all have ended (:meth:`active` says
    who moves where, ``game.null_action`` passes for the others). No tensor shares memory with the game's state. The
    environment itself never waits for the device; the games check each action's largest norm, once.

    Args:
        name: of the environment.
        game: the rules.
        num_games: number of matches G.
        max_cycles: truncate after this many rounds; None: never.

    Raises:
        UnsupportedFormError: moves are texts.

    Attributes:
        possible_agents: all agents.
        action_spaces, observation_spaces: of each agent, for one match.
        seeds: match seeds of the present episode.
    """

    def __init__(self, name: str, game: Game[Any], num_games: int, *, max_cycles: int | None = None) -> None:
        for what, value in (("num_games", num_games), ("max_cycles", 1 if max_cycles is None else max_cycles)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SettingError(f"{what} must be a positive integer, got {value!r}")
        self.name, self.game, self.num_games, self.max_cycles = name, game, num_games, max_cycles
        self.device = game.device
        self._names = Names(game.players)
        if any(isinstance(game.action_space(player), Text) for player in game.players):
            raise UnsupportedFormError(
                f"{name} has no batched form where actions are texts: use {name}.env() or "
                f"{name}.gym_env(role, opponents), or actions that are numbers"
            )
        self.possible_agents = self._names.agents
        spaces_of = {p: (game.action_space(p), game.observation_space(p)) for p in game.players}
        self.action_spaces: dict[str, spaces.Space[Any]] = {
            self._names.agent(p): to_gymnasium(action, game.dtype) for p, (action, _) in spaces_of.items()
        }
        self.observation_spaces: dict[str, spaces.Space[Any]] = {
            self._names.agent(p): to_gymnasium(seen, game.dtype) for p, (_, seen) in spaces_of.items()
        }
        self.seeds: list[int] = []
        self._episodes = EpisodeSeeds(num_games)
        self._hands = Hands(game)
        self._state: State | None = None

    @property
    def game_state(self) -> State:
        """The game's own state of all matches."""
        if self._state is None:
            raise PhaseError(f"{self.name}: reset the environment first")
        return self._state

    @property
    def movers(self) -> list[str]:
        """Agents who move now, at once."""
        return [self._names.agent(player) for player in self.game.movers(self.game_state)]

    def reset(self, seed: int | Sequence[int] | None = None) -> Observations:
        """Begin all matches: row i with seed + i, with the i-th of the seeds, or with its next derived one."""
        self.seeds = self._episodes.next(seed)
        self._state = self.game.reset(self.seeds)
        self._hands.clear()
        return self._observations(self.movers)

    def step(
        self, actions: Mapping[str, Tensor]
    ) -> tuple[Observations, dict[str, Tensor], Tensor, Tensor, dict[str, Any]]:
        """Play one phase with the actions (G, ...) of all agents who move.

        Returns:
            observations of those who move next, rewards (G,) of all agents, terminated (G,), truncated (G,), info.

        Raises:
            PhaseError: these are not the agents who move.
            ActionError: a rejected action; nothing has changed.
        """
        given = self._names.by_player(actions)
        own = {p: a.detach().clone() if isinstance(a, Tensor) else a for p, a in given.items()}
        state, payoffs, terminated = self.game.step(self.game_state, own)
        self._state = state
        rewards = {
            self._names.agent(p): payoffs.get(p, torch.zeros(self.num_games, device=self.device, dtype=self.game.dtype))
            for p in self.game.players
        }
        cut = self.max_cycles is not None and state.round >= self.max_cycles
        truncated = ~terminated if cut else torch.zeros_like(terminated)
        info: dict[str, Any] = {}
        if cut or self.game.over(state):
            info = {"final_observations": self._observations(self.possible_agents), "final_state": state}
            return self.reset(), rewards, terminated, truncated, info
        return self._observations(self.movers), rewards, terminated, truncated, info

    def observe(self, agent: str) -> dict[str, Tensor]:
        """What an agent sees now, name -> (G, ...)."""
        seen = self.game.observe(self.game_state, self._names.player(agent))
        return {name: tensor.detach().clone() for name, tensor in seen.items()}

    def active(self, agent: str) -> Tensor:
        """Matches in which an agent moves now, (G,) bool; in the others its only legal action passes."""
        return self.game.active(self.game_state, self._names.player(agent)).clone()

    def move(self, agent: str, player: Player | None) -> Tensor:
        """The actions (G, ...) that an advgames agent plays in the seat of `agent` (not yet submitted)."""
        return self._hands.move(self.game_state, self._names.player(agent), player)

    def access(self, agent: str) -> Access:
        """What the threat model grants an agent beyond its observation."""
        return self.game.access(self.game_state, self._names.player(agent))

    def measures(self) -> dict[str, Tensor]:
        """What a report wants to know now, name -> (G,); never part of an observation."""
        return self.game.measures(self.game_state)

    def _observations(self, agents: Sequence[str]) -> Observations:
        return {agent: self.observe(agent) for agent in agents}
