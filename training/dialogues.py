"""Dialogues held: a batch of them from the first word to the scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor

from advgames.agents import Agent
from advgames.dialogue.speech import utterances
from advgames.dialogue.vocabulary import SELECTION
from advgames.games import NegotiationGame, NegotiationState
from advgames.training.matches import play_out

__all__ = ["converse", "malicious_sentences"]


def converse(game: NegotiationGame, players: Mapping[str, Agent], seeds: Sequence[int] | Tensor) -> NegotiationState:
    """The finished dialogues of matches `seeds` between an attacker and a defender."""
    return play_out(game, players, seeds)[0]


def malicious_sentences(
    game: NegotiationGame,
    adversary: Agent,
    target: Agent,
    seeds: Sequence[int] | Tensor = range(10**9, 10**9 + 512),
    best: float = 5.0,
) -> list[str]:
    """The list L of the transfer attack (thesis section 3.2.2.2): what an adversary said last where it gained most.

    Args:
        game: the dialogue in words with ``adversarial=True``.
        adversary: such as a negotiator that was trained to gain.
        target: whom it talks to.
        seeds: of the dialogues; apart from those that are to be attacked.
        best: the least advantage S_adv - S_ori of a dialogue whose sentence is taken.

    Returns:
        The adversary's last utterances before the end, the most frequent first.
    """
    state = converse(game, {"attacker": adversary, "defender": target}, seeds)
    said: Counter[str] = Counter()
    for row in (state.scores[:, 0] - state.scores[:, 1] >= best).nonzero()[:, 0].tolist():
        own = [text for mine, text in utterances(state.words[row].tolist(), game.vocabulary) if mine]
        said.update([text for text in own if text and text != SELECTION][-1:])
    return sorted(said, key=lambda sentence: (-said[sentence], sentence))
