"""Robust sets of the additive game: where a defence holds against every attack, and how to hit most of them."""

from __future__ import annotations

from advgames.robust_sets.linearise import linearise
from advgames.robust_sets.maximum import Maximum, Method, maximise
from advgames.robust_sets.sets import RobustSets

__all__ = ["Maximum", "Method", "RobustSets", "linearise", "maximise"]
