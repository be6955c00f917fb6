"""Foresight in the training-time game: where a learned attacker beats every greedy one, and where none can.

``python -m advgames.training.experiments.foresight --out DIR`` trains the attackers that are missing (minutes each) and
prints the tables; interrupted, the same command goes on. All players meet the same matches.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advgames.agents import Agent, RLLevelK, StrategyMix, Subspace, View, make_agent
from advgames.errors import DataFileError
from advgames.games import PoisoningGame
from advgames.games.poisoning import LEAST_LOSS
from advgames.training.best_response import LearningRecipe, prepared, respond
from advgames.training.matches import play_out

__all__ = ["DYNAMICS", "Case", "Comparison", "cases", "compare", "main"]

#: how the model of R12 is trained: name -> settings
DYNAMICS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.2},
    "momentum 0.9": {"optimizer": "momentum", "momentum": 0.9, "learning_rate": 0.05},
    "momentum 0.5": {"optimizer": "momentum", "momentum": 0.5, "learning_rate": 0.1},
}
GREEDY = ("level-1", "level-2", "level-3", "level-3(gradient=exact)")
AHEAD = ("lookahead(horizon=4)", "lookahead(horizon=8)", "lookahead(horizon=16)")
PLANS = ("level-2+spending(plan=front)", "level-2+spending(plan=uniform)", "level-2+spending(plan=greedy)")
DEFENDERS = ("level-0", "level-1")
BUDGET = 1.0  # a third of 30 iterations at 0.1
DIGITS: dict[str, Any] = {
    "train_size": 400,
    "validation_size": 100,
    "test_size": 300,
    "batch_size": 20,
    "iterations": 60,
    "optimizer": "momentum",
    "momentum": 0.9,
    "learning_rate": 0.1,
    "epsilon": 1.3,
    "budget": 26.0,  # a third of 60 iterations
}


@dataclass(frozen=True)
class Comparison:
    """An attacker's final losses, and how they compare with another's on the same matches.

    Attributes:
        attacker: its name.
        test_loss: mean final test loss.
        log_loss: mean log10 of the final validation loss.
        over: of each rival, the mean of log10 of the final loss less the rival's, and half its 95 % interval.
    """

    attacker: str
    test_loss: float
    log_loss: float
    over: Mapping[str, tuple[float, float]]


def compare(
    game: PoisoningGame, attackers: dict[str, Agent], defender: str, rivals: Sequence[str], matches: int
) -> list[Comparison]:
    """Every attacker on matches 0, 1, ..., beside some of them."""
    tests, logs = dict[str, Tensor](), dict[str, Tensor]()
    for name, agent in attackers.items():
        state, _ = play_out(game, {"attacker": agent, "defender": make_agent(defender)}, range(matches))
        tests[name] = game.measures(state)["test_loss"]
        logs[name] = state.validation_loss.clamp(min=LEAST_LOSS).log10()
    found = []
    for name in attackers:
        gains = {rival: logs[name] - logs[rival] for rival in rivals}
        over = {rival: (float(gain.mean()), 1.96 * float(gain.std()) / matches**0.5) for rival, gain in gains.items()}
        found.append(Comparison(name, float(tests[name].mean()), float(logs[name].mean()), over))
    return found


@dataclass(frozen=True)
class Case:
    """Attackers of one kind of training, before one defender.

    Attributes:
        name: of the case.
        game: the training.
        defender: who defends.
        attackers: by name.
        rivals: those of them with whom all are compared.
        learners: how attackers learn here, by name.
        matches: that all of them play.
    """

    name: str
    game: Callable[[], PoisoningGame]
    defender: str
    attackers: tuple[str, ...]
    rivals: tuple[str, ...]
    learners: Mapping[str, LearningRecipe]
    matches: int = 200


def cases(steps: int, matches: int) -> Iterator[Case]:
    """R12 by its dynamics, without and with a budget; then digits with a budget."""
    for limit, named, attackers, rivals in (
        ({}, "", GREEDY + AHEAD, GREEDY),
        ({"budget": BUDGET}, ", budget", PLANS, PLANS),
    ):
        features = ("inputs", "second-direction", "momentum", "progress", *limit)
        options = {"ent_coef": 0.0, "learning_rate": 1e-3, "n_steps": 30, "batch_size": 1_920}
        own = LearningRecipe("PPO", steps, num_games=256, view=View(features), options=options)
        learners = {"learned": own}
        if limit:  # the move is level 2's, and when to make it is learned; clipped, its gradient drowns in the value's
            when = {**options, "learning_rate": 3e-3, "max_grad_norm": 1e3}
            learners["learned, when"] = replace(own, view=View(features, StrategyMix(["level-2"])), options=when)
        for (name, settings), defender in itertools.product(DYNAMICS.items(), DEFENDERS):
            made = functools.partial(_game, "linear-regression", dtype="float64", **settings, **limit)
            yield Case(f"{name}{named}", made, defender, attackers, rivals, learners, matches)
    plans = tuple(plan.replace("level-2", "level-1") for plan in PLANS)
    seen = ("progress", "budget", "log-loss", "steepness", "momentum")
    views = {
        "learned, level 1 and when": View(seen, StrategyMix(["level-1"])),
        "learned, a mix": View(seen, StrategyMix(["level-1", "level-2", "random"])),
        "learned, patterns of classes": View(seen, Subspace("pca", 6, per_class=True)),
    }
    options = {"ent_coef": 0.0, "learning_rate": 1e-3, "n_steps": DIGITS["iterations"], "batch_size": 480}
    learners = {
        name: LearningRecipe("PPO", max(steps // 10, 1), num_games=32, view=view, options=options)
        for name, view in views.items()
    }
    for defender in DEFENDERS:
        made = functools.partial(_game, "digits", **DIGITS)
        yield Case("digits, budget", made, defender, plans, plans, learners, min(matches, 48))


def learned(out: Path, case: Case, name: str, own: LearningRecipe) -> RLLevelK:
    """An attacker that answers the case's defender, read or trained now.

    Raises:
        DataFileError: what there is was trained in another way.
    """
    words = f"{case.name} {case.defender} {name} {own.steps} {own.seed}"
    file = out / f"{re.sub('[ ,]+', '-', words)}.safetensors"
    if not file.exists():
        told_at = [0]

        def told(steps: int, paid: float) -> None:
            if steps - told_at[0] >= own.steps / 10:
                told_at[0] = steps
                print(f"{words}: {steps} of {own.steps}, payoff {paid:.3f}", file=sys.stderr, flush=True)

        respond(case.game(), "attacker", case.defender, own, told=told).save(file)
    found, wanted = RLLevelK.load(file, deterministic=True), prepared(case.game(), "attacker", case.defender, own)[2]
    later = {"steps": found.manifest.steps, "versions": found.manifest.versions}
    if found.manifest != wanted.model_copy(update=later):
        raise DataFileError(f"{file}: this attacker was trained in another way; delete it, and it is trained again")
    return found


def _game(task: str, **settings: Any) -> PoisoningGame:
    return PoisoningGame(task, payoff="log-loss", **settings)


def table(name: str, defender: str, rows: list[Comparison]) -> str:
    """One comparison as Markdown."""
    rivals = list(rows[0].over)
    lines = [
        f"{name}, defender {defender}",
        "",
        f"| attacker | test loss | log10 validation loss | over {' | over '.join(rivals)} |",
        "|" + "---|" * (3 + len(rivals)),
    ]
    for row in rows:
        over = " | ".join(f"{mean:+.3f} ± {half:.3f}" for mean, half in row.over.values())
        lines.append(f"| {row.attacker} | {row.test_loss:.3g} | {row.log_loss:.3f} | {over} |")
    return "\n".join([*lines, ""])


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, and print the tables."""
    parser = argparse.ArgumentParser(prog="foresight", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of learned attackers")
    parser.add_argument("--steps", type=int, default=1_000_000, help="decisions of every training; on digits a tenth")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of every attacker")
    parser.add_argument("--matches", type=int, default=200, help="of every comparison; on digits 48 at most")
    parser.add_argument("--only", default="", help="cases whose name and defender hold this text")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    for case in cases(given.steps, given.matches):
        if given.only not in f"{case.name}, {case.defender}":
            continue
        players = {text: make_agent(text) for text in case.attackers}
        for (name, own), seed in itertools.product(case.learners.items(), range(given.seeds)):
            players[f"{name}, seed {seed}"] = learned(given.out, case, name, replace(own, seed=seed))
        rows = compare(case.game(), players, case.defender, case.rivals, case.matches)
        print(table(case.name, case.defender, rows), flush=True)


if __name__ == "__main__":
    main()
