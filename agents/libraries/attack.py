"""One attack of one library as a function: perturbed inputs within radius and bounds, and an honest success mask."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from advgames.agents.libraries.base import Facts, Library, Needs, Options, Problem
from advgames.agents.libraries.sealed import sealed
from advgames.agents.libraries.victim import VictimModule
from advgames.attacks import Attacked, Model
from advgames.attacks.checks import (
    check_bounds,
    check_finite,
    check_inputs,
    check_labels,
    check_logits,
    check_model,
    check_radius,
)
from advgames.errors import AdvgamesError, MissingExtraError, SettingError
from advgames.threat import Norm, Threat

__all__ = ["LibraryAttack"]

TOLERANCE = 1e-5


@dataclass(frozen=True)
class LibraryAttack:
    """An attack of a library with its options.

    Args:
        library: the library.
        name: of the attack in it.
        options: constructor arguments of the library's attack, except those the match decides.

    Raises:
        MissingExtraError: the library is not installed.
        UnknownNameError: no such attack or option.
        SettingError: an attack that cannot be played here.
    """

    library: Library
    name: str
    options: Options = field(default_factory=dict)
    _facts: Facts = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_facts", self.library.check(self.name, self.options))

    @property
    def needs(self) -> Needs:
        """The access it needs."""
        return self._facts.needs

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.library.name}:{self.name}({shown})" if self.name else f"{self.library.name}({shown})"

    def __call__(
        self,
        model: Model,
        inputs: Tensor,
        labels: Tensor,
        *,
        radius: float,
        norm: Norm,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        seed: int = 0,
    ) -> Attacked:
        """Move inputs away from their labels.

        What the library returns outside the radius is projected, outside the bounds clipped, and where it is not
        finite, or fails although the input itself is misclassified, the input is returned. The success mask is
        computed on what is returned and on nothing the library says.

        Args:
            model: logits (N, K) of inputs; its parameters, their gradients and its mode stay as they are.
            inputs: float32 or float64, within the bounds.  # (N, *input_shape)
            labels: int64.  # (N,)
            radius: in input units, at least 0.
            norm: ``"l2"`` or ``"linf"``.
            bounds: valid range; None: unbounded, and the library is told the inputs' range widened by the radius.
            seed: of all the library's randomness, in [0, 2**63).

        Raises:
            InputError, VictimError: inputs that no attack can start from, a victim that cannot be attacked as it is.
            SettingError: an attack of another norm, or one that fails on this victim or these inputs.
        """
        if norm not in self._facts.norms:
            norms = " and ".join(self._facts.norms) or "no norm"
            raise SettingError(f"{self!r} searches in {norms}, not in {norm}: choose another norm or attack")
        check_bounds(bounds)
        check_inputs(inputs, bounds)
        check_labels(labels, inputs)
        check_radius(radius, labels, inputs.dtype)
        check_model(model)
        if len(inputs) == 0:
            return Attacked(inputs.clone(), torch.zeros_like(labels, dtype=torch.bool))
        clean = _logits(model, inputs, labels)
        already = clean.argmax(1) != labels
        if radius == 0:
            return Attacked(inputs.clone(), already)
        box = bounds or (float(inputs.min()) - radius, float(inputs.max()) + radius)
        victim = VictimModule(model, clean.new_empty(0, dtype=inputs.dtype))
        problem = Problem(victim, inputs.detach().clone(), labels.clone(), radius, norm, box, clean.shape[1], seed)
        found = _restrict(self._run(problem).to(inputs), inputs, radius, norm, bounds)
        success = _logits(model, found, labels).argmax(1) != labels
        back = already & ~success
        found = torch.where(back.reshape(-1, *[1] * (inputs.ndim - 1)), inputs, found)
        return Attacked(found, success | back)

    def _run(self, problem: Problem) -> Tensor:
        """The library's answer; whatever it raises is a named error that says who raised it, and on what."""
        try:
            with sealed(problem.seed):
                found = self.library.run(self.name, self.options, problem).detach()
        except AdvgamesError:
            raise
        except ImportError as error:
            raise MissingExtraError(f"{self!r} needs what is not installed: {error}") from error
        except Exception as error:
            shape = tuple(problem.inputs.shape[1:])
            raise SettingError(
                f"{self!r} fails on inputs of shape {shape} and {problem.num_classes} classes: "
                f"{type(error).__name__}: {error}"
            ) from error
        if found.shape != problem.inputs.shape:
            raise SettingError(f"{self!r} answers {tuple(found.shape)} to inputs {tuple(problem.inputs.shape)}")
        return found


def _restrict(found: Tensor, inputs: Tensor, radius: float, norm: Norm, bounds: tuple[float, float] | None) -> Tensor:
    """The nearest perturbed inputs within the radius, then the bounds; untouched where they are within both."""
    threat = Threat(norm, bounds)
    usable = torch.isfinite(found.flatten(1)).all(1).reshape(-1, *[1] * (inputs.ndim - 1))
    delta = ((torch.where(usable, found, inputs) - inputs) / radius).unsqueeze(0)
    moved = threat.perturb(inputs.unsqueeze(0), threat.project(delta), inputs.new_tensor([radius]))
    fits = threat.norms(delta) <= 1 + TOLERANCE
    if bounds is not None:
        fits &= ((found >= bounds[0]) & (found <= bounds[1])).flatten(1).all(1)
    return torch.where(usable & fits.reshape(usable.shape), found, moved[0])


@torch.no_grad()
def _logits(model: Model, inputs: Tensor, labels: Tensor) -> Tensor:
    logits = model(inputs)
    check_logits(logits, labels)
    check_finite(logits, inputs)
    return logits
