"""Many matches of a game as one stable-baselines3 VecEnv: a learner in one seat, agents in the others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from advgames.envs.naming import Names
from advgames.envs.players import Opponents, seat_opponents
from advgames.envs.spaces import MASK, boxed, numpy_dtype
from advgames.envs.vector import GameVectorEnv
from advgames.errors import ActionError, PhaseError
from advgames.games import Game

__all__ = ["OpponentVecEnv"]

Array = NDArray[Any]
_Ended: TypeAlias = tuple[Tensor, dict[str, Any]]  # truncated (G,), and the info of the step that ended the matches


class OpponentVecEnv(VecEnv):
    """`num_games` matches in lockstep for one learner of stable-baselines3 (``PPO("MultiInputPolicy", env)``).

    A step submits the learner's actions and lets the others move until it is its turn again; its reward is the sum of
    its payoffs on the way. Finished rows begin anew at once, with ``terminal_observation`` and ``TimeLimit.truncated``
    in their info, ``measures`` of the match that ended, and its ``episode`` as stable-baselines3's Monitor tells it.
    ``seed(s)`` begins match s + i in row i at the next reset.

    Where matches end at different times, the rows that wait for the others pass, whatever is submitted for them, and
    are paid nothing; all rows are done together. An ``action_mask`` is no part of the observations: MaskablePPO of
    sb3-contrib finds it as :attr:`action_masks`.

    Args:
        game: the rules.
        role: the learner's seat.
        opponents: who plays the other seats: an agent, its name, or a mapping from players to these; None does nothing.
        num_games: number of matches.
        max_cycles: truncate after this many rounds; None: never.
        name: of the environment; None: the game's.
    """

    def __init__(
        self,
        game: Game[Any],
        role: str,
        opponents: Opponents = None,
        num_games: int = 16,
        *,
        max_cycles: int | None = None,
        name: str | None = None,
    ) -> None:
        self.env = GameVectorEnv(name or game.name, game, num_games, max_cycles=max_cycles)
        names = Names(game.players)
        self._player = names.player(role)
        self.agent = names.agent(self._player)
        self.opponents = names.by_agent(seat_opponents(opponents, self._player, names))
        action_space, self._threat = boxed(self.env.action_spaces[self.agent])
        self.render_mode = None
        seen = cast(spaces.Dict, self.env.observation_spaces[self.agent])
        self._seen = [name for name in seen.spaces if name != MASK]
        super().__init__(num_games, spaces.Dict({name: seen[name] for name in self._seen}), action_space)
        self._submitted: Tensor | None = None
        self._owed = torch.zeros(num_games)  # paid before its first turn
        self._early: _Ended | None = None  # the end, where the others brought it about before that
        self._next_seed: int | Sequence[int] | None = None
        self._earned, self._length = np.zeros(num_games), 0  # of the episode under way
        self._start = time.monotonic()

    def reset(self) -> dict[str, Array]:
        """Begin all matches and play up to the learner's first turn."""
        self.env.reset(self._next_seed)
        self._next_seed = None
        self._earned[:], self._length = 0.0, 0
        self._owed, self._early = self._until_own_turn()
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
        rewards, ended = self._owed, self._early
        if ended is None:
            paid, ended = self._play({self.agent: own if self.env.game.lockstep else self._where_active(own)})
            rewards = rewards + paid
        if ended is None:
            paid, ended = self._until_own_turn()
            rewards = rewards + paid
        self._owed, self._early = torch.zeros_like(rewards), None
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        done = np.zeros(self.num_envs, dtype=bool)
        paid_now = rewards.cpu().numpy().astype(np.float32)
        self._earned += paid_now
        self._length += 1
        if ended is not None:
            truncated, final = ended
            done[:] = True
            infos = self._final_infos(truncated, final)
            self._earned[:], self._length = 0.0, 0
            self._owed, self._early = self._until_own_turn()
        return self._observation(), paid_now, done, infos

    def _play(self, own: dict[str, Tensor]) -> tuple[Tensor, _Ended | None]:
        """One phase: the learner's rewards, and (truncated, info) if the matches have ended."""
        moves = {agent: self.env.move(agent, self.opponents[agent]) for agent in self.env.movers if agent not in own}
        _, rewards, _, truncated, info = self.env.step({**own, **moves})
        return rewards[self.agent], (truncated, info) if info else None

    def _where_active(self, own: Tensor) -> Tensor:
        """The learner's actions where it is to move, and passing elsewhere."""
        active = self.env.active(self.agent).view(-1, *[1] * (own.ndim - 1))
        return torch.where(active, own, self.env.game.null_action(self.env.game_state, self._player))

    def _until_own_turn(self) -> tuple[Tensor, _Ended | None]:
        """Let the others move until it is the learner's turn, or the matches have ended."""
        total = torch.zeros(self.num_envs, device=self.env.device, dtype=self.env.game.dtype)
        while self.agent not in self.env.movers:
            paid, ended = self._play({})
            total = total + paid
            if ended is not None:
                return total, ended
        return total, None

    def _final_infos(self, truncated: Tensor, info: dict[str, Any]) -> list[dict[str, Any]]:
        final = {name: _numpy(info["final_observations"][self.agent][name]) for name in self._seen}
        seconds = round(time.monotonic() - self._start, 6)
        measures = {name: value.tolist() for name, value in self.env.game.measures(info["final_state"]).items()}
        return [
            {
                "terminal_observation": {name: value[i] for name, value in final.items()},
                "TimeLimit.truncated": bool(truncated[i]),
                "measures": {name: value[i] for name, value in measures.items() if not math.isnan(value[i])},
                "episode": {"r": float(self._earned[i]), "l": self._length, "t": seconds},
            }
            for i in range(self.num_envs)
        ]

    def _observation(self) -> dict[str, Array]:
        seen = self._look()
        return {name: _numpy(seen[name]) for name in self._seen}

    def _look(self) -> dict[str, Tensor]:
        """What the learner sees; of matches that the others ended before its first turn their end."""
        found: dict[str, Tensor] = (
            self.env.observe(self.agent) if self._early is None else self._early[1]["final_observations"][self.agent]
        )
        return found

    @property
    def action_masks(self) -> Callable[[], Array]:
        """``action_masks()`` says which actions are legal now, (num_games, N) bool.

        Raises:
            AttributeError: the game's actions have no mask.
        """
        if MASK not in cast(spaces.Dict, self.env.observation_spaces[self.agent]).spaces:
            raise AttributeError(f"the actions of {self.env.game.name} have no mask")
        return lambda: _numpy(self._look()[MASK]).astype(bool)

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the environment, once per row."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the whole environment."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method of the environment once; the answer stands for every row, but of masks each gets its own."""
        answer = getattr(self, method_name)(*method_args, **method_kwargs)
        return [answer[row] if method_name == "action_masks" else answer for row in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None) -> Any:
        """No row is wrapped."""
        return [False for _ in self._get_indices(indices)]


def _numpy(values: Tensor) -> Array:
    array: Array = values.detach().cpu().numpy()
    return array.astype(numpy_dtype(values.dtype), copy=True)
