"""Trainings from YAML: the command line's train, its files, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import advgames.training
from advgames.agents import Mix, RLLevelK
from advgames.cli import app
from advgames.errors import AdvgamesError, DataFileError, ResultsMismatchError, SettingError, UnknownNameError
from advgames.games import MatrixGame
from advgames.report import write_picture
from advgames.spec import TournamentSpec
from advgames.training import LearningRecipe, ladder, payoffs, tournament
from advgames.training.train import Trained, TrainSpec, train

pytest.importorskip("stable_baselines3")

LEARNER = {"algorithm": "PPO", "steps": 16, "num_games": 4, "net": [8], "options": {"n_steps": 4, "batch_size": 8}}
LADDER = {
    "method": "ladder",
    "game": "matrix",
    "levels": 2,
    "seeds": 8,
    "learner": LEARNER,
    "exploiter": LEARNER,
    "exploiters": 2,
}
CLIMB = {name: value for name, value in LADDER.items() if not name.startswith("exploiter")}
CONFIGS = sorted((Path(str(advgames.training.__file__)).parent / "configs").glob("train-*.yaml"))


def written(folder: Path, spec: dict[str, Any]) -> Path:
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(spec))
    return file


def test_a_ladder_from_the_command_line_goes_on_and_says_the_same(tmp_path: Path) -> None:
    file, out = written(tmp_path, LADDER), tmp_path / "out"
    calls = [CliRunner().invoke(app, ["train", str(file), "--out", str(out), *more]) for more in ([], ["--json"])]
    assert [call.exit_code for call in calls] == [0, 0], calls[0].output
    told = json.loads(calls[1].stdout)
    assert told == json.loads((out / "result.json").read_text())
    assert told["rows"] == ["level-0", "level-1", "level-2"] and len(told["exploitability"]) == 3
    assert (
        "payoff of the row" in calls[0].stdout
        and "exploitability of each level, by replies that took 32 decisions" in calls[0].stdout
    )
    assert told["budget"] == [{"row": 32, "column": 32}] * 3 and len(told["gains"]) == len(told["intervals"]) == 3
    for value, gains in zip(told["exploitability"], told["gains"], strict=True):
        assert value == sum(max(gain, 0.0) for gain in gains.values())
    assert "level-1-row: 16 steps" in calls[0].stderr and "16 steps" not in calls[1].stderr  # nothing was trained again
    exploiters = [RLLevelK.load(out / f"exploits-level-1-{n}-row.safetensors") for n in (0, 1)]
    assert exploiters[0].digest != exploiters[1].digest  # each of a seed of its own
    agent = RLLevelK.load(out / "level-2-row.safetensors")
    other = RLLevelK.load(out / "level-1-column.safetensors")
    found = payoffs(MatrixGame(), {"row": agent, "column": other}, range(8))["row"].mean()
    assert float(found) == pytest.approx(told["payoff"][2][1])


def test_a_best_response_and_double_oracle(tmp_path: Path) -> None:
    common = {"game": "matrix", "task": "rock-paper-scissors", "seeds": 8, "learner": LEARNER}
    answer = {**common, "method": "best-response", "role": "column", "start": {"row": "mix(weights=[1, 0, 0])"}}
    found = train(written(tmp_path, answer), tmp_path / "answer")
    assert (found.rows, found.columns) == (("level-0",), ("level-0", "level-1"))
    heard: list[tuple[str, int, float]] = []
    oracle = {**common, "method": "double-oracle", "iterations": 2, "replies": {"row": ["mix(weights=[0, 1, 0])"]}}
    spec = TrainSpec.from_yaml(written(tmp_path, oracle))
    run = train(spec, tmp_path / "oracle", told=lambda *event: heard.append(event))
    assert len(run.exploitability) == 2 and set(run.mixes) == {"row", "column"} and run.reason
    assert [name for name, _, _ in heard if name.startswith("iteration")] == ["iteration 1", "iteration 2"]
    assert run.table().players == ("row", "column")
    assert [len(group.seeds) for group in run.table().groups] == [8]  # a sample per match
    read = Trained.model_validate_json((tmp_path / "oracle" / "result.json").read_text())
    assert read.model_dump() == run.model_dump() and read.table().payoff.tolist() == run.table().payoff.tolist()


@pytest.mark.parametrize("method", ["ladder", "double-oracle", "best-response"])
def test_a_training_is_drawn(method: str, tmp_path: Path) -> None:
    """The table's numbers, and a curve where exploitability was measured; the same training gives the same picture."""
    own: dict[str, dict[str, Any]] = {
        "ladder": {"levels": 1, "exploiters": 2},
        "double-oracle": {"iterations": 2},
        "best-response": {"role": "row"},
    }
    common = {"game": "matrix", "task": "rock-paper-scissors", "seeds": 8, "learner": LEARNER}
    spec = {**common, "method": method, **own[method]}
    found = train(written(tmp_path, spec), tmp_path / "out")
    call = CliRunner().invoke(app, ["report", str(tmp_path / "out")])
    picture = tmp_path / "out" / "training.svg"
    assert call.exit_code == 0 and call.stdout.strip() == str(picture)
    text = picture.read_text()
    assert all(f"{name}</text>" in text for name in (*found.rows, *found.columns, "payoff of the row"))
    assert ("what replies gain: exploitability, estimated</text>" in text) == (method != "best-response")
    write_picture(tmp_path / "out")
    assert picture.read_text() == text
    for damaged in ("{", "[]", '{"payoff": [[1]]}'):
        (tmp_path / "out" / "result.json").write_text(damaged)
        with pytest.raises(ResultsMismatchError, match="no training that has ended"):
            write_picture(tmp_path / "out")
    assert picture.read_text() == text


def test_a_training_is_no_tournament(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ladder(MatrixGame(), 1, recipe=LearningRecipe("A2C", 8, num_games=2, net=(4,)), seeds=4, out=out)
    for command in ("report", "solve"):
        call = CliRunner().invoke(app, [command, str(out)])
        assert call.exit_code == 2 and "holds a training without a result" in call.stderr
    (out / "result.json").write_text("{}")
    call = CliRunner().invoke(app, ["solve", str(out)])
    assert call.exit_code == 2 and "holds a training, no tournament" in call.stderr
    players = {"row": ["mix"], "column": ["mix"]}
    tournament(TournamentSpec(game="matrix", task="matching-pennies", players=players, seeds=[0, 1]), out)
    assert CliRunner().invoke(app, ["solve", str(out)]).exit_code == 0  # a folder may hold both


def test_in_a_best_response_only_its_player_must_be_able_to_learn(tmp_path: Path) -> None:
    """The attacker alone knows the budget."""
    spec = {
        "method": "best-response",
        "role": "attacker",
        "game": "poisoning",
        "task": "linear-regression",
        "settings": {"budget": 1.0, "iterations": 4},
        "seeds": 4,
        "learner": {**LEARNER, "view": {"features": ["inputs", "budget"]}},
    }
    assert train(written(tmp_path, spec), tmp_path / "out").rows == ("level-0", "level-1")


def test_players_have_learners_of_their_own(tmp_path: Path) -> None:
    own = {
        **CLIMB,
        "levels": 1,
        "learners": {"row": {**LEARNER, "algorithm": "A2C", "options": {}}},
    }
    assert train(written(tmp_path, own), tmp_path / "out").exploitability == []
    found = {player: RLLevelK.load(tmp_path / "out" / f"level-1-{player}.safetensors") for player in ("row", "column")}
    assert [found[player].manifest.algorithm for player in ("row", "column")] == ["A2C", "PPO"]


def test_learning_curves_are_written_on_demand(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(written(tmp_path, {**CLIMB, "levels": 1, "tensorboard": True}), tmp_path / "out")
    assert list((tmp_path / "out" / "tensorboard").rglob("events.*"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_the_files_that_come_along_can_be_trained(file: Path, tmp_path: Path) -> None:
    """As they are, but for their length."""
    spec = TrainSpec.from_yaml(file)
    short: dict[str, Any] = {"steps": 8, "num_games": 2, "options": {}}
    if spec.learner.algorithm in ("PPO", "MaskablePPO"):
        short["options"] = {"n_steps": 4, "batch_size": 4}
    quick = spec.model_copy(
        update={
            "learner": spec.learner.model_copy(update=short),
            "learners": {player: own.model_copy(update=short) for player, own in spec.learners.items()},
            "seeds": 3,
            "levels": 1,
            "iterations": 1,
            "exploiters": min(spec.exploiters, 1),
        }
    )
    found = train(quick, tmp_path / "out")
    assert found.rows and list((tmp_path / "out").glob("*.safetensors"))
    assert spec.learner.steps <= 500_000


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"method": "climb"}, SettingError, "method"),
        ({"levles": 3}, UnknownNameError, "levels"),
        ({"game": "matrx"}, UnknownNameError, "matrix"),
        ({"learner": {"algorithm": "PP0"}}, UnknownNameError, "PPO"),
        ({"learner": {"step": 3}}, AdvgamesError, "step"),
        ({"learner": {**LEARNER, "view": {"moves": {"kind": "magic"}}}}, SettingError, "no view"),
        ({"learner": {**LEARNER, "view": {"featurs": ["own_last"]}}}, UnknownNameError, "features"),
        ({"learner": {**LEARNER, "view": {"features": ["x"], "moves": "dialogue-acts"}}}, SettingError, "of its own"),
        ({"exploiters": -1}, AdvgamesError, "exploiters"),
        ({"learners": {"attacker": LEARNER}}, SettingError, "none of the players row, column"),
        ({"start": {"attacker": "mix"}}, UnknownNameError, "row"),
        ({"role": "row"}, SettingError, "'role' is a field of the method best-response, not of ladder"),
        ({"solver": "uniform"}, SettingError, "'solver' is a field of the method double-oracle, not of ladder"),
        ({"start": {"row": 3}}, SettingError, "start.row"),
        ({"exploiters": 0}, SettingError, "'exploiter' says how they learn"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    change: dict[str, Any], error: type[Exception], text: str, tmp_path: Path
) -> None:
    file = written(tmp_path, {**LADDER, **change})
    with pytest.raises(error, match=text):
        train(file, tmp_path / "out")
    assert not list(tmp_path.rglob("*.safetensors"))
    call = CliRunner().invoke(app, ["train", str(file), "--out", str(tmp_path / "out")])
    assert call.exit_code == 2 and call.stderr.startswith("error: ")


def test_a_best_response_says_whose_it_is(tmp_path: Path) -> None:
    spec = {"method": "best-response", "game": "matrix", "learner": LEARNER}
    with pytest.raises(SettingError, match="role: a best response needs one of the players row, column"):
        train(written(tmp_path, spec), tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_epochs": "many"}, "PPO as the row with .*'many'.* failed after 16 steps"),
        ({"learning_rate": 1e30}, "PPO as the row .* failed after 16 steps: Expected parameter logits"),
        ({"n_epochs": 0}, "PPO as the row .* failed after 16 steps"),
    ],
)
def test_a_training_that_fails_names_its_learner_and_leaves_the_folder_to_the_next(
    options: dict[str, Any], text: str, tmp_path: Path
) -> None:
    quick = {**CLIMB, "levels": 1}
    wrong = {**LEARNER, "steps": 64, "options": {**LEARNER["options"], **options}}  # type: ignore[dict-item]
    with pytest.raises(SettingError, match=text):
        train(written(tmp_path, {**quick, "learner": wrong}), tmp_path / "out")
    assert train(written(tmp_path, quick), tmp_path / "out").rows == ("level-0", "level-1")
    fresh = train(written(tmp_path, quick), tmp_path / "other")
    assert (tmp_path / "out" / "result.json").read_bytes() == (tmp_path / "other" / "result.json").read_bytes()
    assert fresh.rows == ("level-0", "level-1")


def test_a_folder_in_which_somebody_has_learned_stays_with_its_training(tmp_path: Path) -> None:
    """Its exploiter fails, after the levels."""
    wrong = {**LEARNER, "options": {**LEARNER["options"], "n_epochs": "many"}}  # type: ignore[dict-item]
    first = {**CLIMB, "levels": 1, "exploiters": 1, "exploiter": wrong}
    with pytest.raises(SettingError, match="failed after 16 steps"):
        train(written(tmp_path, first), tmp_path / "out")
    with pytest.raises(DataFileError, match="another training"):
        train(written(tmp_path, {**CLIMB, "levels": 1}), tmp_path / "out")
    assert len(list((tmp_path / "out").glob("level-1-*.safetensors"))) == 2


class Faulty(Mix):
    """Cannot go on after its first match."""

    def act(self, observation: Any, access: Any) -> Any:
        if access.match_seeds[0] > 8:
            raise ValueError("a fault of its own")
        return super().act(observation, access)


def test_faults_of_others_are_not_the_learners(tmp_path: Path) -> None:
    quick = LearningRecipe("A2C", 8, num_games=2, net=(4,))
    with pytest.raises(ValueError, match=r"^a fault of its own$"):
        ladder(MatrixGame(), 1, recipe=quick, start={"column": Faulty()}, seeds=4, out=tmp_path / "out")

    def told(name: str, steps: int, paid: float) -> None:
        raise ValueError("no paper")

    with pytest.raises(ValueError, match=r"^no paper$"):
        ladder(MatrixGame(), 1, recipe=quick, seeds=4, told=told)


def test_a_folder_in_use_is_not_taken_over(tmp_path: Path) -> None:
    """Neither one in which nobody has learned yet, nor players of which it is not known what they learned in."""
    quick = LearningRecipe("A2C", 8, num_games=2, net=(4,))

    def told(name: str, steps: int, paid: float) -> None:
        if name == "level-1-row":
            with pytest.raises(DataFileError, match="other method, players or options"):
                ladder(MatrixGame(), 1, recipe=replace(quick, net=(8,)), seeds=4, out=tmp_path / "out")
            seen.append(name)

    seen: list[str] = []
    found = ladder(MatrixGame(), 1, recipe=quick, seeds=4, out=tmp_path / "out", told=told)
    assert seen and repr(found.agents["row"][1]) == repr(
        ladder(MatrixGame(), 1, recipe=quick, seeds=4).agents["row"][1]
    )
    (tmp_path / "mine").mkdir()
    kept = (tmp_path / "mine" / "paper.safetensors").write_bytes(b"mine")
    ladder(MatrixGame(), 1, recipe=quick, seeds=4, out=tmp_path / "mine")
    assert (tmp_path / "mine" / "paper.safetensors").stat().st_size == kept


def test_a_spec_survives_its_own_dump() -> None:
    spec = TrainSpec.model_validate(LADDER)
    assert TrainSpec.model_validate(spec.model_dump()) == spec


def test_the_command_line_tells_the_mixes_and_why_it_ended(tmp_path: Path) -> None:
    spec = {"game": "matrix", "seeds": 8, "learner": LEARNER, "method": "double-oracle", "iterations": 1}
    call = CliRunner().invoke(app, ["train", str(written(tmp_path, spec)), "--out", str(tmp_path / "out")])
    assert "row at the end: start 1\ncolumn at the end: start 1\nended: " in call.stdout
    steps = [line for line in call.stderr.splitlines() if "steps, payoff" in line]
    assert [line.split(",")[0] for line in steps] == [f"reply-1-{player}: 16 steps" for player in ("row", "column")]


def test_progress_ends_with_the_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told_of(spec: Any, out: Any, *, data_root: Any, told: Any) -> Any:
        for name, most in (("one", 25_000), ("two", 3_000)):
            for steps in range(1_000, most + 1, 1_000):
                told(name, steps, 0.5)
        told("iteration 1", 2, 0.25)
        raise KeyboardInterrupt

    monkeypatch.setattr("advgames.training.train.train", told_of)
    monkeypatch.setattr("advgames.cli._set_threads", lambda threads: None)
    file, folder = written(tmp_path, LADDER), tmp_path / "two words"
    call = CliRunner().invoke(
        app, ["train", str(file), "--out", str(folder), "--data-root", str(tmp_path), "--threads", "2"]
    )
    lines = call.stderr.splitlines()
    shown = [line.split(" steps")[0] for line in lines[:-2]]
    assert shown == ["one: 1000", "one: 11000", "one: 21000", "one: 25000", "two: 1000", "two: 3000"]
    assert lines[-2] == "iteration 1: 2 strategies, exploitability about 0.25"
    assert lines[-1].endswith(f"advgames train {file} --out '{folder}' --data-root {tmp_path} --threads 2")


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    quick = {**CLIMB, "levels": 1}
    train(written(tmp_path, quick), tmp_path / "out")
    with pytest.raises(DataFileError, match="other method, players or options"):
        train(written(tmp_path, {**quick, "response": "uniform"}), tmp_path / "out")
    with pytest.raises(DataFileError, match="other game or data"):
        train(written(tmp_path, {**quick, "task": "rock-paper-scissors"}), tmp_path / "out")
    assert repr(Mix([1, 2])) != repr(Mix([2, 1]))  # players are told apart by what they are made of
