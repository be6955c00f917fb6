"""Faces of the games: PettingZoo, Gymnasium and batched environments.

Importing this package registers ``advgames/poisoning-v0`` and its siblings with PettingZoo and Gymnasium.
"""

from __future__ import annotations

from advgames.envs import matrix_v0, negotiation_v0, perturbation_v0, poisoning_v0
from advgames.envs.aec import GameAECEnv
from advgames.envs.factory import Faces, register
from advgames.envs.parallel import GameParallelEnv
from advgames.envs.players import Opponents, Player
from advgames.envs.single import GameGymEnv
from advgames.envs.spaces import Ball
from advgames.envs.vector import GameVectorEnv

__all__ = [
    "Ball",
    "Faces",
    "GameAECEnv",
    "GameGymEnv",
    "GameParallelEnv",
    "GameVectorEnv",
    "Opponents",
    "Player",
    "matrix_v0",
    "negotiation_v0",
    "perturbation_v0",
    "poisoning_v0",
    "register",
]

register("advgames/matrix-v0", "advgames.envs.matrix_v0", parallel=True, role="row")
register("advgames/negotiation-v0", "advgames.envs.negotiation_v0", parallel=False, role="attacker")
register("advgames/perturbation-v0", "advgames.envs.perturbation_v0", parallel=True, role="attacker")
register("advgames/poisoning-v0", "advgames.envs.poisoning_v0", parallel=False, role="attacker")
