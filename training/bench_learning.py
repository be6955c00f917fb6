"""Speed of learning: matches in one batch against single environments side by side, with and without PPO."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from advgames.errors import MissingExtraError
from advgames.training.best_response import LearningRecipe, usual_options
from advgames.training.timing import Row

__all__ = ["learning"]

PLANE: dict[str, Any] = {
    "task": "polygon",
    "order": "attacker-first",
    "payoff": "margin",
    "defense": "per-input",
    "batch_size": 1,
    "rounds": 8,
}
OPPONENT = "level-1"
STEPS = {"batched": 65_536, "single": 4_096}  # of the environments alone
LEARNED = {"batched": 16_384, "single": 2_048}  # of PPO


def learning(device: torch.device) -> Iterator[Row]:
    """Rows of the benchmark: decisions per second on the plane, ours over stable-baselines3's DummyVecEnv of gym_envs.

    Raises:
        MissingExtraError: stable-baselines3 is not installed.
    """
    try:
        from stable_baselines3 import PPO
        from stable_baselines3.common.vec_env import DummyVecEnv
    except ImportError as error:
        raise MissingExtraError("this benchmark needs the extra 'rl': pip install '.[rl]'") from error
    from advgames.envs import perturbation_v0
    from advgames.envs.sb3 import OpponentVecEnv
    from advgames.games import PerturbationGame

    game = PerturbationGame(device=device, **PLANE)

    def batched(matches: int) -> Any:
        return OpponentVecEnv(game, "attacker", OPPONENT, matches)

    def singles(matches: int) -> Any:
        return DummyVecEnv(
            [lambda: perturbation_v0.gym_env("attacker", OPPONENT, device=device, **PLANE) for _ in range(matches)]
        )

    for matches in (64, 1024):
        ours, theirs = batched(matches), singles(matches)
        fast, slow = _alone(ours, STEPS["batched"]), _alone(theirs, max(STEPS["single"], 2 * matches))
        name = f"{matches} matches, environments alone: {fast:,.0f} decisions/s / DummyVecEnv's {slow:,.0f}"
        yield Row(name, fast / slow, 50.0 if matches == 1024 else 10.0, "at least", 1 / fast)
        options = usual_options(LearningRecipe(num_games=matches))
        fast, share = _learned(PPO, ours, options, LEARNED["batched"])
        slow, _ = _learned(PPO, theirs, options, max(LEARNED["single"], matches * options["n_steps"]))
        name = f"{matches} matches, PPO: {fast:,.0f} decisions/s / with DummyVecEnv {slow:,.0f}"
        yield Row(name, fast / slow, 10.0, "at least", 1 / fast)
        yield Row(
            f"{matches} matches, share of PPO's time that the environments take", share, 0.25, "at most", 1 / fast
        )


def _alone(env: Any, steps: int) -> float:
    """Decisions per second of an environment, its learner playing at random."""
    actions = np.random.default_rng(0).uniform(-1, 1, (16, env.num_envs, *env.action_space.shape)).astype(np.float32)
    env.seed(0)
    env.reset()
    for action in actions[:2]:
        env.step(action)
    rounds = max(2, steps // env.num_envs)
    start = time.process_time()
    for n in range(rounds):
        env.step(actions[n % len(actions)])
    return float(rounds * env.num_envs / (time.process_time() - start))


def _learned(algorithm: Any, env: Any, options: dict[str, Any], steps: int) -> tuple[float, float]:
    """(decisions per second of learning, the environment's share of the time)."""
    model = algorithm("MultiInputPolicy", env, seed=0, **options)
    inside, step = [0.0], env.step

    def timed(actions: Any) -> Any:
        start = time.process_time()
        found = step(actions)
        inside[0] += time.process_time() - start
        return found

    env.step = timed
    try:
        start = time.process_time()
        model.learn(steps)
        took = time.process_time() - start
    finally:
        env.step = step
    return model.num_timesteps / took, inside[0] / took
