"""Scripted negotiators as players: policies of known behaviour, in acts, in words and in text."""

from __future__ import annotations

from torch import Tensor

from advgames.agents.dialogue import ActAgent
from advgames.dialogue.scripted import POLICIES, Knowledge, scripted_act
from advgames.errors import SettingError, UnknownNameError
from advgames.games.negotiation_access import NegotiationAccess

__all__ = ["Scripted"]


class Scripted(ActAgent):
    """A negotiator of known behaviour.

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

    def decide(self, access: NegotiationAccess) -> Tensor:
        """Its next act in every match, (G,)."""
        return scripted_act(self.policy, Knowledge.of(access))
