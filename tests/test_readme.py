"""The README's examples run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from advgames.spec import TournamentSpec
from advgames.tasks import load_task, trained_module
from advgames.training import tournament

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


BLOCKS = blocks(README)


def test_the_examples_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("stable_baselines3")
    monkeypatch.chdir(tmp_path)
    players = {"attacker": ["level-0", "level-1"], "defender": ["level-0", "level-1"]}
    tournament(TournamentSpec(task="linear-regression", players=players, seeds=[0, 1]), tmp_path / "runs" / "demo")
    names: dict[str, Any] = {"__name__": "readme"}
    for block in BLOCKS:
        exec(compile(block, str(README), "exec"), names)
    accuracies = [record.measures["test_accuracy"] for record in names["records"]]
    assert len(accuracies) == 3 and names["batch"].num_games == 256


@pytest.mark.parametrize(
    ("page", "task", "needs"),
    [
        ("attacks", "digits", "torch"),
        ("robust_sets", "polygon", "torch"),
        ("equilibrium", "polygon", "torch"),
        ("libraries", "digits", "foolbox"),
        ("perturbation", "polygon", "stable_baselines3"),
        ("negotiation", "polygon", "torch"),
        ("learning", "polygon", "stable_baselines3"),
    ],
)
def test_the_examples_of_the_reference_pages_run(
    page: str, task: str, needs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a model, inputs and labels where a page says no more than their names; learning takes a few steps only."""
    pytest.importorskip(needs)
    monkeypatch.chdir(tmp_path)
    known = load_task(task)
    names: dict[str, Any] = {"__name__": page, "model": trained_module(known, known.recipe), "v": torch.zeros(2)}
    names |= {"inputs": known.test.inputs[:20], "labels": known.test.labels[:20]}
    found = blocks(ROOT / "docs" / f"{page}.md")
    assert found
    for block in found:
        exec(compile(block.replace("model.learn(10_000)", "model.learn(600)"), page, "exec"), names)
    if page == "equilibrium":
        assert names["found"].value == pytest.approx(1.0) and names["found"].converged
        nash, table = names["nash"], names["game"].payoff
        assert nash.value == pytest.approx(float(nash.row @ table @ nash.column))


def test_the_pettingzoo_loop_takes_at_most_15_lines() -> None:
    (loop,) = [block for block in BLOCKS if "agent_iter" in block]
    assert len(loop.strip().splitlines()) <= 15
