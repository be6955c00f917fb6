"""What every test shares: one torch thread, and the real data files where there are any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Victims are trained afresh in every run of the tests, once for all its processes."""
    base = tmp_path_factory.getbasetemp()
    os.environ["ADVGAMES_CACHE"] = str((base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "cache")


REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for ``data_root`` is a ``data`` test, so that ``-m "not data"`` finds it."""
    for item in items:
        if "data_root" in getattr(item, "fixturenames", ()):
            item.add_marker("data")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the real data files: ``ADVGAMES_DATA``, else ``../shared/data`` beside the repository."""
    named = os.environ.get("ADVGAMES_DATA")
    root = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"REAL DATA ABSENT: no folder {root}; ADVGAMES_DATA names the one with mnist/, cifar-10-...")
    return root
