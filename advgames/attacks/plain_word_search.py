"""The searches of :mod:`advgames.attacks.word_search` one question at a time: what the batched ones must agree with.

Every candidate is a whole dialogue that the target reads from its first word.
"""

from __future__ import annotations

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
    for d in range(len(said)):
        talk = talks.take(torch.tensor([d], device=said.device))

        def rank(words: list[int], talk: Talks = talk) -> Rank:
            read = _heard(model, talk, words)
            short = max(0.0, stop - _margin(model, read))
            return (short, float("inf")) if short > 0 else (0.0, _loss(model, talk, read, loss))

        words, queries = _greedy(model, _spoken(model, said[d]), rank, replacements)
        results.append((words, rank(words)[1], queries + 1))
    return _found(model, talks, said, results)


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
    names, results = model.vocabulary, []
    for d in range(len(said)):
        talk = talks.take(torch.tensor([d], device=said.device))

        def judged(words: list[int], key: Tensor, talk: Talks = talk) -> float:
            reply = _reply(model, talk, words, key, temperature, max_words)
            behind = [] if reply[0] == names.selection else [*reply, names.them]
            return _loss(model, talk, _heard(model, talk, words, behind), loss)

        def rank(words: list[int], key: Tensor = keys[d : d + 1]) -> Rank:
            return 0.0, judged(words, key)

        words, queries = _greedy(model, _spoken(model, said[d]), rank, replacements)
        losses = [judged(words, keys[d : d + 1] + 1 + sample) for sample in range(samples)]
        results.append((words, sum(losses) / samples, queries + 1 + samples))
    return _found(model, talks, said, results)


def _greedy(
    model: Negotiator, words: list[int], rank: Callable[[list[int]], Rank], replacements: int
) -> tuple[list[int], int]:
    """(the utterance with so many words replaced, how many utterances were judged)."""
    queries = 0
    speakable = _speakable(model).nonzero()[:, 0].tolist()
    for _ in range(replacements if len(words) > 1 else 0):
        padded = {at: rank([*words[:at], model.vocabulary.pad, *words[at + 1 :]]) for at in range(len(words) - 1)}
        spot = min(padded, key=lambda at: padded[at])
        tried = {word: rank([*words[:spot], word, *words[spot + 1 :]]) for word in speakable}
        words = [*words[:spot], min(tried, key=lambda word: tried[word]), *words[spot + 1 :]]
        queries += len(padded) + len(tried)
    return words, queries


def _speakable(model: Negotiator) -> Tensor:
    """Words that may be put into an utterance, (V,) bool."""
    allowed = free_words(model.vocabulary, model.embedding.weight.device)[0].clone()
    allowed[model.vocabulary.selection] = False
    return allowed


def _spoken(model: Negotiator, said: Tensor) -> list[int]:
    return [word for word in said.tolist() if word != model.vocabulary.pad]


def _heard(model: Negotiator, talk: Talks, words: list[int], behind: Sequence[int] = ()) -> Read:
    """The whole dialogue as the target reads it: `words`, its own ``YOU:``, and what stands behind that."""
    names, history = model.vocabulary, talk.words[0, : int(talk.length[0])].tolist()
    tokens = torch.tensor([[*history, names.them, *words, names.you, *behind]], device=talk.words.device)
    goal = model.goal(talk.context)
    return goal, *model.read(goal, tokens)


def _margin(model: Negotiator, read: Read) -> float:
    """The logit of ``<selection>`` as the target's next word, less the largest other."""
    logits = model.next_word(read[1][0, -1])
    return float(logits[model.vocabulary.selection] - logits[_speakable(model)].max())


def _loss(model: Negotiator, talk: Talks, read: Read, loss: DecisionLoss) -> float:
    """The decision loss if the talk ended there."""
    outputs = model.outputs(*read, torch.full_like(talk.length, read[1].shape[1]))
    return float(decision_loss(choice_logits(outputs, talk.context[:, ::2]), talk.gain, loss)[0])


def _reply(
    model: Negotiator, talk: Talks, words: list[int], key: Tensor, temperature: float, max_words: int
) -> list[int]:
    """What the target says then, word by word."""
    names, said = model.vocabulary, list[int]()
    allowed = free_speech(names, max_words, key.device)
    draws = rng.uniform(key, "words", 0, (max_words,), dtype=model.embedding.weight.dtype)[0]
    while not said or said[-1] not in (names.eos, names.selection):
        _, states, _ = _heard(model, talk, words, said)
        may = allowed(torch.tensor([said], device=key.device), len(said))
        logits = model.next_word(states[:, -1]).masked_fill(~may, -torch.inf)
        said.append(int(sample_words(logits, draws[len(said)][None], temperature)))
    return said


def _found(model: Negotiator, talks: Talks, said: Tensor, results: list[tuple[list[int], float, int]]) -> Found:
    words, margins = torch.full_like(said, model.vocabulary.pad), []
    for d, (row, (chosen, _, _)) in enumerate(zip(words, results, strict=True)):
        row[: len(chosen)] = torch.tensor(chosen, device=said.device)
        talk = talks.take(torch.tensor([d], device=said.device))
        margins.append(_margin(model, _heard(model, talk, chosen)))
    losses, queries = (torch.tensor([r[i] for r in results], device=said.device) for i in (1, 2))
    return Found(words, torch.tensor(margins, device=said.device), losses, queries)
