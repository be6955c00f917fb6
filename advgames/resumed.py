"""Long trainings that go on where they were stopped: one file, written between two steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
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
    file: Path,
    training: Resumable,
    step: Callable[[], bool],
    told: Callable[[], object],
    what: str = "",
    every: float = 30.0,
    optional: bool = False,
) -> None:
    """Step until there is nothing left, from where `file` says.

    Args:
        file: where the training is kept; a kill costs at most `every` seconds and the step it came in. It is the
            caller's to delete, once the result is safe.
        training: what is trained.
        step: one step of it; False: there was none left.
        told: called after every step.
        what: what the training follows from: a file of another one is refused.
        every: seconds between two writings.
        optional: a file that is damaged counts for nothing, and one that cannot be written is no reason to stop.

    Raises:
        DataFileError: the file is damaged, or of another training.
    """
    if file.exists():
        begin = training.state()
        try:
            tensors, values = load_tensors(file)
            if values["what"] != what:
                raise ValueError("it is of another training")
            training.restore(tensors, values["values"])
        except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
            if not optional:
                raise DataFileError(f"{file}: no training that can go on here ({error}); delete it") from error
            training.restore(*begin)
    saved = time.monotonic()
    while step():
        if time.monotonic() - saved >= every:
            tensors, values = training.state()
            with suppress(OSError) if optional else nullcontext():
                save_tensors(file, tensors, {"what": what, "values": values})
            saved = time.monotonic()
        told()
