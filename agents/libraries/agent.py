"""The agent that plays a library's attack: one run of the library per match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from advgames.access import PerturbationAccess
from advgames.agents.attack import in_radii
from advgames.agents.libraries.attack import LibraryAttack
from advgames.agents.sides import Attacker
from advgames.attacks import Model
from advgames.errors import SettingError

__all__ = ["LibraryAgent"]


class _Victim(Protocol):
    """What the test-time game grants an attacker beyond :class:`PerturbationAccess`, by level."""

    labels: Tensor
    num_classes: int
    model: Model

    def logits(self, inputs: Tensor, match: int | None = None) -> Tensor: ...
    def predict(self, inputs: Tensor, match: int | None = None) -> Tensor: ...


class LibraryAgent(Attacker):
    """An attacker that asks a library.

    Every match is a run of its own with the match's own seed, so that it plays what it would play alone. Under
    soft-label and hard-label access all the library learns of the victim are answers to counted queries; a decision-
    based attack is given one-hot logits of the class.

    Args:
        attack: the library's attack.
    """

    def __init__(self, attack: LibraryAttack) -> None:
        self.attack = attack
        self.needs = attack.needs  # type: ignore[misc]

    def __repr__(self) -> str:
        return repr(self.attack)

    def reset(self, access: PerturbationAccess) -> None:
        """Begin a batch of matches.

        Raises:
            AccessError: the access granted is below what the attack needs.
            SettingError: it is asked to defend, the game has no fixed victim, or takes one perturbation for all inputs.
        """
        super().reset(access)
        if access.shared:
            raise SettingError(f"{self!r} perturbs every input for itself, {access.player} must perturb all alike")

    def act(self, observation: Mapping[str, Tensor], access: PerturbationAccess) -> Tensor:
        """Perturbations of norm at most 1, (G, B, *input_shape)."""
        inputs = observation["inputs"]
        victim: Any = access
        perturbed = [
            self.attack(
                _model(victim, match),
                inputs[match],
                victim.labels[match],
                radius=float(access.radius[match]),
                norm=access.threat.norm,
                bounds=access.threat.bounds,
                seed=int(access.noise_seeds[match]),
            ).perturbed
            for match in range(len(inputs))
        ]
        return in_radii(torch.stack(perturbed), inputs, access)


def _model(access: Any, match: int) -> Model:
    """The victim as far as it is granted: itself, its logits, or one-hot logits of its classes; counted for a match."""
    victim: _Victim = access
    if access.level == "white-box":
        return victim.model
    if access.level == "soft-label":
        return lambda inputs: victim.logits(inputs, match)

    def one_hot(inputs: Tensor) -> Tensor:
        classes = victim.predict(inputs, match)
        return torch.nn.functional.one_hot(classes, victim.num_classes).to(inputs.dtype)

    return one_hot
