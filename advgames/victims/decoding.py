"""Speaking with a negotiator: its recurrent step on precomputed tables, and batched sampling of words."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from advgames import rng
from advgames.victims.negotiator import Negotiator, gru_step, gru_weights

__all__ = ["Decoder", "Goal", "sample_words"]


class Goal(NamedTuple):
    """What a side wants, as the model sees it: its code (B, goal), and that as the reader's input (B, 3 hidden)."""

    code: Tensor
    gates: Tensor

    def take(self, index: Tensor) -> Goal:
        """The goals of some dialogues."""
        return Goal(self.code[index], self.gates[index])


class Decoder:
    """A negotiator in evaluation mode, step by step, without gradients.

    The reader's input is a word and the goal: the share of every word of the vocabulary is computed once, and so is
    the product of the two output layers.

    Args:
        model: the negotiator; a later change of its weights is not seen.
    """

    @torch.no_grad()
    def __init__(self, model: Negotiator) -> None:
        self.model = model
        self.vocabulary, self.sizes = model.vocabulary, model.sizes
        self._reader, words = gru_weights(model.reader), model.embedding.weight
        self.word_gates = words @ self._reader.inputs[:, : model.sizes.word].T + self._reader.bias
        self._goal_weight = self._reader.inputs[:, model.sizes.word :].T.contiguous()
        self._speak = (model.speak_layer.weight.T @ words.T).contiguous()
        self._speak_bias = words @ model.speak_layer.bias

    @torch.no_grad()
    def goal(self, contexts: Tensor) -> Goal:
        """Goals of contexts ``c0 v0 c1 v1 c2 v2`` (B, 6)."""
        code = self.model.goal(contexts)
        return Goal(code, code @ self._goal_weight)

    def begin(self, matches: int) -> Tensor:
        """The hidden state before the first word, (B, hidden)."""
        return torch.zeros(matches, self.sizes.hidden, dtype=self._speak.dtype, device=self._speak.device)

    @torch.no_grad()
    def step(self, hidden: Tensor, words: Tensor, goal: Goal) -> Tensor:
        """The hidden state (B, hidden) after one more word (B,): a GRU's step."""
        return gru_step(hidden, self.word_gates[words] + goal.gates, self._reader)

    @torch.no_grad()
    def read(self, hidden: Tensor, words: Tensor, start: Tensor, end: Tensor, goal: Goal) -> Tensor:
        """The hidden state after the words at places `start` to `end` (exclusive), (B,) each, of dialogues (B, W)."""
        hidden = hidden.clone()
        rows = (start < end).nonzero()[:, 0]  # those with words left; the others cost nothing
        offset = 0
        while len(rows):
            word = words[rows, start[rows] + offset]
            hidden[rows] = self.step(hidden[rows], word, goal.take(rows))
            offset += 1
            rows = rows[start[rows] + offset < end[rows]]
        return hidden

    @torch.no_grad()
    def next_word(self, hidden: Tensor) -> Tensor:
        """Logits (..., V) of the next word."""
        return hidden @ self._speak + self._speak_bias

    @torch.no_grad()
    def states(self, hidden: Tensor, words: Tensor, goal: Goal, lengths: Tensor | None = None) -> Tensor:
        """The hidden state after each of words (B, n), (B, n, hidden), from `hidden`.

        With `lengths` (B,), the longest first, only so many words of each are read; behind them stand zeros.
        """
        states = words.new_zeros(words.shape[1], *hidden.shape, dtype=hidden.dtype)  # in memory as it will be read
        going = [len(words)] * words.shape[1]
        if lengths is not None:
            going = (torch.arange(words.shape[1], device=words.device)[:, None] < lengths).sum(1).tolist()
        for n, some in enumerate(going):
            hidden = self.step(hidden[:some], words[:some, n], Goal(goal.code[:some], goal.gates[:some]))
            states[n, :some] = hidden
        return states.transpose(0, 1)

    @torch.no_grad()
    def speak(
        self,
        hidden: Tensor,
        goal: Goal,
        keys: Tensor,
        allowed: Callable[[Tensor, int], Tensor],
        max_words: int,
        temperature: float,
    ) -> tuple[Tensor, Tensor]:
        """(utterances (B, max_words) padded, hidden state behind them) sampled word by word (eq. 3.5).

        Args:
            hidden: after the opening word ``YOU:``, (B, hidden).
            goal: of the speaker.
            keys: seeds (B,) of each utterance's randomness.
            allowed: (utterances so far (B, L), number n of their words) -> words that may come next, (B, V) or (V,).
            max_words: of an utterance, its end included.
            temperature: of the sampling; 0: the most likely word.
        """
        names = self.vocabulary
        said = torch.full((len(keys), max_words), names.pad, device=keys.device)
        hidden = hidden.clone()
        draws = rng.uniform(keys, "words", 0, (max_words,), dtype=hidden.dtype)
        rows = torch.arange(len(keys), device=keys.device)  # utterances that go on; the others cost nothing
        for n in range(max_words):
            may = allowed(said, n)
            logits = self.next_word(hidden[rows]).masked_fill(~(may if may.ndim == 1 else may[rows]), -torch.inf)
            word = sample_words(logits, draws[rows, n], temperature)
            said[rows, n] = word
            hidden[rows] = self.step(hidden[rows], word, goal.take(rows))
            rows = rows[(word != names.eos) & (word != names.selection)]
            if not len(rows):
                break
        return said, hidden


def sample_words(logits: Tensor, draws: Tensor, temperature: float) -> Tensor:
    """One word (B,) of each row of logits (B, V), by inversion of one uniform number (B,) each."""
    if temperature == 0:
        return logits.argmax(-1)
    chances = torch.softmax(logits / temperature, -1)
    return _inverted(chances, chances.cumsum(-1), draws)


def _inverted(chances: Tensor, cumulative: Tensor, draws: Tensor) -> Tensor:
    """The first word (B,) that has a chance and whose cumulative chance (B, V) reaches the draw (B,).

    A sum that is added in parallel need not grow with every word: where none reaches the draw, the likeliest.
    """
    reached = (cumulative >= draws[:, None] * cumulative[:, -1:]) & (chances > 0)
    before = torch.arange(chances.shape[-1] + 1, 1, -1, device=chances.device, dtype=chances.dtype)
    return torch.where(reached, before, chances).argmax(-1)
