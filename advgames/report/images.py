"""Inputs as pictures: clean x, delta, x', sigma, x'' of a few matches, as small inline PNGs."""

from __future__ import annotations

import base64
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from advgames.report.view import View

__all__ = ["Strip", "png", "strips"]

Array = NDArray[np.float32]
STAGES = ("clean", "attack", "attacked", "defense", "repaired")
PERTURBATIONS = ("attack", "defense")
MORE = np.array([179, 88, 6], dtype=np.float64)  # brown: the perturbation adds
LESS = np.array([84, 39, 136], dtype=np.float64)  # purple: it takes away; both of ColorBrewer's PuOr


@dataclass(frozen=True)
class Strip:
    """A few inputs of one match, stage by stage.

    Attributes:
        row, column: the strategies.
        seed: of the match.
        stages: stage -> data URIs of its tiles.
        labels: class of each input, or empty.
    """

    row: str
    column: str
    seed: int
    stages: dict[str, list[str]]
    labels: list[str]


def strips(view: View, directory: Path, most: int = 3, tiles: int = 6) -> list[Strip]:
    """Panels of the most telling pairs that have any; files that are absent or unreadable are passed over."""
    found: list[tuple[str, str, int, dict[str, Array]]] = []
    for row, column in _telling(view):
        loaded = ((r.seed, _load(directory, r.panels)) for r in view.of_pair(row, column))
        seed, arrays = next(((seed, arrays) for seed, arrays in loaded if arrays is not None), (0, None))
        if arrays is not None and len(found) < most:
            found.append((row, column, seed, arrays))
    count = max(3, min(tiles, 15 // len(found))) if found else tiles
    reach = max((float(np.abs(a[name]).max()) for *_, a in found for name in PERTURBATIONS), default=0.0) or 1.0
    return [
        Strip(
            row,
            column,
            seed,
            {name: _tiles(name, arrays, reach, count) for name in STAGES},
            [f"{label}" for label in arrays["labels"][:count].tolist()] if "labels" in arrays else [],
        )
        for row, column, seed, arrays in found
    ]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """An RGB or grey image, (H, W, 3) or (H, W) uint8, as a PNG file."""
    height, width = pixels.shape[:2]
    lines = pixels.reshape(height, -1)
    raw = np.hstack([np.zeros((height, 1), dtype=np.uint8), lines]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _telling(view: View) -> list[tuple[str, str]]:
    """Pairs in the order in which a reader wants to see them: the attack alone, answered, at equilibrium, the rest."""
    from advgames.report.story import Duel

    row, column = view.players
    pairs = [(r, c) for r in view.spec.players[row] for c in view.spec.players[column]]
    wanted: list[tuple[str, str]] = []
    duel = Duel.of(view)
    if duel is not None:
        undefended = next(iter(_null_defences(view)), None)
        wanted = [(duel.attack, name) for name in (undefended, duel.defence) if name is not None]
        if row != "attacker":
            wanted = [(c, r) for r, c in wanted]
    likely = sorted(pairs, key=lambda pair: -view.weight(*pair))
    if view.solution is not None:
        wanted.append(likely[0])
    return list(dict.fromkeys([*wanted, *reversed(pairs)]))


def _null_defences(view: View) -> Sequence[str]:
    from advgames.report.view import is_null

    return [name for name in view.spec.players.get("defender", []) if is_null(name)]


def _load(directory: Path, panels: str | None) -> dict[str, Array] | None:
    """The arrays of a panels file, if it is there and holds images (n, C, H, W) with one or three channels."""
    if panels is None:
        return None
    try:
        with np.load(directory / panels, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, KeyError, zlib.error, zipfile.BadZipFile):
        return None
    images = [arrays.get(name) for name in STAGES]
    if any(image is None or image.ndim != 4 or image.shape[1] not in (1, 3) for image in images):
        return None
    return arrays


def _tiles(name: str, arrays: dict[str, Array], reach: float, count: int) -> list[str]:
    images = np.moveaxis(arrays[name][:count].astype(np.float64), 1, -1)  # (n, H, W, C)
    if name in PERTURBATIONS:
        return [_uri(_diverging(image / reach)) for image in images]
    low, high = _range(arrays)
    return [_uri(_grey(np.clip((image - low) / (high - low), 0, 1))) for image in images]


def _range(arrays: dict[str, Array]) -> tuple[float, float]:
    """Black and white of the pictures: 0 and 1 where the clean inputs lie between, else what occurs."""
    clean = arrays["clean"]
    if clean.min() >= 0 and clean.max() <= 1:
        return 0.0, 1.0
    seen = np.stack([arrays[name] for name in ("clean", "attacked", "repaired")])
    return float(seen.min()), max(float(seen.max()), float(seen.min()) + 1e-9)


def _grey(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    pixels = np.rint(255 * image).astype(np.uint8)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _diverging(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A perturbation in [-1, 1]: white is none; with three channels, grey is none and each channel its own."""
    if image.shape[-1] == 3:
        return np.rint(127.5 + 127.5 * np.clip(image, -1, 1)).astype(np.uint8)
    strength = np.clip(np.abs(image), 0, 1)
    colour = np.where(image > 0, MORE, LESS)
    pixels: NDArray[np.uint8] = np.rint(255 + strength * (colour - 255)).astype(np.uint8)
    return pixels


def _uri(pixels: NDArray[np.uint8]) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"
