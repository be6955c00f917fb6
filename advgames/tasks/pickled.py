"""The pickled CIFAR-10 batches, loaded without letting a pickle import or call anything."""

from __future__ import annotations

import pickle
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_batch"]


def load_batch(content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The fields ``data`` (N, 3072) and ``labels`` (N,) of a pickled batch, of any protocol.

    Raises:
        Exception: of nearly any kind, when the pickle is damaged; ``pickle.UnpicklingError`` when it asks for
            a name that no batch needs.
    """
    batch = _BatchUnpickler(BytesIO(content), encoding="bytes").load()
    fields = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
    labels = np.array(fields["labels"])
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"expected a list of integers as labels, found {labels.dtype} of shape {labels.shape}")
    return fields["data"].pixels(), labels.astype(np.int64)


class _PickledArray:
    """Stands for a pickled numpy array: keeps its state, for :meth:`pixels` to check."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def pixels(self) -> NDArray[np.uint8]:
        """The array, if it is one of unsigned bytes, two-dimensional and in C order."""
        _, shape, dtype, fortran, raw = self.state
        count, width = shape
        if dtype.name not in ("u1", b"u1") or fortran:
            raise ValueError(f"expected unsigned bytes in C order, found {dtype.name!r}")
        return np.frombuffer(raw, np.uint8).reshape(count, width).copy()


class _PickledDtype:
    """Stands for a pickled numpy dtype: keeps its name."""

    def __init__(self, name: str | bytes, *_: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment: nothing to a byte."""


def _from_buffer(raw: bytes, dtype: _PickledDtype, shape: tuple[int, ...], order: str) -> _PickledArray:
    """How protocol 5 pickles a contiguous array."""
    array = _PickledArray()
    array.state = (1, shape, dtype, order not in ("C", b"C"), raw)
    return array


def _encoded(text: str, _: str | bytes) -> bytes:
    """How protocol 2 of Python 3 pickles bytes: as text, one character a byte."""
    return text.encode("latin1")


class _BatchUnpickler(pickle.Unpickler):
    """Plain containers and byte arrays; whatever else a pickle asks for is refused, never imported.

    Even numpy's own functions are stand-ins here: the state of a pickled dtype or array is not to be trusted.
    """

    _STAND_INS: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledDtype,
        ("_codecs", "encode"): _encoded,
        **{(f"numpy.{core}.multiarray", "_reconstruct"): _PickledArray for core in ("core", "_core")},
        **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return self._STAND_INS[module, name]
