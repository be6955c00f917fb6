"""Adversarial training of a negotiator: target and adversary learn against each other in turn (thesis eq. 3.13)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from advgames.agents.negotiators import NeuralNegotiator
from advgames.agents.pool import Pool
from advgames.dialogue.corpus import Corpus
from advgames.errors import SettingError
from advgames.files import under
from advgames.games import NegotiationGame
from advgames.training.reinforce import Reinforce, ReinforceRecipe
from advgames.victims.negotiator import Negotiator

__all__ = ["AdversarialTraining", "DuelRecipe"]


@dataclass(frozen=True)
class DuelRecipe:
    """How the two alternate; the thesis gives no schedule.

    Attributes:
        rounds: how often each of them learns.
        dialogues: of each of these turns.
        meets: whom the target meets in its turns: the ``"present"`` adversary (the thesis), or ``"all"`` adversaries
            that there were so far, one drawn for every dialogue (fictitious self-play): what it learns against one is
            soon unlearned against the next.
        target, adversary: how they learn: both from the advantage, the target with supervised steps in between.
    """

    rounds: int = 8
    dialogues: int = 2_048
    target: ReinforceRecipe = field(default_factory=lambda: ReinforceRecipe(reward="advantage"))
    adversary: ReinforceRecipe = field(default_factory=lambda: ReinforceRecipe(reward="advantage", supervised_every=0))
    meets: Literal["present", "all"] = "present"

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.dialogues < 1:
            raise SettingError(f"rounds and dialogues must be positive, got {self.rounds} and {self.dialogues}")
        if self.meets not in ("present", "all"):
            raise SettingError(f"meets must be 'present' or 'all', got {self.meets!r}")


@dataclass
class AdversarialTraining:
    """min over the target's weights of max over the adversary's of S_adv - S_ori (eq. 3.13), by turns.

    First the target learns against the adversary as it stands, then the adversary against the target, and again.

    Args:
        game: the dialogue in words with ``adversarial=True``.
        target: the model to make robust, in place.
        adversary: who speaks for the attacker, in place.
        recipe: how.
        corpus: for the target's supervised steps.
        past: adversaries that the target may meet besides, where it meets all; those that the adversary was at the end
            of its turns join them.
    """

    game: NegotiationGame
    target: Negotiator
    adversary: Negotiator
    recipe: DuelRecipe = DuelRecipe()
    corpus: Corpus | None = None
    past: list[Negotiator] = field(default_factory=list, repr=False)
    turn: int = 0
    advantage: float = float("nan")
    _learner: Reinforce | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.game.settings.adversarial:
            raise SettingError("adversarial training needs the adversary to take the rest: adversarial=True")

    def run(self, told: Callable[[AdversarialTraining], object] | None = None) -> Negotiator:
        """All rounds that are left; `told` hears of every turn of learning that has ended. Returns the target."""
        while self.step():
            if told:
                told(self)
        return self.target.eval().requires_grad_(False)

    def step(self, dialogues: int | None = None) -> bool:
        """One turn of learning, or so many dialogues of it at most; False: there were none left.

        `advantage` is then the mean S_adv - S_ori in the turn so far.
        """
        if self.turn >= 2 * self.recipe.rounds:
            return False
        learner = self._learner = self._learner or self.learner()
        last = learner.recipe.dialogues
        learner.run(last if dialogues is None else min(learner.done + dialogues, last))
        sign = 1.0 if learner.side == "attacker" else -1.0
        self.advantage = sign * sum(h["reward"] for h in learner.history) / len(learner.history)
        if learner.done >= last:
            if learner.side == "defender" and self.recipe.meets == "all":
                self.past.append(copy.deepcopy(self.adversary))
            self.turn, self._learner = self.turn + 1, None
        return True

    @property
    def done(self) -> int:
        """Dialogues of the turn under way."""
        return 0 if self._learner is None else self._learner.done

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Both models, how many turns have passed, and the one under way; what the next dialogue depends on."""
        models = {"target": self.target, "adversary": self.adversary}
        models |= {f"past.{n}": model for n, model in enumerate(self.past)}
        tensors = {
            f"{who}/{n}": v.detach().clone() for who, model in models.items() for n, v in model.state_dict().items()
        }
        learning, values = ({}, None) if self._learner is None else self._learner.state()
        told = {"turn": self.turn, "learner": values, "past": len(self.past)}
        return tensors | {f"learner/{n}": v for n, v in learning.items()}, told

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        names = [f"past.{n}" for n in range(values["past"])]
        parts = {who: under(tensors, who) for who in ("target", "adversary", "learner", *names)}
        self.target.load_state_dict(parts["target"])
        self.adversary.load_state_dict(parts["adversary"])
        self.past = [copy.deepcopy(self.adversary) for _ in names]
        for name, model in zip(names, self.past, strict=True):
            model.load_state_dict(parts[name])
        self.turn, self._learner = values["turn"], None
        if values["learner"] is not None:
            self._learner = self.learner()
            self._learner.restore(parts["learner"], values["learner"])

    def learner(self) -> Reinforce:
        """Who is to learn now, against the other as it stands."""
        defends = self.turn % 2 == 0
        own, other = (self.target, self.adversary) if defends else (self.adversary, self.target)
        recipe = self.recipe.target if defends else self.recipe.adversary
        recipe = replace(recipe, dialogues=self.recipe.dialogues, seed=recipe.seed + self.turn)  # dialogues of its own
        met = [other, *self.past] if defends and self.recipe.meets == "all" else [other]
        speakers = [NeuralNegotiator(model.eval().requires_grad_(False), recipe.temperature) for model in met]
        opponent = Pool(speakers) if len(speakers) > 1 else speakers[0]
        side = "defender" if defends else "attacker"
        return Reinforce(self.game, own, opponent, recipe, self.corpus if defends else None, side)
