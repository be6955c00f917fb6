"""Payoff tables to equilibria: Nash, Stackelberg, exploitability, double oracle, and intervals from samples."""

from __future__ import annotations

from advgames.equilibrium.cells import CellStatistics
from advgames.equilibrium.double_oracle import (
    DoubleOracleResult,
    DoubleOracleStep,
    Oracle,
    double_oracle,
    table_oracles,
)
from advgames.equilibrium.empirical import EmpiricalGame
from advgames.equilibrium.exploitability import BestResponse, Exploitability, exploitability
from advgames.equilibrium.solutions import Equilibrium, ValueInterval
from advgames.equilibrium.stackelberg import StackelbergSolution, solve_stackelberg
from advgames.equilibrium.zero_sum import ZeroSumSolution, solve_zero_sum

__all__ = [
    "BestResponse",
    "CellStatistics",
    "DoubleOracleResult",
    "DoubleOracleStep",
    "EmpiricalGame",
    "Equilibrium",
    "Exploitability",
    "Oracle",
    "StackelbergSolution",
    "ValueInterval",
    "ZeroSumSolution",
    "double_oracle",
    "exploitability",
    "solve_stackelberg",
    "solve_zero_sum",
    "table_oracles",
]
