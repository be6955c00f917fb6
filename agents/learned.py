"""RLLevelK: a player whose policy was trained against given opponents, frozen, with a record of how it came about."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from advgames.access import Kind, PerturbationAccess
from advgames.agents.base import Agent
from advgames.agents.policies import Policy, head_of, parts_of
from advgames.agents.views import View
from advgames.errors import DataFileError, SettingError
from advgames.files import load_tensors, save_tensors
from advgames.games.spaces import MASK
from advgames.settings import Settings, parse
from advgames.tasks.trained import digest

__all__ = ["FORMAT", "Manifest", "RLLevelK"]

FORMAT = 1


class Manifest(Settings):
    """What a trained policy is, and how it came about.

    Attributes:
        format: of the file.
        game, task, settings, role: what it was trained to play.
        kind: of that game, as :attr:`advgames.access.Access.kind`.
        level: one more than that of who it answers.
        opponents: who sat in the other seats.
        met: of those that were pools, how many matches each member was met in.
        algorithm, options, steps, seed: how it was trained.
        masked: whether illegal actions were ruled out while it learned.
        view: what it sees and does, as :meth:`~advgames.agents.View.describe` tells it; None: as the game has it.
        versions: of what it was trained with.
    """

    format: int = FORMAT
    game: str
    task: str
    settings: dict[str, Any] = Field(default_factory=dict)
    role: str
    kind: Kind
    level: NonNegativeInt = 1
    opponents: str = ""
    met: dict[str, dict[str, NonNegativeInt]] = Field(default_factory=dict)
    algorithm: str
    options: dict[str, Any] = Field(default_factory=dict)
    steps: NonNegativeInt = 0
    seed: NonNegativeInt = 0
    masked: bool = False
    view: dict[str, Any] | None = None
    versions: dict[str, str] = Field(default_factory=dict)


class RLLevelK(Agent):
    """A level-k player by reinforcement learning: a policy trained to answer players of level k - 1, now frozen.

    :func:`advgames.training.best_response` trains one; :meth:`save` and :meth:`load` keep it.

    Args:
        policy: what it acts by.
        manifest: where it comes from.
        deterministic: play the likeliest action, or the mean; by default it draws, as it did while it learned.
    """

    def __init__(self, policy: Policy, manifest: Manifest, deterministic: bool = False) -> None:
        self.policy, self.manifest, self.deterministic = policy, manifest, deterministic
        self.kind = manifest.kind  # type: ignore[misc]
        self.view = View() if manifest.view is None else View.build(manifest.view)
        self._round = self._drawn = 0

    @property
    def k(self) -> int:
        """Its level."""
        return self.manifest.level

    def reset(self, access: Any) -> None:
        """Begin a batch of matches.

        Raises:
            AccessError: the game is of another kind, or grants less than its view needs.
            SettingError: the game or the seat is not the one that it was trained for, or has other spaces here.
        """
        super().reset(access)
        if (access.game, access.player) != (self.manifest.game, self.manifest.role):
            raise SettingError(
                f"{self!r} was trained as the {self.manifest.role} of {self.manifest.game}, and cannot play the "
                f"{access.player} of {access.game}"
            )
        self.policy.to(access.noise_seeds.device)
        self._round, self._drawn = access.round, 0
        self.view.reset(access)
        seen, space = self.view.observation_space(access), self.view.action_space(access)
        if self.policy.parts != parts_of(seen, any(part.images for part in self.policy.parts)):
            raise SettingError(f"{self!r} was trained to see {self.policy.parts}, not {seen}")
        if self.policy.head != head_of(space, self.policy.head.kind):
            raise SettingError(f"{self!r} was trained to act by {self.policy.head}, not in {space}")

    def act(self, observation: Mapping[str, Tensor], access: Any) -> Tensor:
        """The action of every match, (G, ...)."""
        seen = self.view.observe(observation, access)
        mask = seen.get(MASK, None if self.view.moves else observation.get(MASK))
        if not self.manifest.masked:
            seen.pop(MASK, None)
        if access.round != self._round:
            self._round, self._drawn = access.round, 0
        action = self.policy.act(seen, access.noise_seeds, self.deterministic, self._drawn)
        self._drawn += 1  # a round may hold several moves, each with randomness of its own
        if mask is not None and action.ndim == 1:  # who is not to move has one legal action: to pass
            action = torch.where(mask.sum(-1) == 1, mask.long().argmax(-1), action)
        if isinstance(access, PerturbationAccess):
            action = action.to(access.radius.dtype)
            if self.view.moves is None:
                action = access.threat.project(action)
        return self.view.expand(action, observation, access)

    def memory(self) -> dict[str, Tensor]:
        """How many moves it has made in this round, and what its view remembers."""
        return {"moves": torch.tensor([self._round, self._drawn])} | self.view.memory()

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`memory` gave, after :meth:`reset`."""
        self._round, self._drawn = memory["moves"].tolist()
        self.view.restore({name: value for name, value in memory.items() if name != "moves"})

    @functools.cached_property
    def digest(self) -> str:
        """Eight hexadecimal digits of its weights."""
        return digest("", ((name, weight.cpu()) for name, weight in self.policy.state_dict().items()))[:8]

    def save(self, file: str | Path) -> Path:
        """Write policy and manifest into one file of tensors and plain values.

        Raises:
            OSError: it cannot be written.
        """
        described = {"manifest": self.manifest.model_dump(mode="json"), "policy": self.policy.describe()}
        save_tensors(Path(file), self.policy.state_dict(), described)
        return Path(file)

    @classmethod
    def load(cls, file: str | Path, deterministic: bool = False) -> RLLevelK:
        """What :meth:`save` wrote. Nothing in the file is run.

        Raises:
            DataFileError: the file is missing or damaged, holds something else, or is an archive of stable-baselines3.
            SettingError: the manifest is of another version.
        """
        if Path(file).suffix == ".zip":
            raise DataFileError(
                f"{file}: an archive of stable-baselines3 holds pickled objects, which can run any code when they are "
                "read; if you trust it, load it there, and make it a player: advgames.training.from_sb3(model, game, "
                "role)"
            )
        try:
            weights, values = load_tensors(file)
            told, described = values["manifest"], values["policy"]
            version = told.get("format")
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise DataFileError(f"{file}: no learned player can be read: {error}") from error
        if version != FORMAT:
            raise SettingError(f"{file}: the manifest is of version {version!r}, this advgames reads version {FORMAT}")
        return cls(Policy.build(described, weights), parse(Manifest, told, str(file)), deterministic)

    def __repr__(self) -> str:
        how = ", deterministic=True" if self.deterministic else ""
        m = self.manifest
        return f"RLLevelK({m.level}, {m.algorithm} as {m.role} of {m.game}, {self.digest}{how})"
