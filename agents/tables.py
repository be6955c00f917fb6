"""Players of payoff tables: fixed mixes, and answers to what the other has just played."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from advgames import rng
from advgames.agents.base import Agent
from advgames.errors import AccessError, SettingError
from advgames.games.matrix_access import MatrixAccess

__all__ = ["Answer", "Mix"]


class Mix(Agent):
    """Plays each strategy with a fixed probability, drawn anew in every round.

    Args:
        weights: of the strategies, normalised; None: all the same.
    """

    kind = "table"

    def __init__(self, weights: Sequence[float] | None = None) -> None:
        if weights is not None:
            weights = tuple(float(weight) for weight in weights)
            if not weights or not all(0 <= weight < math.inf for weight in weights) or not sum(weights):
                raise SettingError(f"weights must be finite, not negative, and not all 0, got {weights}")
        self.weights = weights

    def reset(self, access: MatrixAccess) -> None:
        """Begin a batch of matches.

        Raises:
            AccessError: the game is of another kind.
            SettingError: there are more or fewer strategies than weights.
        """
        super().reset(access)
        count = len(access.payoff)
        if self.weights is not None and len(self.weights) != count:
            raise SettingError(f"{self!r}: {len(self.weights)} weights for {count} strategies of the {access.player}")
        weights = self.weights or (1.0,) * count
        until = torch.tensor(weights, dtype=torch.float64, device=access.payoff.device).cumsum(0)
        self._until = until / until[-1]

    def act(self, observation: Mapping[str, Tensor], access: MatrixAccess) -> Tensor:
        """A strategy of every match, (G,)."""
        drawn = rng.uniform(access.noise_seeds, "mix", 0, (1,), dtype=torch.float64)
        return torch.searchsorted(self._until, drawn)[:, 0]  # draws lie in (0, 1]: weights of 0 are never drawn


class Answer(Agent):
    """Answers the move it sees by what pays most, the first of equals: the follower of a Stackelberg game."""

    kind = "table"

    def reset(self, access: MatrixAccess) -> None:
        """Begin a batch of matches.

        Raises:
            AccessError: the game is of another kind, or the player sees no move before its own.
        """
        super().reset(access)
        if not access.answers:
            raise AccessError(f"{self!r} answers the other's move, but {access.player} moves first, or at once")

    def act(self, observation: Mapping[str, Tensor], access: MatrixAccess) -> Tensor:
        """A strategy of every match, (G,)."""
        return access.payoff[:, observation["other_now"] - 1].argmax(0)
