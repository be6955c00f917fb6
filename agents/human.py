"""A person at the keyboard as a player of dialogues."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from advgames.agents.dialogue import DialogueAgent, Observation
from advgames.dialogue.acts import ACCEPT, END, INSIST, PASS
from advgames.dialogue.reading import split_words
from advgames.dialogue.speech import utterances
from advgames.dialogue.splits import NO_DEAL
from advgames.errors import ActionError, SettingError
from advgames.games.negotiation_access import NegotiationAccess
from advgames.games.render_negotiation import (
    acts_said,
    choices_to_make,
    dialogue_lines,
    pieces,
    things_to_say,
    worth,
)

__all__ = ["Human"]

_QUIT, _END = "quit", "end"
_NOT_NOW = {ACCEPT: "there is no offer of theirs to accept", INSIST: "nothing has been offered that you could refuse"}


class Human(DialogueAgent):
    """A person who is shown the dialogue on the standard output and types on the standard input.

    One match at a time. Acts and utterances of the grammar are typed in words (``i want 2 hats``, ``deal``), where
    there is no grammar in any words of the vocabulary; ``end`` ends the talk, ``quit`` ends it and takes no deal. What
    cannot be read or is not legal is asked for again, with the reason.
    """

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a dialogue.

        Raises:
            SettingError: it is more than one at once.
        """
        super().reset(access)
        if len(access.turn) != 1:
            raise SettingError(f"{self!r} plays one match at a time, got {len(access.turn)} at once")
        self._told, self._left = -1, False

    def speak(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """What the person says, as the game asks for it."""
        if access.settings.actions != "acts":
            return self._spoken(lambda: self._words(observation, access)[None], access)
        if not bool(access.speaking[0]):
            return torch.full_like(access.turn, PASS)
        return access.grammar.parse(self._words(observation, access)[None])

    def choose(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """What the person takes; no deal from one who has left."""
        counts = access.counts[0].tolist()
        choice = NO_DEAL if self._left else None
        if choice is None:
            self._tell(observation, access)
            print(f"The talk is over. {choices_to_make(counts)}")
        while choice is None:
            text = self._line("You take: ", access)
            choice = NO_DEAL if text == _QUIT else access.grammar.read_choice(text, counts)
            if choice is None:
                print(f"That cannot be read, or is more than there is: {pieces(counts)}.")
        return torch.full_like(access.turn, choice)

    def show(self, text: str) -> None:
        """Show the person how it ended."""
        print(f"\n{text}\n", flush=True)

    def _words(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """A legal utterance, (max_words,)."""
        if bool(access.speaking[0]) and not self._left:
            self._tell(observation, access)
        ids, reason = [access.vocabulary.selection], "" if self._left else "?"
        while reason:
            text = self._line("You say: ", access)
            ids, reason = self._read(text, access)
            if reason:
                print(f"{reason}. {things_to_say(access.counts[0].tolist(), access.legal[0])}")
        room = access.grammar.max_words if access.settings.actions == "acts" else int(access.settings.max_words or 0)
        padded = [*ids, *[access.vocabulary.pad] * (room - len(ids))]
        return torch.tensor(padded, device=access.turn.device)

    def _read(self, text: str, access: NegotiationAccess) -> tuple[list[int], str]:
        """A line as ids, and why they cannot be said: nothing where they can."""
        names, settings = access.vocabulary, access.settings
        if text in (_QUIT, _END):
            self._left = text == _QUIT
            return [names.selection], ""
        ids = access.grammar.read(text)
        if ids is None:
            return [], "There is no word in that"
        if settings.actions != "acts" and len(ids) > int(settings.max_words or 0):
            return ids, f"That is too long: {int(settings.max_words or 0) - 1} words are the most"
        act = int(access.grammar.parse(torch.tensor([ids], device=access.turn.device))[0])
        if act == END or (act > PASS and bool(access.legal[0, act])):
            return ids, ""
        if unknown := [word for word in split_words(text) if word not in names]:
            return ids, f"Words that nobody here knows: {', '.join(unknown)}"
        if act < 0 and settings.grammar:
            return ids, "That is not understood"
        if settings.grammar:
            return ids, f"Not now: {_NOT_NOW.get(act, f'there are only {pieces(access.counts[0].tolist())}')}"
        return ids, ""

    def _tell(self, observation: Observation, access: NegotiationAccess) -> None:
        """Print what is new, the first time the situation too."""
        if self._told < 0:
            counts, values = access.counts[0].tolist(), access.values[0].tolist()
            forms, most = things_to_say(counts, access.legal[0]), access.settings.max_turns
            print(f"\nYou are the {access.player}. On the table: {pieces(counts)}. To you {worth(values)}.")
            print(f"{forms} So does “{_END}”; “{_QUIT}” walks away. {_many(most)} at most.")
            print("\n".join([*_rules(access), ""]))
            self._told = 0
        if access.settings.actions == "acts":
            said = acts_said(access.acts[0].tolist(), access.mine[0].tolist(), access.grammar)
        else:
            words = observation["words"][0, : int(observation["length"][0, 0])].tolist()
            said = utterances(words, access.vocabulary)
        fresh = [(mine, text) for mine, text in said[self._told :] if not mine]
        for line in dialogue_lines(fresh, ("You", "They")):
            print(line)
        self._told = len(said)

    def _line(self, ask: str, access: NegotiationAccess) -> str:
        """One line of input.

        Raises:
            ActionError: there is none any more.
        """
        print(ask, end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            print()
            raise ActionError(f"{access.player}: the input ended before the match did; {_QUIT!r} walks away from it")
        return line.strip()


def _many(most: int) -> str:
    return "There is 1 utterance" if most == 1 else f"There are {most} utterances"


def _rules(access: NegotiationAccess) -> Iterator[str]:
    """What is out of the ordinary, from this player's seat."""
    settings = access.settings
    if settings.ending == "accept":
        yield f"“deal” accepts their last offer and closes the match; “{_END}” before that is no deal."
    elif settings.adversarial and access.sign > 0:
        yield "Only they choose in the end: you take what they leave."
    elif settings.adversarial:
        yield "Only you choose in the end: they take whatever you leave."
    if settings.at_limit == "walk-away" and settings.ending == "select":
        yield f"Where nobody says “{_END}” there is no deal."
