"""Moves of the negotiation game as texts: read from what a person or a language model writes, and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from advgames.dialogue.splits import NO_DEAL
from advgames.games.negotiation_moves import UNREADABLE
from advgames.games.spaces import PRINTABLE, Text

if TYPE_CHECKING:
    from advgames.games.negotiation import NegotiationGame
    from advgames.games.negotiation_state import NegotiationState

__all__ = ["ACTION_TEXT", "prompt_space", "read_move", "write_move"]

ACTION_TEXT = Text(200)
_FRAME = 1000  # characters of a prompt around the dialogue


def read_move(game: NegotiationGame, state: NegotiationState, player: str, text: str, match: int = 0) -> Tensor:
    """What a text means as a move, (1 + L,): an utterance while there is talk, then a choice.

    A text that is neither becomes a move that is not legal: it ends the dialogue with the outcome ``illegal``.
    """
    names, most = game.vocabulary, game.max_words
    move = torch.full((1 + most,), names.pad, device=game.device)
    move[0] = NO_DEAL
    if not bool(game.active(state, player)[match]):
        return move
    if not bool(state.talking[match]):
        choice = game.grammar.read_choice(text, state.counts[match].tolist())
        move[0] = UNREADABLE if choice is None else choice
        return move
    said = (game.grammar.read(text) or [names.unk, names.eos])[:most]  # what is cut short has no end, and is not legal
    move[1 : 1 + len(said)] = torch.tensor(said, device=game.device)
    return move


def write_move(game: NegotiationGame, state: NegotiationState, player: str, move: Tensor) -> str:
    """A move (1 + L,) of one match in words; one that passes is empty."""
    if bool(state.talking[0]):
        return game.grammar.say(move[1:].cpu())
    choice = int(move[0])
    return game.grammar.say_choice(choice) if choice <= NO_DEAL and bool(game.active(state, player)[0]) else ""


def prompt_space(game: NegotiationGame) -> Text:
    """Where the prompts of a game lie."""
    words = game.vocabulary.words
    longest = max(map(len, words)) + 1
    letters = "".join(sorted({*PRINTABLE, *"\n“”", *"".join(words)}))
    return Text(_FRAME + game.width * longest, letters)
