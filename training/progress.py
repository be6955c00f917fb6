"""Progress as events: what long work tells whoever watches, without knowing who that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Progress", "Show", "silent"]

#: Called with {"kind": "start", "total": matches, "done": already there}, then
#: {"kind": "round", "match": text, "round": rounds played, "horizon": rounds in all, "matches": n} now and then,
#: and {"kind": "done", "match": text, "matches": n} whenever a batch of n matches has ended.
Progress = Callable[[dict[str, Any]], None]

#: Called with a match that has ended, as a person reads it.
Show = Callable[[str], object]


def silent(event: dict[str, Any]) -> None:
    """A watcher that looks away."""
