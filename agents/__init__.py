"""Players: gradient-based level-k, second-order attacks and defences, negotiators and their adversaries, baselines."""

from __future__ import annotations

from advgames.agents.attack import Attack, Ensemble
from advgames.agents.baiting import ArbitraryTurn, Preemptive, Reactive, Transfer
from advgames.agents.base import Agent
from advgames.agents.dialogue import ActAgent, DialogueAgent, WordAgent
from advgames.agents.dialogue_view import DialogueActs
from advgames.agents.human import Human
from advgames.agents.learned import Manifest, RLLevelK
from advgames.agents.level_k import LevelK
from advgames.agents.lookahead import Lookahead
from advgames.agents.momentum import Momentum
from advgames.agents.negotiators import NeuralNegotiator, Targeted
from advgames.agents.pool import Pool
from advgames.agents.registry import AGENTS, WRAPPERS, make_agent, register_agent
from advgames.agents.scripted import Scripted
from advgames.agents.second_order import InfluenceFunction, OptimalContraction
from advgames.agents.simple import Null, RandomDirection
from advgames.agents.smooth import GaussianSmoothing, Smooth
from advgames.agents.spending import Spending
from advgames.agents.tables import Answer, Mix
from advgames.agents.views import FEATURES, StrategyMix, Subspace, View

__all__ = [
    "AGENTS",
    "FEATURES",
    "WRAPPERS",
    "ActAgent",
    "Agent",
    "Answer",
    "ArbitraryTurn",
    "Attack",
    "DialogueActs",
    "DialogueAgent",
    "Ensemble",
    "GaussianSmoothing",
    "Human",
    "InfluenceFunction",
    "LevelK",
    "Lookahead",
    "Manifest",
    "Mix",
    "Momentum",
    "NeuralNegotiator",
    "Null",
    "OptimalContraction",
    "Pool",
    "Preemptive",
    "RLLevelK",
    "RandomDirection",
    "Reactive",
    "Scripted",
    "Smooth",
    "Spending",
    "StrategyMix",
    "Subspace",
    "Targeted",
    "Transfer",
    "View",
    "WordAgent",
    "make_agent",
    "register_agent",
]
