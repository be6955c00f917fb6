"""Games: pure batched dynamics, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advgames.errors import UnknownNameError
from advgames.games.base import Actions, Game, Payoffs, State
from advgames.games.perturbation import PerturbationGame
from advgames.games.perturbation_settings import PerturbationSettings
from advgames.games.perturbation_state import PerturbationState
from advgames.games.poisoning import PoisoningGame
from advgames.games.poisoning_settings import PoisoningSettings
from advgames.games.poisoning_state import PoisoningState
from advgames.games.spaces import Ball, Box, Classes, Observation, Space
from advgames.games.transition import Transition

__all__ = [
    "GAMES",
    "Actions",
    "Ball",
    "Box",
    "Classes",
    "Game",
    "Observation",
    "Payoffs",
    "PerturbationGame",
    "PerturbationSettings",
    "PerturbationState",
    "PoisoningGame",
    "PoisoningSettings",
    "PoisoningState",
    "Space",
    "State",
    "Transition",
    "make_game",
]

GAMES: dict[str, type[PoisoningGame] | type[PerturbationGame]] = {
    PoisoningGame.name: PoisoningGame,
    PerturbationGame.name: PerturbationGame,
}


def make_game(name: str, task: Any = "digits", *, settings: Mapping[str, Any] | None = None, **place: Any) -> Game[Any]:
    """A game by name.

    Args:
        name: registry name.
        task: what it is played on.
        settings: the game's settings.
        place: ``device``, ``dtype``, ``data_root``.

    Raises:
        UnknownNameError: no such game, task or setting; names the nearest known.
        SettingError: a setting outside its domain.
    """
    if name not in GAMES:
        raise UnknownNameError("game", name, GAMES)
    made = GAMES[name]
    given = dict(settings or {})
    if unknown := sorted(set(given) - set(made.settings_model.model_fields)):
        raise UnknownNameError("setting", unknown[0], made.settings_model.model_fields, name)
    return made(task, **place, **given)
