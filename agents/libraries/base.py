"""What a library of attacks is here: named attacks, facts about each, and one way to ask it for perturbed inputs."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from advgames.agents.libraries.sealed import sealed
from advgames.agents.libraries.victim import VictimModule
from advgames.errors import MissingExtraError, SettingError, UnknownNameError
from advgames.threat import Norm

__all__ = ["Facts", "Library", "Needs", "Options", "Problem", "taken"]

Needs = Literal["white-box", "soft-label", "hard-label"]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """What must be known of an attack before it is run.

    Attributes:
        norms: the norms it searches in; only ``"l2"`` and ``"linf"`` can be played.
        needs: the access it needs.
        refused: why it cannot be played at all; empty if it can.
    """

    norms: tuple[str, ...] = ("l2", "linf")
    needs: Needs = "white-box"
    refused: str = ""


@dataclass(frozen=True)
class Problem:
    """What a library is asked: move these inputs away from their labels, within the radius and the bounds.

    Attributes:
        model: the victim, (N, *input_shape) to (N, K).
        inputs: within the bounds.  # (N, *input_shape)
        labels: classes to move away from, int64.  # (N,)
        radius: positive, in input units, in the norm.
        bounds: valid range of every entry.
        num_classes: K.
        seed: of all randomness, in [0, 2**63).
    """

    model: VictimModule
    inputs: Tensor
    labels: Tensor
    radius: float
    norm: Norm
    bounds: tuple[float, float]
    num_classes: int
    seed: int


class Library(ABC):
    """A library of attacks, one object of one subclass each.

    Attributes:
        name: what agents' names begin with.
        module: what is imported.
        install: the command that installs it.
        ours: constructor arguments that the match decides, and no option may.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    install: ClassVar[str] = "the extra 'attacks' (pip install '.[attacks]' in the folder of advgames)"
    ours: ClassVar[frozenset[str]] = frozenset()

    @property
    def installed(self) -> bool:
        """Whether there is such a module, without importing it."""
        return importlib.util.find_spec(self.module.partition(".")[0]) is not None

    def load(self, module: str = "") -> Any:
        """The library's module, or another one of it.

        Raises:
            MissingExtraError: it is not installed, or lacks something itself.
        """
        try:
            with sealed(0), _without_git():
                return importlib.import_module(module or self.module)
        except ImportError as error:
            raise MissingExtraError(f"{self.name} attacks need {self.install}: {error}") from error

    @abstractmethod
    def facts(self) -> dict[str, Facts]:
        """Facts of every attack by name, refused ones too.

        Raises:
            MissingExtraError: the library is not installed.
        """

    @abstractmethod
    def constructor(self, name: str) -> Callable[..., Any]:
        """What makes the attack from its options."""

    @abstractmethod
    def run(self, name: str, options: Options, problem: Problem) -> Tensor:
        """The library's answer, (N, *input_shape): any perturbation, good or not, within the radius or not."""

    def names(self) -> list[str]:
        """The attacks that can be played, sorted."""
        return sorted(name for name, facts in self.facts().items() if not facts.refused)

    def check(self, name: str, options: Options) -> Facts:
        """Facts of an attack that exists, can be played and takes these options.

        Raises:
            UnknownNameError: no such attack or option; names the nearest.
            SettingError: an attack that cannot be played, an option that the match decides.
        """
        facts = self.facts()
        if name not in facts:
            raise UnknownNameError(f"{self.name} attack", name, self.names())
        if facts[name].refused:
            raise SettingError(f"{self.name}:{name} cannot be played: {facts[name].refused}")
        for option in options:
            if option in self.ours:
                raise SettingError(f"{self.name}:{name}: {option!r} is no option, the match decides it")
            if option not in (known := self.options(name)):
                raise UnknownNameError("option", option, known, f"{self.name}:{name}")
        return self.refine(facts[name], options)

    def refine(self, facts: Facts, options: Options) -> Facts:
        """The facts as these options change them."""
        return facts

    def options(self, name: str) -> list[str]:
        """The options an attack takes."""
        return sorted(taken(self.constructor(name)) - self.ours)


@contextlib.contextmanager
def _without_git() -> Iterator[None]:
    """Let GitPython, which foolbox loads, be imported on machines that have no git."""
    given = os.environ.get("GIT_PYTHON_REFRESH")
    os.environ["GIT_PYTHON_REFRESH"] = given or "quiet"
    try:
        yield
    finally:
        if given is None:
            del os.environ["GIT_PYTHON_REFRESH"]


def taken(constructor: Callable[..., Any]) -> set[str]:
    """Names of the arguments a constructor takes by name, itself and catch-alls left out."""
    parameters = inspect.signature(constructor).parameters.values()
    return {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name != "cls"}
