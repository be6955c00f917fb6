"""The decision module step by step, on precomputed tables: how a dialogue begins is read once for all its endings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from advgames.dialogue.splits import NO_DEAL
from advgames.victims.decoding import Decoder
from advgames.victims.negotiator import Negotiator, choice_logits, gru_step, gru_weights

__all__ = ["Base", "Chooser", "Tails"]

# Dialogues worked at once on a CPU: more do not stay in its cache.
_ROWS = 128

# Where the words of one step stand in a table: one after another, or anywhere.
_At = slice | Tensor


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
        """Logits (B, 127) of every choice (eq. 3.6) after dialogues (B, W) of `lengths` words, one at least.

        They end before ``<selection>``. Dialogues of about the same length are worked together.
        """
        decoder = self.decoder
        goal, lengths = decoder.goal(contexts), lengths.clamp(min=1)
        base = self._nothing(goal.code, contexts[:, ::2])
        logits = goal.code.new_empty(len(words), NO_DEAL + 2)
        for rows in _parts(lengths):
            number = lengths[rows]
            some = words[rows, : int(number[0])]
            states = decoder.states(decoder.begin(len(rows)), some, goal.take(rows), number)
            logits[rows] = self._together(base, Tails(rows, torch.zeros_like(rows), some, states, number))
        return logits

    @torch.no_grad()
    def base(self, goal: Tensor, counts: Tensor, words: Tensor, states: Tensor) -> Base:
        """Dialogues (D, T) with the reader's states (D, T, hidden) after each word."""
        everyone = torch.arange(len(words), device=words.device)
        whole = Tails(everyone, torch.zeros_like(everyone), words, states, torch.full_like(everyone, words.shape[1]))
        tables = self._forward(self._nothing(goal, counts), whole, everyone)[:2]
        forward, gates = (table.view(words.shape[1], len(words), -1).transpose(0, 1) for table in tables)
        return Base(goal, counts, forward, forward @ self._attend[0], gates)

    @torch.no_grad()
    def logits(self, base: Base, tails: Tails) -> Tensor:
        """Logits (R, 127) of every choice after each tail (eq. 3.6); a dialogue has one word at least."""
        logits = tails.states.new_empty(len(tails.place), NO_DEAL + 2)
        for rows in _parts(tails.place + tails.lengths):
            logits[rows] = self._together(base, tails.take(rows))
        return logits

    def _together(self, base: Base, tails: Tails) -> Tensor:
        """Logits of tails, those with which the dialogues are longest first.

        At every place of the dialogues only those that reach it are worked: the first of them, without gaps.
        """
        total = tails.place + tails.lengths
        place = torch.arange(int(total[0]), device=total.device)[:, None]  # (Q, 1)
        reach = place < total
        going = reach.sum(1).tolist()
        (forward, attended, gates), at = self._tables(base, tails, place, going)
        other = self._backward(gates, at)
        seen = torch.cat([attended[some] for some in at])
        scores = torch.tanh(torch.cat(other) @ self._attend[1] + seen + self._attend_bias) @ self._attend_out
        weight = scores.new_full(reach.shape, -torch.inf).masked_scatter_(reach, scores).softmax(0)[..., None]
        summary = scores.new_zeros(2, len(total), self.size)
        for some, late, share in zip(at, other, weight, strict=True):
            summary[0, : len(late)].addcmul_(share[: len(late)], forward[some])
            summary[1, : len(late)].addcmul_(share[: len(late)], late)
        goal, counts = base.goal[tails.dialogue], base.counts[tails.dialogue]
        last = torch.tanh(self.model.select_layer(torch.cat([*summary, goal], -1)))
        return choice_logits(self.model.output_logits(last), counts)

    def _tables(
        self, base: Base, tails: Tails, place: Tensor, going: list[int]
    ) -> tuple[tuple[Tensor, Tensor, Tensor], list[_At]]:
        """What is known of every word of the dialogues, as in :class:`Base`, (N, ...); and where each step's stands.

        First the beginnings of the dialogues that the tails belong to, then the tails.
        """
        which, dialogue = torch.unique(tails.dialogue, return_inverse=True)
        first = int(tails.place.amax())
        base = Base(*base[:2], *(part[which, :first] for part in base[2:]))
        forward, gates, begins = self._forward(base, tails, dialogue)
        attended = torch.cat([base.attended.flatten(0, 1), forward[begins[0] :] @ self._attend[0]])
        early = dialogue * first + place[:first]  # (first, R)
        at: list[_At]
        if int(tails.place.amin()) == first:  # the tails lie in order: nothing needs to be copied
            at = [step[:some] for step, some in zip(early, going, strict=False)]
            at += [slice(begin, begin + some) for begin, some in zip(begins, going[first:], strict=False)]
        else:
            begun, row = torch.tensor(begins, device=place.device), torch.arange(len(dialogue), device=place.device)
            index = begun[(place - tails.place).clamp(0, len(begins) - 1)] + row  # (Q, R)
            index[:first] = torch.where(place[:first] < tails.place, early, index[:first])
            at = [step[:some] for step, some in zip(index, going, strict=True)]
        return (forward, attended, gates), at

    def _forward(self, base: Base, tails: Tails, dialogue: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        """(forward direction's hidden states (N, S), backward gates (N, 3 S), where each step of the tails begins).

        First those of `base`, then those of the tails step by step; `dialogue` (R,) is where the tails stand in it.
        """
        # the tails that go on are the first ones if all begin at one place; else a few others are worked in vain
        longest = tails.lengths.flip(0).cummax(0).values.flip(0)
        step = torch.arange(int(longest[0]), device=longest.device)[:, None]
        going = (step < longest).sum(1).tolist()
        known = base.gates.shape[0] * base.gates.shape[1]
        begins = [known, *(known + part for part in itertools.accumulate(going))]
        forward = tails.states.new_empty(begins[-1], self.size)
        gates = tails.states.new_empty(begins[-1], 3 * self.size)
        forward[:known], gates[:known] = base.forward.flatten(0, 1), base.gates.flatten(0, 1)
        hidden = tails.states.new_zeros(len(tails.place), self.size)
        if known:
            before = base.forward[dialogue, (tails.place - 1).clamp(min=0)]
            hidden = torch.where(tails.place[:, None] > 0, before, hidden)
        for n, some in enumerate(going):
            word, state, here = tails.words[:some, n], tails.states[:some, n], slice(*begins[n : n + 2])
            hidden = gru_step(hidden[:some], self._gates(0, word, state), self._grus[0])
            forward[here] = hidden
            self._gates(1, word, state, out=gates[here])
        return forward, gates, begins

    def _backward(self, gates: Tensor, at: list[_At]) -> list[Tensor]:
        """Hidden states of the backward direction at each place, of the dialogues that reach it, each from its end.

        It must be run anew for every tail, while its beginning's share of the gates is the same for all.
        """
        hidden, seen = gates.new_zeros(0, self.size), []
        for some in reversed(at):
            inputs = gates[some]
            hidden = torch.nn.functional.pad(hidden, (0, 0, 0, len(inputs) - len(hidden)))
            hidden = gru_step(hidden, inputs, self._grus[1])
            seen.append(hidden)
        return seen[::-1]

    def _gates(self, direction: int, words: Tensor, states: Tensor, out: Tensor | None = None) -> Tensor:
        """The input's share of a direction's gates, (R, 3 S), from words (R,) and the reader's states (R, hidden)."""
        return torch.addmm(self._word[direction][words], states, self._state[direction], out=out)

    def _nothing(self, goal: Tensor, counts: Tensor) -> Base:
        """Dialogues of which nothing has been read yet."""
        sizes = self.size, self.model.sizes.attention, 3 * self.size
        return Base(goal, counts, *(goal.new_empty(len(goal), 0, size) for size in sizes))


def _parts(lengths: Tensor) -> Iterator[Tensor]:
    """Rows of dialogues of so many words (R,) to be worked together, the longest first."""
    if len(lengths):
        order = lengths.argsort(descending=True, stable=True)
        yield from torch.split(order, _ROWS if lengths.device.type == "cpu" else 4096)
