"""The reference scores at a small size: a line a training, gone on with, and a table of means and intervals."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from advgames.training.best_response import ALGORITHMS
from advgames.training.experiments import baselines
from advgames.training.experiments.baselines import CASES, read_runs, summary, table

pytest.importorskip("stable_baselines3")


def test_every_case_can_be_learned_by_all_its_algorithms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps each; killed in the middle of a line it goes on, and trains nothing twice."""
    monkeypatch.setattr(baselines, "_paid", lambda case, game, agent: 0.5)
    heard: list[str] = []
    baselines.train_missing(tmp_path, 64, 1, told=heard.append)
    file = tmp_path / "runs.csv"
    whole = file.read_text()
    assert len(heard) == len(read_runs(tmp_path)) == sum(len(case.algorithms) for case in CASES)
    for case in CASES:
        game = case.build()
        assert {case.role} < set(game.players) and set(case.algorithms) <= set(ALGORITHMS)
    last = whole.splitlines()[-1]
    file.write_text(whole[: -len(last) // 2])
    baselines.train_missing(tmp_path, 64, 1, told=heard.append)
    assert file.read_text() == whole and heard[-1] == heard[-2]


def test_the_table_is_means_and_intervals_of_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, lines = np.random.default_rng(0), list[tuple[Any, ...]]()
    for case in CASES:
        for algorithm in case.algorithms[:2]:
            told = case.name, algorithm
            lines += [(*told, seed, 64, case.what(algorithm), round(float(rng.normal()), 4)) for seed in range(5)]
            lines.append((*told, 0, 64, "another", 99.0))  # of other settings: it does not count
    with (tmp_path / "runs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([baselines.FIELDS, *lines])
    rows = summary(tmp_path)
    paid = np.array([line[5] for line in lines[:5]])
    half = stats.t.interval(0.95, 4, loc=0, scale=stats.sem(paid))[1]
    first = rows[0]
    assert (first["case"], first["player"], first["trainings"]) == ("matrix", "PPO", 5)
    assert (first["payoff"], first["interval"]) == pytest.approx((paid.mean(), half), abs=1e-4)
    references = {(row["case"], row["player"]): row["payoff"] for row in rows if row["interval"] == ""}
    assert references["matrix", "mix"] == pytest.approx(0.0, abs=0.05)
    assert references["perturbation", "level-1"] > references["perturbation", "random"]
    assert references["poisoning", "lookahead(horizon=4)"] > references["poisoning", "level-2"]
    text = table(rows)
    assert text.count("\n") == len(rows) + 1 and f"| matrix | PPO | {paid.mean():.3f} ± {half:.3f} | 5, 64 |" in text
    (tmp_path / "runs.csv").write_text(
        "\n".join([",".join(baselines.FIELDS), f"matrix,PPO,0,64,{CASES[0].what('PPO')},0.25"]) + "\n"
    )
    alone = summary(tmp_path)[0]
    assert alone["payoff"] == 0.25 and math.isnan(alone["interval"])


def test_the_reference_scores_of_the_docs_are_those_of_the_file() -> None:
    """Every case and algorithm, five trainings each, and the page tells them as the file does."""
    docs = Path(__file__).parents[1] / "docs"
    rows: list[dict[str, Any]] = list(csv.DictReader((docs / "baselines.csv").open(encoding="utf-8")))
    players = {case.name: {*case.algorithms, *case.references} for case in CASES}
    assert {(row["case"], row["player"]) for row in rows} == {
        (n, player) for n, own in players.items() for player in own
    }
    for row in rows:
        row["payoff"] = float(row["payoff"])
        if row["interval"]:
            row |= {"interval": float(row["interval"]), "steps": int(row["steps"])}
            assert row["trainings"] == "5"
    assert table(rows) in (docs / "experiments.md").read_text(encoding="utf-8")
