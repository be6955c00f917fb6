"""Momentum over each input's own history of perturbations."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from advgames.access import PerturbationAccess
from advgames.agents.base import Agent, pack, unpack
from advgames.errors import AccessError, SettingError

__all__ = ["Momentum"]


class Momentum(Agent):
    """R6: h(x) <- Proj(beta h(x) + (1 - beta) delta(x)), played in place of delta (r2t2.txt A.1.1).

    h starts at zero, so after n visits of an input its norm is at most 1 - beta^n: in runs of few epochs the
    attack stays small (0.64 after 20 epochs at beta = 0.95). The histories of all training inputs are kept: as much
    memory as the training set, for every match of a batch. Only a player who recognises inputs can do this:
    the attacker.

    Args:
        agent: the player whose moves are averaged.
        beta: weight of the history, in [0, 1).
    """

    needs = "white-box"

    def __init__(self, agent: Agent, beta: float = 0.95) -> None:
        if not 0 <= beta < 1:
            raise SettingError(f"beta must lie in [0, 1), got {beta}")
        self.agent, self.beta = agent, beta
        self._history: Tensor | None = None

    def reset(self, access: PerturbationAccess) -> None:
        """Forget all histories.

        Raises:
            AccessError: this player cannot recognise inputs (the defender, r2t2.txt footnote 17).
        """
        super().reset(access)
        if getattr(access, "sample_ids", None) is None:
            raise AccessError(f"{self!r}: the {access.player} cannot recognise inputs, so it has no history of them")
        self.agent.reset(access)
        self._history = None

    def act(self, observation: Mapping[str, Tensor], access: PerturbationAccess) -> Tensor:
        """The averaged perturbations, (G, B, *input_shape)."""
        inputs = observation["inputs"]
        ids: Tensor = access.sample_ids  # type: ignore[attr-defined]
        if self._history is None:
            samples: int = access.num_samples  # type: ignore[attr-defined]
            self._history = torch.zeros(
                (len(inputs), samples, *inputs.shape[2:]), dtype=inputs.dtype, device=inputs.device
            )
        match = torch.arange(len(inputs), device=inputs.device)[:, None]
        mixed = self.beta * self._history[match, ids] + (1 - self.beta) * self.agent.act(observation, access)
        played = access.threat.project(mixed)
        self._history[match, ids] = played
        return played

    def memory(self) -> dict[str, Tensor]:
        """All histories, and the inner agent's memory."""
        own = {} if self._history is None else {"history": self._history}
        return own | pack({"agent": self.agent})

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take back the histories (a copy)."""
        history = memory.get("history")
        self._history = None if history is None else history.clone()
        unpack(memory, {"agent": self.agent})
