"""Where the human render mode shows a match: a picture file that viewers reload, or lines on the standard output."""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

__all__ = ["Paper", "Screen"]


class Screen:
    """One PNG in the system's temporary folder, replaced by every new picture; :meth:`close` or the end removes it.

    The first picture says on stderr where it is.

    Args:
        name: becomes part of the file's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.path: Path | None = None

    def show(self, frame: NDArray[Any]) -> None:
        """Replace the picture, in one step, by `frame` (H, W, 3) uint8."""
        from matplotlib.image import imsave

        if self.path is None:
            handle, path = tempfile.mkstemp(prefix=f"advgames-{self._name}-", suffix=".png")
            os.close(handle)
            self.path = Path(path)
            self._remove = weakref.finalize(self, self.path.unlink, missing_ok=True)
            print(f"advgames draws this match into {path}", file=sys.stderr)
        fresh = self.path.with_suffix(".new.png")
        imsave(fresh, frame)
        fresh.replace(self.path)

    def close(self) -> None:
        """Remove the picture."""
        if self.path is not None:
            self._remove()
            self.path = None


class Paper:
    """The standard output, for a text that grows at its end: of every showing only the lines that are new."""

    def __init__(self) -> None:
        self._printed = 0

    def begin(self) -> None:
        """Another text begins."""
        self._printed = 0

    def show(self, text: str) -> None:
        """Print the lines that were not there before."""
        lines = text.split("\n")
        for line in lines[self._printed :]:
            print(line, flush=True)
        self._printed = max(self._printed, len(lines))
