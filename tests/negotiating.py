"""Dialogues for tests: any settings, any view, and players whose acts depend on a match's seed and turn alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from advgames import rng
from advgames.dialogue.acts import ACCEPT, ASK, CHOOSE, END, INFORM, INSIST, NUM_ACTS, PASS, PROPOSE
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.splits import NO_DEAL, legal_splits, split_index
from advgames.games import NegotiationGame, NegotiationState
from advgames.tasks.negotiations import NegotiationTask

VIEWS: dict[str, dict[str, Any]] = {
    "acts": {"actions": "acts"},
    "words": {"actions": "tokens", "unit": "word", "grammar": True},
    "free words": {"actions": "tokens", "unit": "word", "grammar": False, "max_words": 16},
    "utterances": {"actions": "tokens", "unit": "utterance", "grammar": True},
    "free utterances": {"actions": "tokens", "unit": "utterance", "grammar": False, "max_words": 16},
    "text": {"actions": "text"},
}
PLAIN = NegotiationTask("plain", read=lambda split: [], words=Grammar().vocabulary)
SIDES = {"attacker": 0, "defender": 1}


def bargain(counts: Sequence[int], mine: Sequence[int], yours: Sequence[int], **settings: Any) -> NegotiationGame:
    """The game on one scenario: what there is, and what it is worth to the attacker and to the defender."""
    sides = [[n for pair in zip(counts, values, strict=True) for n in pair] for values in (mine, yours)]
    task = NegotiationTask("one", read=lambda split: [], words=PLAIN.words, pairs=lambda: torch.tensor([sides]))
    return NegotiationGame(task, **{"first": "attacker", **settings})


def take(*items: int) -> int:
    """The number of the split that takes these books, hats and balls."""
    return int(split_index(torch.tensor(items)))


def propose(*items: int) -> int:
    """The act of asking for these books, hats and balls."""
    return PROPOSE + take(*items)


def drawn(allowed: Tensor, weights: Tensor, draws: Tensor) -> Tensor:
    """One of what is `allowed` (G, N) for each match, in proportion to `weights` (N,), by uniform `draws` (G,)."""
    mass = (allowed * weights).double().cumsum(1)
    return (mass < draws[:, None].double() * mass[:, -1:]).sum(1).clamp(max=allowed.shape[1] - 1)


def numbers(state: NegotiationState, stream: str, many: int) -> Tensor:
    """Uniform numbers (G, many) that belong to the matches' seeds."""
    return _numbers(tuple(state.seeds.tolist()), stream, many)


@cache
def _numbers(seeds: tuple[int, ...], stream: str, many: int) -> Tensor:
    return rng.uniform(torch.tensor(seeds), stream, 0, (many,), torch.float64)


def random_acts(state: NegotiationState, legal: Tensor) -> Tensor:
    """An act (G,) of whoever is to speak, from the match's seed and turn: the same in any batch and any view."""
    weights = torch.ones(NUM_ACTS)
    weights[INSIST] = weights[ACCEPT] = 12.0
    weights[ASK], weights[INFORM:END], weights[END] = 6.0, 0.4, 3.0
    draws = numbers(state, "test.speak", state.acts.shape[1])
    return drawn(legal, weights, draws.gather(1, state.turn.clamp(max=draws.shape[1] - 1)[:, None])[:, 0])


def random_choices(state: NegotiationState, side: int) -> Tensor:
    """A choice (G,) from the match's seed; those of two sides fit together in about half of the matches."""
    draws = numbers(state, "test.choose", 3)
    legal = torch.nn.functional.pad(legal_splits(state.counts), (0, 1), value=True)
    weights = torch.ones(NO_DEAL + 1)
    weights[NO_DEAL] = 5.0
    first = drawn(legal, weights, draws[:, 0])
    if side == 0:
        return first
    items = state.counts - torch.stack([first // 25, first // 5 % 5, first % 5], -1)
    fitting = torch.where(first == NO_DEAL, NO_DEAL, split_index(items))
    return torch.where(draws[:, 1] < 0.6, fitting, drawn(legal, weights, draws[:, 2]))


def moved(game: NegotiationGame, state: NegotiationState, player: str, acts: Tensor, choices: Tensor) -> Tensor:
    """A player's move in the game's view: says `acts` (G,) where it is to speak, makes `choices` (G,) at the end."""
    access, settings, names = game.access(state, player), game.settings, game.vocabulary
    speaking, choosing = access.speaking, access.choosing
    if settings.actions == "acts":
        return torch.where(speaking, acts, torch.where(choosing, CHOOSE + choices, PASS))
    words = game.grammar.render(torch.where(speaking, acts, PASS))
    if settings.actions == "tokens" and settings.unit == "word":
        word = words.gather(1, access.said.clamp(max=words.shape[1] - 1)[:, None])[:, 0]
        return torch.where(choosing, len(names) + choices, torch.where(speaking, word, names.pad))
    if settings.actions == "text":
        texts = [
            game.grammar.say_choice(int(choices[g])) if choosing[g] else game.grammar.say(words[g])
            for g in range(len(words))
        ]
        return torch.stack([game.read_action(state, player, text, g) for g, text in enumerate(texts)])
    words = torch.nn.functional.pad(words, (0, game.max_words - words.shape[1]), value=names.pad)
    return torch.cat([torch.where(choosing, choices, NO_DEAL)[:, None], words], 1)


def step_randomly(game: NegotiationGame, state: NegotiationState) -> tuple[NegotiationState, dict[str, Tensor], Tensor]:
    """One phase of random legal acts and choices."""
    moves = {
        player: moved(
            game,
            state,
            player,
            random_acts(state, game.access(state, player).legal),
            random_choices(state, SIDES[player]),
        )
        for player in game.movers(state)
    }
    return game.step(state, moves)


def play_randomly(game: NegotiationGame, seeds: Sequence[int]) -> tuple[NegotiationState, Tensor]:
    """(finished state, payoffs (G, 2) added up) of random legal acts and choices."""
    state = game.reset(seeds)
    total = torch.zeros(len(state.seeds), 2, dtype=game.dtype)
    while not game.over(state):
        state, payoffs, _ = step_randomly(game, state)
        total += torch.stack([payoffs["attacker"], payoffs["defender"]], -1)
    return state, total


def play(
    game: NegotiationGame, acts: Sequence[int], choices: Sequence[int] = (), seed: int = 0
) -> tuple[NegotiationState, dict[str, float]]:
    """(finished state, payoffs) of one match in which these acts are said in turn, and these choices made.

    Where `acts` end too early the talk goes on with null actions.
    """
    state, total = game.reset([seed]), dict.fromkeys(game.players, 0.0)
    while not game.over(state):
        moves = {}
        for player in game.movers(state):
            turn = int(state.turn[0])
            if state.talking[0] and turn >= len(acts):
                moves[player] = game.null_action(state, player)
                continue
            act = torch.tensor([acts[turn] if state.talking[0] else PASS])
            choice = torch.tensor([choices[SIDES[player] % len(choices)] if choices else NO_DEAL])
            moves[player] = moved(game, state, player, act, choice)
        state, payoffs, _ = game.step(state, moves)
        total = {p: total[p] + float(payoffs[p][0]) for p in total}
    return state, total


def same_state(one: NegotiationState, other: NegotiationState, leave_out: Sequence[str] = ()) -> None:
    """Two states are equal to the bit, but for some fields."""
    first, second = one.to_dict(), other.to_dict()
    assert first.keys() == second.keys()
    for name in first.keys() - set(leave_out):
        a, b = first[name], second[name]
        if isinstance(a, Tensor):
            assert isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b), name
        else:
            assert a == b, name


def alone(state: NegotiationState, match: int) -> NegotiationState:
    """One match of a batch."""
    flat = state.to_dict()
    return NegotiationState.from_dict(
        {n: v[match : match + 1] if isinstance(v, Tensor) else v for n, v in flat.items()}
    )


def together(states: Sequence[NegotiationState]) -> NegotiationState:
    """Matches that stand at the same phase as one batch."""
    flats = [state.to_dict() for state in states]
    assert len({(flat["round"], flat["phase"]) for flat in flats}) == 1
    joined = {n: torch.cat([f[n] for f in flats]) if isinstance(v, Tensor) else v for n, v in flats[0].items()}
    return NegotiationState.from_dict(joined)
