"""Tables for a terminal: match records, payoffs, equilibria, names, benchmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from advgames.report.numbers import decimals, number, percent, seconds
from advgames.report.tables import FEW, CellTable
from advgames.report.view import MEASURES

if TYPE_CHECKING:
    from advgames.report.solution import Solution
    from advgames.results import MatchRecord

__all__ = ["bench_table", "equilibrium_lines", "mixes_table", "names_table", "payoff_grid", "records_table"]

SHARES = tuple(measure.name for measure in MEASURES if measure.share)


def records_table(records: Sequence[MatchRecord], confidence: float = 0.95) -> Group:
    """Payoffs and measures of matches of one pair: mean with interval, lowest, highest.

    A measure that some matches have no number for says how many have one.
    """
    first = records[0]
    seeds = f"{len(records)} seed{'s' if len(records) > 1 else ''}"
    pair = " vs ".join(first.players.values())
    table = Table()
    for name in ("", "mean", f"{100 * confidence:g} % interval", "lowest", "highest"):
        table.add_column(name, justify="right" if name else "left")
    rows = {f"payoff of {player}": [r.payoffs[player] for r in records] for player in first.payoffs}
    for name in dict.fromkeys(name for record in records for name in record.measures):
        values = [r.measures[name] for r in records if math.isfinite(r.measures.get(name, math.nan))]
        rows[name if len(values) == len(records) else f"{name} ({len(values)} of {len(records)})"] = values
    for name, values in rows.items():
        summary = _summary(values, confidence, name.partition(" (")[0] in SHARES) if values else ["–"] * 4
        table.add_row(escape(name.replace("_", " ")), *summary)
    return _titled(f"{first.game} on {first.task}: {pair}, {seeds}", table)


def payoff_grid(table: CellTable) -> Group:
    """A table of pairs, the row player's strategies on the left."""
    grid = Table()
    grid.add_column(escape(f"{table.players[0]} \\ {table.players[1]}"))
    for column in table.columns:
        grid.add_column(escape(column), justify="right")
    for row, cells in zip(table.rows, table.cells(), strict=True):
        grid.add_row(escape(row), *map(escape, cells))
    known = f" ({table.method_text()})" if bool((table.count > 1).any()) else ""
    return _titled(f"payoff of the {table.players[0]}{known}", grid)


def equilibrium_lines(solution: Solution) -> list[str]:
    """Value with its interval, and what each player could still gain; or the commitments of a general-sum game."""
    row, column = solution.game.players
    places = solution.payoff.places
    if solution.equilibrium is None:
        return [
            "the players' payoffs add up to no constant: there is no value and no one equilibrium",
            f"equilibria in pure strategies ({row}, {column}): {', '.join(solution.pure_equilibria()) or 'none'}",
            *(
                f"if the {leader} commits first it plays {solution.commitment(leader)} and receives "
                f"{number(found.leader_value)}, the other {number(found.follower_value)} by {found.response_name}"
                for leader, found in solution.leaders.items()
            ),
        ]
    lines = [f"value of the game: {number(solution.equilibrium.value, places)} to the {row}"]
    interval = solution.interval
    if interval is not None and not math.isnan(interval.low):
        lines[0] += (
            f", {100 * solution.confidence:g} % bootstrap interval "
            f"{number(interval.low, places)} to {number(interval.high, places)}"
        )
        seeds = min(len(group.seeds) for group in solution.game.groups)
        if seeds < FEW:
            lines.append(f"(over {seeds} seeds the bootstrap is too narrow: see the report, or play more seeds)")
    gains = " and ".join(f"{number(solution.gain(player))} for the {player}" for player in (row, column))
    return [*lines, f"exploitability of the equilibrium, within the table: {gains}"]


def mixes_table(solution: Solution) -> Group | None:
    """Every strategy's equilibrium weight, how often resamples use it, and its exploitability."""
    if solution.equilibrium is None:
        return None
    table = Table()
    for name in ("player", "strategy", "weight", "in support", "exploitability"):
        table.add_column(name, justify="left" if name in ("player", "strategy") else "right")
    places = solution.payoff.places
    for player in solution.game.players:
        mix, support = solution.mix(player), solution.support_frequency(player)
        for name, loss in solution.given_away(player).items():
            table.add_row(
                escape(player),
                escape(name),
                percent(mix[name]),
                percent(support[name], 0),
                number(max(loss, 0.0), places),
            )
        table.add_section()
    return _titled("Nash equilibrium", table)


def names_table(kind: str, rows: Sequence[Mapping[str, Any]]) -> Group:
    """Names with a line about each, and what agents play with."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
    table.add_column(no_wrap=True, style="bold")
    told = [name for name in ("plays", "about") if all(name in row for row in rows)]
    for name in told:
        table.add_column(no_wrap=name == "plays")
    for row in rows:
        table.add_row(escape(str(row["name"])), *(escape(str(row[name])) for name in told))
    return _titled(kind, table)


def bench_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Benchmarks: the ratio measured, the bound it is asked to keep, and how long the work took."""
    table = Table()
    for name in ("name", "ratio", "bound", "kept", "time"):
        table.add_column(name, justify="left" if name == "name" else "right")
    for row in rows:
        bound = f"{row['better']} {row['floor']:g}"
        kept = "yes" if row["kept"] else "no"
        table.add_row(escape(str(row["name"])), number(row["ratio"], 2), bound, kept, seconds(row["seconds"]))
    return table


def _titled(title: str, table: Table) -> Group:
    """A table under its title, which may be the wider of the two."""
    return Group(Text(title, style="bold"), table)


def _summary(values: list[float], confidence: float, share: bool) -> list[str]:
    """Mean, interval, lowest and highest as texts; the interval is Student's t, or the bootstrap from 20 values on."""
    scale = 100.0 if share else 1.0
    shown = [scale * value for value in values]
    places = 1 if share else decimals(shown)
    samples = {("", ""): dict(enumerate(shown))}
    table = CellTable.from_samples([""], [""], ("row player", "column player"), samples, confidence)
    unit = " %" if share else ""
    ends = (number(value, places) + unit for value in (min(shown), max(shown)))
    return [number(float(table.mean[0, 0]), places) + unit, table.interval_text(0, 0, places=places) or "–", *ends]
