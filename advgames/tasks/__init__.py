"""Tasks: data splits, victims and losses that games are played on."""

from __future__ import annotations

from advgames.tasks.base import Recipe, Split, Task
from advgames.tasks.builtin import PAIRED, TASKS, load_task
from advgames.tasks.payoff_tables import PAYOFF_TABLES, PayoffTable
from advgames.tasks.trained import cache_folder, load_weights, trained_module

__all__ = [
    "PAIRED",
    "PAYOFF_TABLES",
    "TASKS",
    "PayoffTable",
    "Recipe",
    "Split",
    "Task",
    "cache_folder",
    "load_task",
    "load_weights",
    "trained_module",
]
