"""Players: gradient-based level-k, second-order attacks and defences, baselines."""

from __future__ import annotations

from advgames.agents.attack import Attack, Ensemble
from advgames.agents.base import Agent
from advgames.agents.level_k import LevelK
from advgames.agents.momentum import Momentum
from advgames.agents.registry import AGENTS, WRAPPERS, make_agent, register_agent
from advgames.agents.second_order import InfluenceFunction, OptimalContraction
from advgames.agents.simple import Null, RandomDirection
from advgames.agents.smooth import GaussianSmoothing, Smooth

__all__ = [
    "AGENTS",
    "WRAPPERS",
    "Agent",
    "Attack",
    "Ensemble",
    "GaussianSmoothing",
    "InfluenceFunction",
    "LevelK",
    "Momentum",
    "Null",
    "OptimalContraction",
    "RandomDirection",
    "Smooth",
    "make_agent",
    "register_agent",
]
