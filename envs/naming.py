"""Agent names of a game's players: attacker and attacker_0 are the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from advgames.errors import SettingError, UnknownNameError

__all__ = ["Names"]

T = TypeVar("T")


class Names:
    """The agent of every player, in the game's order: ``attacker`` is ``attacker_0``; ``seller_1`` stays.

    Args:
        players: the game's players.
    """

    def __init__(self, players: Sequence[str]) -> None:
        self._agents = {p: p if re.search(r"_\d+$", p) else f"{p}_0" for p in players}
        self._players = {agent: player for player, agent in self._agents.items()}

    @property
    def agents(self) -> list[str]:
        """A new list of all agents."""
        return list(self._players)

    def agent(self, player: str) -> str:
        """The agent of a player."""
        return self._agents[player]

    def player(self, name: str) -> str:
        """The player of an agent's or a player's name.

        Raises:
            UnknownNameError: no such agent; names the nearest known.
        """
        if name in self._agents:
            return name
        if name not in self._players:
            raise UnknownNameError("agent", name, self._players, "this environment")
        return self._players[name]

    def by_player(self, values: Mapping[str, T]) -> dict[str, T]:
        """`values` keyed by player.

        Raises:
            UnknownNameError: a name that no agent has.
            SettingError: the same player twice, under both its names.
        """
        found = {self.player(name): value for name, value in values.items()}
        if len(found) < len(values):
            raise SettingError(f"a player is named twice in {', '.join(values)}")
        return found

    def by_agent(self, values: Mapping[str, T]) -> dict[str, T]:
        """`values` of players keyed by agent."""
        return {self._agents[player]: value for player, value in values.items()}
