"""What a player sees of a dialogue of acts: kinds, offers as it would fare under them, and the other side's claims."""

from __future__ import annotations

import torch
from torch import Tensor

from advgames.dialogue.acts import END, INFORM, INSIST, NUM_ACTIONS, PROPOSE, act_kind, inform_item, inform_value
from advgames.dialogue.splits import ITEMS, MOST, split_items
from advgames.games.spaces import Box, Classes, Mask, Observation

__all__ = ["act_features", "act_space"]


def act_space(max_turns: int) -> Observation:
    """Spaces of :func:`act_features` for one match, and of the mask that goes with acts."""
    items = len(ITEMS)
    return {
        "kinds": Classes((max_turns,), 9),
        "mine": Classes((max_turns,), 2),
        "offers": Box((max_turns, items), -1.0, float(MOST)),
        "claims": Classes((items,), 12),
        "own_offer": Classes((items,), MOST + 2),
        "other_offer": Classes((items,), MOST + 2),
        "offers_worth": Box((2,), -1.0, 10.0),
        "action_mask": Mask((NUM_ACTIONS,)),
    }


def act_features(
    acts: Tensor, mine: Tensor, counts: Tensor, values: Tensor, offers: tuple[Tensor, Tensor], dtype: torch.dtype
) -> dict[str, Tensor]:
    """What ``NegotiationGame.observe`` says of acts, but for the mask.

    Args:
        acts, mine: of the utterances, and which were the player's own, (G, T).
        counts, values: pieces of each item, and what one is worth to the player, (G, 3).
        offers: the split that the player, and the other side, offered last, as what the offering side takes, (G,); -1:
            none.
        dtype: of real numbers.

    Returns:
        kinds, mine (G, T), offers (G, T, 3), claims, own_offer, other_offer (G, 3) and offers_worth (G, 2).
    """
    turns = torch.arange(acts.shape[1], device=acts.device)
    kinds = torch.where(acts > -2, 1 + act_kind(acts), 0)
    offered = (acts >= PROPOSE) & (acts < INSIST)
    taken = split_items(acts.device)[(acts - PROPOSE).clamp(0, INSIST - PROPOSE - 1)]
    own = torch.where(mine[..., None], taken, counts[:, None] - taken)
    items = torch.where(offered[..., None], own, -1).to(dtype)
    claim = (acts >= INFORM) & (acts < END) & ~mine
    claims = []
    for item in range(len(ITEMS)):
        about = claim & (inform_item(acts) == item)
        last = torch.where(about, turns, -1).amax(1)
        value = inform_value(acts.gather(1, last.clamp(min=0)[:, None]))[:, 0]
        claims.append(torch.where(last >= 0, 1 + value, 0))
    found = {"kinds": kinds, "mine": mine.long(), "offers": items, "claims": torch.stack(claims, -1)}
    return found | _table(counts, values, offers, dtype)


def _table(counts: Tensor, values: Tensor, offers: tuple[Tensor, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """What the player would get by each side's last offer, as pieces and as their worth to it."""
    both = torch.stack(offers, -1)  # (G, 2), the player's own first
    none = both < 0
    taken = split_items(both.device)[both.clamp(min=0)]  # (G, 2, 3), to whoever offered
    own, other = taken[:, 0], counts - taken[:, 1]
    worth = torch.stack([(part * values).sum(-1) for part in (own, other)], -1).to(dtype)
    return {
        "own_offer": torch.where(none[:, [0]], 0, 1 + own),
        "other_offer": torch.where(none[:, [1]], 0, 1 + other),
        "offers_worth": torch.where(none, -1, worth),
    }
