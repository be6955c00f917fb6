"""Dialogues held: a batch of them from the first word to the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from advgames.agents import Agent
from advgames.games import NegotiationGame, NegotiationState

__all__ = ["converse"]


def converse(game: NegotiationGame, players: Mapping[str, Agent], seeds: Sequence[int] | Tensor) -> NegotiationState:
    """The finished dialogues of matches `seeds` between an attacker and a defender."""
    state = game.reset(seeds)
    for player in game.players:
        players[player].reset(game.access(state, player))
    while not game.over(state):
        moves = {p: players[p].act(game.observe(state, p), game.access(state, p)) for p in game.movers(state)}
        state, _, _ = game.step(state, moves)
    return state
