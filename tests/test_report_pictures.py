"""Pictures of the test-time game: windows, planes of defences and curves hold what the victim and the records say."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from advgames import rng
from advgames.agents import make_agent
from advgames.errors import VictimError
from advgames.games import PerturbationGame
from advgames.games.perturbation_pictures import SIDE, grid
from advgames.report import write_report
from advgames.report.panels import panels
from advgames.report.view import View
from advgames.results import Results
from advgames.robust_sets import RobustSets
from advgames.spec import MatchSpec, TournamentSpec
from advgames.tasks import load_task
from advgames.training import tournament
from advgames.training.play import play_batch

QUICK: dict[str, Any] = {"train_size": 200, "test_size": 60, "victim_epochs": 6, "batch_size": 8, "rounds": 2}
SECTIONS = (
    "Accuracy against the attacker's radius",
    "Around single inputs: church windows",
    "Defences and robust sets",
)


def digits(**settings: Any) -> PerturbationGame:
    return PerturbationGame(
        "digits", dtype=torch.float64, **{**QUICK, "payoff": "flip-linear", "epsilon": 1.0, **settings}
    )


def plane(**settings: Any) -> PerturbationGame:
    return PerturbationGame("polygon", dtype=torch.float64, **{"payoff": "flip-linear", "batch_size": 20, **settings})


def played(
    game: PerturbationGame, attacker: str = "fgm", defender: str = "smooth", seeds: tuple[int, ...] = (4,)
) -> Any:
    """The state after a round of simultaneous moves."""
    state = game.reset(list(seeds))
    actions = {}
    for player, name in (("attacker", attacker), ("defender", defender)):
        agent = make_agent(name)
        agent.reset(game.access(state, player))
        actions[player] = agent.act(game.observe(state, player), game.access(state, player))
    return game.step(state, actions)[0]


# the arrays


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_window_is_the_victim_s_class_on_the_plane_of_fgm_and_a_random_direction(norm: str) -> None:
    game = digits(norm=norm, epsilon=2.0 if norm == "l2" else 0.3)
    state = played(game)
    found, last = game.pictures(state), state.last
    inputs = found["window_inputs"]
    assert len(inputs) == 6 and found["window_classes"].shape == (6, SIDE, SIDE)
    assert any(len(np.unique(shown)) > 1 for shown in found["window_classes"])
    drawn = rng.normal(state.seeds, "window", 0, (6, 64), dtype=torch.float64)[0]
    steps = grid(float(found["window_reach"]))
    radius = state.epsilon_attacker[0]
    for k, i in enumerate(inputs):
        u = last.attack[0, i].flatten()
        v = drawn[i] - (drawn[i] @ u) / (u @ u) * u
        v = v / torch.linalg.vector_norm(v, ord=2 if norm == "l2" else torch.inf)
        for row, column in [(30, 30), (0, 0), (0, 60), (60, 0), (60, 60), (7, 41)]:
            s, t = steps[row, column]
            point = last.clean[0, i] + radius * (s * u + t * v).reshape(1, 8, 8)
            assert game.victim(point[None]).argmax() == found["window_classes"][k, row, column]
        assert found["window_classes"][k, 30, 30] == found["given"][i, 0]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_marks_are_where_the_moves_lead(norm: str) -> None:
    game = digits(norm=norm)
    state = played(game, defender="level-1")
    found, last = game.pictures(state), state.last
    assert found["window_paths"][:, 0] == pytest.approx(np.tile([1.0, 0.0], (6, 1)), abs=1e-6)  # FGM is an axis
    u, v = (moves[0, :6].flatten(1) for moves in (last.attack, last.defense))
    along = ((u * v).sum(1) / (u * u).sum(1)).numpy()
    assert found["window_paths"][:, 1, 0] - 1 == pytest.approx(along, abs=1e-6)
    for stage, points in enumerate((last.clean, last.attacked, last.repaired)):
        assert (found["given"][:, stage] == game.victim(points[0, :6]).argmax(-1).numpy()).all()
    assert found["window_reach"] >= np.abs(found["window_paths"]).max()


def test_phi_on_a_plane_is_the_share_of_robust_sets() -> None:
    game = plane(epsilon_attacker=1.0, epsilon_defender=0.8)
    found = game.pictures(played(game))
    sets = RobustSets.from_model(game.victim, game.task.test.inputs[:200])
    for row, column in [(0, 0), (0, 60), (60, 0), (13, 50), (30, 30), (44, 2)]:
        v = 0.8 * grid(1.25)[row, column]  # the plane of two-dimensional inputs is the inputs' own
        assert found["phi"][row, column] == pytest.approx(float(sets.phi(v, 1.0)), abs=1e-7)
        inside = (found["phi_rows"] @ np.array([*grid(1.25)[row, column], 1.0]) >= 0).all(1)
        assert (inside == sets.contains(v, 1.0)[: len(inside)].numpy()).all()  # here every border is in the picture
    assert np.ptp(found["phi"]) > 0.3 and found["phi_sets"].tolist() == [200, 0, 0]


def test_the_first_axis_of_a_slice_is_the_defence_played() -> None:
    game = digits(epsilon_attacker=0.5, epsilon_defender=1.0)
    state = played(game)
    found = game.pictures(state)
    assert str(found["phi_plane"]) == "played" and found["phi_played"][1] == pytest.approx(0, abs=1e-9)
    v = state.last.defense[0, 0].flatten()
    sets = RobustSets.from_model(game.victim, game.task.test.inputs)
    along = [float(sets.phi(s * v / v.norm(), 0.5)) for s in grid(1.25)[30, :, 0].tolist()]
    assert found["phi"][30] == pytest.approx(along, abs=1e-7) and np.ptp(along) > 0
    assert found["phi_at"] == pytest.approx([float(sets.phi(0 * v, 0.5)), float(sets.phi(v, 0.5))])
    null = game.pictures(played(game, defender="null"))
    assert str(null["phi_plane"]) == "leading" and null["phi_played"].tolist() == [0, 0]


def test_a_victim_whose_gradients_are_all_parallel_has_a_plane_too() -> None:
    task = load_task("digits:0v1").to(torch.device("cpu"), torch.float64)
    victim = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2, dtype=torch.float64))
    with torch.no_grad():
        victim[1].weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 64))
        victim[1].bias.copy_(torch.tensor([1.0, -1.0]) * task.test.inputs.flatten(1).sum(1).median())
    game = PerturbationGame(task, victim=victim, dtype=torch.float64, payoff="flip-linear", epsilon=0.2)
    found = game.pictures(played(game, defender="level-1"))
    assert str(found["phi_plane"]) == "played" and len(found["phi_rows"]) > 0
    assert (found["phi_rows"][:, 0, 1] == pytest.approx(0, abs=1e-9)) and np.ptp(found["phi"]) > 0
    assert (found["phi"] == found["phi"][:1]).all()  # across the gradients nothing changes


@pytest.mark.parametrize(("norm", "corner"), [("l2", 1.0), ("linf", 2**0.5)])
def test_the_outline_is_the_ball_cut_by_the_plane(norm: str, corner: float) -> None:
    outline = plane(norm=norm).pictures(played(plane(norm=norm)))["phi_outline"]
    assert outline[[0, 15, 30, 60]] == pytest.approx([1, corner, 1, 1])  # at 0, 45, 90 and 180 degrees


def test_pictures_are_of_one_match_whatever_its_company() -> None:
    game = plane()
    alone, together = game.pictures(played(game, seeds=(4,))), game.pictures(played(game, seeds=(9, 4)), match=1)
    assert set(alone) == set(together)
    for name, array in alone.items():
        assert array.dtype.kind == "U" or array == pytest.approx(together[name], nan_ok=True, abs=1e-9)
    assert not np.array_equal(alone["given"], game.pictures(played(game, seeds=(9, 4)))["given"])


def test_what_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    game = digits()
    assert game.pictures(game.reset([0])) == {}  # nothing has been played
    assert "phi" not in digits(epsilon_defender=0.0).pictures(played(digits(epsilon_defender=0.0)))
    still = digits(epsilon_attacker=0.0)
    assert "window_classes" not in still.pictures(played(still, attacker="null"))
    monkeypatch.setattr("advgames.games.perturbation_pictures.WINDOW_ENTRIES", SIDE**2 * 64 * 2)
    monkeypatch.setattr("advgames.games.perturbation_pictures.SET_ENTRIES", 9 * 64 * 19)
    dear = game.pictures(played(game))
    assert len(dear["window_classes"]) == 2 and "phi" not in dear


def test_a_picture_that_fails_costs_no_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise VictimError("the victim's logits are not finite")

    monkeypatch.setattr(PerturbationGame, "pictures", refuse)
    match = MatchSpec(game="perturbation", task="polygon", players={"attacker": "fgm", "defender": "null"})
    with pytest.warns(RuntimeWarning, match="no pictures of match .* not finite"):
        (record,) = play_batch([match], panels=tmp_path / "panels")
    assert record.panels is None and record.measures["accuracy"] < 1


# the page


def spec(task: str, **changes: Any) -> TournamentSpec:
    given: dict[str, Any] = {
        "game": "perturbation",
        "task": task,
        "players": {"attacker": ["null", "fgm"], "defender": ["null", "smooth(samples=60)"]},
        "seeds": [0, 1],
        "radii": [0.0, 0.5],
        "settings": {"payoff": "flip-linear", **(QUICK if task == "digits" else {"rounds": 2}), "epsilon": 1.0},
    }
    return TournamentSpec(**{**given, **changes})


def text_of(source: str) -> str:
    """The page's text, without its style sheet, figures and tags."""
    bare = re.sub(r"<(style|svg)\b.*?</\1>", " ", source, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


@pytest.fixture(scope="module")
def images_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tournament(spec("digits"), tmp_path_factory.mktemp("images") / "run").directory


@pytest.fixture(scope="module")
def plane_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tournament(spec("polygon"), tmp_path_factory.mktemp("plane") / "run").directory


def source_of(directory: Path) -> str:
    return write_report(directory, resamples=20).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def images_page(images_dir: Path) -> str:
    return source_of(images_dir)


@pytest.fixture(scope="module")
def plane_page(plane_dir: Path) -> str:
    return source_of(plane_dir)


def test_the_page_has_every_picture(images_page: str) -> None:
    source = images_page
    text = text_of(source)
    assert all(section in text for section in SECTIONS) and "What the players do to the inputs" in text
    assert "x′ perturbed: x + a" in text and "x″ restored: x + a + d" in text and "victim on x, x′, x″" in text
    assert "Neither player sees the other's perturbation" in text
    told = re.findall(r'<svg[^>]* aria-label="([^"]*)"', source)
    assert len(told) == 5  # curves, two matches with windows, two planes
    assert told[0].startswith("accuracy and accuracy under the linearised victim against the radius of the attacker")
    assert told[1].startswith("Church windows of fgm vs smooth(samples=60). input 1: class ")
    assert "http" not in source and len(re.findall(r'alt=""|<img(?![^>]*alt=)', source)) == 0


def test_the_page_speaks_of_the_game_it_shows(images_page: str, plane_page: str) -> None:
    for source in (images_page, plane_page):
        text = text_of(source).split("How to get it again")[0]
        assert "In the test-time game on" in text and "and at 2 more radii of the attacker: 24 matches" in text
        assert "share of inputs that leave their predicted class minus the share that keep it" in text
        assert "linear accuracy, %" in text and "changed classes, %" in text and "queries" not in text
        assert not re.search(r"training|validation|learns|Learning|loss", text)


def test_two_dimensional_inputs_have_one_plane_with_every_defence(plane_page: str) -> None:
    text = text_of(plane_page)
    assert all(section in text for section in SECTIONS) and "What the players do" not in text
    assert text.count("200 inputs, an attacker of radius 1") == 1
    there = re.search(
        r"At the v of smooth\(samples=60\) it is ([\d.]+) %; FGM is paid 1 − 2φ = −([\d.]+) against it", text
    )
    assert there and float(there[2]) == pytest.approx(2 * float(there[1]) / 100 - 1, abs=0.006)


def test_the_same_match_leaves_the_same_arrays(tmp_path: Path, plane_dir: Path) -> None:
    first = panels(View.of(Results.open(plane_dir), resamples=10), plane_dir)
    assert [panel.title for panel in first[:2]] == [
        "fgm vs null",
        "fgm vs smooth(samples=60)",
    ]  # the attack alone, then answered
    (match,) = [m for m in spec("polygon").cell("fgm", "smooth(samples=60)") if m.seed == 0]
    play_batch([match], panels=tmp_path / "panels")
    with np.load(tmp_path / "panels" / f"{match.id}.npz") as again:
        assert set(again.files) == set(first[1].arrays)
        assert all(np.array_equal(again[name], first[1].arrays[name]) for name in ("window_classes", "phi", "given"))


def test_damaged_arrays_are_passed_over(tmp_path: Path) -> None:
    directory = tournament(spec("polygon", radii=[], seeds=[0]), tmp_path / "run").directory
    for file in (directory / "panels").iterdir():
        file.write_bytes(file.read_bytes()[:200])
    text = text_of(source_of(directory))
    assert not any(section in text for section in SECTIONS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"order": "attacker-first", "payoff": "loss"},
            "mean cross-entropy of the perturbed inputs against their true",
        ),
        ({"order": "defender-first", "payoff": "margin", "norm": "linf"}, "mean lead, in logits, of the best other"),
        ({"payoff": "flip", "defense": "per-input"}, "share of inputs that leave their predicted class"),
    ],
)
def test_every_form_of_the_game_has_a_page(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    players = {"attacker": ["null", "fgm"], "defender": ["null", "level-1"]}
    made = spec("polygon", players=players, seeds=[0], radii=[], settings={"rounds": 1, **settings})
    text = text_of(source_of(tournament(made, tmp_path / "run").directory))
    assert said in text and all(section in text for section in SECTIONS[1:])
    assert "FGM is paid" not in text and "linear accuracy" not in text and "NaN" not in text and "–." not in text


def test_the_defender_may_have_the_rows(tmp_path: Path) -> None:
    players = {"defender": ["null", "smooth"], "attacker": ["null", "fgm"]}
    text = text_of(source_of(tournament(spec("polygon", players=players, seeds=[0]), tmp_path / "run").directory))
    assert "The defender's payoff is the opposite of the attacker's, which is the share of inputs" in text
    assert "At the v of smooth it is" in text and all(section in text for section in SECTIONS)
