"""Spending plans: by hand where that is possible, and never more than there is."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from advgames.agents import LevelK, Null, Spending, make_agent
from advgames.errors import SettingError, UnknownNameError
from advgames.games import PoisoningGame

GAME: dict[str, Any] = {"task": "linear-regression", "dtype": "float64", "iterations": 10, "epsilon": 0.1}


def spent(plan: Any, budget: float, matches: int = 5) -> torch.Tensor:
    """What is spent in every iteration, (G, T)."""
    game = PoisoningGame(**GAME, budget=budget)
    agent, state, used = Spending(LevelK(2), plan), game.reset(range(matches)), []
    agent.reset(game.access(state, "attacker"))
    while not game.over(state):
        before = state.budget
        move = agent.act(game.observe(state, "attacker"), game.access(state, "attacker"))
        state, _, _ = game.step(state, {"attacker": move})
        assert before is not None and state.budget is not None
        used.append(before - state.budget)
        state, _, _ = game.step(state, {"defender": torch.zeros_like(move)})
    return torch.stack(used, 1)


def test_plans_spend_when_they_say() -> None:
    front = torch.tensor([0.1, 0.1, 0.1, 0.05] + 6 * [0.0], dtype=torch.float64)
    torch.testing.assert_close(spent("front", 0.35), front.expand(5, -1))
    torch.testing.assert_close(spent("uniform", 0.35), torch.full((5, 10), 0.035, dtype=torch.float64))
    torch.testing.assert_close(spent("uniform", 5.0), torch.full((5, 10), 0.1, dtype=torch.float64))
    for plan in ("front", "uniform", "greedy"):
        used = spent(plan, 0.35, matches=40)
        assert (used >= 0).all() and (used <= 0.1 + 1e-12).all() and (used.sum(1) <= 0.35 + 1e-12).all()


def test_greedy_spending_takes_the_iterations_that_pay_best_at_once() -> None:
    """It uses nearly everything, and where it spends a move pays more than where it does not."""
    used = spent("greedy", 0.3, matches=60)
    assert float(used.sum(1).mean()) > 0.25
    assert torch.isclose(used, torch.tensor(0.1, dtype=torch.float64)).double().mean() > 0.2  # all that is allowed, or
    assert ((used < 1e-12) | (used > 0.0999)).double().mean() > 0.9  # nothing, but for what is left at last
    game = PoisoningGame(**GAME, budget=0.3)
    state = game.reset(range(60))
    agent, gains = Spending(LevelK(2), "greedy"), []
    agent.reset(game.access(state, "attacker"))
    while not game.over(state):
        move = agent.act(game.observe(state, "attacker"), game.access(state, "attacker"))
        state, _, _ = game.step(state, {"attacker": move})
        state, _, _ = game.step(state, {"defender": torch.zeros_like(move)})
    gains = torch.stack(agent._gains, 1)
    assert float(gains[used > 0].mean()) > 2 * float(gains[used == 0].mean()) > 0


def test_plans_go_on_from_their_memory() -> None:
    game = PoisoningGame(**GAME, budget=0.3)
    state = game.reset([0, 1, 2])
    agent = make_agent("level-2+spending(plan=greedy)")
    agent.reset(game.access(state, "attacker"))
    for _ in range(4):
        move = agent.act(game.observe(state, "attacker"), game.access(state, "attacker"))
        state, _, _ = game.step(state, {"attacker": move})
        state, _, _ = game.step(state, {"defender": torch.zeros_like(move)})
    fresh = make_agent("level-2+spending(plan=greedy)")
    fresh.reset(game.access(state, "attacker"))
    fresh.restore(agent.memory())
    seen, access = game.observe(state, "attacker"), game.access(state, "attacker")
    assert torch.equal(fresh.act(seen, access), agent.act(seen, access))


def test_without_a_budget_there_is_nothing_to_plan() -> None:
    game = PoisoningGame(**GAME)
    with pytest.raises(SettingError, match="has no budget"):
        Spending(LevelK(1)).reset(game.access(game.reset([0]), "attacker"))
    limited = PoisoningGame(**GAME, budget=1.0)
    with pytest.raises(SettingError, match="the defender has no budget"):
        Spending(LevelK(1)).reset(limited.access(limited.reset([0]), "defender"))
    with pytest.raises(UnknownNameError, match="uniform"):
        Spending(Null(), "unifrom")  # type: ignore[arg-type]
