"""AutoAttack, in the package pyautoattack: ``autoattack``, ``autoattack(attacks=apgd-ce+square, queries=500)``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from advgames.agents.libraries.base import Facts, Library, Options, Problem
from advgames.agents.libraries.victim import VictimModule
from advgames.errors import SettingError, UnknownNameError

__all__ = ["AutoAttack"]

_ATTACKS = ("apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square")
_VERSIONS = {"standard": "apgd-ce+apgd-t+fab-t+square", "plus": "+".join(_ATTACKS), "rand": "apgd-ce+apgd-dlr"}
#: fewest classes with which its losses are defined
_CLASSES = {"apgd-dlr": 3, "apgd-t": 4}
_NORM_NAMES = {"l2": "L2", "linf": "Linf"}


class AutoAttack(Library):
    """Pyautoattack 0.2 (Croce & Hein, ICML 2020): several attacks in turn, each on what the earlier ones left.

    It knows images in [0, 1] only: other inputs are mapped there, the radius with them. Targeted attacks go through
    nine classes, or all others if those are fewer. An input that no attack fools is returned as it was.
    """

    name = "autoattack"
    module = "pyautoattack"
    ours = frozenset({"model", "device", "eps", "norm", "seed"})

    def facts(self) -> dict[str, Facts]:
        """Of the one attack there is, without a name of its own."""
        self.load()
        return {"": Facts()}

    def constructor(self, name: str) -> Callable[..., Any]:
        """A function with the options as its arguments."""
        return _chosen

    def refine(self, facts: Facts, options: Options) -> Facts:
        """Square alone needs logits only; the options are checked here."""
        return replace(facts, needs="soft-label") if _chosen(**options)[1] == ["square"] else facts

    def run(self, name: str, options: Options, problem: Problem) -> Tensor:
        """The answer, mapped back to the bounds."""
        version, attacks = _chosen(**options)
        for part in attacks:
            if problem.num_classes < _CLASSES.get(part, 2):
                raise SettingError(
                    f"autoattack: the loss of {part} needs {_CLASSES[part]} classes, the victim has "
                    f"{problem.num_classes}; take autoattack(attacks=apgd-ce+fab+square)"
                )
        version_or_attacks = {"version": version, **({"attacks": attacks} if version == "custom" else {})}

        def attack(victim: VictimModule, images: Tensor) -> Tensor:
            made = self.load().AutoAttack(
                victim,
                device=images.device,
                eps=problem.radius / (problem.bounds[1] - problem.bounds[0]),
                norm=_NORM_NAMES[problem.norm],
                seed=problem.seed,
                **version_or_attacks,
            )
            targets = min(9, problem.num_classes - 1)
            made.apgd_targeted.n_target_classes = made.fab.n_target_classes = targets
            made.square.n_queries = options.get("queries", made.square.n_queries)
            for iterated in (made.apgd, made.apgd_targeted, made.fab):
                iterated.n_iter = options.get("steps", iterated.n_iter)
            answer: Tensor = made.run_standard_evaluation(images, problem.labels)[0]
            return answer

        return problem.model.on_images(problem.inputs, problem.bounds, attack)


def _chosen(
    version: str = "standard", attacks: str = "", steps: int | None = None, queries: int | None = None
) -> tuple[str, list[str]]:
    """The version, ``"custom"`` where attacks are named, and the attacks it runs.

    Args:
        version: ``"standard"``, ``"plus"`` or ``"rand"``.
        attacks: some of the six, joined by ``+``.
        steps: iterations of APGD and FAB; None: the library's 100.
        queries: of Square; None: the library's 5000.

    Raises:
        UnknownNameError, SettingError
    """
    if version not in _VERSIONS:
        raise UnknownNameError("version", version, _VERSIONS, "autoattack")
    if attacks and version != "standard":
        raise SettingError("autoattack takes a version or attacks, not both")
    for name, count in (("steps", steps), ("queries", queries)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise SettingError(f"autoattack: {name} must be a positive integer, got {count!r}")
    chosen = (attacks or _VERSIONS[version]).split("+")
    for name in chosen:
        if name not in _ATTACKS:
            raise UnknownNameError("attack", name, _ATTACKS, "autoattack")
    return ("custom" if attacks else version), chosen
