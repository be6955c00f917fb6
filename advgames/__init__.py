"""A suite of attacker-defender games: batched torch dynamics, players, equilibria and reports.

``import advgames`` stays light: nothing that a game does not need is imported before it is asked for.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("advgames")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
