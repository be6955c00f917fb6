"""Table and figure of the experiment on curved boundaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advgames.files import replace_whole

__all__ = ["figure", "table"]

Record = Mapping[str, Any]
WAYS = {"search": "search", "thorough": "thorough search", "grid": "grid of the plane"}
NAME, CELL = 46, 23  # widths


def table(records: Sequence[Record]) -> str:
    """Every number as mean [lowest, highest] over seeds, victim by victim."""
    return "\n".join(line for victim in _victims(records) for line in _lines(victim, _of(records, victim)))


def figure(records: Sequence[Record], path: Path) -> None:
    """Exploitability found against gradients spent, one panel per victim, one line per seed, as a PNG file."""
    from matplotlib.figure import Figure

    victims = _victims(records)
    canvas = Figure(figsize=(5.2 * len(victims), 3.6), layout="constrained")
    for panel, victim in enumerate(victims):
        axes = canvas.add_subplot(1, len(victims), panel + 1)
        for record in _of(records, victim):
            spent = [step["gradients"] for step in record["curve"]]
            total = [step["attacker"] + step["defender"] for step in record["curve"]]
            (line,) = axes.plot(spent, np.minimum.accumulate(total), drawstyle="steps-post", linewidth=1.2)
            axes.plot(spent, total, ".", markersize=5, alpha=0.6, color=line.get_color())
        axes.set(xscale="log", title=victim, xlabel="gradients of f spent on replies")
        axes.set_ylim(bottom=0)
        axes.grid(color="#E6E6E6")
    canvas.axes[0].set_ylabel("exploitability found (sum of both gains)")
    canvas.suptitle("Double oracle from (FGM, Smooth), each seed's first dot; lines: the lowest so far", fontsize=10)
    replace_whole(path, lambda part: canvas.savefig(part, format="png", dpi=140))


def _lines(victim: str, records: Sequence[Record]) -> Iterator[str]:
    yield f"{victim}, {len(records)} seeds: u, the share of inputs flipped less that kept, mean [lowest, highest]"
    for key, name in (
        ("u", "u(FGM, Smooth)"),
        ("undefended", "u(FGM, nobody)"),
        ("linear_value", "1 - 2 phi(v_n*), u(FGM, Smooth) under f_L"),
    ):
        yield f"  {name:<{NAME}}{_spread([r['pair'][key] for r in records]):>{CELL}}"
    yield from _gain_lines("gains by leaving (FGM, Smooth)", [r["pair"]["gains"] for r in records])
    value = _spread([r["end"]["value"] for r in records])
    yield f"  {'u of the pair the double oracle ends with':<{NAME}}{value:>{CELL}}"
    steps = np.mean([len(r["curve"]) for r in records])
    budget = _budget([r["curve"][-1] for r in records])
    yield f"    {'iterations; gradients and values of f':<{NAME - 2}}{f'{steps:.1f}; {budget}':>{CELL}}"
    yield from _gain_lines("gains by leaving that pair", [r["end"]["gains"] for r in records])
    columns = [(sample, attack) for sample in ("sample", "held out") for attack in ("FGM", "reply")]
    yield f"  {'u of a defence against FGM, the reply found':<{NAME}}" + "".join(
        f"{f'{s}: {a}':>{CELL}}" for s, a in columns
    )
    for defence in records[0]["defences"]:
        cells = [_spread([r["defences"][defence][s][a] for r in records]) for s, a in columns]
        yield f"    {defence:<{NAME - 2}}" + "".join(f"{cell:>{CELL}}" for cell in cells)
    yield ""


def _gain_lines(title: str, gains: Sequence[Record]) -> Iterator[str]:
    """What both players gain by leaving a pair, for every way of looking for a reply, with its budget."""
    ways = [way for way in WAYS if way in gains[0]]
    yield f"  {title:<{NAME}}" + "".join(f"{WAYS[way]:>{CELL}}" for way in ways)
    for player in ("attacker", "defender"):
        cells = [_spread([g[way][player] for g in gains]) for way in ways]
        yield f"    {player:<{NAME - 2}}" + "".join(f"{cell:>{CELL}}" for cell in cells)
    spent = [_budget([g[way] for g in gains]) for way in ways if way != "grid"]
    yield f"    {'gradients and values of f for both':<{NAME - 2}}" + "".join(f"{cell:>{CELL}}" for cell in spent)


def _budget(spent: Sequence[Record]) -> str:
    """At how many points f's gradient, and at how many only its value, was computed; means, in thousands."""
    gradients, values = (np.mean([s[name] for s in spent]) / 1000 for name in ("gradients", "values"))
    return f"{gradients:,.0f}k, {values:,.0f}k"


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} [{min(values):.2f}, {max(values):.2f}]"


def _victims(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(record["victim"] for record in records))


def _of(records: Sequence[Record], victim: str) -> list[Record]:
    return [record for record in records if record["victim"] == victim]
