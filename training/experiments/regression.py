"""R12, the synthetic regression (r2t2.txt section 5): Fig 3c's table, and how far level-2 play is from equilibrium.

``python -m advgames.training.experiments.regression`` prints both as one JSON document.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from advgames.agents import Agent, make_agent
from advgames.games import PoisoningGame, PoisoningState
from advgames.training.play import play

__all__ = ["exploitability", "level_table"]


def level_table(seeds: int = 1000, levels: int = 3) -> dict[str, Any]:
    """Test loss after 30 iterations, attacker levels (rows) against defender levels (columns), paired seeds.

    The final loss is a product of 30 factors and spans many orders of magnitude: the mean log10 is the robust
    summary, the plain mean is dominated by a few unlucky runs. theta is near 20, so float64 resolves losses down
    to about 1e-28; smaller ones count as that.
    """
    table: dict[str, Any] = {"seeds": seeds, "mean_log_loss": [], "mean_loss": [], "log_standard_error": []}
    for attacker in range(levels):
        rows: dict[str, list[float]] = {"mean_log_loss": [], "mean_loss": [], "log_standard_error": []}
        for defender in range(levels):
            players = {"attacker": f"level-{attacker}", "defender": f"level-{defender}"}
            records = play("poisoning", "linear-regression", players, seeds, dtype="float64", evaluations=1)
            losses = torch.tensor([record.measures["test_loss"] for record in records], dtype=torch.float64)
            logs = losses.clamp(min=1e-28).log10()
            rows["mean_log_loss"].append(float(logs.mean()))
            rows["mean_loss"].append(float(losses.mean()))
            rows["log_standard_error"].append(float(logs.std() / seeds**0.5))
        for name, row in rows.items():
            table[name].append(row)
    return table


def exploitability(
    attacker: int, defender: int, epsilon: float, inputs: int = 2000, grid: int = 201
) -> dict[str, float]:
    """What each player could gain in one round by the best of `grid` actions, averaged over inputs in (0, 2].

    The attacker deviates against the defender's strategy as a function of x'; the defender deviates at the x' the
    attacker leaves. Gains are divided by (theta - theta*)^2 z^2, the loss at the start; ``*_relative`` divides
    them by what is at stake within the radii instead (the mean over inputs of max U - min U over all pairs of
    actions), which itself falls with epsilon: only that tells an equilibrium from a game too small to matter.
    """
    game = PoisoningGame("linear-regression", dtype=torch.float64, epsilon=epsilon)
    state = game.reset(range(inputs))
    x = 2.0 * (torch.arange(inputs, dtype=torch.float64) + 0.5) / inputs
    state = replace(state, inputs=x.reshape(-1, 1, 1))
    scale = state.validation_loss
    players = {"attacker": make_agent(f"level-{attacker}"), "defender": make_agent(f"level-{defender}")}
    actions = [torch.full_like(state.inputs, a) for a in torch.linspace(-1, 1, grid).tolist()]

    def utility(repaired: Tensor) -> Tensor:
        return game.access(state, "defender").utility(repaired) / scale

    def outcome(delta: Tensor, sigma: Tensor | None = None) -> Tensor:
        """U of an attack, against the defender's strategy or a given reply."""
        after, _, _ = game.step(state, {"attacker": delta})
        reply = _act(players["defender"], game, after, "defender") if sigma is None else sigma
        assert after.attacked is not None
        return utility(game.threat.perturb(after.attacked, reply, after.epsilon_defender))

    delta = _act(players["attacker"], game, state, "attacker")
    played = outcome(delta)
    best_attack = torch.stack([outcome(a) for a in actions]).amax(0)
    best_defense = torch.stack([outcome(delta, a) for a in actions]).amin(0)
    reachable = torch.stack([utility(state.inputs + 2 * epsilon * a) for a in actions])
    stake = float((reachable.amax(0) - reachable.amin(0)).mean())
    # the played action need not lie on the grid: deviations are at least as good as staying
    gains = {
        "attacker": float((best_attack - played).clamp(min=0).mean()),
        "defender": float((played - best_defense).clamp(min=0).mean()),
    }
    return gains | {f"{name}_relative": gain / stake for name, gain in gains.items()} | {"stake": stake}


def _act(agent: Agent, game: PoisoningGame, state: PoisoningState, player: str) -> Tensor:
    access = game.access(state, player)
    agent.reset(access)
    return agent.act(game.observe(state, player), access)


def main() -> None:
    """Print the table and the exploitabilities."""
    torch.set_num_threads(1)
    pairs = {
        f"level {k} against level {k}, epsilon {epsilon}": exploitability(k, k, epsilon)
        for k in (1, 2)
        for epsilon in (0.1, 0.01, 0.001)
    }
    print(json.dumps({"table": level_table(), "exploitability": pairs}, indent=1))


if __name__ == "__main__":
    main()
