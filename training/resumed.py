"""Long trainings that go on where they were stopped: one file beside the result, written between two steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from advgames.errors import DataFileError
from advgames.files import load_tensors, save_tensors

__all__ = ["Resumable", "resumed"]


class Resumable(Protocol):
    """What can be saved and continued exactly."""

    def state(self) -> tuple[dict[str, Tensor], Any]:
        """Tensors, and values that JSON can hold."""

    def restore(self, tensors: Any, values: Any, /) -> None:
        """Take them back."""


def resumed(
    file: Path, training: Resumable, step: Callable[[], bool], told: Callable[[], str], every: float = 30.0
) -> None:
    """Step until there is nothing left, from where `file` says.

    Args:
        file: where the training is kept; a kill costs at most `every` seconds and the step it came in. It is the
            caller's to delete, once the result is safe.
        training: what is trained.
        step: one step of it; False: there was none left.
        told: what to say of the last step.

    Raises:
        DataFileError: the file is damaged.
    """
    if file.exists():
        try:
            tensors, values = load_tensors(file)
            training.restore(tensors, values["values"])
        except (OSError, ValueError, LookupError, RuntimeError) as error:
            raise DataFileError(f"{file}: an interrupted training that cannot be read ({error}); delete it") from error
    saved = time.monotonic()
    while step():
        print(told(), file=sys.stderr, flush=True)
        if time.monotonic() - saved >= every:
            tensors, values = training.state()
            save_tensors(file, tensors, {"values": values})
            saved = time.monotonic()
