"""Loops that make players play: matches, tournaments."""

from __future__ import annotations

from advgames.training.play import play, play_batch, play_specs
from advgames.training.progress import Progress
from advgames.training.tournament import tournament

__all__ = ["Progress", "play", "play_batch", "play_specs", "tournament"]
