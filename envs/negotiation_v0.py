"""placeholder"""
from advgames.envs.factory import Faces
from advgames.games import NegotiationGame

__all__ = ["env", "gym_env", "raw_env", "sb3_env", "vector_env"]
_faces = Faces("negotiation_v0", NegotiationGame, learner={"illegal": "outcome"})

env = _faces.env
raw_env = _faces.raw_env
parallel_env = _faces.parallel_env
gym_env = _faces.gym_env
vector_env = _faces.vector_env
sb3_env = _faces.sb3_env
