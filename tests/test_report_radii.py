"""Radii: matches at other radii of the attacker make curves, and leave the payoff table as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advgames.errors import ResultsMismatchError, SettingError
from advgames.report import details
from advgames.report.radii import curves, measures_swept
from advgames.report.view import View
from advgames.results import Results
from advgames.spec import TournamentSpec
from advgames.training import tournament

PLAYERS = {"attacker": ["null", "fgm"], "defender": ["null", "smooth"]}
RADII = [0.0, 0.5, 1.5]


def spec(**changes: Any) -> TournamentSpec:
    given: dict[str, Any] = {
        "game": "perturbation",
        "task": "polygon",
        "players": PLAYERS,
        "seeds": [0, 1],
        "radii": RADII,
        "settings": {"payoff": "flip-linear", "rounds": 2},
    }
    return TournamentSpec(**{**given, **changes})


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return tournament(spec(), tmp_path_factory.mktemp("swept") / "run")


def test_a_tournament_without_radii_is_named_as_ever() -> None:
    plain = TournamentSpec(task="digits", players={"attacker": ["a"], "defender": ["b"]})
    assert plain.id == "cb22e722c4c05005" and "radii" not in plain.to_yaml()
    assert [match.id for match in plain.matches()] == ["ad7958242e6b2d91", "363cfaa92c3a7fa6", "8921bfd1d53f0329"]


def test_radii_are_read_back_and_refused_where_they_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(spec(radii=[1.5, 0, 0.5]).to_yaml(), encoding="utf-8")
    assert TournamentSpec.from_yaml(tmp_path / "t.yaml") == spec() and spec().radii == RADII
    for bad in ([-1.0], [0.5, 0.5], [float("inf")]):
        (tmp_path / "t.yaml").write_text(f"task: polygon\nplayers: {{a: [x], b: [y]}}\nradii: {bad}\n")
        with pytest.raises(SettingError, match="radii"):
            TournamentSpec.from_yaml(tmp_path / "t.yaml")


def test_the_payoff_table_is_of_one_radius(swept: Results, tmp_path: Path) -> None:
    plain = tournament(spec(radii=[]), tmp_path / "plain")
    assert len(swept.records()) == 32 and len(plain.records()) == 8
    assert swept.empirical_game().payoff == pytest.approx(plain.empirical_game().payoff, abs=1e-6)
    view, other = View.of(swept, resamples=10), View.of(plain, resamples=10)
    assert view.payoff.mean == pytest.approx(other.payoff.mean, abs=1e-6) and len(view.records) == 8
    assert view.outcome and other.outcome and view.outcome.mean == pytest.approx(other.outcome.mean, abs=1e-6)


def test_a_curve_is_what_the_records_say(swept: Results) -> None:
    view = View.of(swept, resamples=10)
    accuracy, linear = measures_swept(view)
    assert (accuracy.name, linear.name) == ("accuracy", "linear_accuracy")
    found = curves(view, accuracy, details.settings(view))
    assert set(found) == {(a, d) for a in PLAYERS["attacker"] for d in PLAYERS["defender"]}
    for (attacker, defender), curve in found.items():
        assert curve.radii == [0.0, 0.5, 1.0, 1.5]  # the table's own radius, 1, is the task's
        for radius, values in zip(curve.radii, curve.values, strict=True):
            told = [
                100 * record.measures["accuracy"]
                for record in swept.records()
                if record.players == {"attacker": attacker, "defender": defender}
                and record.settings.get("epsilon_attacker", 1.0) == radius
            ]
            assert values == told and len(told) == 2


def test_a_stronger_attacker_does_not_do_less(swept: Results) -> None:
    view = View.of(swept, resamples=10)
    found = curves(view, measures_swept(view)[1], details.settings(view))
    undefended = found["fgm", "null"].means  # under f_L the FGM perturbations of larger radii flip what smaller ones do
    assert undefended == sorted(undefended, reverse=True) and undefended[0] == 100 and undefended[-1] < 60
    assert found["null", "null"].means == [100] * 4


def test_a_defender_keeps_its_radius_and_knows_the_attacker_s(swept: Results) -> None:
    view = View.of(swept, resamples=10)
    clean = curves(view, measures_swept(view)[1], details.settings(view))["null", "smooth"].means
    assert clean[0] == 100 and clean[-1] < 100  # against a radius of 0 Smooth does nothing that costs accuracy


def test_a_radius_that_is_the_table_s_own_is_played_once() -> None:
    made = spec(settings={"epsilon_attacker": 0.5}, radii=[0.5, 1.0])
    matches = list(made.matches())
    assert len({match.id for match in matches}) == len(matches) == 16
    assert sum(map(made.in_table, matches)) == 8


def test_radii_join_a_finished_tournament(tmp_path: Path) -> None:
    pair = {"attacker": ["null", "fgm"], "defender": ["null"]}
    before = tournament(spec(players=pair, radii=[]), tmp_path).records()
    with pytest.raises(ResultsMismatchError, match="holds another tournament: radii is"):
        tournament(spec(players=pair, radii=[0.5]), tmp_path, resume=True)
    after = tournament(spec(players=pair, radii=[0.5]), tmp_path, extend=True).records()
    assert len(before) == 4 and len(after) == 8
    assert {r.id: r.timings for r in before}.items() <= {r.id: r.timings for r in after}.items()  # none played again
    with pytest.raises(ResultsMismatchError, match="holds another tournament: radii is"):
        tournament(spec(players=pair, radii=[1.5]), tmp_path, extend=True)
    assert Results.open(tmp_path).spec.radii == [0.5]


def test_an_unfinished_sweep_is_told_and_the_table_stands(swept: Results, tmp_path: Path) -> None:
    from advgames.report import write_report

    part = Results.create(tmp_path / "part", spec())
    part.append(record for record in swept.records() if record.settings.get("epsilon_attacker") != 1.5)
    view = View.of(part, resamples=10)
    assert (view.missing, view.unswept, view.total) == ([], 8, 32) and view.solution is not None
    page = write_report(part.directory, resamples=10).read_text(encoding="utf-8")
    assert "Incomplete: 8 of 32 matches have not been played." in page
    assert "8 of them are at other radii of the attacker." in page and "At the Nash equilibrium" in page


def test_the_training_time_game_has_curves_too(tmp_path: Path) -> None:
    settings = {"train_size": 40, "validation_size": 20, "test_size": 20, "batch_size": 10, "iterations": 3}
    made = TournamentSpec(
        task="digits",
        players={"attacker": ["level-1"], "defender": ["null"]},
        seeds=[0],
        radii=[0.0, 2.0],
        settings=settings,
    )
    view = View.of(tournament(made, tmp_path), resamples=10)
    (measure,) = measures_swept(view)
    (curve,) = curves(view, measure, details.settings(view)).values()
    assert measure.name == "test_accuracy" and curve.radii == [0.0, 1.3, 2.0]
