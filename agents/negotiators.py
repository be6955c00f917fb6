"""Neural negotiators as players: they speak by sampling, and choose by their decision module."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from advgames.agents.dialogue import Observation, WordAgent
from advgames.dialogue.speech import free_speech
from advgames.dialogue.splits import NO_DEAL
from advgames.errors import PhaseError, SettingError, VictimError
from advgames.games.negotiation_access import NegotiationAccess
from advgames.victims.choosing import Chooser
from advgames.victims.decoding import Decoder, Goal
from advgames.victims.negotiator import Negotiator

__all__ = ["NeuralNegotiator", "Targeted", "allowed_words", "contexts", "ended"]


def contexts(observation: Observation) -> Tensor:
    """``c0 v0 c1 v1 c2 v2`` as the player sees it, (G, 6)."""
    return torch.stack([observation["counts"], observation["own_values"]], -1).flatten(1)


class NeuralNegotiator(WordAgent):
    """A trained negotiator (thesis section 3.2.1): words by eq. 3.5, the choice by eq. 3.6.

    Args:
        weights: ``"sv"``, the task's supervised model; a file that
            :func:`~advgames.tasks.negotiators.save_negotiator` wrote; ``"my_module:name"``; or a
            :class:`~advgames.victims.negotiator.Negotiator` itself.
        temperature: of its words; 0: always the most likely one.
    """

    def __init__(self, weights: str | Negotiator = "sv", temperature: float = 0.5) -> None:
        if temperature < 0:
            raise SettingError(f"temperature must not be negative, got {temperature!r}")
        self.weights, self.temperature = weights, temperature
        self._decoder: Decoder | None = None
        self._version = -1
        self._chooser: Chooser | None = None

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a batch of dialogues, with the weights as they are now."""
        super().reset(access)
        model = access.model(self.weights) if isinstance(self.weights, str) else self.weights
        if model.vocabulary != access.vocabulary:
            raise VictimError(f"{self!r} speaks other words than the game: {len(model.vocabulary)} of its own")
        version = sum(weight._version for weight in model.parameters())  # counts changes in place
        if self._decoder is None or self._decoder.model is not model or self._version != version:
            self._decoder, self._version = Decoder(model), version
        self._hidden: Tensor | None = None

    def utter(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """Utterances sampled from the model given the dialogue so far, (G, max_words)."""
        rows = beginning(access)
        said = self.compose(observation, access, rows, access.noise_seeds, allowed_words(access, rows))
        return spread(said, rows, access)

    def compose(
        self,
        observation: Observation,
        access: NegotiationAccess,
        rows: Tensor,
        keys: Tensor,
        allowed: Callable[[Tensor, int], Tensor],
    ) -> Tensor:
        """Utterances (R, max_words) of the matches at `rows`, drawn by keys (G,), of words that are `allowed`.

        What it says is remembered, so that it need not be read again if it is what is then said.
        """
        decoder = self.decoder
        most = int(access.settings.max_words or 0)
        hidden, goal = self.listen(observation, rows, most)
        opened = decoder.step(hidden, torch.full_like(rows, decoder.vocabulary.you), goal)
        said, after = decoder.speak(opened, goal, keys[rows], allowed, most, self.temperature)
        self._said[rows], self._after[rows] = said, after
        return said

    def choose(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """The most likely of all legal choices."""
        if self._chooser is None or self._chooser.decoder is not self.decoder:
            self._chooser = Chooser(self.decoder.model, self.decoder)
        rows = access.choosing.nonzero()[:, 0]
        asked = (contexts(observation), observation["words"], told(observation, access))
        choice = torch.full_like(access.turn, NO_DEAL)
        choice[rows] = self._chooser.choose(*(part[rows] for part in asked)).argmax(-1).clamp(max=NO_DEAL)
        return choice

    def listen(self, observation: Observation, rows: Tensor, most: int) -> tuple[Tensor, Goal]:
        """(hidden state after all words so far, goal) of the matches at `rows`; only words that are new are read.

        `most` is how long an utterance can be.
        """
        words, length = observation["words"], observation["length"][:, 0]
        names = self.decoder.vocabulary
        if self._hidden is None:
            self._hidden, self._read = self.decoder.begin(len(words)), torch.zeros_like(length)
            self._after = self._hidden.clone()
            self._said = torch.full((len(words), most), names.pad, device=words.device)
            self._goal = self.decoder.goal(contexts(observation))
        goal = self._goal.take(rows)
        words, end, start, hidden = words[rows], length[rows], self._read[rows], self._hidden[rows]
        place = start[:, None] + 1 + torch.arange(self._said.shape[1], device=rows.device)
        number = (self._said[rows] != names.pad).sum(1)
        heard = words.gather(1, place.clamp(max=words.shape[1] - 1))
        same = ((heard == self._said[rows]) | (self._said[rows] == names.pad)).all(-1) & (number > 0)
        same &= start + 1 + number <= end
        hidden = torch.where(same[:, None], self._after[rows], hidden)
        start = torch.where(same, start + 1 + number, start)
        hidden = self.decoder.read(hidden, words, start, end, goal)
        self._hidden[rows], self._read[rows] = hidden, end
        return hidden, goal

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
        """Begin a batch of dialogues, with the weights as they are now.

        Raises:
            AccessError: the player may not know the target.
        """
        self.weights = access.target
        super().reset(access)


def ended(said: Tensor, where: Tensor, access: NegotiationAccess) -> Tensor:
    """Utterances (G, L), with ``<selection>`` instead of what was said in the matches `where` (G,)."""
    end = torch.full_like(said, access.vocabulary.pad)
    end[:, 0] = access.vocabulary.selection
    return torch.where(where[:, None], end, said)


def beginning(access: NegotiationAccess) -> Tensor:
    """The matches in which an utterance is to begin now, (R,)."""
    return (access.speaking & (access.said == 0)).nonzero()[:, 0]


def spread(said: Tensor, rows: Tensor, access: NegotiationAccess) -> Tensor:
    """Utterances (R, L) of the matches at `rows` among those of all matches, (G, L)."""
    everyone = torch.full((len(access.turn), said.shape[1]), access.vocabulary.pad, device=said.device)
    everyone[rows] = said
    return everyone


def told(observation: Observation, access: NegotiationAccess) -> Tensor:
    """Words of each dialogue before ``<selection>``, (G,)."""
    words, length = observation["words"], observation["length"][:, 0]
    last = words.gather(1, (length - 1).clamp(min=0)[:, None])[:, 0]
    return length - (last == access.vocabulary.selection).long()


def allowed_words(access: NegotiationAccess, rows: Tensor) -> Callable[[Tensor, int], Tensor]:
    """(utterances so far of the matches at `rows` (R, L), how many of their words count) -> words that may come next.

    They are the same for all, (V,), or (R, V) under a grammar.
    """
    names, settings = access.vocabulary, access.settings
    if not settings.grammar:
        return free_speech(names, int(settings.max_words or 0), rows.device)
    states, legal = torch.full_like(rows, access.grammar.start), access.legal[rows]

    def grammatical(said: Tensor, n: int) -> Tensor:
        nonlocal states
        if n:
            states = access.grammar.advance(states, said[:, n - 1])
        return access.grammar.next_words(states, legal)

    return grammatical
