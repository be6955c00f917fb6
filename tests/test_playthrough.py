"""Golden playthroughs: whole matches, action by action, stay as they are recorded in tests/playthroughs."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "playthroughs"))
from regenerate import PLAYTHROUGHS, folder


@pytest.mark.parametrize("name", PLAYTHROUGHS)
def test_the_match_goes_as_recorded(name: str) -> None:
    recorded = (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    played = PLAYTHROUGHS[name].text().splitlines()
    difference = list(difflib.unified_diff(recorded, played, "recorded", "played now", lineterm="", n=1))
    assert not difference, "\n".join(
        ["if the change is meant, run: python tests/playthroughs/regenerate.py", *difference[:40]]
    )


def test_every_recorded_file_is_tested() -> None:
    assert {path.stem for path in folder.glob("*.txt")} == set(PLAYTHROUGHS)
