"""Panels: the arrays that matches left for pictures, and the pairs whose pictures tell most."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advgames.report.duel import Duel
from advgames.report.view import is_null

if TYPE_CHECKING:
    from advgames.report.view import View

__all__ = ["Panel", "panels"]


@dataclass(frozen=True, eq=False)
class Panel:
    """What one match left.

    Attributes:
        row, column: the strategies.
        seed: of the match.
        arrays: name -> array.
    """

    row: str
    column: str
    seed: int
    arrays: dict[str, NDArray[Any]]

    @property
    def title(self) -> str:
        """Who met whom."""
        return f"{self.row} vs {self.column}"


def panels(view: View, directory: Path) -> list[Panel]:
    """Of every pair that left arrays, those of its first match that did, the most telling pairs first.

    Files that are absent or unreadable are passed over.
    """
    found = []
    for row, column in _telling(view):
        loaded = ((r.seed, _load(directory, r.panels)) for r in view.of_pair(row, column))
        first = next(((seed, arrays) for seed, arrays in loaded if arrays), None)
        if first is not None:
            found.append(Panel(row, column, *first))
    return found


def _telling(view: View) -> list[tuple[str, str]]:
    """Pairs in the order in which a reader wants to see them: the attack alone, answered, at equilibrium, the rest."""
    row, column = view.players
    pairs = [(r, c) for r in view.spec.players[row] for c in view.spec.players[column]]
    wanted: list[tuple[str, str]] = []
    duel = Duel.of(view)
    if duel is not None:
        undefended = next(iter(_null_defences(view)), None)
        wanted = [(duel.attack, name) for name in (undefended, duel.defence) if name is not None]
        if row != "attacker":
            wanted = [(c, r) for r, c in wanted]
    likely = sorted(pairs, key=lambda pair: -view.weight(*pair))
    if view.solution is not None:
        wanted.append(likely[0])
    return list(dict.fromkeys([*wanted, *reversed(pairs)]))


def _null_defences(view: View) -> Sequence[str]:
    return [name for name in view.spec.players.get("defender", []) if is_null(name)]


def _load(directory: Path, panels: str | None) -> dict[str, NDArray[Any]] | None:
    """The arrays of a file, if it is there and can be read."""
    if panels is None:
        return None
    try:
        with np.load(directory / panels, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, KeyError, zlib.error, zipfile.BadZipFile):
        return None
