"""Words as numbers: the vocabulary of a corpus, with the special tokens of the negotiation data."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from advgames.errors import SettingError, UnknownNameError

__all__ = ["EOS", "PAD", "SELECTION", "SPECIAL", "THEM", "UNK", "YOU", "Vocabulary"]

EOS, UNK, SELECTION, PAD = "<eos>", "<unk>", "<selection>", "<pad>"
YOU, THEM = "YOU:", "THEM:"
SPECIAL = (EOS, UNK, SELECTION, PAD)


class Vocabulary:
    """A fixed list of words; ids 0 to 3 are ``<eos> <unk> <selection> <pad>``.

    Args:
        words: the words in the order of their ids, the four special ones first; ``YOU:`` and ``THEM:`` among them.

    Raises:
        SettingError: a word twice, or a special one that is not where it belongs.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        if self.words[: len(SPECIAL)] != SPECIAL:
            raise SettingError(f"a vocabulary begins with {' '.join(SPECIAL)}, got {' '.join(self.words[:4])}")
        if len(self._ids) != len(self.words):
            twice = next(word for word, n in Counter(self.words).items() if n > 1)
            raise SettingError(f"a vocabulary names each word once, got {twice!r} twice")
        for word in (YOU, THEM):
            if word not in self._ids:
                raise SettingError(f"a vocabulary needs the word {word!r}, which opens an utterance")
        self.eos, self.unk, self.selection, self.pad = range(len(SPECIAL))
        self.you, self.them = self._ids[YOU], self._ids[THEM]

    @classmethod
    def of(cls, texts: Iterable[Sequence[str]], more_than: int = 20) -> Vocabulary:
        """The words that occur more often than `more_than` times, the most frequent first (ties by spelling)."""
        counts = Counter(word for text in texts for word in text)
        frequent = sorted((word for word, n in counts.items() if n > more_than), key=lambda w: (-counts[w], w))
        return cls([*SPECIAL, *(word for word in frequent if word not in SPECIAL)])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    @property
    def unspeakable(self) -> tuple[int, ...]:
        """Ids that no speaker may utter: ``<unk> <pad> YOU: THEM:``."""
        return (self.unk, self.pad, self.you, self.them)

    @property
    def digest(self) -> str:
        """A short name of this list of words, to tell whether weights belong to it."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:16]

    def id(self, word: str) -> int:
        """The id of a word.

        Raises:
            UnknownNameError: it is no word of this vocabulary.
        """
        try:
            return self._ids[word]
        except KeyError:
            raise UnknownNameError("word", word, self.words, "the vocabulary") from None

    def encode(self, words: Iterable[str], strict: bool = False) -> list[int]:
        """The ids of words; a word that is not known becomes ``<unk>``, or an error where `strict`.

        Raises:
            UnknownNameError: a word is not known, and `strict`.
        """
        return [self.id(word) if strict else self._ids.get(word, self.unk) for word in words]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of ids, without padding."""
        return [self.words[index] for index in ids if index != self.pad]
