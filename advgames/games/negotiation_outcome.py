"""What a negotiation comes to: scores from choices, and what a report measures of finished dialogues."""

from __future__ import annotations

import torch
from torch import Tensor

from advgames.dialogue.acts import END, INFORM, inform_item, inform_value
from advgames.dialogue.splits import NO_DEAL, NUM_SPLITS, frontier, split_items
from advgames.games.negotiation_state import NegotiationState

__all__ = ["AGREED", "DISAGREED", "ILLEGAL", "NOT_AGREED", "measures", "settle", "taken_by"]

_OPEN, AGREED, DISAGREED, NOT_AGREED, ILLEGAL = range(5)


def taken_by(choices: Tensor) -> Tensor:
    """Pieces that choices (...) take, (..., 3); none without a deal."""
    taken = split_items(choices.device)[choices.clamp(0, NUM_SPLITS - 1)]
    return taken * ((choices >= 0) & (choices < NO_DEAL))[..., None]


def settle(
    counts: Tensor, values: Tensor, choices: Tensor, walk_away: Tensor, discount: Tensor
) -> tuple[Tensor, Tensor]:
    """(outcome (G,), scores (G, 2)) of both sides' choices (G, 2).

    They agree if for every item the pieces taken add up to what there is; nobody else scores more than walking away.

    Args:
        counts: (G, 3).
        values: of each side, (G, 2, 3).
        walk_away: what a side gets without an agreement, (2,).
        discount: factor on the value of an agreement, (G,).
    """
    items = taken_by(choices)
    deal = (choices < NO_DEAL).all(-1) & (choices >= 0).all(-1)
    agreed = deal & (items.sum(1) == counts).all(-1)
    worth = (items * values).sum(-1).to(walk_away.dtype) * discount[:, None]
    scores = torch.where(agreed[:, None], worth, walk_away)
    refused = (choices == NO_DEAL).any(-1)
    outcome = torch.where(agreed, AGREED, torch.where(refused, NOT_AGREED, DISAGREED))
    return outcome, scores


def measures(state: NegotiationState, walk_away: tuple[float, float], grammatical: bool) -> dict[str, Tensor]:
    """What a report wants to know of the dialogues, (G,) each, in float64.

    score_attacker, score_defender; advantage: their difference (S_adv - S_ori); positive_advantage: whether it is above
    0 (its mean is the thesis's PAR); agreement; illegal; turns and words of the dialogue; untrue_attacker,
    untrue_defender: claims of a value that is not the speaker's own. Of agreements alone (NaN elsewhere): pareto:
    whether no other split is better for one and not worse for the other; pareto_gain: by how much the sum of scores
    could grow without harm to anybody; nash_distance, kalai_distance: Euclidean, in values, to the split of the largest
    product of gains and to the Kalai-Smorodinsky point of the splits (NaN too where no split is worth to both what
    they get for walking away).
    """
    agreed = state.outcome == AGREED
    scores = state.scores.double()
    known = {
        "score_attacker": scores[:, 0],
        "score_defender": scores[:, 1],
        "advantage": scores[:, 0] - scores[:, 1],
        "positive_advantage": scores[:, 0] > scores[:, 1],
        "agreement": agreed,
        "illegal": state.outcome == ILLEGAL,
        "turns": state.turn,
        "words": state.length - (state.starts >= 0).sum(1),
    }
    if grammatical:
        claims = untrue_claims(state)
        known |= {"untrue_attacker": claims[:, 0], "untrue_defender": claims[:, 1]}
    edge = frontier(state.counts, state.values[:, 0], state.values[:, 1], walk_away)
    chosen = state.choices[:, 0].clamp(0, NUM_SPLITS - 1)[:, None]
    own, other = (side.gather(1, chosen)[:, 0] for side in (edge.own, edge.other))
    better = edge.legal & (edge.own >= own[:, None]) & (edge.other >= other[:, None])
    gain = torch.where(better, edge.own + edge.other, 0.0).amax(1) - own - other
    point, nothing = torch.stack([own, other], -1), torch.full_like(own, torch.nan)
    worthwhile = (edge.legal & (edge.own >= walk_away[0]) & (edge.other >= walk_away[1])).any(1)
    bargain = {
        "pareto": edge.efficient.gather(1, chosen)[:, 0].double(),
        "pareto_gain": gain,
        "nash_distance": torch.where(worthwhile, (point - edge.nash).norm(dim=-1), nothing),
        "kalai_distance": torch.where(worthwhile, (point - edge.kalai).norm(dim=-1), nothing),
    }
    return {n: v.double() for n, v in known.items()} | {n: torch.where(agreed, v, nothing) for n, v in bargain.items()}


def untrue_claims(state: NegotiationState) -> Tensor:
    """Claims of each side that a piece is worth to it what it is not, (G, 2)."""
    side = state.spoken_by(1).long()
    claim = (state.acts >= INFORM) & (state.acts < END)
    item = inform_item(state.acts).clamp(0, 2)
    truth = state.values.flatten(1).gather(1, side * 3 + item)
    untrue = claim & (truth != inform_value(state.acts))
    return torch.stack([(untrue & (side == s)).sum(1) for s in (0, 1)], -1)
