"""What players of the test-time game may know of the victim: labels it gives, its logits, or all of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from advgames.access import Order, PerturbationAccess, WhiteBox
from advgames.errors import PhaseError, SettingError
from advgames.games.perturbation_settings import Payoff
from advgames.victims import FixedVictim, cross_entropy, margin

__all__ = ["HardLabelAccess", "Meter", "SoftLabelAccess", "WhiteBoxAccess"]


class Meter:
    """Counts the queries of one player in one phase, per match; closed once the player has moved.

    Args:
        counts: where they are counted, (G,) int64; None: nowhere.
    """

    def __init__(self, counts: Tensor | None) -> None:
        self._counts = counts
        self.closed = False

    def ask(self, oracle: Callable[[Tensor], Tensor], inputs: Tensor, match: int | None) -> Tensor:
        """The oracle's answer to (G, Q, *input_shape), or with a match to (Q, *input_shape). Failures do not count."""
        if self.closed:
            raise PhaseError("the move that this access was granted for is over: ask the game for access again")
        answer = oracle(inputs)
        if self._counts is not None and match is None:
            self._counts += inputs.shape[1]
        elif self._counts is not None:
            self._counts[match] += len(inputs)
        return answer


class HardLabelAccess(PerturbationAccess):
    """The victim as an oracle of classes, every query counted.

    ``known(n)`` are inputs from the same source as the game's, which every player has: the first n training inputs
    (validation inputs where the game is played on the training set), or all with None; a copy.

    Attributes:
        num_classes: K.
        payoff: which payoff the game pays.
    """

    level = "hard-label"

    def __init__(
        self,
        *,
        oracle: Callable[[Tensor], Tensor],
        meter: Meter,
        seen: Tensor,
        classes: Tensor | None,
        num_classes: int,
        payoff: Payoff,
        known: Callable[[int | None], Tensor],
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.num_classes = num_classes
        self.payoff = payoff
        self.known = known
        self._oracle = oracle
        self._meter = meter
        self._seen = seen
        self._classes = classes

    def predict(self, inputs: Tensor, match: int | None = None) -> Tensor:
        """Classes (G, Q) of inputs (G, Q, *input_shape), Q queries per match; or of one match's, (Q,).

        Raises:
            PhaseError: the move that this access was granted for is over.
        """
        return self._meter.ask(self._oracle, inputs, match)

    @cached_property
    def labels(self) -> Tensor:
        """Classes (G, B) the player is about: the game's for the attacker; what the victim says of the inputs it sees
        for the defender, who knows no labels (a query each)."""
        return self.predict(self._seen) if self._classes is None else self._classes.clone()


class SoftLabelAccess(HardLabelAccess):
    """The victim as an oracle of logits, every query counted."""

    level = "soft-label"

    def __init__(self, *, soft_oracle: Callable[[Tensor], Tensor], **common: Any) -> None:
        super().__init__(**common)
        self._soft_oracle = soft_oracle

    def logits(self, inputs: Tensor, match: int | None = None) -> Tensor:
        """Logits (G, Q, K) of inputs (G, Q, *input_shape), Q queries per match; or of one match's, (Q, K).

        Raises:
            PhaseError: the move that this access was granted for is over.
        """
        return self._meter.ask(self._soft_oracle, inputs, match)

    def margins(self, inputs: Tensor) -> Tensor:
        """What is left of the classes' margins at `inputs`, (G, B); a query each."""
        return margin(self.logits(inputs), self.labels)


class WhiteBoxAccess(SoftLabelAccess, WhiteBox):
    """The victim itself; nothing is counted.

    U, what its gradient is of, is the mean over the minibatch of the payoff, or of its margin where the payoff is a
    step function of it (additive_nash.txt eq. 1): minus the margin of the class, under f or, around the inputs the
    player sees, under its linearisation f_L.
    """

    level = "white-box"

    def __init__(self, *, victim: FixedVictim, **common: Any) -> None:
        super().__init__(**common)
        self._victim = victim

    @property
    def model(self) -> FixedVictim:
        """Logits (*lead, K) of inputs (*lead, *input_shape), differentiable in the inputs."""
        return self._victim

    def utility(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """U at `inputs` (G, B, *input_shape), (G,): minus the mean margin, or the mean loss."""
        classes = self.labels if labels is None else labels
        logits = self._logits_of_payoff(inputs)
        if self.payoff == "loss":
            return cross_entropy(logits, classes).mean(1)
        return -margin(logits, classes).mean(1)

    def utility_gradient(self, inputs: Tensor, order: Order = "first") -> Tensor:
        """grad_x U at `inputs`, (G, B, *input_shape).

        U is a function of the inputs themselves, with no model update in between: its gradient is exact, and the three
        orders coincide.
        """
        if order not in ("first", "second", "exact"):
            raise SettingError(f"order must be 'first', 'second' or 'exact', got {order!r}")
        at = self._seen if self._linear(inputs) else inputs
        logits = self._logits_of_payoff(inputs)
        if self.payoff == "loss":
            weights = torch.softmax(logits, -1) - _one_hot(self.labels, logits)
        else:
            others = logits.scatter(-1, self.labels.unsqueeze(-1), -torch.inf)
            weights = _one_hot(others.argmax(-1), logits) - _one_hot(self.labels, logits)
        return self._victim.pulled(at, weights) / inputs.shape[1]

    def margins(self, inputs: Tensor) -> Tensor:
        """What is left of the classes' margins at `inputs` as the payoff judges it, under f or f_L, (G, B)."""
        return margin(self._logits_of_payoff(inputs), self.labels)

    def _logits_of_payoff(self, inputs: Tensor) -> Tensor:
        """Logits under f, or under f_L around the inputs the player sees where that decides the payoff."""
        return self._victim.linear_logits(self._seen, inputs) if self._linear(inputs) else self._victim.logits(inputs)

    def _linear(self, inputs: Tensor) -> bool:
        return self.payoff == "flip-linear" and inputs.shape == self._seen.shape


def _one_hot(classes: Tensor, like: Tensor) -> Tensor:
    return torch.zeros_like(like).scatter(-1, classes.unsqueeze(-1), 1.0)
