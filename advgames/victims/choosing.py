"""The decision module step by step, on precomputed tables, so that dialogues that begin alike share their beginning."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from advgames.dialogue.splits import NO_DEAL
from advgames.victims.decoding import Decoder
from advgames.victims.negotiator import Negotiator, choice_logits, gru_step, gru_weights

__all__ = ["Base", "Chooser", "Tails"]

# Worked at once on a CPU: more do not stay in its cache, or are padded to the longest.
_TAILS, _DIALOGUES = 128, 32


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

    def up_to(self, dialogue: int, place: int) -> Beginning | None:
        """The first words of one dialogue; None: there are none of them."""
        if not place:
            return None
        return Beginning(*(part[dialogue, :place] for part in (self.forward, self.attended, self.gates)))


class Beginning(NamedTuple):
    """The first p words of one dialogue, as in :class:`Base`."""

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
        decoder: its decoder, where there is one already.
    """

    @torch.no_grad()
    def __init__(self, model: Negotiator, decoder: Decoder | None = None) -> None:
        self.model = model
        self.decoder = decoder or Decoder(model)
        self.size = model.sizes.select
        hidden, words = model.sizes.hidden, model.embedding.weight
        self._grus = [gru_weights(gru) for gru in (model.select_forward, model.select_backward)]
        self._word = [words @ gru.inputs[:, hidden:].T + gru.bias for gru in self._grus]
        self._state = [gru.inputs[:, :hidden].T.contiguous() for gru in self._grus]
        first, last = model.attend_layer, model.attend_out
        self._attend = [first.weight[:, : self.size].T.contiguous(), first.weight[:, self.size :].T.contiguous()]
        self._attend_bias, self._attend_out = first.bias, last.weight[0]

    @torch.no_grad()
    def choose(self, contexts: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B, 127) of every choice (eq. 3.6) after dialogues (B, W) of `lengths` words.

        They end before ``<selection>``. Dialogues of about the same length are worked together.
        """
        decoder = self.decoder
        goal, lengths = decoder.goal(contexts), lengths.clamp(min=1)
        logits = goal.code.new_empty(len(words), NO_DEAL + 2)
        for rows in torch.split(lengths.argsort(), _rows(_DIALOGUES, words.device)):
            some, own = words[rows, : int(lengths[rows].amax())], goal.take(rows)
            states = decoder.states(decoder.begin(len(rows)), some, own)
            everything = Tails(rows, torch.zeros_like(rows), some, states, lengths[rows])
            logits[rows] = self._alike(None, own.code, contexts[rows, ::2], everything)
        return logits

    @torch.no_grad()
    def base(self, goal: Tensor, counts: Tensor, words: Tensor, states: Tensor) -> Base:
        """Dialogues (D, T) with the reader's states (D, T, hidden) after each word."""
        turned = states.transpose(0, 1)
        forward = self._forward(None, words.T, turned).transpose(0, 1)
        gates = torch.stack([self._gates(1, *at) for at in zip(words.T, turned, strict=True)], 1)
        return Base(goal, counts, forward, forward @ self._attend[0], gates)

    @torch.no_grad()
    def logits(self, base: Base, tails: Tails) -> Tensor:
        """Logits (R, 127) of every choice after each tail (eq. 3.6); those of one beginning are worked together."""
        beginning = tails.dialogue * (base.gates.shape[1] + 1) + tails.place
        groups, member = torch.unique(beginning, return_inverse=True)
        logits = tails.states.new_empty(len(beginning), NO_DEAL + 2)
        for group in range(len(groups)):
            for rows in torch.split((member == group).nonzero()[:, 0], _rows(_TAILS, logits.device)):
                which = tails.dialogue[rows]
                start = base.up_to(int(which[0]), int(tails.place[rows[0]]))
                logits[rows] = self._alike(start, base.goal[which], base.counts[which], tails.take(rows))
        return logits

    def _alike(self, beginning: Beginning | None, goal: Tensor, counts: Tensor, tails: Tails) -> Tensor:
        """Logits of tails that go on after the same words, or after none."""
        longest = int(tails.lengths.amax())
        words, states = tails.words[:, :longest].T, tails.states[:, :longest].transpose(0, 1)  # (n, R, ...)
        inside = torch.arange(longest, device=words.device)[:, None] < tails.lengths
        own = self._forward(None if beginning is None else beginning.forward[-1], words, states)
        other, before = self._backward(None if beginning is None else beginning.gates, words, states, inside)
        scores = self._scores(own @ self._attend[0], other).masked_fill(~inside, -torch.inf)
        if beginning is None:
            weight = scores.softmax(0)
            forward, backward = _weighed(weight, own), _weighed(weight, other)
        else:
            weight = torch.cat([self._scores(beginning.attended[:, None], before), scores]).softmax(0)
            early, late = weight[: len(before)], weight[len(before) :]
            forward = early.T @ beginning.forward + _weighed(late, own)
            backward = _weighed(early, before) + _weighed(late, other)
        last = torch.tanh(self.model.select_layer(torch.cat([forward, backward, goal], -1)))
        return choice_logits(self.model.output_logits(last), counts)

    def _gates(self, direction: int, words: Tensor, states: Tensor) -> Tensor:
        """The input's share of a direction's gates, (R, 3 S), from words (R,) and the reader's states (R, hidden)."""
        return torch.addmm(self._word[direction][words], states, self._state[direction])

    def _scores(self, forward: Tensor, backward: Tensor) -> Tensor:
        """How much attention each word gets, (n, R), before the softmax; the forward direction's share is given."""
        return torch.tanh(backward @ self._attend[1] + forward + self._attend_bias) @ self._attend_out

    def _forward(self, before: Tensor | None, words: Tensor, states: Tensor) -> Tensor:
        """The forward direction over tails (n, R), (n, R, S), from its state where their beginning ends."""
        hidden = states.new_zeros(words.shape[1], self.size)
        if before is not None:
            hidden = hidden + before
        seen = []
        for word, state in zip(words, states, strict=True):
            hidden = gru_step(hidden, self._gates(0, word, state), self._grus[0])
            seen.append(hidden)
        return torch.stack(seen)

    def _backward(
        self, beginning: Tensor | None, words: Tensor, states: Tensor, inside: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The backward direction over tails (n, R, S), each from its own end, and then over their beginning (p, R, S).

        It must be run anew for every tail, while the beginning's share of the gates (p, 3 S) is the same for all.
        """
        hidden = states.new_zeros(words.shape[1], self.size)
        late: list[Tensor] = []
        for step in reversed(range(len(words))):
            after = gru_step(hidden, self._gates(1, words[step], states[step]), self._grus[1])
            hidden = torch.where(inside[step, :, None], after, hidden)
            late.append(hidden)
        early: list[Tensor] = []
        for gates in () if beginning is None else beginning.flip(0):
            hidden = gru_step(hidden, gates, self._grus[1])
            early.append(hidden)
        stacked = torch.stack(early[::-1]) if early else hidden.new_zeros(0, *hidden.shape)
        return torch.stack(late[::-1]), stacked


def _weighed(weight: Tensor, values: Tensor) -> Tensor:
    """sum_n weight[n] values[n]: (R, S) of (n, R) and (n, R, S)."""
    return torch.einsum("nr,nrs->rs", weight, values)


def _rows(on_cpu: int, device: torch.device) -> int:
    return on_cpu if device.type == "cpu" else 4096
