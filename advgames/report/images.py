"""Inputs as pictures: clean x, delta, x', sigma, x'' of a few matches, as small inline PNGs."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advgames.report.panels import Panel

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
        given: the victim's classes of x, x' and x'' for each input, or empty.
    """

    row: str
    column: str
    seed: int
    stages: dict[str, list[str]]
    labels: list[str]
    given: list[list[str]]


def strips(left: Sequence[Panel], most: int = 3, tiles: int = 6) -> list[Strip]:
    """Strips of the first panels that hold images."""
    found = [panel for panel in left if _holds_images(panel.arrays)][:most]
    count = max(3, min(tiles, 15 // len(found))) if found else tiles
    reach = max((float(np.abs(_scaled(p.arrays, name)).max()) for p in found for name in PERTURBATIONS), default=0.0)
    return [
        Strip(
            panel.row,
            panel.column,
            panel.seed,
            {name: _tiles(name, panel.arrays, reach or 1.0, count) for name in STAGES},
            [f"{label}" for label in panel.arrays["labels"][:count].tolist()] if "labels" in panel.arrays else [],
            [[str(c) for c in classes] for classes in panel.arrays.get("given", np.zeros((0, 3)))[:count].tolist()],
        )
        for panel in found
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


def _holds_images(arrays: dict[str, NDArray[Any]]) -> bool:
    """Whether every stage is images (n, C, H, W) with one or three channels."""
    images = [arrays.get(name) for name in STAGES]
    return all(image is not None and image.ndim == 4 and image.shape[1] in (1, 3) for image in images)


def _scaled(arrays: dict[str, NDArray[Any]], name: str) -> NDArray[np.float64]:
    """A stage; perturbations in input units where the panel knows the players' radii, else in radii."""
    known = name in PERTURBATIONS and "radii" in arrays
    scaled: NDArray[np.float64] = arrays[name] * (arrays["radii"][PERTURBATIONS.index(name)] if known else 1.0)
    return scaled.astype(np.float64)


def _tiles(name: str, arrays: dict[str, Array], reach: float, count: int) -> list[str]:
    images = np.moveaxis(_scaled(arrays, name)[:count], 1, -1)  # (n, H, W, C)
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
