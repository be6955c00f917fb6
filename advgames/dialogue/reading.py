"""What people and language models write, made readable: words split off, pleasantries dropped, choices understood."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import torch

from advgames.dialogue.phrases import AMOUNTS, PLURALS, language, name_items
from advgames.dialogue.splits import ITEMS, MOST, NO_DEAL, split_index
from advgames.dialogue.vocabulary import EOS, PAD, SELECTION, UNK

__all__ = ["choice_text", "read_choice", "split_words", "understand"]

_TOKEN = re.compile(r"<\w+>|[a-z0-9]+(?:['`][a-z]+)*|[^\sa-z0-9]")
_NOUNS = {name: item for names in (ITEMS, PLURALS) for item, name in enumerate(names)}
_COUNTS = {word: amount for amount, words in AMOUNTS.items() for word in words} | {"zero": 0, "no": 0, "an": 1}
_COUNTS |= {str(n): n for n in range(100)}
_MOST_WORDS = 60  # whoever says more than this has not said it plainly

_THANKS = re.compile(r"\b(thank you|thanks|thx|please)\b|[.!\"*;()]")
_REFUSED = re.compile(r"^no (, )?(?=(i|i'd|i'll|give|gimme|can) )")  # "no , i need 2 hats"
_OF_THE = re.compile(r"\b(?:the |all |of )*(\d+|one|two|three|four)(?: of)?(?: the)?(?= (?:book|hat|ball)s?\b)")
_PIECES = re.compile(rf"\b({'|'.join(sorted(_COUNTS.keys() - {'the'}))}) (book|hat|ball)s?\b")
_DIGITS = {"five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10", "an": "a"}
_GREETINGS = frozenset(("hi", "hello", "hey", "well", "so", "ok", "okay", "and", "but", "then", "yes", "sorry", ","))

_REFUSALS = frozenset(("no deal", "no agreement", "<no_agreement>", "no_agreement", "disagree", "<disagree>"))
_PAIR = re.compile(r"\b(item\d|[a-z]+)[\"']?\s*[=:]\s*([0-9]{1,2})\b")
_CHOICE = "i we choose take want get keep select the and my choice is of will i'll : , . ! & -"
_CHOICE_WORDS = frozenset(_CHOICE.split())


def split_words(text: str) -> list[str]:
    """The words and marks of a text in lower case; special tokens go, unless ``<selection>`` is all there is."""
    words = _TOKEN.findall(text.lower().replace("’", "'"))
    plain = [word for word in words if word not in (EOS, UNK, SELECTION, PAD)]
    return plain or ([SELECTION] if SELECTION in words else [])


def understand(words: Sequence[str]) -> tuple[list[str], int]:
    """Words of the language that say what `words` (without ``<eos>``) say, and the act; else `words` and -1.

    Words of the language stay as they are. Otherwise thanks, full stops and items of which there are 0 are left out,
    number words become digits where they must, and greetings go one after another.
    """
    for attempt in _attempts(words):
        act = language().meaning([*attempt, EOS])
        if attempt and act >= 0:
            return attempt, act
    return list(words), -1


def _attempts(words: Sequence[str]) -> Iterator[list[str]]:
    yield list(words)
    if len(words) > _MOST_WORDS:
        return
    plain = " ".join(_DIGITS.get(word, word) for word in words)
    plain = " ".join(_THANKS.sub(" ", plain).split())
    plain = _PIECES.sub(_agreeing, _OF_THE.sub(r"\1", _REFUSED.sub("", plain)))
    plain = re.sub(r"\bworth 9\b", "worth 1 less than 10", plain)
    plain = re.sub(r"\bthe rest \?$", "the rest", plain)
    left = _linked(plain.split())
    if not _NOUNS.keys() & set(left) and _NOUNS.keys() & set(words):
        return  # "deal , no hats" is more than a deal
    yield left
    while left and left[0] in _GREETINGS:
        left = left[1:]
        yield left


def _agreeing(piece: re.Match[str]) -> str:
    """``1 hats`` as ``1 hat``, ``2 hat`` as ``2 hats``, ``0 hats`` as nothing."""
    amount = _COUNTS[piece[1]]
    return f"{piece[1]} {piece[2]}{'' if amount == 1 else 's'}" if amount else ""


def _linked(words: list[str]) -> list[str]:
    """Without an ``and`` or a comma after which nothing comes, or before which no noun stands."""
    linked: list[str] = []
    for word in words:
        if word in ("and", ",") and linked and linked[-1] in ("and", ","):
            linked.pop()  # "2 hats , and 1 ball"
        if word not in ("and", ",") or not linked or linked[-1] in _NOUNS or linked[-1] in _GREETINGS:
            linked.append(word)
    return linked[:-1] if linked and linked[-1] in ("and", ",") else linked


def choice_text(choice: int) -> str:
    """A split as ``1 book and 2 hats``, ``nothing`` or ``no deal``."""
    return "no deal" if choice == NO_DEAL else name_items(choice) or "nothing"


def read_choice(text: str, counts: Sequence[int]) -> int | None:
    """The split that a text takes out of `counts`, or :data:`NO_DEAL`; None where it is none, or too much."""
    plain = " ".join(text.lower().split()).strip(" .!\"'")
    if plain in _REFUSALS:
        return NO_DEAL
    if plain in ("nothing", "none", "everything", "all"):
        taken: list[int] | None = [0] * len(ITEMS) if plain in ("nothing", "none") else list(counts)
    else:
        pairs = _PAIR.findall(plain)
        taken = _taken_pairs(pairs) if pairs else _taken_words(split_words(plain))
    if taken is None or any(n > min(most, MOST) for n, most in zip(taken, counts, strict=True)):
        return None
    return int(split_index(torch.tensor(taken)))


def _taken_pairs(pairs: list[tuple[str, str]]) -> list[int] | None:
    """``item0=1 item1=2`` or ``book: 1``; an item that is not named is not taken."""
    names = _NOUNS | {f"item{item}": item for item in range(len(ITEMS))}
    taken: dict[int, int] = {}
    for name, n in pairs:
        if name not in names or names[name] in taken:
            return None
        taken[names[name]] = int(n)
    return [taken.get(item, 0) for item in range(len(ITEMS))]


def _taken_words(words: list[str]) -> list[int] | None:
    """``1 book and two hats``; any word that does not belong to a choice makes it none."""
    taken: dict[int, int] = {}
    words = _OF_THE.sub(r"\1", " ".join(words)).split()
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word in _NOUNS:
            if before not in _COUNTS or _NOUNS[word] in taken:
                return None
            taken[_NOUNS[word]] = _COUNTS[before]
        elif not (word in _CHOICE_WORDS or (word in _COUNTS and after in _NOUNS)):
            return None
    return [taken.get(item, 0) for item in range(len(ITEMS))] if taken else None
