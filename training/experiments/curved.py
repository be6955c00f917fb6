"""What additive_nash.txt left open: is (FGM, Smooth) an equilibrium where boundaries are curved?

``python -m advgames.training.experiments.curved --out DIR`` measures, under the true f instead of its local
linearisation, how much each player gains by leaving the pair, lets a double oracle add better replies until the
exploitability found stops falling, and says what defences chosen on one sample are worth on another. Each seed has
another victim and another sample; its results are written as they come, and a second call goes on.

Replies are found by search, so gains are lower bounds of the exploitability, and stand beside the gradients of f
spent on them. On the two moons a brute-force reply on a grid says how good the search is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advgames.equilibrium import DoubleOracleResult, double_oracle
from advgames.equilibrium.tables import Array
from advgames.errors import ResultsMismatchError
from advgames.files import write_whole
from advgames.training.experiments.curved_cases import CASES, QUICK, Case
from advgames.training.experiments.curved_game import CurvedGame, disc, grid_replies
from advgames.training.experiments.curved_report import figure, table
from advgames.training.experiments.curved_search import Search, attack_reply, defence_reply

__all__ = ["equilibrate", "measure", "run"]

Mix = tuple[Sequence[Tensor], Array]  # strategies and their weights
Result = DoubleOracleResult[Tensor, Tensor]


def measure(case: Case, seed: int) -> dict[str, Any]:
    """Everything measured of one victim and its samples, JSON-able; u is the attacker's payoff throughout.

    ``pair``: u of (FGM, nobody) and of (FGM, Smooth), the value 1 - 2 phi(v_n*) that it would have under f_L, and
    what each player gains by leaving it: by search, by the thorough search, and in the plane by a grid. ``curve``:
    the double oracle's iterations. ``end``: its least exploitable pair. ``defences``: u of each against FGM and
    against the attack found for it, on the sample and on the held-out one.
    """
    started = time.perf_counter()
    game, held_out = case.games(seed)
    nothing, one = torch.zeros_like(game.smooth), np.ones(1)
    fast, smooth = ([game.fast_gradient], one), ([game.smooth], one)
    undefended, defended = game.payoffs(fast[0], [nothing, game.smooth])[0].tolist()
    pair = {
        "undefended": undefended,
        "u": defended,
        "linear_value": 1 - 2 * float(game.sets.phi(game.smooth, case.radius)),
        "gains": _gains(game, fast, smooth, defended, case),
    }
    best, curve = equilibrate(game, case)
    attacks, vectors = _supported(best.rows, best.row), _supported(best.columns, best.column)
    end = {
        "value": best.value,
        "iteration": best.history[-1].iteration,
        "support": [len(attacks[0]), len(vectors[0])],
        "gains": _gains(game, attacks, vectors, best.value, case),
    }
    reply = defence_reply(game, *fast, case.thorough, [game.smooth])
    defences = {"nobody": ([nothing], one), "Smooth": smooth, "reply to FGM": ([reply], one), "double oracle": vectors}
    return {
        "victim": case.name,
        "seed": seed,
        "settings": _settings(case),
        "pair": pair,
        "curve": curve,
        "end": end,
        "defences": {
            name: {"sample": _worth(game, mix, case), "held out": _worth(held_out, mix, case)}
            for name, mix in defences.items()
        },
        "seconds": time.perf_counter() - started,
    }


def equilibrate(game: CurvedGame, case: Case) -> tuple[Result, list[dict[str, float]]]:
    """A double oracle from (FGM, Smooth) until the exploitability found stops falling.

    Where the search finds no gain the thorough search is asked before it ends. Returns the least exploitable pair
    met, as the searches saw it, and the curve: for each iteration the restricted game's value, both gains, the number
    of strategies of each player, and at how many points f and its gradient were computed until then.
    """
    before, curve = game.counts, list[dict[str, float]]()
    search = case.search
    result = best = _one_iteration(game, ([game.fast_gradient], [game.smooth]), search, 0)
    while True:
        step = result.history[-1]
        found = {"value": step.value, "attacker": step.gains.row, "defender": step.gains.column}
        curve.append({**found, "rows": step.rows, "columns": step.columns, **game.spent_since(before)})
        if step.gains.total < best.gains.total:
            best = result
        nothing_found = result.reason != "max-iterations"
        stale = step.iteration - best.history[-1].iteration >= case.patience
        if (nothing_found and search == case.thorough) or stale or len(curve) >= case.iterations:
            return best, curve
        search = case.thorough if nothing_found else case.search
        result = _one_iteration(game, result, search, len(curve))


def _one_iteration(
    game: CurvedGame, start: tuple[list[Tensor], list[Tensor]] | Result, search: Search, seed: int
) -> Result:
    """One more iteration, in which the searches know the strategies found so far.

    Raises KeyboardInterrupt: a seed is measured whole or not at all.
    """
    rows, columns = (start.rows, start.columns) if isinstance(start, DoubleOracleResult) else start
    attack = partial(attack_reply, game, search=search, known=rows, seed=seed)
    defence = partial(defence_reply, game, search=search, known=columns, seed=seed)
    result = double_oracle(game, (attack, defence), start, max_iterations=1)
    if result.reason == "interrupted":
        raise KeyboardInterrupt
    return result


def _gains(game: CurvedGame, attacks: Mix, vectors: Mix, value: float, case: Case) -> dict[str, dict[str, float]]:
    """What each player gains by leaving a pair of mixes, for every way of looking for a reply."""
    found: dict[str, dict[str, float]] = {}
    for name, search in (("search", case.search), ("thorough", case.thorough)):
        before = game.counts
        attack = attack_reply(game, *vectors, search, attacks[0])
        vector = defence_reply(game, *attacks, search, vectors[0])
        spent = game.spent_since(before)
        most = float(game.payoffs([attack], vectors[0])[0] @ vectors[1])
        least = float(attacks[1] @ game.payoffs(attacks[0], [vector])[:, 0])
        found[name] = {"attacker": most - value, "defender": value - least, **spent}
    if game.inputs.shape[1] == 2:
        most, least = grid_replies(game, *attacks, *vectors, disc(game.radius))
        found["grid"] = {"attacker": most - value, "defender": value - least}
    return found


def _supported(strategies: Sequence[Tensor], weights: Array) -> Mix:
    """The strategies of positive weight with their weights."""
    places = np.flatnonzero(weights).tolist()
    return [strategies[place] for place in places], weights[places]


def _worth(game: CurvedGame, vectors: Mix, case: Case) -> dict[str, float]:
    """u of a mix of vectors against FGM, and against the attack that the thorough search finds for it."""
    reply = attack_reply(game, *vectors, case.thorough)
    fast, best = (game.payoffs([game.fast_gradient, reply], vectors[0]) @ vectors[1]).tolist()
    return {"FGM": fast, "reply": best}


def _settings(case: Case) -> dict[str, Any]:
    """What decides a case's numbers, as JSON gives it back."""
    told = {field.name: getattr(case, field.name) for field in fields(case) if field.name != "make"}
    kept: dict[str, Any] = json.loads(json.dumps({**told, "search": vars(case.search)}))
    return kept


def run(
    out: Path, cases: Sequence[Case] = CASES, seeds: int = 5, tell: Callable[[str], object] = print
) -> list[dict[str, Any]]:
    """Measure what is not yet in the folder, one file per seed, then write curved.json and curved.png.

    Raises ResultsMismatchError if the folder holds results of other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    records = []
    for case in cases:
        for seed in range(seeds):
            file = out / f"{case.name.replace(':', '-')}-{seed}.json"
            if not file.exists():
                record = measure(case, seed)
                write_whole(file, json.dumps(record, indent=1))
                tell(f"{case.name}, seed {seed}: {len(record['curve'])} iterations, {record['seconds']:.1f} s")
            records.append(json.loads(file.read_text(encoding="utf-8")))
            if records[-1]["settings"] != _settings(case):
                raise ResultsMismatchError(f"{file} was made with other settings; choose another folder")
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
        records = run(given.out, QUICK if given.quick else CASES, given.seeds)
    except KeyboardInterrupt:
        raise SystemExit(f"interrupted; what is measured lies in {given.out}, and the same call goes on") from None
    print(table(records))
    print(f"curved.json and curved.png lie in {given.out}")


if __name__ == "__main__":
    main()
