"""The command line: answers on stdout, everything else on stderr, mistakes in one line."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import advgames.training
import advgames.training.bench
from advgames.cli import app
from advgames.results import Results

QUICK = ["--task", "linear-regression", "--seeds", "2", "--set", "iterations=3"]
TOURNAMENT = """
task: linear-regression
players: {attacker: [level-0, level-1], defender: [level-0, level-1]}
seeds: 2
settings: {iterations: 3}
"""


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the commands set it; put back afterwards

    def invoke(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, captured.out, captured.err)

    yield invoke


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tournaments") / "small.yaml"
    path.write_text(TOURNAMENT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def played(file: Path) -> Path:
    from advgames.spec import TournamentSpec

    return advgames.training.tournament(TournamentSpec.from_yaml(file), file.parent / "run").directory


def test_list_names_everything(run: Run) -> None:
    listed = json.loads(run("list", "--json").out)
    names = {kind: {row["name"] for row in rows} for kind, rows in listed.items()}
    assert "poisoning" in names["games"] and {"digits", "mnist"} <= names["tasks"]
    assert {"null", "level-K", "AGENT+momentum"} <= names["agents"]
    assert set(json.loads(run("list", "tasks", "--json").out)) == {"tasks"}
    assert "handwritten" in run("list", "tasks").out


def test_play_prints_one_json_list_of_records(run: Run) -> None:
    done = run("play", "poisoning", *QUICK, "--attacker", "level-2", "--set", "epsilon=1e-1", "--json")
    records = json.loads(done.out)
    assert done.code == 0 and [record["seed"] for record in records] == [0, 1]
    first = records[0]
    assert {"game", "task", "seed", "players", "payoffs", "measures"} <= set(first)
    assert first["players"] == {"attacker": "level-2", "defender": "level-1"}
    assert first["settings"] == {"iterations": 3, "epsilon": 0.1}
    assert "2 of 2 matches" in done.err


def test_play_prints_a_table_for_people(run: Run) -> None:
    done = run("play", *QUICK, "--player", "attacker=null", "--player", "defender=null")
    assert done.code == 0 and "null vs null, 2 seeds" in done.out
    assert "payoff of attacker" in done.out and "validation loss" in done.out


def test_seeds_are_a_count_or_a_list(run: Run) -> None:
    chosen = [*QUICK[:2], "--set", "iterations=2", "--seeds"]
    for text, seeds in (("1", [0]), ("3,5", [3, 5]), ("4,", [4])):
        records = json.loads(run("play", *chosen, text, "--json").out)
        assert [record["seed"] for record in records] == seeds


def test_play_into_a_directory_can_be_resumed_solved_and_reported(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "one"
    first = run("play", *QUICK, "--out", out, "--json")
    assert run("play", *QUICK, "--out", out).code == 2  # there already
    again = run("play", *QUICK, "--out", out, "--resume", "--json")
    assert again.code == 0 and json.loads(again.out) == json.loads(first.out)
    assert json.loads(run("report", out, "--json").out) == {"report": str(out / "report.html")}
    assert (out / "report.html").stat().st_size > 10_000


def test_tournament_and_report(run: Run, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run("tournament", file, "--out", out, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["matches"] == 8
    resumed = run("tournament", file, "--out", out, "--resume")
    assert resumed.code == 0 and "level-1" in resumed.out
    assert run("report", out).out.strip() == str(out / "report.html")


def test_solve_gives_value_mixes_and_exploitabilities(run: Run, played: Path) -> None:
    document = json.loads(run("solve", played, "--json", "--confidence", "0.9").out)
    assert document == json.loads((played / "solution.json").read_text(encoding="utf-8"))
    game = Results.open(played).empirical_game()
    assert document["value"] == pytest.approx(game.nash().value)
    assert sum(document["mixes"]["attacker"].values()) == pytest.approx(1)
    assert document["exploitability"]["defender"] == pytest.approx(0, abs=1e-6 * abs(document["value"]))
    assert set(document["support_frequency"]["defender"]) == {"level-0", "level-1"}
    assert document["value_interval"]["confidence"] == 0.9
    text = run("solve", played).out
    assert "value of the game" in text and "in support" in text and "exploitability" in text


def test_solving_what_is_not_finished_says_how_to_finish(run: Run, played: Path, tmp_path: Path) -> None:
    whole = Results.open(played)
    part = Results.create(tmp_path / "part", whole.spec)
    part.append(whole.records()[:-2])
    done = run("solve", tmp_path / "part")
    assert done.code == 2 and done.out == "" and "2 matches have not been played" in done.err
    assert f"advgames tournament {tmp_path / 'part' / 'tournament.yaml'}" in done.err and "--resume" in done.err
    part.append(whole.records()[-2:-1])
    done = run("solve", tmp_path / "part", "--json")
    assert done.code == 0 and "warning: 1 matches" in done.err and json.loads(done.out)["matches"] == 7


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "gmaes"], "did you mean 'games'"),
        (["play", "poisning"], "did you mean 'poisoning'"),
        (["play", "--task", "digit"], "did you mean 'digits'"),
        (["play", *QUICK, "--attacker", "levl-1"], "did you mean 'level-1'"),
        (["play", *QUICK, "--player", "atacker=null"], "did you mean 'attacker'"),
        (["play", *QUICK, "--player", "attacker"], "expected NAME=VALUE"),
        (["play", *QUICK, "--set", "epsilom=1"], "did you mean 'epsilon'"),
        (["play", *QUICK, "--set", "epsilon=-1"], "epsilon"),
        (["play", *QUICK, "--set", "epsilon=[1"], "no YAML value"),
        (["play", *QUICK, "--set", "norm=l2", "--set", "norm=l2"], "given twice"),
        (["play", *QUICK[:2], "--seeds", "none"], "--seeds"),
        (["play", *QUICK[:2], "--seeds", "0"], "--seeds"),
        (["play", *QUICK, "--device", "abacus"], "abacus"),
        (["play", *QUICK, "--dtype", "int8"], "dtype"),
        (["play", *QUICK, "--resume"], "--out"),
        (["tournament", "nothing.yaml", "--out", "x"], "nothing.yaml: cannot be read"),
        (["solve", "nothing"], "no results directory"),
        (["report", "nothing"], "no results directory"),
        (["bench", "poisning"], "did you mean 'poisoning'"),
    ],
)
@pytest.mark.parametrize("json_wanted", [False, True])
def test_mistakes_end_in_one_line_and_exit_code_2(
    run: Run, arguments: list[str], says: str, json_wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments, *(["--json"] if json_wanted else []))
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("error: ") and done.err.count("\n") == 1 and says in done.err
    assert not list(tmp_path.iterdir())


def test_a_yaml_typo_is_one_line_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("task: [digits\nplayers\n", encoding="utf-8")
    done = run("tournament", tmp_path / "t.yaml", "--out", tmp_path / "run")
    assert done.code == 2 and "not valid YAML" in done.err and done.err.count("\n") == 1


def test_a_directory_that_cannot_be_written_is_one_line_too(run: Run, file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    done = run("tournament", file, "--out", tmp_path / "taken" / "run")
    assert done.code == 2 and done.err.startswith("error: ") and done.err.count("\n") == 1


def test_ctrl_c_says_how_to_go_on(run: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(spec: Any, out: Path, **rest: Any) -> Results:
        Results.create(out, spec)
        raise KeyboardInterrupt

    monkeypatch.setattr(advgames.training, "tournament", interrupted)
    out = tmp_path / "two words"
    done = run("tournament", file, "--out", out, "--json")
    assert done.code == 130 and done.out == "" and "Traceback" not in done.err
    command = done.err.split("Go on with: ")[1].strip()
    monkeypatch.undo()
    import shlex

    resumed = run(*shlex.split(command)[1:], "--json")
    assert resumed.code == 0 and json.loads(resumed.out)["matches"] == 8


def test_ctrl_c_in_a_match_of_no_directory_ends_quietly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**rest: Any) -> list[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(advgames.training, "play", interrupted)
    assert run("play", *QUICK) == (130, "", "interrupted\n")


def test_what_libraries_print_does_not_spoil_the_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    played = advgames.training.play

    def chatty(*arguments: Any, **rest: Any) -> Any:
        print("noise")
        return played(*arguments, **rest)

    monkeypatch.setattr(advgames.training, "play", chatty)
    done = run("play", *QUICK, "--json")
    assert len(json.loads(done.out)) == 2 and "noise" in done.err


def test_matches_are_shown_as_text(run: Run) -> None:
    pair = ("play", "negotiation", "--attacker", "stubborn", "--defender", "fair", "--seeds", "3,5", "--show")
    done = run(*pair)
    assert done.code == 0 and done.out.count("On the table: ") == 2 and "Seed 5. On the table: " in done.out
    assert json.loads(run(*pair, "--json").out)[1]["seed"] == 5
    assert "poisoning has no rendering in text" in run("play", *QUICK, "--show").err
    assert "leave out --out" in run(*pair, "--out", "somewhere").err


def test_long_trainings_are_heard_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    played = advgames.training.play

    def training(*arguments: Any, **rest: Any) -> Any:
        logging.getLogger("advgames.tasks.supervised").info("epoch 1 of 5")
        return played(*arguments, **rest)

    monkeypatch.setattr(advgames.training, "play", training)
    assert "epoch 1 of 5" in run("play", *QUICK).err
    assert not logging.getLogger("advgames").handlers


def test_bench_prints_its_rows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [advgames.training.bench.Row("step against bare", 1.05, 1.1, "at most", 0.25)]
    monkeypatch.setattr(advgames.training.bench, "run", lambda name, device: iter(rows))
    (row,) = json.loads(run("bench", "--json").out)
    assert row["name"] == "step against bare" and row["ratio"] == 1.05 and row["floor"] == 1.1
    assert "1.05" in run("bench").out


def test_a_packaged_tournament_is_known_by_name(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[Any] = []

    def refuse(spec: Any, out: Path, **rest: Any) -> Results:
        seen.append(spec)
        raise KeyboardInterrupt

    monkeypatch.setattr(advgames.training, "tournament", refuse)
    assert run("tournament", "digits-levels", "--out", "run").code == 130
    assert seen[0].task == "digits"


def test_help_and_version_answer(run: Run) -> None:
    done = run("--help")
    assert done.code == 0 and all(name in done.out for name in ("list", "play", "tournament", "solve", "report"))
    assert run("--version").out.strip() == advgames.__version__
    assert "Traceback" not in run("nonsense").err and run("nonsense").code == 2
