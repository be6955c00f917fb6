"""The search of :mod:`advgames.attacks.word_search` one question at a time: what the batched one must agree with.

Every candidate is a whole dialogue that the target reads from its first word.
"""

from __future__ import annotations

import torch
from torch import Tensor

from advgames.attacks.word_search import DecisionLoss, Found, Talks, decision_loss
from advgames.dialogue.speech import free_words
from advgames.victims.negotiator import Negotiator, choice_logits

__all__ = ["plain_reactive"]


@torch.no_grad()
def plain_reactive(
    model: Negotiator, talks: Talks, said: Tensor, loss: DecisionLoss = "gain", replacements: int = 2, stop: float = 0.0
) -> Found:
    """As :meth:`~advgames.attacks.word_search.WordSearch.reactive`, by plain calls of the model (eq. 3.9-3.11)."""
    names = model.vocabulary
    speakable = free_words(names, said.device)[0].clone()
    speakable[names.selection] = False
    results = []
    for d in range(len(said)):
        words = [int(word) for word in said[d] if int(word) != names.pad]
        talk = talks.take(torch.tensor([d], device=said.device))
        queries = 0
        for _ in range(replacements if len(words) > 1 else 0):
            padded = {at: [*words[:at], names.pad, *words[at + 1 :]] for at in range(len(words) - 1)}
            ranks = {at: _rank(model, talk, tried, loss, stop, speakable) for at, tried in padded.items()}
            spot = min(ranks, key=lambda at: ranks[at])
            tries = {int(w): [*words[:spot], int(w), *words[spot + 1 :]] for w in speakable.nonzero()[:, 0]}
            ranks = {w: _rank(model, talk, tried, loss, stop, speakable) for w, tried in tries.items()}
            words = tries[min(ranks, key=lambda w: ranks[w])]
            queries += len(padded) + len(tries)
        _, value = _rank(model, talk, words, loss, stop, speakable)
        results.append((words, _margin(model, _read(model, talk, words)[1], speakable), value, queries + 1))
    found = torch.full_like(said, names.pad)
    for row, (words, *_) in zip(found, results, strict=True):
        row[: len(words)] = torch.tensor(words, device=said.device)
    margins, losses, queries_ = (torch.tensor([r[i] for r in results], device=said.device) for i in (1, 2, 3))
    return Found(found, margins, losses, queries_)


def _rank(
    model: Negotiator, talk: Talks, words: list[int], loss: DecisionLoss, stop: float, speakable: Tensor
) -> tuple[float, float]:
    """(by how much eq. 3.9 fails, decision loss) of one utterance in one dialogue."""
    goal, states, embedded = _read(model, talk, words)
    short = max(0.0, stop - _margin(model, states, speakable))
    if short > 0:
        return short, float("inf")
    outputs = model.outputs(goal, states, embedded, torch.full_like(talk.length, states.shape[1]))
    return 0.0, float(decision_loss(choice_logits(outputs, talk.context[:, ::2]), talk.gain, loss)[0])


def _read(model: Negotiator, talk: Talks, words: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """(goal, states, embedded words) of the whole dialogue as the target reads it, up to its own ``YOU:``."""
    names, history = model.vocabulary, talk.words[0, : int(talk.length[0])].tolist()
    tokens = torch.tensor([[*history, names.them, *words, names.you]], device=talk.words.device)
    goal = model.goal(talk.context)
    return goal, *model.read(goal, tokens)


def _margin(model: Negotiator, states: Tensor, speakable: Tensor) -> float:
    """The logit of ``<selection>`` as the target's next word, less the largest other."""
    logits = model.next_word(states[0, -1])
    return float(logits[model.vocabulary.selection] - logits[speakable].max())
