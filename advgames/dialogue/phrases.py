"""What negotiators say: the wordings of each act, and the language in which acts are read from words.

Every word is among the 463 most frequent of the Deal-or-No-Deal dialogues, so that a model of the real data can
speak it. The language is wider than the wordings: items in any order, ``two`` and ``both`` for ``2``, ``the hat``
for ``1 hat``, a full stop at the end. No utterance of it is longer than 16 words with ``<eos>``. A refusal (``no``,
``no deal``) is read as an insistence, since it leaves the table as it was.
"""

from __future__ import annotations

from functools import cache

import torch

from advgames.dialogue.acts import ACCEPT, ASK, END, INFORM, INSIST, NUM_ACTS, PASS, PROPOSE, VALUES
from advgames.dialogue.automaton import Automaton, Network
from advgames.dialogue.splits import ITEMS, NUM_SPLITS, split_index, split_items
from advgames.dialogue.vocabulary import EOS, PAD, SELECTION

__all__ = ["AMOUNTS", "PLURALS", "language", "language_words", "name_items", "wordings"]

PLURALS = tuple(f"{name}s" for name in ITEMS)
AMOUNTS = {1: ("1", "one", "a", "the"), 2: ("2", "two", "both"), 3: ("3", "three"), 4: ("4", "four")}
_NINE = "1 less than 10"  # "9" is rarer than 20 times in the real dialogues
_WORTH: list[tuple[str, ...]] = [(str(value),) for value in range(VALUES)]
_WORTH[0], _WORTH[9] = ("0", "zero", "nothing"), (_NINE,)
for _value, _name in enumerate(("one", "two", "three", "four"), 1):
    _WORTH[_value] += (_name,)

_HEADS = ("i want", "i would like", "give me", "i need")
_MORE_HEADS = ("", "i take", "i'd like", "i'll take", "i will take", "can i have", "gimme")
_SAID = {  # the wordings that are rendered
    PROPOSE: ("you can have everything", "you can have it all", "i want nothing"),
    INSIST: ("no i need what i said", "that is my final offer", "no"),
    ACCEPT: ("deal", "ok deal", "sounds good", "ok"),
    ASK: ("what do you want ?", "what would you like ?", "what do you need ?"),
}
_READ = {  # more that is understood
    PROPOSE: ("i need nothing", "you get everything", "you take everything", "you can take everything"),
    INSIST: ("no deal", "nope", "no way", "no can do", "i can't do that", "i still need what i said"),
    ACCEPT: (
        *("okay", "okay deal", "ok sounds good", "okay sounds good", "yes", "yep", "sure", "fine", "great", "perfect"),
        *("agreed", "i agree", "i accept"),
    ),
    ASK: ("what do you want", "what would you like", "what do you need", "which items do you want ?"),
}


def name_items(split: int) -> str:
    """What a split takes, such as ``1 book , 2 hats and 1 ball``; nothing at all is empty."""
    taken = zip(split_items()[split].tolist(), ITEMS, PLURALS, strict=True)
    parts = [f"{n} {one if n == 1 else many}" for n, one, many in taken if n]
    return " and ".join([" , ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def wordings(act: int) -> tuple[str, ...]:
    """How an act is said, without the closing ``<eos>``; the first is the plainest. A pass has no words."""
    if act in _SAID or act in (PASS, END):
        return _SAID.get(act, (SELECTION,) if act == END else ("",))
    if act < INSIST:
        listed = name_items(act - PROPOSE)
        link = "" if "," in listed else "and "  # 16 words are the most
        rest = f"i take {listed} {link}you get the rest"
        return (*(f"{head} {listed}" for head in _HEADS), rest, f"can i have {listed} ?")
    item, value = divmod(act - INFORM, VALUES)
    one, worth = ITEMS[item], _WORTH[value][0]
    subjects = (f"a {one} is", f"each {one} is", f"{PLURALS[item]} are")
    return tuple(f"{subject} worth {worth} to me" for subject in subjects)


@cache
def language() -> Automaton:
    """The automaton that reads utterances, each closed by ``<eos>`` (or ``<selection>`` alone) and then padded."""
    return _network().deterministic()


@cache
def language_words() -> tuple[str, ...]:
    """The words of the language, without the special ones."""
    return tuple(word for word in _network().words() if word not in (EOS, PAD, SELECTION))


@cache
def _network() -> Network:
    net = Network()
    done = [net.state(act) for act in range(NUM_ACTS)]  # closed
    last = [net.state() for _ in range(NUM_ACTS)]  # only <eos> is missing
    full = [net.state() for _ in range(NUM_ACTS)]  # all said; it may end in a full stop
    for act in range(NUM_ACTS):
        net.link(done[act], PAD, done[act])
        net.link(last[act], EOS, done[act])
        for stop in ("", ".", "!"):
            net.link(full[act], stop, last[act])
    net.link(0, PAD, done[PASS])
    net.link(0, SELECTION, done[END])
    for act, phrases in _SAID.items():
        for phrase in (*phrases, *_READ[act]):
            net.link(0, phrase, full[act])
    _add_proposals(net, full, last)
    _add_informs(net, full)
    return net


def _add_proposals(net: Network, full: list[int], last: list[int]) -> None:
    """``i want 2 hats and 1 ball``, and what may follow; `full` and `last` are the states of the acts."""
    taken, kinds = split_items().tolist(), torch.eye(len(ITEMS), dtype=torch.long)
    before, after, rest = ([net.state() for _ in range(NUM_SPLITS)] for _ in range(3))  # an amount, a noun, the rest
    for head in (*_HEADS, *_MORE_HEADS):
        net.link(0, head, before[0])
    for split, items in enumerate(taken):
        for item in (item for item in range(len(ITEMS)) if not items[item]):
            for amount, words in AMOUNTS.items():
                more = split + int(split_index(amount * kinds[item]))
                for word in words:
                    net.link(before[split], f"{word} {(ITEMS if amount == 1 else PLURALS)[item]}", after[more])
    for split, items in enumerate(taken[1:], 1):
        act, crowded = PROPOSE + split, all(items)
        for link in ("",) if crowded else ("", "and", ","):  # 16 words are the most
            net.link(after[split], link, rest[split])
            net.link(after[split], link, before[split])
        for tail in ("get", "take") if crowded else ("get", "take", "can have"):
            net.link(rest[split], f"you {tail} the rest", last[act])
        net.link(after[split], "", full[act])
        net.link(after[split], "?", last[act])


def _add_informs(net: Network, full: list[int]) -> None:
    """``a hat is worth 3 to me`` and the like."""
    for item, (one, many) in enumerate(zip(ITEMS, PLURALS, strict=True)):
        worth, nothing = net.state(), net.state()
        for subject in ("a", "the", "each", "1", "one"):
            net.link(0, f"{subject} {one} is", worth)
        for subject in ("", "the", "my"):
            net.link(0, f"{subject} {many} are", worth)
        net.link(worth, "worthless", nothing)
        for value in range(VALUES):
            amount, counted, act = net.state(), net.state(), full[INFORM + VALUES * item + value]
            for words in _WORTH[value]:
                net.link(worth, f"worth {words}", amount)
            for unit in ("", "each", "point", "points", "points each"):
                net.link(amount, unit, counted)
            for owner in ("", "to me", "for me"):
                net.link(counted, owner, act)
                if not value:
                    net.link(nothing, owner, act)
