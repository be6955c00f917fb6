"""Dialogue files in the format of the Deal-or-No-Deal data, read, checked, encoded and written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from advgames.dialogue.scenarios import TOTAL
from advgames.dialogue.splits import ITEMS, MOST
from advgames.dialogue.vocabulary import EOS, SELECTION, THEM, YOU, Vocabulary
from advgames.errors import DataFileError

__all__ = [
    "AGREED",
    "DISAGREE",
    "DISCONNECT",
    "NO_AGREEMENT",
    "NUM_OUTPUTS",
    "OUTPUTS",
    "Corpus",
    "Line",
    "format_line",
    "read_lines",
    "read_scenarios",
]

_TAGS = ("<disagree>", "<no_agreement>", "<disconnect>")
OUTPUTS = (*(f"item{item}={n}" for item in range(len(ITEMS)) for n in range(MOST + 1)), *_TAGS)
NUM_OUTPUTS = len(OUTPUTS)  # 18: how many of which item, or one of three tags
AGREED = NUM_OUTPUTS - len(_TAGS)  # outputs below this one name items
DISAGREE, NO_AGREEMENT, DISCONNECT = range(AGREED, NUM_OUTPUTS)
_OUTPUT_IDS = {name: index for index, name in enumerate(OUTPUTS)}
_HINT = (
    "the negotiation data are the files train.txt, val.txt, test.txt and selfplay.txt of the Deal-or-No-Deal "
    "dialogues, in the folder negotiate/ of the data root"
)


class Line(NamedTuple):
    """One side of a dialogue.

    Attributes:
        context: ``c0 v0 c1 v1 c2 v2``: how many books, hats and balls there are, and what one is worth to this side.
        words: the dialogue, each utterance opened by ``YOU:`` or ``THEM:`` and closed by ``<eos>``; the last is
            ``<selection>`` alone.
        outputs: three items of this side, then three of the partner, or a tag six times.
        partner: the context as the partner sees it.
    """

    context: tuple[int, ...]
    words: tuple[str, ...]
    outputs: tuple[str, ...]
    partner: tuple[int, ...]


def read_lines(path: str | Path) -> list[Line]:
    """The sides of dialogues in a file (train.txt, val.txt, test.txt).

    Raises:
        DataFileError: the file is missing, or a line is not of the format; names file and line.
    """
    lines = [_line(text, f"{path}, line {n}") for n, text in _text(path)]
    if not lines:
        raise DataFileError(f"{path}: no dialogue in it; {_HINT}")
    return lines


def read_scenarios(path: str | Path) -> Tensor:
    """The scenarios of a selfplay.txt, (N, 2, 6) int64: for each side ``c0 v0 c1 v1 c2 v2``.

    Raises:
        DataFileError: the file is missing, a line is not six numbers, two lines of a pair do not fit, or a side's
            pieces are not worth 10 together.
    """
    numbered = _text(path)
    rows = [_context(text.split(), f"{path}, line {n}") for n, text in numbered]
    if not rows or len(rows) % 2:
        raise DataFileError(f"{path}: scenarios are pairs of lines, found {len(rows)} lines; {_HINT}")
    pairs = torch.tensor(rows).view(-1, 2, 2 * len(ITEMS))
    differ = (pairs[:, 0, ::2] != pairs[:, 1, ::2]).any(-1).nonzero()
    if len(differ):
        at, other = (numbered[2 * int(differ[0]) + side][0] for side in (0, 1))
        raise DataFileError(f"{path}: lines {at} and {other} are one scenario, but their counts differ")
    worth = (pairs[..., ::2] * pairs[..., 1::2]).sum(-1).flatten()
    if len(wrong := (worth != TOTAL).nonzero()):
        raise DataFileError(
            f"{path}, line {numbered[int(wrong[0])][0]}: all pieces together are worth {TOTAL} to a side, "
            f"found {int(worth[wrong[0]])}"
        )
    return pairs


def format_line(line: Line) -> str:
    """A line as it stands in a file."""
    parts: dict[str, Iterable[object]] = {
        "input": line.context,
        "dialogue": line.words,
        "output": line.outputs,
        "partner_input": line.partner,
    }
    return " ".join(f"<{tag}> {' '.join(map(str, words))} </{tag}>" for tag, words in parts.items())


@dataclass(frozen=True)
class Corpus:
    """Sides of dialogues as tensors, N of them, the shortest first.

    Attributes:
        contexts: (N, 6) int64, as :attr:`Line.context`.
        tokens: (N, T) int64, padded with the vocabulary's ``<pad>``.
        lengths: (N,) int64.
        outputs: (N, 6) int64, places in :data:`OUTPUTS`.
        vocabulary: what the tokens mean.
    """

    contexts: Tensor
    tokens: Tensor
    lengths: Tensor
    outputs: Tensor
    vocabulary: Vocabulary

    @classmethod
    def of(cls, lines: Iterable[Line], vocabulary: Vocabulary) -> Corpus:
        """Lines encoded; a word that the vocabulary does not hold becomes ``<unk>``."""
        ordered = sorted(lines, key=lambda line: len(line.words))
        lengths = torch.tensor([len(line.words) for line in ordered])
        tokens = torch.full((len(ordered), int(lengths.max())), vocabulary.pad)
        for row, line in zip(tokens, ordered, strict=True):
            row[: len(line.words)] = torch.tensor(vocabulary.encode(line.words))
        contexts = torch.tensor([line.context for line in ordered])
        outputs = torch.tensor([[_OUTPUT_IDS[name] for name in line.outputs] for line in ordered])
        return cls(contexts, tokens, lengths, outputs, vocabulary)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, index: Tensor) -> Corpus:
        """The sides at `index` (B,), padded no longer than they need."""
        lengths = self.lengths[index]
        tokens = self.tokens[index, : int(lengths.max())]
        return Corpus(self.contexts[index], tokens, lengths, self.outputs[index], self.vocabulary)

    def to(self, device: torch.device | str) -> Corpus:
        """The corpus on a device."""
        contexts, tokens, lengths, outputs = (
            part.to(device) for part in (self.contexts, self.tokens, self.lengths, self.outputs)
        )
        return Corpus(contexts, tokens, lengths, outputs, self.vocabulary)


def _text(path: str | Path) -> list[tuple[int, str]]:
    """The lines of a file that are not empty, numbered from 1."""
    try:
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataFileError(f"{path}: the file cannot be read ({reason}); {_HINT}") from error
    return [(n, text) for n, text in enumerate(content.splitlines(), 1) if text.strip()]


def _line(text: str, where: str) -> Line:
    words = text.split()
    parts = {}
    for tag in ("input", "dialogue", "output", "partner_input"):
        start, end = f"<{tag}>", f"</{tag}>"
        if words.count(start) != 1 or words.count(end) != 1 or words.index(end) < words.index(start):
            raise DataFileError(f"{where}: expected one part {start} ... {end}; the line is cut or damaged")
        parts[tag] = words[words.index(start) + 1 : words.index(end)]
    context, partner = _context(parts["input"], where), _context(parts["partner_input"], where)
    if context[::2] != partner[::2]:
        raise DataFileError(f"{where}: the two sides see different counts, {context[::2]} and {partner[::2]}")
    return Line(context, _dialogue(parts["dialogue"], where), _outputs(parts["output"], where), partner)


def _context(words: Sequence[str], where: str) -> tuple[int, ...]:
    if len(words) != 2 * len(ITEMS) or not all(word.isdecimal() and len(word) < 4 for word in words):
        raise DataFileError(f"{where}: expected six numbers c0 v0 c1 v1 c2 v2, found {' '.join(words) or 'nothing'}")
    context = tuple(map(int, words))
    if max(context[::2]) > MOST or max(context[1::2]) > 10:
        raise DataFileError(f"{where}: expected at most {MOST} pieces of an item and values up to 10, found {context}")
    return context


def _dialogue(words: Sequence[str], where: str) -> tuple[str, ...]:
    if not words or words[0] not in (YOU, THEM):
        found = words[0] if words else "nothing"
        raise DataFileError(f"{where}: a dialogue begins with {YOU} or {THEM}, found {found}")
    if words[-1] not in (SELECTION, EOS):
        raise DataFileError(f"{where}: a dialogue ends with {SELECTION} or {EOS}, found {words[-1]!r}")
    return tuple(words)


def _outputs(words: Sequence[str], where: str) -> tuple[str, ...]:
    tagged = words[:1] and words[0] in _TAGS and set(words) == {words[0]}
    items = all(word.startswith(f"item{place % len(ITEMS)}=") for place, word in enumerate(words))
    unknown = [word for word in words if word not in _OUTPUT_IDS]
    if len(words) != 2 * len(ITEMS) or unknown or not (tagged or items):
        raise DataFileError(f"{where}: expected six outputs such as item0=1 or <disagree>, found {' '.join(words)}")
    return tuple(words)
