"""Writing files so that a kill at any moment leaves the old one or the whole new one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

__all__ = ["replace_whole", "write_whole"]


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
