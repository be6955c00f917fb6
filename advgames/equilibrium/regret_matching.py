"""Regret matching+: the quick way to an approximate equilibrium of a large zero-sum table."""

from __future__ import annotations

import numpy as np

from advgames.equilibrium.tables import Array

__all__ = ["regret_matching_plus"]

CHECK_EVERY = 20


def regret_matching_plus(table: Array, tolerance: float, max_iterations: int) -> tuple[Array, Array]:
    """Average mixes of alternating regret matching+ with linear averaging (Tammelin et al. 2015, CFR+).

    At step t the row player plays x_t ~ R+, observes the payoffs of all rows against y_(t-1), and updates
        R <- max(R + A y - x . A y, 0);
    then the column player does likewise against the new x. The answer is sum_t t x_t / sum_t t, and so for y.

    Args:
        table: the row player's payoffs, scaled to about [0, 1].  # (m, n)
        tolerance: stop when max_i (A y)_i - min_j (x A)_j of the averages is at most this, looked at every 20
            steps.
        max_iterations: stop here at the latest.

    Returns the row player's mix (m,) and the column player's (n,).
    """
    rows, columns = table.shape
    row_regret, column_regret = np.zeros(rows), np.zeros(columns)
    row, column = _play(row_regret), _play(column_regret)
    row_sum, column_sum = np.zeros(rows), np.zeros(columns)
    for step in range(1, max_iterations + 1):
        payoff = table @ column
        row_regret = np.maximum(row_regret + payoff - row @ payoff, 0.0)
        row = _play(row_regret)
        payoff = -(row @ table)
        column_regret = np.maximum(column_regret + payoff - column @ payoff, 0.0)
        column = _play(column_regret)
        row_sum += step * row
        column_sum += step * column
        if step % CHECK_EVERY == 0:
            gap = ((table @ column_sum).max() - (row_sum @ table).min()) / row_sum.sum()
            if gap <= tolerance:
                break
    return row_sum / row_sum.sum(), column_sum / column_sum.sum()


def _play(regret: Array) -> Array:
    """Weights proportional to the positive regrets; uniform where there are none."""
    total = regret.sum()
    return regret / total if total > 0 else np.full(len(regret), 1 / len(regret))
