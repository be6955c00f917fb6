"""Any game as a PettingZoo AEC environment: agents move one at a time."""

from __future__ import annotations

from typing import Any

from pettingzoo import AECEnv
from torch import Tensor

from advgames.envs.match import Match
from advgames.envs.one_match import OneMatch
from advgames.envs.players import Player
from advgames.errors import PhaseError
from advgames.games import Game

__all__ = ["GameAECEnv"]


class GameAECEnv(OneMatch, AECEnv[str, Any, Any]):
    """One match, in PettingZoo's agent-environment cycle.

    Agents of one phase move one after the other here, but none sees what the others submitted before all have.
    A rejected action raises its named error and leaves everything as it was, ``agent_selection`` too.

    Args:
        name: as PettingZoo prints it, such as ``"poisoning_v0"``.
        game: the rules.
        max_cycles: truncate after this many rounds; None: never.
        render_mode: None, or one of ``metadata["render_modes"]``.
    """

    def __init__(
        self, name: str, game: Game[Any], *, max_cycles: int | None = None, render_mode: str | None = None
    ) -> None:
        self.match = Match(game, max_cycles, render_mode)
        self.metadata = {
            "name": name,
            "render_modes": self.match.render_modes,
            "render_fps": 4,
            "is_parallelizable": game.simultaneous,
        }
        self.render_mode = render_mode
        self.possible_agents = self.match.names.agents
        self.agents: list[str] = []
        self._submitted: dict[str, Tensor] = {}

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin a match: of this seed, or of the next one derived from the last seed given; options are ignored."""
        self.match.reset(seed)
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._submitted = {}
        self.agent_selection = self.match.movers[0]

    def step(self, action: Any) -> None:
        """Play the action of the agent whose turn it is; None where that agent's match has ended.

        Raises:
            ActionError: a rejected action; nothing has changed.
            PhaseError: there is no match going on.
        """
        if not self.agents:
            raise PhaseError(f"{self.game.name}: no match is going on; reset the environment")
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            self.rewards = dict.fromkeys(self.agents, 0.0)
            return
        submitted = {**self._submitted, agent: self.match.legal(agent, action)}
        waiting = [mover for mover in self.match.movers if mover not in submitted]
        if waiting:
            self.match.check(agent, submitted[agent])
            self.rewards = dict.fromkeys(self.agents, 0.0)
        else:
            self.rewards = self.match.step(submitted)
            submitted, waiting = {}, self.match.movers
        self._submitted = submitted
        self._cumulative_rewards[agent] = 0.0
        self._accumulate_rewards()
        self.agent_selection = waiting[0]
        if self.match.over:
            self._end()

    def _end(self) -> None:
        self.terminations = dict.fromkeys(self.agents, self.match.terminated)
        self.truncations = dict.fromkeys(self.agents, self.match.truncated)
        info = self.match.final_info()
        self.infos = {agent: {name: dict(value) for name, value in info.items()} for agent in self.agents}
        self._deads_step_first()

    def observe(self, agent: str) -> dict[str, Any]:
        """What an agent sees now."""
        return self.match.observe(agent)

    def move(self, player: Player | None) -> Any:
        """The action that an advgames agent plays for the agent whose turn it is (not yet submitted)."""
        return self.match.played(self.agent_selection, player)
