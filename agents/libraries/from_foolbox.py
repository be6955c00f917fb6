"""Foolbox's attacks: ``foolbox:LinfPGD(steps=20)``."""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advgames.agents.libraries.base import Facts, Library, Needs, Options, Problem, taken

__all__ = ["Foolbox"]

_NORMS = {0: "l0", 1: "l1", 2: "l2", float("inf"): "linf"}
_REFUSED = {
    "GenAttack": "it is targeted only",
    "SpatialAttack": "it turns and shifts images, which no norm bounds",
    "BinarizationRefinementAttack": "it only refines other attacks' answers",
}
_DECISION_BASED = (
    "BinarySearchContrastReductionAttack",
    "BoundaryAttack",
    "DatasetAttack",
    "GaussianBlurAttack",
    "HopSkipJumpAttack",
    "InversionAttack",
    "L2ContrastReductionAttack",
    "LinearSearchContrastReductionAttack",
    "PointwiseAttack",
)


class Foolbox(Library):
    """Foolbox 3.3. Attacks that minimise the distance are run to their end, whatever the radius, and then projected.

    Where foolbox says that such an attack failed, its answer is dropped and the input stays: its Carlini & Wagner and
    EAD hand back black images for failures. Attacks that start from a misclassified point, and refuse a whole batch
    if one input has none, are run on the inputs that have one.
    """

    name = "foolbox"
    module = "foolbox"
    ours = frozenset({"distance", "constraint", "init_attack", "tensorboard"})

    @functools.cache  # noqa: B019 (one object per process)
    def facts(self) -> dict[str, Facts]:
        """Facts of every attack, from its distance and its arguments."""
        base = self.load("foolbox.attacks.base")
        found = {}
        for name, attack in vars(self.load("foolbox.attacks")).items():
            if inspect.isclass(attack) and issubclass(attack, base.Attack) and not inspect.isabstract(attack):
                found[name] = Facts(_norms(attack), _needs(attack), _refused(attack))
        return found

    def constructor(self, name: str) -> Callable[..., Any]:
        """The attack's class."""
        made: Callable[..., Any] = getattr(self.load("foolbox.attacks"), name)
        return made

    def run(self, name: str, options: Options, problem: Problem) -> Tensor:
        """The answer, clipped to the radius if the attack takes one, else where it fools the victim."""
        foolbox, inputs = self.load(), problem.inputs
        maker = self.constructor(name)
        filled = {"distance": getattr(foolbox.distances, problem.norm), "constraint": problem.norm}
        attack = maker(**{k: v for k, v in filled.items() if k in taken(maker)}, **options)
        model = foolbox.PyTorchModel(problem.model, bounds=problem.bounds, device=inputs.device)
        if name == "DatasetAttack":
            attack.feed(model, inputs)
        if not isinstance(attack, foolbox.attacks.base.MinimizationAttack):
            _, clipped, _ = attack(model, inputs, problem.labels, epsilons=problem.radius)
            return torch.as_tensor(clipped)
        rows, starts = torch.arange(len(inputs), device=inputs.device), {}
        if "init_attack" in taken(maker) and name in _DECISION_BASED:
            begun, rows = _starting_points(foolbox, name, model, problem)
            starts = {"starting_points": begun[rows]}
        found = inputs.clone()
        if len(rows):
            answer, _, fooled = attack(model, inputs[rows], problem.labels[rows], epsilons=None, **starts)
            found[rows] = torch.where(fooled.reshape(-1, *[1] * (inputs.ndim - 1)), answer, inputs[rows])
        return found


def _starting_points(foolbox: Any, name: str, model: Any, problem: Problem) -> tuple[Tensor, Tensor]:
    """What foolbox itself starts this attack from, (N, *input_shape), and the rows where it fools the victim."""
    start = {
        "PointwiseAttack": lambda: foolbox.attacks.SaltAndPepperNoiseAttack(),
        "HopSkipJumpAttack": lambda: foolbox.attacks.LinearSearchBlendedUniformNoiseAttack(steps=50),
        "BoundaryAttack": lambda: foolbox.attacks.LinearSearchBlendedUniformNoiseAttack(steps=50),
    }[name]()
    criterion = foolbox.criteria.Misclassification(problem.labels)
    begun = start.run(model, problem.inputs, criterion)
    with torch.no_grad():
        fooled = problem.model(begun).argmax(1) != problem.labels
    return begun, fooled.nonzero().squeeze(1)


def _norms(attack: Any) -> tuple[str, ...]:
    """The norm of the distance it minimises or respects; both where it takes one, or a constraint."""
    if taken(attack) & {"distance", "constraint"}:
        return ("l2", "linf")
    distance = getattr(attack, "distance", None)
    if isinstance(distance, property):  # of the noise attacks, which need no object to tell; Pointwise has none
        distance = None if attack.__name__ == "PointwiseAttack" else distance.__get__(object.__new__(attack))
    return (_NORMS[distance.p],) if distance is not None else ("l2",)


def _needs(attack: Any) -> Needs:
    name = attack.__name__
    return "hard-label" if name in _DECISION_BASED or "Noise" in name else "white-box"


def _refused(attack: Any) -> str:
    if "BrendelBethge" in attack.__name__ and importlib.util.find_spec("numba") is None:
        return "it needs numba: pip install numba"
    return _REFUSED.get(attack.__name__, "")
