"""Any game as a Gymnasium environment for one learner; given agents play the other seats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from advgames.access import Access
from advgames.envs.match import Match
from advgames.envs.players import Opponents, seat_opponents
from advgames.envs.spaces import MASK, boxed
from advgames.errors import PhaseError
from advgames.games import Game
from advgames.threat import Threat

__all__ = ["GameGymEnv"]


class GameGymEnv(gymnasium.Env[dict[str, Any], Any]):
    """One seat of a match: a step submits the learner's action, lets the others move until it is its turn again.

    The reward is the sum of the learner's payoffs on the way. Opponents are reset at their first move of every
    episode. The final ``info`` carries ``measures`` (such as the test accuracy). An ``action_mask`` is no part of the
    observations: it is in ``info``, and MaskablePPO of sb3-contrib finds it as :attr:`action_masks`.

    Args:
        name: of the environment.
        game: the rules.
        role: the learner's seat, a player or an agent (``"defender"`` or ``"defender_0"``).
        opponents: who plays the other seats: an agent, its name, or a mapping from players to these; None plays
            the action that does nothing.
        project_actions: where actions are perturbations of norm at most 1, declare the box [-1, 1], as policies of
            learning libraries expect, and play the nearest legal perturbation to what they submit. False: declare
            the ball itself, and refuse what lies outside.
        max_cycles: truncate after this many rounds; None: never.
        render_mode: None, or one of ``metadata["render_modes"]``.
    """

    def __init__(
        self,
        name: str,
        game: Game[Any],
        role: str,
        opponents: Opponents = None,
        *,
        project_actions: bool = True,
        max_cycles: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.match = Match(game, max_cycles, render_mode)
        self.metadata = {"name": name, "render_modes": self.match.render_modes, "render_fps": 4}
        self.render_mode = render_mode
        names = self.match.names
        self.agent = names.agent(names.player(role))
        self.opponents = names.by_agent(seat_opponents(opponents, names.player(role), names))
        seen = cast(spaces.Dict, self.match.observation_spaces[self.agent]).spaces
        self.observation_space = spaces.Dict({name: space for name, space in seen.items() if name != MASK})
        self._masked = MASK in seen
        self.action_space = self.match.action_spaces[self.agent]
        self._threat: Threat | None = None
        if project_actions:
            self.action_space, self._threat = boxed(self.action_space)
        self._reward = 0.0
        self._early = False  # whether the others ended the match before the learner's first turn

    @property
    def game(self) -> Game[Any]:
        """The rules."""
        return self.match.game

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin a match: of this seed, or of the next one derived from the last seed given; options are ignored."""
        self.match.reset(seed)
        super().reset(seed=seed)
        self._reward = 0.0
        self._others_move()
        self._early = self.match.over
        return self._seen()

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Submit the learner's action and go on to its next turn.

        Where the others have ended the match before the learner's first turn, the first step tells so, and its action
        is not looked at.

        Raises:
            PhaseError: the match has ended.
            ActionError: a rejected action; nothing has changed.
        """
        match = self.match
        if match.over and not self._early:
            raise PhaseError(f"{self.game.name}: the match has ended; reset the environment")
        if not self._early:
            self._play(action)
        self._early = False
        reward, self._reward = self._reward, 0.0
        observation, info = self._seen()
        return observation, reward, match.terminated, match.truncated, {**match.final_info(), **info}

    def _play(self, action: Any) -> None:
        """The learner's move, those of the same phase, and those up to its next turn or the end."""
        match = self.match
        own = match.legal(self.agent, action, self.action_space)
        if self._threat is not None:
            own = self._threat.project(own)
        others = {agent: match.move(agent, self.opponents[agent]) for agent in match.movers if agent != self.agent}
        self._reward += match.step({self.agent: own, **others})[self.agent]
        self._others_move()

    @property
    def action_masks(self) -> Callable[[], NDArray[np.bool_]]:
        """``action_masks()`` says which actions are legal now, (N,) bool.

        Raises:
            AttributeError: the game's actions have no mask.
        """
        if not self._masked:
            raise AttributeError(f"the actions of {self.game.name} have no mask")
        return lambda: self.match.observe(self.agent)[MASK].astype(bool)

    def _seen(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the learner observes, and its mask where there is one."""
        observation = self.match.observe(self.agent)
        mask = observation.pop(MASK, None)
        return observation, {} if mask is None else {MASK: mask}

    def _others_move(self) -> None:
        """Play the phases up to the learner's next turn, or the end."""
        match = self.match
        while not match.over and self.agent not in match.movers:
            moves = {agent: match.move(agent, self.opponents[agent]) for agent in match.movers}
            self._reward += match.step(moves)[self.agent]

    def access(self) -> Access:
        """What the threat model grants the learner beyond its observation."""
        return self.match.access(self.agent)

    def measures(self) -> dict[str, float]:
        """What a report wants to know now, such as the test accuracy; never part of an observation."""
        return self.match.measures()

    def render(self) -> NDArray[np.uint8] | str | None:
        """The picture as an array (``"rgb_array"``), the match as a text (``"ansi"``), or shown (``"human"``)."""
        return self.match.render()

    def close(self) -> None:
        """Take the picture off the screen."""
        self.match.close()
