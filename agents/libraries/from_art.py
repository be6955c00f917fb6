"""Attacks of the Adversarial Robustness Toolbox: ``art:CarliniL2Method(max_iter=50)``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advgames.agents.libraries.base import Facts, Library, Options, Problem, taken

__all__ = ["Art"]

_BOTH = ("l2", "linf")
_PLAYED = {
    "AutoConjugateGradient": Facts(_BOTH),
    "AutoProjectedGradientDescent": Facts(_BOTH),
    "BasicIterativeMethod": Facts(("linf",)),
    "BoundaryAttack": Facts(("l2",), "hard-label"),
    "CarliniL0Method": Facts(("l0",)),
    "CarliniL2Method": Facts(("l2",)),
    "CarliniLInfMethod": Facts(("linf",)),
    "DeepFool": Facts(("l2",)),
    "ElasticNet": Facts(("l1",)),
    "FastGradientMethod": Facts(_BOTH),
    "GeoDA": Facts(_BOTH, "hard-label"),
    "HopSkipJump": Facts(_BOTH, "hard-label"),
    "MomentumIterativeMethod": Facts(_BOTH),
    "NewtonFool": Facts(("l2",)),
    "PixelAttack": Facts(("l0",), "soft-label"),
    "ProjectedGradientDescent": Facts(_BOTH),
    "ProjectedGradientDescentNumpy": Facts(_BOTH),
    "ProjectedGradientDescentPyTorch": Facts(_BOTH),
    "RescalingAutoConjugateGradient": Facts(_BOTH),
    "SaliencyMapMethod": Facts(("l0",)),
    "SignOPTAttack": Facts(("l2",), "hard-label"),
    "SimBA": Facts(("l2",), "soft-label"),
    "SquareAttack": Facts(_BOTH, "soft-label"),
    "UniversalPerturbation": Facts(_BOTH),
    "VirtualAdversarialMethod": Facts(("l2",)),
    "ZooAttack": Facts(("l2",), "soft-label"),
}
_REFUSED = {
    "AutoAttack": "take autoattack, its authors' own",
    "SpatialTransformation": "it turns and shifts images, which no norm bounds",
    "ShadowAttack": "no norm bounds it",
    "ThresholdAttack": "it is seeded by the clock",
    "Wasserstein": "its ball is one of transport, not of a norm",
}
_ELSE = Facts(refused="it does not move the inputs of a classifier, each within a norm, on torch")
_NEED_PROBABILITIES = ("SimBA", "VirtualAdversarialMethod")
_NORM_VALUES = {"l2": 2, "linf": np.inf}


class Art(Library):
    """ART 1.20. It computes in float32, whatever the inputs are.

    A step size `eps_step` is in input units; not given, it keeps the library's ratio to the radius (1/3). HopSkipJump
    and Boundary hand float64 to the victim under numpy 2 and stop there: the inputs are cast for them. Their starting
    points come from unseeded generators, which are seeded here. Imported, ART writes a folder ``.art`` into the home.
    """

    name = "art"
    module = "art"
    ours = frozenset(
        {"estimator", "classifier", "norm", "eps", "targeted", "verbose", "summary_writer", "estimator_orig"}
    )

    @functools.cache  # noqa: B019 (one object per process)
    def facts(self) -> dict[str, Facts]:
        """Facts of every evasion attack, from the tables above: ART itself does not tell."""
        base = self.load("art.attacks.attack").EvasionAttack
        found = {}
        for name, attack in vars(self.load("art.attacks.evasion")).items():
            if inspect.isclass(attack) and issubclass(attack, base):
                refused = Facts(refused=_REFUSED[name]) if name in _REFUSED else _ELSE
                found[name] = _PLAYED.get(name, refused)
        return found

    def constructor(self, name: str) -> Callable[..., Any]:
        """The attack's class."""
        made: Callable[..., Any] = getattr(self.load("art.attacks.evasion"), name)
        return made

    def run(self, name: str, options: Options, problem: Problem) -> Tensor:
        """The answer, through numpy."""
        maker = self.constructor(name)
        defaults = {k: p.default for k, p in inspect.signature(maker).parameters.items()}
        filled: dict[str, Any] = {
            "norm": _NORM_VALUES[problem.norm],
            "eps": problem.radius,
            "targeted": False,
            "verbose": False,
        }
        if "eps_step" in defaults and "eps" in defaults:
            filled["eps_step"] = problem.radius * (defaults["eps_step"] / defaults["eps"])
        made = {**{k: v for k, v in filled.items() if k in taken(maker)}, **options}
        attack = maker(self._classifier(name, problem), **made)
        inputs = problem.inputs.to(torch.float32).cpu().numpy()
        targets = np.eye(problem.num_classes, dtype=np.float32)[problem.labels.cpu().numpy()]
        return torch.as_tensor(attack.generate(inputs, y=targets))

    def _classifier(self, name: str, problem: Problem) -> Any:
        """ART's estimator around the victim; of probabilities for the attacks that refuse logits."""
        model: nn.Module = problem.model
        if name in _NEED_PROBABILITIES:
            model = nn.Sequential(model, nn.Softmax(1)).eval()
        return self.load("art.estimators.classification").PyTorchClassifier(
            model,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(problem.inputs.shape[1:]),
            nb_classes=problem.num_classes,
            clip_values=problem.bounds,
            device_type="cpu" if problem.inputs.device.type == "cpu" else "gpu",
        )
