"""Heat maps: tables of pairs as coloured cells with intervals, best replies and equilibrium weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advgames.report.figures import spans_decades
from advgames.report.numbers import number, percent
from advgames.report.tables import Array, CellTable
from advgames.report.view import ROUNDING, View

__all__ = ["HeatCell", "HeatMap", "heat_maps"]

ORANGES = ("#FFF7EE", "#FDC48C", "#F08A3C")  # the attacker's colour: light enough for dark text throughout
BLUES = ("#F4F9FD", "#B3D3EA", "#6AAAD6")
SMALL = 5e-4  # equilibrium weight below which a cell is not marked


@dataclass(frozen=True)
class HeatCell:
    """One cell of a heat map, ready to be shown."""

    mean: str
    interval: str
    count: int
    colour: str
    best_of_row: bool
    best_of_column: bool
    weight: str


@dataclass(frozen=True)
class HeatMap:
    """A table of pairs with coloured cells.

    Attributes:
        title, note: what is shown.
        low, high, ramp: ends of the colour scale.
        rows: (strategy, its cells) from top to bottom.
        columns: the strategies above.
        players: who has the rows, who the columns.
    """

    title: str
    note: str
    low: str
    high: str
    ramp: tuple[str, ...]
    columns: tuple[str, ...]
    players: tuple[str, str]
    rows: list[tuple[str, list[HeatCell]]]

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of the page."""
        return len(self.columns) > 4

    @property
    def narrow(self) -> bool:
        """Whether its cells have little room."""
        return len(self.columns) == 4


def heat_maps(view: View) -> list[HeatMap]:
    """The payoffs, and the outcome that a person looks at first."""
    payoff = view.payoff
    title = f"Payoff of the {view.players[0]}"
    found = [_heat_map(view, payoff, title, ORANGES, 1.0, payoff.places, payoff.mean)]
    shown = [] if view.outcome is None or view.measure is None else [(view.measure, view.outcome)]
    for measure, table in [*shown, *([view.second] if view.second else [])]:
        title = f"{measure.label[0].upper()}{measure.label[1:]}{', %' if measure.share else ''}"
        ramp = BLUES if measure.high_helps == "defender" else ORANGES
        found.append(_heat_map(view, table, title, ramp, measure.scale, measure.places(table), payoff.mean))
    return found


def _heat_map(
    view: View,
    table: CellTable,
    title: str,
    ramp: tuple[str, ...],
    scale: float,
    places: int,
    payoff: Array,
) -> HeatMap:
    means = scale * table.mean
    finite = means[np.isfinite(means)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    shares = _shares(means, low, high)
    general = view.solution is not None and view.solution.equilibrium is None
    other = view.solution.game.column_payoff if general and view.solution else -payoff
    rows = []
    for i, row in enumerate(table.rows):
        cells = []
        for j, column in enumerate(table.columns):
            mean, weight = float(means[i, j]), view.weight(row, column)
            cells.append(
                HeatCell(
                    mean=number(mean, places),
                    interval=table.interval_text(i, j, scale, places),
                    count=int(table.count[i, j]),
                    colour=_colour(ramp, float(shares[i, j])) if mean == mean else "",
                    best_of_row=_is_best(other[i, :], j),
                    best_of_column=_is_best(payoff[:, j], i),
                    weight=_weight_text(weight),
                )
            )
        rows.append((row, cells))
    return HeatMap(
        title=title,
        note=table.method_text() + ("; colours on a logarithmic scale" if spans_decades(finite) else ""),
        low=number(low, places),
        high=number(high, places),
        ramp=ramp,
        columns=table.columns,
        players=view.players,
        rows=rows,
    )


def _weight_text(weight: float) -> str:
    """How often a cell is played, or nothing where it is not."""
    if weight <= SMALL:
        return ""
    return percent(weight, 0) if weight >= 0.005 else "<1 %"


def _shares(means: Array, low: float, high: float) -> Array:
    """Where each mean stands on the colour scale, 0 to 1; logarithmic where they span decades."""
    if high - low <= ROUNDING * max(-low, high):
        return np.full_like(means, 0.5)
    finite = means[np.isfinite(means)]
    if spans_decades(finite):
        floor = finite[finite > 0].min()
        means, low, high = np.log(np.maximum(means, floor)), float(np.log(floor)), float(np.log(high))
    return (means - low) / (high - low)


def _is_best(payoffs: Array, index: int) -> bool:
    """Whether a strategy is the best reply among payoffs that are all known and differ."""
    if np.isnan(payoffs).any() or len(payoffs) < 2 or np.ptp(payoffs) <= ROUNDING * np.abs(payoffs).max():
        return False
    return int(payoffs.argmax()) == index


def _colour(ramp: tuple[str, ...], share: float) -> str:
    """The colour at `share` of a ramp of equally spaced stops."""
    stops = np.array([[int(stop[k : k + 2], 16) for k in (1, 3, 5)] for stop in ramp], dtype=float)
    place = min(max(share, 0.0), 1.0) * (len(ramp) - 1)
    found = [np.interp(place, range(len(ramp)), stops[:, channel]) for channel in range(3)]
    return "#" + "".join(f"{round(value):02X}" for value in found)
