"""Pools: a member drawn for every match, by the match's own seed, and kept until it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from advgames.agents import GaussianSmoothing, LevelK, Mix, Null, Pool, Scripted
from advgames.errors import AccessError, SettingError
from advgames.games import MatrixGame, NegotiationGame, PerturbationGame, PoisoningGame
from advgames.training.matches import payoffs, play_out

FIRST, SECOND = Mix([1, 0]), Mix([0, 1])


def began(pool: Pool, seeds: Any, rounds: int = 1) -> tuple[MatrixGame, Any]:
    game = MatrixGame("matching-pennies", rounds=rounds)
    state = game.reset(seeds)
    pool.reset(game.access(state, "row"))
    return game, state


def test_members_are_drawn_by_their_weights_for_every_match() -> None:
    pool = Pool([FIRST, SECOND], [3, 1])
    game, state = began(pool, range(4000))
    played = pool.act(game.observe(state, "row"), game.access(state, "row"))
    assert torch.equal(played, pool.drawn)  # each member plays its own number
    assert float((played == 0).double().mean()) == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / 4000) ** 0.5)
    assert pool.met == {0: int((played == 0).sum()), 1: int((played == 1).sum())}
    began(pool, range(10))
    assert sum(pool.met.values()) == 4010 and pool.weights == (0.75, 0.25)


def test_a_match_draws_what_it_draws_alone_and_keeps_it() -> None:
    """Never changed within an episode (PufferLib#620): the member of round 0 plays all rounds."""
    pool, row = Pool([FIRST, SECOND]), []
    game, state = began(pool, range(64), rounds=6)
    while not game.over(state):
        row.append(pool.act(game.observe(state, "row"), game.access(state, "row")))
        state, _, _ = game.step(state, {"row": row[-1], "column": torch.zeros_like(row[-1])})
    assert all(torch.equal(played, pool.drawn) for played in row) and pool.drawn.unique().numel() == 2
    for match in (3, 11):
        alone = Pool([FIRST, SECOND])
        began(alone, [match], rounds=6)
        assert alone.drawn[0] == pool.drawn[match]


def test_a_pool_that_begins_later_draws_the_same() -> None:
    """In a single match an agent is reset at its first move, which may come rounds after the other's."""
    pools = Pool([FIRST, SECOND]), Pool([FIRST, SECOND])
    game, state = began(pools[0], range(32), rounds=2)
    later, _, _ = game.step(state, {player: torch.zeros(32, dtype=torch.int64) for player in game.players})
    pools[1].reset(game.access(later, "row"))
    assert later.round == 1 and torch.equal(pools[0].drawn, pools[1].drawn)


def test_a_pool_pays_the_mix_of_what_its_members_pay() -> None:
    game, seeds = PoisoningGame("linear-regression", iterations=4), range(32)
    members = [Null(), LevelK(1), LevelK(2)]
    alone = [payoffs(game, {"attacker": each, "defender": Null()}, seeds)["attacker"] for each in members]
    pool = Pool(members, [0.5, 0.0, 0.5])
    found = payoffs(game, {"attacker": pool, "defender": Null()}, seeds)["attacker"]
    expected = torch.stack(alone).gather(0, pool.drawn[None])[0]
    assert torch.allclose(found, expected) and set(pool.drawn.tolist()) == {0, 2}


def test_dialogues_of_members_stay_apart() -> None:
    """Each match goes as with its member alone, though matches end at different times."""
    game, members = NegotiationGame(), [Scripted("greedy"), Scripted("conceding")]
    pool, other = Pool(members), Scripted("fair")
    state, _ = play_out(game, {"attacker": pool, "defender": other}, range(16))
    alone = [play_out(game, {"attacker": each, "defender": other}, range(16))[0] for each in members]
    for match, member in enumerate(pool.drawn.tolist()):
        assert torch.equal(state.scores[match], alone[member].scores[match])


def test_what_members_remember_is_kept(tmp_path: Path) -> None:
    class Counting(Mix):
        """Plays how often it has played, modulo 2."""

        def reset(self, access: Any) -> None:
            super().reset(access)
            self.turns = torch.zeros(1, dtype=torch.int64)

        def act(self, observation: Any, access: Any) -> torch.Tensor:
            self.turns = self.turns + 1
            return (self.turns % 2).expand(len(access.noise_seeds)).clone()

        def memory(self) -> dict[str, torch.Tensor]:
            return {"turns": self.turns}

        def restore(self, memory: Any) -> None:
            self.turns = memory["turns"]

    pool = Pool([Counting(), FIRST])
    game, state = began(pool, range(8), rounds=3)
    pool.act(game.observe(state, "row"), game.access(state, "row"))
    fresh = Pool([Counting(), FIRST])
    fresh.reset(game.access(state, "row"))
    fresh.restore(pool.memory())
    again = [each.act(game.observe(state, "row"), game.access(state, "row")) for each in (pool, fresh)]
    assert torch.equal(*again) and (again[0] == 0).all()


def test_what_is_no_pool_is_refused() -> None:
    assert repr(Pool(["mix", FIRST]).agents[0]) == repr(Mix())  # names will do
    with pytest.raises(SettingError, match="a list of at least one agent"):
        Pool("mix")
    for agents, weights, text in (
        ([], None, "at least one"),
        ([FIRST, Null()], None, "one kind of game"),
        ([FIRST], [1, 2], "as many weights"),
        ([FIRST, SECOND], [0, 0], "not all 0"),
        ([FIRST, SECOND], [2, -1], "not negative"),
    ):
        with pytest.raises(SettingError, match=text):
            Pool(agents, weights)
    game = PerturbationGame("polygon", batch_size=3, rounds=1)
    pool = Pool([GaussianSmoothing(), Null()])
    with pytest.raises(SettingError, match="move alike, got moves of shapes"):
        play_out(game, {"attacker": Null(), "defender": pool}, range(8))
    with pytest.raises(AccessError, match="negotiates"):
        began(Pool([Scripted("fair")]), [0])
