"""All faces of a game from its constructor, and their registration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import gymnasium
import pettingzoo
import torch
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from advgames.envs.aec import GameAECEnv
from advgames.envs.naming import Names
from advgames.envs.parallel import GameParallelEnv
from advgames.envs.players import Opponents
from advgames.envs.single import GameGymEnv
from advgames.envs.vector import GameVectorEnv
from advgames.envs.viewed import ViewedGame, ViewLike
from advgames.errors import MissingExtraError
from advgames.games import Game

if TYPE_CHECKING:
    from advgames.envs.sb3 import OpponentVecEnv

__all__ = ["Faces", "register"]


class Faces:
    """``env``, ``raw_env``, ``parallel_env``, ``gym_env``, ``vector_env`` and ``sb3_env`` of one game.

    Each takes the settings of the game (`settings`: task, epsilon, device, ...) beside its own arguments.

    Args:
        name: of the environment, such as ``"poisoning_v0"``.
        game: builds the game from settings.
        learner: settings that ``gym_env`` and ``sb3_env`` begin with, where their users say nothing else.

    Every face also takes ``views``, a mapping from players to their views (:class:`advgames.agents.View`): what they
    see and do in place of the game's own.
    """

    def __init__(self, name: str, game: Callable[..., Game[Any]], learner: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self._rules = game
        self._learner = dict(learner or {})

    def _game(self, views: Mapping[str, ViewLike] | None = None, **settings: Any) -> Game[Any]:
        game = self._rules(**settings)
        for player, view in Names(game.players).by_player(views or {}).items():
            game = ViewedGame(game, player, view)
        return game

    def raw_env(self, *, max_cycles: int | None = None, render_mode: str | None = None, **settings: Any) -> GameAECEnv:
        """The AEC environment without wrappers.

        Args:
            max_cycles: truncate after this many rounds; None: never.
            render_mode: None, or one of ``metadata["render_modes"]``.
            settings: of the game.
        """
        return GameAECEnv(self.name, self._game(**settings), max_cycles=max_cycles, render_mode=render_mode)

    def env(
        self, *, max_cycles: int | None = None, render_mode: str | None = None, **settings: Any
    ) -> OrderEnforcingWrapper[str, Any, Any]:
        """The AEC environment, which also refuses to be used in the wrong order; arguments as :meth:`raw_env`.

        Out-of-bounds actions need no wrapper: the environment refuses them by named errors.
        """
        return OrderEnforcingWrapper(self.raw_env(max_cycles=max_cycles, render_mode=render_mode, **settings))

    def parallel_env(
        self, *, max_cycles: int | None = None, render_mode: str | None = None, **settings: Any
    ) -> GameParallelEnv:
        """The Parallel environment, where all players move at once; arguments as :meth:`raw_env`.

        Raises:
            UnsupportedFormError: this game's players move in turn.
        """
        return GameParallelEnv(self.name, self._game(**settings), max_cycles=max_cycles, render_mode=render_mode)

    def gym_env(
        self,
        role: str,
        opponents: Opponents = None,
        *,
        project_actions: bool = True,
        max_cycles: int | None = None,
        render_mode: str | None = None,
        **settings: Any,
    ) -> GameGymEnv:
        """A Gymnasium environment for one learner.

        Where moves have a mask, its ``action_masks()`` is what MaskablePPO of sb3-contrib asks for.

        Args:
            role: the learner's seat.
            opponents: agent, agent name, or mapping from players to these, for the other seats; None does nothing.
            project_actions: play the nearest legal perturbation to what a policy submits; False: refuse.
            max_cycles: truncate after this many rounds; None: never.
            render_mode: None, or one of ``metadata["render_modes"]``.
            settings: of the game.
        """
        return GameGymEnv(
            self.name,
            self._game(**{**self._learner, **settings}),
            role,
            opponents,
            project_actions=project_actions,
            max_cycles=max_cycles,
            render_mode=render_mode,
        )

    def vector_env(
        self,
        num_games: int,
        device: torch.device | str = "cpu",
        *,
        max_cycles: int | None = None,
        **settings: Any,
    ) -> GameVectorEnv:
        """Many matches at once, torch in and torch out.

        Args:
            num_games: number of matches.
            device: where they live.
            max_cycles: truncate after this many rounds; None: never.
            settings: of the game.

        Raises:
            UnsupportedFormError: moves are texts.
        """
        return GameVectorEnv(self.name, self._game(device=device, **settings), num_games, max_cycles=max_cycles)

    def sb3_env(
        self,
        role: str,
        opponents: Opponents = None,
        num_games: int = 16,
        device: torch.device | str = "cpu",
        *,
        max_cycles: int | None = None,
        **settings: Any,
    ) -> OpponentVecEnv:
        """Many matches at once as a VecEnv of stable-baselines3, for one learner.

        Args:
            role: the learner's seat.
            opponents: agent, agent name, or mapping from players to these, for the other seats; None does nothing.
            num_games: number of matches.
            device: where they live.
            max_cycles: truncate after this many rounds; None: never.
            settings: of the game.

        Raises:
            MissingExtraError: stable-baselines3 is not installed.
            UnsupportedFormError: moves are texts.
        """
        try:
            from advgames.envs.sb3 import OpponentVecEnv
        except ImportError as error:
            raise MissingExtraError(
                "sb3_env needs the extra 'rl': pip install '.[rl]' in the folder of advgames"
            ) from error
        game = self._game(device=device, **{**self._learner, **settings})
        return OpponentVecEnv(game, role, opponents, num_games, max_cycles=max_cycles, name=self.name)


def register(id: str, module: str, *, parallel: bool, **learner: Any) -> None:
    """Make a module's environments known to PettingZoo (where it has a registry, from 1.27 on) and Gymnasium.

    Args:
        id: such as ``"advgames/poisoning-v0"``.
        module: full name of the module with ``env``, ``parallel_env`` and ``gym_env``.
        parallel: whether the game has a parallel form.
        learner: default arguments of Gymnasium's environment.
    """
    if hasattr(pettingzoo, "register"):
        if id not in pettingzoo.aec_registry:
            pettingzoo.register("aec", id, f"{module}:env")
        if parallel and id not in pettingzoo.parallel_registry:
            pettingzoo.register("parallel", id, f"{module}:parallel_env")
    if id not in gymnasium.registry:
        gymnasium.register(id, entry_point=f"{module}:gym_env", kwargs=learner)
