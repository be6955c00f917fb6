"""Details: what played and how long, every number, every setting, as the page lists them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from advgames.errors import AdvgamesError
from advgames.report.numbers import NBSP, decimals, duration, listed, number, seconds
from advgames.report.view import MEASURES, Measure, View

__all__ = ["Bar", "every_number", "missing", "round_time", "settings", "times", "total_time", "versions"]


@dataclass(frozen=True)
class Bar:
    """A labelled bar: `share` of the full width, `text` beside it, and a remark."""

    name: str
    share: float
    text: str
    note: str = ""


def times(view: View) -> list[tuple[str, list[Bar]]]:
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


def round_time(view: View) -> str:
    """Time the game itself took for a round of a batch, on average."""
    spent = [float(r.timings["seconds_per_round"]) for r in view.records if "seconds_per_round" in r.timings]
    return seconds(sum(spent) / len(spent)) if spent else ""


def total_time(view: View) -> str:
    """Time that all matches took, added up over batches."""
    spent = [
        float(r.timings["total_s"]) / max(1, int(r.timings.get("matches_in_batch", 1)))
        for r in view.records
        if "total_s" in r.timings
    ]
    return duration(sum(spent)) if spent else ""


def missing(view: View) -> list[tuple[str, str]]:
    """Pairs with missing matches, and which seeds those are."""
    found: dict[tuple[str, str], list[int]] = {}
    for row, column, seed in view.missing:
        found.setdefault((row, column), []).append(seed)
    return [
        (f"{row} vs {column}", f"seed{'s' if len(seeds) > 1 else ''} {listed(seeds)}")
        for (row, column), seeds in found.items()
    ]


def every_number(view: View) -> dict[str, Any]:
    """All measures of all pairs, mean and spread over the seeds that have such a number (`partial`: not all do).

    Columns of nothing but 0 queries are left out.
    """
    known = [measure.name for measure in MEASURES]
    names = list(dict.fromkeys(name for record in view.records for name in record.measures))
    columns = [measure for measure in MEASURES if measure.name in names]
    columns += [Measure(name, "", False, "") for name in names if name not in known]
    values = {name: [r.measures[name] for r in view.records if name in r.measures] for name in names}
    columns = [c for c in columns if not c.name.startswith("queries_") or any(values[c.name])]
    places = {c.name: 1 if c.heading and c.share else decimals(values[c.name], 3 if c.heading else 4) for c in columns}
    rows = []
    for i, row in enumerate(view.payoff.rows):
        for j, column in enumerate(view.payoff.columns):
            records = view.of_pair(row, column)
            interval = view.payoff.interval_text(i, j).replace(" ", NBSP)
            cells = [f"{number(view.payoff.mean[i, j], view.payoff.places)} {interval}"]
            for c in columns:
                scale = c.scale if c.heading else 1.0
                shown = [scale * r.measures[c.name] for r in records if math.isfinite(r.measures.get(c.name, math.nan))]
                cells.append(_mean_and_range(shown, places[c.name]))
            rows.append((row, column, [r.seed for r in records], cells))
    partial = any(not math.isfinite(value) for found in values.values() for value in found)
    headings = [c.heading or c.name.replace("_", " ") for c in columns]
    return {"measures": headings, "rows": rows, "partial": partial}


def _mean_and_range(values: list[float], places: int) -> str:
    """``mean (lowest … highest)``, the parenthesis in one piece."""
    if not values:
        return "–"
    mean = number(float(np.mean(values)), places)
    if len(values) == 1:
        return mean
    return f"{mean} ({number(min(values), places)}{NBSP}…{NBSP}{number(max(values), places)})"


def settings(view: View) -> dict[str, Any]:
    """The game's settings in full where the task can be loaded here, else those that were given."""
    from advgames.games import GAMES
    from advgames.settings import parse

    spec, given = view.spec, dict(view.spec.settings)
    try:
        found: Any = parse(GAMES[spec.game].settings_model, given, spec.game)
        full = found.completed(_task(spec.game, spec.task, found)).model_dump()
    except (AdvgamesError, AttributeError, KeyError, TypeError):
        full = given
    return {name: value for name, value in full.items() if value is not None}


def _task(game: str, name: str, settings: Any) -> Any:
    """What a game is played on."""
    if game == "negotiation":
        from advgames.tasks.negotiations import load_negotiation

        return load_negotiation(name)
    from advgames.tasks import load_task

    return load_task(name, None, settings.train_size, settings.validation_size, settings.test_size)


def versions(view: View) -> list[tuple[str, str]]:
    """Each version that played, most common first, and the devices."""
    found: dict[str, Counter[str]] = {}
    for record in view.records:
        for name, version in {**record.versions, "device": record.device}.items():
            found.setdefault(name, Counter())[version] += 1
    return [(name, ", ".join(version for version, _ in counts.most_common())) for name, counts in found.items()]
