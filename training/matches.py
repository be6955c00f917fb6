"""Matches played out by agent objects, without records: what trainings and their payoff tables need."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from advgames.agents import Agent, make_agent
from advgames.errors import SettingError, UnknownNameError
from advgames.games import Game, State

__all__ = ["known_players", "match_seeds", "payoffs", "play_out"]

S = TypeVar("S", bound=State)


def play_out(game: Game[S], players: Mapping[str, Agent], seeds: Sequence[int] | Tensor) -> tuple[S, dict[str, Tensor]]:
    """The end of a batch of matches, and what each player was paid in all, name -> (G,) float64."""
    state = game.reset(seeds)
    for player in game.players:
        players[player].reset(game.access(state, player))
    total = {player: torch.zeros(len(seeds), dtype=torch.float64, device=game.device) for player in game.players}
    while not game.over(state):
        moves = {p: players[p].act(game.observe(state, p), game.access(state, p)) for p in game.movers(state)}
        state, paid, _ = game.step(state, moves)
        for player, gain in paid.items():
            total[player] += gain
    return state, total


def payoffs(
    game: Game[Any], players: Mapping[str, Agent | str], seeds: int | Sequence[int], batch: int = 256
) -> dict[str, Tensor]:
    """What each player is paid, name -> (N,) float64 on the CPU.

    Args:
        game: the rules.
        players: an agent, or its name, in every seat.
        seeds: of the matches, or how many: 0, 1, ...
        batch: matches at once.

    Raises:
        UnknownNameError: no such player or agent.
        SettingError: a seat is empty, or there are no matches.
    """
    known_players(game, players, game.name)
    if missing := [player for player in game.players if player not in players]:
        raise SettingError(f"players: nobody plays the {missing[0]} of {game.name}")
    seeds = match_seeds(seeds)
    agents = {player: make_agent(agent) for player, agent in players.items()}
    parts = [play_out(game, agents, seeds[i : i + batch])[1] for i in range(0, len(seeds), batch)]
    return {player: torch.cat([part[player].cpu() for part in parts]) for player in game.players}


def match_seeds(seeds: int | Sequence[int]) -> list[int]:
    """Seeds of matches: those given, or of a number of matches 0, 1, ...

    Raises:
        SettingError: there is none, or one is no whole number.
    """
    try:
        found = [operator.index(seed) for seed in (seeds if isinstance(seeds, Iterable) else range(seeds))]
    except TypeError as error:
        raise SettingError(f"seeds are whole numbers, or how many there are, got {seeds!r}") from error
    if not found:
        raise SettingError(f"at least one match is needed, got seeds={seeds!r}")
    return found


def known_players(game: Game[Any], players: Iterable[str], what: str) -> None:
    """Refuse names of players that a game has not.

    Args:
        game: the rules.
        players: names.
        what: was given by them.

    Raises:
        UnknownNameError: one is none.
    """
    for player in players:
        if player not in game.players:
            raise UnknownNameError("player", player, game.players, what)
