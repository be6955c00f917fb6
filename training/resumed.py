"""Long trainings that go on where they were stopped: one file beside the result, written between two steps."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from advgames.errors import DataFileError
from advgames.files import replace_whole

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
    """Step until there is nothing left, from where `file` says; it is gone in the end.

    Args:
        file: where the training is kept, at least `every` seconds apart and when it is interrupted.
        training: what is trained.
        step: one step of it; False: there was none left.
        told: what to say of the last step.
    """
    if file.exists():
        training.restore(*_read(file))
    saved = time.monotonic()
    while step():
        print(told(), file=sys.stderr, flush=True)
        if time.monotonic() - saved >= every:
            _write(file, *training.state())
            saved = time.monotonic()
    file.unlink(missing_ok=True)


def _write(file: Path, tensors: Mapping[str, Tensor], values: Any) -> None:
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    replace_whole(file, lambda part: save_file(whole, part, {"values": json.dumps(values)}))


def _read(file: Path) -> tuple[dict[str, Tensor], Any]:
    try:
        with safe_open(str(file), framework="pt") as opened:
            values = json.loads(opened.metadata()["values"])
            return {name: opened.get_tensor(name) for name in opened.keys()}, values  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataFileError(f"{file}: an interrupted training that cannot be read ({error}); delete it") from error
