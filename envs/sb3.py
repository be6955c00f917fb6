"""Many matches of a game as one stable-baselines3 VecEnv: a learner in one seat, agents in the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from advgames.envs.naming import Names
from advgames.envs.players import Opponents, seat_opponents
from advgames.envs.spaces import boxed, numpy_dtype
from advgames.envs.vector import GameVectorEnv
from advgames.errors import ActionError, PhaseError
from advgames.games import Game

__all__ = ["GameSB3VecEnv"]

Array = NDArray[Any]


class GameSB3VecEnv(VecEnv):
    """`num_games` matches in lockstep for one learner of stable-baselines3 (``PPO("MultiInputPolicy", env)``).

    A step submits the learner's actions and lets the others move until it is its turn again; its reward is the sum of
    its payoffs on the way. Finished rows begin anew at once, with ``terminal_observation`` and ``TimeLimit.truncated``
    in their info, and ``measures`` of the match that ended. ``seed(s)`` begins match s + i in row i at the next reset.

    Args:
        name: of the environment.
        game: the rules.
        role: the learner's seat.
        opponents: who plays the other seats: an agent, its name, or a mapping from players to these; None does nothing.
        num_games: number of matches.
        max_cycles: truncate after this many rounds; None: never.
    """

    def __init__(
        self,
        name: str,
        game: Game[Any],
        role: str,
        opponents: Opponents = None,
        num_games: int = 16,
        *,
        max_cycles: int | None = None,
    ) -> None:
        self.env = GameVectorEnv(name, game, num_games, max_cycles=max_cycles)
        names = Names(game.players)
        self.agent = names.agent(names.player(role))
        self.opponents = names.by_agent(seat_opponents(opponents, names.player(role), names))
        action_space, self._threat = boxed(self.env.action_spaces[self.agent])
        self.render_mode = None
        super().__init__(num_games, self.env.observation_spaces[self.agent], action_space)
        self._submitted: Tensor | None = None
        self._next_seed: int | Sequence[int] | None = None

    def reset(self) -> dict[str, Array]:
        """Begin all matches and play up to the learner's first turn."""
        self.env.reset(self._next_seed)
        self._next_seed = None
        self._until_own_turn()
        return self._observation()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """The seed of the next reset: row i gets seed + i."""
        self._next_seed = seed
        return [None if seed is None else seed + i for i in range(self.num_envs)]

    def step_async(self, actions: Array) -> None:
        """Take the learner's actions, (num_games, *action shape).

        Raises:
            ActionError: they are not finite.
        """
        if not np.isfinite(actions).all():
            raise ActionError(f"{self.agent}: the actions contain NaN or infinity")
        given = torch.from_numpy(np.array(actions, dtype=self.action_space.dtype)).to(self.env.device)
        self._submitted = given if self._threat is None else self._threat.project(given)

    def step_wait(self) -> tuple[dict[str, Array], Array, Array, list[dict[str, Any]]]:
        """Play the submitted actions up to the learner's next turn."""
        if self._submitted is None:
            raise PhaseError("step_async first")
        own, self._submitted = self._submitted, None
        rewards, ended = self._play({self.agent: own})
        if ended is None:
            paid, ended = self._until_own_turn()
            rewards = rewards + paid
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        done = np.zeros(self.num_envs, dtype=bool)
        if ended is not None:
            truncated, final = ended
            done[:] = True
            infos = self._final_infos(truncated, final)
            self._until_own_turn()
        return self._observation(), rewards.cpu().numpy().astype(np.float32), done, infos

    def _play(self, own: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor, dict[str, Any]] | None]:
        """One phase: the learner's rewards, and (truncated, info) if the matches ended."""
        moves = {agent: self.env.move(agent, self.opponents[agent]) for agent in self.env.movers if agent not in own}
        _, rewards, terminated, truncated, info = self.env.step({**own, **moves})
        ended = bool(terminated[0] | truncated[0])  # all matches have the same horizon
        return rewards[self.agent], (truncated, info) if ended else None

    def _until_own_turn(self) -> tuple[Tensor, tuple[Tensor, dict[str, Any]] | None]:
        """Let the others move until it is the learner's turn, or the matches have ended."""
        total = torch.zeros(self.num_envs, device=self.env.device, dtype=self.env.game.dtype)
        while self.agent not in self.env.movers:
            paid, ended = self._play({})
            total = total + paid
            if ended is not None:
                return total, ended
        return total, None

    def _final_infos(self, truncated: Tensor, info: dict[str, Any]) -> list[dict[str, Any]]:
        final = {name: _numpy(value) for name, value in info["final_observations"][self.agent].items()}
        measures = {name: value.tolist() for name, value in self.env.game.measures(info["final_state"]).items()}
        return [
            {
                "terminal_observation": {name: value[i] for name, value in final.items()},
                "TimeLimit.truncated": bool(truncated[i]),
                "measures": {name: value[i] for name, value in measures.items()},
            }
            for i in range(self.num_envs)
        ]

    def _observation(self) -> dict[str, Array]:
        return {name: _numpy(value) for name, value in self.env.observe(self.agent).items()}

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the environment, once per row."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the whole environment."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method of the environment once; the answer stands for every row."""
        answer = getattr(self, method_name)(*method_args, **method_kwargs)
        return [answer for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None) -> Any:
        """No row is wrapped."""
        return [False for _ in self._get_indices(indices)]


def _numpy(values: Tensor) -> Array:
    array: Array = values.detach().cpu().numpy()
    return array.astype(numpy_dtype(values.dtype), copy=True)
