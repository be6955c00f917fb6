"""Names of strategies and players: checked once, looked up with near misses named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from advgames.errors import SettingError, UnknownNameError

__all__ = ["as_names", "as_players", "places"]


def as_names(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Strategy names as a tuple; SettingError unless they are texts, at least one, and none twice."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise SettingError(f"{what}: expected a sequence of names, got {names!r}")
    if not names or len(set(names)) < len(names):
        raise SettingError(f"{what}: expected at least one name and none twice, got {list(names)}")
    return tuple(names)


def as_players(players: Sequence[str]) -> tuple[str, str]:
    """The row and the column player's names; SettingError if one could be mistaken for the other."""
    if len(players) != 2 or players[0] in (players[1], "column") or players[1] == "row":
        raise SettingError(f"players: expected the row and the column player's names, got {players!r}")
    return players[0], players[1]


def places(names: Sequence[str], known: Sequence[str], kind: str) -> NDArray[np.intp]:
    """Indices of names among the known ones; UnknownNameError for another.  # (len(names),)"""
    index = {name: place for place, name in enumerate(known)}
    for name in names:
        if name not in index:
            raise UnknownNameError(kind, name, known)
    return np.array([index[name] for name in names], dtype=np.intp)
