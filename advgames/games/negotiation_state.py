"""The state of the negotiation game: G dialogues in progress."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from advgames.games.base import State

__all__ = ["OUTCOMES", "NegotiationState"]

OUTCOMES = ("open", "agreed", "disagreed", "no deal", "illegal")


@dataclass
class NegotiationState(State):
    """G dialogues; sides are 0 for the attacker and 1 for the defender.

    Attributes:
        round, phase: a round is one turn of each side; the last one is that of the choices.
        seeds: match seeds, (G,).
        counts: pieces of each item, (G, 3).
        values: what a piece is worth to each side, (G, 2, 3).
        opener: the side that speaks first, (G,).
        turn: utterances finished so far, (G,).
        words: the dialogue as the attacker reads it, (G, W): each utterance opened by ``YOU:`` or ``THEM:``.
        length: words in it, (G,).
        starts: where each utterance begins (its opening word), (G, T).
        acts: the act of each finished utterance, (G, T): -1 no act of the grammar that was open to the
            speaker, -2 not spoken yet.
        node: where in the grammar the unfinished utterance stands, (G,).
        offers: the split that each side offered last, as what it takes, (G, 2); -1 none.
        offerer: the side of the last offer, (G,); -1 none.
        talking: whether the dialogue goes on, (G,) bool.
        choices: what each side chose, (G, 2); -1 nothing yet.
        outcome: place in :data:`OUTCOMES`, (G,).
        offender: the side that brought an ``illegal`` outcome about, (G,); -1 none.
        scores: what each side got, (G, 2).
    """

    round: int
    phase: int
    seeds: Tensor
    counts: Tensor
    values: Tensor
    opener: Tensor
    turn: Tensor
    words: Tensor
    length: Tensor
    starts: Tensor
    acts: Tensor
    node: Tensor
    offers: Tensor
    offerer: Tensor
    talking: Tensor
    choices: Tensor
    outcome: Tensor
    offender: Tensor
    scores: Tensor

    @property
    def speaker(self) -> Tensor:
        """The side whose turn it is, (G,); -1 where nobody speaks any more."""
        return ((self.opener + self.turn) % 2).where(self.talking, -1)

    def spoken_by(self, side: int) -> Tensor:
        """Which of the finished utterances are a side's, (G, T) bool."""
        turns = torch.arange(self.acts.shape[1], device=self.acts.device)
        return ((self.opener[:, None] + turns) % 2 == side) & (self.acts > -2)

    @property
    def said(self) -> Tensor:
        """Words of the unfinished utterance, its opening word not counted, (G,)."""
        begun = self.starts.gather(1, self.turn.clamp(max=self.starts.shape[1] - 1)[:, None])[:, 0]
        return (self.length - begun - 1).clamp(min=0).where((begun >= 0) & self.talking, 0)
