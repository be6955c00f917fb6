"""Settings as validated, immutable models; what is refused becomes one of the suite's named errors."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from advgames.errors import SettingError, UnknownNameError

__all__ = ["Settings", "imported", "parse", "precision"]

_PRECISIONS = {"float32": torch.float32, "float64": torch.float64}

M = TypeVar("M", bound=BaseModel)


class Settings(BaseModel):
    """Base of all settings: immutable, hashable, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def imported(place: str, what: str) -> Any:
    """What ``"my_module:name"`` names; `what` it is to be is said in the error.

    Raises:
        SettingError: there is no such module, or no such name in it.
    """
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingError(f"{what} {place!r} cannot be imported as 'my_module:name': {error}") from error


def precision(dtype: torch.dtype | str) -> torch.dtype:
    """float32 or float64, given as such or by name.

    Raises:
        SettingError: anything else.
    """
    found = _PRECISIONS.get(dtype) if isinstance(dtype, str) else dtype
    if found is None or found not in _PRECISIONS.values():
        raise SettingError(f"dtype must be {' or '.join(_PRECISIONS)}, got {dtype!r}")
    return found


def parse(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """`model` from plain values.

    Raises:
        UnknownNameError: a setting does not exist; names the nearest known.
        SettingError: a value lies outside its domain; names setting, value and what was expected.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        # an unknown name first: it is usually the misspelling of what is missing
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UnknownNameError("setting", name, model.model_fields, where) from None
        said = first["msg"].removeprefix("Value error, ")
        told = f"{name}: {said} (got {first.get('input')!r})" if name else said  # else of several settings together
        raise SettingError(f"{where}: {told}") from None
