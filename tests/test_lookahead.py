"""Lookahead: one step of it is the best of its moves, and it beats the greedy players exactly where that is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from advgames.agents import LevelK, Lookahead, Null, make_agent
from advgames.errors import AccessError, SettingError
from advgames.games import PerturbationGame, PoisoningGame
from advgames.training.matches import play_out

R12: dict[str, Any] = {"task": "linear-regression", "dtype": "float64"}
HEAVY: dict[str, Any] = {**R12, "optimizer": "momentum", "momentum": 0.5, "learning_rate": 0.1}


def final(game: PoisoningGame, attacker: Any, defender: Any = None, matches: int = 60) -> torch.Tensor:
    """log10 of the final validation losses."""
    state, _ = play_out(game, {"attacker": attacker, "defender": defender or Null()}, range(matches))
    return state.validation_loss.clamp(min=1e-30).log10()


def test_one_iteration_ahead_it_makes_the_best_of_its_moves() -> None:
    game = PoisoningGame("digits", iterations=2, batch_size=4, train_size=40, validation_size=20, test_size=20)
    state = game.reset([0, 1, 2])
    seen, access = game.observe(state, "attacker"), game.access(state, "attacker")
    agent = Lookahead(1, base="level-1", samples=2)
    agent.reset(access)
    usual = LevelK(1).act(seen, access)
    moves = [usual, -usual, torch.zeros_like(usual)]
    worth = torch.stack([access.utility(game.threat.perturb(seen["inputs"], m, access.radius)) for m in moves])
    assert torch.equal(agent.act(seen, access), torch.stack(moves)[worth.argmax(0), torch.arange(3)])


def test_what_it_imagines_is_what_happens() -> None:
    """Branched, turned and advanced, the access imagines the training that the game then plays."""
    game = PoisoningGame(**HEAVY, iterations=3)
    state = game.reset([4, 5])
    ahead = game.access(state, "attacker").repeated(2)
    for _ in range(2):
        state, _, _ = game.step(state, {"attacker": torch.full_like(state.inputs, 0.5)})
        attacked = state.attacked
        assert attacked is not None
        state, _, _ = game.step(state, {"defender": torch.full_like(state.inputs, -0.25)})
        repaired = attacked - 0.25 * state.epsilon_defender[0]
        ahead = ahead.advanced(repaired.repeat_interleave(2, 0), state.labels.repeat_interleave(2, 0))
        torch.testing.assert_close(ahead.validation.loss, state.validation_loss.repeat_interleave(2))
        torch.testing.assert_close(ahead.buffers["momentum.theta"][::2], state.buffers["momentum.theta"])
        real = game.access(state, "attacker")
        inputs = game.observe(state, "attacker")["inputs"]
        torch.testing.assert_close(
            ahead.utility_gradient(inputs.repeat_interleave(2, 0))[1::2], real.utility_gradient(inputs)
        )
        assert ahead.round == state.round
    turned = ahead.turned()
    assert (turned.player, turned.sign) == ("defender", -1.0) and turned.sample_ids is None
    assert torch.equal(turned.radius, ahead.opponent_radius)


def test_with_momentum_it_beats_the_greedy_players() -> None:
    """Heavy ball: what pays now is not what pays in the end; 60 paired matches, three standard errors."""
    game = PoisoningGame(**HEAVY)
    ahead = final(game, Lookahead(4, samples=4))
    for greedy in ("level-1", "level-2"):
        gain = ahead - final(game, make_agent(greedy))
        assert float(gain.mean()) > 3 * float(gain.std()) / len(gain) ** 0.5 > 0


def test_under_plain_gradient_descent_there_is_nothing_to_foresee() -> None:
    """The final loss is a product of independent factors, so the greedy player is optimal; only where a factor is
    nearly 0 does one of its moves, made by second-order reasoning, pay less than another."""
    game = PoisoningGame(**R12)
    gain = final(game, Lookahead(4, samples=4)) - final(game, LevelK(2))
    assert gain.min() > -1e-9 and float(gain.mean()) < 0.02


def test_it_goes_on_from_what_it_remembers() -> None:
    game = PoisoningGame(**HEAVY, iterations=6)
    agent, state = Lookahead(3, samples=2), game.reset([0, 1])
    agent.reset(game.access(state, "attacker"))
    assert agent.memory() == {}
    for _ in range(3):
        move = agent.act(game.observe(state, "attacker"), game.access(state, "attacker"))
        state, _, _ = game.step(state, {"attacker": move})
        state, _, _ = game.step(state, {"defender": torch.zeros_like(move)})
    fresh = Lookahead(3, samples=2)
    fresh.reset(game.access(state, "attacker"))
    fresh.restore(agent.memory())
    seen, access = game.observe(state, "attacker"), game.access(state, "attacker")
    assert torch.equal(fresh.act(seen, access), agent.act(seen, access))


def test_matches_do_not_influence_one_another() -> None:
    game = PoisoningGame(**HEAVY, iterations=8)
    together = final(game, Lookahead(3, samples=2), matches=4)
    state, _ = play_out(game, {"attacker": Lookahead(3, samples=2), "defender": Null()}, [2])
    torch.testing.assert_close(state.validation_loss.log10()[0], together[2])


def test_it_imagines_what_its_moves_cost() -> None:
    """Under a budget: after three full moves there is nothing left to imagine moves with, as in the game."""
    game = PoisoningGame(**R12, iterations=5, epsilon=0.1, budget=0.3)
    state = game.reset([0, 1])
    ahead = game.access(state, "attacker").repeated(2)
    full = torch.ones_like(state.inputs)
    for _ in range(4):
        state, _, _ = game.step(state, {"attacker": full})
        assert state.attacked is not None
        trained, labels = state.attacked.repeat_interleave(2, 0), state.labels.repeat_interleave(2, 0)
        state, _, _ = game.step(state, {"defender": torch.zeros_like(full)})
        ahead = ahead.advanced(trained, labels, full.repeat_interleave(2, 0))
        real = game.access(state, "attacker")
        assert ahead.budget is not None and real.budget is not None
        torch.testing.assert_close(ahead.budget, real.budget.repeat_interleave(2))
        torch.testing.assert_close(ahead.radius, real.radius.repeat_interleave(2))
    assert ahead.radius.max() < 1e-12
    assert torch.isfinite(final(PoisoningGame(**R12, budget=0.3), Lookahead(3, samples=2), matches=3)).all()


def test_where_it_cannot_look_ahead_it_says_so() -> None:
    game = PoisoningGame(**R12)
    with pytest.raises(SettingError, match="cannot play the defender"):
        Lookahead().reset(game.access(game.reset([0]), "defender"))
    other = PerturbationGame("polygon")
    with pytest.raises(SettingError, match="attacks trainings"):
        Lookahead().reset(other.access(other.reset([0]), "attacker"))
    for base in ("level-2+momentum", "lookahead"):
        with pytest.raises(SettingError, match="cannot be imagined"):
            Lookahead(base=base).reset(game.access(game.reset([0]), "attacker"))
    hidden = PerturbationGame("polygon", access_attacker="hard-label")
    with pytest.raises(AccessError, match="white-box"):
        Lookahead().reset(hidden.access(hidden.reset([0]), "attacker"))
    for wrong in ("lookahead(horizon=0)", "lookahead(samples=0)", "lookahead(objective=profit)"):
        with pytest.raises(SettingError):
            make_agent(wrong)
