"""Loops that make players play and learn: matches, tournaments, best responses, ladders."""

from __future__ import annotations

from advgames.training.best_response import LearningRecipe, best_response, from_sb3
from advgames.training.double_oracle import double_oracle
from advgames.training.ladder import ladder
from advgames.training.matches import payoffs
from advgames.training.play import play, play_batch, play_specs
from advgames.training.progress import Progress
from advgames.training.tournament import tournament

__all__ = [
    "LearningRecipe",
    "Progress",
    "best_response",
    "double_oracle",
    "from_sb3",
    "ladder",
    "payoffs",
    "play",
    "play_batch",
    "play_specs",
    "tournament",
]
