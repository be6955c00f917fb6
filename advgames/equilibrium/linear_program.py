"""Linear programs by HiGHS at its finest tolerance, with one retry and named errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from advgames.equilibrium.tables import Array
from advgames.errors import AdvgamesError, SettingError

__all__ = ["LinearSolution", "maximise"]

SIMPLEX, INTERIOR_POINT = "highs-ds", "highs-ipm"
TOLERANCE = 1e-10  # the smallest that HiGHS accepts
ITERATION_LIMIT, INFEASIBLE = 1, 2  # scipy's status codes


@dataclass(frozen=True)
class LinearSolution:
    """A maximiser and the dual prices of the inequalities.

    Attributes:
        point: the maximiser.  # (d,)
        prices: by how much the maximum grows per unit of each inequality's bound, at least 0.  # (k,)
    """

    point: Array
    prices: Array


def maximise(
    objective: Array,
    inequalities: Array,
    bounds: Array,
    mix_size: int,
    *,
    interior_point: bool = False,
    max_iterations: int | None = None,
) -> LinearSolution | None:
    """max objective . z  subject to  inequalities z <= bounds, z's first ``mix_size`` entries being a mix.

    Args:
        objective: (d,).
        inequalities: (k, d).
        bounds: (k,).
        mix_size: how many leading entries of z are at least 0 and sum to 1; the others are free.
        interior_point: HiGHS' interior point method with crossover to a vertex; dual simplex otherwise.
        max_iterations: HiGHS' limit, None for its own.

    Returns None if no z satisfies the constraints. Where one HiGHS method meets numerical trouble the other
    is tried. Raises SettingError if ``max_iterations`` did not suffice, AdvgamesError if neither method finds
    a solution.
    """
    size = len(objective)
    simplex_row = np.zeros((1, size))
    simplex_row[0, :mix_size] = 1.0
    limits = [(0.0, None) if i < mix_size else (None, None) for i in range(size)]
    options: dict[str, float] = {
        "primal_feasibility_tolerance": TOLERANCE,
        "dual_feasibility_tolerance": TOLERANCE,
    }
    if max_iterations is not None:
        options["maxiter"] = max_iterations
    methods = [INTERIOR_POINT, SIMPLEX] if interior_point else [SIMPLEX, INTERIOR_POINT]
    for method in methods:
        result = linprog(
            -objective, inequalities, bounds, simplex_row, np.ones(1), limits, method=method, options=options
        )
        if result.success:
            return LinearSolution(result.x, np.maximum(-result.ineqlin.marginals, 0.0))
        if result.status == INFEASIBLE:
            return None
        if result.status == ITERATION_LIMIT:
            raise SettingError(f"max_iterations={max_iterations} do not suffice for {method}: {result.message}")
    raise AdvgamesError(f"HiGHS solves this linear program by neither method: {result.message}")
