"""Pool: a mixed strategy over agents, one of them drawn for every match."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from advgames import rng
from advgames.access import Access, require
from advgames.agents.base import Agent, pack, unpack
from advgames.errors import SettingError

__all__ = ["Pool"]


class Pool(Agent):
    """Draws one of its agents for every match, by the match's own randomness, and keeps to it until the match ends.

    All members that play somewhere act in every match, and the drawn one's move is taken: where queries are counted,
    those of all count.

    Args:
        agents: the members, of one kind, or their names.
        weights: how likely each is, normalised; None: all the same.

    Attributes:
        met: how many matches each member has played, over all batches.
        drawn: the member of every match of the present batch, (G,).
    """

    def __init__(self, agents: Sequence[Agent | str], weights: Sequence[float] | None = None) -> None:
        from advgames.agents.registry import make_agent  # which knows learned players

        if not agents or isinstance(agents, str):
            raise SettingError(f"a pool needs a list of at least one agent, got {agents!r}")
        members = tuple(make_agent(agent) for agent in agents)
        if len({agent.kind for agent in members}) > 1:
            raise SettingError(f"the agents of a pool play one kind of game, got {', '.join(map(repr, members))}")
        chances = [1.0] * len(members) if weights is None else [float(weight) for weight in weights]
        if len(chances) != len(members):
            raise SettingError(f"a pool of {len(members)} agents needs as many weights, got {len(chances)}")
        if not all(0 <= chance < math.inf for chance in chances) or not sum(chances):
            raise SettingError(f"weights must be finite, not negative, and not all 0, got {chances}")
        self.agents = members
        self.weights = tuple(chance / sum(chances) for chance in chances)
        self.kind = members[0].kind  # type: ignore[misc]
        self.met: Counter[int] = Counter()
        self.drawn = torch.zeros(0, dtype=torch.int64)

    def reset(self, access: Access) -> None:
        """Begin a batch of matches: draw who plays each, and begin with those.

        Raises:
            AccessError: the access granted is below what an agent that may be drawn needs.
        """
        require(access, self.needs, repr(self), self.kind)
        until = torch.tensor(self.weights, dtype=torch.float64, device=access.match_seeds.device).cumsum(0)
        chance = rng.uniform(access.match_seeds, "pool", 0, (1,), dtype=torch.float64)
        self.drawn = torch.searchsorted(until / until[-1], chance)[:, 0]
        members = self.drawn.tolist()
        self.met.update(members)
        self._playing = sorted(set(members))
        for agent, weight in zip(self.agents, self.weights, strict=True):
            if weight:
                agent.reset(access)

    def act(self, observation: Mapping[str, Tensor], access: Any) -> Tensor:
        """The drawn agent's action in every match, (G, ...)."""
        return self._picked({n: self.agents[n].act(observation, access) for n in self._playing})

    def memory(self) -> dict[str, Tensor]:
        """Who plays which match, and what these remember."""
        return {"drawn": self.drawn} | pack({n: self.agents[n] for n in self._playing})

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`memory` gave, after :meth:`reset`."""
        self.drawn = memory["drawn"].clone()
        self._playing = sorted(set(self.drawn.tolist()))
        unpack(memory, {n: self.agents[n] for n in self._playing})

    def _picked(self, actions: Mapping[int, Tensor]) -> Tensor:
        first = next(iter(actions.values()))
        if len({action.shape for action in actions.values()}) > 1:
            shapes = {repr(self.agents[n]): tuple(action.shape) for n, action in actions.items()}
            raise SettingError(f"the agents of a pool move alike, got moves of shapes {shapes}")
        chosen = first
        for n, action in actions.items():
            chosen = torch.where((self.drawn == n).view(-1, *[1] * (first.ndim - 1)), action, chosen)
        return chosen
