"""The report page: one self-contained HTML file made from a results directory."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from advgames.errors import AdvgamesError
from advgames.report.figures import spans_decades
from advgames.report.numbers import decimals, duration, listed, number, percent, seconds
from advgames.report.tables import CellTable
from advgames.report.view import ROUNDING, View

__all__ = ["Bar", "HeatMap", "write_report"]

ORANGES = ("#FFF7EE", "#FDC48C", "#F08A3C")  # the attacker's colour: light enough for dark text throughout
BLUES = ("#F4F9FD", "#B3D3EA", "#6AAAD6")
SMALL = 5e-4  # equilibrium weight below which a cell is not marked
MOST_DOTS = 64


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


@dataclass(frozen=True)
class Bar:
    """A labelled bar: `share` of the full width, `text` beside it, and a remark."""

    name: str
    share: float
    text: str
    note: str = ""


def write_report(results_dir: str | Path, confidence: float = 0.95) -> Path:
    """Write ``report.html`` into a results directory: one file that needs no other and no network.

    An incomplete tournament gets a page too, which says what is missing.

    Args:
        results_dir: what a tournament wrote.
        confidence: coverage of the intervals, strictly between 0 and 1.

    Returns the path of the page. Raises ResultsMismatchError where there is no tournament, or altered records.
    """
    from advgames.results import Results

    results = Results.open(results_dir)
    path = Path(results_dir) / "report.html"
    part = path.with_name(path.name + ".part")
    part.write_text(render(View.of(results, confidence), Path(results_dir)), encoding="utf-8")
    os.replace(part, path)
    return path


def render(view: View, directory: Path) -> str:
    """The page as text; `directory` is where the panels lie."""
    import jinja2
    from markupsafe import Markup

    from advgames.report import figures, images, story

    here = files("advgames.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((here / "page.html").read_text(encoding="utf-8"))
    sentences, cards = story.headline(view)
    played = bool(view.records)
    curves = [
        (figures.caption(name), Markup(figures.learning_curves(view, name))) for name in figures.curve_names(view)
    ]
    few = view.outcome is not None and view.outcome.count.size <= MOST_DOTS
    row, column = view.players
    return template.render(
        view=view,
        css=Markup((here / "page.css").read_text(encoding="utf-8")),
        name=directory.resolve().name,
        sentences=sentences,
        cards=cards,
        missing=_missing(view),
        payoff_meaning=story.payoff_meaning(view),
        heat_maps=_heat_maps(view) if played else [],
        dots=Markup(figures.dots(view)) if few and played else "",
        solution=view.solution,
        mixes=_mixes(view),
        given_away=_given_away(view),
        gains=_gains(view),
        curves=curves,
        left_out=[p for p in (row, column) if len(view.spec.players[p]) > figures.MOST],
        most=figures.MOST,
        strips=images.strips(view, directory),
        times=_times(view),
        total_time=_total_time(view),
        every_number=_every_number(view),
        settings=_settings(view),
        given=dict(view.spec.settings),
        versions=_versions(view),
        yaml=view.spec.to_yaml(),
        caveats=story.caveats(view),
        listed=listed,
        number=number,
        percent=percent,
    )


def _heat_maps(view: View) -> list[HeatMap]:
    row, column = view.players
    payoff = view.payoff
    found = [
        _heat_map(view, payoff, f"Payoff of the {row}", ORANGES, 1.0, payoff.places, payoff.mean),
    ]
    if view.outcome is not None and view.measure is not None:
        table, measure = view.outcome, view.measure
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
    payoff: np.ndarray,
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
                    weight=percent(weight, 0) if weight > SMALL else "",
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


def _shares(means: np.ndarray, low: float, high: float) -> np.ndarray:
    """Where each mean stands on the colour scale, 0 to 1; logarithmic where they span decades."""
    if high - low <= ROUNDING * max(-low, high):
        return np.full_like(means, 0.5)
    finite = means[np.isfinite(means)]
    if spans_decades(finite):
        floor = finite[finite > 0].min()
        means, low, high = np.log(np.maximum(means, floor)), float(np.log(floor)), float(np.log(high))
    return (means - low) / (high - low)


def _is_best(payoffs: np.ndarray, index: int) -> bool:
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


def _mixes(view: View) -> list[tuple[str, list[Bar]]]:
    """For each player its equilibrium weights, with the share of resamples that use the strategy."""
    if view.solution is None or view.solution.equilibrium is None or view.flat:
        return []
    found = []
    for player in view.players:
        frequency = view.solution.support_frequency(player)
        bars = [
            Bar(name, weight, percent(weight, 1 if 0 < weight < 1 else 0), percent(frequency[name], 0))
            for name, weight in view.solution.mix(player).items()
        ]
        found.append((player, bars))
    return found


def _given_away(view: View) -> list[tuple[str, list[Bar]]]:
    """For each player what each of its strategies loses to an opponent who knows it."""
    if view.solution is None or view.solution.equilibrium is None or view.flat:
        return []
    tables = {player: view.solution.given_away(player) for player in view.players}
    values = [value for table in tables.values() for value in table.values()]
    largest, places = max([*values, 0.0]) or 1.0, view.payoff.places
    return [
        (player, [Bar(name, max(value, 0) / largest, number(max(value, 0.0), places)) for name, value in table.items()])
        for player, table in tables.items()
    ]


def _gains(view: View) -> list[tuple[str, str]]:
    """For each player what it could still gain at the equilibrium; rounding shows as 0."""
    if view.solution is None or view.solution.equilibrium is None or view.flat:
        return []
    scale = max(float(np.ptp(view.payoff.mean)), 1e-300)
    gains = [(player, view.solution.gain(player)) for player in view.players]
    return [(player, "0" if gain < 1e-9 * scale else number(gain)) for player, gain in gains]


def _times(view: View) -> list[tuple[str, list[Bar]]]:
    """For each player the time per move of each strategy, per match, over all its matches."""
    found = []
    for player, names in view.spec.players.items():
        means = {}
        for name in names:
            spent = [
                float(r.timings["seconds_per_move"][player]) / max(1, int(r.timings.get("matches_in_batch", 1)))
                for r in view.records
                if r.players[player] == name and player in r.timings.get("seconds_per_move", {})
            ]
            if spent:
                means[name] = float(np.mean(spent))
        largest = max(means.values(), default=0.0) or 1.0
        if means:
            found.append((player, [Bar(name, mean / largest, seconds(mean)) for name, mean in means.items()]))
    return found


def _total_time(view: View) -> str:
    """Time that all matches took, added up over batches."""
    spent = [
        float(r.timings["total_s"]) / max(1, int(r.timings.get("matches_in_batch", 1)))
        for r in view.records
        if "total_s" in r.timings
    ]
    return duration(sum(spent)) if spent else ""


def _missing(view: View) -> list[tuple[str, str]]:
    """Pairs with missing matches, and which seeds those are."""
    found: dict[tuple[str, str], list[int]] = {}
    for row, column, seed in view.missing:
        found.setdefault((row, column), []).append(seed)
    return [
        (f"{row} vs {column}", f"seed{'s' if len(seeds) > 1 else ''} {listed(seeds)}")
        for (row, column), seeds in found.items()
    ]


def _every_number(view: View) -> dict[str, Any]:
    """All measures of all pairs, mean and spread over seeds."""
    names = list(dict.fromkeys(name for record in view.records for name in record.measures))
    places = {name: decimals([r.measures[name] for r in view.records if name in r.measures], 4) for name in names}
    rows = []
    for i, row in enumerate(view.payoff.rows):
        for j, column in enumerate(view.payoff.columns):
            records = view.of_pair(row, column)
            cells = [f"{number(view.payoff.mean[i, j], view.payoff.places)} {view.payoff.interval_text(i, j)}"]
            for name in names:
                values = [r.measures[name] for r in records if name in r.measures]
                cells.append(_mean_and_range(values, places[name]))
            rows.append((row, column, [r.seed for r in records], cells))
    return {"measures": [name.replace("_", " ") for name in names], "rows": rows}


def _mean_and_range(values: list[float], places: int) -> str:
    if not values:
        return "–"
    mean = number(float(np.mean(values)), places)
    if len(values) == 1:
        return mean
    return f"{mean} ({number(min(values), places)} … {number(max(values), places)})"


def _settings(view: View) -> list[tuple[str, str]]:
    """The game's settings in full where the task can be loaded here, else those that were given."""
    from advgames.games import make_game

    given = dict(view.spec.settings)
    try:
        game: Any = make_game(view.spec.game, task=view.spec.task, **given)
        complete = dict(game.settings.model_dump())
    except (AdvgamesError, AttributeError, TypeError):
        complete = given
    return [(name, str(value)) for name, value in complete.items() if value is not None]


def _versions(view: View) -> list[tuple[str, str]]:
    """Each version that played, most common first, and the devices."""
    found: dict[str, Counter[str]] = {}
    for record in view.records:
        for name, version in {**record.versions, "device": record.device}.items():
            found.setdefault(name, Counter())[version] += 1
    return [(name, ", ".join(version for version, _ in counts.most_common())) for name, counts in found.items()]
