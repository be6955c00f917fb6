"""Windows: church-window plots, the victim's classes on planes through single inputs (additive_nash.txt appendix E)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advgames.report.panels import Panel
from advgames.report.svg import ATTACK, DEFENCE, draw_outline, extent, figure, style, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Window", "windows"]

# Light enough for marks and lines on top, and told apart by lightness too where few occur.
SHADES = (
    *("#9CC3E6", "#F6B26B", "#A8D08D", "#F4A6B0", "#C3B1E1"),
    *("#D2B48C", "#F7CAC9", "#BDBDBD", "#D9D77A", "#8FD3D1"),
)
MOST = 2
MOVED = 1e-3  # radii; less is no move to be seen


@dataclass(frozen=True)
class Window:
    """The windows of one match, drawn."""

    panel: Panel
    svg: str


def windows(left: Sequence[Panel], most: int = MOST) -> list[Window]:
    """Windows of the first panels that hold any, those first in which both players move."""
    having = [panel for panel in left if "window_classes" in panel.arrays]
    chosen = sorted(having, key=lambda panel: not _both_move(panel))[:most]
    return [Window(panel, _draw(panel, f"window {k}")) for k, panel in enumerate(chosen)]


def _both_move(panel: Panel) -> bool:
    paths = panel.arrays["window_paths"]
    steps = np.stack([paths[:, 0], paths[:, 1] - paths[:, 0]])
    return bool((np.abs(steps).max((1, 2)) > MOVED).all())


def _draw(panel: Panel, salt: str) -> str:
    arrays = panel.arrays
    classes, given = arrays["window_classes"], arrays["given"][arrays["window_inputs"]]
    count = len(classes)
    with style(salt):
        drawn = figure(11.0, 2.6, None)
        places = {"left": 0.055, "right": 0.995, "bottom": 0.29, "top": 0.9, "wspace": 0.1}
        grid: Any = drawn.subplots(1, max(count, 4), squeeze=False, sharey=True, gridspec_kw=places)
        for k, axes in enumerate(grid[0]):
            if k >= count:
                axes.set_visible(False)
                continue
            _window(axes, classes[k], arrays["window_paths"][k], arrays["window_outline"][k], given[k], arrays)
            if k == 0:
                axes.set_ylabel("random direction, radii")
            axes.set_xlabel("FGM, radii")
        _legend(drawn, classes, given)
        told = "; ".join(f"input {k + 1}: class {x}, attacked {y}, defended {z}" for k, (x, y, z) in enumerate(given))
        return svg(drawn, f"Church windows of {panel.title}. {told}")


def _window(
    axes: Axes,
    classes: NDArray[Any],
    path: NDArray[Any],
    outline: NDArray[Any],
    given: NDArray[Any],
    arrays: dict[str, NDArray[Any]],
) -> None:
    """One window: white where the class is that of x, the ball's border dashed, x, x' and x'' with arrows between."""
    reach = float(arrays["window_reach"])
    ends = extent(reach, len(classes))
    axes.imshow(_pixels(classes, int(given[0])), origin="lower", extent=ends, interpolation="nearest")
    draw_outline(axes, outline, "#555555", 0.9)
    stops = np.vstack([np.zeros((1, 2)), path])
    for colour, start, end in ((ATTACK, stops[0], stops[1]), (DEFENCE, stops[1], stops[2])):
        if np.abs(end - start).max() > MOVED:
            line = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", tuple(end), tuple(start), arrowprops=line)
    marks = zip(stops[::-1], ("s", "D", "o"), (DEFENCE, ATTACK, "#222222"), strict=True)
    for (s, t), marker, colour in marks:
        axes.plot(s, t, marker, color=colour, markersize=4.5, markeredgecolor="white", markeredgewidth=0.8)
    axes.set_title(" → ".join(str(c) for c in given), fontsize=10.5, fontweight="bold")
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(True)


def _pixels(classes: NDArray[Any], own: int) -> NDArray[np.uint8]:
    """Classes as colours: white for `own`, a shade for each other class.  # (S, S, 3)"""
    shades = np.array([[int(shade[k : k + 2], 16) for k in (1, 3, 5)] for shade in SHADES], dtype=np.uint8)
    found: NDArray[np.uint8] = shades[classes % len(SHADES)]
    found[classes == own] = 255
    return found


def _legend(drawn: Any, classes: NDArray[Any], given: NDArray[Any]) -> None:
    """Shades of the classes that occur as others, and the marks."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    others = sorted(
        {int(c) for shown, own in zip(classes, given[:, 0], strict=True) for c in np.unique(shown) if c != own}
    )
    word = "class " if len(others) <= 7 else ""  # else they would not fit in a line
    handles: list[Any] = [Patch(facecolor="white", edgecolor="#888888", label="class of x")]
    handles += [Patch(facecolor=SHADES[c % len(SHADES)], edgecolor="#888888", label=f"{word}{c}") for c in others]
    for marker, colour, name in (("o", "#222222", "x"), ("D", ATTACK, "x′ attacked"), ("s", DEFENCE, "x″ defended")):
        handles.append(Line2D([], [], marker=marker, color=colour, linestyle="", markersize=5, label=name))
    drawn.legend(
        handles=handles,
        loc="lower center",
        ncols=len(handles),
        frameon=False,
        handlelength=1.2,
        columnspacing=1.2,
    )
