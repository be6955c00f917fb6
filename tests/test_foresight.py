"""The experiment of foresight at a small size: every case is learned, kept, and compared on the same matches."""

from __future__ import annotations

from pathlib import Path

import pytest

from advgames.agents import make_agent
from advgames.errors import DataFileError
from advgames.games import PoisoningGame
from advgames.training.experiments import foresight
from advgames.training.experiments.foresight import DYNAMICS, cases, compare, main
from advgames.training.matches import play_out

pytest.importorskip("stable_baselines3")


def test_comparisons_are_paired() -> None:
    """Means by hand from the same matches; against itself a player gains nothing, exactly."""
    game = PoisoningGame("linear-regression", dtype="float64", **DYNAMICS["momentum 0.9"])
    rows = compare(game, {name: make_agent(name) for name in ("level-0", "level-2")}, "level-1", ["level-2"], 20)
    ends = {
        name: play_out(game, {"attacker": make_agent(name), "defender": make_agent("level-1")}, range(20))[0]
        for name in ("level-0", "level-2")
    }
    logs = {name: state.validation_loss.log10() for name, state in ends.items()}
    gain = logs["level-0"] - logs["level-2"]
    assert rows[0].over["level-2"] == pytest.approx((float(gain.mean()), 1.96 * float(gain.std()) / 20**0.5))
    assert rows[1].over == {"level-2": (0.0, 0.0)} and rows[1].log_loss == pytest.approx(float(logs["level-2"].mean()))
    assert rows[0].test_loss == pytest.approx(float(game.measures(ends["level-0"])["test_loss"].mean()))


def test_there_is_a_case_for_every_dynamics_and_defender() -> None:
    found = list(cases(100, 10))
    assert len(found) == 2 * 3 * 2 + 2 and len({(case.name, case.defender) for case in found}) == len(found)
    for case in found:
        assert set(case.rivals) <= set(case.attackers)
        assert (case.game().settings.budget is not None) == ("budget" in case.name)
        assert case.game().settings.payoff == "log-loss"


@pytest.mark.parametrize(
    ("only", "learners"),
    [("sgd, budget, level-1", 2), ("momentum 0.5, level-0", 1), ("digits, budget, level-0", 3)],
)
def test_a_case_is_trained_once_and_told_as_a_table(
    only: str, learners: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foresight, "GREEDY", ("level-1", "level-2"))
    monkeypatch.setattr(foresight, "AHEAD", ("lookahead(horizon=2,samples=1)",))
    monkeypatch.setattr(foresight, "DIGITS", {**foresight.DIGITS, "iterations": 2, "train_size": 60, "test_size": 20})
    given = ["--out", str(tmp_path), "--steps", "10", "--seeds", "1", "--matches", "3", "--only", only]
    main(given)
    first = capsys.readouterr().out
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.safetensors")}
    assert len(kept) == learners
    main(given)
    assert capsys.readouterr().out == first and {file: file.stat().st_mtime_ns for file in kept} == kept
    assert first.count("\n| ") == 1 + (3 if "budget" in only or "0.5" in only else 0) + len(kept)
    assert "+0.000 ± 0.000" in first
    monkeypatch.setattr(foresight, "BUDGET", 0.5)
    monkeypatch.setattr(foresight, "DIGITS", {**foresight.DIGITS, "budget": 1.0})
    monkeypatch.setitem(foresight.DYNAMICS, "momentum 0.5", {"optimizer": "momentum", "momentum": 0.4})
    with pytest.raises(DataFileError, match="trained in another way"):
        main(given)
