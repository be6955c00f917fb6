"""The optimisers of phi_n find what enumeration finds, and say honestly how far they may be from it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from advgames import rng
from advgames.errors import SettingError, UnknownNameError
from advgames.robust_sets import RobustSets, maximise
from advgames.robust_sets.exact import sweep
from advgames.robust_sets.halfspaces import Halfspaces
from advgames.robust_sets.programme import solve_programme
from advgames.threat import Norm

NORMS: tuple[Norm, ...] = ("l2", "linf")


def random_sets(seed: int, n: int, d: int, norm: Norm, others: int = 1, bias: float = 0.3) -> RobustSets:
    """Gradients with a common part, distances uniform between 0 and 2."""
    draws = rng.normal(rng.seed_tensor([seed]), "gradients", 0, (n * others + 1, d), torch.float64)[0]
    gradients = (draws[1:] + bias * draws[0]).reshape(n, others, d)
    sets = RobustSets(torch.ones(n, others), gradients, norm)
    distances = 2 * rng.uniform(rng.seed_tensor([seed]), "distances", 0, (n, others), torch.float64)[0]
    return RobustSets(distances * sets.dual_norms, gradients, norm)


def linear_sets(rows: list[tuple[float, ...]], norm: Norm = "l2") -> RobustSets:
    """One set c . v + b >= 0 per row (*c, b), for an attacker of radius 0."""
    table = torch.tensor(rows, dtype=torch.float64)
    return RobustSets(table[:, -1:], table[:, None, :-1], norm)


def most_by_enumeration(sets: RobustSets, attack_radius: float, radius: float) -> float:
    """max phi_n by trying every point that can be a maximiser's corner.

    The sets that hold a maximiser meet the ball in a closed convex body. In the round ball its point of least norm
    is that of at most d of its borders; in the box one of its corners lies on d borders and faces.
    """
    d = sets.dimension
    normals = sets.gradients.reshape(-1, d).numpy()
    offsets = sets.offsets(attack_radius).reshape(-1).numpy()
    if sets.norm == "linf":
        normals = np.concatenate([normals, np.eye(d), np.eye(d)])
        offsets = np.concatenate([offsets, np.full(d, radius), np.full(d, -radius)])
    sizes = [d] if sets.norm == "linf" else range(1, d + 1)
    order = np.inf if sets.norm == "linf" else 2
    points = [np.zeros(d)]
    for size in sizes:
        for chosen in itertools.combinations(range(len(offsets)), size):
            part, goal = normals[list(chosen)], -offsets[list(chosen)]
            point = np.linalg.lstsq(part, goal, rcond=1e-12)[0]
            length = float(np.linalg.norm(point, order))
            if np.allclose(part @ point, goal, atol=1e-9) and length <= radius * (1 + 1e-9):
                points.append(point / max(1.0, length / radius))
    return float(sets.phi(torch.from_numpy(np.stack(points)), attack_radius).max())


def by_programme(sets: RobustSets, attack_radius: float, radius: float) -> tuple[float, float]:
    """phi and bound of the mixed-integer programme, whatever the dimension."""
    problem = Halfspaces.of(sets, attack_radius, radius)
    open_sets = problem.select(~(problem.always | problem.never))
    certain = int(problem.always.sum())
    if len(open_sets) == 0:
        return certain / len(sets), certain / len(sets)
    solved = solve_programme(open_sets, np.zeros(sets.dimension))
    point = torch.from_numpy(solved.point) * radius
    assert (certain + solved.count) / len(sets) == float(sets.phi(point, attack_radius))
    return (certain + solved.count) / len(sets), (certain + solved.bound) / len(sets)


def check_exact(sets: RobustSets, attack_radius: float, radius: float) -> None:
    truth = most_by_enumeration(sets, attack_radius, radius)
    found = maximise(sets, attack_radius, radius, "exact")
    assert (found.phi, found.bound, found.gap) == (truth, truth, 0.0)
    assert found.phi == float(sets.phi(found.v, attack_radius))
    assert float(torch.linalg.vector_norm(found.v, ord=2 if sets.norm == "l2" else math.inf)) <= radius
    assert by_programme(sets, attack_radius, radius) == (truth, truth)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(30))
def test_exact_is_what_enumeration_of_the_plane_finds(seed: int, norm: Norm) -> None:
    sets = random_sets(seed, n=(3, 8, 15)[seed % 3], d=2, norm=norm, others=1 + seed // 15, bias=seed % 2)
    check_exact(sets, attack_radius=1.0, radius=(1.0, 0.4, 2.0)[seed % 3])


@pytest.mark.parametrize(
    ("d", "n", "others", "norm"),
    [(1, 9, 1, "l2"), (1, 9, 2, "linf"), (3, 10, 1, "l2"), (4, 9, 1, "l2"), (5, 9, 1, "l2"), (3, 5, 2, "l2")]
    + [(3, 8, 1, "linf"), (4, 6, 1, "linf"), (3, 4, 2, "linf")],
)
@pytest.mark.parametrize("seed", range(3))
def test_exact_is_what_enumeration_finds_in_more_dimensions(
    seed: int, d: int, n: int, others: int, norm: Norm
) -> None:
    check_exact(random_sets(seed, n, d, norm, others), attack_radius=1.2, radius=1.0)


R2 = math.sqrt(0.5)
DEGENERATE = {
    "parallel, meeting in a line": [(1, 0, -0.3), (-1, 0, 0.3)],
    "parallel, apart by a hair": [(1, 0, -0.3), (-1, 0, 0.3 - 1e-8)],
    "duplicates against one": [(0, 1, -0.5)] * 3 + [(0, -1, -0.5)],
    "all hold everything": [(1, 2, 50), (-1, 0, 50)],
    "none reaches the ball": [(1, 0, -1.5), (0, 1, -1.0001)],
    "one touches the ball": [(1, 0, -1), (0, 3, 3)],
    "three lines through a point of the circle": [(0.6, 0.8, -1), (1, 0, -0.6), (0, 1, -0.8), (-1, 0, 0.6)],
    "three lines through a corner of the box": [(1, 1, -2), (1, 0, -1), (0, 1, -1)],
    "flat gradients, held and not": [(0, 0, 0), (0, 0, 1), (0, 0, -1e-9), (1, 0, -0.5)],
    "through zero": [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (R2, R2, 0)],
    "opposite, out of reach of each other": [(1, 0, -0.2), (-1, 0, -0.2)],
    "a fan that meets in zero alone": [(math.cos(a), math.sin(a), 0) for a in np.arange(8) * math.pi / 4],
    "scales twelve decades apart": [(1e-6, 0, -3e-7), (-1e6, 0, 3e5), (0, 1e6, -9e5)],
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_exact_is_what_enumeration_finds_where_borders_coincide(name: str, norm: Norm) -> None:
    check_exact(linear_sets(DEGENERATE[name], norm), attack_radius=0.0, radius=1.0)


def test_degenerate_cases_have_the_values_one_sees() -> None:
    """So that enumeration and optimiser cannot be wrong together."""
    values = {name: maximise(linear_sets(rows), 0.0, 1.0, "exact").phi for name, rows in DEGENERATE.items()}
    assert values["parallel, meeting in a line"] == 1
    assert values["parallel, apart by a hair"] == 1 / 2
    assert values["duplicates against one"] == 3 / 4
    assert values["all hold everything"] == 1 and values["none reaches the ball"] == 0
    assert values["one touches the ball"] == 1
    assert values["three lines through a point of the circle"] == 1
    assert values["three lines through a corner of the box"] == 1 / 3  # in the round ball
    assert maximise(linear_sets(DEGENERATE["three lines through a corner of the box"], "linf"), 0, 1, "exact").phi == 1
    assert values["flat gradients, held and not"] == 3 / 4
    assert values["through zero"] == 1 and values["a fan that meets in zero alone"] == 1
    assert values["opposite, out of reach of each other"] == 1 / 2
