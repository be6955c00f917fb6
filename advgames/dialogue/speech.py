"""Which words may be spoken where, and who said which word of a dialogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from advgames.dialogue.vocabulary import Vocabulary

__all__ = ["free_mask", "free_speech", "free_words", "own_words", "turned", "utterances"]


def free_words(vocabulary: Vocabulary, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Words that may open, continue, and (at the last place) end an utterance without a grammar, (V,) bool each.

    ``<selection>`` is an utterance of its own, ``<eos>`` needs a word before it, and some words are never spoken.
    """
    between = torch.ones(len(vocabulary), dtype=torch.bool, device=device)
    between[list(vocabulary.unspeakable)] = False
    first, last = between.clone(), torch.zeros_like(between)
    first[vocabulary.eos] = between[vocabulary.selection] = False
    last[vocabulary.eos] = True
    return first, between, last


def free_mask(vocabulary: Vocabulary, before: Tensor, max_words: int) -> Tensor:
    """Words that may follow `before` (...) words of an utterance without a grammar, (..., V) bool."""
    first, between, last = free_words(vocabulary, before.device)
    before = before[..., None]
    return torch.where(before >= max_words - 1, last, torch.where(before == 0, first, between))


def free_speech(vocabulary: Vocabulary, max_words: int, device: torch.device) -> Callable[[Tensor, int], Tensor]:
    """(utterances so far, number n of their words) -> words that may come next without a grammar, (V,) bool."""
    first, between, last = free_words(vocabulary, device)
    return lambda said, n: first if n == 0 else last if n == max_words - 1 else between


def turned(words: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Dialogues as the other side reads them: ``YOU:`` and ``THEM:`` change places."""
    you, them = vocabulary.you, vocabulary.them
    return torch.where(words == you, them, torch.where(words == them, you, words))


def own_words(words: Tensor, lengths: Tensor, vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """Of dialogues (G, W): which words their reader said itself, bool, and how many of the utterance went before.

    Opening words are nobody's; the second number is -1 there, and meaningless behind the end of a dialogue.
    """
    opens = (words == vocabulary.you) | (words == vocabulary.them)
    place = torch.arange(words.shape[1], device=words.device)
    opened = torch.where(opens, place, 0).cummax(1).values
    mine = (words.gather(1, opened) == vocabulary.you) & ~opens & (place < lengths[:, None])
    return mine, place - opened - 1


def utterances(words: Iterable[int], vocabulary: Vocabulary) -> list[tuple[bool, str]]:
    """The utterances of a dialogue: whether its reader (or the attacker) said each, and the words without ``<eos>``."""
    found: list[tuple[bool, list[str]]] = []
    for word in words:
        if word in (vocabulary.you, vocabulary.them):
            found.append((word == vocabulary.you, []))
        elif word not in (vocabulary.eos, vocabulary.pad):
            found[-1][1].append(vocabulary.words[word])
    return [(mine, " ".join(said)) for mine, said in found]
