"""Checkpoints of a running batch of matches: exact, atomic, written now and then."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from advgames.agents import Agent
from advgames.agents.base import pack, unpack
from advgames.files import replace_whole, under

__all__ = ["Checkpoint"]


class Checkpoint:
    """One file that holds a batch of matches between two rounds.

    Args:
        path: the file.
        every: seconds between two saves at least.
    """

    def __init__(self, path: Path, every: float = 10.0) -> None:
        self.path = path
        self.every = every
        self._last = time.monotonic()

    def exists(self) -> bool:
        """Whether there is something to go on from; a damaged file is removed, with a warning."""
        if not self.path.exists():
            return False
        try:
            self._read(torch.device("cpu"))
        except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
            warnings.warn(f"{self.path} is damaged and not used: {error}", RuntimeWarning, stacklevel=2)
            self.remove()
            return False
        return True

    def remove(self) -> None:
        """Delete the file, once the records are safe."""
        self.path.unlink(missing_ok=True)

    def save_if_due(
        self, state: Any, totals: Mapping[str, Tensor], curves: Any, spent: Any, agents: Mapping[str, Agent]
    ) -> None:
        """Save if the last time is long enough ago."""
        if time.monotonic() - self._last >= self.every:
            self.save(state, totals, curves, spent, agents)

    def save(
        self, state: Any, totals: Mapping[str, Tensor], curves: Any, spent: Any, agents: Mapping[str, Agent]
    ) -> None:
        """Write everything, so that the file is either the old one or the whole new one."""
        flat = {f"state/{name}": value for name, value in state.to_dict().items()}
        flat |= {f"totals/{player}": total for player, total in totals.items()}
        flat |= pack({f"agent.{player}": agent for player, agent in agents.items()})
        numbers = {name: value for name, value in flat.items() if not isinstance(value, Tensor)}
        # one storage each: the file format refuses tensors that share memory
        tensors = {name: value.clone().contiguous() for name, value in flat.items() if isinstance(value, Tensor)}
        metadata = {"numbers": json.dumps(numbers), "curves": json.dumps(curves), "spent": json.dumps(spent)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(self.path, lambda part: save_file(tensors, part, metadata))
        self._last = time.monotonic()

    def load(
        self, state_type: Any, agents: Mapping[str, Agent], device: torch.device
    ) -> tuple[Any, dict[str, Tensor], Any, Any]:
        """(state, totals, curves, spent) as saved; agents (already reset) take their memories back."""
        flat, metadata = self._read(device)
        flat |= json.loads(metadata["numbers"])
        unpack(flat, {f"agent.{player}": agent for player, agent in agents.items()})
        state = state_type.from_dict(under(flat, "state"))
        return state, under(flat, "totals"), json.loads(metadata["curves"]), json.loads(metadata["spent"])

    def _read(self, device: torch.device) -> tuple[dict[str, Any], dict[str, str]]:
        with safe_open(self.path, framework="pt", device=str(device)) as file:
            metadata: dict[str, str] = file.metadata()
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
