"""What the players of a payoff table know: the whole table, and what was played."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from advgames.access import Access

__all__ = ["MatrixAccess"]


class MatrixAccess(Access):
    """The rules of the table, which everybody knows.

    Attributes:
        payoff: the player's own payoffs, its strategies down and the other's across, (own, other).
        other_payoff: the other player's, laid out in the same way.
        answers: whether the player sees what the other plays in this round before it moves.
    """

    kind = "table"

    def __init__(self, *, payoff: Tensor, other_payoff: Tensor, answers: bool, **common: Any) -> None:
        super().__init__(**common)
        self.payoff = payoff
        self.other_payoff = other_payoff
        self.answers = answers
