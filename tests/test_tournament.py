"""Tournaments: batches, checkpoints, kills and resumes all end with the same records."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from advgames.agents import Agent, LevelK
from advgames.errors import AccessError, ConfigError, ResultsMismatchError, SettingError, UnknownNameError
from advgames.results import MatchRecord, Results
from advgames.spec import MatchSpec, TournamentSpec
from advgames.training import play, play_specs, tournament

TINY: dict[str, Any] = {"train_size": 60, "validation_size": 30, "test_size": 20, "batch_size": 10, "iterations": 12}
SPEC = TournamentSpec(
    task="digits",
    players={"attacker": ["level-0", "level-1+momentum"], "defender": ["level-0", "level-3"]},
    seeds=[0, 1],
    settings=TINY,
    evaluations=3,
)


def outcome(record: MatchRecord) -> dict[str, Any]:
    """What must be the same after any interruption: everything but timings."""
    return record.model_dump(exclude={"timings"})


def test_records_hold_what_a_match_needs_to_be_played_again() -> None:
    (record,) = play(players={"attacker": "level-1", "defender": "null"}, seeds=[7], settings=TINY, evaluations=3)
    assert (
        record.curves["round"] == [0, 4, 8, 12]
        and record.curves["test_accuracy"][-1] == record.measures["test_accuracy"]
    )
    assert record.payoffs["attacker"] == pytest.approx(
        record.curves["validation_loss"][-1] - record.curves["validation_loss"][0], abs=1e-5
    )
    assert record.versions["torch"] and record.device == "cpu"
    again = MatchRecord.model_validate(record.to_json())
    (replayed,) = play_specs([again.spec])
    assert outcome(replayed) == outcome(record)


def test_matches_that_differ_in_radius_run_as_one_batch_and_equal_those_run_alone() -> None:
    players = {"attacker": "level-1", "defender": "null"}
    specs = [
        MatchSpec(task="digits", players=players, settings={**TINY, "epsilon": e}, dtype="float64", evaluations=1)
        for e in (0.0, 0.5, 1.5)
    ]
    together = play_specs(specs)
    assert [r.timings["matches_in_batch"] for r in together] == [3, 3, 3]
    for spec, record in zip(specs, together, strict=True):
        (alone,) = play_specs([spec])
        assert alone.payoffs["attacker"] == pytest.approx(record.payoffs["attacker"], rel=1e-8)
    assert together[0].payoffs["attacker"] < together[2].payoffs["attacker"]


def test_every_match_of_a_batch_is_validated() -> None:
    players = {"attacker": "level-1", "defender": "null"}
    good = MatchSpec(task="digits", players=players, settings={**TINY, "epsilon": None})
    with pytest.raises(UnknownNameError, match="did you mean 'epsilon'"):
        play_specs([good, good.model_copy(update={"settings": {**TINY, "epsilonn": 0.5}})])
    with pytest.raises(SettingError, match="epsilon"):
        play_specs([good, good.model_copy(update={"settings": {**TINY, "epsilon": -1.0}})])
    with pytest.raises(UnknownNameError, match="unknown setting 'device'"):
        play_specs([good.model_copy(update={"settings": {**TINY, "device": "cuda"}})])
    (record,) = play_specs([good])
    (default,) = play_specs([good.model_copy(update={"settings": TINY})])
    assert record.payoffs == default.payoffs


def test_a_tournament_in_which_trainings_diverge_ends_and_says_so(tmp_path: Path) -> None:
    spec = TournamentSpec(
        task="linear-regression",
        players={"attacker": ["level-0", "level-1"], "defender": ["level-0"]},
        seeds=[0, 1],
        settings={"learning_rate": 50.0},
    )
    results = tournament(spec, tmp_path)
    assert all(record.diverged for record in results.records()) and results.missing() == []
    assert [outcome(r)["players"] for r in tournament(spec, tmp_path, resume=True).records()] == [
        outcome(r)["players"] for r in results.records()
    ]
    with pytest.raises(SettingError, match="4 matches diverged"):
        results.empirical_game()


def test_a_batch_whose_records_were_cut_is_played_again_without_duplicates(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"players": {"attacker": ["level-1"], "defender": ["level-0"]}})
    expected = [outcome(r) for r in tournament(spec, tmp_path).records()]
    file = tmp_path / "records.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    resumed = tournament(spec, tmp_path, resume=True)
    assert [outcome(r) for r in resumed.records()] == expected
    assert len(file.read_text().splitlines()) == len(expected)


def test_damaged_and_stale_checkpoints_do_no_harm(tmp_path: Path, monkeypatch: Any) -> None:
    from advgames.games import PoisoningGame

    spec = SPEC.model_copy(update={"players": {"attacker": ["level-1"], "defender": ["level-0"]}})
    expected = [outcome(r) for r in tournament(spec, tmp_path / "whole").records()]
    move = PoisoningGame._move

    def killed(self: Any, state: Any, actions: Any) -> Any:
        if state.round == 5:
            raise Killed
        return move(self, state, actions)

    with monkeypatch.context() as patch:
        patch.setattr(PoisoningGame, "_move", killed)
        with pytest.raises(Killed):
            tournament(spec, tmp_path / "out", checkpoint_every=0.0)
    (checkpoint,) = (tmp_path / "out" / "checkpoints").iterdir()
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(RuntimeWarning, match="damaged"):
        resumed = tournament(spec, tmp_path / "out", resume=True)
    assert [outcome(r) for r in resumed.records()] == expected
    checkpoint.write_bytes(whole)  # as if killed between the last record and its removal
    tournament(spec, tmp_path / "out", resume=True)
    assert not checkpoint.exists()


def test_whom_you_leave_out_plays_level_1_and_what_is_no_agent_is_refused() -> None:
    (record,) = play(players={"attacker": "null"}, seeds=1, settings=TINY, evaluations=1)
    assert record.players == {"attacker": "null", "defender": "level-1"}
    with pytest.raises(SettingError, match="expected an agent's name or an Agent object"):
        play(players={"attacker": LevelK}, seeds=1, settings=TINY)  # type: ignore[dict-item]


def test_agents_of_one_s_own_play() -> None:
    class Backwards(LevelK):
        def act(self, observation: Any, access: Any) -> Any:
            return -super().act(observation, access)

    agent: Agent = Backwards(1)
    (helped,) = play(players={"attacker": agent, "defender": "null"}, seeds=1, settings=TINY)
    (hurt,) = play(players={"attacker": "level-1", "defender": "null"}, seeds=1, settings=TINY)
    assert helped.payoffs["attacker"] < hurt.payoffs["attacker"] and helped.players["attacker"] == "Backwards(k=1)"


def test_processes_and_one_process_give_the_same_records(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    one = tournament(SPEC, tmp_path / "one", progress=events.append)
    two = tournament(SPEC, tmp_path / "two", workers=2)
    assert [outcome(r) for r in one.records()] == [outcome(r) for r in two.records()]
    assert events[0] == {"kind": "start", "total": 8, "done": 0}
    assert sum(e["matches"] for e in events if e["kind"] == "done") == 8
    panels = [r.panels for r in one.records() if r.panels]
    assert len(panels) == 4 and all((tmp_path / "one" / p).exists() for p in panels)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kill_at", [1, 6, 11, 30])
def test_stopped_anywhere_and_resumed_it_ends_with_the_same_records(
    tmp_path: Path, kill_at: int, monkeypatch: Any
) -> None:
    """Stopped in the kill_at-th round played, inside a batch: with checkpoints after every round and with none."""
    from advgames.games import PoisoningGame

    expected = [outcome(r) for r in tournament(SPEC, tmp_path / "whole").records()]
    move = PoisoningGame._move
    for every in (0.0, 1e9):
        count = 0

        def counted(self: Any, state: Any, actions: Any) -> Any:
            nonlocal count
            count += state.phase
            if count == kill_at:
                raise Killed
            return move(self, state, actions)

        out = tmp_path / f"killed-{every}"
        with monkeypatch.context() as patch:
            patch.setattr(PoisoningGame, "_move", counted)
            with pytest.raises(Killed):
                tournament(SPEC, out, checkpoint_every=every)
        if every == 0.0 and kill_at not in (1,):
            assert list((out / "checkpoints").iterdir())
        resumed = tournament(SPEC, out, resume=True, checkpoint_every=every)
        assert [outcome(r) for r in resumed.records()] == expected
        assert not list((out / "checkpoints").glob("*")) if (out / "checkpoints").exists() else True


SCRIPT = """
import sys
from advgames.spec import TournamentSpec
from advgames.training import tournament
if __name__ == "__main__":
    spec = TournamentSpec.from_yaml(sys.argv[1])
    tournament(spec, sys.argv[2], resume=True, workers=int(sys.argv[3]), checkpoint_every=0.0)
"""


BROKEN = """
from advgames.agents import Null
class Broken(Null):
    def act(self, observation, access):
        raise ArithmeticError("the agent fell over")
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_9_and_resume_give_the_same_table(tmp_path: Path, workers: int) -> None:
    spec = SPEC.model_copy(update={"settings": {**TINY, "iterations": 40}})
    expected = [outcome(r) for r in tournament(spec, tmp_path / "whole").records()]
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    (tmp_path / "run.py").write_text(SCRIPT)
    out = tmp_path / "killed"
    command = [sys.executable, tmp_path / "run.py", tmp_path / "spec.yaml", out, str(workers)]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list((out / "checkpoints").glob("*.safetensors")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(Results.open(out).records()) < len(expected)
    resumed = tournament(spec, out, resume=True, workers=workers)
    assert [outcome(r) for r in resumed.records()] == expected


def test_new_strategies_join_a_tournament_without_playing_the_old_ones_again(tmp_path: Path) -> None:
    spec = TournamentSpec(task="linear-regression", players={"attacker": ["null"], "defender": ["null"]}, seeds=[0, 1])
    before = tournament(spec, tmp_path).records()
    larger = spec.model_copy(update={"players": {"attacker": ["null", "level-1"], "defender": ["level-2", "null"]}})
    events: list[dict[str, Any]] = []
    after = tournament(larger, tmp_path, extend=True, progress=events.append).records()
    assert events[0] == {"kind": "start", "total": 8, "done": 2}
    assert len(after) == 8 and all(record in after for record in before)
    assert Results.open(tmp_path).empirical_game().shape == (2, 2)
    for other in ({"players": {"attacker": ["level-1"], "defender": ["null"]}}, {"seeds": [0, 1, 2]}):
        with pytest.raises(ResultsMismatchError):
            tournament(larger.model_copy(update=other), tmp_path, extend=True)


def test_resuming_a_finished_tournament_plays_nothing(tmp_path: Path) -> None:
    spec = TournamentSpec(task="linear-regression", players={"attacker": ["level-1"], "defender": ["null"]}, seeds=[0])
    tournament(spec, tmp_path)
    before = (tmp_path / "records.jsonl").read_bytes()
    events: list[dict[str, Any]] = []
    tournament(spec, tmp_path, resume=True, progress=events.append)
    assert (tmp_path / "records.jsonl").read_bytes() == before
    assert events == [{"kind": "start", "total": 1, "done": 1}]


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"players": {"attacker": ["level-1"], "defender": ["levle-1"]}}, UnknownNameError, "did you mean 'level-"),
        ({"players": {"attacker": ["level-1"], "defender": ["level-1+momentum"]}}, AccessError, "cannot recognise"),
        ({"players": {"attacker": ["level-1"], "defendr": ["level-1"]}}, ConfigError, "has players attacker, defender"),
        ({"settings": {"epsilom": 1}}, UnknownNameError, "did you mean 'epsilon'"),
        ({"settings": {"epsilon": -1}}, SettingError, "epsilon"),
        ({"task": "digit"}, UnknownNameError, "did you mean 'digits'"),
        ({"device": "cuda:99"}, SettingError, "cuda:99"),
        ({"game": "poison"}, UnknownNameError, "did you mean 'poisoning'"),
    ],
)
def test_mistakes_show_before_anything_is_played_or_written(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        tournament(SPEC.model_copy(update=changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_tournament_s_directory_is_refused(tmp_path: Path) -> None:
    spec = TournamentSpec(task="linear-regression", players={"attacker": ["null"], "defender": ["null"]}, seeds=[0])
    tournament(spec, tmp_path)
    with pytest.raises(ResultsMismatchError, match="seeds"):
        tournament(spec.model_copy(update={"seeds": [1]}), tmp_path, resume=True)


def test_a_file_says_what_to_play_and_an_unquoted_null_is_the_null_player(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    players = "players:\n  attacker: [null, fgm]\n  defender: [~]\n"
    file.write_text(f"game: perturbation\ntask: polygon\n{players}seeds: 1\nsettings: {{rounds: 1, batch_size: 20}}\n")
    results = tournament(file, tmp_path / "out")
    assert sorted(record.players["attacker"] for record in results.records()) == ["fgm", "null"]
    with pytest.raises(ConfigError, match="nowhere"):
        tournament(tmp_path / "nowhere.yaml", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_worker_s_error_reaches_the_caller(tmp_path: Path) -> None:
    """The agent fails in its first move, which only the worker plays."""
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "run.py").write_text(SCRIPT.replace("import sys", "import sys, broken"))
    spec = SPEC.model_copy(update={"players": {"attacker": ["broken:Broken"], "defender": ["null"]}})
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    command = [sys.executable, tmp_path / "run.py", tmp_path / "spec.yaml", tmp_path / "out", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and "the agent fell over" in ended.stderr
    with pytest.raises(SettingError, match="workers"):
        tournament(SPEC, tmp_path / "none", workers=0)
