"""Kinds of utterances in free text, by keywords, and how far two ways of talking lie apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch

from advgames.dialogue.acts import KINDS, NUM_ACTS, act_kind
from advgames.dialogue.reading import understand
from advgames.dialogue.vocabulary import EOS, PAD, SELECTION, THEM, YOU

__all__ = ["drift", "kind_distribution", "tag_kinds"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ITEMS = _words(
    "book books hat hats ball balls bald basketball basketballs item items rest everything each all half both other "
    "others 1 2 3 4 one two three four"
)
_OFFERS = _words(
    "want wanted need take taking give giving have get gets keep keeping like trade offer leave prefer gimme split i'd "
    "i'll ill let lemme interested"
)
_HINTS = _words("for could can do about me live yours mine")  # of an offer, where nothing is said of worth
_VALUES = _words("worth worthless value values valuable points point useless score")
_QUESTIONS = _words("what what's which how why who")
_NEGATIONS = _words(
    "no nope nah naw never nd not can't cant cannot won't wont don't dont doesn't isn't nodeal neither final impasse "
    "stuck unfortunately greedy sorry"
)
_CONSENTS = _words(
    "deal ok okay sure yes yep yeah yup yea ya great fine good agreed agree accept acceptable perfect works work fair "
    "alright cool correct right thanks thank thx awesome done nice happy"
)
_FRAGMENT = 5  # words: "balls and hats for me", "one hat"
_KINDS = tuple(KINDS[kind] for kind in act_kind(torch.arange(NUM_ACTS)).tolist())


def tag_kinds(words: Sequence[str]) -> str:
    """The kind of one utterance (one of :data:`~advgames.dialogue.acts.KINDS`), with or without its ``<eos>``.

    What the grammar reads has the kind of its act. Anything else is judged by its words, in this order: items with a
    verb of wanting or giving are a proposal, words of worth inform, a question asks, a negation insists, consent
    accepts. It is a rule of thumb: it does not see who gets what, nor that a refusal may hold a counteroffer.
    """
    plain = [word for word in words if word not in (EOS, PAD, YOU, THEM)]
    if SELECTION in plain or not plain:
        return "end" if plain else "pass"
    act = understand(plain)[1]
    return _KINDS[act] if act >= 0 else _by_keywords(plain)


def kind_distribution(utterances: Iterable[Sequence[str]]) -> dict[str, float]:
    """The share of each kind among utterances, in the order of the kinds; passes are not counted."""
    counts = Counter(tuple(words) for words in utterances)
    kinds: Counter[str] = Counter()
    for words, n in counts.items():
        kinds[tag_kinds(words)] += n
    said = {kind: kinds[kind] for kind in KINDS if kind != "pass"}
    return {kind: n / max(sum(said.values()), 1) for kind, n in said.items()}


def drift(p: Mapping[str, float], q: Mapping[str, float]) -> float:
    """Total variation distance ``1/2 sum_k |p_k - q_k|``: 0 for the same distribution, 1 where no kind is shared."""
    return sum(abs(p.get(kind, 0.0) - q.get(kind, 0.0)) for kind in {*p, *q}) / 2


def _by_keywords(words: Sequence[str]) -> str:
    seen = set(words)
    items, question = bool(seen & _ITEMS), "?" in seen or words[0] in _QUESTIONS
    if items and seen & _OFFERS:
        return "propose"
    if seen & _VALUES:
        return "ask" if question else "inform"
    if items and (seen & _HINTS or (len(words) <= _FRAGMENT and not seen & _NEGATIONS)):
        return "propose"
    if question:
        return "other" if items else "ask"
    if seen & _NEGATIONS:
        return "insist"
    return "accept" if seen & _CONSENTS else "other"
