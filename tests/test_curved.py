"""(FGM, Smooth) is an equilibrium where boundaries are straight; where they are curved better replies are found."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advgames import rng
from advgames.errors import ResultsMismatchError
from advgames.training.experiments import curved, curved_cases
from advgames.training.experiments.curved import equilibrate, run
from advgames.training.experiments.curved_cases import QUICK, two_moons
from advgames.training.experiments.curved_game import CurvedGame, disc, grid_replies
from advgames.training.experiments.curved_report import table
from advgames.training.experiments.curved_search import Search, attack_reply, defence_reply

ONE = np.ones(1)
SEARCH = Search(steps=10, samples=16, random=2)


class Linear(nn.Module):
    """f(x) = w . x + b as two logits."""

    def __init__(self, weights: list[float], bias: float) -> None:
        super().__init__()
        self.weights, self.bias = torch.tensor(weights, dtype=torch.float64), bias

    def forward(self, inputs: Tensor) -> Tensor:
        half = (inputs @ self.weights + self.bias) / 2
        return torch.stack([-half, half], 1)


class UnitDisc(nn.Module):
    """f(x) = 1 - |x|^2: class 1 inside the unit circle. Counts its calls by whether a gradient is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.gradients = self.values = 0

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.requires_grad:
            self.gradients += len(inputs)
        else:
            self.values += len(inputs)
        half = (1 - (inputs**2).sum(1)) / 2
        return torch.stack([-half, half], 1)


def points(count: int, dimension: int = 2, seed: int = 0) -> Tensor:
    return rng.normal(rng.seed_tensor([seed]), "test", 0, (count, dimension), torch.float64)[0]


def moons_game(count: int = 40, radius: float = 0.4) -> CurvedGame:
    """The curved two-moons victim of seed 1 on `count` points."""
    return replace(QUICK[0], inputs=count, radius=radius).games(1)[0]


def value_of_linear(game: CurvedGame, weights: list[float]) -> float:
    """1 - 2 phi(v*) of a linear victim: only v's part t along w matters, and input i survives FGM iff
    sgn(f_i) t >= eps - |f_i| / |w|; the count is highest at t = 0 or at one of these ends."""
    norm = float(torch.tensor(weights).norm())
    f = game.f(game.inputs) / norm
    ends = [e for e in (torch.sign(f) * (game.radius - f.abs())).tolist() if abs(e) <= game.radius]
    return min(
        1 - 2 * float((torch.sign(f) * t >= game.radius - f.abs() - 1e-12).to(f).mean())
        for t in (*ends, 0.0, game.radius, -game.radius)
    )


# ----------------------------------------------------------------------------------------------- the game


def test_payoffs_are_the_mean_of_flips_counted_one_by_one() -> None:
    game = CurvedGame(UnitDisc(), points(7), 0.6)
    rows, columns = [points(7, seed=k) / 5 for k in (1, 2, 3)], list(points(4, seed=4) / 5)
    found = game.payoffs(rows, columns)
    for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
        moved = [x + a + column for x, a in zip(game.inputs, row, strict=True)]
        flips = [(float(x.norm()) < 1) != (float(m.norm()) < 1) for x, m in zip(game.inputs, moved, strict=True)]
        assert found[i, j] == pytest.approx(sum(1 if flip else -1 for flip in flips) / 7)


def test_fgm_and_smooth_keep_the_radius_and_fgm_follows_the_gradient() -> None:
    """On the disc the gradient of f is radial: FGM moves inner points outwards and outer points inwards."""
    game = CurvedGame(UnitDisc(), points(20), 0.6)
    radial = game.inputs / game.inputs.norm(dim=1, keepdim=True)
    outwards = torch.where(game.inputs.norm(dim=1) < 1, 0.6, -0.6)[:, None]
    torch.testing.assert_close(game.fast_gradient, outwards * radial)
    assert float(game.smooth.norm()) <= 0.6


def test_fgm_by_an_attacker_who_knows_the_vector_follows_the_gradient_after_it() -> None:
    game, vector = CurvedGame(UnitDisc(), points(20), 0.6), torch.tensor([0.3, -0.4], dtype=torch.float64)
    moved = game.inputs + vector
    outwards = torch.where(game.inputs.norm(dim=1) < 1, 0.6, -0.6)[:, None]  # away from the class at x, not at x + v
    torch.testing.assert_close(game.steepest(vector), outwards * moved / moved.norm(dim=1, keepdim=True))


def test_a_constant_attack_on_a_linear_victim_is_undone_by_smooth_after_it() -> None:
    game = CurvedGame(Linear([1.0, 0.5], 0.2), points(40), 0.5)
    attack = torch.tensor([0.4, 0.3], dtype=torch.float64).expand(40, 2)
    assert game.payoffs([attack], [torch.zeros(2, dtype=torch.float64)])[0, 0] > -1
    assert game.payoffs([attack], [game.smooth_after(game.inputs + attack)])[0, 0] == -1


def test_the_budget_told_is_what_the_model_was_asked() -> None:
    model = UnitDisc()
    game = CurvedGame(model, points(10), 0.6)
    vectors, weights = list(points(3, seed=1) / 4), np.array([0.5, 0.3, 0.2])
    attack = attack_reply(game, vectors, weights, SEARCH)
    defence_reply(game, [attack], ONE, SEARCH)
    game.payoffs([attack], vectors)
    assert (game.gradients, game.values) == (model.gradients, model.values)
    assert game.gradients > 10 * 3 * SEARCH.steps


# ------------------------------------------------------------------------------- straight boundaries: Theorem 1


@pytest.mark.parametrize(("weights", "bias"), [([1.0, 0.5], 0.2), ([-2.0, 0.1], 0.0), ([0.0, 3.0], -1.0)])
def test_with_a_linear_victim_neither_player_gains_by_leaving_fgm_and_smooth(weights: list[float], bias: float) -> None:
    game = CurvedGame(Linear(weights, bias), points(40), 0.5)
    value = value_of_linear(game, weights)
    assert game.payoffs([game.fast_gradient], [game.smooth])[0, 0] == pytest.approx(value)
    case = replace(QUICK[0], search=SEARCH, radius=0.5)
    best, curve = equilibrate(game, case)
    assert best.value == pytest.approx(value) and best.converged
    assert all(step["attacker"] == step["defender"] == 0 for step in curve)


# -------------------------------------------------------------------------------- curved boundaries: replies


def test_the_attacker_finds_the_flip_that_fgm_misses() -> None:
    """x = (0.3, 0), v = (0, 0.5), eps = 0.5 on the disc: FGM goes to (0.8, 0.5), inside; along x + v it is outside."""
    game = CurvedGame(UnitDisc(), torch.tensor([[0.3, 0.0]], dtype=torch.float64), 0.5)
    vector = torch.tensor([0.0, 0.5], dtype=torch.float64)
    reply = attack_reply(game, [vector], ONE, SEARCH)
    assert game.payoffs([game.fast_gradient, reply], [vector])[:, 0].tolist() == [-1, 1]


def test_attacks_are_chosen_input_by_input() -> None:
    """The reply to a mix wins of every input what the reply to that input alone wins of it."""
    game, mix = moons_game(), np.array([0.4, 0.35, 0.25])
    vectors = [0.4 * torch.tensor([math.cos(t), math.sin(t)], dtype=torch.float64) for t in (0.0, 2.0, 4.0)]
    known = [game.steepest(v) for v in vectors]
    reply = attack_reply(game, vectors, mix, SEARCH, known)
    won = game.flips(reply, torch.stack(vectors)).double() @ torch.from_numpy(mix)
    for attack in (*known, game.fast_gradient, torch.zeros_like(game.inputs)):
        assert bool((won >= game.flips(attack, torch.stack(vectors)).double() @ torch.from_numpy(mix)).all())
    assert len({float(w) for w in won}) > 2  # the inputs do differ


def test_the_defender_finds_the_vector_that_undoes_a_constant_attack() -> None:
    game = moons_game()
    attack = torch.tensor([0.24, -0.32], dtype=torch.float64).expand(40, 2)  # of norm 0.4
    reply = defence_reply(game, [attack], ONE, SEARCH)
    assert game.payoffs([attack], [reply])[0, 0] == -1 < game.payoffs([attack], [torch.zeros_like(reply)])[0, 0]


@pytest.mark.parametrize("weights", [[0.9, 0.1], [0.1, 0.9]])
def test_replies_go_for_the_weightier_strategy_where_both_cannot_be_answered(weights: list[float]) -> None:
    """At the disc's centre, eps = 0.6: no attack leaves it from (0.6, 0) and from (-0.6, 0). With eps = 1.2 no vector
    brings both (1.2, 0) and (-1.2, 0) back."""
    centre, mix = torch.zeros(1, 2, dtype=torch.float64), np.array(weights)
    ends = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    narrow, wide = CurvedGame(UnitDisc(), centre, 0.6), CurvedGame(UnitDisc(), centre, 1.2)
    vectors, attacks = list(0.6 * ends), list(1.2 * ends[:, None])
    attack, vector = attack_reply(narrow, vectors, mix, SEARCH), defence_reply(wide, attacks, mix, SEARCH)
    assert float(narrow.payoffs([attack], vectors)[0] @ mix) == pytest.approx(0.8)
    assert float(mix @ wide.payoffs(attacks, [vector])[:, 0]) == pytest.approx(-0.8)


def test_replies_keep_the_radius_and_are_never_worse_than_what_is_known() -> None:
    game = moons_game()
    weak = Search(steps=0, samples=1, random=1)
    attacks = [attack_reply(game, [v], ONE, SEARCH) for v in game.smooth[None]]
    vectors = [defence_reply(game, attacks, ONE, SEARCH)]
    for _ in range(3):
        attacks.append(attack_reply(game, vectors[-1:], ONE, weak, attacks))
        vectors.append(defence_reply(game, attacks[-1:], ONE, weak, vectors))
        assert float(attacks[-1].norm(dim=1).max()) <= 0.4 + 1e-12 and float(vectors[-1].norm()) <= 0.4 + 1e-12
        against = game.payoffs(attacks, vectors[-2:-1])[:, 0]
        assert against[-1] == against.max()
        assert game.payoffs(attacks[-1:], vectors)[0, -1] == game.payoffs(attacks[-1:], vectors)[0].min()


def test_a_reply_on_the_grid_is_the_best_of_the_grid() -> None:
    game, grid = CurvedGame(UnitDisc(), points(6), 0.6), disc(0.6, rings=3, spokes=8)
    assert grid.shape == (25, 2) and float(grid.norm(dim=1).max()) == pytest.approx(0.6)
    attacks, p = [points(6, seed=1) / 4, points(6, seed=2) / 4], np.array([0.3, 0.7])
    vectors, q = list(points(2, seed=3) / 4), np.array([0.6, 0.4])

    def wins(i: int, a: Tensor, v: Tensor) -> float:
        return 1.0 if (float((game.inputs[i] + a + v).norm()) < 1) != (float(game.inputs[i].norm()) < 1) else -1.0

    attacker = sum(max(sum(w * wins(i, a, v) for w, v in zip(q, vectors, strict=True)) for a in grid) for i in range(6))
    defender = min(sum(w * wins(i, a[i], v) for i in range(6) for w, a in zip(p, attacks, strict=True)) for v in grid)
    assert grid_replies(game, attacks, p, vectors, q, grid) == pytest.approx((attacker / 6, defender / 6))


def test_the_search_keeps_up_with_brute_force_on_the_plane() -> None:
    """Against (FGM, Smooth) and against mixes of three: within one input of 40 of the best of 961 points."""
    game = moons_game()
    mixes = [([game.fast_gradient], ONE, [game.smooth], ONE)]
    vectors = [0.4 * torch.tensor([math.cos(t), math.sin(t)], dtype=torch.float64) for t in (0.5, 2.5, 4.5)]
    thirds = np.full(3, 1 / 3)
    mixes.append(([game.steepest(v) for v in vectors], thirds, vectors, thirds))
    for attacks, p, against, q in mixes:
        best, least = grid_replies(game, attacks, p, against, q, disc(0.4))
        attack = attack_reply(game, against, q, Search())
        vector = defence_reply(game, attacks, p, Search())
        assert float(game.payoffs([attack], against)[0] @ q) >= best - 2 / 40
        assert float(p @ game.payoffs(attacks, [vector])[:, 0]) <= least + 2 / 40


def test_curved_boundaries_make_the_pair_exploitable_and_the_double_oracle_less_so() -> None:
    case = replace(QUICK[0], inputs=40, search=SEARCH, iterations=15)
    game = case.games(1)[0]
    best, curve = equilibrate(game, case)
    start, end = (step["attacker"] + step["defender"] for step in (curve[0], curve[best.history[-1].iteration - 1]))
    assert start > 0.1 and end < start / 2
    assert end == best.gains.total == min(step["attacker"] + step["defender"] for step in curve)
    assert all(one["gradients"] < other["gradients"] for one, other in itertools.pairwise(curve))
    assert best.rows[0] is game.fast_gradient and best.columns[0] is game.smooth


def test_it_ends_when_patience_does() -> None:
    """With patience 1 at the first iteration whose exploitability is no new lowest."""
    case = replace(QUICK[0], inputs=60, search=SEARCH, iterations=50, patience=1)
    best, curve = equilibrate(case.games(0)[0], case)
    total = [step["attacker"] + step["defender"] for step in curve]
    assert not best.converged and len(curve) < 50
    assert total[-1] >= total[-2] and all(later < earlier for earlier, later in itertools.pairwise(total[:-1]))


def test_two_moons_lie_where_they_should_and_depend_on_the_seed_alone() -> None:
    moons = two_moons(3, 1000)
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.5]])[moons.labels]
    distance = (moons.inputs - centres).norm(dim=1)
    assert float((distance - 1).abs().max()) < 0.5 and float(distance.std()) == pytest.approx(0.1, rel=0.1)
    assert bool(((moons.inputs - centres)[:, 1] * (1 - 2 * moons.labels) > -0.5).all())
    assert torch.equal(moons.inputs, two_moons(3, 1000).inputs)
    assert not torch.equal(moons.inputs, two_moons(4, 1000).inputs)


# --------------------------------------------------------------------------------------- the experiment as a whole


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Both quick victims, two seeds."""
    out = tmp_path_factory.mktemp("curved")
    return out, run(out, QUICK, seeds=2, tell=lambda text: None)


def test_records_hold_together(whole: tuple[Path, list[dict[str, Any]]]) -> None:
    out, records = whole
    assert [(r["victim"], r["seed"]) for r in records] == list(itertools.product(("two-moons", "digits:4v9"), (0, 1)))
    assert json.loads((out / "curved.json").read_text()) == records
    assert (out / "curved.png").read_bytes().startswith(b"\x89PNG")
    for record in records:
        pair, end, defences = record["pair"], record["end"], record["defences"]
        assert defences["Smooth"]["sample"]["FGM"] == pytest.approx(pair["u"])
        assert defences["nobody"]["sample"]["FGM"] == pytest.approx(pair["undefended"])
        assert record["curve"][0]["value"] == pytest.approx(pair["u"])
        assert all(d[s]["reply"] >= d[s]["FGM"] for d in defences.values() for s in ("sample", "held out"))
        for stage in (pair, end):
            for way in ("search", "thorough"):
                assert min(stage["gains"][way][p] for p in ("attacker", "defender")) >= -1e-12
            assert ("grid" in stage["gains"]) == (record["victim"] == "two-moons")
            assert stage["gains"]["thorough"]["gradients"] > 2 * stage["gains"]["search"]["gradients"]


def test_the_table_tells_means_and_ranges(whole: tuple[Path, list[dict[str, Any]]]) -> None:
    _, records = whole
    text = table(records)
    for victim in ("two-moons", "digits:4v9"):
        values = [r["pair"]["u"] for r in records if r["victim"] == victim]
        assert f"{victim}, 2 seeds" in text
        assert f"{sum(values) / 2:.3f} [{min(values):.2f}, {max(values):.2f}]" in text


def test_a_second_call_measures_only_what_is_missing_and_other_settings_are_refused(
    whole: tuple[Path, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, records = whole
    for file in ("two-moons-0.json", "digits-4v9-0.json"):
        (tmp_path / file).write_bytes((out / file).read_bytes())
    again = run(tmp_path, QUICK, seeds=2, tell=lambda text: None)
    assert [without_time(r) for r in again] == [without_time(r) for r in records]
    monkeypatch.setattr(curved, "measure", _no_measure)
    assert run(tmp_path, QUICK, seeds=2) == again
    with pytest.raises(ResultsMismatchError, match=r"two-moons-0\.json was made with other settings"):
        run(tmp_path, [replace(QUICK[0], radius=0.3)], seeds=1)


def test_an_interrupt_in_the_middle_leaves_whole_seeds_only(
    whole: tuple[Path, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt comes in the second iteration of the second seed, inside the double oracle."""
    _, records = whole
    monkeypatch.setattr(curved, "defence_reply", _interrupting(curved.defence_reply, seed=1, at=2))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, QUICK[:1], seeds=2, tell=lambda text: None)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["two-moons-0.json"]
    monkeypatch.undo()
    again = run(tmp_path, QUICK[:1], seeds=2, tell=lambda text: None)
    assert [without_time(r) for r in again] == [without_time(r) for r in records[:2]]


def test_the_command_line_prints_the_table(
    whole: tuple[Path, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, records = whole
    monkeypatch.setattr("sys.argv", ["curved", "--out", str(out), "--quick", "--seeds", "2"])
    curved.main()
    assert capsys.readouterr().out.startswith(table(records))


def test_the_quick_cases_are_the_default_ones_and_smaller() -> None:
    for case, quick in zip(curved_cases.CASES, QUICK, strict=True):
        assert (case.name, case.make, case.radius) == (quick.name, quick.make, quick.radius)
        assert case.inputs > quick.inputs and case.search.steps > quick.search.steps
        assert case.thorough.steps == 2 * case.search.steps and case.thorough.samples == 3 * case.search.samples


def without_time(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "seconds"}


def _no_measure(*arguments: Any) -> Any:
    raise AssertionError("measured again")


def _interrupting(function: Callable[..., Tensor], seed: int, at: int) -> Callable[..., Tensor]:
    """The function, which raises KeyboardInterrupt in the double oracle's iteration `at` of the seed-th victim."""
    victims = 0

    def called(game: CurvedGame, *arguments: Any, **settings: Any) -> Tensor:
        nonlocal victims
        victims += settings.get("seed") == 0
        if victims == seed + 1 and settings.get("seed") == at - 1:
            raise KeyboardInterrupt
        return function(game, *arguments, **settings)

    return called
