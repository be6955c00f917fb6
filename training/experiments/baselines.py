"""Reference scores: the usual learning algorithms on each game, five trainings each.

``python -m advgames.training.experiments.baselines --out DIR`` trains what is missing, one line of ``DIR/runs.csv`` a
training, and prints the table; interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from advgames.agents import Agent, View
from advgames.files import drop_cut_line, whole_lines, write_whole
from advgames.games import Game, make_game
from advgames.tasks.trained import digest
from advgames.training.best_response import LearningRecipe, respond, usual_options
from advgames.training.matches import payoffs

__all__ = ["CASES", "Case", "main", "table"]

FIELDS = ("case", "algorithm", "seed", "steps", "what", "payoff")
CONTINUOUS, DISCRETE = ("PPO", "A2C", "SAC", "TD3"), ("PPO", "A2C", "DQN")


@dataclass(frozen=True)
class Case:
    """A seat of a game to learn in.

    Attributes:
        name: of the case.
        about: one line.
        game, task, settings: what is played.
        role, opponent: the learner's seat, and who sits in the other.
        algorithms: who learns.
        references: agents by name whose payoffs are told beside, such as a gradient attack.
        steps, matches: decisions of a training, and matches of its evaluation.
        features: of the learner's view; none: the game's own observation.
    """

    name: str
    about: str
    game: str
    role: str
    opponent: str
    algorithms: tuple[str, ...]
    references: tuple[str, ...]
    task: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 50_000
    matches: int = 1_000
    features: tuple[str, ...] = ()

    def build(self) -> Game[Any]:
        """The game."""
        return make_game(self.game, self.task, settings=self.settings, dtype="float64")

    def recipe(self, algorithm: str, seed: int, steps: int) -> LearningRecipe:
        """How it is learned: every algorithm by the suite's usual options."""
        view = View(self.features) if self.features else None
        return LearningRecipe(algorithm, min(steps, self.steps), seed=seed, view=view)

    def what(self, algorithm: str) -> str:
        """Eight hexadecimal digits of everything else that a training's payoff follows from."""
        recipe = self.recipe(algorithm, 0, self.steps)
        told = replace(self, about="", algorithms=(), references=(), steps=0)
        return digest(repr((told, recipe, usual_options(recipe))), ())[:8]


CASES = (
    Case(
        "matrix",
        "rock, paper, scissors against (0.5, 0.3, 0.2); the best is 0.3",
        "matrix",
        "row",
        "mix(weights=[0.5, 0.3, 0.2])",
        DISCRETE,
        ("mix",),
        "rock-paper-scissors",
        steps=20_000,
        matches=4_000,
    ),
    Case(
        "poisoning",
        "attacks the regression's training under momentum 0.9; log of the loss ratio",
        "poisoning",
        "attacker",
        "level-1",
        CONTINUOUS,
        ("null", "random", "level-2", "lookahead(horizon=4)"),
        "linear-regression",
        {"optimizer": "momentum", "momentum": 0.9, "learning_rate": 0.05, "payoff": "log-loss"},
        steps=200_000,
        matches=200,
        features=("inputs", "second-direction", "momentum", "progress"),
    ),
    Case(
        "perturbation",
        "attacks points of the plane one by one, before a level-1 defender; the margin",
        "perturbation",
        "attacker",
        "level-1",
        CONTINUOUS,
        ("null", "random", "level-1"),
        "polygon",
        {"order": "attacker-first", "payoff": "margin", "defense": "per-input", "batch_size": 1, "rounds": 8},
        steps=100_000,
    ),
    Case(
        "negotiation",
        "bargains in acts with a conceding negotiator, until one accepts; the score",
        "negotiation",
        "attacker",
        "conceding",
        ("PPO", "A2C", "DQN", "MaskablePPO"),
        ("random-negotiator", "fair", "greedy", "stubborn", "conceding"),
        settings={"ending": "accept", "illegal": "outcome"},
        steps=100_000,
    ),
)


def train_missing(
    out: Path, steps: int, seeds: int, only: str = "", told: Callable[[str], object] = lambda text: None
) -> None:
    """Train what ``runs.csv`` lacks, and add a line for each."""
    done = {tuple(run[name] for name in FIELDS[:-1]) for run in read_runs(out)}
    for seed in range(seeds):  # so that a first table is there soon
        for case in CASES:
            for algorithm in case.algorithms:
                game, recipe = case.build(), case.recipe(algorithm, seed, steps)
                key = case.name, algorithm, str(seed), str(recipe.steps), case.what(algorithm)
                if key in done or only not in f"{case.name} {algorithm}":
                    continue
                agent = respond(game, case.role, case.opponent, recipe)
                paid = _paid(case, game, agent)
                row = (*key, f"{paid:.6g}")
                with (out / "runs.csv").open("a", newline="", encoding="utf-8") as file:
                    csv.writer(file, lineterminator="\n").writerow(row)
                told(f"{case.name}, {algorithm}, seed {seed}: {paid:.4g}")


def read_runs(out: Path) -> list[dict[str, str]]:
    """The lines of ``runs.csv``; of a last one that a kill cut short nothing is kept."""
    file = out / "runs.csv"
    out.mkdir(parents=True, exist_ok=True)
    drop_cut_line(file)
    lines = whole_lines(file)
    if not lines:
        lines = [",".join(FIELDS)]
        write_whole(file, f"{lines[0]}\n")
    return list(csv.DictReader(lines))


def summary(out: Path) -> list[dict[str, Any]]:
    """Of every case: each algorithm's mean and half its 95 % interval (Student's t) over trainings; the references."""
    runs, rows = read_runs(out), list[dict[str, Any]]()
    for case in CASES:
        for algorithm in case.algorithms:
            own = {"case": case.name, "algorithm": algorithm, "what": case.what(algorithm)}
            mine = [run for run in runs if own.items() <= run.items()]
            if not mine:
                continue
            most = max(int(run["steps"]) for run in mine)
            mine = [run for run in mine if int(run["steps"]) == most]  # shorter trainings were trials
            paid = np.array([float(run["payoff"]) for run in mine])
            half = math.nan
            if len(paid) > 1:
                half = float(stats.t.ppf(0.975, len(paid) - 1) * paid.std(ddof=1) / len(paid) ** 0.5)
            rows.append(
                {
                    "case": case.name,
                    "player": algorithm,
                    "payoff": round(float(paid.mean()), 4),
                    "interval": round(half, 4),
                    "trainings": len(paid),
                    "steps": most,
                }
            )
        game = case.build()
        for name in case.references:
            paid_ = round(_paid(case, game, name), 4)
            rows.append(
                {"case": case.name, "player": name, "payoff": paid_, "interval": "", "trainings": "", "steps": ""}
            )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The summary as Markdown."""
    lines = ["| game | player | payoff | trainings, steps |", "|---|---|---|---|"]
    for row in rows:
        known = row["interval"] != ""
        paid = f"{row['payoff']:.3f}" + (f" ± {row['interval']:.3f}" if known else "")
        lines.append(
            f"| {row['case']} | {row['player']} | {paid} | {row['trainings']}, {row['steps']:,} |"
            if known
            else f"| {row['case']} | {row['player']} | {paid} | |"
        )
    return "\n".join(lines)


def _paid(case: Case, game: Game[Any], agent: Agent | str) -> float:
    other = next(player for player in game.players if player != case.role)
    return float(payoffs(game, {case.role: agent, other: case.opponent}, case.matches)[case.role].mean())


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(prog="baselines", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of runs.csv and baselines.csv")
    parser.add_argument("--steps", type=int, default=10**9, help="decisions of a training at most")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of every algorithm")
    parser.add_argument("--only", default="", help="cases and algorithms whose names hold this text")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    train_missing(
        given.out, given.steps, given.seeds, given.only, lambda text: print(text, file=sys.stderr, flush=True)
    )
    rows = summary(given.out)
    with (given.out / "baselines.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(table(rows))


if __name__ == "__main__":
    main()
