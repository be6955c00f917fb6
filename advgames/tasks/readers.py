"""Readers of the original data files: IDX (MNIST, Fashion-MNIST) and CIFAR-10 in both of its layouts."""

from __future__ import annotations

import gzip
import math
import os
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advgames.errors import DataFileError
from advgames.tasks.pickled import load_batch

__all__ = ["Arrays", "data_root", "find_idx", "read_cifar10", "read_idx", "read_mnist"]

_CLASSES = 10
_UNSIGNED_BYTE = 0x08  # the element type in the third byte of an IDX magic number
_CIFAR_SHAPE = (3, 32, 32)
_CIFAR_PIXELS = math.prod(_CIFAR_SHAPE)

_STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_IDX_FOLDERS = {
    "mnist": ("mnist", "MNIST/raw", "MNIST"),
    "fashion-mnist": ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST"),
}
_CIFAR_FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")
_CIFAR_HINT = (
    "get the original CIFAR-10 distribution, binary or python version, and place its folder "
    "cifar-10-batches-bin/ or cifar-10-batches-py/ in the data root"
)


class Arrays(NamedTuple):
    """A data set as it lies on disk."""

    train_images: NDArray[np.uint8]  # (N, C, H, W)
    train_labels: NDArray[np.int64]  # (N,)
    test_images: NDArray[np.uint8]  # (M, C, H, W)
    test_labels: NDArray[np.int64]  # (M,)


def data_root(explicit: str | Path | None = None) -> Path | None:
    """The folder of the data files: ``explicit``, else the environment variable ADVGAMES_DATA, else None."""
    named = explicit if explicit is not None else os.environ.get("ADVGAMES_DATA") or None
    return None if named is None else Path(named).expanduser()


def read_mnist(root: str | Path | None, name: str = "mnist") -> Arrays:
    """MNIST or Fashion-MNIST from its four IDX files, packed (.gz) or not.

    Args:
        root: the data root; the files lie in ``<root>/<name>/``, ``<root>/MNIST/raw/``
            (``<root>/FashionMNIST/raw/``) or in ``<root>`` itself.
        name: ``"mnist"`` or ``"fashion-mnist"``.

    Returns:
        Images (N, 1, 28, 28) and labels (N,), training and test.

    Raises:
        DataFileError: no data root, or a file is missing, truncated or damaged.
    """
    hint = (
        f"get the four IDX files of the original {name} distribution ({', '.join(_STEMS)}; "
        f".gz or not) and place them in the folder {name}/ of the data root"
    )
    folder = _idx_folder(_existing(root, hint), name, hint)
    train, train_labels, test, test_labels = (find_idx(folder, stem, hint) for stem in _STEMS)
    return Arrays(*_idx_pair(train, train_labels, hint), *_idx_pair(test, test_labels, hint))


def read_cifar10(root: str | Path | None) -> Arrays:
    """CIFAR-10 from its original batches, binary or python, any number of training batches.

    Args:
        root: the data root, holding ``cifar-10-batches-bin/`` or ``cifar-10-batches-py/``, or one of the two
            itself.

    Returns:
        Images (N, 3, 32, 32) and labels (N,), training and test.

    Raises:
        DataFileError: no data root, or a file is missing, truncated or damaged. (A binary batch that was cut
            exactly between two records is whole as far as its format can tell.)
    """
    folder = _existing(root, _CIFAR_HINT)
    for place in (*(folder / sub for sub in _CIFAR_FOLDERS), folder):
        for suffix, read in ((".bin", _binary_batch), ("", _python_batch)):
            train, test = _numbered(place, suffix), place / f"test_batch{suffix}"
            if train or test.is_file():
                parts = [read(path) for path in train or [place / f"data_batch_1{suffix}"]]
                images, labels = zip(*parts, strict=True)
                return Arrays(np.concatenate(images), np.concatenate(labels), *read(test))
    raise _failure(folder, f"no CIFAR-10 batches here, nor in {' or '.join(_CIFAR_FOLDERS)}", _CIFAR_HINT)


def find_idx(folder: str | Path, stem: str, hint: str = "") -> Path:
    """The IDX file ``stem`` (such as ``train-images-idx3-ubyte``) in ``folder``.

    Both spellings in circulation count (``-idx3-ubyte`` and ``.idx3-ubyte``), each packed (.gz) or not.

    Raises:
        DataFileError: there is none; ``hint`` (how to get it) ends the message, here as below.
    """
    spellings = (stem, stem.replace("-idx", ".idx"))
    names = [spelling + packing for packing in ("", ".gz") for spelling in spellings]
    for name in names:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise _failure(Path(folder) / stem, f"the file is missing (looked for {', '.join(names)})", hint)


def read_idx(path: str | Path, dimensions: int | None = None, hint: str = "") -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes, packed (.gz) or not.

    The format: two zero bytes, the element type, the number of dimensions; each dimension as a big-endian
    32-bit integer; then the elements, last dimension fastest.

    Args:
        path: the file.
        dimensions: how many the array must have; None: as many as the file says.

    Raises:
        DataFileError: the file cannot be read or unpacked, or its magic number, its dimensions or its length
            are wrong.
    """
    path = Path(path)
    content = _unpacked(path, hint)
    magic = content[:4]
    if len(magic) < 4:
        raise _failure(path, f"expected at least 4 bytes, found {len(magic)}", hint)
    found = magic[3]
    if magic[:3] != bytes([0, 0, _UNSIGNED_BYTE]) or found == 0 or dimensions not in (None, found):
        wanted = f"0x{(_UNSIGNED_BYTE << 8) + dimensions:08x}" if dimensions else "0x00000801 to 0x000008ff"
        raise _failure(path, f"wrong magic number 0x{magic.hex()}, expected {wanted}", hint)
    start = 4 + 4 * found
    if len(content) < start:
        raise _failure(path, f"expected a header of {start} bytes, found {len(content)} bytes in all", hint)
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise _failure(path, f"expected {expected:,} bytes for shape {tuple(shape)}, found {len(content):,}", hint)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _failure(path: Path, what: str, hint: str) -> DataFileError:
    return DataFileError(f"{path}: {what}{f'; {hint}' if hint else ''}")


def _existing(root: str | Path | None, hint: str) -> Path:
    if root is None:
        raise DataFileError(f"no data root: set --data-root or ADVGAMES_DATA; {hint}")
    if not Path(root).is_dir():
        raise _failure(Path(root), "the data root is no folder", hint)
    return Path(root)


def _idx_folder(root: Path, name: str, hint: str) -> Path:
    """Where the files of ``name`` lie; a folder that says it holds the other data set is not taken for it."""
    if name not in _IDX_FOLDERS:
        raise DataFileError(f"no IDX data set called {name!r}; known: {', '.join(_IDX_FOLDERS)}")
    places = [root / folder for folder in _IDX_FOLDERS[name]]
    others = [folder.lower() for key, folders in _IDX_FOLDERS.items() if key != name for folder in folders]
    if not any(f"/{root.resolve().as_posix().lower()}".endswith(f"/{other}") for other in others):
        places.append(root)
    for place in places:
        if any(place.glob("train-*ubyte*")) or any(place.glob("t10k-*ubyte*")):
            return place
    raise _failure(root, f"no IDX files in {', '.join(str(place) for place in places)}", hint)


def _idx_pair(images_path: Path, labels_path: Path, hint: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = read_idx(images_path, dimensions=3, hint=hint)
    labels = read_idx(labels_path, dimensions=1, hint=hint)
    if images.shape[1:] != (28, 28):
        raise _failure(
            images_path,
            f"expected images of 28 x 28 pixels, found {images.shape[1]} x {images.shape[2]}",
            hint,
        )
    return images[:, None], _labels(labels, len(images), labels_path, hint)


def _labels(raw: NDArray[Any], images: int, path: Path, hint: str) -> NDArray[np.int64]:
    """``raw`` as int64, one for each of the images, each in 0..9."""
    if len(raw) != images:
        raise _failure(path, f"expected {images:,} labels, one for each image, found {len(raw):,}", hint)
    if images == 0:
        raise _failure(path, "expected at least one image, found none", hint)
    outside = np.flatnonzero((raw < 0) | (raw >= _CLASSES))
    if outside.size:
        at = int(outside[0])
        raise _failure(path, f"labels out of range: expected 0 to {_CLASSES - 1}, found {raw[at]} at {at}", hint)
    return raw.astype(np.int64)


def _content(path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _failure(path, f"the file cannot be read ({error.strerror or error})", hint) from error


def _unpacked(path: Path, hint: str) -> bytes:
    """The bytes of a file that may be packed; its content decides, since unpacking does not always rename."""
    content = _content(path, hint)
    if content[:2] != b"\x1f\x8b" and (path.suffix != ".gz" or content[:2] == b"\0\0"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise _failure(path, f"broken gzip file of {len(content):,} bytes ({error})", hint) from error


def _numbered(folder: Path, suffix: str) -> list[Path]:
    """The training batches of one layout in the order of their numbers (data_batch_10 after data_batch_9)."""
    name = re.compile(rf"data_batch_(\d+){re.escape(suffix)}")
    found = ((name.fullmatch(path.name), path) for path in folder.glob("data_batch_*"))
    return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]


def _binary_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Records of one label byte and 3,072 pixel bytes: red, green, blue plane, row by row."""
    content = _content(path, _CIFAR_HINT)
    record = 1 + _CIFAR_PIXELS
    over = len(content) % record
    if over:
        what = f"expected a multiple of {record:,} bytes, found {len(content):,} ({over:,} over)"
        raise _failure(path, what, _CIFAR_HINT)
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    labels = _labels(records[:, 0], len(records), path, _CIFAR_HINT)
    return records[:, 1:].reshape(-1, *_CIFAR_SHAPE).copy(), labels


def _python_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A pickled dictionary: ``data`` (N, 3072) in the planes of the binary layout, ``labels`` a list of N."""
    content = _content(path, _CIFAR_HINT)
    try:
        pixels, labels = load_batch(content)
    except Exception as error:  # damaged pickles raise nearly anything
        what = f"broken or foreign pickle of {len(content):,} bytes ({type(error).__name__}: {error})"
        raise _failure(path, what, _CIFAR_HINT) from error
    if pixels.shape[1] != _CIFAR_PIXELS:
        what = f"expected {_CIFAR_PIXELS:,} bytes for each image, found {pixels.shape[1]:,}"
        raise _failure(path, what, _CIFAR_HINT)
    return pixels.reshape(-1, *_CIFAR_SHAPE), _labels(labels, len(pixels), path, _CIFAR_HINT)
