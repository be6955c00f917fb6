"""The game engine: G independent matches as pure torch dynamics, moved phase by phase."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from numpy.typing import NDArray
from torch import Tensor

from advgames.access import Access
from advgames.errors import PhaseError, SettingError, UnknownNameError
from advgames.files import under
from advgames.games.spaces import Observation, Space
from advgames.settings import Settings

__all__ = ["Actions", "Game", "Payoffs", "State"]

Actions = Mapping[str, Tensor]
Payoffs = dict[str, Tensor]
S = TypeVar("S", bound="State")


class State:
    """Base of state dataclasses: tensors with leading G, dicts of such tensors, and integers shared by all matches.

    A state is never changed in place; ``dataclasses.replace`` makes the next one. Fields whose metadata say
    ``{"derived": True}`` are caches that can be computed again, and are not saved.
    """

    round: int
    phase: int

    def to_dict(self) -> dict[str, Tensor | int]:
        """Flat name -> tensor or integer; a dict field ``params`` becomes ``params/weight`` and so on."""
        flat: dict[str, Tensor | int] = {}
        for f in fields(cast(Any, self)):
            value = getattr(self, f.name)
            if f.metadata.get("derived") or value is None:
                continue
            if isinstance(value, dict):
                flat.update({f"{f.name}/{key}": tensor for key, tensor in value.items()})
            else:
                flat[f.name] = value
        return flat

    @classmethod
    def from_dict(cls: type[S], flat: Mapping[str, Tensor | int]) -> S:
        """The state that :meth:`to_dict` wrote, exactly."""
        values: dict[str, Any] = {}
        for f in fields(cast(Any, cls)):
            if f.metadata.get("derived"):
                continue
            nested = under(flat, f.name)
            if f.metadata.get("nested"):
                values[f.name] = nested
            elif f.name in flat:
                values[f.name] = flat[f.name]
        return cls(**values)


class Game(ABC, Generic[S]):
    """Rules of a game for any number of matches at once.

    A new game states its facts (the class attributes and :attr:`horizon`), and writes ``reset``, ``observe``,
    ``access`` and ``_move``. Everything is batched over matches; matches never influence one another; randomness
    is a function of each match's seed (:mod:`advgames.rng`).

    Attributes:
        name: registry name.
        players: names of the players.
        phases: for each phase of a round the players who move in it, at once; later phases see earlier moves.
        zero_sum: whether the players' payoffs always sum to zero.
        hidden: one line: what is hidden from whom.
        settings_model: the game's settings, by name.
        lockstep: whether all matches go through every phase of every round, and end after :attr:`horizon` rounds.
            False: a phase may take several steps, phases in which nobody moves are skipped, and matches end at
            different times; those that wait or have ended pass (see :meth:`active`).
        default_task, default_agent: what is played on, and who plays, where nobody says.
        level_0: who plays level 0.
    """

    name: ClassVar[str]
    players: tuple[str, ...]
    phases: tuple[tuple[str, ...], ...]
    zero_sum: bool
    hidden: ClassVar[str]
    settings_model: ClassVar[type[Settings]] = Settings
    lockstep: ClassVar[bool] = True
    default_task: ClassVar[str] = "digits"
    default_agent: ClassVar[str] = "level-1"
    level_0: ClassVar[str] = "null"
    device: torch.device
    dtype: torch.dtype

    @property
    @abstractmethod
    def horizon(self) -> int:
        """Rounds of a match."""

    @property
    def rules(self) -> Game[Any]:
        """The game itself, under whatever changes how it is seen."""
        return self

    @property
    def simultaneous(self) -> bool:
        """Whether all players move at once in every phase."""
        return all(set(phase) == set(self.players) for phase in self.phases)

    def match_settings(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """What :meth:`reset` must be told of a match with these settings, where it may differ within a batch."""
        return {}

    @abstractmethod
    def reset(self, seeds: Sequence[int] | Tensor, **per_match: Sequence[float]) -> S:
        """Fresh matches, one per seed, with what differs between them."""

    @abstractmethod
    def observe(self, state: S, player: str) -> dict[str, Tensor]:
        """What `player` sees, name -> (G, ...)."""

    @abstractmethod
    def access(self, state: S, player: str) -> Access:
        """What the threat model grants `player` beyond the observation."""

    @abstractmethod
    def action_space(self, player: str) -> Space:
        """Legal actions of one match."""

    @abstractmethod
    def observation_space(self, player: str) -> Observation:
        """Observations of one match: what :meth:`observe` returns; and, where actions are texts, :meth:`prompt`."""

    @abstractmethod
    def null_action(self, state: S, player: str) -> Tensor:
        """The action that does nothing; always legal."""

    def active(self, state: S, player: str) -> Tensor:
        """Matches in which `player` moves in the present phase, (G,) bool; elsewhere its only legal action passes."""
        moves = not self.over(state) and player in self.movers(state)
        return torch.full((len(self.null_action(state, player)),), moves, device=self.device)

    def check(self, state: S, player: str, action: Tensor) -> None:
        """Refuse an action that is legal in its space but not now, before the others of its phase have moved.

        Raises:
            ActionError: it is not legal.
        """

    def prompt(self, state: S, player: str, match: int = 0) -> str:
        """What a player whose moves are texts is shown of one match."""
        raise NotImplementedError(f"{self.name} has no moves in text")

    def read_action(self, state: S, player: str, text: str, match: int = 0) -> Tensor:
        """The action of one match that a text stands for, without the match dimension; for moves that are texts."""
        raise NotImplementedError(f"{self.name} has no moves in text")

    def write_action(self, state: S, player: str, action: Tensor) -> str:
        """An action of one match as the text that :meth:`read_action` reads."""
        raise NotImplementedError(f"{self.name} has no moves in text")

    @abstractmethod
    def measures(self, state: S) -> dict[str, Tensor]:
        """What a report wants to know of the matches, name -> (G,), NaN where it does not apply; no player sees it."""

    def render(self, state: S, match: int = 0, payoffs: Mapping[str, Sequence[float]] | None = None) -> Any:
        """One match as an RGB array (H, W, 3) uint8.

        Args:
            state: as it is now.
            match: which of its matches.
            payoffs: each player's payoff of every round so far, where the caller kept them.
        """
        raise NotImplementedError(f"{self.name} has no rendering")

    def render_text(self, state: S, match: int = 0) -> str:
        """One match as a person reads it; as it goes on, lines are added at the end and no line changes."""
        raise NotImplementedError(f"{self.name} has no rendering in text")

    def pictures(self, state: S, match: int = 0) -> dict[str, NDArray[Any]]:
        """What a report draws of one match that has ended, as arrays by name; none by default."""
        return {}

    def movers(self, state: S) -> tuple[str, ...]:
        """The players who move now."""
        return self.phases[state.phase]

    def over(self, state: S) -> bool:
        """Whether all matches have ended."""
        return state.round >= self.horizon

    def step(self, state: S, actions: Actions) -> tuple[S, Payoffs, Tensor]:
        """Play one phase: (next state, payoffs name -> (G,), done (G,) bool).

        A rejected action raises a named error and leaves `state` valid and unchanged.

        Raises:
            PhaseError: the match is over, or the actions are not those of the players who move now.
            ActionError: an action is not legal.
        """
        if self.over(state):
            raise PhaseError(f"{self.name}: the match ended after {self.horizon} rounds; reset it")
        movers = self.movers(state)
        if set(actions) != set(movers):
            raise PhaseError(
                f"{self.name}: round {state.round}, phase {state.phase} belongs to {', '.join(movers)}, "
                f"but actions came from {', '.join(sorted(actions)) or 'nobody'}"
            )
        return self._move(state, actions)

    @abstractmethod
    def _move(self, state: S, actions: Actions) -> tuple[S, Payoffs, Tensor]:
        """`step` for actions that come from the right players."""

    def _seat(self, state: S, player: str, sign: float) -> dict[str, Any]:
        """What every access object is told of the seat of `player`."""
        action, seen = self._spaces[player]
        return {
            "game": self.name,
            "player": player,
            "sign": sign,
            "round": state.round,
            "horizon": self.horizon,
            "seeds": cast(Any, state).seeds,
            "action_space": action,
            "observation_space": dict(seen),
        }

    @functools.cached_property
    def _spaces(self) -> dict[str, tuple[Space, Observation]]:
        return {player: (self.action_space(player), self.observation_space(player)) for player in self.players}

    def _check_player(self, player: str) -> None:
        if player not in self.players:
            raise SettingError(f"{self.name} has players {', '.join(self.players)}, not {player!r}")

    def _refuse_per_match(self, per_match: Mapping[str, Any]) -> None:
        """For games in which nothing can differ between matches."""
        if per_match:
            raise UnknownNameError("setting per match", min(per_match), (), self.name)

    def _next_phase(self, state: S, **changes: Any) -> S:
        """The state after a phase that is not the last of its round."""
        return cast(S, replace(cast(Any, state), phase=state.phase + 1, **changes))
