"""Players that reason about nothing: the null strategy and random directions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from advgames.access import PerturbationAccess
from advgames.agents.base import Agent

__all__ = ["Null", "RandomDirection"]


class Null(Agent):
    """Level 0: no perturbation (r2t2.txt section 4.1)."""

    def act(self, observation: Mapping[str, Tensor], access: PerturbationAccess) -> Tensor:
        """Zeros shaped like the inputs, or like one of them where one perturbation serves all."""
        return torch.zeros_like(access.pool(observation["inputs"]))


class RandomDirection(Agent):
    """A uniformly random direction of norm 1 for every input (random signs under L-infinity)."""

    def act(self, observation: Mapping[str, Tensor], access: PerturbationAccess) -> Tensor:
        """Unit perturbations shaped like the inputs, or like one of them where one perturbation serves all."""
        return access.threat.unit(access.noise(access.pool(observation["inputs"])))
