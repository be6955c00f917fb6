"""DialogueActs: a learner that negotiates in acts where the game is played in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from advgames.agents.dialogue import ActAgent
from advgames.agents.views import View
from advgames.dialogue.acts import CHOOSE, NUM_ACTIONS, NUM_ACTS, PASS
from advgames.dialogue.scripted import Knowledge, read_table
from advgames.dialogue.splits import NO_DEAL, NUM_SPLITS, legal_splits
from advgames.errors import ActionError, SettingError
from advgames.games.negotiation_access import NegotiationAccess
from advgames.games.negotiation_features import act_features, act_space
from advgames.games.spaces import Classes, Observation, Space

__all__ = ["DialogueActs"]


class _Told(ActAgent):
    """Says the acts that it is told."""

    acts: Tensor

    def decide(self, access: NegotiationAccess) -> Tensor:
        """The acts."""
        return self.acts.clamp(max=NUM_ACTS - 1)

    def choose(self, observation: Mapping[str, Tensor], access: NegotiationAccess) -> Tensor:
        """The choices."""
        return (self.acts - CHOOSE).clamp(0, NO_DEAL)


class DialogueActs(View):
    """The acts of ``actions="acts"``, with their mask, in a game of utterances.

    The learner sees what it would see in a game of acts (:mod:`advgames.envs.negotiation_v0`), read from the words by
    the grammar; what it does is said in the grammar's words, any of its wordings. What the other side says beyond the
    grammar is heard, and means nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told = _Told()

    def reset(self, access: Any) -> None:
        """Begin a batch of dialogues.

        Raises:
            AccessError: the game is no dialogue, or allows fewer words than the grammar needs.
            SettingError: it is played in acts, or word by word.
        """
        self._told.reset(access)
        settings = access.settings
        if settings.actions != "tokens" or settings.unit == "word":
            raise SettingError("DialogueActs plays games of utterances: actions='tokens', unit='utterance'")

    def observation_space(self, access: Any) -> Observation:
        """What the learner sees of one match."""
        own = {name: access.observation_space[name] for name in _KEPT}
        return own | act_space(access.settings.max_turns)

    def action_space(self, access: Any) -> Space:
        """An act, or a choice."""
        return Classes((), NUM_ACTIONS)

    def observe(self, observation: Mapping[str, Tensor], access: NegotiationAccess) -> dict[str, Tensor]:
        """What the learner sees, name -> (G, ...)."""
        table = read_table(Knowledge.of(access))
        seen = {name: observation[name] for name in _KEPT}
        seen |= act_features(
            access.acts, access.mine, access.counts, access.values, (table.own, table.other), seen["progress"].dtype
        )
        return seen | {"action_mask": _mask(access).to(torch.int8)}

    def expand(self, action: Tensor, observation: Mapping[str, Tensor], access: NegotiationAccess) -> Tensor:
        """The utterances, or the choices.

        Raises:
            ActionError: an act or choice that the mask forbids.
        """
        if not bool(_mask(access).gather(1, action.clamp(0, NUM_ACTIONS - 1)[:, None]).all()):
            raise ActionError(
                f"{access.player}: an act that is not legal now, see the mask, among {action.tolist()[:8]}"
            )
        self._told.acts = action
        return self._told.act(observation, access)

    def describe(self) -> dict[str, Any]:
        """What it was made of, as JSON can hold it."""
        return {"features": None, "moves": "dialogue-acts"}


_KEPT = ("counts", "own_values", "to_do", "progress")


def _mask(access: NegotiationAccess) -> Tensor:
    """Which acts and choices are legal, (G, 289) bool."""
    mask = torch.zeros(len(access.turn), NUM_ACTIONS, dtype=torch.bool, device=access.turn.device)
    mask[:, :NUM_ACTS] = access.legal & access.speaking[:, None]
    mask[:, CHOOSE : CHOOSE + NUM_SPLITS] = legal_splits(access.counts) & access.choosing[:, None]
    mask[:, CHOOSE + NO_DEAL] = access.choosing
    mask[:, PASS] |= ~(access.speaking | access.choosing)
    return mask
