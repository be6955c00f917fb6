"""A place where code may use the global random generators, print and warn, and leaves no trace of it."""

from __future__ import annotations

import contextlib
import io
import logging
import random
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

__all__ = ["sealed"]


@contextlib.contextmanager
def sealed(seed: int) -> Iterator[None]:
    """Seed torch's, numpy's and Python's global generators, silence output, and restore everything afterwards.

    ``numpy.random.RandomState()``, which asks the operating system for a seed, draws it from the seeded numpy
    generator meanwhile. Trace functions (debuggers, coverage), which one library removes, come back too.

    Args:
        seed: in [0, 2**63); numpy takes its lower 32 bits.
    """
    python, numpy, trace = random.getstate(), np.random.get_state(), sys.gettrace()
    handlers = logging.root.handlers[:]  # a first call of `logging.info` adds one
    unseeded = np.random.RandomState
    cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=cuda))
            stack.enter_context(warnings.catch_warnings(record=True))
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            stack.enter_context(np.errstate(all="ignore"))
            stack.enter_context(torch.enable_grad())
            warnings.simplefilter("ignore")
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.random.manual_seed(seed)
            np.random.RandomState = _Seeded  # type: ignore[misc]
            yield
    finally:
        np.random.RandomState = unseeded  # type: ignore[misc]
        random.setstate(python)
        np.random.set_state(numpy)
        logging.root.handlers[:] = handlers
        sys.settrace(trace)


class _Seeded(np.random.RandomState):
    """A RandomState whose default seed is the global generator's next draw."""

    def __init__(self, seed: Any = None) -> None:
        super().__init__(np.random.randint(2**32, dtype=np.uint64) if seed is None else seed)
