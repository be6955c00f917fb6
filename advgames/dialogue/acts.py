"""What a negotiator can do, as numbers: acts of talk, then choices of a split."""

from __future__ import annotations

import torch
from torch import Tensor

from advgames.dialogue.splits import ITEMS, NO_DEAL, NUM_SPLITS, legal_splits, split_items

__all__ = [
    "ACCEPT",
    "ASK",
    "CHOOSE",
    "END",
    "INFORM",
    "INSIST",
    "KINDS",
    "NUM_ACTIONS",
    "NUM_ACTS",
    "PASS",
    "PROPOSE",
    "act_kind",
    "describe_act",
    "inform_item",
    "inform_value",
    "legal_acts",
]

VALUES = 11  # a piece is worth 0 to 10
PASS = 0  # the only act of whoever is not to speak
PROPOSE = 1  # + split: "I take these, you take the rest"
INSIST = PROPOSE + NUM_SPLITS  # my last offer again; from who made none, a refusal
ACCEPT = INSIST + 1  # the other side's last offer
ASK = ACCEPT + 1  # what do you want?
INFORM = ASK + 1  # + 11 item + value: "one of these is worth so much to me"
END = INFORM + len(ITEMS) * VALUES  # <selection>
NUM_ACTS = END + 1
CHOOSE = NUM_ACTS  # + choice, once the talk is over: a split to take, or no deal
NUM_ACTIONS = CHOOSE + NO_DEAL + 1
KINDS = ("pass", "propose", "insist", "accept", "ask", "inform", "end", "other")


def act_kind(acts: Tensor) -> Tensor:
    """Places in :data:`KINDS` of acts (...); anything below 0 (words that are no act) is ``other``."""
    borders = torch.tensor([PROPOSE, INSIST, ACCEPT, ASK, INFORM, END], device=acts.device)
    kinds = torch.bucketize(acts, borders, right=True)
    return torch.where(acts < 0, len(KINDS) - 1, kinds)


def inform_item(acts: Tensor) -> Tensor:
    """Which item an ``inform`` act is about."""
    return (acts - INFORM) // VALUES


def inform_value(acts: Tensor) -> Tensor:
    """The value that an ``inform`` act claims."""
    return (acts - INFORM) % VALUES


def legal_acts(counts: Tensor, own_offer: Tensor, other_offer: Tensor, standing: Tensor) -> Tensor:
    """Which acts a speaker may use, (G, 163) bool.

    Args:
        counts: pieces of each item, (G, 3).
        own_offer, other_offer: the split that each side offered last, as what that side takes, (G,); -1: none yet.
        standing: whether the last offer on the table is the other side's, (G,) bool.
    """
    legal = torch.ones(len(counts), NUM_ACTS, dtype=torch.bool, device=counts.device)
    legal[:, PASS] = False
    legal[:, PROPOSE:INSIST] = legal_splits(counts)
    legal[:, INSIST] = (own_offer >= 0) | (other_offer >= 0)
    legal[:, ACCEPT] = (other_offer >= 0) & standing
    return legal


def describe_act(act: int) -> str:
    """An act or a choice in a few words, such as ``propose(book=1, hat=0, ball=2)``."""
    if act >= CHOOSE:
        return "choose(no deal)" if act - CHOOSE == NO_DEAL else f"choose({_items(act - CHOOSE)})"
    if act < 0:
        return "other"
    kind = KINDS[int(act_kind(torch.tensor(act)))]
    if kind == "propose":
        return f"propose({_items(act - PROPOSE)})"
    if kind == "inform":
        return f"inform({ITEMS[(act - INFORM) // VALUES]}={(act - INFORM) % VALUES})"
    return kind


def _items(split: int) -> str:
    taken = split_items()[split].tolist()
    return ", ".join(f"{name}={n}" for name, n in zip(ITEMS, taken, strict=True))
