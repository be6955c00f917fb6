"""SecML-Torch's attacks: ``secmlt:PGD(num_steps=20)``."""

from __future__ import annotations

import functools
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from advgames.agents.libraries.base import Facts, Library, Needs, Options, Problem, taken
from advgames.errors import MissingExtraError

__all__ = ["Secmlt"]

_PACKAGE = "secmlt.adv.evasion"
_REFUSED = {"SpatialAttack": "it turns and shifts images, which no norm bounds"}
_DECISION_BASED = (
    "AdditiveNoise",
    "BoundaryAttack",
    "ContrastReduction",
    "GaussianBlur",
    "HopSkipJump",
    "SaltAndPepperNoise",
)
#: for what the library demands and the user does not give
_DEMANDED: dict[str, dict[str, Any]] = {
    "PGD": {"num_steps": 40},
    "DDN": {"num_steps": 100},
    "FMN": {"num_steps": 100, "step_size": 1.0},
}


class Secmlt(Library):
    """SecML-Torch 1.5. Its own implementation of an attack is taken where there is one, else foolbox's.

    Where the library demands an option that is not given: PGD takes 40 steps of 2.5 radius / num_steps, DDN and FMN
    take 100 steps, FMN of size 1.
    """

    name = "secmlt"
    module = "secmlt"
    install = "pip install --no-deps secml-torch"
    ours = frozenset({"epsilon", "perturbation_model", "y_target", "lb", "ub", "trackers", "init_attack"})

    @functools.cache  # noqa: B019 (one object per process)
    def facts(self) -> dict[str, Facts]:
        """Facts of every attack, its norms from the library's perturbation models."""
        found = {}
        for name, creator in self._creators().items():
            needs: Needs = "hard-label" if name in _DECISION_BASED else "white-box"
            try:
                norms = tuple(sorted(_implementation(creator, {}).get_perturbation_models()))
            except MissingExtraError as error:
                found[name] = Facts(needs=needs, refused=str(error))
                continue
            found[name] = Facts(norms, needs, _REFUSED.get(name, ""))
        return found

    def constructor(self, name: str) -> Callable[..., Any]:
        """What the creator makes the attack with."""
        made: Callable[..., Any] = self._creators()[name].__new__
        return made

    def run(self, name: str, options: Options, problem: Problem) -> Tensor:
        """The answer, in one batch."""
        creator = self._creators()[name]
        filled = {
            "perturbation_model": problem.norm,
            "epsilon": problem.radius,
            "lb": problem.bounds[0],
            "ub": problem.bounds[1],
            "backend": _backend(creator),
            **_DEMANDED.get(name, {}),
        }
        if problem.norm == "linf":
            filled["noise_type"] = "uniform"  # the only noise there is in this norm
        if name == "PGD":
            filled["step_size"] = 2.5 * problem.radius / options.get("num_steps", filled["num_steps"])
        attack = creator(**{**{k: v for k, v in filled.items() if k in taken(creator.__new__)}, **options})
        victim = self.load("secmlt.models.pytorch.base_pytorch_nn").BasePyTorchClassifier(problem.model)
        batch = DataLoader(TensorDataset(problem.inputs, problem.labels), batch_size=len(problem.inputs))
        (answer, _), *_ = attack(victim, batch)
        return torch.as_tensor(answer)

    @functools.cache  # noqa: B019 (one object per process)
    def _creators(self) -> dict[str, Any]:
        """What makes attacks, by name."""
        base = self.load(f"{_PACKAGE}.base_evasion_attack").BaseEvasionAttackCreator
        found = {}
        for module in pkgutil.iter_modules(self.load(_PACKAGE).__path__):
            for name, creator in vars(self.load(f"{_PACKAGE}.{module.name}")).items():
                if inspect.isclass(creator) and issubclass(creator, base) and creator is not base:
                    found[name] = creator
        return found


def _backend(creator: Any) -> str:
    """SecML-Torch's own implementation where there is one."""
    return "native" if "native" in creator.get_backends() else "foolbox"


def _implementation(creator: Any, options: Options) -> Any:
    """The class that implements an attack.

    Raises:
        MissingExtraError: it lives in another library, which is not installed.
    """
    backend = options.get("backend", _backend(creator))
    try:
        return creator.get_implementation(backend)
    except ImportError as error:
        raise MissingExtraError(f"its only implementation is of {backend}, which is not installed") from error
