"""P3, generalisation: what a defence fitted to n inputs loses on the distribution they come from, phi being known.

``python -m advgames.training.experiments.generalisation --out DIR`` prints a table and writes ``generalisation.json``
and ``generalisation.png``. Source: additive_nash.txt section 5.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from scipy.special import stdtrit
from torch import Tensor

from advgames import rng
from advgames.errors import SettingError
from advgames.files import replace_whole, write_whole

__all__ = ["Corner", "Row", "best_on_sample", "measure", "slope", "victim"]

Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

SIZES = (10, 30, 100, 300, 1000, 3000, 10_000)
RESAMPLES = 1000


def victim(inputs: Tensor) -> Tensor:
    """f(x) = max(x_1, x_2), (n, 2) -> (n,): piecewise linear, its gradient (1, 0) or (0, 1)."""
    return inputs.amax(1)


@dataclass(frozen=True)
class Corner:
    """Inputs of `victim` in four groups, with directions c = sgn f grad f = e_1, e_2, -e_1, -e_2, and a known phi.

    An input of group j has |f| = D, uniform on [0, span], so that v holds it iff D >= radius - c_j . v, and

        phi(v) = sum_j p_j (1 - (radius - c_j . v) / span) = 1 - (radius - q . v) / span,  q = sum_j p_j c_j,

    for ||v|| <= radius <= span / 2. It is largest at v* = radius q / ||q||: phi* = 1 - radius (1 - ||q||) / span.
    The kink lies 3 radii from every input, so that the linearisation is exact where the players move.

    What to expect: phi falls off v* linearly along the radius and with the square of the angle, so that v_n* is off by
    about n^(-1) radially (a boundary maximum of a jump process) and by n^(-1/3) in angle (cube-root asymptotics: the
    empirical process moves like sqrt(angle / n)): a regret of order n^(-2/3), approached from steeper slopes.

    Args:
        shares: p, the groups' probabilities.
        radius: of the attacker and the defender, L2.
        span: largest |f|, at least 2 radii.
    """

    shares: tuple[float, float, float, float] = (0.45, 0.3, 0.15, 0.1)
    radius: float = 1.0
    span: float = 3.0

    def __post_init__(self) -> None:
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-9:
            raise SettingError(f"shares: expected four probabilities that sum to 1, got {self.shares}")
        if not 0 < 2 * self.radius <= self.span:
            raise SettingError(f"expected 0 < 2 radius <= span, got radius {self.radius} and span {self.span}")
        if self.pull == (0.0, 0.0):
            raise SettingError(f"shares {self.shares} pull nowhere: every v is equally good")

    @property
    def pull(self) -> tuple[float, float]:
        """q."""
        return self.shares[0] - self.shares[2], self.shares[1] - self.shares[3]

    def phi(self, v: Array) -> float:
        """phi(v), ||v|| <= radius."""
        return 1 - (self.radius - float(v @ np.array(self.pull))) / self.span

    @property
    def best(self) -> float:
        """phi(v*)."""
        return 1 - self.radius * (1 - math.hypot(*self.pull)) / self.span

    def draw(self, seed: int, repetition: int, size: int) -> tuple[Groups, Array]:
        """Groups 0..3 and distances |f| of a sample, (n,) each; a function of the arguments alone."""
        key = rng.seed_tensor([seed])
        which, where = rng.uniform(key, f"generalisation.{size}", repetition, (2, size), torch.float64)[0].numpy()
        groups = np.searchsorted(np.cumsum(self.shares)[:3], which)
        return groups.astype(np.int64), self.span * where

    def inputs(self, groups: Groups, distances: Array) -> Array:
        """Points x with these directions and distances, (n, 2): the larger entry is D, or -D, and is entry 1 or 2."""
        larger = np.where(groups < 2, distances, -distances)
        smaller = larger - 3 * math.sqrt(2) * self.radius
        first = (groups % 2 == 0)[:, None]
        return np.where(first, np.stack([larger, smaller], 1), np.stack([smaller, larger], 1))


def best_on_sample(groups: Groups, distances: Array, radius: float) -> tuple[int, Array]:
    """The largest n phi_n and a maximiser v_n*, exactly, in n log n steps.

    n phi_n(v) = G_1(v_1) + G_2(v_2) with G_j(t) = #{+: t >= radius - D} + #{-: t <= D - radius}. On either axis only
    0 and the thresholds at which going away from 0 gains an input need be tried: elsewhere there is as good a point
    nearer to 0. For each v_1 the best v_2 with v_1^2 + v_2^2 <= radius^2 is a running maximum.
    """
    (first, first_counts), (second, second_counts) = (
        _axis(distances[groups == j], distances[groups == j + 2], radius) for j in (0, 1)
    )
    order = np.argsort(np.abs(second), kind="stable")
    second, second_counts = second[order], second_counts[order]
    running = np.maximum.accumulate(second_counts)
    room = np.sqrt(np.maximum(radius**2 - first**2, 0.0))
    last = np.searchsorted(np.abs(second), room, "right") - 1  # 0 is the first entry
    totals = first_counts + running[last]
    index = int(totals.argmax())
    partner = int(second_counts[: last[index] + 1].argmax())
    return int(totals[index]), np.array([first[index], second[partner]])


def _axis(plus: Array, minus: Array, radius: float) -> tuple[Array, Groups]:
    """Values of one coordinate worth trying, and how many inputs each holds."""
    ups, downs = np.sort(radius - plus), np.sort(minus - radius)
    tried = np.concatenate([[0.0], ups[ups > 0], downs[downs < 0]])
    held = np.searchsorted(ups, tried, "right") + len(downs) - np.searchsorted(downs, tried, "left")
    return tried, held.astype(np.int64)


@dataclass(frozen=True)
class Row:
    """What one sample size gives, over repetitions.

    Attributes:
        size: n.
        regret: mean of phi(v*) - phi(v_n*).
        low, high: its Student 95 % interval.
        optimism: mean of phi_n(v_n*) - phi(v_n*), what the sample promises too much.
        printed_bound: 4 sqrt(m log n / n), m = 2, eq. 20's on E sup_v |phi_n(v) - phi(v)|.
        regret_bound: twice that, which by eq. 18 is what bounds the regret.
    """

    size: int
    regret: float
    low: float
    high: float
    optimism: float
    printed_bound: float
    regret_bound: float


def measure(
    family: Corner, sizes: Sequence[int] = SIZES, repetitions: int = 1000, seed: int = 0
) -> tuple[list[Row], Array]:
    """Rows, one per size, and every regret.  # (sizes,), (sizes, repetitions)"""
    if repetitions < 2 or len(sizes) < 2 or min(sizes) < 2:
        raise SettingError("expected at least 2 repetitions, 2 sizes, and sizes of at least 2")
    rows, regrets = [], np.zeros((len(sizes), repetitions))
    for i, size in enumerate(sizes):
        optimism = np.zeros(repetitions)
        for repetition in range(repetitions):
            groups, distances = family.draw(seed, repetition, size)
            held, v = best_on_sample(groups, distances, family.radius)
            true = family.phi(v)
            regrets[i, repetition], optimism[repetition] = family.best - true, held / size - true
        mean = float(regrets[i].mean())
        reach = float(stdtrit(repetitions - 1, 0.975) * regrets[i].std(ddof=1) / math.sqrt(repetitions))
        bound = 4 * math.sqrt(2 * math.log(size) / size)
        rows.append(Row(size, mean, mean - reach, mean + reach, float(optimism.mean()), bound, 2 * bound))
    return rows, regrets


def slope(sizes: Sequence[int], regrets: Array, seed: int = 0) -> dict[str, float]:
    """Least-squares slope of log mean regret on log n, and its bootstrap 95 % interval over the repetitions."""
    x = np.log(np.asarray(sizes, dtype=np.float64))
    x = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    generator = np.random.Generator(np.random.PCG64(seed))
    repetitions = regrets.shape[1]
    drawn = [
        float(x @ np.log([row[generator.integers(0, repetitions, repetitions)].mean() for row in regrets]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"slope": float(x @ np.log(regrets.mean(1))), "low": float(low), "high": float(high)}


def _bound_slope(rows: Sequence[Row]) -> float:
    sizes = np.log([row.size for row in rows])
    return float(np.polyfit(sizes, np.log([row.printed_bound for row in rows]), 1)[0])


def draw_figure(rows: Sequence[Row], fit: dict[str, float], path: Path) -> None:
    """Regret against n beside the bounds, log-log, as PNG."""
    sizes = np.array([row.size for row in rows], dtype=np.float64)
    regret = np.array([row.regret for row in rows])
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    errors = np.array([[row.regret - row.low, row.high - row.regret] for row in rows]).T
    axes.errorbar(sizes, regret, errors, fmt="o", color="#0072B2", capsize=3, label="φ(v*) − φ(vₙ*), mean and 95 %")
    centre = np.exp(np.log(regret).mean() + fit["slope"] * (np.log(sizes) - np.log(sizes).mean()))
    axes.plot(sizes, centre, color="#0072B2", linewidth=1, label=f"its slope, {fit['slope']:.2f}")
    axes.plot(sizes, [row.optimism for row in rows], "s--", color="#009E73", markersize=4, label="φₙ(vₙ*) − φ(vₙ*)")
    axes.plot(sizes, [row.printed_bound for row in rows], color="#D55E00", label="4√(m log n / n), eq. 20")
    axes.plot(sizes, [row.regret_bound for row in rows], ":", color="#D55E00", label="8√(m log n / n), eq. 18 and 20")
    axes.set(xscale="log", yscale="log", xlabel="inputs n", ylabel="share of inputs")
    axes.grid(color="#E6E6E6")
    axes.legend(fontsize=8, frameon=False)
    replace_whole(path, lambda part: figure.savefig(part, format="png", dpi=150))


def table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    lines = [f"{'n':>6} {'regret':>10} {'95 % interval':>23} {'optimism':>10} {'4 sqrt':>8} {'8 sqrt':>8}"]
    for r in rows:
        interval = f"[{r.low:.3e}, {r.high:.3e}]"
        lines.append(
            f"{r.size:>6} {r.regret:>10.3e} {interval:>23} {r.optimism:>10.3e} "
            f"{r.printed_bound:>8.3f} {r.regret_bound:>8.3f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for generalisation.json and generalisation.png")
    parser.add_argument("--repetitions", type=int, default=1000, help="samples per size (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="100 repetitions of sizes up to 1000")
    chosen = parser.parse_args(arguments)
    sizes, repetitions = (SIZES[:5], 100) if chosen.quick else (SIZES, chosen.repetitions)
    family = Corner()
    rows, regrets = measure(family, sizes, repetitions, chosen.seed)
    fits = {
        "all sizes": slope(sizes, regrets, chosen.seed),
        "n >= 100": slope(sizes[2:], regrets[2:], chosen.seed),
    }
    print(table(rows))
    for name, fit in fits.items():
        print(f"log-log slope, {name}: {fit['slope']:.3f}, 95 % [{fit['low']:.3f}, {fit['high']:.3f}]")
    print(f"log-log slope of the bound, all sizes: {_bound_slope(rows):.3f}")
    if chosen.out is None:
        return
    chosen.out.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "family": asdict(family),
        "phi_best": family.best,
        "seed": chosen.seed,
        "repetitions": repetitions,
        "rows": [asdict(row) for row in rows],
        "slopes": fits,
        "bound_slope": _bound_slope(rows),
    }
    write_whole(chosen.out / "generalisation.json", json.dumps(document, indent=1))
    draw_figure(rows, fits["all sizes"], chosen.out / "generalisation.png")


if __name__ == "__main__":
    main()
