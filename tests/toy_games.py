"""A toy game with any phases and either kind of action, so that adapters are tested beyond the games that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from advgames import rng
from advgames.access import PerturbationAccess
from advgames.games import Actions, Ball, Box, Classes, Game, Observation, Payoffs, Space, State
from advgames.threat import Threat

Phases = tuple[tuple[str, ...], ...]
SIMULTANEOUS: Phases = (("row", "column"),)
TWICE: Phases = (("row", "column"), ("column", "row"))
IN_TURN: Phases = (("row",), ("column",))
SECOND_FIRST: Phases = (("column",), ("row",))


@dataclass
class ToyState(State):
    """What both players played last, (G, 2), and their seeds, (G,)."""

    round: int
    phase: int
    seeds: Tensor
    played: Tensor


class Toy(Game[ToyState]):
    """Whoever moves wins its action's value, weighted by the match's chance, from the other; in every phase.

    Args:
        phases: who moves when.
        actions: ``"coin"``, 0 or 1; or ``"ball"``, two 3-vectors of norm at most 1, whose value is their sum.
        iterations: rounds.
    """

    name = "toy"
    players = ("row", "column")
    zero_sum = True
    hidden = "nothing"

    def __init__(
        self,
        phases: Phases = SIMULTANEOUS,
        actions: Literal["coin", "ball"] = "coin",
        iterations: int = 6,
        device: torch.device | str = "cpu",
    ) -> None:
        self.phases, self.actions, self.iterations = phases, actions, iterations
        self.device, self.dtype = torch.device(device), torch.float32
        self.threat = Threat("l2", None)

    @property
    def horizon(self) -> int:
        return self.iterations

    def reset(self, seeds: Sequence[int] | Tensor) -> ToyState:
        keys = rng.seed_tensor(seeds, self.device)
        return ToyState(0, 0, keys, torch.zeros(len(keys), 2))

    def observe(self, state: ToyState, player: str) -> dict[str, Tensor]:
        self._check_player(player)
        return {
            "played": state.played,
            "mood": rng.bits(state.seeds, f"mood.{player}", state.round, (1,))[:, 0] & 3,
            "progress": torch.full((len(state.seeds), 1), state.round / self.horizon),
        }

    def access(self, state: ToyState, player: str) -> PerturbationAccess:
        self._check_player(player)
        radius = torch.ones(len(state.seeds))
        return PerturbationAccess(
            **self._seat(state, player, 1.0 if player == "row" else -1.0),
            threat=self.threat,
            input_shape=(3,),
            radius=radius,
            opponent_radius=radius,
        )

    def action_space(self, player: str) -> Space:
        return Classes((), 2) if self.actions == "coin" else Ball((2, 3))

    def observation_space(self, player: str) -> Observation:
        return {"played": Box((2,), -10.0, 10.0), "mood": Classes((), 4), "progress": Box((1,), 0.0, 1.0)}

    def null_action(self, state: ToyState, player: str) -> Tensor:
        shape, dtype = ((), torch.int64) if self.actions == "coin" else ((2, 3), torch.float32)
        return torch.zeros(len(state.seeds), *shape, dtype=dtype)

    def measures(self, state: ToyState) -> dict[str, Tensor]:
        return {"last": state.played.sum(1)}

    def render(self, state: ToyState, match: int = 0, payoffs: Any = None) -> Any:
        shade = torch.clamp(state.played[match] * 100 + 100, 0, 255).to(torch.uint8)
        return shade.repeat_interleave(8)[None, :, None].expand(8, 16, 3).numpy().copy()

    def _move(self, state: ToyState, actions: Actions) -> tuple[ToyState, Payoffs, Tensor]:
        played = torch.zeros_like(state.played)
        for player, action in actions.items():
            if self.actions == "ball":
                self.threat.check(action, self.null_action(state, player), player)
            played[:, self.players.index(player)] = action.reshape(len(action), -1).sum(1).to(torch.float32)
        weight = rng.uniform(state.seeds, f"weight.{state.phase}", state.round, (1,))[:, 0]
        gain = weight * (played[:, 0] - played[:, 1])
        if state.phase + 1 < len(self.phases):
            following = self._next_phase(state, played=played)
        else:
            following = replace(state, round=state.round + 1, phase=0, played=played)
        done = torch.full((len(gain),), self.over(following))
        return following, {"row": gain, "column": -gain}, done


class Half:
    """An agent for the toy: always plays half of what is allowed, and counts its resets."""

    def __init__(self, actions: str = "ball") -> None:
        self.actions = actions
        self.resets = 0

    def reset(self, access: PerturbationAccess) -> None:
        self.resets += 1

    def act(self, observation: Any, access: PerturbationAccess) -> Tensor:
        matches = len(observation["played"])
        if self.actions == "coin":
            return torch.ones(matches, dtype=torch.int64)
        return torch.full((matches, 2, 3), 0.25)
