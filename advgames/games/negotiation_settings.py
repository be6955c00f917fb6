"""Settings of the negotiation game, and how a task fills what they leave open."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from advgames.errors import SettingError
from advgames.settings import Settings
from advgames.tasks.negotiations import NegotiationTask

__all__ = ["ActionView", "Ending", "NegotiationSettings", "Unit"]

ActionView = Literal["acts", "tokens", "text"]
Ending = Literal["select", "accept"]
Unit = Literal["word", "utterance"]
Knowledge = Literal["black-box", "white-box"]


class NegotiationSettings(Settings):
    """Settings of the negotiation game; None means the default named, or the task's own.

    Attributes:
        actions: what a move is: an ``"acts"`` number (propose a split, inform, ask, accept, insist, end), ``"tokens"``
            (words of the vocabulary up to ``<eos>`` or ``<selection>``, the paper's game) or ``"text"`` (a string,
            for a person or a language model; what does not parse ends the dialogue with the outcome ``illegal``).
        unit: of ``"tokens"``: one ``"word"`` per move, with an exact action mask, or a whole ``"utterance"``.
        grammar: whether every utterance must parse as an act. None: yes, except for ``"tokens"``.
        ending: ``"select"``: once somebody says ``<selection>`` both choose a split, and agree if the choices fit (the
            paper's); ``"accept"``: accepting the last offer ends the dialogue (OpenSpiel's ``bargaining``).
        adversarial: the attacker takes what the defender's choice leaves, so that they always agree (the paper's
            evaluation of attacks).
        max_turns: utterances of a dialogue at most.
        at_limit: what the last of these turns is followed by, where nobody ended the talk: ``"choices"``, or no deal,
            ``"walk-away"``. Whoever speaks last can insist to the end where there are choices still.
        max_words: words of an utterance at most, its end included; None: what the grammar needs, or 30 without one.
        illegal: what an illegal move comes to, such as an offer of more than there is: a named ``"error"``, which
            leaves the dialogue as it was, or the ``"outcome"`` ``illegal``, which ends it; what was said stands in the
            dialogue where it can be read, and comes to nothing.
            ``"text"`` always has the outcome. Moves of whoever is not to move, and what is no move of the action space
            at all, are errors either way.
        first: who opens: ``"attacker"``, ``"defender"``, or by the match's own coin, ``"random"``.
        payoff: what a player receives: its ``"score"``, or its ``"advantage"`` over the other (eq. 3.7).
        walk_away_attacker, walk_away_defender: what a side gets where there is no agreement.
        discount: factor on the value of an agreement for every turn after the second (an offer and its answer are full
            value).
        access_attacker: ``"black-box"``: words and decisions only; ``"white-box"``: the target's model and goal too.
        target: the defender's model, which white-box attackers see and the agent ``target`` plays: ``"sv"`` is the
            task's supervised negotiator; else a file of weights, or ``"my_module:name"``.
        scenarios: a file in the format of selfplay.txt to take scenarios from; None: the task's own.
    """

    actions: ActionView = "acts"
    unit: Unit = "word"
    grammar: bool | None = None
    ending: Ending = "select"
    adversarial: bool = False
    max_turns: PositiveInt = 10
    at_limit: Literal["choices", "walk-away"] = "choices"
    max_words: PositiveInt | None = Field(default=None, ge=2, le=200)
    illegal: Literal["error", "outcome"] | None = None
    first: Literal["attacker", "defender", "random"] = "random"
    payoff: Literal["score", "advantage"] = "score"
    walk_away_attacker: NonNegativeFloat = 0.0
    walk_away_defender: NonNegativeFloat = 0.0
    discount: float = Field(default=1.0, gt=0.0, le=1.0)
    access_attacker: Knowledge = "black-box"
    target: str = "sv"
    scenarios: str | None = None

    def completed(self, task: NegotiationTask) -> NegotiationSettings:
        """Every None that has a default filled.

        Raises:
            SettingError: settings that contradict each other or the task.
        """
        filled = self.model_dump()
        if self.grammar is None:
            filled["grammar"] = self.actions != "tokens"
        if self.illegal is None:
            filled["illegal"] = "outcome" if self.actions == "text" else "error"
        elif self.actions == "text" and self.illegal == "error":
            raise SettingError(
                "actions='text' ends a dialogue where a text does not parse: illegal='error' is not open"
            )
        if not filled["grammar"] and self.actions != "tokens":
            raise SettingError(f"actions={self.actions!r} are read by the grammar: it cannot be switched off")
        if not filled["grammar"] and self.ending == "accept":
            raise SettingError("ending='accept' needs offers that can be read: set grammar=True")
        if self.unit == "utterance" and self.actions == "acts":
            raise SettingError("unit='utterance' is about words: with actions='acts' a move is an act")
        if self.ending == "accept" and self.adversarial:
            raise SettingError("adversarial=True is about the target's choice: it needs ending='select'")
        if self.max_words is None:
            filled["max_words"] = task.grammar.max_words if filled["grammar"] else 30
        elif filled["grammar"] and self.max_words < task.grammar.max_words:
            least = task.grammar.max_words
            raise SettingError(f"the grammar needs max_words of at least {least}, got {self.max_words}")
        return NegotiationSettings(**filled)
