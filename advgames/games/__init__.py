"""Games: pure batched dynamics, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advgames.errors import UnknownNameError
from advgames.games.base import Actions, Game, Payoffs, State
from advgames.games.matrix import MatrixGame, MatrixSettings, MatrixState
from advgames.games.negotiation import NegotiationGame
from advgames.games.negotiation_settings import NegotiationSettings
from advgames.games.negotiation_state import NegotiationState
from advgames.games.perturbation import PerturbationGame
from advgames.games.perturbation_settings import PerturbationSettings
from advgames.games.perturbation_state import PerturbationState
from advgames.games.poisoning import PoisoningGame
from advgames.games.poisoning_settings import PoisoningSettings
from advgames.games.poisoning_state import PoisoningState
from advgames.games.spaces import Ball, Box, Classes, Mask, Observation, Space, Text
from advgames.games.transition import Transition

__all__ = [
    "GAMES",
    "Actions",
    "Ball",
    "Box",
    "Classes",
    "Game",
    "Mask",
    "MatrixGame",
    "MatrixSettings",
    "MatrixState",
    "NegotiationGame",
    "NegotiationSettings",
    "NegotiationState",
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
    "Text",
    "Transition",
    "make_game",
]

GAMES: dict[str, type[PoisoningGame] | type[PerturbationGame] | type[NegotiationGame] | type[MatrixGame]] = {
    PoisoningGame.name: PoisoningGame,
    PerturbationGame.name: PerturbationGame,
    NegotiationGame.name: NegotiationGame,
    MatrixGame.name: MatrixGame,
}


def make_game(name: str, task: Any = None, *, settings: Mapping[str, Any] | None = None, **place: Any) -> Game[Any]:
    """A game by name.

    Args:
        name: registry name.
        task: what it is played on; None: the game's own choice.
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
    return made(made.default_task if task is None else task, **place, **given)
