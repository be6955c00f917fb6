"""Every error the suite raises on bad input: what was wrong, what was expected, where it came from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AccessError",
    "ActionDeviceError",
    "ActionDtypeError",
    "ActionError",
    "ActionShapeError",
    "AdvgamesError",
    "ConfigError",
    "DataFileError",
    "InputError",
    "MissingExtraError",
    "NonFiniteActionError",
    "PhaseError",
    "RadiusExceededError",
    "ResultsMismatchError",
    "SettingError",
    "UnknownNameError",
    "UnsupportedFormError",
    "VictimError",
]


_MANY = 40  # names are not all told in an error


class AdvgamesError(Exception):
    """Base of all named errors of the suite."""


class UnknownNameError(AdvgamesError, LookupError):
    """A game, task, agent, victim or setting that does not exist; the message names the nearest known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        known = sorted(known)
        close = difflib.get_close_matches(str(name).lower(), {each.lower(): 0 for each in known}, n=3, cutoff=0.5)
        near = [each for plain in close for each in known if each.lower() == plain]
        shown = ", ".join(known) if len(known) <= _MANY else f"{', '.join(known[:_MANY])} and {len(known) - _MANY} more"
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {shown}"
        super().__init__(f"unknown {kind} {name!r}{f' in {where}' if where else ''}; {hint}")
        self.kind, self.name, self.known, self.nearest = kind, name, known, near

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_unknown_name, (self.kind, self.name, self.known, str(self))


def _rebuild_unknown_name(kind: str, name: str, known: list[str], message: str) -> UnknownNameError:
    """Unpickle an :class:`UnknownNameError` (errors cross process borders in tournaments)."""
    error = UnknownNameError(kind, name, known)
    error.args = (message,)
    return error


class SettingError(AdvgamesError, ValueError):
    """A setting of a game, task or agent lies outside its domain."""


class ConfigError(AdvgamesError, ValueError):
    """A configuration file does not say what it must, or says what nobody understands."""


class DataFileError(AdvgamesError, OSError):
    """A data file is missing, truncated or damaged; the message says which, what, and how to get it."""


class ResultsMismatchError(AdvgamesError, ValueError):
    """A results directory belongs to another tournament, or its contents were altered."""


class AccessError(AdvgamesError, PermissionError):
    """A player asked for knowledge that its threat model does not grant."""


class PhaseError(AdvgamesError, RuntimeError):
    """A player moved out of turn, or a match was stepped after its end."""


class UnsupportedFormError(AdvgamesError, NotImplementedError):
    """A game has no environment of the requested form (such as a parallel form of an alternating game)."""


class InputError(AdvgamesError, ValueError):
    """Inputs or labels that an attack cannot start from: wrong dtype, shape or device, not finite, out of range."""


class VictimError(AdvgamesError, ValueError):
    """A victim that cannot be attacked as it is: in training mode with dropout or batch norm, or giving no logits."""


class MissingExtraError(AdvgamesError, ImportError):
    """A library that this needs is not installed; the message says which, and how to get it."""


class ActionError(AdvgamesError, ValueError):
    """An action that the rules do not allow; the game's state is unchanged."""


class ActionShapeError(ActionError):
    """The action has the wrong shape."""


class ActionDtypeError(ActionError, TypeError):
    """The action is no tensor, or has the wrong dtype."""


class ActionDeviceError(ActionError):
    """The action lies on another device than the game."""


class NonFiniteActionError(ActionError):
    """The action contains NaN or infinity."""


class RadiusExceededError(ActionError):
    """The perturbation is longer than its radius allows (its norm in units of the radius exceeds 1)."""
