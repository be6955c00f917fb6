"""The embedded negotiation dialogues: what pairs of scripted negotiators say to one another, in the corpus format."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from advgames import rng
from advgames.dialogue.corpus import DISAGREE, NO_AGREEMENT, OUTPUTS, Line
from advgames.dialogue.scripted import WORDINGS, Knowledge, scripted_act, scripted_choice, scripted_words
from advgames.dialogue.splits import ITEMS, NO_DEAL

if TYPE_CHECKING:
    from advgames.games.negotiation import NegotiationGame
    from advgames.games.negotiation_state import NegotiationState

__all__ = ["hold_dialogues"]

#: who negotiates with whom, and how often: mostly pairs that come to an agreement
PAIRS = {
    ("fair", "fair"): 0.4,
    ("fair", "conceding"): 0.25,
    ("conceding", "conceding"): 0.1,
    ("conceding", "tit-for-tat"): 0.1,
    ("conceding", "stubborn"): 0.1,
    ("conceding", "greedy"): 0.05,
}
MAX_TURNS = 6  # of these dialogues: short ones train quickly
#: (first match seed, dialogues) of each split; games are usually played with small seeds
DIALOGUES = {"train": (7_000_000, 2240), "val": (8_000_000, 200), "test": (9_000_000, 200)}
_NAMES = tuple(dict.fromkeys(name for pair in PAIRS for name in pair))


@cache
def hold_dialogues(split: str) -> tuple[Line, ...]:
    """Both sides' lines of dialogues that scripted negotiators hold in the game itself; always the same.

    Args:
        split: ``train``, ``val`` or ``test``.
    """
    from advgames.games.negotiation import NegotiationGame

    first, number = DIALOGUES[split]
    game = NegotiationGame("bargains", actions="tokens", unit="utterance", grammar=True, max_turns=MAX_TURNS)
    state = game.reset(range(first, first + number))
    policies = _policies(state.seeds)
    while not game.over(state):
        state, _, _ = game.step(state, {p: _move(game, state, p, policies) for p in game.movers(state)})
    return tuple(line for pair in zip(_lines(game, state, 0), _lines(game, state, 1), strict=True) for line in pair)


def _policies(seeds: Tensor) -> Tensor:
    """The place in ``_NAMES`` of each side's policy, (G, 2): a pair drawn, and who of it is the attacker."""
    shares = torch.tensor([*PAIRS.values()], dtype=torch.float64).cumsum(0)
    draws = rng.uniform(seeds, "bargains.pair", 0, (2,), dtype=torch.float64)
    pair = torch.bucketize(draws[:, 0] * shares[-1], shares).clamp(max=len(PAIRS) - 1)
    places = torch.tensor([[_NAMES.index(name) for name in names] for names in PAIRS])[pair]
    return torch.where(draws[:, 1:] > 0.5, places, places.flip(1))


def _move(game: NegotiationGame, state: NegotiationState, player: str, policies: Tensor) -> Tensor:
    """What each match's policy says or chooses, where it is to."""
    access = game.access(state, player)
    known = Knowledge.of(access)
    silent = torch.full((len(policies), game.max_words), game.vocabulary.pad)
    choice = torch.where(access.choosing, scripted_choice(known), NO_DEAL)
    acts = torch.stack([scripted_act(policy, known) for policy in _NAMES], -1)
    own = acts.gather(1, policies[:, [game.players.index(player)]])[:, 0]
    words = scripted_words(game.grammar, own, access.pick(WORDINGS), game.max_words)
    return torch.cat([choice[:, None], torch.where(access.speaking[:, None], words, silent)], 1)


def _lines(game: NegotiationGame, state: NegotiationState, side: int) -> list[Line]:
    """The finished dialogues as a side sees them."""
    from advgames.games.negotiation_outcome import AGREED, NOT_AGREED, taken_by

    taken = taken_by(state.choices)[:, [side, 1 - side]].flatten(1).tolist()  # own items, then the partner's
    tags = torch.where(state.outcome == NOT_AGREED, NO_AGREEMENT, DISAGREE).tolist()
    agreed = (state.outcome == AGREED).tolist()
    words = game.view(state, game.players[side]).tolist()
    contexts, partners = game.context(state, side).tolist(), game.context(state, 1 - side).tolist()
    lines = []
    for g, length in enumerate(state.length.tolist()):
        items = tuple(f"item{place % len(ITEMS)}={n}" for place, n in enumerate(taken[g]))
        outputs = items if agreed[g] else (OUTPUTS[tags[g]],) * len(items)
        said = tuple(game.vocabulary.decode(words[g][:length]))
        lines.append(Line(tuple(contexts[g]), said, outputs, tuple(partners[g])))
    return lines
