"""Negotiations through play, tournaments, reports and the command line: matches that end at different times."""

from __future__ import annotations

import io
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from advgames.cli import app
from advgames.games import NegotiationGame
from advgames.report import write_report
from advgames.report.console import records_table
from advgames.report.details import every_number
from advgames.report.view import View
from advgames.results import MatchRecord, Results
from advgames.spec import TournamentSpec
from advgames.training import play, tournament

PLAYERS = {"attacker": "stubborn", "defender": "fair"}
WORDS = {"actions": "tokens", "grammar": True, "max_turns": 5}
SPEC = TournamentSpec(
    game="negotiation",
    task="bargains",
    players={"attacker": ["greedy", "fair", "stubborn"], "defender": ["greedy", "conceding"]},
    seeds=[0, 1, 2, 3, 4, 5],
    settings={"max_turns": 6},
)


class Killed(BaseException):
    """Stands for a kill signal."""


def outcome(record: MatchRecord) -> dict[str, Any]:
    """What does not depend on the clock; NaN as a word, so that it equals itself."""
    kept = record.model_dump(include={"id", "players", "seed", "payoffs", "measures", "curves"})
    return json.loads(json.dumps(kept).replace("NaN", '"none"'))  # type: ignore[no-any-return]


@pytest.mark.parametrize("settings", [{}, WORDS, {"first": "defender"}, {"adversarial": True, "max_turns": 7}], ids=str)
def test_a_match_of_a_batch_ends_as_it_does_alone(settings: dict[str, Any]) -> None:
    together = play("negotiation", players=PLAYERS, seeds=12, settings=settings)
    assert len({record.measures["turns"] for record in together}) > 1
    for record in together[::3]:
        (alone,) = play("negotiation", players=PLAYERS, seeds=[record.seed], settings=settings)
        assert alone.payoffs == record.payoffs and record.task == "bargains"
        assert outcome(alone)["measures"] == outcome(record)["measures"]
        assert record.payoffs["attacker"] == record.measures["score_attacker"]


@pytest.mark.parametrize("settings", [{}, WORDS, {"first": "defender"}], ids=str)
def test_curves_have_every_round_once_from_the_first_to_the_last(settings: dict[str, Any]) -> None:
    horizon = NegotiationGame(**settings).horizon  # type: ignore[arg-type]
    for seeds in ([1], range(9)):
        for record in play("negotiation", players=PLAYERS, seeds=list(seeds), settings=settings):
            rounds = record.curves["round"]
            assert rounds[0] == 0 and rounds[-1] == horizon
            assert all(one < two for one, two in pairwise(rounds))
            assert record.curves["turns"][-1] == record.measures["turns"] > record.curves["turns"][0] == 0


@pytest.mark.parametrize(
    ("settings", "kill_at"), [*(({"max_turns": 6}, at) for at in (1, 3, 4)), *((WORDS, at) for at in (5, 20, 30))]
)
def test_stopped_anywhere_and_resumed_it_ends_with_the_same_records(
    settings: dict[str, Any], kill_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    players = {"attacker": ["fair"], "defender": ["conceding"]}
    spec = SPEC.model_copy(update={"settings": settings, "seeds": [0, 1, 2], "players": players})
    expected = [outcome(r) for r in tournament(spec, tmp_path / "whole").records()]
    move, moves = NegotiationGame._move, 0

    def killed(self: Any, state: Any, actions: Any) -> Any:
        nonlocal moves
        moves += 1
        if moves > kill_at:
            raise Killed
        return move(self, state, actions)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(NegotiationGame, "_move", killed)
        tournament(spec, tmp_path / "out", checkpoint_every=0.0)
    resumed = tournament(spec, tmp_path / "out", resume=True, checkpoint_every=0.0)
    assert [outcome(r) for r in resumed.records()] == expected


def test_a_report_tells_of_scores_and_agreements_and_averages_over_the_agreements(tmp_path: Path) -> None:
    results = tournament(SPEC, tmp_path)
    records = results.records()
    assert any(math.isnan(record.measures["pareto"]) for record in records)
    numbers = every_number(View.of(results))
    efficient = numbers["measures"].index("efficient, %") + 1
    for row, column, _, cells in numbers["rows"]:
        found = [r.measures for r in records if (r.players["attacker"], r.players["defender"]) == (row, column)]
        of_agreements = [100 * m["pareto"] for m in found if m["agreement"]]
        mean = f"{sum(of_agreements) / len(of_agreements):.1f}" if of_agreements else "–"
        assert cells[efficient].split(" ")[0] == mean
    page = write_report(tmp_path).read_text(encoding="utf-8")
    for text in (
        "In the negotiation game on bargains, 3 attacker strategies met 2 defender strategies",
        "The attacker's payoff is the value to it of the pieces that it gets (10 for all of them), and nothing without",
        "The players' payoffs add up to no constant, so the game has no single value: if the attacker commits first",
        "The commitments are exact for the tables of means",
        "<strong>Agreement, %</strong>",
        "over the matches that have such a number",
        '<th scope="row">max_turns</th><td class="num">6</td><td class="fine">given</td>',
        '<th scope="row">ending</th><td class="num">select</td><td class="fine">default</td>',
    ):
        assert text in page.replace("&#39;", "'"), text
    for nonsense in (
        "victim",
        "accuracy",
        "nan",
        "radius",
        "Learning curves",
        "one dot per seed",
        "equilibrium is exact",
    ):
        assert nonsense not in page.partition("<body>")[2], nonsense


def test_the_defenders_payoff_is_its_own_where_it_has_the_rows(tmp_path: Path) -> None:
    players = {"defender": ["fair", "conceding"], "attacker": ["fair", "greedy"]}
    tournament(SPEC.model_copy(update={"players": players}), tmp_path)
    page = write_report(tmp_path).read_text(encoding="utf-8").replace("&#39;", "'")
    assert "The defender's payoff is the value to it of the pieces" in page and "opposite" not in page


def test_with_payoffs_of_advantage_the_game_has_a_value(tmp_path: Path) -> None:
    settings = {"payoff": "advantage", "max_turns": 6}
    results = tournament(SPEC.model_copy(update={"settings": settings}), tmp_path)
    game = results.empirical_game()
    assert abs(game.nash().value) <= 10
    page = write_report(tmp_path).read_text(encoding="utf-8").replace("&#39;", "'")
    assert (
        "The attacker's payoff is the attacker's score minus the defender's" in page
        and "At the Nash equilibrium" in page
    )


def test_a_table_says_how_many_matches_a_mean_is_of() -> None:
    records = play("negotiation", players={"attacker": "greedy", "defender": "stubborn"}, seeds=6)
    agreed = sum(record.measures["agreement"] for record in records)
    assert 0 < agreed < 6
    screen = Console(file=io.StringIO(), width=120)
    screen.print(records_table(records))
    told = screen.file.getvalue()  # type: ignore[attr-defined]
    assert f"pareto ({agreed:g} of 6)" in told and "│ turns " in told and "nan" not in told
    (share,) = (line for line in told.splitlines() if " agreement " in line)
    assert f"{100 * agreed / 6:.1f} %" in share


def test_where_nobody_agrees_a_table_has_dashes() -> None:
    records = play("negotiation", players={"attacker": "greedy", "defender": "greedy"}, seeds=[5, 6])
    assert not any(record.measures["agreement"] for record in records)
    screen = Console(file=io.StringIO(), width=120)
    screen.print(records_table(records))
    (line,) = (line for line in screen.file.getvalue().splitlines() if "pareto (0 of 2)" in line)  # type: ignore[attr-defined]
    assert line.count("–") == 4


# The command line.


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_names_tell_who_plays_what(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    listed = json.loads(run(capsys, monkeypatch, "list", "--json")[1])
    plays = {row["name"]: row["plays"] for row in listed["agents"]}
    assert {plays[name] for name in ("fair", "greedy", "human", "negotiator", "reactive")} == {"dialogue"}
    assert {plays[name] for name in ("null", "level-K", "pgd", "ensemble", "smooth", "AGENT+momentum")} == {"inputs"}
    tasks = {row["name"]: row["about"] for row in listed["tasks"]}
    assert "negotiators" in tasks["bargains"] and "published" in tasks["deal-or-no-deal"]
    assert "dialogue" in run(capsys, monkeypatch, "list", "agents")[1]


def test_a_negotiation_needs_nothing_but_its_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(capsys, monkeypatch, "play", "negotiation")
    assert code == 0 and "negotiation on bargains: fair vs fair, 3 seeds" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "digits"], "unknown task 'digits'"),
        (["--attacker", "level-1"], "attacker plays a game in which one negotiates in dialogues"),
        (["--set", "max_turn=3"], "did you mean 'max_turns'"),
    ],
)
def test_mistakes_end_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(capsys, monkeypatch, "play", "negotiation", *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and says in err


def test_the_packaged_tournament_of_scripted_negotiators(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import advgames.training

    seen: list[TournamentSpec] = []

    def short(spec: TournamentSpec, out: Path, **rest: Any) -> Results:
        seen.append(spec)
        return tournament(spec.model_copy(update={"seeds": [0, 1]}), out, **rest)

    monkeypatch.setattr(advgames.training, "tournament", short)
    code, out, _ = run(capsys, monkeypatch, "tournament", "negotiation-scripted", "--out", tmp_path / "run")
    assert code == 0 and "tit-for-tat" in out
    assert seen[0].game == "negotiation" and len(list(seen[0].matches())) == 1000
    code, out, _ = run(capsys, monkeypatch, "solve", tmp_path / "run")
    assert code == 0 and "equilibria in pure strategies (attacker, defender): " in out
