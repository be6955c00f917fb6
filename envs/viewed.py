"""ViewedGame: a game in which one player sees and acts through a view; every face takes it like any other game."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from advgames.access import Access
from advgames.errors import ActionError
from advgames.games import Actions, Box, Game, Observation, Payoffs, Space, State

__all__ = ["ViewLike", "ViewedGame"]


_FACTS = (
    "name",
    "players",
    "phases",
    "zero_sum",
    "hidden",
    "lockstep",
    "device",
    "dtype",
    "settings_model",
    "default_task",
    "default_agent",
    "level_0",
)
_ROUNDING = 1e-6


class ViewLike(Protocol):
    """What a game asks of a view; every ``advgames.agents.View`` is one."""

    def reset(self, access: Any, /) -> None:
        """Begin a batch of matches."""

    def observation_space(self, access: Any, /) -> Observation:
        """What the learner sees of one match."""

    def action_space(self, access: Any, /) -> Space:
        """The learner's actions."""

    def observe(self, observation: Mapping[str, Tensor], access: Any, /) -> dict[str, Tensor]:
        """What the learner sees."""

    def expand(self, action: Tensor, observation: Mapping[str, Tensor], access: Any, /) -> Tensor:
        """The game's action for the learner's."""


class ViewedGame(Game[Any]):
    """`game` as `player` sees it through `view`; the other players see and act as ever.

    Args:
        game: the rules.
        player: whose view it is.
        view: what it sees and does instead.
    """

    def __init__(self, game: Game[Any], player: str, view: ViewLike) -> None:
        game._check_player(player)
        self.game, self.player, self.view = game, player, copy.deepcopy(view)
        access = game.access(game.reset([0]), player)
        self.view.reset(access)
        self._seen_space, self._action_space = self.view.observation_space(access), self.view.action_space(access)
        for name in _FACTS:
            setattr(self, name, getattr(game, name))
        self._begun = True
        self._last: tuple[State, dict[str, Tensor]] | None = None
        self._moved: tuple[State, Tensor, Tensor] | None = None  # a state, an action, what it stands for

    @property
    def rules(self) -> Game[Any]:
        """The game itself, under all views."""
        return self.game.rules

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["game"], name)

    @property
    def horizon(self) -> int:
        """Rounds of a match."""
        return self.game.horizon

    def reset(self, seeds: Sequence[int] | Tensor, **per_match: Sequence[float]) -> Any:
        """Fresh matches."""
        self._begun, self._last, self._moved = False, None, None
        return self.game.reset(seeds, **per_match)

    def observe(self, state: State, player: str) -> dict[str, Tensor]:
        """What the player sees, through the view where it is its own."""
        if player != self.player:
            return self.game.observe(state, player)
        if self._last is None or self._last[0] is not state:  # once a state: features may cost queries
            self._last = state, self.view.observe(self.game.observe(state, player), self._access(state))
        return {name: value.clone() for name, value in self._last[1].items()}

    def access(self, state: State, player: str) -> Access:
        """As in the game itself."""
        return self.game.access(state, player)

    def action_space(self, player: str) -> Space:
        """Legal actions of one match."""
        return self._action_space if player == self.player else self.game.action_space(player)

    def observation_space(self, player: str) -> Observation:
        """Spaces of what :meth:`observe` returns for one match."""
        return self._seen_space if player == self.player else self.game.observation_space(player)

    def null_action(self, state: State, player: str) -> Tensor:
        """The action that does nothing: the game's own, or zeros where actions stand for something else."""
        own = self.game.null_action(state, player)
        if player != self.player or self._action_space == self.game.action_space(player):
            return own
        return own.new_zeros(len(own), *getattr(self._action_space, "shape", ()))

    def active(self, state: State, player: str) -> Tensor:
        """As in the game itself."""
        return self.game.active(state, player)

    def match_settings(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """As in the game itself."""
        return self.game.match_settings(settings)

    def check(self, state: State, player: str, action: Tensor) -> None:
        """Refuse an action that is legal in its space but not now.

        Raises:
            ActionError: it is not legal.
        """
        self.game.check(state, player, self._expanded(state, action) if player == self.player else action)

    def prompt(self, state: State, player: str, match: int = 0) -> str:
        """As in the game itself."""
        return self.game.prompt(state, player, match)

    def read_action(self, state: State, player: str, text: str, match: int = 0) -> Tensor:
        """As in the game itself."""
        return self.game.read_action(state, player, text, match)

    def write_action(self, state: State, player: str, action: Tensor) -> str:
        """As in the game itself."""
        return self.game.write_action(state, player, action)

    def render(self, state: State, match: int = 0, payoffs: Mapping[str, Sequence[float]] | None = None) -> Any:
        """As in the game itself."""
        return self.game.render(state, match, payoffs)

    def render_text(self, state: State, match: int = 0) -> str:
        """As in the game itself."""
        return self.game.render_text(state, match)

    def pictures(self, state: State, match: int = 0) -> dict[str, Any]:
        """As in the game itself."""
        return self.game.pictures(state, match)

    def measures(self, state: State) -> dict[str, Tensor]:
        """As in the game itself."""
        return self.game.measures(state)

    def movers(self, state: State) -> tuple[str, ...]:
        """As in the game itself."""
        return self.game.movers(state)

    def over(self, state: State) -> bool:
        """As in the game itself."""
        return self.game.over(state)

    def _move(self, state: State, actions: Actions) -> tuple[Any, Payoffs, Tensor]:
        given = dict(actions)
        if self.player in given:
            given[self.player] = self._expanded(state, given[self.player])
        return self.game._move(state, given)

    def _expanded(self, state: State, action: Tensor) -> Tensor:
        """The game's action for the learner's, found once: it may cost queries, and agents in views remember.

        Raises:
            ActionError: it lies outside the learner's space.
        """
        if self._moved is not None and self._moved[0] is state and torch.equal(self._moved[1], action):
            return self._moved[2].clone()
        space = self._action_space
        if isinstance(space, Box) and space != self.game.action_space(self.player):
            matches = len(self.game.null_action(state, self.player))
            if action.shape != (matches, *space.shape) or not action.dtype.is_floating_point:
                raise ActionError(
                    f"{self.player}: expected real numbers ({matches}, {', '.join(map(str, space.shape))}), got "
                    f"{action.dtype} of shape {tuple(action.shape)}"
                )
            if not bool(((action >= space.low - _ROUNDING) & (action <= space.high + _ROUNDING)).all()):
                raise ActionError(f"{self.player}: expected numbers from {space.low} to {space.high}")
        expanded = self.view.expand(action, self.game.observe(state, self.player), self._access(state))
        self._moved = state, action.clone(), expanded
        return expanded.clone()

    def _access(self, state: State) -> Access:
        """The player's access; the view begins anew with a batch's first."""
        access = self.game.access(state, self.player)
        if not self._begun:
            self.view.reset(access)
            self._begun = True
        return access
