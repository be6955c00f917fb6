"""Settings of the test-time game, and how a task fills what they leave open."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from advgames.errors import SettingError
from advgames.settings import Settings
from advgames.tasks import Recipe, Split, Task
from advgames.threat import Norm

__all__ = ["Defense", "Level", "Order", "Payoff", "PerturbationSettings", "recipe_of"]

Order = Literal["simultaneous", "attacker-first", "defender-first"]
Payoff = Literal["flip-linear", "flip", "loss", "margin"]
Defense = Literal["vector", "per-input"]
Level = Literal["white-box", "soft-label", "hard-label"]


class PerturbationSettings(Settings):
    """Settings of the test-time game; None means the default named, or the task's own.

    Attributes:
        epsilon: radius of both players, in input units; the two below override it per player. None: the task's own
            under L2; under L-infinity that over the root of the number of entries, so that the longest perturbations
            of the two norms are equally long in L2.
        epsilon_attacker, epsilon_defender: radius of one player.
        norm: norm of perturbations, ``"l2"`` or ``"linf"``, per input.
        order: ``"simultaneous"`` (P1: neither sees the other's move), ``"attacker-first"`` (the defender sees x' and
            nothing else) or ``"defender-first"`` (the attacker sees x + d).
        defense: what the defender plays: one ``"vector"`` for all inputs (P1) or one perturbation ``"per-input"``.
        payoff: of an input, to the attacker: ``"flip-linear"`` (+1 if its class changes under the victim linearised
            around it, else -1: eq. 1), ``"flip"`` (the same under the victim itself), ``"loss"`` (cross-entropy) or
            ``"margin"`` (the best other class's logit minus that of the class, C&W's).
        reference: the class of an input that this is about: the victim's ``"prediction"`` on the clean input (P1), or
            its true ``"label"``. None: the prediction for the two flip payoffs, the label for the other two.
        split: where inputs come from: the ``"test"``, the ``"validation"`` or the ``"train"`` set of the task. Learners
            train on one and are judged on another.
        rounds: minibatches per match. A round pays a rounds-th of its mean payoff: a match pays the mean over rounds.
        batch_size: inputs per minibatch; None: 64, or all inputs of the split if those are fewer.
        clip: keep perturbed inputs in their valid range. None: yes, except under ``"flip-linear"``, whose model
            (P1) has no range.
        access_attacker, access_defender: what a player may know of the victim.
        victim: a trained torch module to attack in place of the task's own, by the place to import it from,
            ``"my_module:name"``; or of a function without arguments that returns one, the same at every call.
        victim_seed, victim_epochs: how the victim is trained; None: as the task says.
        victim_weights: a safetensors file with weights for the task's own architecture, in place of training it.
        train_size, validation_size, test_size: how much of the task's data to use.
        chunk_size: inputs per call of the victim by the game itself, attacks choose their own; None: 256 on a CPU, else
            4096.
    """

    epsilon: NonNegativeFloat | None = None
    epsilon_attacker: NonNegativeFloat | None = None
    epsilon_defender: NonNegativeFloat | None = None
    norm: Norm = "l2"
    order: Order = "simultaneous"
    defense: Defense = "vector"
    payoff: Payoff = "flip"
    reference: Literal["prediction", "label"] | None = None
    split: Literal["test", "validation", "train"] = "test"
    rounds: PositiveInt = 10
    batch_size: PositiveInt | None = None
    clip: bool | None = None
    access_attacker: Level = "white-box"
    access_defender: Level = "white-box"
    victim: str | None = None
    victim_seed: NonNegativeInt | None = None
    victim_epochs: NonNegativeInt | None = None
    victim_weights: str | None = None
    train_size: PositiveInt | None = None
    validation_size: PositiveInt | None = None
    test_size: PositiveInt | None = None
    chunk_size: PositiveInt | None = None

    def pool(self, task: Task) -> Split:
        """The inputs that minibatches are drawn from."""
        return {"train": task.train, "validation": task.validation, "test": task.test}[self.split]

    def completed(self, task: Task) -> PerturbationSettings:
        """Every None that has a default filled.

        Raises:
            SettingError: settings that contradict each other or the task.
        """
        if task.num_classes is None or task.draw is not None:
            raise SettingError(f"{task.name} has no classes: the perturbation game needs a classification task")
        filled = self.model_dump()
        epsilon = self.epsilon if self.epsilon is not None else _usual_radius(self.norm, task)
        for name in ("epsilon_attacker", "epsilon_defender"):
            if filled[name] is None:
                filled[name] = epsilon
            if filled[name] is None:
                raise SettingError(f"task {task.name!r} has no default for {name}: give it, or epsilon, as a setting")
        flips = self.payoff in ("flip", "flip-linear")
        if self.reference is None:
            filled["reference"] = "prediction" if flips else "label"
        if self.clip is None:
            filled["clip"] = self.payoff != "flip-linear"
        available = len(self.pool(task))
        if self.batch_size is None:
            filled["batch_size"] = min(64, available)
        if filled["batch_size"] > available:
            raise SettingError(f"batch_size {filled['batch_size']} exceeds the {available} {self.split} inputs")
        return PerturbationSettings(**filled)

    def known(self, task: Task) -> Split:
        """Other inputs from the same source, which players know: the training set, unless the game is played on it."""
        return task.validation if self.split == "train" else task.train


def _usual_radius(norm: Norm, task: Task) -> float | None:
    radius = task.defaults.get("epsilon")
    return radius if radius is None or norm == "l2" else float(radius) / math.prod(task.input_shape) ** 0.5


def recipe_of(settings: PerturbationSettings, task: Task) -> Recipe:
    """How the victim is trained."""
    given = {"seed": settings.victim_seed, "epochs": settings.victim_epochs}
    return replace(task.recipe, **{name: value for name, value in given.items() if value is not None})
