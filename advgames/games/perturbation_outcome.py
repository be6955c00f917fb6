"""What a round of the test-time game pays, and what a report wants to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from advgames.games.perturbation_settings import Payoff
from advgames.threat import Threat
from advgames.victims import FixedVictim, cross_entropy, margin

if TYPE_CHECKING:
    from advgames.games.perturbation_state import PerturbationState

__all__ = ["Outcome", "outcome"]


@dataclass(frozen=True)
class Outcome:
    """The attacker's mean payoff, (G,), and measures by name, (G,) float64."""

    payoff: Tensor
    tallies: dict[str, Tensor]


def outcome(
    victim: FixedVictim, payoff: Payoff, threat: Threat, state: PerturbationState, predicted: Tensor, points: Tensor
) -> Outcome:
    """Means over the minibatch and over draws of the perturbed inputs `points` (G, D, B, *input_shape).

    `predicted` (G, B) are the victim's classes of the clean inputs.

    An input's class is kept while its margin is not negative: the robust sets of additive_nash.txt Lemma 1 are closed.
    """
    draws, flat = points.shape[1], points.transpose(0, 1)  # (D, G, B, ...)
    tallies: dict[str, Tensor] = {}
    gains = []
    _add(tallies, "clean_accuracy", predicted == state.labels, 1)
    linear = victim.linear_logits(state.inputs, flat) if payoff == "flip-linear" else None
    for draw, moved in enumerate(flat):
        logits = victim.logits(moved)
        kept = margin(logits, state.classes)
        _add(tallies, "accuracy", logits.argmax(-1) == state.labels, draws)
        _add(tallies, "flip_rate", margin(logits, predicted) < 0, draws)
        _add(tallies, "distance", threat.norms(moved - state.inputs), draws)
        if linear is not None:
            kept = margin(linear[draw], state.classes)
            _add(tallies, "linear_accuracy", margin(linear[draw], predicted) >= 0, draws)
        gains.append(_payoff(payoff, logits, kept, state.classes).mean(1))
    return Outcome(torch.stack(gains).mean(0), tallies)


def _payoff(payoff: Payoff, logits: Tensor, kept: Tensor, classes: Tensor) -> Tensor:
    """The attacker's payoff of each input, (G, B); `kept` is the margin that decides about flips."""
    if payoff == "loss":
        return cross_entropy(logits, classes)
    if payoff == "margin":
        return -kept
    return torch.where(kept < 0, 1.0, -1.0).to(logits.dtype)  # eq. 1


def _add(tallies: dict[str, Tensor], name: str, values: Tensor, draws: int) -> None:
    """Add a draw's share of the mean over the minibatch."""
    share = values.to(torch.float64).mean(1) / draws
    tallies[name] = tallies[name] + share if name in tallies else share
