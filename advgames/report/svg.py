"""Svg: matplotlib figures in the page's style as inline <svg> elements, and the page's colours."""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ATTACK", "COLOURS", "DEFENCE", "QUIET", "draw_outline", "extent", "figure", "style", "svg"]

# Okabe and Ito's palette, which colour-blind readers can tell apart.
ATTACK, DEFENCE, QUIET = "#D55E00", "#0072B2", "#9A9A9A"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#4D4D4D", "#F0E442")
DPI = 150  # of what a figure holds as pixels
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "axes.labelcolor": "#333333",
    "text.color": "#222222",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
}


def figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """An empty figure, in inches; without a layout its axes stand where they are put."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)  # type: ignore[arg-type]


def extent(reach: float, points: int) -> tuple[float, float, float, float]:
    """Of an image whose outermost points lie at the reach: a point of the grid is the middle of its pixel."""
    half = reach / (points - 1)
    return -reach - half, reach + half, -reach - half, reach + half


def draw_outline(axes: Axes, outline: NDArray[Any], colour: str, width: float) -> None:
    """A closed line, dashed, at these distances from 0 at equal angles."""
    angles = np.linspace(0, 2 * np.pi, len(outline))
    axes.plot(outline * np.cos(angles), outline * np.sin(angles), color=colour, linewidth=width, linestyle=(0, (4, 2)))


def style(salt: str) -> Any:
    """matplotlib's settings for one figure; the salt keeps the ids of two figures on a page apart."""
    import matplotlib

    settings: dict[Any, Any] = {**STYLE, "svg.hashsalt": salt}
    return matplotlib.rc_context(settings)


def svg(drawn: Figure, label: str = "") -> str:
    """A figure as an <svg> element for HTML: no XML head, metadata, namespaces or unused ids; the page's font.

    Args:
        label: what it shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", transparent=True, dpi=DPI, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif", text)
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r'\sid="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    told = f' aria-label="{html.escape(label)}"' if label else ""
    text = re.sub(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img"{told}>', text, count=1)
    return text.strip()
