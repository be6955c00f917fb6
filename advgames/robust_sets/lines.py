"""Exact maximisation of phi_n along lines through the unit ball, and a local search made of such steps."""

from __future__ import annotations

import numpy as np
import torch

from advgames import rng
from advgames.robust_sets.halfspaces import Array, Halfspaces

__all__ = ["best_on_lines", "climb", "random_directions"]

NEAREST = 12  # sets not held that are aimed at in a round
REACHES = (0.1, 0.5, 2.0)  # how far beyond the point a set is aimed at, in radii, before projection
WALLS = (1, 2, 4, 8)  # how many of the tightest rows a direction slides along
RANDOM = 8  # random directions in a round
TOGETHER = 1 << 20  # rows times lines that are looked at in one piece
PARALLEL = 1e-12  # sine of the angle below which a row runs along a line


def random_directions(problem: Halfspaces, seed: int, counter: int, count: int) -> Array:
    """Points of norm 1, a function of (seed, counter) alone.  # (count, d)"""
    draws = rng.normal(rng.seed_tensor([seed]), "robust_sets", counter, (count, problem.dimension), torch.float64)
    return problem.steepest(draws[0].numpy())


def best_on_lines(problem: Halfspaces, points: Array, directions: Array) -> tuple[int, Array]:
    """The most sets that any w = point + tau direction of the ball lies in, and the middle of a best interval.

    Exact up to rounding: on a line every set is an interval, and the sweep over their ends costs n log n.

    Args:
        points: of the ball, one per line or one for all.  # (q, d) or (1, d)
        directions: those that are zero are skipped.  # (q, d)

    Returns the count, -1 if no line leads through the ball, and the point (d,).
    """
    best, where = -1, points[0]
    size = max(1, TOGETHER // problem.heights.size)
    for first in range(0, len(directions), size):
        piece = directions[first : first + size]
        starts = points if len(points) == 1 else points[first : first + size]
        for index, (low, high) in enumerate(zip(*_intervals(problem, starts, piece), strict=True)):
            found, there = _best_on_line(problem, starts[min(index, len(starts) - 1)], piece[index], low, high)
            if found > best:
                best, where = found, there
    return best, where


def _best_on_line(problem: Halfspaces, point: Array, direction: Array, low: Array, high: Array) -> tuple[int, Array]:
    """The most of the intervals [low, high], (n,) each, that meet on the line's chord, and the middle of where."""
    if not direction.any():
        return -1, point
    start, stop = _chord(problem, point, direction)
    low, high = np.maximum(low, start), np.minimum(high, stop)
    held = low <= high
    if not held.any():
        return (0, point) if start <= stop else (-1, point)
    starts, stops = np.sort(low[held]), np.sort(high[held])
    counts = np.arange(1, len(starts) + 1) - np.searchsorted(stops, starts, "left")
    top = int(counts.argmax())
    middle = (starts[top] + stops[np.searchsorted(stops, starts[top], "left")]) / 2
    return int(counts[top]), problem.project((point + middle * direction)[None])[0]


def _intervals(problem: Halfspaces, points: Array, directions: Array) -> tuple[Array, Array]:
    """The tau between which each set holds point + tau direction; low > high where it never does.  # (q, n) twice

    Rows are relaxed by half of what rounding may hurt them, so that sets that touch in one point do meet.
    """
    heights = problem.rows(points) + problem.slop / 2
    n, r, d = problem.units.shape
    slopes = (directions @ problem.units.reshape(n * r, d).T).reshape(len(directions), n, r)
    scale = np.linalg.norm(directions, axis=1)[:, None, None] * np.linalg.norm(problem.units, axis=2)
    parallel = np.abs(slopes) <= PARALLEL * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = -heights / slopes
    out = np.where(heights < 0, np.inf, -np.inf)  # of a parallel row: never or always
    lows = np.where(parallel, out, np.where(slopes > 0, cross, -np.inf)).max(2)
    highs = np.where(~parallel & (slopes < 0), cross, np.inf).min(2)
    return lows, highs


def _chord(problem: Halfspaces, point: Array, direction: Array) -> tuple[float, float]:
    """The tau for which point + tau direction lies in the ball, start > stop if none; one that touches counts."""
    if problem.norm == "linf":
        moving = direction != 0
        if (np.abs(point[~moving]) > 1 + PARALLEL).any():
            return np.inf, -np.inf
        ends = np.stack([(-1 - point[moving]) / direction[moving], (1 - point[moving]) / direction[moving]])
        start, stop = float(ends.min(0).max()), float(ends.max(0).min())
        return (stop, start) if stop < start <= stop + PARALLEL else (start, stop)
    length = float(direction @ direction)
    along = float(point @ direction) / length
    square = along**2 - (float(point @ point) - 1) / length
    root = float(np.sqrt(max(square, 0.0))) if square >= -PARALLEL else -np.inf
    return -along - root, -along + root


def climb(problem: Halfspaces, point: Array, seed: int, rounds: int = 50) -> tuple[int, Array]:
    """From a point of the ball, the best of a bundle of lines again and again while the number of sets grows.

    The lines lead towards the nearest sets that do not hold the point, straight and along the tightest rows of
    those that do, and in a few random directions. Never worse than the start.
    """
    count = int(problem.count(point[None])[0])
    for counter in range(rounds):
        if count == len(problem):
            break
        _, there = best_on_lines(problem, point[None], _bundle(problem, point, seed, counter))
        reached = int(problem.count(there[None])[0])
        if reached <= count:
            break
        count, point = reached, there
    return count, point


def _bundle(problem: Halfspaces, point: Array, seed: int, counter: int) -> Array:
    """Directions worth trying from a point.  # (q, d)"""
    rows = problem.rows(point[None])
    held = problem.holds(rows)[0]
    lowest = rows[0].argmin(1)
    slack = rows[0][np.arange(len(problem)), lowest]
    units = problem.units[np.arange(len(problem)), lowest]
    missed = np.flatnonzero(~held)
    aims = units[missed[np.argsort(-slack[missed], kind="stable")[:NEAREST]]]
    inside = np.flatnonzero(held)
    tight = units[inside[np.argsort(slack[inside], kind="stable")[: max(WALLS)]]]
    walls = np.linalg.qr(tight.T)[0] if len(tight) else np.zeros((problem.dimension, 0))
    slid = [aims - aims @ walls[:, :k] @ walls[:, :k].T for k in WALLS if k <= walls.shape[1]]
    straight = np.concatenate([aims, *slid, random_directions(problem, seed, counter, RANDOM)])
    bent = [problem.project(point + reach * straight) - point for reach in REACHES]
    return np.concatenate([straight, *bent])
