"""Supervised training of a negotiator on a corpus of dialogues, after the published recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advgames import rng
from advgames.dialogue.corpus import AGREED, NO_AGREEMENT, Corpus
from advgames.errors import SettingError
from advgames.victims.negotiator import Negotiator

__all__ = ["HeldOutLosses", "SupervisedRecipe", "SupervisedTrainer", "evaluate", "supervised_loss"]


@dataclass(frozen=True)
class SupervisedRecipe:
    """SGD on the words of both sides and on the outcome; the defaults are the published ones.

    Attributes:
        epochs: at the first learning rate; then it is divided by `decay` each epoch, from the weights of the lowest
            validation loss of the outcome, without momentum, while it is at least `smallest`.
        batch_size: sides of dialogues of about the same length.
        learning_rate, momentum, clip: Nesterov SGD, the norm of the gradient clipped.
        select_weight: weight of the outcome's cross-entropy beside the words'.
        seed: of the order of the batches and of dropout.
    """

    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 1.0
    momentum: float = 0.1
    clip: float = 0.5
    decay: float = 5.0
    smallest: float = 0.01
    select_weight: float = 0.5
    seed: int = 0

    @property
    def rates(self) -> list[float]:
        """The learning rate of every epoch, annealing included."""
        rates = [self.learning_rate] * self.epochs
        while self.epochs and rates[-1] / self.decay >= self.smallest:
            rates.append(rates[-1] / self.decay)
        return rates


class HeldOutLosses(NamedTuple):
    """How well a model predicts a corpus.

    Attributes:
        word: mean cross-entropy of a word (the first word of a line, which says who begins, is given).
        outcome: mean cross-entropy of an output, over lines that ended with items or with no agreement.
        correct: share of these outputs that are the most likely of their 18.
    """

    word: float
    outcome: float
    correct: float

    @property
    def perplexity(self) -> float:
        """exp of the words' mean cross-entropy."""
        return math.exp(self.word)


def supervised_loss(model: Negotiator, batch: Corpus, select_weight: float = 0.5) -> Tensor:
    """Cross-entropy of the words plus `select_weight` times that of the outcome.

    Lines that ended in ``<disagree>`` or ``<disconnect>`` have weight 0 in the outcome; a batch that holds nothing
    else adds 0 (and not 0/0).
    """
    word, outcome, _ = _losses(model, batch)
    return _mean(*word) + select_weight * _mean(*outcome)


@torch.no_grad()
def evaluate(model: Negotiator, corpus: Corpus, batch_size: int = 64) -> HeldOutLosses:
    """The losses of a model in evaluation mode on a corpus."""
    was, totals = model.training, torch.zeros(3, 2, dtype=torch.float64)
    model.eval()
    for start in range(0, len(corpus), batch_size):
        index = torch.arange(start, min(start + batch_size, len(corpus)), device=corpus.lengths.device)
        for row, (total, number) in zip(totals, _losses(model, corpus.take(index)), strict=True):
            row += torch.stack([total, number]).cpu().double()
    model.train(was)
    return HeldOutLosses(*(float(total / max(number, 1)) for total, number in totals.tolist()))


class SupervisedTrainer:
    """Trains a model epoch by epoch; what :meth:`state` returns continues the training exactly.

    Args:
        model: to be trained, in place.
        train, validation: corpora over the model's vocabulary.
        recipe: how.

    Raises:
        SettingError: a corpus has another vocabulary than the model.
    """

    def __init__(self, model: Negotiator, train: Corpus, validation: Corpus, recipe: SupervisedRecipe) -> None:
        for corpus in (train, validation):
            if corpus.vocabulary != model.vocabulary:
                raise SettingError(
                    f"the corpus has {len(corpus.vocabulary)} words that are not the model's {len(model.vocabulary)}"
                )
        self.model, self.train, self.validation, self.recipe = model, train, validation, recipe
        self.epoch = 0
        self.history: list[HeldOutLosses] = []
        self.best = {name: value.clone() for name, value in model.state_dict().items()}
        self._momentum: dict[str, Tensor] = {}

    def state(self) -> tuple[dict[str, Tensor], list[HeldOutLosses]]:
        """Everything that the next epoch depends on: tensors, and the losses so far."""
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        tensors |= {f"momentum/{name}": value for name, value in self._momentum.items()}
        return {name: value.clone() for name, value in tensors.items()}, list(self.history)

    def restore(self, tensors: Mapping[str, Tensor], history: Sequence[Sequence[float]]) -> None:
        """Go on from what :meth:`state` returned."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "momentum": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = value.clone()
        self.model.load_state_dict(parts["model"])
        device = next(self.model.parameters()).device
        self.best, self._momentum = ({n: t.to(device) for n, t in parts[p].items()} for p in ("best", "momentum"))
        self.history, self.epoch = [HeldOutLosses(*losses) for losses in history], len(history)

    def run(self, told: Callable[[int, int, HeldOutLosses], None] | None = None) -> Negotiator:
        """Train to the end and return the model, in evaluation mode; `told` hears (epoch, epochs, losses)."""
        while self.step():
            if told:
                told(self.epoch, len(self.recipe.rates), self.history[-1])
        return self.model.eval()

    def step(self) -> bool:
        """Train one epoch; False once there is none left, and then the model holds the final weights."""
        rates = self.recipe.rates
        if self.epoch >= len(rates):
            return False
        annealing = self.epoch >= self.recipe.epochs
        if self.epoch == self.recipe.epochs:
            self.model.load_state_dict(self.best)
        self._epoch(rates[self.epoch], 0.0 if annealing else self.recipe.momentum)
        losses = evaluate(self.model, self.validation)
        if not annealing and losses.outcome <= min((h.outcome for h in self.history), default=math.inf):
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.history.append(losses)
        self.epoch += 1
        return True

    def _epoch(self, rate: float, momentum: float) -> None:
        named = dict(self.model.named_parameters())
        optimizer = torch.optim.SGD(named.values(), lr=rate, momentum=momentum, nesterov=momentum > 0)
        if momentum:
            for name, parameter in named.items():
                if name in self._momentum:
                    optimizer.state[parameter]["momentum_buffer"] = self._momentum[name]
        self.model.train()
        device = self.train.lengths.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.enable_grad():
            torch.manual_seed(_dropout_seed(self.recipe.seed, self.epoch))
            for index in self._batches():
                optimizer.zero_grad()
                loss = supervised_loss(self.model, self.train.take(index), self.recipe.select_weight)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(named.values(), self.recipe.clip)
                optimizer.step()
        self._momentum = {
            name: optimizer.state[p]["momentum_buffer"].clone()
            for name, p in named.items()
            if optimizer.state[p].get("momentum_buffer") is not None
        }

    def _batches(self) -> Iterator[Tensor]:
        """Places of the batches: neighbours in length, the batches in an order of the epoch's own."""
        device, size = self.train.lengths.device, self.recipe.batch_size
        number = math.ceil(len(self.train) / size)
        order = rng.permutation(rng.seed_tensor([self.recipe.seed]), "negotiator.epoch", self.epoch, number)[0]
        for batch in order.tolist():
            yield torch.arange(batch * size, min((batch + 1) * size, len(self.train)), device=device)


def _dropout_seed(seed: int, epoch: int) -> int:
    return int(rng.bits(rng.seed_tensor([seed]), "negotiator.dropout", epoch, (1,))[0, 0]) & (2**63 - 1)


Sum = tuple[Tensor, Tensor]


def _losses(model: Negotiator, batch: Corpus) -> tuple[Sum, Sum, Sum]:
    """(sum, number) of the words' cross-entropy, of the outcome's, and of the correct outputs."""
    goal = model.goal(batch.contexts)
    read, targets = batch.tokens[:, :-1], batch.tokens[:, 1:]
    states, words = model.read(goal, read)
    counted = torch.arange(read.shape[1], device=read.device) < batch.lengths[:, None] - 1
    word = cross_entropy(model.next_word(states).transpose(1, 2), targets, reduction="none")
    outputs = model.outputs(goal, states, words, batch.lengths - 1)
    ended = (batch.outputs < AGREED) | (batch.outputs == NO_AGREEMENT)
    outcome = cross_entropy(outputs.transpose(1, 2), batch.outputs, reduction="none")
    right = (outputs.argmax(-1) == batch.outputs) & ended
    return (
        ((word * counted).sum(), counted.sum()),
        ((outcome * ended).sum(), ended.sum()),
        (right.sum(), ended.sum()),
    )


def _mean(total: Tensor, number: Tensor) -> Tensor:
    return total / number.clamp(min=1)
