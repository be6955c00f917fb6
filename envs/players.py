"""Agents at the table: whoever has reset(access) and act(observation, access), or the name of one."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from advgames.access import Access
from advgames.envs.naming import Names
from advgames.errors import SettingError
from advgames.games import Game, State

__all__ = ["Hands", "Opponents", "Player", "seat_opponents"]


@runtime_checkable
class Player(Protocol):
    """What an environment asks of an agent; every ``advgames.agents.Agent`` is one."""

    def reset(self, access: Any, /) -> None:
        """Begin a batch of matches."""

    def act(self, observation: Mapping[str, Tensor], access: Any, /) -> Tensor:
        """The action of every match, (G, ...)."""


Opponents: TypeAlias = str | Player | Mapping[str, str | Player | None] | None


class Hands:
    """Lets agents move for players; an agent is reset at its first move of an episode.

    Args:
        game: the game they play.
    """

    def __init__(self, game: Game[Any]) -> None:
        self._game = game
        self._begun: dict[str, Player] = {}

    def clear(self) -> None:
        """A new episode begins."""
        self._begun.clear()

    def move(self, state: State, player: str, agent: Player | None) -> Tensor:
        """What `agent` plays for `player`, (G, ...); None plays the game's null action.

        Raises:
            AccessError: the game grants the player less than the agent needs.
        """
        if agent is None:
            return self._game.null_action(state, player)
        return agent.act(self._game.observe(state, player), self.begin(state, player, agent))

    def begin(self, state: State, player: str, agent: Player) -> Access:
        """Reset `agent` for `player` if that is still to be done; its access.

        Raises:
            AccessError: the game grants the player less than the agent needs.
        """
        access: Access = self._game.access(state, player)
        if self._begun.get(player) is not agent:
            agent.reset(access)
            self._begun[player] = agent
        return access


def seat_opponents(opponents: Opponents, role: str, names: Names) -> dict[str, Player | None]:
    """Everybody but `role` with its agent: one agent, name or None (the null action) for all, or a mapping.

    Raises:
        UnknownNameError: no such player or agent.
        SettingError: a player without an agent, or an agent in the learner's own seat.
    """
    others = [p for p in (names.player(agent) for agent in names.agents) if p != role]
    if not isinstance(opponents, Mapping):
        opponents = dict.fromkeys(others, opponents)
    given = names.by_player(opponents)
    if role in given:
        raise SettingError(f"opponents name {role!r}, the role that this environment leaves to its user")
    if missing := [player for player in others if player not in given]:
        raise SettingError(f"opponents must name an agent for {', '.join(missing)}")
    return {player: _player(agent) for player, agent in given.items()}


def _player(agent: str | Player | None) -> Player | None:
    """An agent by name, or as it is. That is resolved when it is used: environments do not depend on agents."""
    make: Callable[[str | Player], Player] = pkgutil.resolve_name("advgames.agents:make_agent")
    return None if agent is None else make(agent)
