"""What every PettingZoo face of one match shows alike: rules, spaces, access, measures, picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from advgames.access import Access
from advgames.envs.match import Match
from advgames.games import Game, State

__all__ = ["OneMatch"]


class OneMatch:
    """Mixin for environments that hold one match; it stands before PettingZoo's class."""

    match: Match

    @property
    def game(self) -> Game[Any]:
        """The rules."""
        return self.match.game

    @property
    def game_state(self) -> State:
        """The game's own state, with a match dimension of 1."""
        return self.match.state

    @property
    def max_cycles(self) -> int | None:
        """Rounds after which the match is truncated, or None."""
        return self.match.max_cycles

    @max_cycles.setter
    def max_cycles(self, rounds: int | None) -> None:
        self.match.max_cycles = rounds

    @property
    def state_space(self) -> spaces.Box:
        """Where :meth:`state` lies."""
        return self.match.state_space

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Always the same object for the same agent."""
        return self.match.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Always the same object for the same agent."""
        return self.match.action_spaces[agent]

    def state(self) -> NDArray[np.float32]:
        """What all agents see now as one vector, for centralised training."""
        return self.match.state_vector()

    def access(self, agent: str) -> Access:
        """What the threat model grants an agent beyond its observation."""
        return self.match.access(agent)

    def measures(self) -> dict[str, float]:
        """What a report wants to know now, such as the test accuracy; never part of an observation."""
        return self.match.measures()

    def render(self) -> NDArray[Any] | str | None:
        """The picture as an array (``"rgb_array"``), the match as a text (``"ansi"``), or shown (``"human"``)."""
        return self.match.render()

    def close(self) -> None:
        """Take the picture off the screen."""
        self.match.close()
