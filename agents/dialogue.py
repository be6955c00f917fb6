"""Players of dialogues: what they say and choose, in whichever view the game asks for moves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from advgames.agents.base import Agent
from advgames.dialogue.acts import CHOOSE, PASS
from advgames.dialogue.scripted import WORDINGS, Knowledge, scripted_choice, scripted_words
from advgames.dialogue.splits import NO_DEAL
from advgames.errors import AccessError
from advgames.games.negotiation_access import NegotiationAccess

__all__ = ["ActAgent", "DialogueAgent", "WordAgent"]

Observation = Mapping[str, Tensor]


class DialogueAgent(Agent):
    """A negotiator: ``speak`` when it is its turn, ``choose`` at the end."""

    kind = "dialogue"
    needs = "black-box"

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a batch of dialogues."""
        super().reset(access)
        self._plan: Tensor | None = None

    def act(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """The move of every match in the game's view; a pass where nothing is to be done."""
        if bool(access.choosing.any()):
            choice = torch.where(access.choosing, self.choose(observation, access), NO_DEAL)
            return self._choice_move(choice, access)
        return self.speak(observation, access)

    @abstractmethod
    def speak(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """A move of talk."""

    @abstractmethod
    def choose(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """A split for itself, or no deal, (G,)."""

    def _choice_move(self, choice: Tensor, access: NegotiationAccess) -> Tensor:
        settings, names = access.settings, access.vocabulary
        if settings.actions == "acts":
            return torch.where(access.choosing, CHOOSE + choice, 0)
        if settings.actions == "tokens" and settings.unit == "word":
            return torch.where(access.choosing, len(names) + choice, names.pad)
        return torch.nn.functional.pad(choice[:, None], (0, int(settings.max_words or 0)), value=names.pad)

    def _spoken(self, utter: Callable[[], Tensor], access: NegotiationAccess) -> Tensor:
        """The move of utterances (G, max_words): all of each, or its next word; made once, when it is to begin."""
        names, settings = access.vocabulary, access.settings
        if settings.actions == "text" or settings.unit == "utterance":
            words = torch.where(access.speaking[:, None], utter(), names.pad)
            return torch.cat([torch.full_like(words[:, :1], NO_DEAL), words], 1)
        fresh = access.speaking & (access.said == 0)
        if self._plan is None or bool(fresh.any()):
            said = utter()
            self._plan = said if self._plan is None else torch.where(fresh[:, None], said, self._plan)
        word = self._plan.gather(1, access.said.clamp(max=self._plan.shape[1] - 1)[:, None])[:, 0]
        return torch.where(access.speaking, word, names.pad)


class ActAgent(DialogueAgent):
    """A negotiator that thinks in acts: they are said in whichever view the game has, in the grammar's words.

    Without a grammar in force it speaks them still; what the other side says beyond them is heard, and ignored.

    Attributes:
        wording: which wording of each act it uses, modulo the number of its wordings; None: any, at random.
    """

    wording: int | None = None

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a batch of dialogues.

        Raises:
            AccessError: the game allows fewer words than the grammar needs.
        """
        super().reset(access)
        needed, allowed = access.grammar.max_words, int(access.settings.max_words or 0)
        if access.settings.actions != "acts" and allowed < needed:
            raise AccessError(f"{self!r} says up to {needed} words, the game allows {allowed}: set max_words={needed}")

    @abstractmethod
    def decide(self, access: NegotiationAccess) -> Tensor:
        """Its next act in every match, (G,): one of ``access.legal`` where ``access.speaking``, else anything."""

    def speak(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """Its acts, as the game asks for them."""
        if access.settings.actions == "acts":
            return torch.where(access.speaking, self.decide(access), PASS)
        return self._spoken(lambda: self._worded(access), access)

    def choose(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """What has been agreed, or no deal."""
        return scripted_choice(Knowledge.of(access))

    def _worded(self, access: NegotiationAccess) -> Tensor:
        wording = access.pick(WORDINGS) if self.wording is None else self.wording
        return scripted_words(access.grammar, self.decide(access), wording, int(access.settings.max_words or 0))


class WordAgent(DialogueAgent):
    """A negotiator that composes whole utterances; where moves are words it says them one by one."""

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a batch of dialogues.

        Raises:
            AccessError: the game is not played in words, or not open enough.
        """
        super().reset(access)
        if access.settings.actions == "acts":
            raise AccessError(f"{self!r} speaks words: play with the setting actions='tokens'")

    def speak(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """Its utterances, or the next word of each."""
        return self._spoken(lambda: self.utter(observation, access), access)

    @abstractmethod
    def utter(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """What it says where it is to begin an utterance, (G, max_words): words up to an end, then padding."""
