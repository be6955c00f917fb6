"""REINFORCE on finished dialogues: a negotiator learns to speak for its score, or against the other's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from advgames import rng
from advgames.agents import Agent
from advgames.agents.negotiators import NeuralNegotiator
from advgames.dialogue.corpus import Corpus
from advgames.dialogue.speech import free_mask, own_words
from advgames.errors import SettingError
from advgames.files import under
from advgames.games import NegotiationGame, NegotiationState
from advgames.games.negotiation_state import OUTCOMES
from advgames.training.dialogues import converse
from advgames.victims.negotiator import Negotiator
from advgames.victims.supervised import supervised_loss

__all__ = ["Reinforce", "ReinforceRecipe", "word_log_probabilities"]

_SIDES = {"attacker": 0, "defender": 1}


@dataclass(frozen=True)
class ReinforceRecipe:
    """How a negotiator learns from dialogues; the defaults are those of the goal-oriented training.

    Attributes:
        dialogues: how many are held in all (4 epochs over 4,086 scenarios).
        batch_size: dialogues per update; the gradient is the mean over them.
        reward: its own ``"score"``, or its ``"advantage"`` over the other side (thesis eq. 3.7).
        discount: gamma of eq. 3.8.
        learning_rate, momentum, clip: of Nesterov SGD; the norm of the gradient is clipped.
        baseline: of how many dialogues mu is the mean, the last ones counting most; None: of all so far (eq. 3.8). A
            mean that lags behind weighs all dialogues alike: once rewards fall below it, every word is made less
            likely, and the language goes.
        standardise: divide rewards, less their running mean, by their running standard deviation too (as the released
            program does; eq. 3.8 only takes the mean away).
        temperature: of the words it samples.
        supervised_every: dialogues between two supervised steps, against language drift; 0: none.
        supervised_rate, supervised_batch: learning rate and sides of dialogues of a supervised step.
        seed: of the dialogues and of the supervised batches.
    """

    dialogues: int = 16_344
    batch_size: int = 1
    reward: Literal["score", "advantage"] = "score"
    discount: float = 0.95
    learning_rate: float = 0.1
    momentum: float = 0.1
    clip: float = 1.0
    baseline: int | None = None
    standardise: bool = False
    temperature: float = 0.5
    supervised_every: int = 4
    supervised_rate: float = 0.5
    supervised_batch: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.dialogues, self.batch_size, self.supervised_batch) < 1 or self.supervised_every < 0:
            raise SettingError(f"dialogues and batches must be positive, got {self}")
        if self.reward not in ("score", "advantage"):
            raise SettingError(f"reward must be 'score' or 'advantage', got {self.reward!r}")
        if not 0 < self.discount <= 1 or self.temperature <= 0 or self.learning_rate <= 0:
            raise SettingError(f"discount must lie in (0, 1], temperature and learning rate above 0, got {self}")


@dataclass
class Rewards:
    """Running mean and variance of rewards: of all so far, or of about the last `memory`."""

    memory: int | None = None
    number: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def centred(self, rewards: Tensor, standardise: bool) -> Tensor:
        """Rewards (G,) less the mean of the rewards so far, these included (mu of eq. 3.8)."""
        self.number += len(rewards)
        self.total += float(rewards.sum())
        self.squares += float((rewards**2).sum())
        if self.memory is not None and self.number > self.memory:
            share = self.memory / self.number
            self.number, self.total, self.squares = self.memory, self.total * share, self.squares * share
        mean = self.total / self.number
        if not standardise:
            return rewards - mean
        deviation = math.sqrt(max(self.squares / self.number - mean**2, 0.0))
        return (rewards - mean) / max(1e-4, deviation)


@dataclass
class Reinforce:
    """Trains the speaking module of `model` in one seat of a game against a fixed player in the other.

    Args:
        game: the dialogue in words, ``actions="tokens"``, ``unit="utterance"``.
        model: to be trained, in place; its decision module learns in the supervised steps alone.
        opponent: who sits in the other seat.
        recipe: how.
        corpus: for the supervised steps; None: there are none.
        side: the learner's seat.
    """

    game: NegotiationGame
    model: Negotiator
    opponent: Agent
    recipe: ReinforceRecipe = ReinforceRecipe()
    corpus: Corpus | None = None
    side: str = "attacker"
    rewards: Rewards = field(init=False)
    done: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = self.game.settings
        if settings.actions != "tokens" or settings.unit != "utterance" or settings.grammar:
            raise SettingError(
                "REINFORCE needs a game in free words: actions='tokens', unit='utterance', grammar=False"
            )
        self.model.eval().requires_grad_(True)
        self.rewards = Rewards(self.recipe.baseline)
        self._learner = NeuralNegotiator(self.model, self.recipe.temperature)
        named = list(self.model.parameters())
        self._optimizer = torch.optim.SGD(
            named, lr=self.recipe.learning_rate, momentum=self.recipe.momentum, nesterov=self.recipe.momentum > 0
        )
        self._supervised = torch.optim.SGD(named, lr=self.recipe.supervised_rate)

    def run(self, until: int | None = None, told: Callable[[Reinforce], object] | None = None) -> Negotiator:
        """Hold dialogues until there were so many (None: all of the recipe's); `told` hears of every batch."""
        while self.done < (self.recipe.dialogues if until is None else until):
            self.step()
            if told:
                told(self)
        return self.model.eval()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next dialogue depends on, and the history: tensors, and plain values."""
        tensors = {f"model/{name}": value.detach().clone() for name, value in self.model.state_dict().items()}
        for name, weight in self.model.named_parameters():
            kept = self._optimizer.state[weight].get("momentum_buffer") if weight in self._optimizer.state else None
            if kept is not None:
                tensors[f"momentum/{name}"] = kept.clone()
        return tensors, {"done": self.done, "rewards": asdict(self.rewards), "history": self.history}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        self.model.load_state_dict(under(tensors, "model"))
        for name, weight in self.model.named_parameters():
            if f"momentum/{name}" in tensors:
                self._optimizer.state[weight]["momentum_buffer"] = tensors[f"momentum/{name}"].to(weight.device).clone()
        self.done, self.rewards = values["done"], Rewards(**values["rewards"])
        self.history = list(values["history"])

    def step(self) -> NegotiationState:
        """One batch of dialogues, an update by their rewards, and the supervised steps that are due."""
        recipe = self.recipe
        size = min(recipe.batch_size, recipe.dialogues - self.done)
        first = recipe.seed * 2**32 + self.done
        other = "defender" if self.side == "attacker" else "attacker"
        state = converse(self.game, {self.side: self._learner, other: self.opponent}, range(first, first + size))
        mine = _SIDES[self.side]
        own = state.scores[:, mine]
        reward = own - state.scores[:, 1 - mine] if recipe.reward == "advantage" else own
        weight = self.rewards.centred(reward.double(), recipe.standardise).to(own.dtype)
        norm = self._update(state, weight)
        before, self.done = self.done, self.done + size
        if self.corpus is not None and recipe.supervised_every:
            for n in range(before // recipe.supervised_every, self.done // recipe.supervised_every):
                self._supervise(n)
        self.history.append(
            {
                "dialogues": self.done,
                "reward": float(reward.mean()),
                "agreement": float((state.outcome == OUTCOMES.index("agreed")).double().mean()),
                "words": float(state.length.double().mean()),
                "gradient_norm": norm,
            }
        )
        return state

    def _update(self, state: NegotiationState, weight: Tensor) -> float:
        """One step along sum_t gamma^(T-t) (r - mu) grad log p(x_t), averaged over dialogues (eq. 3.8); its norm."""
        tokens = self.game.view(state, self.side)
        contexts = self.game.context(state, _SIDES[self.side])
        mask, _ = own_words(tokens, state.length, self.model.vocabulary)
        later = mask.flip(1).cumsum(1).flip(1) - 1  # own words that follow
        returns = weight[:, None] * self.recipe.discount ** later.to(weight.dtype)
        width = int(state.length.amax())
        most = int(self.game.settings.max_words or 0)
        self.model.reader.train()  # CUDA's GRU has no gradients in evaluation mode; it has no dropout either
        log_p = word_log_probabilities(self.model, contexts, tokens[:, :width], self.recipe.temperature, most)
        loss = -(torch.where(mask[:, :width], returns[:, :width] * log_p, 0.0)).sum() / len(weight)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.model.reader.eval()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self._optimizer.step()
        return float(norm)

    def _supervise(self, number: int) -> None:
        assert self.corpus is not None
        size, device = self.recipe.supervised_batch, self.corpus.lengths.device
        batches = math.ceil(len(self.corpus) / size)
        key = rng.seed_tensor([self.recipe.seed])
        pick = int(rng.permutation(key, "reinforce.supervised", number // batches, batches)[0, number % batches])
        index = torch.arange(pick * size, min((pick + 1) * size, len(self.corpus)), device=device)
        self.model.train()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(int(rng.bits(key, "reinforce.dropout", number, (1,))[0, 0]) & (2**63 - 1))
            self._supervised.zero_grad()
            supervised_loss(self.model, self.corpus.take(index)).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
            self._supervised.step()
        self.model.eval()


def word_log_probabilities(
    model: Negotiator, contexts: Tensor, tokens: Tensor, temperature: float, max_words: int
) -> Tensor:
    """log p(x_t) of every word of dialogues (G, W) as the speaker samples it, (G, W); 0 for the first.

    The words that a speaker cannot say have no share: unspeakable ones, ``<eos>`` as the first word of an utterance,
    ``<selection>`` as a later one, and at the last place whatever is not ``<eos>``.
    """
    names = model.vocabulary
    states, _ = model.read(model.goal(contexts), tokens)
    logits = model.next_word(states[:, :-1]) / temperature
    before = own_words(tokens, torch.zeros_like(tokens[:, 0]), names)[1][:, 1:]
    allowed = free_mask(names, before, max_words)
    log_p = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
    picked = log_p.gather(-1, tokens[:, 1:, None])[..., 0]
    picked = torch.where(torch.isfinite(picked), picked, 0.0)  # opening words, the other side's and padding
    return torch.nn.functional.pad(picked, (1, 0))
