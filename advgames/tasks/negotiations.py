"""Negotiation tasks: a vocabulary, a grammar over it, scenarios, and a corpus that negotiators learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advgames import rng
from advgames.dialogue.corpus import Corpus, Line, read_lines, read_scenarios
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.scenarios import generate_scenarios
from advgames.dialogue.vocabulary import Vocabulary
from advgames.errors import DataFileError, UnknownNameError
from advgames.tasks.readers import data_root
from advgames.victims.negotiator import Negotiator, NegotiatorSizes
from advgames.victims.supervised import SupervisedRecipe

__all__ = ["NEGOTIATIONS", "NegotiationTask", "load_negotiation"]

_FOLDER = "negotiate"
_ORDER_SEED = 20213


@dataclass(frozen=True)
class NegotiationTask:
    """What the negotiation game is played on.

    Attributes:
        name: registry name.
        read: the sides of dialogues of one of the splits ``train``, ``val`` and ``test``.
        words: the vocabulary, where it is not that of the training dialogues.
        more_than: how often a word occurs at least, plus one, to belong to the vocabulary.
        pairs: scenarios (N, 2, 6), which are put into a random order of which match s takes the s-th, modulo N; None:
            each match generates its own from its seed.
        sizes, recipe: the task's own negotiator and how it is trained.
    """

    name: str
    read: Callable[[str], list[Line]]
    words: Vocabulary | None = None
    more_than: int = 20
    pairs: Callable[[], Tensor] | None = None
    sizes: NegotiatorSizes = field(default_factory=NegotiatorSizes)
    recipe: SupervisedRecipe = field(default_factory=SupervisedRecipe)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the task."""
        return self.words or Vocabulary.of((line.words for line in self.lines("train")), self.more_than)

    @cached_property
    def grammar(self) -> Grammar:
        """The suite's grammar over the task's words."""
        return Grammar(self.vocabulary)

    def lines(self, split: str) -> list[Line]:
        """Sides of dialogues of ``train``, ``val`` or ``test``; read once."""
        if split not in self._lines:
            self._lines[split] = self.read(split)
        return self._lines[split]

    def corpus(self, split: str) -> Corpus:
        """The split as tensors."""
        return Corpus.of(self.lines(split), self.vocabulary)

    def scenarios(self, seeds: Tensor) -> Tensor:
        """The scenario of each match, (G, 2, 6), on the seeds' device."""
        if self._pairs is None:
            return generate_scenarios(seeds)
        return self._pairs.to(seeds.device)[seeds % len(self._pairs)]

    @cached_property
    def models(self) -> dict[tuple[Any, ...], Negotiator]:
        """Negotiators that were loaded for this task, for whoever loads them."""
        return {}

    @cached_property
    def _lines(self) -> dict[str, list[Line]]:
        return {}

    @cached_property
    def _pairs(self) -> Tensor | None:
        """The scenarios in a random order that is part of the task: files are sorted by counts."""
        if self.pairs is None:
            return None
        pairs = self.pairs()
        return pairs[rng.permutation(rng.seed_tensor([_ORDER_SEED]), "scenarios", 0, len(pairs))[0]]


def load_negotiation(name: str, root: str | Path | None = None) -> NegotiationTask:
    """A negotiation task by name.

    Args:
        name: ``"bargains"`` (embedded: generated scenarios, and dialogues that scripted negotiators hold) or
            ``"deal-or-no-deal"`` (the published dialogues, read from the data root).
        root: folder of the data files; default: the environment variable ADVGAMES_DATA.

    Raises:
        UnknownNameError: no such task.
        DataFileError: a file is missing or damaged.
    """
    if name not in NEGOTIATIONS:
        raise UnknownNameError("task", name, NEGOTIATIONS)
    return NEGOTIATIONS[name](root)


def _deal_or_no_deal(root: str | Path | None) -> NegotiationTask:
    """The published Deal-or-No-Deal dialogues between people, and their scenarios; needs data files."""
    folder = data_root(root)
    if folder is None:
        raise DataFileError(
            "no data root: set --data-root or ADVGAMES_DATA; the negotiation data are the files train.txt, val.txt, "
            "test.txt and selfplay.txt of the Deal-or-No-Deal dialogues, in the folder negotiate/ of the data root"
        )
    return NegotiationTask(
        "deal-or-no-deal",
        read=lambda split: read_lines(folder / _FOLDER / f"{split}.txt"),
        pairs=lambda: _both_ways(read_scenarios(folder / _FOLDER / "selfplay.txt")),
    )


def _bargains(root: str | Path | None) -> NegotiationTask:
    """Generated scenarios, and dialogues that scripted negotiators hold in a small language; embedded."""
    from advgames.tasks.bargains import hold_dialogues

    return NegotiationTask(
        "bargains",
        read=lambda split: list(hold_dialogues(split)),
        words=Grammar().vocabulary,
        sizes=NegotiatorSizes(word=96, goal=64, hidden=32, select=64, attention=32, dropout=0.0),
        recipe=SupervisedRecipe(
            epochs=5,
            batch_size=40,
            learning_rate=0.4,
            momentum=0.9,
            clip=1.5,
            decay=1.5,
            smallest=0.2,
            select_weight=2.0,
        ),
    )


def _both_ways(pairs: Tensor) -> Tensor:
    """Every scenario with either side in either seat: the published file puts them in an order."""
    return torch.cat([pairs, pairs.flip(1)])


NEGOTIATIONS: dict[str, Callable[[str | Path | None], NegotiationTask]] = {
    "bargains": _bargains,
    "deal-or-no-deal": _deal_or_no_deal,
}
