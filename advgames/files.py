"""Files, written so that a kill at any moment leaves the old one or the whole new one; names of values in them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

V = TypeVar("V")

__all__ = ["drop_cut_line", "load_tensors", "replace_whole", "save_tensors", "under", "whole_lines", "write_whole"]


def write_whole(path: Path, text: str) -> None:
    """Write a text file, durably."""
    replace_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def replace_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file beside its place, then put it there, durably."""
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    write(part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that is appended to line by line, without a last one that a kill cut short; none where
    there is no file."""
    found = path.read_bytes() if path.exists() else b""
    return found[: found.rfind(b"\n") + 1].decode("utf-8").split("\n")[:-1]


def drop_cut_line(path: Path) -> None:
    """Take away, from such a file, a last line that a kill cut short: before anything is appended."""
    if path.exists() and path.read_bytes()[-1:] not in (b"\n", b""):
        write_whole(path, "".join(f"{line}\n" for line in whole_lines(path)))


def under(values: Mapping[str, V], folder: str) -> dict[str, V]:
    """Of values by names such as ``folder/name``, those of one folder, by their names in it."""
    begin = f"{folder}/"
    return {name.removeprefix(begin): value for name, value in values.items() if name.startswith(begin)}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write tensors, and values that JSON can hold, as one safetensors file; missing folders are made.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file  # here, since the command line imports this module before it needs torch

    path.parent.mkdir(parents=True, exist_ok=True)
    # one storage each, on the CPU: the format refuses tensors that share memory
    whole = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    told = {name: json.dumps(value) for name, value in values.items()}
    try:
        replace_whole(path, lambda part: save_file(whole, part, told))
    except SafetensorError as error:
        raise OSError(str(error)) from error


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`save_tensors` wrote.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is damaged, or no such file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            values = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
            return {name: file.get_tensor(name) for name in file.keys()}, values  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(str(error)) from error
