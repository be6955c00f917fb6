"""The decision module step by step, on precomputed tables, so that dialogues that begin alike share their beginning."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from advgames.dialogue.splits import NO_DEAL
from advgames.victims.negotiator import Negotiator, choice_logits, gru_step, gru_weights

__all__ = ["Base", "Chooser", "Tails"]

_CPU_ROWS = 512  # tails worked at once on a CPU: more do not stay in its cache


class Base(NamedTuple):
    """D dialogues as the chooser has read them, of T words at most.

    Attributes:
        goal: what the side wants, (D, goal).
        counts: pieces of each item, (D, 3).
        forward: hidden state of the forward direction after each word, (D, T, S).
        attended: its share of the attention's first layer, (D, T, A).
        gates: each word's share of the backward direction's gates, (D, T, 3 S).
    """

    goal: Tensor
    counts: Tensor
    forward: Tensor
    attended: Tensor
    gates: Tensor


class Tails(NamedTuple):
    """R ways to go on after some words of the base dialogues.

    Attributes:
        dialogue: which dialogue, (R,).
        place: how many of its words stay, (R,).
        words: what follows, (R, n).
        states: the reader's hidden state after each of these, (R, n, hidden).
        lengths: how many of them count, (R,).
    """

    dialogue: Tensor
    place: Tensor
    words: Tensor
    states: Tensor
    lengths: Tensor

    def take(self, index: Tensor) -> Tails:
        """Some of them."""
        return Tails(*(part[index] for part in self))


class Chooser:
    """A negotiator's decision module in evaluation mode, without gradients.

    Args:
        model: the negotiator; a later change of its weights is not seen.
    """

    @torch.no_grad()
    def __init__(self, model: Negotiator) -> None:
        self.model = model
        self.size = model.sizes.select
        hidden, words = model.sizes.hidden, model.embedding.weight
        self._grus = [gru_weights(gru) for gru in (model.select_forward, model.select_backward)]
        self._word = [words @ gru.inputs[:, hidden:].T + gru.input_bias for gru in self._grus]
        self._state = [gru.inputs[:, :hidden].T.contiguous() for gru in self._grus]
        first, last = model.attend_layer, model.attend_out
        self._attend = [first.weight[:, : self.size].T.contiguous(), first.weight[:, self.size :].T.contiguous()]
        self._attend_bias, self._attend_out = first.bias, last.weight[0]

    @torch.no_grad()
    def base(self, goal: Tensor, counts: Tensor, words: Tensor, states: Tensor) -> Base:
        """Dialogues (D, T) with the reader's states (D, T, hidden) after each word."""
        gates = self._gates(0, words, states)
        hidden = gates.new_zeros(len(words), self.size)
        seen = []
        for step in range(words.shape[1]):
            hidden = gru_step(hidden, gates[:, step], self._grus[0])
            seen.append(hidden)
        forward = torch.stack(seen, 1)
        return Base(goal, counts, forward, forward @ self._attend[0], self._gates(1, words, states))

    @torch.no_grad()
    def logits(self, base: Base, tails: Tails) -> Tensor:
        """Logits (R, 127) of every choice after each tail (eq. 3.6); tails of the same beginning are worked together."""
        beginning = tails.dialogue * (base.gates.shape[1] + 1) + tails.place
        groups, member = torch.unique(beginning, return_inverse=True)
        logits = tails.states.new_empty(len(beginning), NO_DEAL + 2)
        size = _CPU_ROWS if logits.device.type == "cpu" else len(logits)
        for group in range(len(groups)):
            for rows in torch.split((member == group).nonzero()[:, 0], size):
                dialogue, place = int(tails.dialogue[rows[0]]), int(tails.place[rows[0]])
                logits[rows] = self._alike(base, dialogue, place, tails.take(rows))
        return logits

    def _alike(self, base: Base, dialogue: int, place: int, tails: Tails) -> Tensor:
        """Logits of tails that go on after the same words of the same dialogue."""
        longest = int(tails.lengths.amax())
        words, states = tails.words[:, :longest], tails.states[:, :longest]
        forward = self._forward(base.forward[dialogue, place - 1] if place else None, words, states)
        inside = torch.arange(longest, device=words.device) < tails.lengths[:, None]
        late, early = self._backward(base.gates[dialogue, :place], self._gates(1, words, states), inside)
        of_late = self._scores(forward @ self._attend[0], late).masked_fill(~inside, -torch.inf)
        weight = torch.cat([self._scores(base.attended[dialogue, :place], early), of_late], -1).softmax(-1)
        own = weight[:, :place] @ base.forward[dialogue, :place]
        own = own + (weight[:, None, place:] @ forward)[:, 0]
        other = (weight[:, None, :place] @ early + weight[:, None, place:] @ late)[:, 0]
        goal = base.goal[dialogue].expand(len(words), -1)
        last = torch.tanh(self.model.select_layer(torch.cat([own, other, goal], -1)))
        return choice_logits(self.model.output_logits(last), base.counts[dialogue].expand(len(words), -1))

    def _gates(self, direction: int, words: Tensor, states: Tensor) -> Tensor:
        return states @ self._state[direction] + self._word[direction][words]

    def _scores(self, forward: Tensor, backward: Tensor) -> Tensor:
        """How much attention each word gets, (R, T), before the softmax; of the forward direction the share is given."""
        return torch.tanh(backward @ self._attend[1] + forward + self._attend_bias) @ self._attend_out

    def _forward(self, before: Tensor | None, words: Tensor, states: Tensor) -> Tensor:
        """The forward direction over tails (R, n), (R, n, S), from its state where their beginning ends."""
        gates = self._gates(0, words, states)
        hidden = gates.new_zeros(len(words), self.size)
        if before is not None:
            hidden = hidden + before
        seen = []
        for step in range(words.shape[1]):
            hidden = gru_step(hidden, gates[:, step], self._grus[0])
            seen.append(hidden)
        return torch.stack(seen, 1)

    def _backward(self, beginning: Tensor, gates: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """The backward direction over tails (R, n, S), each from its own end, and then over their beginning (R, p, S).

        It must be run anew for every tail, while the beginning's share of the gates (p, 3 S) is the same for all.
        """
        hidden = gates.new_zeros(len(gates), self.size)
        late, early = [], []
        for step in reversed(range(gates.shape[1])):
            after = gru_step(hidden, gates[:, step], self._grus[1])
            hidden = torch.where(inside[:, step, None], after, hidden)
            late.append(hidden)
        for step in reversed(range(len(beginning))):
            hidden = gru_step(hidden, beginning[step], self._grus[1])
            early.append(hidden)
        stacked = torch.stack(early[::-1], 1) if early else hidden.new_zeros(len(hidden), 0, self.size)
        return torch.stack(late[::-1], 1), stacked
