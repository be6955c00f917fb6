"""The state of the test-time game: G matches over minibatches of inputs."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from advgames.games.base import State
from advgames.games.perturbation_access import Meter
from advgames.games.transition import Transition

__all__ = ["PerturbationState"]


@dataclass
class PerturbationState(State):
    """G matches in progress.

    Attributes:
        round, phase: rounds played, and the phase of the present one.
        seeds: match seeds, (G,).
        epsilon_attacker, epsilon_defender: radii, (G,).
        order: this pass's order of the inputs, (G, N).
        sample_ids: which inputs of the split the minibatch holds, (G, B).
        inputs, labels: the clean minibatch and its true classes, (G, B, ...).
        classes: the classes the payoff is about, (G, B).
        first: the perturbation of who has moved already, (G, 1 or B, *input_shape).
        moved: the inputs after that move, (G, B, *input_shape).
        tallies: sums over the rounds played, by measure, (G,) float64 each.
        queries_attacker, queries_defender: queries answered by the victim's oracles, (G,): the one thing that grows
            while a player thinks, before it moves.
        meters: of the accesses that were granted in this phase.
        last: what happened to the last minibatch.
    """

    round: int
    phase: int
    seeds: Tensor
    epsilon_attacker: Tensor
    epsilon_defender: Tensor
    order: Tensor
    sample_ids: Tensor
    inputs: Tensor
    labels: Tensor
    classes: Tensor
    tallies: dict[str, Tensor] = field(metadata={"nested": True})
    queries_attacker: Tensor
    queries_defender: Tensor
    first: Tensor | None = None
    moved: Tensor | None = None
    meters: list[Meter] = field(default_factory=list, metadata={"derived": True}, compare=False)
    last: Transition | None = field(default=None, metadata={"derived": True}, compare=False)
