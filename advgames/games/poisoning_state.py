"""The state of the training-time game: G trainings in progress."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from advgames.games.base import State
from advgames.games.poisoning_access import ValidationPass
from advgames.games.transition import Transition
from advgames.optimizers import Params

__all__ = ["PoisoningState"]


@dataclass
class PoisoningState(State):
    """G trainings in progress.

    Attributes:
        round, phase: rounds played; 0 before the attacker's move, 1 before the defender's.
        seeds: match seeds, (G,).
        epsilon_attacker, epsilon_defender: radii, (G,).
        budget: what the attacker has left to spend, (G,); None: no limit.
        params, buffers: model parameters and optimiser state, stacked over G.
        order: this epoch's order of training samples, (G, N) (empty for streaming tasks).
        sample_ids: which samples the minibatch holds, (G, B).
        inputs, labels: the clean minibatch, (G, B, ...).
        attack, attacked: delta and x' once the attacker has moved.
        initial_loss, validation_loss: mean validation loss before training and now, (G,).
    """

    round: int
    phase: int
    seeds: Tensor
    epsilon_attacker: Tensor
    epsilon_defender: Tensor
    params: Params = field(metadata={"nested": True})
    buffers: Params = field(metadata={"nested": True})
    order: Tensor
    sample_ids: Tensor
    inputs: Tensor
    labels: Tensor
    initial_loss: Tensor
    validation_loss: Tensor
    budget: Tensor | None = None
    attack: Tensor | None = None
    attacked: Tensor | None = None
    validation: ValidationPass | None = field(default=None, metadata={"derived": True}, compare=False)
    subsample: ValidationPass | None = field(default=None, metadata={"derived": True}, compare=False)
    last: Transition | None = field(default=None, metadata={"derived": True}, compare=False)
