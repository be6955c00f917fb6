"""Settings of the training-time game, and how a task fills what they leave open."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from advgames.errors import SettingError
from advgames.settings import Settings
from advgames.tasks import Task
from advgames.threat import Norm
from advgames.victims import Batching

__all__ = ["PoisoningSettings"]


class PoisoningSettings(Settings):
    """Settings of the training-time game; None means the task's own default.

    Attributes:
        epsilon: radius of both players, in input units; the two below override it per player.
        epsilon_attacker, epsilon_defender: radius of one player.
        norm: norm of perturbations, ``"l2"`` or ``"linf"``, per input.
        budget: what the attacker may spend in all: the largest norms of its perturbations, in input units, add up to
            this at most over the iterations, and in each to ``epsilon_attacker`` at most. None: no limit.
        payoff: of an iteration: the increment of the mean validation ``"loss"``, or of its logarithm, ``"log-loss"``,
            where losses below 1e-30 count as that.
        batch_size: samples per minibatch (a last partial minibatch of an epoch is dropped).
        iterations: rounds of a match; or give epochs.
        epochs: passes over the training set.
        optimizer: ``"sgd"``, ``"momentum"`` (heavy ball) or ``"adam"``.
        learning_rate: eta.
        momentum: of the optimiser ``"momentum"``.
        validation: what the attacker reasons with: the ``"known"`` validation set, or its own clean minibatch,
            ``"batch"`` (R9). The defender always knows the validation set. Payoffs are on the validation set.
        validation_subsample: players reason with this many validation points, drawn afresh each round; payoffs
            still use all. None: all points, in the same pass as the payoff.
        train_size, validation_size, test_size: how much of the task's data to use.
        batching: how matches share a call, see :class:`advgames.victims.Victim`.
        chunk_size: samples per call of the victim; None: 128 on a CPU where the victim convolves, else 4096.
    """

    epsilon: NonNegativeFloat | None = None
    epsilon_attacker: NonNegativeFloat | None = None
    epsilon_defender: NonNegativeFloat | None = None
    norm: Norm = "l2"
    budget: PositiveFloat | None = None
    payoff: Literal["loss", "log-loss"] = "loss"
    batch_size: PositiveInt | None = None
    iterations: PositiveInt | None = None
    epochs: PositiveInt | None = None
    optimizer: Literal["sgd", "momentum", "adam"] | None = None
    learning_rate: PositiveFloat | None = None
    momentum: float = Field(0.9, ge=0, lt=1)
    validation: Literal["known", "batch"] = "known"
    validation_subsample: PositiveInt | None = None
    train_size: PositiveInt | None = None
    validation_size: PositiveInt | None = None
    test_size: PositiveInt | None = None
    batching: Batching = "auto"
    chunk_size: PositiveInt | None = None

    def completed(self, task: Task) -> PoisoningSettings:
        """Every None filled from the task's defaults; iterations computed from epochs.

        Raises:
            SettingError: settings that contradict each other or the task.
        """
        filled = self.model_dump()
        for name, value in task.defaults.items():
            if filled.get(name) is None and not (name in ("epochs", "iterations") and (self.epochs or self.iterations)):
                filled[name] = value
        for player in ("attacker", "defender"):
            if filled[f"epsilon_{player}"] is None:
                filled[f"epsilon_{player}"] = filled["epsilon"]
        missing = [
            name
            for name in ("epsilon_attacker", "epsilon_defender", "batch_size", "optimizer", "learning_rate")
            if filled[name] is None
        ]
        if filled["epochs"] is None and filled["iterations"] is None:
            missing.append("iterations or epochs")
        if missing:
            raise SettingError(f"task {task.name!r} has no default for {', '.join(missing)}: give them as settings")
        if "momentum" in self.model_fields_set and filled["optimizer"] != "momentum":
            raise SettingError(f"poisoning: momentum applies to optimizer 'momentum', not to {filled['optimizer']!r}")
        if self.epochs and self.iterations:
            raise SettingError("poisoning: give iterations or epochs, not both")
        if task.draw is None and filled["batch_size"] > len(task.train):
            raise SettingError(f"batch_size {filled['batch_size']} exceeds the {len(task.train)} training samples")
        if filled["iterations"] is None:
            if task.draw is not None:
                raise SettingError(f"{task.name} draws fresh inputs: give iterations, not epochs")
            filled["iterations"] = filled["epochs"] * (len(task.train) // filled["batch_size"])
        return PoisoningSettings(**filled)
