"""A task's own negotiator, trained once on the task's dialogues and kept as victims are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

import torch

from advgames.dialogue.corpus import Corpus
from advgames.resumed import resumed
from advgames.tasks.negotiations import NegotiationTask
from advgames.tasks.trained import cache_folder, digest, keep
from advgames.victims.negotiator import Negotiator
from advgames.victims.supervised import HeldOutLosses, SupervisedTrainer

__all__ = ["Told", "supervised_negotiator"]

_LOG = logging.getLogger(__name__)
_FORM = 1  # of the model and its training: another number, and kept negotiators are trained anew

#: hears (epoch, epochs, losses on the validation dialogues) after every epoch
Told = Callable[[int, int, HeldOutLosses], None]


def supervised_negotiator(task: NegotiationTask, told: Told | None = None) -> Negotiator:
    """The negotiator of the task's sizes, trained by its recipe on its ``train`` dialogues; on the CPU, evaluating.

    The same dialogues, sizes, recipe and torch give the same weights. They are kept in the process and in
    :func:`~advgames.tasks.trained.cache_folder`. While it trains, its state is written there after every epoch, and
    who asks for it after a training that was cut off goes on from that. The published recipe on the real dialogues
    takes about an hour. That it trains is logged as a warning, each epoch for information.

    Args:
        task: the dialogues, and how to train on them.
        told: called after every epoch; not at all where the negotiator is there already.

    Raises:
        DataFileError: the task's dialogues cannot be read.
    """
    model = Negotiator(task.vocabulary, task.sizes, task.recipe.seed)
    corpora = task.corpus("train"), task.corpus("val")
    key = _key(task, model, *corpora)
    file = cache_folder() / f"{key}.training"

    def train() -> None:
        trainer, epochs = SupervisedTrainer(model, *corpora, task.recipe), len(task.recipe.rates)

        def tell() -> None:
            losses = trainer.history[-1]
            _LOG.info("epoch %d of %d, perplexity %.2f", trainer.epoch, epochs, losses.perplexity)
            if told:
                told(trainer.epoch, epochs, losses)

        _LOG.warning("training the negotiator of %s once: %d epochs, kept in %s", task.name, epochs, cache_folder())
        resumed(file, trainer, trainer.step, tell, every=0.0, optional=True)

    keep(key, model, train)
    with suppress(OSError):
        file.unlink(missing_ok=True)  # now that the weights are kept
    return model.eval()


def _key(task: NegotiationTask, model: Negotiator, train: Corpus, validation: Corpus) -> str:
    """A name for what decides the weights: sizes, recipe, words, dialogues, architecture, initial weights, torch."""
    parts = list(model.state_dict().items())
    for corpus in (train, validation):
        parts += [("contexts", corpus.contexts), ("tokens", corpus.tokens)]
        parts += [("lengths", corpus.lengths), ("outputs", corpus.outputs)]
    told = f"negotiator {_FORM} {asdict(task.sizes)} {asdict(task.recipe)} {task.vocabulary.digest}"
    return digest(f"{told} {model} {torch.__version__}", parts)
