"""Negotiators of known behaviour: the next act, and the choice at the end, from what one side knows of the talk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from advgames import rng
from advgames.dialogue.acts import ACCEPT, ASK, END, INFORM, INSIST, PROPOSE, VALUES
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.splits import NO_DEAL, NUM_SPLITS, legal_splits, mirrored, split_index, split_items, split_values
from advgames.errors import UnknownNameError

if TYPE_CHECKING:
    from advgames.games.negotiation_access import NegotiationAccess

__all__ = [
    "POLICIES",
    "WORDINGS",
    "Knowledge",
    "Table",
    "read_table",
    "scripted_act",
    "scripted_choice",
    "scripted_words",
]

WORDINGS = 60  # every number of wordings that an act has divides it
HALF = 5  # of the 10 that all pieces are worth: what `fair` asks for
STUBBORN = 8  # what `stubborn` asks for
RESERVATION = 1  # what `conceding` is content with in the end
GOODWILL = 2  # what `tit-for-tat` concedes without being asked


class Knowledge(NamedTuple):
    """What one side knows when it is to speak, in G matches.

    Attributes:
        counts, values: pieces of each item, and what one is worth to this side, (G, 3).
        acts: of all finished utterances, (G, T): -1 no act, -2 not spoken yet.
        mine: which of them were this side's, (G, T) bool.
        legal: which acts it may use, (G, 163) bool.
        turn: utterances finished so far, (G,).
        max_turns: utterances at most.
        seeds: of the side's own randomness, (G,), fresh for every utterance.
    """

    counts: Tensor
    values: Tensor
    acts: Tensor
    mine: Tensor
    legal: Tensor
    turn: Tensor
    max_turns: int
    seeds: Tensor

    @classmethod
    def of(cls, access: NegotiationAccess) -> Knowledge:
        """What a player of the game knows."""
        seen = (access.counts, access.values, access.acts, access.mine, access.legal, access.turn)
        return cls(*seen, access.settings.max_turns, access.noise_seeds)


class Table(NamedTuple):
    """The offers of both sides so far; an offer of more than there is is none.

    Attributes:
        own, other: the split that each side offered last, as what that side takes, (G,); -1: none yet.
        first: the split that the other side offered first, (G,); -1: none yet.
        mine, theirs: whether the last offer was this side's, or the other's; an insistence renews an offer, (G,) bool.
        accepted: whether the last offer was accepted by whom it was made to, (G,) bool.
    """

    own: Tensor
    other: Tensor
    first: Tensor
    mine: Tensor
    theirs: Tensor
    accepted: Tensor


def read_table(known: Knowledge) -> Table:
    """What the acts so far have come to."""
    acts, mine = known.acts, known.mine
    turns = acts.shape[1]
    place = torch.arange(turns, device=acts.device)
    split = (acts - PROPOSE).clamp(0, NUM_SPLITS - 1)
    offer = (acts >= PROPOSE) & (acts < INSIST) & legal_splits(known.counts).gather(1, split)

    def last(where: Tensor) -> Tensor:
        return torch.where(where, place, -1).amax(1)

    def split_at(at: Tensor) -> Tensor:
        return torch.where((at >= 0) & (at < turns), split.gather(1, at.clamp(0, turns - 1)[:, None])[:, 0], -1)

    renewed = []
    for side in (mine, ~mine):
        opened = torch.where(offer & side, place, turns).amin(1)
        renewed.append(last(side & (offer | ((acts == INSIST) & (place > opened[:, None])))))
    own, other = renewed
    newest = torch.maximum(own, other)
    consent = (acts == ACCEPT) & (place > newest[:, None]) & (mine == (other > own)[:, None]) & (newest >= 0)[:, None]
    first = torch.where(offer & ~mine, place, turns).amin(1)
    return Table(
        own=split_at(last(offer & mine)),
        other=split_at(last(offer & ~mine)),
        first=split_at(first),
        mine=own > other,
        theirs=other > own,
        accepted=consent.any(1),
    )


def scripted_act(policy: str, known: Knowledge) -> Tensor:
    """What a policy of :data:`POLICIES` says next, (G,).

    Raises:
        UnknownNameError: no such policy.
    """
    if policy not in POLICIES:
        raise UnknownNameError("policy", policy, POLICIES)
    return POLICIES[policy](known, read_table(known))


def scripted_choice(known: Knowledge) -> Tensor:
    """What every policy chooses after the talk, (G,), as what this side takes.

    Its part of the last offer on the table if the side that it was made to has accepted it since, whatever else was
    said after that; no deal otherwise.
    """
    table = read_table(known)
    part = torch.where(table.mine, table.own, mirrored(table.other.clamp(min=0), known.counts))
    return torch.where(table.accepted, part, NO_DEAL)


def scripted_words(grammar: Grammar, acts: Tensor, wording: Tensor | int, max_words: int) -> Tensor:
    """Acts (G,) in the grammar's words, (G, max_words), which must not be less than the grammar needs."""
    said = grammar.render(acts, wording)
    return torch.nn.functional.pad(said, (0, max_words - said.shape[1]), value=grammar.vocabulary.pad)


def greedy(known: Knowledge, table: Table) -> Tensor:
    """Asks for every piece that is worth anything to it, insists on that, and accepts nothing less."""
    all_of_it = split_index(torch.where(known.values > 0, known.counts, 0))
    return _answered(known, table, _worth(known, all_of_it), _demanded(table, all_of_it))


def fair(known: Knowledge, table: Table) -> Tensor:
    """Offers one after another of the smallest parts that are worth half to it, and accepts what is worth half.

    A part is one of the smallest if with any piece less it were worth less than 5; they come in the order of their
    worth, then of their pieces, and after the last one it insists. It opens a dialogue, or answers a question that
    opens one, by telling what its best item is worth.
    """
    best = known.values.argmax(1)
    informing = INFORM + VALUES * best + known.values.amax(1)
    worth = split_values(known.values)
    with_one_less = worth[..., None] - known.values[:, None]
    needless = (split_items(worth.device) > 0) & (with_one_less >= HALF)
    smallest = legal_splits(known.counts) & (worth >= HALF) & ~needless.any(-1)
    order = _cost(worth, smallest).argsort(dim=1, stable=True)
    proposed = ((known.acts >= PROPOSE) & (known.acts < INSIST) & known.mine).sum(1)
    following = order.gather(1, proposed.clamp(max=NUM_SPLITS - 1)[:, None])[:, 0]
    offer = torch.where(proposed < smallest.sum(1), PROPOSE + following, INSIST)
    before = known.acts.gather(1, (known.turn - 1).clamp(min=0)[:, None])[:, 0]
    telling = (known.turn == 0) | ((before == ASK) & ~known.mine.any(1))
    talk = torch.where(telling, informing, offer)
    return _answered(known, table, torch.full_like(known.turn, HALF), talk)


def stubborn(known: Knowledge, table: Table) -> Tensor:
    """Demands the least part that is worth 8 or more, insists on it for ever, and accepts nothing less."""
    demand = _least_part(known, torch.full_like(known.turn, STUBBORN))
    return _answered(known, table, _worth(known, demand), _demanded(table, demand))


def conceding(known: Knowledge, table: Table) -> Tensor:
    """Demands less with every utterance: from 10 in its first, evenly, to 1 in its last; accepts what reaches that.

    The time-dependent tactic of Faratin, Sierra & Jennings, "Negotiation decision functions for autonomous agents"
    (1998), with a linear schedule.
    """
    first = known.turn % 2
    last = known.max_turns - 1 - (known.max_turns - 1 - first) % 2
    elapsed = torch.where(last > first, (known.turn - first) / (last - first).clamp(min=1), 1.0)
    demand = 10 - (10 - RESERVATION) * elapsed
    return _answered(known, table, demand, PROPOSE + _least_part(known, demand))


def tit_for_tat(known: Knowledge, table: Table) -> Tensor:
    """Demands 10, after that 8, less what the other side has conceded since its first offer, in this side's values.

    Each concession is answered by one as large, and its retraction by a retraction (the absolute tit-for-tat of
    Faratin, Sierra & Jennings, 1998). It accepts what reaches the demand, and opens a dialogue with a question.
    """
    conceded = _received(known, table.other) - _received(known, table.first)
    demand = (10 - torch.where(table.own >= 0, GOODWILL, 0) - conceded).clamp(0, 10)
    talk = PROPOSE + _least_part(known, demand)
    return _answered(known, table, demand, torch.where(known.turn == 0, ASK, talk))


def random(known: Knowledge, table: Table) -> Tensor:
    """Any legal act, each as likely as any other."""
    draws = rng.uniform(known.seeds, "scripted.random", 0, known.legal.shape[1:], dtype=torch.float64)
    return torch.where(known.legal, draws, 0.0).argmax(1)


POLICIES: dict[str, Callable[[Knowledge, Table], Tensor]] = {
    "greedy": greedy,
    "fair": fair,
    "stubborn": stubborn,
    "conceding": conceding,
    "tit-for-tat": tit_for_tat,
    "random": random,
}


def _answered(known: Knowledge, table: Table, enough: Tensor, talk: Tensor) -> Tensor:
    """`talk`, but: the end after a deal, consent to an offer that is worth `enough`, and the end as the last word."""
    consent = known.legal[:, ACCEPT] & table.theirs & (_received(known, table.other) >= enough)
    acts = torch.where(known.turn >= known.max_turns - 1, END, talk)
    return torch.where(table.accepted, END, torch.where(consent, ACCEPT, acts))


def _demanded(table: Table, split: Tensor) -> Tensor:
    """The offer of a split, or insistence on it where it is on offer already."""
    return torch.where(table.own == split, INSIST, PROPOSE + split)


def _worth(known: Knowledge, split: Tensor) -> Tensor:
    """What splits (G,) are worth to the side that knows, taken by it."""
    return split_values(known.values).gather(1, split[:, None])[:, 0]


def _received(known: Knowledge, offered: Tensor) -> Tensor:
    """What the other side's offers (G,) are worth to the side that knows; 0 where there is none (-1)."""
    return torch.where(offered >= 0, _worth(known, mirrored(offered.clamp(min=0), known.counts)), 0)


def _least_part(known: Knowledge, demand: Tensor) -> Tensor:
    """Of the splits worth `demand` (G,) or more, or all there is, that of the least worth, then fewest pieces, (G,)."""
    worth = split_values(known.values)
    most = (known.counts * known.values).sum(1)
    return _cost(worth, legal_splits(known.counts) & (worth >= torch.minimum(demand, most)[:, None])).argmin(1)


def _cost(worth: Tensor, among: Tensor) -> Tensor:
    """A number by which to order splits (G, 125): by worth, then by pieces; those not `among` come last."""
    pieces = split_items(worth.device).sum(-1)
    return torch.where(among, worth * 100 + pieces, 10**6)
