"""Several attacks as one: the worst case per input."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor

from advgames.attacks.base import Attacked, Model, Norm
from advgames.attacks.losses import rival
from advgames.attacks.norms import Geometry
from advgames.attacks.problem import ChunkSize, Problem
from advgames.attacks.selection import worst_case
from advgames.errors import SettingError

__all__ = ["Attack", "ensemble", "every_rival"]

#: of a model, inputs and labels, and of settings by keyword
Attack = Callable[..., Attacked]


def ensemble(*attacks: Attack, shortest: Norm | Geometry | None = None) -> Attack:
    """An attack that runs all of these and keeps, per input, the worst case.

    That is an answer that succeeds before one that does not, and among equals the one of largest margin, or with
    `shortest` the one nearest to the input. The settings given to the ensemble go to every attack; what differs
    between them is bound before: ``ensemble(pgd, functools.partial(pgd, loss="dlr"))(model, x, y, radius=8 / 255)``.

    Args:
        attacks: functions of this package, or any of their form.
        shortest: the norm by which the nearest success is chosen.

    Raises:
        SettingError: no attack.
    """
    if not attacks:
        raise SettingError("an ensemble needs at least one attack")
    for each in attacks:
        if not callable(each):
            raise SettingError(f"an ensemble takes functions, such as advgames.attacks.pgd, got {each!r}")

    def attack(
        model: Model,
        inputs: Tensor,
        labels: Tensor,
        *,
        targeted: bool = False,
        chunk_size: ChunkSize = "auto",
        **settings: Any,
    ) -> Attacked:
        """The worst case per input; settings as of the attacks."""
        settings |= {"chunk_size": chunk_size} | ({"targeted": True} if targeted else {})
        judge = Problem(
            model,
            inputs,
            labels,
            radius=None,
            norm="l2" if shortest is None else shortest,
            bounds=None,
            loss="margin",
            targeted=targeted,
            chunk_size=chunk_size,
        )
        answers = (each(model, inputs, labels, **settings) for each in attacks)
        return worst_case(judge, answers, shortest=shortest is not None)

    return attack


def every_rival(attack: Attack) -> Attack:
    """The attack once against each other class j, with the loss Z_j - Z_y, and the worst case per input of these.

    On a linear model every such loss is linear, so that a projected attack solves it exactly and the worst case is the
    model's true robust accuracy; the margin and cross-entropy can climb towards the wrong class. K - 1 runs.

    Args:
        attack: one with a `loss`: :func:`fgm`, :func:`bim`, :func:`pgd`.
    """

    if not callable(attack):
        raise SettingError(f"every_rival takes a function, such as advgames.attacks.pgd, got {attack!r}")

    def each(model: Model, inputs: Tensor, labels: Tensor, **settings: Any) -> Attacked:
        """The worst case per input; settings as of the attack, but for `loss` and `targeted`."""
        if taken := {"loss", "targeted"} & set(settings):
            raise SettingError(
                f"every_rival sets the loss of an untargeted attack itself, got {' and '.join(sorted(taken))}"
            )
        size = settings.get("chunk_size", "auto")
        judge = Problem(model, inputs, labels, radius=None, norm="l2", bounds=None, chunk_size=size)
        (logits,) = judge.in_chunks(lambda part: (part.logits(part.inputs).detach(),))
        members = [functools.partial(attack, loss=rival(offset)) for offset in range(1, logits.shape[-1])]
        return ensemble(*members)(model, inputs, labels, **settings)

    return each
