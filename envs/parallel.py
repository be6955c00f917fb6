"""A game in which all move at once as a PettingZoo Parallel environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pettingzoo import ParallelEnv

from advgames.envs.match import Match
from advgames.envs.one_match import OneMatch
from advgames.envs.players import Player
from advgames.errors import PhaseError, UnsupportedFormError
from advgames.games import Game

__all__ = ["GameParallelEnv"]


class GameParallelEnv(OneMatch, ParallelEnv[str, Any, Any]):
    """One match of a game whose every phase belongs to all players.

    Args:
        name: as PettingZoo prints it.
        game: the rules.
        max_cycles: truncate after this many rounds; None: never.
        render_mode: None, or one of ``metadata["render_modes"]``.

    Raises:
        UnsupportedFormError: players of this game see one another's moves before they move.
    """

    def __init__(
        self, name: str, game: Game[Any], *, max_cycles: int | None = None, render_mode: str | None = None
    ) -> None:
        if not game.simultaneous:
            order = ", then ".join(" and ".join(phase) for phase in game.phases)
            raise UnsupportedFormError(
                f"{name} has no parallel form because its players move in turn ({order}): use {name}.env(), or "
                f"{name}.gym_env(role, opponents) for one learner"
            )
        self.match = Match(game, max_cycles, render_mode)
        self.metadata = {"name": name, "render_modes": self.match.render_modes, "render_fps": 4}
        self.render_mode = render_mode
        self.possible_agents = self.match.names.agents
        self.agents: list[str] = []

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin a match: of this seed, or of the next one derived from the last seed given; options are ignored."""
        self.match.reset(seed)
        self.agents = list(self.possible_agents)
        return self._observations(), {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Play one phase: observations, rewards, terminations, truncations and infos of all agents.

        Raises:
            PhaseError: the match has ended, or an agent's action is missing.
            ActionError: a rejected action; nothing has changed.
        """
        if not self.agents:
            raise PhaseError(f"{self.game.name}: the match has ended; reset the environment")
        players = self.match.names.by_player(actions)
        legal = {agent: self.match.legal(agent, action) for agent, action in self.match.names.by_agent(players).items()}
        rewards = self.match.step(legal)
        agents, match = self.agents, self.match
        info = match.final_info()
        results = (
            self._observations(),
            rewards,
            dict.fromkeys(agents, match.terminated),
            dict.fromkeys(agents, match.truncated),
            {agent: {name: dict(value) for name, value in info.items()} for agent in agents},
        )
        self.agents = [] if match.over else agents
        return results

    def _observations(self) -> dict[str, Any]:
        return {agent: self.match.observe(agent) for agent in self.agents}

    def move(self, agent: str, player: Player | None) -> Any:
        """The action that an advgames agent plays in the seat of `agent` (not yet submitted)."""
        return self.match.played(agent, player)
