"""Tasks: data splits, victims and losses that games are played on."""

from __future__ import annotations

from advgames.tasks.base import Split, Task
from advgames.tasks.builtin import TASKS, load_task

__all__ = ["TASKS", "Split", "Task", "load_task"]
