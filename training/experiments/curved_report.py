"""Table and figure of the experiment on curved boundaries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advgames.files import replace_whole

__all__ = ["figure", "table"]

Record = Mapping[str, Any]
WAYS = {"search": "by search", "thorough": "by the thorough search", "grid": "by a grid of the plane"}


def table(records: Sequence[Record]) -> str:
    """Every number as mean and range over seeds, victim by victim."""
    return "\n".join(line for victim in _victims(records) for line in _lines(victim, _of(records, victim)))


def figure(records: Sequence[Record], path: Path) -> None:
    """Exploitability found against gradients spent, one panel per victim, one line per seed, as a PNG file."""
    from matplotlib.figure import Figure

    victims = _victims(records)
    canvas = Figure(figsize=(5.2 * len(victims), 3.6), layout="constrained")
    for victim, axes in zip(victims, np.atleast_1d(canvas.subplots(1, len(victims), squeeze=False)[0]), strict=True):
        for record in _of(records, victim):
            spent = [step["gradients"] for step in record["curve"]]
            total = [step["attacker"] + step["defender"] for step in record["curve"]]
            (line,) = axes.plot(spent, total, ".", markersize=4, alpha=0.6)
            axes.step(spent, np.minimum.accumulate(total), where="post", color=line.get_color(), linewidth=1.2)
        axes.set(xscale="log", title=victim, xlabel="gradients of f spent on replies")
        axes.set_ylim(bottom=0)
        axes.grid(color="#E6E6E6")
    canvas.axes[0].set_ylabel("exploitability found (both gains)")
    canvas.suptitle("From (FGM, Smooth), the first dot, by double oracle; lines: lowest so far", fontsize=10)
    replace_whole(path, lambda part: canvas.savefig(part, format="png", dpi=140))


def _lines(victim: str, records: Sequence[Record]) -> Iterator[str]:
    def row(name: str, of: Callable[[Record], float], digits: int = 3) -> str:
        values = [of(record) for record in records]
        return f"  {name:<58}{np.mean(values):>10.{digits}f}  [{min(values):.{digits}f}, {max(values):.{digits}f}]"

    yield f"{victim}: attacker's payoff u (flipped - kept), mean [lowest, highest] of {len(records)} seeds"
    yield row("u(FGM, nobody)", lambda r: r["pair"]["undefended"])
    yield row("u(FGM, Smooth)", lambda r: r["pair"]["u"])
    yield row("1 - 2 phi(v_n*), its value if f were f_L", lambda r: r["pair"]["linear_value"])
    for stage, name in (("pair", "(FGM, Smooth)"), ("end", "the double oracle's pair")):
        if stage == "end":
            yield row(f"u of {name}", lambda r: r["end"]["value"])
        for way, words in WAYS.items():
            if way in records[0][stage]["gains"]:
                for player in ("attacker", "defender"):
                    label = f"  {player}'s gain from {name}" if way == "search" else f"  {player}'s gain"
                    yield row(f"{label} {words}", lambda r, s=stage, w=way, p=player: r[s]["gains"][w][p])  # type: ignore[misc]
                if way != "grid":
                    yield row("    gradients spent", lambda r, s=stage, w=way: r[s]["gains"][w]["gradients"], 0)  # type: ignore[misc]
    yield row("iterations", lambda r: len(r["curve"]), 1)
    yield row("gradients spent on them", lambda r: r["curve"][-1]["gradients"], 0)
    for sample in ("sample", "held out"):
        for defence in records[0]["defences"]:
            for attack in ("FGM", "reply"):
                label = f"u({attack}, {defence}), {sample}"
                yield row(label, lambda r, d=defence, s=sample, a=attack: r["defences"][d][s][a])  # type: ignore[misc]
    yield ""


def _victims(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(record["victim"] for record in records))


def _of(records: Sequence[Record], victim: str) -> list[Record]:
    return [record for record in records if record["victim"] == victim]
