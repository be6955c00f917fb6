"""The searches of :mod:`advgames.attacks.word_search` one question at a time: what the batched ones must agree with.

Every candidate is a whole dialogue that the target reads from its first word.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from advgames import rng
from advgames.attacks.word_search import DecisionLoss, Found, Talks, decision_loss
from advgames.dialogue.speech import free_speech, free_words
from advgames.victims.decoding import sample_words
from advgames.victims.negotiator import Negotiator, choice_logits

__all__ = ["plain_preemptive", "plain_reactive"]

Rank = tuple[float, float]  # by how much the constraint fails, and the decision loss
Read = tuple[Tensor, Tensor, Tensor]  # goal, the reader's states, embedded words


@torch.no_grad()
def plain_reactive(
    model: Negotiator, talks: Talks, said: Tensor, loss: DecisionLoss = "gain", replacements: int = 2, stop: float = 0.0
) -> Found:
    """As :meth:`~advgames.attacks.word_search.WordSearch.reactive`, by plain calls of the model (eq. 3.9-3.11)."""
    results = []
    for one, words in _each(model, talks, said, loss):
        rank = functools.partial(one.ends_badly, stop=stop)
        found, queries = one.greedy(words, rank, replacements)
        results.append((found, one.margin(one.heard(found)), rank(found)[1], queries + 1))
    return _found(model, said, results)


@torch.no_grad()
def plain_preemptive(
    model: Negotiator,
    talks: Talks,
    said: Tensor,
    keys: Tensor,
    temperature: float,
    max_words: int,
    samples: int = 10,
    loss: DecisionLoss = "gain",
    replacements: int = 2,
) -> Found:
    """As :meth:`~advgames.attacks.word_search.WordSearch.preemptive`, by plain calls of the model (eq. 3.12)."""
    results = []
    for (one, words), key in zip(_each(model, talks, said, loss), keys[:, None].unbind(), strict=True):
        judge = functools.partial(one.answers_badly, temperature=temperature, max_words=max_words)
        found, queries = one.greedy(words, functools.partial(judge, key=key), replacements)
        losses = [judge(found, key=key + 1 + sample)[1] for sample in range(samples)]
        results.append((found, one.margin(one.heard(found)), sum(losses) / samples, queries + 1 + samples))
    return _found(model, said, results)


class _Asked:
    """One dialogue, about which its target is asked."""

    def __init__(self, model: Negotiator, talk: Talks, loss: DecisionLoss) -> None:
        self.model, self.talk, self.form = model, talk, loss
        self.names, self.device = model.vocabulary, talk.words.device
        self.speakable = free_words(self.names, self.device)[0].clone()
        self.speakable[self.names.selection] = False

    def greedy(self, words: list[int], rank: Callable[[list[int]], Rank], replacements: int) -> tuple[list[int], int]:
        """(the utterance with so many words replaced, how many utterances were judged)."""
        queries = 0
        for _ in range(replacements if len(words) > 1 else 0):
            padded = {at: rank([*words[:at], self.names.pad, *words[at + 1 :]]) for at in range(len(words) - 1)}
            spot = min(padded, key=lambda at: padded[at])
            tries = {w: [*words[:spot], w, *words[spot + 1 :]] for w in self.speakable.nonzero()[:, 0].tolist()}
            ranks = {word: rank(tried) for word, tried in tries.items()}
            words = tries[min(ranks, key=lambda word: ranks[word])]
            queries += len(padded) + len(tries)
        return words, queries

    def ends_badly(self, words: list[int], stop: float) -> Rank:
        """The rank of an utterance after which the target is to end the talk."""
        read = self.heard(words)
        short = max(0.0, stop - self.margin(read))
        return (short, float("inf")) if short > 0 else (0.0, self.loss(read))

    def answers_badly(self, words: list[int], key: Tensor, temperature: float, max_words: int) -> Rank:
        """The rank of an utterance after the target's answer to which the talk ends."""
        reply = self.reply(words, key, temperature, max_words)
        behind = [] if reply[0] == self.names.selection else [*reply, self.names.them]
        return 0.0, self.loss(self.heard(words, behind))

    def heard(self, words: list[int], behind: Sequence[int] = ()) -> Read:
        """The whole dialogue as the target reads it: `words`, its own ``YOU:``, and what stands behind that."""
        history = self.talk.words[0, : int(self.talk.length[0])].tolist()
        tokens = torch.tensor([[*history, self.names.them, *words, self.names.you, *behind]], device=self.device)
        goal = self.model.goal(self.talk.context)
        return goal, *self.model.read(goal, tokens)

    def margin(self, read: Read) -> float:
        """The logit of ``<selection>`` as the target's next word, less the largest other."""
        logits = self.model.next_word(read[1][0, -1])
        return float(logits[self.names.selection] - logits[self.speakable].max())

    def loss(self, read: Read) -> float:
        """The decision loss if the talk ended there."""
        outputs = self.model.outputs(*read, torch.full_like(self.talk.length, read[1].shape[1]))
        return float(decision_loss(choice_logits(outputs, self.talk.context[:, ::2]), self.talk.gain, self.form)[0])

    def reply(self, words: list[int], key: Tensor, temperature: float, max_words: int) -> list[int]:
        """What the target says then, word by word."""
        allowed, said = free_speech(self.names, max_words, self.device), list[int]()
        draws = rng.uniform(key, "words", 0, (max_words,), dtype=self.model.embedding.weight.dtype)[0]
        while not said or said[-1] not in (self.names.eos, self.names.selection):
            _, states, _ = self.heard(words, said)
            may = allowed(torch.tensor([said], device=self.device), len(said))
            logits = self.model.next_word(states[:, -1]).masked_fill(~may, -torch.inf)
            said.append(int(sample_words(logits, draws[len(said)][None], temperature)))
        return said


def _each(model: Negotiator, talks: Talks, said: Tensor, loss: DecisionLoss) -> list[tuple[_Asked, list[int]]]:
    """Each dialogue, and what its adversary is about to say."""
    rows = torch.split(torch.arange(len(said), device=said.device), 1)
    spoken = [[word for word in row if word != model.vocabulary.pad] for row in said.tolist()]
    return [(_Asked(model, talks.take(row), loss), words) for row, words in zip(rows, spoken, strict=True)]


def _found(model: Negotiator, said: Tensor, results: list[tuple[list[int], float, float, int]]) -> Found:
    words = torch.full_like(said, model.vocabulary.pad)
    for row, (chosen, *_) in zip(words, results, strict=True):
        row[: len(chosen)] = torch.tensor(chosen, device=said.device)
    return Found(words, *(torch.tensor([result[i] for result in results], device=said.device) for i in (1, 2, 3)))
