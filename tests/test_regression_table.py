"""R12 as an exact experiment: Fig 3c's table, and the equilibrium that appears as epsilon vanishes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from advgames.games import PoisoningGame
from advgames.training import play
from advgames.training.experiments.regression import exploitability, level_table

ETA = 0.2


def closed_form_final_loss(seeds: list[int], attacker: int, defender: int) -> Tensor:
    """Mean test loss after 30 iterations from A.2.1's strategies alone, without the engine's gradients."""
    game = PoisoningGame("linear-regression", dtype=torch.float64)
    state = game.reset(seeds)
    gap = torch.full((len(seeds),), -30.0, dtype=torch.float64)

    def move(level: int, x: Tensor) -> Tensor:
        """The defender's direction; the attacker's is its opposite."""
        if level == 0:
            return torch.zeros_like(x)
        return torch.sign(x) * (1.0 if level == 1 else torch.sign(1 - 2 * ETA * x**2))

    for t in range(30):
        assert game.task.draw is not None
        x = game.task.draw(state.seeds, t, 1).inputs[:, 0, 0]
        attacked = x - 0.1 * move(attacker, x)
        repaired = attacked + 0.1 * move(defender, attacked)
        gap = gap * (1 - 2 * ETA * repaired**2)
    return gap**2 * (game.task.test.inputs**2).mean()


@pytest.mark.parametrize(("attacker", "defender"), list(itertools.product(range(3), range(3))))
def test_thirty_iterations_end_where_the_closed_forms_say(attacker: int, defender: int) -> None:
    seeds = list(range(20))
    players = {"attacker": f"level-{attacker}", "defender": f"level-{defender}"}
    records = play("poisoning", "linear-regression", players, seeds, dtype="float64", evaluations=1)
    ours = torch.tensor([r.measures["test_loss"] for r in records], dtype=torch.float64)
    # theta is stored near 20, where float64 has steps of 3.6e-15: compare distances, not their squares
    expected = closed_form_final_loss(seeds, attacker, defender)
    torch.testing.assert_close(ours.sqrt(), expected.sqrt(), rtol=1e-6, atol=2e-13)


def test_a_higher_level_pays_for_both_players_on_the_regression() -> None:
    """Fig 3c's message on 200 paired seeds, in mean log loss: up the attacker's levels, down the defender's."""
    table = level_table(seeds=200)["mean_log_loss"]
    for fixed in range(3):
        assert table[2][fixed] > table[0][fixed] and table[fixed][2] < table[fixed][0]
        assert table[2][fixed] > table[1][fixed] and table[fixed][2] < table[fixed][1]


def test_the_exploitability_of_level_2_against_level_2_vanishes_with_epsilon() -> None:
    """As a share of what is at stake; level 1 stays exploitable however small epsilon is.

    The level-2 defender's share is zero already: its attacker leaves x' at least epsilon away from the point
    where the step stops falling short and begins to overshoot.
    """
    shares = {eps: exploitability(2, 2, eps, inputs=1000, grid=21) for eps in (0.1, 0.01)}
    assert shares[0.1]["attacker_relative"] > 1e-3
    assert shares[0.01]["attacker_relative"] < 0.03 * shares[0.1]["attacker_relative"]
    assert all(share["defender_relative"] < 1e-12 for share in shares.values())
    level_1 = exploitability(1, 1, 0.01, inputs=1000, grid=21)
    assert level_1["attacker_relative"] > 0.1 and level_1["defender_relative"] > 0.1
