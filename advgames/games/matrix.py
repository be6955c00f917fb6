"""The matrix game: any payoff table, once or repeated, at once or in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from numpy.typing import ArrayLike
from pydantic import PositiveInt
from torch import Tensor

from advgames import rng
from advgames.games.base import Actions, Game, Payoffs, State
from advgames.games.matrix_access import MatrixAccess
from advgames.games.spaces import Box, Classes, Observation
from advgames.settings import Settings, parse, precision
from advgames.tasks.payoff_tables import PayoffTable, load_payoff_table

__all__ = ["MatrixGame", "MatrixSettings", "MatrixState"]

MatrixOrder = Literal["simultaneous", "row-first", "column-first"]
_NOTHING = -1


class MatrixSettings(Settings):
    """Settings of the matrix game.

    Attributes:
        order: ``"simultaneous"``; or who moves first, seen by the other.
        rounds: how often the table is played; the players see what was played in the round before.
    """

    order: MatrixOrder = "simultaneous"
    rounds: PositiveInt = 1


@dataclass
class MatrixState(State):
    """What was played.

    Attributes:
        round, phase: as in every game.
        seeds: match seeds, (G,).
        played: the strategies of every round, the row player's first, (G, rounds, 2); -1: not yet.
    """

    round: int
    phase: int
    seeds: Tensor
    played: Tensor


class MatrixGame(Game[MatrixState]):
    """A payoff table for two players, for G matches at once; a match pays the mean over its rounds.

    Args:
        task: a :class:`~advgames.tasks.payoff_tables.PayoffTable`, the name of one, or the row player's payoffs as an
            array (m, n); the column player's are the opposite.
        device, dtype: where the game lives, and the precision of payoffs.
        data_root: not used.
        settings: see :class:`MatrixSettings`.
    """

    name = "matrix"
    players = ("row", "column")
    settings_model = MatrixSettings
    hidden = "what the other player does at the same time"
    default_task, default_agent, level_0 = "matching-pennies", "mix", "mix"

    def __init__(
        self,
        task: PayoffTable | ArrayLike | str = "matching-pennies",
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | str = torch.float32,
        data_root: str | None = None,
        **settings: Any,
    ) -> None:
        self.settings = parse(MatrixSettings, settings, self.name)
        if isinstance(task, str):
            task = load_payoff_table(task)
        elif not isinstance(task, PayoffTable):
            task = PayoffTable.of(task)
        self.task = task
        self.device, self.dtype = torch.device(device), precision(dtype)
        own = torch.tensor(task.payoff, device=self.device, dtype=self.dtype)
        other = -own if task.column_payoff is None else torch.tensor(task.column_payoff).to(own)
        self.table = torch.stack([own, other])  # (2, m, n)
        self.zero_sum = bool((own == -other).all())
        first = {"row-first": 0, "column-first": 1}.get(self.settings.order)
        self.phases = (self.players,) if first is None else ((self.players[first],), (self.players[1 - first],))

    @property
    def horizon(self) -> int:
        """Rounds of a match."""
        return self.settings.rounds

    def reset(self, seeds: Sequence[int] | Tensor, **per_match: Sequence[float]) -> MatrixState:
        """Fresh matches, one per seed.

        Raises:
            UnknownNameError: something is named that could differ between matches: nothing can.
        """
        self._refuse_per_match(per_match)
        keys = rng.seed_tensor(seeds, self.device)
        return MatrixState(0, 0, keys, torch.full((len(keys), self.horizon, 2), _NOTHING, device=self.device))

    def observe(self, state: MatrixState, player: str) -> dict[str, Tensor]:
        """What was played in the round before, 1 + the strategy, or 0; what the other has just played; progress."""
        own, nothing = self._side(player), torch.zeros_like(state.seeds)
        last = 1 + state.played[:, state.round - 1] if state.round else torch.stack([nothing, nothing], -1)
        seen = {
            "own_last": last[:, own].clone(),
            "other_last": last[:, 1 - own].clone(),
            "progress": self.table.new_full((len(state.seeds), 1), state.round / self.horizon),
        }
        if self._answers(player):
            seen["other_now"] = nothing if self.over(state) else 1 + state.played[:, state.round, 1 - own]
        return seen

    def access(self, state: MatrixState, player: str) -> MatrixAccess:
        """The table, as the player reads it."""
        own = self._side(player)
        tables = self.table if own == 0 else self.table.flip(0).transpose(1, 2)
        return MatrixAccess(
            **self._seat(state, player, 1.0 if own == 0 else -1.0),
            payoff=tables[0].clone(),
            other_payoff=tables[1].clone(),
            answers=self._answers(player),
        )

    def action_space(self, player: str) -> Classes:
        """The number of a strategy."""
        return Classes((), self.table.shape[1 + self._side(player)])

    def observation_space(self, player: str) -> Observation:
        """Spaces of what :meth:`observe` returns for one match."""
        own = self._side(player)
        counts = [size + 1 for size in self.table.shape[1:]]
        space: Observation = {
            "own_last": Classes((), counts[own]),
            "other_last": Classes((), counts[1 - own]),
            "progress": Box((1,), 0.0, 1.0),
        }
        if self._answers(player):
            space["other_now"] = Classes((), counts[1 - own])
        return space

    def null_action(self, state: MatrixState, player: str) -> Tensor:
        """The first strategy."""
        self._check_player(player)
        return torch.zeros_like(state.seeds)

    def measures(self, state: MatrixState) -> dict[str, Tensor]:
        """Mean payoffs so far, (G,) each; NaN before the first round."""
        row, column = state.played[:, : state.round].unbind(-1)
        paid = self.table[:, row, column].mean(-1)
        return {f"{player}_payoff": paid[side] for side, player in enumerate(self.players)}

    def render_text(self, state: MatrixState, match: int = 0) -> str:
        """The rounds of a match, a line each."""
        lines = []
        for number, (row, column) in enumerate(state.played[match, : state.round].tolist(), 1):
            own, other = self.name_of("row", row), self.name_of("column", column)
            paid = " and ".join(f"{value:g}" for value in self.table[:, row, column].tolist())
            lines.append(f"Round {number}: row plays {own}, column plays {other}; they are paid {paid}.")
        return "\n".join([f"{self.task.name}, {self.horizon} rounds", *lines])

    def name_of(self, player: str, strategy: int) -> str:
        """What a strategy is called."""
        names = self.task.columns if self._side(player) else self.task.rows
        return names[strategy] if names else f"strategy {strategy}"

    def _move(self, state: MatrixState, actions: Actions) -> tuple[MatrixState, Payoffs, Tensor]:
        played = state.played.clone()
        for player, action in actions.items():
            strategies = self.action_space(player).checked(action, len(state.seeds), state.seeds.device, player)
            played[:, state.round, self._side(player)] = strategies
        if state.phase + 1 < len(self.phases):
            following, paid = self._next_phase(state, played=played), self.table.new_zeros(2, len(state.seeds))
        else:
            following = replace(state, round=state.round + 1, phase=0, played=played)
            row, column = played[:, state.round].unbind(-1)
            paid = self.table[:, row, column] / self.horizon
        payoffs = {player: paid[side].clone() for side, player in enumerate(self.players)}
        return following, payoffs, torch.full_like(state.seeds, self.over(following), dtype=torch.bool)

    def _answers(self, player: str) -> bool:
        """Whether a player sees the other's move of the round."""
        return len(self.phases) == 2 and self.phases[1] == (player,)

    def _side(self, player: str) -> int:
        self._check_player(player)
        return self.players.index(player)
