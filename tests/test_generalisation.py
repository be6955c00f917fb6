"""The generalisation experiment measures against a phi that is known, with maximisers that are exact."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from advgames import rng
from advgames.errors import SettingError
from advgames.robust_sets import RobustSets, maximise
from advgames.robust_sets.halfspaces import Halfspaces
from advgames.robust_sets.programme import solve_programme
from advgames.training.experiments.generalisation import Corner, best_on_sample, main, measure, slope, victim

FAMILY = Corner()


def sets_of(seed: int, size: int, family: Corner = FAMILY) -> RobustSets:
    """The robust sets that the victim itself, differentiated at the inputs, has."""
    inputs = torch.from_numpy(family.inputs(*family.draw(seed, 0, size)))
    return RobustSets.from_model(victim, inputs)


@pytest.mark.parametrize("size", [2, 5, 10, 40, 150])
@pytest.mark.parametrize("seed", range(4))
def test_the_sort_finds_what_the_general_optimisers_prove(seed: int, size: int) -> None:
    sets = sets_of(seed, size)
    held, v = best_on_sample(*FAMILY.draw(seed, 0, size), FAMILY.radius)
    assert np.linalg.norm(v) <= FAMILY.radius
    assert float(sets.phi(torch.from_numpy(v), FAMILY.radius)) == held / size
    exact = maximise(sets, FAMILY.radius, FAMILY.radius, "exact")
    assert exact.gap == 0 and exact.phi == held / size
    if size <= 40:
        problem = Halfspaces.of(sets, FAMILY.radius, FAMILY.radius)
        open_sets = problem.select(~(problem.always | problem.never))
        solved = solve_programme(open_sets, np.zeros(2))
        assert solved.held == solved.bound == held - int(problem.always.sum())


def test_phi_is_the_closed_form_and_its_maximum_is_where_it_says() -> None:
    for family in (FAMILY, Corner((0.1, 0.2, 0.3, 0.4), radius=0.5, span=1.0)):
        sets = sets_of(0, 40_000, family)
        draws = rng.normal(rng.seed_tensor([0]), "v", 0, (20, 2), torch.float64)[0]
        points = family.radius * draws / draws.norm(dim=1, keepdim=True)
        points[::2] *= 0.6
        known = torch.tensor([family.phi(v.numpy()) for v in points])
        assert (sets.phi(points, family.radius) - known).abs().max() < 5 * math.sqrt(0.25 / 40_000)
        best = family.radius * np.array(family.pull) / math.hypot(*family.pull)
        assert family.phi(best) == pytest.approx(family.best, abs=1e-15)
        assert known.max() <= family.best


def test_the_linearisation_is_exact_where_the_players_move() -> None:
    """Within 2 radii of every input f is its linearisation."""
    inputs = torch.from_numpy(FAMILY.inputs(*FAMILY.draw(3, 0, 200))).requires_grad_()
    f = victim(inputs)
    (gradient,) = torch.autograd.grad(f.sum(), inputs)
    draws = rng.normal(rng.seed_tensor([1]), "moves", 0, (200, 2), torch.float64)[0]
    moves = 2 * FAMILY.radius * draws / draws.norm(dim=1, keepdim=True)
    torch.testing.assert_close(victim(inputs + moves), f + (gradient * moves).sum(1))


def test_regrets_are_positive_within_the_bounds_and_fall_about_as_fast_as_two_thirds() -> None:
    sizes = (30, 100, 300, 1000, 3000)
    rows, regrets = measure(FAMILY, sizes, repetitions=150)
    assert (regrets >= 0).all()
    for row in rows:
        assert row.low < row.regret < row.high < row.printed_bound < row.regret_bound
        assert 0 < row.optimism < row.printed_bound
    fit = slope(sizes, regrets)
    assert fit["low"] < fit["slope"] < fit["high"] < -0.6
    assert fit["slope"] > -0.9
    again, _ = measure(FAMILY, sizes, repetitions=150)
    assert again == rows


def test_the_slope_of_a_power_law_is_its_exponent() -> None:
    sizes = np.array([10, 100, 1000, 20_000])
    fit = slope(sizes.tolist(), np.repeat(3 * sizes[:, None] ** -0.4, 5, axis=1))
    assert fit == pytest.approx({"slope": -0.4, "low": -0.4, "high": -0.4}, abs=1e-12)


def test_the_command_prints_a_table_and_writes_what_it_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--quick", "--out", str(tmp_path / "made")])
    printed = capsys.readouterr().out
    document = json.loads((tmp_path / "made" / "generalisation.json").read_text())
    assert [row["size"] for row in document["rows"]] == [10, 30, 100, 300, 1000]
    assert f"{document['slopes']['all sizes']['slope']:.3f}" in printed
    assert document["rows"][0]["printed_bound"] == 4 * math.sqrt(2 * math.log(10) / 10)
    assert (tmp_path / "made" / "generalisation.png").read_bytes().startswith(b"\x89PNG")


def test_families_without_a_known_phi_are_refused() -> None:
    with pytest.raises(SettingError, match="sum to 1"):
        Corner((0.5, 0.5, 0.5, 0.0))
    with pytest.raises(SettingError, match="span"):
        Corner(radius=2.0, span=3.0)
    with pytest.raises(SettingError, match="nowhere"):
        Corner((0.25, 0.25, 0.25, 0.25))
    with pytest.raises(SettingError, match="repetitions"):
        measure(FAMILY, (10, 20), repetitions=1)
