"""White-box attacks on a fixed victim as players, and the worst case over several."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from advgames import attacks
from advgames.access import PerturbationAccess
from advgames.agents.base import Agent, pack, unpack
from advgames.agents.sides import Attacker
from advgames.errors import AccessError, SettingError, UnknownNameError
from advgames.games.perturbation_access import SoftLabelAccess, WhiteBoxAccess

__all__ = ["ATTACKS", "Attack", "Ensemble", "in_radii"]

#: attacks by name; as players they follow the margin, which does not vanish where the victim is sure
ATTACKS: dict[str, Callable[..., attacks.Attacked]] = {
    "fgm": functools.partial(attacks.fgm, loss="margin"),
    "fgsm": functools.partial(attacks.fgm, loss="margin"),
    "bim": functools.partial(attacks.bim, loss="margin"),
    "pgd": functools.partial(attacks.pgd, loss="margin"),
    "pal-vidal-pgd": attacks.pal_vidal_pgd,
    "deepfool": attacks.deepfool,
    "carlini-wagner": attacks.carlini_wagner,
    "ead": attacks.ead,
}
#: the norm of those that have only one
NORM = {"fgsm": "linf", "pal-vidal-pgd": "l2", "carlini-wagner": "l2", "ead": "l2"}
#: those that look for the smallest perturbation: without a radius they succeed wherever they can
SHORTEST = ("deepfool", "carlini-wagner", "ead")
#: arguments that the game decides
_GIVEN = ("model", "inputs", "labels", "radius", "norm", "bounds", "seed", "start", "targeted", "create_graph")


def in_radii(perturbed: Tensor, inputs: Tensor, access: PerturbationAccess) -> Tensor:
    """Perturbed inputs as an action: perturbations in units of the radius, brought back to it where they exceed it."""
    radius = access.radius.reshape(-1, *[1] * (inputs.ndim - 1))
    scaled = torch.where(radius > 0, (perturbed - inputs) / radius.clamp(min=torch.finfo(radius.dtype).tiny), 0.0)
    return access.threat.project(scaled)


class Attack(Attacker):
    """One of the suite's attacks (C1, P2) against the classes that the game is about.

    Perturbations beyond the radius, of attacks that look for the smallest that succeeds, are scaled back to it.

    Args:
        name: one of :data:`ATTACKS`.
        options: arguments of the function of that name in :mod:`advgames.attacks`, such as ``steps=40``.
    """

    needs: ClassVar[str] = "white-box"

    def __init__(self, name: str, **options: Any) -> None:
        if name not in ATTACKS:
            raise UnknownNameError("attack", name, ATTACKS)
        self.name, self.options = name, options
        known = set(inspect.signature(ATTACKS[name]).parameters)
        takes = sorted(known - set(_GIVEN))
        if unknown := sorted(set(options) - set(takes)):
            raise UnknownNameError("option", unknown[0], takes, f"attack {name!r}")
        self._takes = known

    def reset(self, access: PerturbationAccess) -> None:
        """Begin a batch of matches.

        Raises:
            SettingError: the attack is one of another norm than the game's.
        """
        super().reset(access)
        norm = NORM.get(self.name, access.threat.norm)
        if norm != access.threat.norm:
            raise SettingError(f"{self!r} is an attack of norm {norm}, this game's is {access.threat.norm}")

    def act(self, observation: Mapping[str, Tensor], access: PerturbationAccess) -> Tensor:
        """Perturbations of norm at most 1, (G, B, *input_shape)."""
        assert isinstance(access, WhiteBoxAccess)
        inputs = observation["inputs"]
        decided = {
            "radius": access.radius[:, None],
            "norm": access.threat.norm,
            "bounds": access.threat.bounds,
            "seed": access.noise_seeds,
        }
        given = {name: value for name, value in decided.items() if name in self._takes}
        if self.name in SHORTEST:
            del given["radius"]
        answer = ATTACKS[self.name](access.model, inputs, access.labels, **given, **self.options)
        return in_radii(answer.perturbed, inputs, access)

    def _settings(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}


class Ensemble(Attacker):
    """The worst case over several attackers, per input: the one that leaves its class the smallest margin.

    With white-box access the margin is the one that decides the payoff, f_L's under ``"flip-linear"``.

    Args:
        members: agents, or their names with ``|`` between them: ``"fgm|pgd(steps=40)|deepfool"``.
    """

    needs: ClassVar[str] = "soft-label"

    def __init__(self, members: str | Sequence[Agent | str]) -> None:
        from advgames.agents.registry import make_agent, split_outside

        names = split_outside(members, "|") if isinstance(members, str) else members
        self.members = [make_agent(member) for member in names]
        if not self.members:
            raise SettingError("an ensemble needs at least one member")

    def reset(self, access: PerturbationAccess) -> None:
        """Begin a batch of matches with every member."""
        super().reset(access)
        for member in self.members:
            member.reset(access)

    def act(self, observation: Mapping[str, Tensor], access: PerturbationAccess) -> Tensor:
        """Of each input the perturbation that does most, (G, B, *input_shape)."""
        if not isinstance(access, SoftLabelAccess):
            raise AccessError(f"{self!r} needs soft-label access")
        inputs, found, least = observation["inputs"], None, None
        for member in self.members:
            action = member.act(observation, access)
            left = access.margins(access.threat.perturb(inputs, action, access.radius))
            if found is None or least is None:
                found, least = action, left
                continue
            better = left < least
            found = torch.where(better.reshape(*better.shape, *[1] * (inputs.ndim - 2)), action, found)
            least = torch.where(better, left, least)
        assert found is not None
        return found

    def memory(self) -> dict[str, Tensor]:
        """The members' memories, by their place."""
        return pack(dict(enumerate(self.members)))

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take them back."""
        unpack(memory, dict(enumerate(self.members)))
