"""What a negotiator may know: words and decisions, or the model and the goal of the target too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from advgames.access import Access
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.vocabulary import Vocabulary
from advgames.errors import AccessError
from advgames.games.negotiation_settings import NegotiationSettings
from advgames.victims.negotiator import Negotiator

__all__ = ["NegotiationAccess"]


class NegotiationAccess(Access):
    """The rules of the dialogue, its words, and the player's own randomness; of the target what is granted.

    Attributes:
        settings: the game's; which model is the target only those learn who may know it.
        vocabulary, grammar: what words mean.
        speaking: whether the player is to speak now, (G,) bool.
        choosing: whether it is to choose now, (G,) bool.
        turn: utterances finished so far, (G,).
        said: words of the unfinished utterance, (G,).
        starts: where each utterance begins, (G, T).
        legal: which acts it may use, (G, 163) bool.
        counts, values: pieces of each item, and what one is worth to the player, (G, 3).
        acts: of the finished utterances, (G, T): -1 no act of the grammar, -2 not spoken yet.
        mine: which of these were the player's own, (G, T) bool.
        model: a negotiator by name: ``"sv"``, a file of weights, or ``"my_module:name"``.
        level: ``"black-box"`` or ``"white-box"``.
    """

    kind = "dialogue"

    def __init__(
        self,
        *,
        settings: NegotiationSettings,
        vocabulary: Vocabulary,
        grammar: Grammar,
        speaking: Tensor,
        choosing: Tensor,
        turn: Tensor,
        said: Tensor,
        starts: Tensor,
        legal: Tensor,
        counts: Tensor,
        values: Tensor,
        acts: Tensor,
        mine: Tensor,
        model: Callable[[str], Negotiator],
        level: str,
        target_context: Tensor | None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.level = level
        self.settings = settings if target_context is not None else settings.model_copy(update={"target": "unknown"})
        self.vocabulary, self.grammar = vocabulary, grammar
        self.speaking, self.choosing = speaking, choosing
        self.turn, self.said, self.starts = turn, said, starts
        self.legal = legal
        self.counts, self.values = counts, values
        self.acts, self.mine = acts, mine
        self.model = model
        self._target_context = target_context

    @property
    def target(self) -> Negotiator:
        """The model under attack, in evaluation mode; not to be changed.

        Raises:
            AccessError: words and decisions are all that is granted.
        """
        self._refuse_unless_granted("model")
        return self.model(self.settings.target)

    @property
    def target_context(self) -> Tensor:
        """``c0 v0 c1 v1 c2 v2`` as the target sees it, (G, 6).

        Raises:
            AccessError: words and decisions are all that is granted.
        """
        self._refuse_unless_granted("goal")
        assert self._target_context is not None
        return self._target_context

    def _refuse_unless_granted(self, what: str) -> None:
        if self._target_context is None:
            raise AccessError(
                f"{self.player} is granted {self.level} access, not the target's {what}: see the setting "
                f"access_{self.player}; the agent `negotiator` speaks from a model of its own"
            )
