"""The README's examples run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from advgames.spec import TournamentSpec
from advgames.training import tournament

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


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


def test_the_pettingzoo_loop_takes_at_most_15_lines() -> None:
    (loop,) = [block for block in BLOCKS if "agent_iter" in block]
    assert len(loop.strip().splitlines()) <= 15
