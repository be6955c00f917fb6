"""Spending: when an attacker of trainings uses up its budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from advgames.agents.base import Agent, pack, unpack
from advgames.errors import SettingError, UnknownNameError
from advgames.games.poisoning import LEAST_LOSS
from advgames.games.poisoning_access import PoisoningAccess

__all__ = ["Spending"]

Plan = Literal["front", "uniform", "greedy"]


class Spending(Agent):
    """Makes a player's moves as large as a plan says (the setting ``budget`` of the training-time game).

    Plans:
        ``"front"``: all that is allowed, until nothing is left.
        ``"uniform"``: in every iteration an equal share of what is left.
        ``"greedy"``: all that is allowed in the iterations that pay best at once. The move is weighed by how much
        larger the validation loss would be than without it, right after the update, as a logarithm. It is made where
        this is among the best share of all iterations so far, the share being what is left over what could still be
        spent.

    Args:
        agent: the player whose moves they are; of norm 1 as a rule.
        plan: one of these.
    """

    needs = "white-box"

    def __init__(self, agent: Agent, plan: Plan = "uniform") -> None:
        if plan not in get_args(Plan):
            raise UnknownNameError("plan", plan, get_args(Plan))
        self.agent, self.plan = agent, plan
        self._gains: list[Tensor] = []

    def reset(self, access: Any) -> None:
        """Begin a batch of matches.

        Raises:
            AccessError: the access granted is below what it needs.
            SettingError: there is no budget to spend.
        """
        super().reset(access)
        if not isinstance(access, PoisoningAccess) or access.budget is None:
            raise SettingError(f"{self!r}: the {access.player} has no budget here (poisoning: the setting budget)")
        self.agent.reset(access)
        self._largest = access.radius.clone()  # nothing is spent yet
        self._gains = []

    def act(self, observation: Mapping[str, Tensor], access: PoisoningAccess) -> Tensor:
        """The player's moves, scaled, (G, B, *input_shape)."""
        assert access.budget is not None
        move, left = self.agent.act(observation, access), access.horizon - access.round
        if self.plan == "front":
            return move
        if self.plan == "uniform":
            scale = access.budget / left / access.radius.clamp(min=torch.finfo(move.dtype).tiny)
        else:
            inputs = observation["inputs"]
            after, before = (
                access.utility(x) + access.validation.loss
                for x in (access.threat.perturb(inputs, move, access.radius), inputs)
            )
            self._gains.append(after.clamp(min=LEAST_LOSS).log() - before.clamp(min=LEAST_LOSS).log())
            share = (access.budget / (left * self._largest).clamp(min=torch.finfo(move.dtype).tiny)).clamp(max=1.0)
            gains = torch.stack(self._gains, 1)  # (G, n)
            better = (gains > gains[:, -1:]).double().mean(1)
            scale = (better < share).to(move.dtype)
        return move * scale.clamp(max=1.0).view(-1, *[1] * (move.ndim - 1))

    def memory(self) -> dict[str, Tensor]:
        """What the greedy plan has weighed so far, and the inner player's memory."""
        own = {"gains": torch.stack(self._gains, 1)} if self._gains else {}
        own["largest"] = self._largest
        return own | pack({"agent": self.agent})

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`memory` gave."""
        self._gains = list(memory["gains"].unbind(1)) if "gains" in memory else []
        self._largest = memory["largest"].clone()
        unpack(memory, {"agent": self.agent})
