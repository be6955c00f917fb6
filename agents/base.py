"""Agent: a player of any game, batched over matches."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from advgames.access import Kind, require
from advgames.errors import SettingError
from advgames.files import under

__all__ = ["Agent", "pack", "unpack"]


class Agent(ABC):
    """A player: ``reset(access)`` once per batch of matches, then ``act(observation, access) -> action``.

    The same agent plays either role; ``access.sign`` says which way it wants the utility to go. An agent keeps
    nothing between matches except what it puts into :meth:`memory`.

    Attributes:
        kind: what it plays with: perturbations of ``"inputs"``, words of a ``"dialogue"``, strategies of a ``"table"``.
        needs: the access it needs: ``"hard-label"``, ``"soft-label"`` or ``"white-box"``; in dialogues ``"black-box"``
            or ``"white-box"``.
    """

    kind: ClassVar[Kind] = "inputs"
    needs: ClassVar[str] = "hard-label"

    def reset(self, access: Any) -> None:
        """Begin a batch of matches.

        Raises:
            AccessError: the game is of another kind, or the access granted is below what the agent needs.
        """
        require(access, self.needs, repr(self), self.kind)

    @abstractmethod
    def act(self, observation: Mapping[str, Tensor], access: Any) -> Tensor:
        """The action of every match, (G, ...), from what the player sees and knows."""

    def memory(self) -> dict[str, Tensor]:
        """What must be saved for a match to go on later; empty for agents without memory."""
        return {}

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`memory` gave, after :meth:`reset`."""
        if memory:
            raise SettingError(f"{self!r} keeps no memory, but was given {', '.join(memory)}")

    def _settings(self) -> dict[str, Any]:
        """Constructor arguments that differ from their defaults, read from the attributes of the same names."""
        parameters = inspect.signature(type(self)).parameters.values()
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        values = {p.name: getattr(self, p.name, UNKNOWN) for p in named}
        return {p.name: values[p.name] for p in named if repr(values[p.name]) != repr(p.default)}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._settings().items())
        return f"{type(self).__name__}({shown})"


def pack(agents: Mapping[Any, Agent]) -> dict[str, Tensor]:
    """The memories of several agents as one: ``name/what``."""
    return {f"{name}/{what}": kept for name, agent in agents.items() for what, kept in agent.memory().items()}


def unpack(memory: Mapping[str, Tensor], agents: Mapping[Any, Agent]) -> None:
    """Give every agent its part of what :func:`pack` made."""
    for name, agent in agents.items():
        agent.restore(under(memory, str(name)))


class _Unknown:
    def __repr__(self) -> str:
        return "?"


UNKNOWN = _Unknown()
