"""Torchattacks' attacks: ``torchattacks:PGD(steps=20)``."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from advgames.agents.libraries.base import Facts, Library, Options, Problem, taken
from advgames.agents.libraries.victim import VictimModule

__all__ = ["Torchattacks"]

_REFUSED = {"LGV": "it trains other models on the victim's data", "MultiAttack": "take Ensemble of several agents"}
_SOFT_LABEL = ("SPSA", "Square", "OnePixel", "Pixle")
_HARD_LABEL = ("GN", "VANILA")
_NORM_NAMES = {"l2": "L2", "linf": "Linf"}


class Torchattacks(Library):
    """Torchattacks 3.5. It knows images in [0, 1] only: other inputs are mapped there, the radius with them.

    A step size `alpha` is in input units; not given, it keeps the library's ratio to the radius (1/4 for PGD). Its
    DeepFool stalls inside the boundary where pixels saturate, and its C&W does not move saturated pixels at all:
    success is what our mask says.
    """

    name = "torchattacks"
    module = "torchattacks"
    install = "pip install --no-deps torchattacks, and tqdm and requests (it pins an old requests)"
    ours = frozenset({"model", "eps", "max_epsilon", "norm", "n_classes", "seed", "verbose"})

    @functools.cache  # noqa: B019 (one object per process)
    def facts(self) -> dict[str, Facts]:
        """Facts of every attack, its norms from the "Distance Measure" of its documentation."""
        base = self.load("torchattacks.attack").Attack
        found = {}
        for name, attack in vars(self.load()).items():
            if inspect.isclass(attack) and issubclass(attack, base):
                found[name] = Facts(_norms(attack), _needs(name), _REFUSED.get(name, ""))
        return found

    def constructor(self, name: str) -> Callable[..., Any]:
        """The attack's class."""
        made: Callable[..., Any] = getattr(self.load(), name)
        return made

    def run(self, name: str, options: Options, problem: Problem) -> Tensor:
        """The answer, mapped back to the bounds."""
        maker, width = self.constructor(name), problem.bounds[1] - problem.bounds[0]
        defaults = {k: p.default for k, p in inspect.signature(maker).parameters.items()}
        radius = problem.radius / width
        filled: dict[str, Any] = {
            "eps": radius,
            "max_epsilon": radius,
            "norm": _NORM_NAMES[problem.norm],
            "n_classes": problem.num_classes,
            "seed": problem.seed,
        }
        if "alpha" in defaults and "eps" in defaults:
            filled["alpha"] = radius * (defaults["alpha"] / defaults["eps"])
        if "alpha" in options:
            options = {**options, "alpha": options["alpha"] / width}
        made = {**{k: v for k, v in filled.items() if k in taken(maker)}, **options}

        def attack(victim: VictimModule, images: Tensor) -> Tensor:
            answer: Tensor = maker(victim, **made)(images, problem.labels)
            return answer

        return problem.model.on_images(problem.inputs, problem.bounds, attack)


def _norms(attack: Any) -> tuple[str, ...]:
    measure = re.search(r"Distance Measure\s*:\s*(.*)", attack.__doc__ or "")
    named = re.findall(r"l(?:0|1|2|inf)\b", measure.group(1).lower()) if measure else []
    return tuple(named) or ("l2", "linf")


def _needs(name: str) -> Any:
    return "hard-label" if name in _HARD_LABEL else "soft-label" if name in _SOFT_LABEL else "white-box"
