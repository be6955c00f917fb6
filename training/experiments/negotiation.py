"""C6, negotiation (thesis section 3.2.5): the negotiators, their adversaries, and Tables 3.10, 3.14 and 3.15.

``python -m advgames.training.experiments.negotiation --out DIR`` trains what is missing, plays the tables' cells and
prints them beside the paper's; interrupted, the same command goes on. ``--scenarios 200`` is a smaller table. Once the
models are there, several processes can play different cells (``--only``) of one folder; they are trained by one.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from advgames.agents.negotiators import NeuralNegotiator
from advgames.dialogue.corpus import Corpus
from advgames.errors import SettingError
from advgames.games import NegotiationGame
from advgames.resumed import Resumable, resumed
from advgames.tasks.negotiations import NegotiationTask, load_negotiation
from advgames.tasks.negotiators import read_negotiator, save_negotiator
from advgames.tasks.supervised import supervised_negotiator
from advgames.tasks.trained import digest
from advgames.training.adversarial_dialogue import AdversarialTraining, DuelRecipe
from advgames.training.experiments.negotiation_cells import CELLS, play_cell, summary
from advgames.training.experiments.negotiation_tables import describe_models, tables
from advgames.training.reinforce import Reinforce, ReinforceRecipe
from advgames.victims.negotiator import Negotiator
from advgames.victims.supervised import HeldOutLosses

__all__ = ["Laboratory", "main"]


RELEASED_RATE = 0.2  # the released program's, whose RL negotiator the published numbers are of; the text says 0.1
STEP = 512  # dialogues of a training between two words about it
BASELINE = 256  # with the mean of all rewards so far the attack is unlearned again (docs/experiments.md)


class Laboratory:
    """The models of the section, each trained once and kept in a folder.

    Args:
        out: the folder.
        task: what is negotiated about.
        dialogues: of every training by REINFORCE.
        batch_size: dialogues per update of the RL negotiator; of an adversary 4. The gradient is clipped nearly always,
            so that an update is a step of the same length whatever it holds: with larger batches the supervised steps
            in between weigh more.
        duels: how target and adversary alternate in adversarial training.
        device: where everything lives.
        every: seconds between two writings of a training under way.
    """

    def __init__(
        self,
        out: Path,
        task: NegotiationTask,
        dialogues: int = 16_344,
        batch_size: int = 1,
        duels: DuelRecipe | None = None,
        device: str = "cpu",
        every: float = 30.0,
    ) -> None:
        self.out, self.task, self.dialogues, self.batch_size = out, task, dialogues, batch_size
        self.device, self.every = torch.device(device), every
        self.duels = duels or self.duel_recipe()
        out.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def duel_recipe(rounds: int = 8, dialogues: int = 2_048) -> DuelRecipe:
        """How target and adversary alternate: each as it learns alone."""
        adversary = ReinforceRecipe(reward="advantage", baseline=BASELINE, batch_size=4, supervised_every=0)
        target = replace(adversary, learning_rate=RELEASED_RATE, batch_size=1, supervised_every=4)
        return DuelRecipe(rounds, dialogues, target, adversary)

    def path(self, name: str) -> str:
        """The file of a model, trained now if it is not there: ``sv``, ``rl``, ``robust`` (the thesis's alternation),
        ``robust-all`` (ours: against all adversaries so far), or ``attack-`` and these."""
        file = self.out / f"{name}.safetensors"
        if not file.exists():
            makers: dict[str, Callable[[], Negotiator]] = {
                "sv": self._supervised,
                "rl": self._reinforced,
                "robust": lambda: self._robust("present"),
                "robust-all": lambda: self._robust("all"),
            }
            target = name.removeprefix("attack-")
            if target not in makers:
                raise SettingError(
                    f"no model is called {name!r}: known are {', '.join(makers)}, and attack- before these"
                )
            model = makers[name]() if name in makers else self._attack(target)
            save_negotiator(model, file)
        self._part(name).unlink(missing_ok=True)
        return str(file)

    def model(self, name: str) -> Negotiator:
        """A model of its own, to be changed at will."""
        return read_negotiator(self.path(name)).to(self.device)

    def game(self, **settings: Any) -> NegotiationGame:
        """The dialogue in words."""
        return NegotiationGame(self.task, device=self.device, actions="tokens", unit="utterance", **settings)

    def corpus(self, split: str = "train") -> Corpus:
        """Sides of dialogues, on the device."""
        return self.task.corpus(split).to(self.device)

    def _supervised(self) -> Negotiator:
        def told(epoch: int, epochs: int, losses: HeldOutLosses) -> None:
            what = f"perplexity {losses.perplexity:.2f}, outcome {losses.outcome:.3f}"
            _say(f"sv: epoch {epoch} of {epochs}, {what}")

        return supervised_negotiator(self.task, told)

    def _reinforced(self) -> Negotiator:
        recipe = self._recipe(learning_rate=RELEASED_RATE)
        opponent = NeuralNegotiator(self.path("sv"))
        # where talk that nobody ends comes to nothing: else it learns to insist until the last turn is its own
        game = self.game(at_limit="walk-away")
        return self._learn("rl", Reinforce(game, self.model("sv"), opponent, recipe, self.corpus()))

    def _attack(self, target: str) -> Negotiator:
        recipe = self._recipe(reward="advantage", supervised_every=0, baseline=BASELINE, batch_size=4)
        start = "sv" if target == "sv" else "rl"
        opponent = NeuralNegotiator(self.path(target))
        return self._learn(
            f"attack-{target}", Reinforce(self.game(adversarial=True), self.model(start), opponent, recipe)
        )

    def _robust(self, meets: Literal["present", "all"]) -> Negotiator:
        name = "robust" if meets == "present" else "robust-all"
        recipe = replace(self.duels, meets=meets)
        past = [self.model("rl")] if meets == "all" else []
        game = self.game(adversarial=True)
        duel = AdversarialTraining(game, self.model("rl"), self.model("attack-rl"), recipe, self.corpus(), past)

        def told() -> None:
            done = f"{duel.turn} of {2 * duel.recipe.rounds} turns and {duel.done} dialogues"
            _say(f"{name}: {done}, advantage {duel.advantage:.2f}")

        self._resumed(name, duel, lambda: duel.step(STEP), told, repr(duel.recipe))
        return duel.target

    def _recipe(self, **changes: Any) -> ReinforceRecipe:
        common: dict[str, Any] = {"dialogues": self.dialogues, "batch_size": self.batch_size}
        return ReinforceRecipe(**{**common, **changes})

    def _learn(self, name: str, learner: Reinforce) -> Negotiator:
        def step() -> bool:
            if learner.done >= learner.recipe.dialogues:
                return False
            learner.run(min(learner.done + STEP, learner.recipe.dialogues))
            return True

        def told() -> None:
            last = learner.history[-math.ceil(STEP / learner.recipe.batch_size) :]
            mean = {key: sum(h[key] for h in last) / len(last) for key in ("reward", "agreement")}
            done = f"{learner.done} of {learner.recipe.dialogues} dialogues"
            _say(f"{name}: {done}, reward {mean['reward']:.2f}, agreement {mean['agreement']:.2f}")

        self._resumed(name, learner, step, told, repr(learner.recipe))
        return learner.model

    def _resumed(
        self, name: str, training: Resumable, step: Callable[[], bool], told: Callable[[], None], recipe: str
    ) -> None:
        start = ((key, tensor.cpu()) for key, tensor in training.state()[0].items())
        what = digest(recipe, start)
        resumed(self._part(name), training, step, told, what, self.every)

    def _part(self, name: str) -> Path:
        """Where a training that is not done is kept."""
        return self.out / f"{name}.part.safetensors"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Train, play and print."""
    parser = argparse.ArgumentParser(prog="negotiation", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of models and results")
    parser.add_argument("--task", default="deal-or-no-deal", help="deal-or-no-deal, or bargains (embedded)")
    parser.add_argument("--data-root", help="folder of the data files")
    parser.add_argument("--scenarios", type=int, default=2_000, help="dialogues per cell of a table")
    parser.add_argument("--dialogues", type=int, default=16_344, help="of every training by REINFORCE at most")
    parser.add_argument("--batch-size", type=int, default=1, help="dialogues per update of the RL negotiator")
    parser.add_argument("--rounds", type=int, default=8, help="of adversarial training")
    parser.add_argument("--only", help="play the cells whose name holds this text only")
    parser.add_argument("--chunk", type=int, default=64, help="dialogues at once")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    duels = Laboratory.duel_recipe(given.rounds, min(given.dialogues, DuelRecipe.dialogues))
    task = load_negotiation(given.task, given.data_root)
    laboratory = Laboratory(given.out, task, given.dialogues, given.batch_size, duels, given.device)
    for cell in CELLS:
        if given.only is None or given.only in cell.name:
            play_cell(laboratory, cell, given.scenarios, given.chunk)
            _say(summary(laboratory.out, cell, given.scenarios))
    print(describe_models(laboratory))
    print(tables(laboratory.out, given.scenarios))


if __name__ == "__main__":
    main()
