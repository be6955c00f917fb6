"""Scripted negotiators as players: policies of known behaviour, in acts, in words and in text."""

from __future__ import annotations

import torch
from torch import Tensor

from advgames.agents.dialogue import DialogueAgent, Observation
from advgames.dialogue.acts import PASS
from advgames.dialogue.scripted import POLICIES, WORDINGS, Knowledge, scripted_act, scripted_choice, scripted_words
from advgames.errors import AccessError, SettingError, UnknownNameError
from advgames.games.negotiation_access import NegotiationAccess

__all__ = ["Scripted"]


class Scripted(DialogueAgent):
    """A negotiator of known behaviour, which speaks the grammar's words.

    Without a grammar in force it speaks them still; what the other side says beyond them is heard, and ignored.

    Args:
        policy: one of :data:`~advgames.dialogue.scripted.POLICIES`.
        wording: which wording of each act it uses, modulo the number of its wordings; None: any, at random.

    Raises:
        UnknownNameError: no such policy.
        SettingError: `wording` is no number from 0.
    """

    def __init__(self, policy: str, wording: int | None = None) -> None:
        if policy not in POLICIES:
            raise UnknownNameError("policy", policy, POLICIES)
        if wording is not None and (isinstance(wording, bool) or not isinstance(wording, int) or wording < 0):
            raise SettingError(f"wording must be a number from 0, or None, got {wording!r}")
        self.policy, self.wording = policy, wording

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a batch of dialogues.

        Raises:
            AccessError: the game allows fewer words than the grammar needs.
        """
        super().reset(access)
        needed, allowed = access.grammar.max_words, int(access.settings.max_words or 0)
        if access.settings.actions != "acts" and allowed < needed:
            raise AccessError(f"{self!r} says up to {needed} words, the game allows {allowed}: set max_words={needed}")

    def speak(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """Its acts, as the game asks for them."""
        if access.settings.actions == "acts":
            return torch.where(access.speaking, self.decide(access), PASS)
        return self._spoken(lambda: self._utter(access), access)

    def choose(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """What has been agreed, or no deal."""
        return scripted_choice(Knowledge.of(access))

    def decide(self, access: NegotiationAccess) -> Tensor:
        """Its next act in every match, (G,)."""
        return scripted_act(self.policy, Knowledge.of(access))

    def _utter(self, access: NegotiationAccess) -> Tensor:
        wording = access.pick(WORDINGS) if self.wording is None else self.wording
        return scripted_words(access.grammar, self.decide(access), wording, int(access.settings.max_words or 0))
