"""Dialogues for people: a whole one with both sides' values, and what one side is shown of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from advgames.dialogue.acts import ACCEPT, INSIST
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.phrases import PLURALS, wordings
from advgames.dialogue.reading import choice_text
from advgames.dialogue.speech import utterances
from advgames.dialogue.splits import ITEMS, NO_DEAL
from advgames.dialogue.vocabulary import SELECTION
from advgames.games.negotiation_state import OUTCOMES

if TYPE_CHECKING:
    from advgames.games.negotiation import NegotiationGame
    from advgames.games.negotiation_state import NegotiationState

__all__ = [
    "acts_said",
    "choices_to_make",
    "dialogue_lines",
    "pieces",
    "prompt",
    "things_to_say",
    "transcript",
    "worth",
]

_OPEN, _AGREED, _DISAGREED, _NO_DEAL, _ILLEGAL = range(len(OUTCOMES))
_ENDS = "(ends the talk)"
_UNREAD = "(nothing that could be read)"


def transcript(game: NegotiationGame, state: NegotiationState, match: int = 0) -> str:
    """One dialogue with both sides' values, what was said in full, the choices and the scores.

    As the dialogue goes on lines are added, and none changes.
    """
    counts, values = state.counts[match].tolist(), state.values[match].tolist()
    lines = [f"On the table: {pieces(counts)}."]
    lines += [f"To the {player} {worth(values[side])}." for side, player in enumerate(game.players)]
    said = utterances(state.words[match, : int(state.length[match])].tolist(), game.vocabulary)
    finished = said[: int(state.turn[match])]
    own, other = (player.capitalize() for player in game.players)
    lines += ["", *dialogue_lines(finished, (own, other))]
    if int(state.outcome[match]) != _OPEN:
        lines += ["", *_ending(game, state, match)]
    return "\n".join(lines)


def prompt(game: NegotiationGame, state: NegotiationState, player: str, match: int = 0) -> str:
    """What a person in one seat is shown: the situation, the dialogue so far, and what is asked of it now."""
    side = game.players.index(player)
    words = game.view(state, player)[match, : int(state.length[match])].tolist()
    said = utterances(words, game.vocabulary)[: int(state.turn[match])]
    lines = [
        f"On the table: {pieces(state.counts[match].tolist())}.",
        f"To you {worth(state.values[match, side].tolist())}.",
        "",
        *dialogue_lines(said, ("You", "They")),
        *([""] if said else []),
        *_asked(game, state, player, match),
    ]
    return "\n".join(lines)


def pieces(counts: Sequence[int]) -> str:
    """Counts in words: ``1 book, 2 hats and 3 balls``."""
    parts = [f"{n} {ITEMS[i] if n == 1 else PLURALS[i]}" for i, n in enumerate(counts)]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def worth(values: Sequence[int]) -> str:
    """What a piece of each item is worth to somebody: ``a book is worth 4, a hat 3 and a ball 0``."""
    book, hat, ball = (f"a {name} {'is worth ' if i == 0 else ''}{values[i]}" for i, name in enumerate(ITEMS))
    return f"{book}, {hat} and {ball}"


def acts_said(acts: Sequence[int], mine: Sequence[bool], grammar: Grammar) -> list[tuple[bool, str]]:
    """The utterances of a dialogue of acts, in the plainest words; acts that are not spoken yet (-2) are left out."""
    spoken = [(own, act) for act, own in zip(acts, mine, strict=True) if act > -2]
    return [(own, grammar.say(grammar.render(torch.tensor([max(act, 0)]))[0].cpu())) for own, act in spoken]


def dialogue_lines(said: Iterable[tuple[bool, str]], names: tuple[str, str]) -> Iterator[str]:
    """A line for every utterance, with the name of who said it: the reader's first, then the other's."""
    for mine, text in said:
        yield f"{names[not mine]}: {_ENDS if text == SELECTION else text or _UNREAD}"


def things_to_say(counts: Sequence[int], legal: Tensor) -> str:
    """Examples of what a speaker may say now, by its legal acts (163,)."""
    offer = " and ".join(f"1 {name}" for name, n in zip(ITEMS, counts, strict=True) if n)
    said = [f"i want {offer}", "you can have everything"]
    said += [wordings(act)[0] for act in (ACCEPT, INSIST) if bool(legal[act])]
    said += ["what do you want ?", f"a {ITEMS[0]} is worth 3 to me"]
    return f"You can say such things as {', '.join(f'“{text}”' for text in said)}; “{SELECTION}” ends the talk."


def choices_to_make(counts: Sequence[int]) -> str:
    """Examples of what may be chosen once the talk is over."""
    some = " and ".join(f"1 {name}" for name, n in zip(ITEMS, counts, strict=True) if n)
    return f"You can take “{some}”, “everything”, “nothing” and so on, or say “no deal”."


def _asked(game: NegotiationGame, state: NegotiationState, player: str, match: int) -> Iterator[str]:
    side, outcome = game.players.index(player), int(state.outcome[match])
    counts = state.counts[match].tolist()
    if outcome != _OPEN:
        yield f"It is over: {OUTCOMES[outcome]}. You score {float(state.scores[match, side]):g}."
    elif not bool(game.active(state, player)[match]):
        yield "It is not your turn."
    elif not bool(state.talking[match]):
        yield "The talk is over: what do you take?"
        yield choices_to_make(counts)
    else:
        yield f"What do you say? (utterance {int(state.turn[match]) + 1} of at most {game.settings.max_turns})"
        yield things_to_say(counts, game.access(state, player).legal[match])


def _ending(game: NegotiationGame, state: NegotiationState, match: int) -> Iterator[str]:
    """The choices, the outcome and the scores."""
    outcome, choices = int(state.outcome[match]), state.choices[match].tolist()
    names, scores = game.players, state.scores[match].tolist()
    if outcome != _ILLEGAL:
        for name, choice in zip(names, choices, strict=True):
            yield f"{name.capitalize()} {'wants no deal' if choice == NO_DEAL else f'takes {_chosen(choice)}'}."
    told = OUTCOMES[outcome].capitalize()
    if outcome == _ILLEGAL:
        told = f"Ended by an illegal move of the {names[int(state.offender[match])]}"
    elif outcome == _DISAGREED:
        told = "Disagreed, for the choices do not fit together"
    yield f"{told}: {scores[0]:g} to the {names[0]}, {scores[1]:g} to the {names[1]}."


def _chosen(choice: int) -> str:
    """A split as printed."""
    return choice_text(choice).replace(" ,", ",")
