"""What additive_nash.txt left open: is (FGM, Smooth) an equilibrium where boundaries are curved?

``python -m advgames.training.experiments.curved --out DIR`` measures, under the true f instead of its local
linearisation, how much each player gains by leaving the pair, lets a double oracle add better replies until the
exploitability found stops falling, and says what the defences chosen on one sample are worth on another. Each seed
has another victim and another sample; its results are written as they come, and a second call goes on.

Replies are found by search, so gains are lower bounds of the exploitability, and stand beside the gradients of f spent.
On the two moons a brute-force reply on a grid says how good the search is.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advgames import rng
from advgames.equilibrium import DoubleOracleResult, double_oracle
from advgames.equilibrium.tables import Array
from advgames.errors import ResultsMismatchError
from advgames.files import write_whole
from advgames.tasks import Recipe, Split, Task, load_task, trained_module
from advgames.training.experiments.curved_game import (
    CurvedGame,
    Search,
    attack_reply,
    defence_reply,
    disc,
    grid_replies,
)
from advgames.training.experiments.curved_report import figure, table
from advgames.victims import Victim, mlp

__all__ = ["QUICK", "VICTIMS", "Settings", "equilibrate", "run", "run_seed", "two_moons"]

Pair = tuple[Sequence[Tensor], Array, Sequence[Tensor], Array]  # attacks, their weights, vectors, theirs


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        inputs: n, of the sample and of the held-out sample, per victim; the digits have 361 images in all.
        radius: eps of both players, per victim.
        epochs: of the victims' training, per victim.
        search: for replies.
        iterations: of the double oracle, at most.
        patience: iterations without a new lowest exploitability after which it stops.
    """

    inputs: tuple[int, int] = (100, 180)
    radius: tuple[float, float] = (0.4, 0.8)
    epochs: tuple[int, int] = (100, 20)
    search: Search = Search()
    iterations: int = 25
    patience: int = 8

    @property
    def thorough(self) -> Search:
        """A search that checks what the other found: about six times its gradients."""
        more = {name: 3 * getattr(self.search, name) for name in ("random", "members")}
        return replace(self.search, steps=2 * self.search.steps, **more)


QUICK = Settings((30, 40), (0.4, 0.8), (20, 3), Search(steps=5, random=1), iterations=4)


def two_moons(seed: int, count: int) -> Split:
    """Points of two interleaved half circles of radius 1 with normal noise of 0.1, half of each class.  # (count, 2)"""
    key = rng.seed_tensor([seed])
    angle = math.pi * rng.uniform(key, "moons.angle", 0, (count,))[0]
    labels = torch.arange(count) % 2
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    noise = 0.1 * rng.normal(key, "moons.noise", 0, (count, 2))[0]
    return Split(torch.where(labels[:, None] == 0, upper, lower) + noise, labels)


def _moons(seed: int, count: int, epochs: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A net of 16 tanh units trained on 400 points, and two fresh samples."""
    train, fresh = two_moons(2 * seed, 400), two_moons(2 * seed + 1, 2 * count)
    recipe = Recipe(seed, epochs, batch_size=50, learning_rate=1e-2)
    task = Task("two-moons", train, fresh, fresh, lambda: Victim(mlp(2, 16, 2, nn.Tanh)), bounds=None, num_classes=2)
    return trained_module(task, recipe), fresh.inputs[:count], fresh.inputs[count:]


def _digits(seed: int, count: int, epochs: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A net of 64 ReLU units that tells fours from nines, and two disjoint samples of all such digits.

    There are few, so the samples hold images that the victim was trained on; what is held out is held out from the
    players.
    """
    whole = load_task("digits:4v9")
    task = replace(whole, make_victim=lambda: Victim(mlp(64, 64, 2)))
    images = torch.cat([split.inputs for split in (task.train, task.validation, task.test)])
    order = rng.permutation(rng.seed_tensor([seed]), "curved.sample", 0, len(images))[0]
    module = trained_module(task, Recipe(seed, epochs, batch_size=20, learning_rate=3e-3))
    return module, images[order[:count]], images[order[count : 2 * count]]


#: name -> (seed, inputs of a sample, epochs) -> victim, sample, held-out sample
VICTIMS: dict[str, Callable[[int, int, int], tuple[nn.Module, Tensor, Tensor]]] = {
    "two-moons": _moons,
    "digits:4v9": _digits,
}


def run_seed(victim: str, seed: int, settings: Settings) -> dict[str, Any]:
    """Everything measured of one victim and sample, JSON-able; u is the attacker's payoff throughout.

    ``pair``: u of (FGM, nobody) and (FGM, Smooth), the value 1 - 2 phi(v_n*) that f_L promises, and what each player
    gains by leaving the pair, by search, by the thorough search, and on the plane by a grid. ``curve``: the double
    oracle's iterations. ``end``: its least exploitable pair. ``defences``: u of each defence against FGM and
    against the attack found for it, on the sample and on the held-out one.
    """
    place = list(VICTIMS).index(victim)
    module, sample, fresh = VICTIMS[victim](seed, settings.inputs[place], settings.epochs[place])
    model, radius = copy.deepcopy(module).double(), settings.radius[place]
    game, held_out = (CurvedGame(model, inputs.double(), radius) for inputs in (sample, fresh))
    started = time.perf_counter()
    nothing, one = torch.zeros_like(game.smooth), np.ones(1)
    pair = ([game.fast_gradient], one, [game.smooth], one)
    undefended, defended = game.payoffs(pair[0], [nothing, game.smooth])[0].tolist()
    record: dict[str, Any] = {
        "victim": victim,
        "seed": seed,
        "settings": asdict(settings),
        "pair": {
            "undefended": undefended,
            "u": defended,
            "linear_value": 1 - 2 * float(game.sets.phi(game.smooth, radius)),
            "gains": _gains(game, pair, defended, settings),
        },
    }
    end, curve = equilibrate(game, settings)
    mixes = (end.rows, end.row, end.columns, end.column)
    record["curve"] = curve
    record["end"] = {
        "value": end.value,
        "iteration": end.history[-1].iteration,
        "support": [int((end.row > 0).sum()), int((end.column > 0).sum())],
        "gains": _gains(game, _supported(mixes), end.value, settings),
    }
    reply = defence_reply(game, pair[0], one, settings.thorough)
    defences = {
        "nobody": ([nothing], one),
        "Smooth": ([game.smooth], one),
        "reply to FGM": ([reply], one),
        "double oracle": _supported(mixes)[2:],
    }
    record["defences"] = {
        name: {"sample": _worth(game, *mix, settings), "held out": _worth(held_out, *mix, settings)}
        for name, mix in defences.items()
    }
    record["gradients"], record["evaluations"] = game.gradients, game.evaluations
    record["seconds"] = time.perf_counter() - started
    return record


def equilibrate(
    game: CurvedGame, settings: Settings
) -> tuple[DoubleOracleResult[Tensor, Tensor], list[dict[str, float]]]:
    """A double oracle from (FGM, Smooth) until the exploitability found stops falling.

    The least exploitable pair met (by that search), and the curve: for each iteration the restricted game's value,
    both gains, the number of strategies of each player, and the gradients spent until then on oracles.
    """
    best: DoubleOracleResult[Tensor, Tensor] | None = None
    spent = game.gradients
    curve: list[dict[str, float]] = []
    result: Any = ([game.fast_gradient], [game.smooth])
    while best is None or len(curve) - best.history[-1].iteration < settings.patience:
        rows, columns = (result.rows, result.columns) if curve else result
        seed, search = len(curve), settings.search
        oracles = (
            lambda v, q, known=rows, seed=seed: attack_reply(game, v, q, search, known, seed),
            lambda a, p, known=columns, seed=seed: defence_reply(game, a, p, search, known, seed),
        )
        result = double_oracle(game, oracles, result, max_iterations=1)
        step = result.history[-1]
        curve.append(
            {
                "value": step.value,
                "attacker": step.gains.row,
                "defender": step.gains.column,
                "rows": step.rows,
                "columns": step.columns,
                "gradients": game.gradients - spent,
            }
        )
        if best is None or step.gains.total < best.gains.total:
            best = result
        if result.reason != "max-iterations" or len(curve) == settings.iterations:
            break
    assert best is not None
    return best, curve


def _gains(game: CurvedGame, pair: Pair, value: float, settings: Settings) -> dict[str, dict[str, float]]:
    """What each player gains by leaving a pair of mixes, by every way of looking for a reply."""
    attacks, p, vectors, q = pair
    found: dict[str, dict[str, float]] = {}
    for name, search in (("search", settings.search), ("thorough", settings.thorough)):
        before = game.gradients
        attack = attack_reply(game, vectors, q, search, attacks)
        vector = defence_reply(game, attacks, p, search, vectors)
        best = float(game.payoffs([attack], vectors)[0] @ q)
        least = float(p @ game.payoffs(attacks, [vector])[:, 0])
        found[name] = {"attacker": best - value, "defender": value - least, "gradients": game.gradients - before}
    if game.inputs.shape[1] == 2:
        best, least = grid_replies(game, attacks, p, vectors, q, disc(game.radius))
        found["grid"] = {"attacker": best - value, "defender": value - least}
    return found


def _supported(mixes: Pair) -> Pair:
    """The strategies of positive weight with their weights."""
    attacks, p, vectors, q = mixes
    return (
        [attacks[i] for i in np.flatnonzero(p).tolist()],
        p[p > 0],
        [vectors[i] for i in np.flatnonzero(q).tolist()],
        q[q > 0],
    )


def _worth(game: CurvedGame, vectors: Sequence[Tensor], weights: Array, settings: Settings) -> dict[str, float]:
    """u of a mix of vectors against FGM, and against the attack that a search finds for it."""
    reply = attack_reply(game, vectors, weights, settings.thorough)
    fast, best = (game.payoffs([game.fast_gradient, reply], vectors) @ weights).tolist()
    return {"FGM": fast, "reply": best}


def run(
    out: Path,
    settings: Settings,
    seeds: int = 5,
    victims: Sequence[str] = tuple(VICTIMS),
    tell: Callable[[str], object] = print,
) -> list[dict[str, Any]]:
    """Measure what is not yet in the folder, one file per seed, then write curved.json and curved.png.

    Raises ResultsMismatchError if the folder holds results of other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    records = []
    for victim in victims:
        for seed in range(seeds):
            file = out / f"{victim.replace(':', '-')}-{seed}.json"
            if file.exists():
                record = json.loads(file.read_text(encoding="utf-8"))
                if record["settings"] != json.loads(json.dumps(asdict(settings))):
                    raise ResultsMismatchError(f"{file} was made with other settings; choose another folder")
            else:
                record = run_seed(victim, seed, settings)
                write_whole(file, json.dumps(record, indent=1))
                tell(f"{victim}, seed {seed}: {len(record['curve'])} iterations, {record['seconds']:.1f} s")
            records.append(record)
    write_whole(out / "curved.json", json.dumps(records, indent=1))
    figure(records, out / "curved.png")
    return records


def main() -> None:
    """Command line: measure, print the table, say where the files are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; a second call goes on there")
    parser.add_argument("--seeds", type=int, default=5, help="victims and samples of each kind")
    parser.add_argument("--quick", action="store_true", help="small samples and budgets, to see that it works")
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        records = run(given.out, QUICK if given.quick else Settings(), given.seeds)
    except KeyboardInterrupt:
        raise SystemExit(f"interrupted; what is measured lies in {given.out}, the same call goes on") from None
    print(table(records))
    print(f"curved.json and curved.png lie in {given.out}")


if __name__ == "__main__":
    main()
