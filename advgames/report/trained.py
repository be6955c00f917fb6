"""What came of a training as one picture: the table of payoffs, and how exploitable the players were as it went on."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advgames.errors import ResultsMismatchError
from advgames.files import write_whole
from advgames.report.numbers import decimals, number
from advgames.report.svg import ATTACK, COLOURS, figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FILE", "write_picture"]

FILE = "result.json"  # what `advgames train` writes
MOST_NUMBERS = 12  # rows or columns up to which a table's cells are told in numbers


def write_picture(folder: str | Path) -> Path:
    """Write ``training.svg`` into the folder of a training that has ended; its path.

    Raises:
        ResultsMismatchError: the folder holds no training that has ended.
    """
    file = Path(folder) / FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        text = _drawn(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsMismatchError(f"{file}: no training that has ended: {error}") from error
    path = Path(folder) / "training.svg"
    write_whole(path, text)
    return path


def _drawn(found: Mapping[str, Any]) -> str:
    payoff, told = np.array(found["payoff"], dtype=float), found["exploitability"]
    wide, high = 1.6 + 0.62 * min(payoff.shape[1], 14), 1.4 + 0.36 * min(payoff.shape[0], 14)
    with style("training"):
        drawn = figure(wide + (4.6 if told else 0.0), max(high, 2.9 if told else 0.0))
        ratios = {"width_ratios": [wide, 4.6]} if told else {}
        axes: Any = drawn.subplots(1, 2 if told else 1, squeeze=False, gridspec_kw=ratios)[0]
        _table(axes[0], found, payoff)
        if told:
            _curve(axes[1], found)
        buffer = io.StringIO()
        drawn.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _table(axes: Axes, found: Mapping[str, Any], payoff: Any) -> None:
    """The row player's mean payoffs, the highest darkest."""
    row, column = found["players"]
    axes.imshow(payoff, cmap="Oranges", aspect="auto")
    axes.set_xticks(range(payoff.shape[1]), found["columns"], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(payoff.shape[0]), found["rows"])
    axes.set_xlabel(column)
    axes.set_ylabel(row)
    axes.set_title(f"payoff of the {row}", loc="left", fontsize=9.5)
    axes.grid(visible=False)
    if max(payoff.shape) <= MOST_NUMBERS:
        places, middle = decimals(payoff.ravel().tolist()), (payoff.min() + payoff.max()) / 2
        for i, j in np.ndindex(payoff.shape):
            colour = "#FFFFFF" if payoff[i, j] > middle + np.ptp(payoff) / 4 else "#222222"
            axes.text(j, i, number(payoff[i, j], places), ha="center", va="center", color=colour, fontsize=8.5)


def _curve(axes: Axes, found: Mapping[str, Any]) -> None:
    """Exploitability of each level or iteration, and each player's part with its interval."""
    ladder = found["method"] == "ladder"
    at = np.arange(len(found["exploitability"])) + (0 if ladder else 1)
    for n, player in enumerate(found["players"]):
        gains = [step[player] for step in found["gains"]]
        halves = [step[player] or 0.0 for step in found["intervals"]]
        look: dict[str, Any] = {"fmt": "o--", "color": COLOURS[n], "markersize": 4, "linewidth": 1, "capsize": 2}
        axes.errorbar(at, gains, halves, label=player, **look)
    axes.plot(at, found["exploitability"], "o-", color=ATTACK, markersize=5, linewidth=1.6, label="both")
    axes.axhline(0.0, color="#888888", linewidth=0.8)
    axes.set_xticks(at)
    axes.set_xlabel("level" if ladder else "iteration")
    axes.set_title("what replies gain: exploitability, estimated", loc="left", fontsize=9.5)
    axes.legend(frameon=False, fontsize=8.5)
