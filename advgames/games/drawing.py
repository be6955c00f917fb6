"""Drawing of a match: one minibatch from clean to perturbed twice, and a curve over the rounds so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scene", "draw"]

Array = NDArray[Any]
_ROWS = 6
_INK, _FAINT, _ATTACK, _DEFENCE = "#222222", "#bbbbbb", "#c0392b", "#1f6fb2"


@dataclass(frozen=True)
class Scene:
    """What is drawn of one match; steps that have not happened yet are None.

    Attributes:
        title: one line above the picture.
        labels: of the minibatch, as text.
        clean, attack, attacked, defense, repaired: x, eps_atk delta, x', eps_def sigma, x'', each (B, *input_shape),
            the perturbations in input units.
        curve: a number after this round and the ones before, the last entry the present one; may be empty.
        curve_name: what it is.
        names: what x' and x'' are called.
        round: rounds played.
        horizon: rounds of the match.
        bounds: valid range of the inputs, or None.
    """

    title: str
    labels: Sequence[str]
    clean: Array
    attack: Array | None
    attacked: Array | None
    defense: Array | None
    repaired: Array | None
    curve: Sequence[float]
    curve_name: str
    names: tuple[str, str]
    round: int
    horizon: int
    bounds: tuple[float, float] | None


def draw(scene: Scene) -> Array:
    """The scene as an RGB array (H, W, 3) uint8, drawn without a display and without matplotlib's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.4, 5.4), dpi=90, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)
    figure.suptitle(scene.title, x=0.02, ha="left", fontsize=12, fontweight="bold", color=_INK)
    if scene.clean.ndim >= 3 and min(scene.clean.shape[-2:]) > 1:
        _draw_images(figure, scene)
    else:
        _draw_numbers(figure.add_axes((0.07, 0.14, 0.44, 0.7)), scene)
    if scene.curve:
        _draw_curve(figure.add_axes((0.66, 0.14, 0.32, 0.7)), scene)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_images(figure: Any, scene: Scene) -> None:
    """Five columns of up to six tiles each; what has not happened yet is pale."""
    columns = (
        ("clean  x", scene.clean, False),
        ("attack  $\\epsilon\\delta$", scene.attack, True),
        (f"{scene.names[0]}  x′", scene.attacked, False),
        ("defence  $\\epsilon\\sigma$", scene.defense, True),
        (f"{scene.names[1]}  x″", scene.repaired, False),
    )
    rows = min(_ROWS, len(scene.clean))
    height, width = scene.clean.shape[-2:]
    gap = max(1, height // 16)
    for i, (title, values, signed) in enumerate(columns):
        axes = figure.add_axes((0.035 + 0.118 * i, 0.02, 0.112, 0.82))
        axes.set_anchor("N")
        axes.set(xticks=[], yticks=[])
        for side in axes.spines.values():
            side.set_visible(False)
        if values is None:
            scale, tiles = " ", np.full((rows, height, width, 3), 0.95)
        elif signed:
            scale, tiles = f"±{_peak(values[:rows]):.3g}", _coloured(values[:rows])
        else:
            scale, tiles = " ", _pixels(values[:rows], scene.bounds)
        axes.set_title(f"{title}\n{scale}", fontsize=10, color=_INK)
        axes.imshow(_stack(tiles, gap), interpolation="nearest")
        if i == 0 and scene.labels:
            axes.set_yticks([r * (height + gap) + height / 2 - 0.5 for r in range(rows)], scene.labels[:rows])
            axes.tick_params(length=0, labelsize=11, colors=_INK)


def _draw_numbers(axes: Any, scene: Scene) -> None:
    """Every input (its first entry) on number lines: x, below it x', below that x''."""
    rows = min(_ROWS, len(scene.clean))
    steps = (
        ("clean x", scene.clean, _INK, 0.0),
        (f"{scene.names[0]} x′", scene.attacked, _ATTACK, 0.27),
        (f"{scene.names[1]} x″", scene.repaired, _DEFENCE, 0.54),
    )
    found = [(name, v.reshape(len(v), -1)[:rows, 0], c, lift) for name, v, c, lift in steps if v is not None]
    shown = np.concatenate([values for _, values, _, _ in found])
    margin = 0.45 * max(float(np.ptp(shown)), 0.05)
    axes.set_xlim(shown.min() - margin, shown.max() + margin)
    axes.set_ylim(rows - 0.2, -0.35)
    for i, (name, values, colour, lift) in enumerate(found):
        axes.plot(values, np.arange(rows) + lift, "o", color=colour, markersize=8, label=name, zorder=3)
        for row, value in enumerate(values):
            here, text = (float(value), row + lift), f"{value:.4g}"
            turn = 0.0 if i + 1 == len(found) else float(found[i + 1][1][row] - value)
            if i > 0:
                before = (float(found[i - 1][1][row]), row + found[i - 1][3])
                line = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 5, "shrinkB": 4}
                axes.annotate("", here, before, arrowprops=line)
                text += f"  ({here[0] - before[0]:+.3g})"
            side, shift = ("right", -10) if turn > 0 else ("left", 10)
            axes.annotate(text, here, (shift, -3), textcoords="offset points", ha=side, fontsize=9, color=colour)
    axes.set_yticks([])
    axes.legend(loc="lower left", bbox_to_anchor=(-0.03, 1.0), ncols=3, frameon=False, handletextpad=0.1)
    _plain(axes)


def _draw_curve(axes: Any, scene: Scene) -> None:
    """A curve against rounds, with its present value; logarithmic once it has fallen a hundredfold above zero."""
    values = np.asarray(scene.curve, dtype=np.float64)
    peak = float(values.max())
    steep = values.min() >= 0 and values.min() < peak / 100 and scene.curve_name.endswith("loss")
    shown = np.maximum(values, 1e-12 * peak) if steep else values
    rounds = np.arange(len(values)) + scene.round - len(values) + 1
    axes.plot(rounds, shown, color=_INK, linewidth=1.8)
    axes.plot(rounds[-1:], shown[-1:], "o", color=_INK, clip_on=False)
    place = (-4, 9) if rounds[-1] > 0.8 * scene.horizon else (7, 6)
    side = "right" if rounds[-1] > 0.8 * scene.horizon else "left"
    axes.annotate(f"{values[-1]:.4g}", (rounds[-1], shown[-1]), place, textcoords="offset points", ha=side)
    axes.set_xlim(0, max(scene.horizon, 1))
    if steep:
        axes.set_yscale("log")
    else:
        low = min(0.0, 1.12 * float(values.min()))
        axes.set_ylim(low, max(1.12 * peak, 0.0) if peak or low else 1.0)
    axes.set_title(scene.curve_name, fontsize=10, loc="left", color=_INK, pad=12)
    axes.set_xlabel("round", fontsize=10)
    _plain(axes)


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)
    axes.tick_params(colors=_INK, labelsize=9)


def _pixels(images: Array, bounds: tuple[float, float] | None) -> Array:
    """(N, C, H, W) or (N, H, W) as RGB in [0, 1], (N, H, W, 3); one channel is grey, three are colours."""
    low, high = bounds or (float(images.min()), float(images.max()) or 1.0)
    scaled = np.clip((images - low) / ((high - low) or 1.0), 0.0, 1.0)
    channels = scaled[:, None] if scaled.ndim == 3 else scaled
    colours = channels if channels.shape[1] == 3 else channels.mean(1, keepdims=True)
    return np.broadcast_to(np.moveaxis(colours, 1, -1), (*channels.shape[:1], *channels.shape[2:], 3))


def _coloured(perturbations: Array) -> Array:
    """(N, C, H, W) as RGB, (N, H, W, 3): blue below zero, red above, the mean over channels."""
    from matplotlib import colormaps

    flat = perturbations.mean(1) if perturbations.ndim == 4 else perturbations
    coloured: Array = colormaps["RdBu_r"](0.5 + 0.5 * flat / (_peak(perturbations) or 1.0))[..., :3]
    return coloured


def _peak(perturbations: Array) -> float:
    """The largest entry of the channels' mean, the scale of :func:`_coloured`."""
    flat = perturbations.mean(1) if perturbations.ndim == 4 else perturbations
    peak = float(np.abs(flat).max())
    return peak if math.isfinite(peak) else 0.0


def _stack(tiles: Array, gap: int) -> Array:
    """Tiles (N, H, W, 3) below one another on white."""
    rows, height, width, _ = tiles.shape
    column = np.ones((rows * (height + gap), width, 3))
    for row, tile in enumerate(tiles):
        column[row * (height + gap) : row * (height + gap) + height] = tile
    return column[: len(column) - gap]
