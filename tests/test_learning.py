"""PPO against a given player on the plane, where the value of the game is known by a linear programme."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog

from advgames.envs import perturbation_v0
from advgames.games import PerturbationGame
from advgames.robust_sets import RobustSets, maximise

PPO = pytest.importorskip("stable_baselines3").PPO
PLANE = {"task": "polygon", "payoff": "flip-linear"}
SMOOTH = "smooth(optimizer=exact, samples=None)"


def value_by_linear_programme(angles: int = 36, rings: int = 8) -> float:
    """The value of the game on the polygon's points, attacks and defences on polar grids, mixed freely.

    The attacker answers per point: minimise the mean over points i of t_i, where t_i is at least the expected payoff
    of every attack at i against the defender's mix y.
    """
    game = PerturbationGame("polygon", dtype=torch.float64, **{k: v for k, v in PLANE.items() if k != "task"})
    sets = RobustSets.from_model(game.victim, game.task.test.inputs)
    turns = 2 * math.pi * torch.arange(angles, dtype=torch.float64) / angles
    ring = torch.stack([turns.cos(), turns.sin()], 1)
    vectors = torch.cat([r * ring for r in torch.linspace(0, 1, rings, dtype=torch.float64)])
    vectors = torch.cat([vectors, maximise(sets, 1.0, 1.0, "exact").v[None]])
    gradients = sets.gradients[:, 0]  # (n, 2)
    attacks = torch.cat(
        [-(gradients / gradients.norm(dim=1, keepdim=True))[:, None], ring.expand(len(sets), -1, -1)], 1
    )
    moved = attacks[:, :, None] + vectors  # (n, A, V, 2)
    margins = sets.margins[:, :, None] + (moved * gradients[:, None, None]).sum(-1)
    pays: NDArray[np.float64] = torch.where(margins < -1e-9, 1.0, -1.0).numpy()
    n, rows, columns = pays.shape
    table = np.hstack([pays.reshape(n * rows, columns), -np.repeat(np.eye(n), rows, 0)])
    mix = np.hstack([np.ones((1, columns)), np.zeros((1, n))])
    cost = np.hstack([np.zeros(columns), np.full(n, 1 / n)])
    bounds = [(0, None)] * columns + [(-1, 1)] * n
    found: Any = linprog(cost, A_ub=table, b_ub=np.zeros(len(table)), A_eq=mix, b_eq=[1], bounds=bounds)
    return float(found.fun)


def test_the_programme_agrees_with_the_theorem() -> None:
    """1 - 2 phi(v*): mixing buys the defender nothing, and no attack on the grid does better than FGM."""
    game = PerturbationGame("polygon", **{k: v for k, v in PLANE.items() if k != "task"})
    sets = RobustSets.from_model(game.victim, game.task.test.inputs)
    assert value_by_linear_programme() == pytest.approx(1 - 2 * maximise(sets, 1.0, 1.0, "exact").phi, abs=1e-9)


def played(model: Any, role: str, opponent: str, batch_size: int) -> float:
    """What the learner's deterministic policy earns per match that goes once through all 200 points."""
    rounds = 200 // batch_size
    env = perturbation_v0.sb3_env(role, opponent, 1, **PLANE, rounds=rounds, batch_size=batch_size)
    env.seed(0)
    seen: Any = env.reset()
    total = 0.0
    for _ in range(rounds):
        seen, reward, _, _ = env.step(model.predict(seen, deterministic=True)[0])
        total += float(reward[0])
    return total


@pytest.mark.slow
def test_ppo_learns_a_defender_to_within_5_percent_of_the_value() -> None:
    value = value_by_linear_programme()
    env = perturbation_v0.sb3_env("defender", "fgm", 16, **PLANE, rounds=4, batch_size=50)
    policy = {"log_std_init": -1.0, "net_arch": [16]}
    settings = {"n_steps": 32, "batch_size": 128, "n_epochs": 5, "gamma": 0.0, "policy_kwargs": policy, "seed": 0}
    model = PPO("MultiInputPolicy", env, learning_rate=lambda left: 3e-3 * left, **settings)
    env.seed(0)
    model.learn(30_000)
    assert played(model, "defender", "fgm", 50) >= -value - 0.05 * abs(value)


@pytest.mark.slow
def test_ppo_learns_an_attacker_to_within_5_percent_of_the_value() -> None:
    value = value_by_linear_programme()
    env = perturbation_v0.sb3_env("attacker", SMOOTH, 64, **PLANE, rounds=8, batch_size=1)
    settings = {"n_steps": 64, "batch_size": 512, "n_epochs": 10, "gamma": 0.0, "seed": 0}
    model = PPO("MultiInputPolicy", env, learning_rate=lambda left: 1e-3 * left, **settings)
    env.seed(0)
    model.learn(200_000)
    assert played(model, "attacker", SMOOTH, 1) >= value - 0.05 * abs(value)
