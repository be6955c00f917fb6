"""Plots as inline SVG: learning curves of every pair, and every match as a dot."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from advgames.report.numbers import number
from advgames.report.svg import ATTACK, COLOURS, DEFENCE, QUIET, figure, style, svg
from advgames.report.view import View, is_null

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from advgames.results import MatchRecord

__all__ = [
    "MARKERS",
    "MOST",
    "caption",
    "curve_names",
    "dots",
    "learning_curves",
    "shown_strategies",
    "spans_decades",
    "wrapped",
]

MARKERS = "osD^vPX*"
MOST = 6  # strategies of one player whose curves fit on a page
WIDE = 50.0  # ratio of largest to smallest value from which an axis is logarithmic

LABELS = {
    "test_accuracy": ("test accuracy, %", 100.0, DEFENCE),
    "validation_loss": ("validation loss", 1.0, ATTACK),
    "test_loss": ("test loss", 1.0, ATTACK),
}


def curve_names(view: View) -> list[str]:
    """The curves worth a figure: accuracy and validation loss where there are any."""
    names = {name for record in view.records for name in record.curves}
    return [name for name in ("test_accuracy", "validation_loss") if name in names]


def caption(name: str) -> str:
    """A curve's name and unit."""
    return LABELS.get(name, (name.replace("_", " "),))[0]


def shown_strategies(view: View, player: str) -> list[str]:
    """The strategies whose curves are drawn: all up to six, else those of the equilibrium and the first others."""
    names = view.spec.players[player]
    if len(names) <= MOST:
        return list(names)
    mix = view.solution.mix(player) if view.solution else {}
    kept = sorted(names, key=lambda name: (-(mix.get(name, 0.0) > 0.005), names.index(name)))[:MOST]
    return [name for name in names if name in kept]


def learning_curves(view: View, name: str) -> str:
    """Small multiples, one panel per pair: mean over seeds, band from the lowest to the highest seed."""
    row, column = view.players
    rows, columns = shown_strategies(view, row), shown_strategies(view, column)
    _, scale, colour = LABELS.get(name, (name, 1.0, DEFENCE))
    curves = {(r, c): _curves(view.of_pair(r, c), name, scale) for r in rows for c in columns}
    values = np.concatenate([found[1].ravel() for found in curves.values() if found] or [np.zeros(0)])
    quiet = _quiet(view, name, scale)
    with style(f"curves {name}"):
        drawn = figure(11.0, 0.75 + 1.75 * len(rows))
        grid: Any = drawn.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
        if spans_decades(values):
            grid[0, 0].set_yscale("log")
        for i, r in enumerate(rows):
            for j, c in enumerate(columns):
                axes = grid[i, j]
                if quiet is not None:
                    axes.plot(quiet[0], quiet[1].mean(0), color=QUIET, linewidth=1.3, linestyle=(0, (4, 2)))
                _panel(axes, curves[r, c], colour, name)
                if i == 0:
                    _heading(axes, wrapped(f"{column} {c}", 100 // len(columns)))
                if j == 0:
                    axes.set_ylabel(wrapped(f"{row} {r}", 18), fontsize=10, fontweight="bold", labelpad=7)
                if i == len(rows) - 1:
                    axes.set_xlabel("round")
        return svg(drawn)


def dots(view: View) -> str:
    """Every match as a dot: a line per pair, a dot per seed."""
    assert view.outcome is not None and view.measure is not None
    table, measure = view.outcome, view.measure
    row, column = view.players
    pairs = [(r, c) for r in table.rows for c in table.columns]
    values = [measure.scale * v for cell in table.samples.values() for v in cell.values()]
    log = spans_decades(values)
    floor = min(v for v in values if v > 0) if log else -np.inf  # a logarithmic axis has no zero
    with style("dots"):
        drawn = figure(11.0, 0.8 + 0.24 * len(pairs) + 0.12 * len(table.rows))
        axes: Any = drawn.subplots()
        if log:
            axes.set_xscale("log")
        heights, height = [], 0.0
        for k, (r, c) in enumerate(pairs):
            if k and r != pairs[k - 1][0]:
                axes.axhline(height + 0.75, color="#BBBBBB", linewidth=0.8)
                height += 0.5
            height += 1.0
            heights.append(height)
            place = table.columns.index(c)
            colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
            cell = [max(measure.scale * v, floor) for v in table.samples.get((r, c), {}).values()]
            if cell:
                axes.plot([min(cell), max(cell)], [height] * 2, color=colour, linewidth=1.2, alpha=0.5)
            axes.plot(cell, [height] * len(cell), marker, color=colour, markersize=6, alpha=0.75, markeredgewidth=0)
        axes.set_yticks(heights, [f"{r} vs {c}" for r, c in pairs])
        axes.set_ylim(height + 0.7, 0.3)
        axes.set_xlabel(f"{measure.label}{', %' if measure.share else ''}  ({row} vs {column})")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        return svg(drawn)


def _quiet(view: View, name: str, scale: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The curves of the match in which nobody interferes, where it was played."""
    row, column = view.players
    for r in filter(is_null, view.spec.players[row]):
        for c in filter(is_null, view.spec.players[column]):
            return _curves(view.of_pair(r, c), name, scale)
    return None


def _curves(records: Sequence[MatchRecord], name: str, scale: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Rounds and values of one pair, (T,) and (seeds, T), at the rounds of its first record."""
    having = [r for r in records if r.curves.get(name) and len(r.curves[name]) == len(r.curves.get("round", []))]
    if not having:
        return None
    rounds = np.asarray(having[0].curves["round"], dtype=float)
    return rounds, scale * np.stack([np.interp(rounds, r.curves["round"], r.curves[name]) for r in having])


def _panel(axes: Axes, found: tuple[np.ndarray, np.ndarray] | None, colour: str, name: str) -> None:
    if found is None:
        axes.text(0.5, 0.5, "not played", transform=axes.transAxes, ha="center", va="center", color="#777777")
        return
    rounds, values = found
    mean = values.mean(0)
    axes.fill_between(rounds, values.min(0), values.max(0), color=colour, alpha=0.22, linewidth=0)
    axes.plot(rounds, mean, color=colour, linewidth=1.8)
    last = number(mean[-1], 1) + " %" if name == "test_accuracy" else number(mean[-1])
    axes.set_title(f"ends at {last}", loc="right", color=colour, fontsize=9.5, pad=3)


def _heading(axes: Axes, text: str) -> None:
    """A heading above a column of panels, clear of the panel's own title."""
    axes.annotate(
        text,
        (0.5, 1.0),
        (0, 19),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=10,
        fontweight="bold",
    )


def spans_decades(values: Sequence[float] | np.ndarray) -> bool:
    """Whether values that are never negative spread so far that only a logarithmic axis shows them all."""
    found = np.asarray(values, dtype=float)
    positive = found[found > 0]
    return bool(positive.size and found.min() >= 0 and positive.max() > WIDE * positive.min())


def wrapped(text: str, width: int) -> str:
    """A heading on as many lines as it needs; agents' names break at their wrappers and options."""
    if len(text) <= width:
        return text
    return "\n".join(textwrap.wrap(re.sub(r"([+(])", r" \1", text), width))
