"""Foresight in the training-time game: where a learned attacker beats every greedy one, and where none can.

``python -m advgames.training.experiments.foresight --out DIR`` trains the attackers that are missing (minutes each) and
prints the tables; interrupted, the same command goes on. All players meet the same matches.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advgames.agents import Agent, RLLevelK, View, make_agent
from advgames.games import PoisoningGame
from advgames.games.poisoning import LEAST_LOSS
from advgames.training.best_response import LearningRecipe, respond
from advgames.training.matches import play_out

__all__ = ["DYNAMICS", "Comparison", "compare", "main"]

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


@dataclass(frozen=True)
class Comparison:
    """An attacker's final losses, and how they compare with another's on the same matches.

    Attributes:
        attacker: its name.
        test_loss: mean final test loss.
        log_loss: mean log10 of the final validation loss.
        gain: mean of log10 of the final loss less that of the player compared with, and half its 95 % interval.
    """

    attacker: str
    test_loss: float
    log_loss: float
    gain: tuple[float, float]


def compare(
    game: PoisoningGame, attackers: dict[str, Agent], defender: str, against: str, matches: int
) -> list[Comparison]:
    """Every attacker on matches 0, 1, ..., beside one of them."""
    tests, logs = dict[str, Tensor](), dict[str, Tensor]()
    for name, agent in attackers.items():
        state, _ = play_out(game, {"attacker": agent, "defender": make_agent(defender)}, range(matches))
        tests[name] = game.measures(state)["test_loss"]
        logs[name] = state.validation_loss.clamp(min=LEAST_LOSS).log10()
    found = []
    for name in attackers:
        gain = logs[name] - logs[against]
        half = 1.96 * float(gain.std()) / matches**0.5
        found.append(Comparison(name, float(tests[name].mean()), float(logs[name].mean()), (float(gain.mean()), half)))
    return found


def recipe(steps: int, seed: int, budget: bool) -> LearningRecipe:
    """How the attackers of R12 learn: PPO on what a white-box attacker can compute."""
    features = ["inputs", "second-direction", "momentum", "progress", *(["budget"] if budget else [])]
    options = {"ent_coef": 0.0, "learning_rate": 1e-3, "n_steps": 30, "batch_size": 1_920}
    return LearningRecipe("PPO", steps, num_games=256, seed=seed, view=View(features), options=options)


def cases(budgets: bool) -> Iterator[tuple[str, str, PoisoningGame]]:
    """(name, defender, game) of every table."""
    for name, settings in DYNAMICS.items():
        for defender in DEFENDERS:
            limit: dict[str, Any] = {"budget": BUDGET} if budgets else {}
            game = PoisoningGame("linear-regression", dtype="float64", payoff="log-loss", **settings, **limit)
            yield f"{name}{', budget' if budgets else ''}", defender, game


def learned(out: Path, name: str, defender: str, game: PoisoningGame, own: LearningRecipe) -> RLLevelK:
    """The attacker that answers a defender, read or trained now."""
    file = out / f"{name.replace(' ', '-').replace(',', '')}-{defender}-{own.steps}-{own.seed}.safetensors"
    if not file.exists():

        def told(steps: int, paid: float) -> None:
            if steps % (own.steps // 10) < 256 * 30:
                print(f"{file.stem}: {steps} of {own.steps}, payoff {paid:.3f}", file=sys.stderr, flush=True)

        respond(game, "attacker", defender, own, told=told).save(file)
    return RLLevelK.load(file)


def table(name: str, defender: str, rows: list[Comparison], against: str) -> str:
    """One comparison as Markdown."""
    lines = [
        f"{name}, defender {defender}",
        "",
        f"| attacker | test loss | log10 validation loss | over {against} |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row.attacker} | {row.test_loss:.3g} | {row.log_loss:.3f} | {row.gain[0]:+.3f} ± {row.gain[1]:.3f} |"
        for row in rows
    ]
    return "\n".join([*lines, ""])


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, and print the tables."""
    parser = argparse.ArgumentParser(prog="foresight", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of learned attackers")
    parser.add_argument("--steps", type=int, default=1_000_000, help="decisions of every training")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of every attacker")
    parser.add_argument("--matches", type=int, default=200)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    for budgets in (False, True):
        against = PLANS[1] if budgets else "level-2"
        for name, defender, game in cases(budgets):
            if given.only not in f"{name} {defender}":
                continue
            players = {text: make_agent(text) for text in (PLANS if budgets else GREEDY + AHEAD)}
            for seed in range(given.seeds):
                agent = learned(given.out, name, defender, game, recipe(given.steps, seed, budgets))
                agent.deterministic = True
                players[f"learned, seed {seed}"] = agent
            print(table(name, defender, compare(game, players, defender, against, given.matches), against), flush=True)


if __name__ == "__main__":
    main()
