"""The matrix game: it pays what the table says, in the order it says, and its known values are met by known players."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from advgames.agents import Answer, Mix, make_agent
from advgames.envs import matrix_v0
from advgames.equilibrium import solve_zero_sum
from advgames.errors import AccessError, ActionError, DataFileError, PhaseError, SettingError, UnknownNameError
from advgames.games import MatrixGame
from advgames.tasks import PAYOFF_TABLES, PayoffTable
from advgames.tasks.payoff_tables import load_payoff_table
from advgames.training import payoffs, play


def cells(game: MatrixGame) -> torch.Tensor:
    """Every pair of strategies, (m n, 2)."""
    return torch.tensor(list(itertools.product(*(range(size) for size in game.table.shape[1:]))))


@pytest.mark.parametrize("order", ["simultaneous", "row-first", "column-first"])
@pytest.mark.parametrize("task", ["random:3x4:7", "prisoners-dilemma"])
def test_every_cell_pays_what_the_table_says(order: str, task: str) -> None:
    game = MatrixGame(task, order=order, dtype="float64")
    pairs = cells(game)
    state = game.reset(range(len(pairs)))
    total = dict.fromkeys(game.players, torch.zeros(len(pairs), dtype=torch.float64))
    while not game.over(state):
        moves = {player: pairs[:, game.players.index(player)] for player in game.movers(state)}
        for player in game.players:
            seen = game.observe(state, player)
            knows = state.phase == 1 and player in game.movers(state)
            other = pairs[:, 1 - game.players.index(player)]
            assert torch.equal(seen.get("other_now", other * 0), (1 + other) * knows)
        state, paid, done = game.step(state, moves)
        total = {player: total[player] + paid[player] for player in game.players}
    assert done.all()
    table = load_payoff_table(task)
    other = -table.payoff if table.column_payoff is None else table.column_payoff
    assert torch.equal(total["row"], torch.tensor(table.payoff.ravel()))
    assert torch.equal(total["column"], torch.tensor(other.ravel()))
    assert game.zero_sum == (table.column_payoff is None)
    assert torch.equal(game.measures(state)["column_payoff"], total["column"])


def test_rounds_pay_their_mean_and_show_the_round_before() -> None:
    game = MatrixGame([[1.0, 2.0], [3.0, 4.0]], rounds=4)
    state, moves, earned = game.reset([0, 1]), torch.tensor([[0, 1], [1, 1], [1, 0], [0, 0]]), torch.zeros(2)
    assert game.measures(state)["row_payoff"].isnan().all()
    for number, (row, column) in enumerate(moves.tolist()):
        seen = game.observe(state, "column")
        last = [1 + part for part in moves[number - 1].tolist()] if number else [0, 0]
        assert [int(seen["other_last"][1]), int(seen["own_last"][1])] == last
        assert float(seen["progress"][0]) == number / 4 and "other_now" not in seen
        state, paid, _ = game.step(state, {"row": torch.tensor([row] * 2), "column": torch.tensor([column] * 2)})
        earned += paid["row"]
    assert earned.tolist() == [2.5, 2.5] == game.measures(state)["row_payoff"].tolist()
    text = game.render_text(state, 1)
    assert text.splitlines()[0] == "table, 4 rounds" and len(text.splitlines()) == 5
    assert "Round 2: row plays strategy 1, column plays strategy 1; they are paid 4 and -4." in text
    with pytest.raises(PhaseError):
        game.step(state, {"row": moves[:2, 0], "column": moves[:2, 0]})


@pytest.mark.parametrize(
    ("task", "value", "row", "column"),
    [
        ("matching-pennies", 0.0, [1, 1], [1, 1]),
        ("biased-pennies", 1 / 3, [1, 2], [1, 2]),
        ("rock-paper-scissors", 0.0, [1, 1, 1], [1, 1, 1]),
        ("biased-rock-paper-scissors", 0.0, [1, 2, 1], [1, 2, 1]),
        ("example-6.3", 1 / 3, [2, 1], [1, 2]),
    ],
)
def test_equilibria_are_those_that_the_tables_name(task: str, value: float, row: list[int], column: list[int]) -> None:
    table = load_payoff_table(task).payoff
    found = solve_zero_sum(table)
    x, y = np.array(row) / sum(row), np.array(column) / sum(column)
    assert found.value == pytest.approx(value) == x @ table @ y
    assert (table @ y).max() == pytest.approx(value) == (x @ table).min()


@pytest.mark.parametrize(("order", "phi"), [("row-first", 0.0), ("column-first", -0.5)])
def test_example_6_3_pays_by_its_order(order: str, phi: float) -> None:
    """The leader's best commitment against an answering follower; phi is what the row player minimises, a = 1/2."""
    leader, follower = ("row", "column") if order == "row-first" else ("column", "row")
    best = max(
        play("matrix", "example-6.3", {leader: Mix(weights), follower: "answer"}, 1, {"order": order})[0].payoffs[
            leader
        ]
        for weights in ([1, 0], [0, 1])
    )
    assert best == (-phi if leader == "row" else phi)


def test_mixes_play_their_weights() -> None:
    game = MatrixGame("random:4x3", rounds=2)
    mix, seeds = Mix([1, 0, 3, 0]), range(4000)
    state = game.reset(seeds)
    mix.reset(game.access(state, "row"))
    drawn = mix.act(game.observe(state, "row"), game.access(state, "row"))
    counts = drawn.bincount(minlength=4)
    assert counts[1] == counts[3] == 0
    assert float(counts[0]) / 4000 == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 4000) ** 0.5)
    uniform = make_agent("mix")
    uniform.reset(game.access(state, "column"))
    own = uniform.act(game.observe(state, "column"), game.access(state, "column"))
    assert (own.bincount(minlength=3) > 1200).all()
    alone = game.reset([17])
    mix.reset(game.access(alone, "row"))
    assert mix.act(game.observe(alone, "row"), game.access(alone, "row")) == drawn[17]
    state, _, _ = game.step(state, {"row": drawn, "column": own})
    again = uniform.act(game.observe(state, "column"), game.access(state, "column"))
    assert 0.25 < (again == own).double().mean() < 0.42  # drawn anew in every round


def test_players_know_the_table_from_their_side() -> None:
    game = MatrixGame("prisoners-dilemma", order="column-first")
    state = game.reset([0])
    row, column = (game.access(state, player) for player in game.players)
    assert row.payoff.tolist() == column.payoff.tolist() == [[3, 0], [5, 1]]
    assert row.other_payoff.tolist() == [[3, 5], [0, 1]] and row.answers and not column.answers
    row.payoff[:] = 99
    assert game.access(state, "row").payoff.max() == 5
    state, _, _ = game.step(state, {"column": torch.tensor([0])})
    answer = Answer()
    answer.reset(game.access(state, "row"))
    assert answer.act(game.observe(state, "row"), game.access(state, "row")) == 1


def test_random_tables_are_their_seeds() -> None:
    tables = [load_payoff_table(name).payoff for name in ("random:20x20", "random:20x20:0", "random:20x20:1")]
    assert np.array_equal(tables[0], tables[1]) and not np.array_equal(tables[1], tables[2])
    assert tables[0].shape == (20, 20) and tables[0].min() > 0 and tables[0].max() <= 1
    assert tables[0].mean() == pytest.approx(0.5, abs=4 / (12 * 400) ** 0.5)


def test_tables_of_files(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("1,2.5\n-3,4\n0,0\n")
    assert MatrixGame(str(file)).table[0].tolist() == [[1, 2.5], [-3, 4], [0, 0]]
    for text, error in (("1,2\n3", DataFileError), ("a,b\n", DataFileError), ("1,nan\n", SettingError)):
        file.write_text(text)
        with pytest.raises(error, match=r"table\.csv"):
            MatrixGame(str(file))
    with pytest.raises(DataFileError, match="missing"):
        MatrixGame(str(tmp_path / "missing.csv"))


@pytest.mark.parametrize(
    ("task", "error", "text"),
    [
        ("matching-penies", UnknownNameError, "matching-pennies"),
        ("random:0x3", SettingError, "at least one"),
        ([1.0, 2.0], SettingError, r"a table \(m, n\)"),
        ([[1.0], [2.0, 3.0]], SettingError, "table"),
        ([[float("inf")]], SettingError, "finite"),
    ],
)
def test_what_is_no_table_is_refused(task: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        MatrixGame(task)
    with pytest.raises(SettingError, match=r"shapes \(1, 1\) and \(1, 2\)"):
        PayoffTable.of([[1]], [[1, 2]])
    with pytest.raises(SettingError, match="1 names for 2 strategies"):
        PayoffTable.of([[1], [2]], rows=["one"])


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (torch.tensor([2, 0]), "numbers from 0 to 1"),
        (torch.tensor([-1, 0]), "numbers from 0 to 1"),
        (torch.tensor([0.0, 1.0]), "integers"),
        (torch.tensor([0]), r"\(2,\)"),
        ([0, 1], "got list"),
    ],
)
def test_what_is_no_strategy_is_refused_and_changes_nothing(action: Any, text: str) -> None:
    game = MatrixGame()
    state = game.reset([0, 1])
    before = state.played.clone()
    with pytest.raises(ActionError, match=text):
        game.step(state, {"row": torch.tensor([0, 1]), "column": action})
    assert torch.equal(state.played, before)


def test_payoffs_take_names_and_numbers_of_matches() -> None:
    game = MatrixGame("matching-pennies")
    found = payoffs(game, {"row": "mix(weights=[1, 0])", "column": "mix(weights=[0, 1])"}, 3)
    assert found["row"].tolist() == [-1.0] * 3
    drawn = [payoffs(game, {"row": "mix", "column": "mix"}, seeds)["row"] for seeds in (40, range(40), range(1, 41))]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    with pytest.raises(SettingError, match="nobody plays the column"):
        payoffs(game, {"row": "mix"}, 3)
    with pytest.raises(UnknownNameError, match="column"):
        payoffs(game, {"row": "mix", "colum": "mix"}, 3)
    with pytest.raises(UnknownNameError, match="did you mean 'row'"):
        payoffs(game, {"ROW": "mix", "column": "mix"}, 3)
    with pytest.raises(SettingError, match="at least one match"):
        payoffs(game, {"row": "mix", "column": "mix"}, 0)


def test_a_device_by_its_number_is_that_device() -> None:
    game = MatrixGame(device="cpu:0")
    state = game.reset([0, 1])
    moves = {player: torch.tensor([0, 1]) for player in game.players}
    assert game.over(game.step(state, moves)[0])


def test_players_of_other_games_are_refused() -> None:
    with pytest.raises(AccessError, match="plays a payoff table"):
        play("matrix", players={"row": "null", "column": "mix"}, seeds=1)
    with pytest.raises(AccessError, match="answers the other's move"):
        play("matrix", players={"row": "answer", "column": "mix"}, seeds=1)
    with pytest.raises(SettingError, match="3 weights for 2 strategies"):
        play("matrix", players={"row": "mix(weights=[1, 2, 3])", "column": "mix"}, seeds=1)
    for weights in ("[]", "[0, 0]", "[-1, 2]"):
        with pytest.raises(SettingError):
            make_agent(f"mix(weights={weights})")


def test_every_named_table_says_what_it_is() -> None:
    for name, make in PAYOFF_TABLES.items():
        assert make().name == name and len(make.__doc__ or "") > 20


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", matrix_v0.__doc__ or "", re.DOTALL))
def test_the_examples_of_the_page_run(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example, "matrix_v0.__doc__", "exec"), {})
    assert "parallel_env" not in example or capsys.readouterr().out.count("Round") == 5
