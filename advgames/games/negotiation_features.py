"""What a player sees of a dialogue of acts: kinds, offers as it would fare under them, and the other side's claims."""

from __future__ import annotations

import torch
from torch import Tensor

from advgames.dialogue.acts import END, INFORM, INSIST, PROPOSE, act_kind, inform_item, inform_value
from advgames.dialogue.splits import ITEMS, split_items
from advgames.games.negotiation_state import NegotiationState

__all__ = ["act_features"]


def act_features(state: NegotiationState, side: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """What ``NegotiationGame.observe`` says of acts.

    kinds, mine (G, T), offers (G, T, 3), claims, own_offer, other_offer (G, 3) and offers_worth (G, 2).
    """
    spoken = state.acts > -2
    turns = torch.arange(state.acts.shape[1], device=state.acts.device)
    mine = state.spoken_by(side)
    kinds = torch.where(spoken, 1 + act_kind(state.acts), 0)
    offered = (state.acts >= PROPOSE) & (state.acts < INSIST)
    taken = split_items(state.acts.device)[(state.acts - PROPOSE).clamp(0, INSIST - PROPOSE - 1)]
    own = torch.where(mine[..., None], taken, state.counts[:, None] - taken)
    items = torch.where(offered[..., None], own, -1).to(dtype)
    claim = (state.acts >= INFORM) & (state.acts < END) & ~mine
    claims = []
    for item in range(len(ITEMS)):
        about = claim & (inform_item(state.acts) == item)
        last = torch.where(about, turns, -1).amax(1)
        value = inform_value(state.acts.gather(1, last.clamp(min=0)[:, None]))[:, 0]
        claims.append(torch.where(last >= 0, 1 + value, 0))
    found = {"kinds": kinds, "mine": mine.long(), "offers": items, "claims": torch.stack(claims, -1)}
    return found | _table(state, side, dtype)


def _table(state: NegotiationState, side: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """What the player would get by each side's last offer, as pieces and as their worth to it."""
    none = state.offers < 0
    taken = split_items(state.offers.device)[state.offers.clamp(min=0)]  # (G, 2, 3), to whoever offered
    own, other = taken[:, side], state.counts - taken[:, 1 - side]
    worth = [(part * state.values[:, side]).sum(-1).to(dtype) for part in (own, other)]
    return {
        "own_offer": torch.where(none[:, [side]], 0, 1 + own),
        "other_offer": torch.where(none[:, [1 - side]], 0, 1 + other),
        "offers_worth": torch.where(none[:, [side, 1 - side]], -1, torch.stack(worth, -1)),
    }
