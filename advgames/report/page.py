"""The report page: one self-contained HTML file made from a results directory."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from advgames.files import write_whole
from advgames.report.details import Bar
from advgames.report.heatmaps import heat_maps
from advgames.report.numbers import listed, number, percent
from advgames.report.view import View, is_null

if TYPE_CHECKING:
    from markupsafe import Markup

    from advgames.report.panels import Panel
    from advgames.report.slices import Slice
    from advgames.report.tables import CellTable

__all__ = ["render", "write_report"]

MOST_DOTS = 64


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

    from advgames.report import details, figures, images, radii, story
    from advgames.report.panels import panels
    from advgames.report.windows import windows

    here = files("advgames.report")
    texts = {name: (here / name).read_text(encoding="utf-8") for name in ("page.html", "pictures.html", "page.css")}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(texts),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    template = environment.get_template("page.html")
    sentences, cards = story.headline(view)
    played = bool(view.records)
    curves = [
        (figures.caption(name), Markup(figures.learning_curves(view, name))) for name in figures.curve_names(view)
    ]
    few = view.outcome is not None and view.outcome.count.size <= MOST_DOTS and not _yes_or_no(view.outcome)
    row, column = view.players
    left, settings = panels(view, directory), details.settings(view)
    return template.render(
        view=view,
        css=Markup(texts["page.css"]),
        name=directory.resolve().name,
        sentences=sentences,
        cards=cards,
        missing=details.missing(view),
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
        words=view.words,
        radius_curves=Markup(radii.draw(view, settings)),
        radius_title=radii.title(view),
        radius=radii.table_radius(settings),
        strips=images.strips(left),
        windows=[(window.panel, Markup(window.svg)) for window in windows(left)],
        slices=[(found, Markup(found.svg)) for found in _slices(view, left)],
        times=details.times(view),
        total_time=details.total_time(view),
        round_time=details.round_time(view),
        every_number=details.every_number(view),
        settings=[(name, str(value)) for name, value in settings.items()],
        given=dict(view.spec.settings),
        versions=details.versions(view),
        yaml=view.spec.to_yaml(),
        caveats=story.caveats(view),
        listed=listed,
        number=number,
        percent=percent,
    )


def _yes_or_no(table: CellTable) -> bool:
    """Whether every match is 0 or 1, which no dot tells more of than the mean."""
    return all(value in (0.0, 1.0) for cell in table.samples.values() for value in cell.values())


def _slices(view: View, left: list[Panel]) -> list[Slice]:
    """Planes of defences, where somebody defends."""
    from advgames.report.slices import slices

    given = view.spec.settings
    pays = given.get("payoff") == "flip-linear" and given.get("reference") != "label" and not given.get("clip")
    return slices(left, view.players.index("defender"), pays) if "defender" in view.players else []


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
