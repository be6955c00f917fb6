"""Lookahead: an attacker of trainings that imagines how they go on, and chooses what pays some iterations later."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from advgames import rng
from advgames.agents.base import Agent, pack, unpack
from advgames.agents.level_k import LevelK
from advgames.errors import SettingError
from advgames.games.poisoning import LEAST_LOSS
from advgames.games.poisoning_access import PoisoningAccess

__all__ = ["Lookahead"]


class Lookahead(Agent):
    """A rollout attacker of the training-time game, model-based and not myopic (r2t2.txt, its future work).

    At every iteration it weighs a few moves: what a base player would do, the opposite, and nothing. Each is played in
    imagination, and `horizon` - 1 iterations more in which the base player goes on against an imagined defender; the
    minibatches to come are drawn from those seen so far, the same for all moves. It makes the move after which the
    validation loss is highest in the end, in the mean over draws: rollout with a base policy (Bertsekas 2020,
    "Rollout, Policy Iteration, and Distributed Reinforcement Learning").

    Args:
        horizon: iterations that it looks ahead.
        base: the player that it improves on, by name.
        opponent: the defender that it imagines.
        samples: draws of the minibatches to come.
        objective: whether the ``"log-loss"`` or the ``"loss"`` is averaged.
    """

    needs = "white-box"

    def __init__(
        self,
        horizon: int = 8,
        base: str = "level-2",
        opponent: str = "null",
        samples: int = 8,
        objective: Literal["log-loss", "loss"] = "log-loss",
    ) -> None:
        if min(horizon, samples) < 1:
            raise SettingError(f"horizon and samples must be positive, got {horizon} and {samples}")
        if objective not in ("log-loss", "loss"):
            raise SettingError(f"objective must be 'log-loss' or 'loss', got {objective!r}")
        self.horizon, self.base, self.opponent, self.samples = horizon, base, opponent, samples
        self.objective = objective
        self._seen: list[tuple[Tensor, Tensor]] = []

    def reset(self, access: Any) -> None:
        """Begin a batch of matches.

        Raises:
            AccessError: the access granted is below what it needs.
            SettingError: this is no training, the seat is the defender's, or an imagined player keeps a memory.
        """
        from advgames.agents.registry import make_agent  # which knows this agent too

        super().reset(access)
        if not isinstance(access, PoisoningAccess) or access.sign < 0:
            raise SettingError(f"{self!r} attacks trainings: it cannot play the {access.player} here")
        self._seen = []
        self._players = make_agent(self.base), make_agent(self.opponent)
        for player in self._players:
            if type(player).memory is not Agent.memory and not isinstance(player, LevelK):
                raise SettingError(f"{self!r}: {player!r} remembers the match, and cannot be imagined to go on")
        self._players[0].reset(access)
        self._players[1].reset(access.turned())

    def act(self, observation: Mapping[str, Tensor], access: PoisoningAccess) -> Tensor:
        """The move of every match that pays most in imagination, (G, B, *input_shape)."""
        inputs = observation["inputs"]
        self._seen.append((inputs.clone(), observation["labels"].clone()))
        usual = self._players[0].act(observation, access)
        moves = torch.stack([usual, -usual, torch.zeros_like(usual)], 1)  # (G, C, B, ...)
        worth = self._imagined(moves, inputs, access)  # (G, C)
        best = worth.argmax(1)
        return moves[torch.arange(len(moves), device=moves.device), best]

    def memory(self) -> dict[str, Tensor]:
        """The minibatches seen so far, and what the base player estimated."""
        if not self._seen:
            return {}
        inputs, labels = (torch.stack(parts, 1) for parts in zip(*self._seen, strict=True))
        return {"inputs": inputs, "labels": labels} | pack({"base": self._players[0]})

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`memory` gave."""
        parts = [memory[name].unbind(1) for name in ("inputs", "labels")] if memory else [(), ()]
        self._seen = list(zip(*parts, strict=True))
        unpack(memory, {"base": self._players[0]})

    def _imagined(self, moves: Tensor, inputs: Tensor, access: PoisoningAccess) -> Tensor:
        """The loss in the end of every move, in the mean over draws of what is to come, (G, C)."""
        matches, count = moves.shape[:2]
        times = count * self.samples
        base, opponent = (copy.deepcopy(player) for player in self._players)
        ahead = access.repeated(times)
        base.reset(ahead)
        opponent.reset(ahead.turned())
        now, past = (
            inputs.repeat_interleave(times, 0),
            [torch.stack(parts, 1) for parts in zip(*self._seen, strict=True)],
        )
        move = moves.repeat_interleave(self.samples, 1).flatten(0, 1)
        for step in range(min(self.horizon, access.horizon - access.round)):
            if step:
                move = base.act({"inputs": now, "labels": ahead.labels}, ahead)
            attacked = ahead.threat.perturb(now, move, ahead.radius)
            other = ahead.turned()
            reply = opponent.act({"inputs": attacked, "labels": ahead.labels}, other)
            repaired = ahead.threat.perturb(attacked, reply, other.radius)
            now, labels = self._drawn(past, access, step, count)
            ahead = ahead.advanced(repaired, labels, move)
        loss = ahead.validation.loss.view(matches, count, self.samples)
        if self.objective == "log-loss":
            loss = loss.clamp(min=LEAST_LOSS).log()
        return loss.mean(2).nan_to_num(nan=-torch.inf)

    def _drawn(self, past: list[Tensor], access: PoisoningAccess, step: int, count: int) -> tuple[Tensor, Tensor]:
        """A minibatch of the past for every draw of every match, the same for all its moves."""
        draws = rng.bits(access.noise_seeds, "lookahead", step, (self.samples,)) & 0x7FFFFFFFFFFFFFFF
        which = (draws % len(self._seen)).repeat(1, count)  # (G, C S)
        row = torch.arange(len(which), device=which.device)[:, None]
        inputs, labels = (part[row, which].flatten(0, 1) for part in past)
        return inputs, labels
