"""Neural negotiators as players: they speak by sampling, and choose by their decision module."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from advgames.agents.dialogue import Observation, WordAgent
from advgames.dialogue.speech import free_words
from advgames.dialogue.splits import NO_DEAL
from advgames.errors import PhaseError, SettingError, VictimError
from advgames.games.negotiation_access import NegotiationAccess
from advgames.victims.decoding import Decoder, Goal
from advgames.victims.negotiator import Negotiator

__all__ = ["NeuralNegotiator", "Targeted", "allowed_words", "contexts"]


def contexts(observation: Observation) -> Tensor:
    """``c0 v0 c1 v1 c2 v2`` as the player sees it, (G, 6)."""
    return torch.stack([observation["counts"], observation["values"]], -1).flatten(1)


class NeuralNegotiator(WordAgent):
    """A trained negotiator (thesis section 3.2.1): words by eq. 3.5, the choice by eq. 3.6.

    Args:
        weights: ``"sv"``, the task's supervised model; a file of weights; ``"my_module:name"``; or a
            :class:`~advgames.victims.Negotiator` itself.
        temperature: of its words; 0: always the most likely one.
    """

    def __init__(self, weights: str | Negotiator = "sv", temperature: float = 0.5) -> None:
        if temperature < 0:
            raise SettingError(f"temperature must not be negative, got {temperature!r}")
        self.weights, self.temperature = weights, temperature
        self._decoder: Decoder | None = None

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a batch of dialogues, with the weights as they are now."""
        super().reset(access)
        model = access.model(self.weights) if isinstance(self.weights, str) else self.weights
        if model.vocabulary != access.vocabulary:
            raise VictimError(f"{self!r} speaks other words than the game: {len(model.vocabulary)} of its own")
        learning = any(weight.requires_grad for weight in model.parameters())
        if self._decoder is None or self._decoder.model is not model or learning:
            self._decoder = Decoder(model)
        self._hidden: Tensor | None = None

    def utter(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """Utterances sampled from the model given the dialogue so far."""
        hidden, goal = self.listen(observation)
        return self.decoder.speak(
            self.opened(hidden, goal),
            goal,
            access.noise_seeds,
            allowed_words(access),
            int(access.settings.max_words or 0),
            self.temperature,
        )[0]

    def choose(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """The most likely of all legal choices."""
        logits = self.decoder.choose(contexts(observation), observation["words"], told(observation, access))
        return logits.argmax(-1).clamp(max=NO_DEAL)

    def listen(self, observation: Observation) -> tuple[Tensor, Goal]:
        """(hidden state after all words so far, goal); only words that are new are read."""
        words, length = observation["words"], observation["length"][:, 0]
        if self._hidden is None:
            self._hidden, self._read = self.decoder.begin(len(words)), torch.zeros_like(length)
            self._goal = self.decoder.goal(contexts(observation))
        self._hidden = self.decoder.read(self._hidden, words, self._read, length, self._goal)
        self._read = length.clone()
        return self._hidden, self._goal

    def opened(self, hidden: Tensor, goal: Goal) -> Tensor:
        """The hidden state after ``YOU:``."""
        you = torch.full_like(self._read, self.decoder.vocabulary.you)
        return self.decoder.step(hidden, you, goal)

    @property
    def decoder(self) -> Decoder:
        """The model, ready to speak."""
        if self._decoder is None:
            raise PhaseError(f"{self!r} has no dialogue yet: reset it first")
        return self._decoder


class Targeted(NeuralNegotiator):
    """The negotiator that the game's setting ``target`` names, which white-box adversaries see.

    Args:
        temperature: of its words; 0: always the most likely one.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__("sv", temperature)

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a batch of dialogues, with the weights as they are now."""
        self.weights = access.settings.target
        super().reset(access)


def told(observation: Observation, access: NegotiationAccess) -> Tensor:
    """Words of each dialogue before ``<selection>``, (G,)."""
    words, length = observation["words"], observation["length"][:, 0]
    last = words.gather(1, (length - 1).clamp(min=0)[:, None])[:, 0]
    return length - (last == access.vocabulary.selection).long()


def allowed_words(access: NegotiationAccess) -> Callable[[Tensor, int], Tensor]:
    """(the utterances so far (G, L), how many words of them count) -> words that may come next, (G, V) bool."""
    names, settings = access.vocabulary, access.settings
    device = access.turn.device
    if not settings.grammar:
        first, between, last = free_words(names, device)
        end = int(settings.max_words or 0) - 1
        return lambda said, n: first if n == 0 else last if n == end else between
    states = torch.full_like(access.turn, access.grammar.start)

    def grammatical(said: Tensor, n: int) -> Tensor:
        nonlocal states
        if n:
            states = access.grammar.advance(states, said[:, n - 1])
        allowed = access.grammar.next_words(states, access.legal)
        allowed[:, names.pad] |= ~allowed.any(-1)  # where the utterance is over
        return allowed

    return grammatical
