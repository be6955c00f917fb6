"""ViewedGame: a game in which one player sees and acts through a view; every face takes it like any other game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from advgames.access import Access
from advgames.games import Actions, Game, Observation, Payoffs, Space, State

__all__ = ["ViewLike", "ViewedGame"]


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
        self.game, self.player, self.view = game, player, view
        access = game.access(game.reset([0]), player)
        view.reset(access)
        self._seen_space, self._action_space = view.observation_space(access), view.action_space(access)
        for name in ("name", "players", "phases", "zero_sum", "hidden", "lockstep", "device", "dtype", "level_0"):
            setattr(self, name, getattr(game, name))
        self._begun = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["game"], name)

    @property
    def horizon(self) -> int:
        """Rounds of a match."""
        return self.game.horizon

    def reset(self, seeds: Sequence[int] | Tensor, **per_match: Sequence[float]) -> Any:
        """Fresh matches."""
        self._begun = False
        return self.game.reset(seeds, **per_match)

    def observe(self, state: State, player: str) -> dict[str, Tensor]:
        """What the player sees, through the view where it is its own."""
        seen = self.game.observe(state, player)
        return self.view.observe(seen, self._access(state)) if player == self.player else seen

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
        """The action that does nothing: zeros."""
        if player != self.player:
            return self.game.null_action(state, player)
        own = self.game.null_action(state, player)
        return own.new_zeros(len(own), *getattr(self._action_space, "shape", ()))

    def active(self, state: State, player: str) -> Tensor:
        """As in the game itself."""
        return self.game.active(state, player)

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
            access = self._access(state)
            given[self.player] = self.view.expand(given[self.player], self.game.observe(state, self.player), access)
        return self.game._move(state, given)

    def _access(self, state: State) -> Access:
        """The player's access; the view begins anew with a batch's first."""
        access = self.game.access(state, self.player)
        if not self._begun:
            self.view.reset(access)
            self._begun = True
        return access
