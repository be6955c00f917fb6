"""The report page: one self-contained HTML file made from a results directory."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advgames.errors import AdvgamesError
from advgames.files import write_whole
from advgames.report.heatmaps import heat_maps
from advgames.report.numbers import decimals, duration, listed, number, percent, seconds
from advgames.report.view import View, is_null

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Bar", "render", "write_report"]

MOST_DOTS = 64


@dataclass(frozen=True)
class Bar:
    """A labelled bar: `share` of the full width, `text` beside it, and a remark."""

    name: str
    share: float
    text: str
    note: str = ""


def write_report(results_dir: str | Path, confidence: float = 0.95, resamples: int = 500) -> Path:
    """Write ``report.html`` into a results directory: one file that needs no other and no network.

    An incomplete tournament gets a page too, which says what is missing.

    Args:
        results_dir: what a tournament wrote.
        confidence: coverage of the intervals, strictly between 0 and 1.
        resamples: tables that the bootstrap of the equilibrium solves.

    Returns the path of the page. Raises ResultsMismatchError where there is no tournament, or altered records.
    """
    from advgames.results import Results

    results = Results.open(results_dir)
    path = Path(results_dir) / "report.html"
    write_whole(path, render(View.of(results, confidence, resamples), Path(results_dir)))
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
    environment.filters["breakable"] = _breakable
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
        heat_maps=heat_maps(view) if played else [],
        dots=Markup(figures.dots(view)) if few and played else "",
        solution=view.solution,
        mixes=_mixes(view),
        given_away=_given_away(view),
        gains=_gains(view),
        curves=curves,
        left_out=[p for p in (row, column) if len(view.spec.players[p]) > figures.MOST],
        most=figures.MOST,
        quiet=all(any(map(is_null, names)) for names in view.spec.players.values()),
        strips=images.strips(view, directory),
        times=_times(view),
        total_time=_total_time(view),
        round_time=_round_time(view),
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


def _breakable(name: str) -> Markup:
    """An agent's name that may break before its wrappers and options."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?=[+(])", "<wbr>", str(escape(name))))


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


def _round_time(view: View) -> str:
    """Time the game itself took for a round of a batch, on average."""
    spent = [float(r.timings["seconds_per_round"]) for r in view.records if "seconds_per_round" in r.timings]
    return seconds(sum(spent) / len(spent)) if spent else ""


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
        game: Any = make_game(view.spec.game, view.spec.task, settings=given)
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
