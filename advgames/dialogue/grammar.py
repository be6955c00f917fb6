"""A fixed grammar over a vocabulary: acts rendered as words, words read as acts, and which words may come next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from functools import cache, lru_cache

import torch
from torch import Tensor

from advgames.dialogue.acts import NUM_ACTS, PASS
from advgames.dialogue.phrases import language, language_words, wordings
from advgames.dialogue.reading import choice_text, read_choice, split_words, understand
from advgames.dialogue.splits import NO_DEAL
from advgames.dialogue.vocabulary import EOS, SELECTION, SPECIAL, THEM, YOU, Vocabulary
from advgames.errors import SettingError

__all__ = ["Grammar"]

_BITS = 60  # acts in one integer
_WORDS = -(-NUM_ACTS // _BITS)


class Grammar:
    """Acts (:mod:`advgames.dialogue.acts`) as utterances of a vocabulary, and back.

    An utterance is words and ``<eos>``, or ``<selection>`` alone, then ``<pad>``; nothing but ``<pad>`` is a pass.
    Each utterance means one act at most (:mod:`advgames.dialogue.phrases` has the language). How many pieces there
    are the grammar does not know: an offer of more than that is an act as well. Tables lie on the CPU; :meth:`to`
    gives a grammar whose tables lie elsewhere, and all tensors handed to a grammar must be on its device.

    Args:
        vocabulary: the words to speak in; None: a small one of the language's own words.

    Attributes:
        vocabulary: as above.
        max_words: the longest utterance with its ``<eos>``.
        start: the state before the first word.

    Raises:
        SettingError: a word of the language is not in the vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary | None = None) -> None:
        words = language_words()
        self.vocabulary = vocabulary or Vocabulary([*SPECIAL, YOU, THEM, *sorted(words)])
        missing = [word for word in words if word not in self.vocabulary]
        if missing:
            raise SettingError(f"the grammar needs words that the vocabulary does not hold: {' '.join(missing)}")
        self.start = 0
        self.max_words = _longest()
        self._next, self._after, self._words, self._acts, self._reach = _tables(self.vocabulary)
        self._rendered, self._wordings = _renderings(self.vocabulary, self.max_words)

    def to(self, device: torch.device | str) -> Grammar:
        """The same grammar with its tables on a device."""
        moved = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(moved, name, value.to(device))
        return moved

    def render(self, acts: Tensor, wording: Tensor | int = 0) -> Tensor:
        """Acts (G,) from 0 to 162 as words, (G, max_words) int64.

        Args:
            acts: what to say; a pass is all ``<pad>``.
            wording: which wording of each act, (G,) or one for all, modulo the number of its wordings.
        """
        return self._rendered[acts, wording % self._wordings[acts]]

    def parse(self, tokens: Tensor) -> Tensor:
        """The acts (G,) that utterances (G, L) mean; -1 where they are none of the language."""
        states = torch.full((len(tokens),), self.start, device=tokens.device)
        for words in tokens.unbind(1):
            states = self.advance(states, words)
        return torch.where(states == self.start, PASS, self._acts[states])  # no column at all is a pass too

    def advance(self, states: Tensor, words: Tensor) -> Tensor:
        """The states (G,) after one more word (G,) each; what does not parse ends in a state with no way out."""
        known = (words >= 0) & (words < len(self.vocabulary))
        after = self._next[states, words.clamp(0, len(self.vocabulary) - 1)]
        return torch.where(known, after, len(self._acts) - 1)

    def acts_at(self, states: Tensor) -> Tensor:
        """The acts (G,) of utterances that end in these states; -1 where they are not complete, or none."""
        return self._acts[states]

    def next_words(self, states: Tensor, legal: Tensor) -> Tensor:
        """Exactly the words after which an utterance can still become a legal act, (G, V) bool.

        A closed utterance goes on with ``<pad>``, where its act is legal; ``<pad>`` as the first word is a pass.

        Args:
            states: where the utterances stand, (G,).
            legal: which acts may be said, (G, 163) bool.
        """
        after = self._after[states]  # (G, K)
        useful = (self._reach[after] & _packed(legal)[:, None] != 0).any(-1)
        allowed = torch.zeros(len(states), len(self.vocabulary) + 1, dtype=torch.bool, device=states.device)
        return allowed.scatter_(1, self._words[states], useful)[:, :-1]  # the last column takes what fills the table

    def read(self, text: str) -> list[int] | None:
        """What a person or a language model wrote, as ids with the closing ``<eos>``; None: there is no word in it.

        Where the text itself is not of the language, but what is left of it without greetings, thanks and full stops
        is, that is taken (``Hi, I want 2 hats and 0 balls.``: ``i want 2 hats``). Unknown words become ``<unk>``.
        """
        words = split_words(text)
        if not words:
            return None
        if words in ([SELECTION], ["selection"]):
            return [self.vocabulary.selection]
        return self.vocabulary.encode([*understand(words)[0], EOS])

    def say(self, tokens: Iterable[int] | Tensor) -> str:
        """An utterance (L,) as text, without ``<eos>`` and padding."""
        ids = tokens.tolist() if isinstance(tokens, Tensor) else tokens
        return " ".join(word for word in self.vocabulary.decode(ids) if word != EOS)

    def read_choice(self, text: str, counts: Sequence[int]) -> int | None:
        """The choice that a text makes out of `counts`: a split, or :data:`~advgames.dialogue.splits.NO_DEAL`.

        None where it cannot be read, or takes more than there is. It reads ``1 book and 2 hats``,
        ``item0=1 item1=2 item2=0``, ``book: 1, hat: 2``, ``nothing``, ``everything`` and ``no deal``.
        """
        return read_choice(text, counts)

    def say_choice(self, choice: int) -> str:
        """A choice as :meth:`read_choice` reads it."""
        if not 0 <= choice <= NO_DEAL:
            raise SettingError(f"a choice is a split from 0 to {NO_DEAL - 1} or {NO_DEAL} (no deal), got {choice}")
        return choice_text(choice)


def _packed(acts: Tensor) -> Tensor:
    """Sets of acts (N, 163) bool as bits, (N, 3) int64."""
    flags = torch.nn.functional.pad(acts.long(), (0, _WORDS * _BITS - NUM_ACTS)).view(-1, _WORDS, _BITS)
    return (flags << torch.arange(_BITS, device=acts.device)).sum(-1)


@cache
def _longest() -> int:
    """The most words from the start of the language to the end of an utterance."""
    automaton = language()
    longest = {state: 0 for state, meaning in enumerate(automaton.meanings) if meaning >= 0}

    def walk(state: int) -> int:
        if state not in longest:
            longest[state] = 1 + max(map(walk, automaton.edges[state].values()))
        return longest[state]

    return walk(0)


@lru_cache(maxsize=4)
def _tables(vocabulary: Vocabulary) -> tuple[Tensor, ...]:
    """The language over ids, S states of which the last is the dead one.

    Returns the state after each word (S, V); the living ones among them (S, K) and their words (S, K), filled up with
    the dead state and V; the act of each closed state (S,), else -1; and the acts within reach of each, packed (S, 3).
    """
    automaton = language()
    dead, filler = len(automaton.edges), len(vocabulary)
    widest = max(map(len, automaton.edges))
    following = torch.full((dead + 1, filler), dead)
    after, words = torch.full((dead + 1, widest), dead), torch.full((dead + 1, widest), filler)
    reach = torch.zeros(dead + 1, NUM_ACTS, dtype=torch.bool)
    for state, (edges, acts) in enumerate(zip(automaton.edges, automaton.reachable(), strict=True)):
        ids, targets = torch.tensor(vocabulary.encode(edges, strict=True)), torch.tensor([*edges.values()])
        following[state, ids] = targets
        words[state, : len(ids)], after[state, : len(ids)] = ids, targets
        reach[state, list(acts)] = True
    return following, after, words, torch.tensor([*automaton.meanings, -1]), _packed(reach)


@lru_cache(maxsize=4)
def _renderings(vocabulary: Vocabulary, length: int) -> tuple[Tensor, Tensor]:
    """All wordings of all acts (163, W, length), and how many each act has (163,)."""
    said = [wordings(act) for act in range(NUM_ACTS)]
    many = torch.tensor([len(phrases) for phrases in said])
    tokens = torch.full((NUM_ACTS, int(many.max()), length), vocabulary.pad)
    for act, phrases in enumerate(said):
        for wording, phrase in enumerate(phrases):
            words = phrase.split()
            closed = words if words in ([], [SELECTION]) else [*words, EOS]
            tokens[act, wording, : len(closed)] = torch.tensor(vocabulary.encode(closed, strict=True))
    return tokens, many
