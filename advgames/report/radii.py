"""Radii: curves of accuracy against the attacker's radius, a panel per strategy of the column player's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from advgames.report.figures import MARKERS, shown_strategies, wrapped
from advgames.report.svg import COLOURS, QUIET, figure, style, svg
from advgames.report.view import MEASURES, Measure, View, is_null

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Curve", "curves", "draw", "measures_swept", "table_radius", "title"]

ACROSS = 4  # panels beside one another


@dataclass(frozen=True)
class Curve:
    """A measure of one pair against the attacker's radius: radii ascending, and at each the values by seed."""

    radii: list[float]
    values: list[list[float]]

    @property
    def means(self) -> list[float]:
        """Mean over seeds."""
        return [float(np.mean(found)) for found in self.values]


def measures_swept(view: View) -> list[Measure]:
    """Accuracies that the matches at other radii have, or the first measure there is."""
    having = [m for m in MEASURES if any(m.name in record.measures for record in view.sweep)]
    return [m for m in having if m.share and m.high_helps == "defender"] or having[:1]


def table_radius(settings: Mapping[str, Any]) -> float | None:
    """The attacker's radius in matches with these settings; None if they do not say."""
    radius = settings.get("epsilon_attacker", settings.get("epsilon"))
    return None if radius is None else float(radius)


def curves(view: View, measure: Measure, settings: Mapping[str, Any]) -> dict[tuple[str, str], Curve]:
    """The curve of every pair, in the measure's shown unit: the matches at other radii, and the table's own.

    Args:
        settings: the game's in full, for the radius of the table's matches.
    """
    found: dict[tuple[str, str], dict[float, dict[int, float]]] = {}
    for record in [*view.records, *view.sweep]:
        radius = table_radius({**settings, **record.settings})
        if radius is not None and np.isfinite(value := record.measures.get(measure.name, np.nan)):
            at = found.setdefault(view.pair(record), {}).setdefault(radius, {})
            at[record.seed] = measure.scale * value
    return {
        pair: Curve(sorted(radii), [list(radii[radius].values()) for radius in sorted(radii)])
        for pair, radii in found.items()
    }


def title(view: View) -> str:
    """What the curves are of, as it begins a heading."""
    swept = measures_swept(view)
    label = "accuracy" if not swept or swept[0].share else swept[0].label
    return f"{label[0].upper()}{label[1:]}"


def draw(view: View, settings: Mapping[str, Any]) -> str:
    """The figure: for every measure a row of panels, one per strategy of the column player; empty if none is swept."""
    swept, base = measures_swept(view), table_radius(settings)
    if not swept:
        return ""
    row, column = view.players
    lines, panels = shown_strategies(view, row), shown_strategies(view, column)
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    with style("radii"):
        drawn = figure(11.0, 0.8 + 2.4 * down * len(swept))
        grid: Any = drawn.subplots(down * len(swept), across, sharex=True, squeeze=False)
        for axes in grid.flat:
            axes.set_visible(False)
        for k, measure in enumerate(swept):
            found = curves(view, measure, settings)
            for j, name in enumerate(panels):
                axes = grid[k * down + j // across, j % across]
                axes.set_visible(True)
                _panel(axes, {line: found[line, name] for line in lines if (line, name) in found}, lines)
                if base is not None:
                    axes.axvline(base, color="#777777", linewidth=1.0, linestyle=(0, (2, 2)), zorder=0)
                if k == 0 or down > 1:
                    axes.set_title(wrapped(f"{column} {name}", 100 // across), fontsize=10, fontweight="bold")
                axes.set_ylim(*_limits(found, measure))
                if j % across == 0:
                    axes.set_ylabel(wrapped(f"{measure.label}{', %' if measure.share else ''}", 24))
                if k + 1 == len(swept) and j + across >= len(panels):
                    axes.set_xlabel("radius of the attacker")
                    axes.tick_params(labelbottom=True)
        handles, names = grid[0, 0].get_legend_handles_labels()
        drawn.legend(handles, names, loc="outside lower center", ncols=min(6, len(names)), frameon=False)
        said = " and ".join(measure.label for measure in swept)
        return svg(drawn, f"{said} against the radius of the attacker, a panel per {column}, a line per {row}")


def _panel(axes: Axes, found: Mapping[str, Curve], lines: list[str]) -> None:
    """One line per strategy; later ones are thinner, so that equal curves lie on one another and all can be seen."""
    for name, curve in found.items():
        place = lines.index(name)
        width = 1.3 + 0.9 * (len(lines) - 1 - place)
        look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "linewidth": width}
        look |= {"marker": MARKERS[place % len(MARKERS)], "markersize": 3.2 + width}
        if is_null(name):
            look = {"color": QUIET, "linewidth": 1.4, "linestyle": (0, (4, 2))}
        lows, highs = ([end(values) for values in curve.values] for end in (min, max))
        axes.fill_between(curve.radii, lows, highs, color=look["color"], alpha=0.15, linewidth=0)
        axes.plot(curve.radii, curve.means, label=name, **look)


def _limits(found: Mapping[Any, Curve], measure: Measure) -> tuple[float, float]:
    """The vertical axis, the same for all panels of a measure: shares from 0 to 100 %."""
    if measure.share:
        return -3.0, 103.0
    values = [value for curve in found.values() for at in curve.values for value in at] or [0.0, 1.0]
    pad = 0.05 * (max(values) - min(values) or 1.0)
    return min(values) - pad, max(values) + pad
