"""Attacks of other libraries as agents, each where its library is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from advgames.agents.libraries.agent import LibraryAgent
from advgames.agents.libraries.attack import LibraryAttack
from advgames.agents.libraries.base import Library
from advgames.agents.libraries.from_art import Art
from advgames.agents.libraries.from_autoattack import AutoAttack
from advgames.agents.libraries.from_foolbox import Foolbox
from advgames.agents.libraries.from_secmlt import Secmlt
from advgames.agents.libraries.from_torchattacks import Torchattacks
from advgames.attacks import Attacked, Model
from advgames.errors import MissingExtraError, UnknownNameError
from advgames.threat import Norm

__all__ = ["LIBRARIES", "LibraryAgent", "LibraryAttack", "attack", "find", "names"]

LIBRARIES: dict[str, Library] = {
    library.name: library for library in (Art(), AutoAttack(), Foolbox(), Secmlt(), Torchattacks())
}


def find(text: str) -> Callable[..., LibraryAgent]:
    """What makes the agent of that name from its options: ``find("foolbox:LinfPGD")(steps=20)``.

    The name is looked up now, the options are when the agent is made.

    Raises:
        MissingExtraError: the library is not installed; says how to get it.
        UnknownNameError: no such library, or no such attack in it; names the nearest.
        SettingError: an attack that cannot be played.
    """
    library, name = _split(text)
    LibraryAttack(library, name)

    def factory(**options: Any) -> LibraryAgent:
        return LibraryAgent(LibraryAttack(library, name, options))

    return factory


def attack(
    text: str,
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    radius: float,
    norm: Norm,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    seed: int = 0,
    **options: Any,
) -> Attacked:
    """Run an attack of a library: ``attack("foolbox:LinfPGD", model, x, y, radius=0.3, norm="linf", steps=20)``.

    Options of the attack may also stand in the name, as in agents' names: ``"foolbox:LinfPGD(steps=20)"``.

    See :class:`LibraryAttack` for the arguments, what is returned and what is raised.
    """
    from advgames.agents.registry import parse_name  # which imports this package

    text, named = parse_name(text, text)
    library, name = _split(text)
    run = LibraryAttack(library, name, {**named, **options})
    return run(model, inputs, labels, radius=radius, norm=norm, bounds=bounds, seed=seed)


def names() -> dict[str, list[str]]:
    """The attacks that can be played, by library, of those that are installed. Imports them: seconds."""
    found = {}
    for name, library in LIBRARIES.items():
        try:
            found[name] = library.names() if library.installed else []
        except MissingExtraError:  # installed, but lacks something itself
            found[name] = []
    return {name: attacks for name, attacks in found.items() if attacks}


def _split(text: str) -> tuple[Library, str]:
    library, colon, name = text.partition(":")
    if library not in LIBRARIES or (colon and library == "autoattack"):
        raise UnknownNameError("library of attacks", text if library in LIBRARIES else library, LIBRARIES)
    return LIBRARIES[library], name
