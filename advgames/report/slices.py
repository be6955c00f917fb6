"""Slices: phi on a plane of defences, with the robust sets it counts (additive_nash.txt eq. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advgames.report.numbers import NBSP, number, percent
from advgames.report.panels import Panel
from advgames.report.svg import DEFENCE, draw_outline, extent, figure, style, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Slice", "slices"]

RAMP = ("#FFFFFF", "#D6E8F5", "#9CC8E6", "#5FA3D3")
MOST = 2
AXES = {
    "inputs": ("first entry of v, radii", "second entry of v, radii"),
    "played": ("along the defence played, radii", "along the leading gradient, radii"),
    "leading": ("along the leading gradient, radii", "along the second one, radii"),
}


@dataclass(frozen=True)
class Slice:
    """One plane, drawn, with what to say of it in sentences."""

    title: str
    svg: str
    sentences: list[str]


def slices(left: Sequence[Panel], defender: int, pays: bool, most: int = MOST) -> list[Slice]:
    """Slices of the first panels that hold any, each of another defence, those first in which one vector is played.

    Planes of two-dimensional inputs are all the same: there is one, with every defence on it.

    Args:
        defender: 0 if the defender has the rows, else 1.
        pays: whether an input pays +1 or -1 for its predicted class under the linearised victim: with two classes
            1 - 2 phi is then what FGM is paid.
    """
    by_name: dict[str, Panel] = {}
    for panel in left:
        if "phi" in panel.arrays:
            by_name.setdefault((panel.row, panel.column)[defender], panel)
    chosen = sorted(by_name.items(), key=lambda found: not _plays(found[1]))
    if not chosen:
        return []
    if str(chosen[0][1].arrays["phi_plane"]) == "inputs":
        marked = [(name, panel) for name, panel in chosen if _plays(panel)]
        return [_slice(chosen[0][1], marked, "Every defence", 0, pays)]
    return [
        _slice(panel, [(name, panel)] if _plays(panel) else [], name, place, pays)
        for place, (name, panel) in enumerate(chosen[:most])
    ]


def _plays(panel: Panel) -> bool:
    """Whether the defence is one vector, and not zero."""
    return bool(np.abs(np.nan_to_num(panel.arrays["phi_played"])).max() > 0)


def _slice(panel: Panel, marked: Sequence[tuple[str, Panel]], name: str, place: int, pays: bool) -> Slice:
    arrays = panel.arrays
    with style(f"phi {place}"):
        drawn = figure(5.3, 4.5, None)
        axes, beside = drawn.add_axes((0.1, 0.1, 0.74, 0.88)), drawn.add_axes((0.87, 0.17, 0.028, 0.74))
        image = _fill(axes, arrays["phi"], float(arrays["phi_reach"]))
        _borders(axes, arrays["phi_rows"], float(arrays["phi_reach"]))
        draw_outline(axes, arrays["phi_outline"], "#222222", 1.4)
        axes.plot(0, 0, "+", color="#222222", markersize=8, markeredgewidth=1.6)
        for label, other in marked:
            _mark(axes, label, other)
        first, second = AXES[str(arrays["phi_plane"])]
        axes.set(xlabel=first, ylabel=second)
        axes.grid(visible=False)
        drawn.colorbar(image, cax=beside, format=lambda v, _: f"{100 * v:.0f} %").outline.set_visible(False)
        told = _sentences(arrays, marked, pays and arrays["phi_rows"].shape[1] == 1)
        return Slice(name, svg(drawn, f"phi on a plane of defences, {name}. {' '.join(told)}"), told)


def _fill(axes: Axes, phi: NDArray[Any], reach: float) -> Any:
    """phi as filled contours."""
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    low, high = float(phi.min()), float(phi.max())
    levels = MaxNLocator(10, steps=[1, 2, 5, 10]).tick_values(low, max(high, low + 0.01))
    colours = LinearSegmentedColormap.from_list("phi", RAMP)
    ends = extent(reach, len(phi))
    norm = BoundaryNorm(levels, colours.N)
    image = axes.imshow(
        phi, origin="lower", extent=ends, cmap=colours, norm=norm, interpolation="bilinear", interpolation_stage="data"
    )
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    return image


def _borders(axes: Axes, rows: NDArray[Any], reach: float) -> None:
    """The borders of robust sets: where the least of a s + b t + c over a set's rows is 0."""
    ends = np.linspace(-reach, reach, 121)
    s, t = np.meshgrid(ends, ends)
    for a, b, c in np.moveaxis(rows.astype(np.float64), -1, 1):
        least = (a[:, None, None] * s + b[:, None, None] * t + c[:, None, None]).min(0)
        if least.min() < 0 < least.max():
            axes.contour(s, t, least, levels=[0.0], colors="#333333", linewidths=0.7, alpha=0.45)


def _mark(axes: Axes, name: str, panel: Panel) -> None:
    """The defence played, with its name."""
    s, t = panel.arrays["phi_played"]
    axes.plot(s, t, "D", color=DEFENCE, markersize=8, markeredgecolor="white", markeredgewidth=1.2)
    box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    side = "left" if s < 0 else "right"
    axes.annotate(name, (s, t), (9 if s < 0 else -9, 9), textcoords="offset points", ha=side, fontsize=9.5, bbox=box)


def _sentences(arrays: dict[str, NDArray[Any]], marked: Sequence[tuple[str, Panel]], pays: bool) -> list[str]:
    """What the picture says, in numbers."""
    count, always, never = (int(v) for v in arrays["phi_sets"])
    own, other = (number(float(radius)) for radius in arrays["radii"])
    shares = percent(always / count), percent(never / count)
    found = [
        f"{count} inputs, an attacker of radius {own}, a defender of radius {other}. {shares[0]} keep their class "
        f"wherever in this picture the defence lies, {shares[1]} nowhere.",
        f"Without a defence φ is {percent(float(arrays['phi_at'][0]))}.",
    ]
    for name, panel in marked:
        there, pure = float(panel.arrays["phi_at"][1]), int(panel.arrays.get("phi_draws", 1)) == 1
        paid = f"; FGM is paid {NBSP.join(('1', '−', '2φ', '=', number(1 - 2 * there, 2)))} against it"
        what = f"the v of {name}" if pure else f"the first draw of {name}"
        found.append(f"At {what} it is {percent(there)}{paid if pays and pure else ''}.")
    return found
