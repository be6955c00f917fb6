"""Double oracle reaches the value of the whole table from any start, and says why it stopped when it does not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from advgames.equilibrium import DoubleOracleStep, double_oracle, exploitability, solve_zero_sum, table_oracles
from advgames.errors import SettingError

ROCK_PAPER_SCISSORS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
SADDLE = np.array([[4.0, 2.0, 3.0], [1.0, 0.0, 9.0], [5.0, 1.0, 0.0]])  # its saddle is 2 in (0, 1)


class TableGame:
    """A table of payoffs asked for one by one; remembers what it was asked."""

    def __init__(self, table: Any) -> None:
        self.table = np.asarray(table, dtype=float)
        self.asked: list[tuple[int, int]] = []

    def payoff(self, row: int, column: int) -> float:
        self.asked.append((row, column))
        return float(self.table[row, column])


class BatchedTableGame(TableGame):
    """The same, asked for whole blocks."""

    def payoffs(self, rows: Sequence[int], columns: Sequence[int]) -> np.ndarray:
        self.asked += itertools.product(rows, columns)
        return self.table[np.ix_(rows, columns)]


def tables() -> list[np.ndarray]:
    """Random, integer with ties, duplicated, constant, saddle, cyclic; square, wide, tall, one row, one column."""
    draw = np.random.Generator(np.random.PCG64(3))
    found = [ROCK_PAPER_SCISSORS, SADDLE, np.full((3, 4), -2.5), np.zeros((2, 2)), 1e6 * ROCK_PAPER_SCISSORS + 3]
    for shape in [(1, 1), (1, 5), (5, 1), (4, 4), (3, 9), (9, 3), (12, 12)]:
        found += [
            draw.standard_normal(shape),
            draw.integers(-2, 3, shape).astype(float),
            draw.random(shape)[draw.integers(0, shape[0], shape[0])],
            (draw.random(shape) > 0.5) * 2.0 - 1.0,
        ]
    return found


@pytest.mark.parametrize("game", [TableGame, BatchedTableGame])
def test_exact_oracles_reach_the_table_s_value_from_any_single_pair_of_strategies(game: type[TableGame]) -> None:
    for table in tables():
        value, scale = solve_zero_sum(table).value, max(np.abs(table).max(), 1.0)
        for k in range(max(table.shape)):  # every row and every column comes first once
            start = ([k % table.shape[0]], [(k + 1) % table.shape[1]])
            result = double_oracle(game(table), table_oracles(table), start, tolerance=1e-9 * scale)
            assert result.converged and result.reason == "tolerance"
            assert result.value == pytest.approx(value, abs=1e-9 * scale)


def test_the_mixes_are_an_equilibrium_of_the_whole_table() -> None:
    for table in tables():
        result = double_oracle(TableGame(table), table_oracles(table), ([0], [0]))
        row, column = np.zeros(table.shape[0]), np.zeros(table.shape[1])
        np.add.at(row, list(result.rows), result.row)
        np.add.at(column, list(result.columns), result.column)
        assert exploitability(table, row, column).total <= 1e-9 * max(np.abs(table).max(), 1.0)


def test_with_exact_oracles_the_gains_are_the_exploitability_and_the_bounds_enclose_the_value() -> None:
    for table in tables():
        value, scale = solve_zero_sum(table).value, max(np.abs(table).max(), 1.0)
        steps: list[DoubleOracleStep] = []
        result = double_oracle(TableGame(table), table_oracles(table), ([0], [0]), progress=steps.append)
        assert tuple(steps) == result.history and [s.iteration for s in steps] == list(range(1, len(steps) + 1))
        for count, step in enumerate(steps, 1):
            assert step.column_reply - 1e-9 * scale <= value <= step.row_reply + 1e-9 * scale
            part = double_oracle(TableGame(table), table_oracles(table), ([0], [0]), max_iterations=count)
            row, column = np.zeros(table.shape[0]), np.zeros(table.shape[1])
            np.add.at(row, list(part.rows), part.row)
            np.add.at(column, list(part.columns), part.column)
            exact = exploitability(table, row, column)
            assert part.gains.row == pytest.approx(exact.row, abs=1e-9 * scale)
            assert part.gains.column == pytest.approx(exact.column, abs=1e-9 * scale)
        assert result.bounds == pytest.approx((value, value), abs=1e-9 * scale)


def test_a_saddle_point_is_found_without_looking_at_every_strategy() -> None:
    """Dominated strategies are never best replies: a 200 x 200 game with a saddle is solved on a few of them."""
    draw = np.random.Generator(np.random.PCG64(0))
    table = draw.random((200, 200))
    table[7], table[:, 9], table[7, 9] = table[7] + 3, table[:, 9] - 3, 0.0
    result = double_oracle(BatchedTableGame(table), table_oracles(table), ([0], [0]))
    assert result.value == 0.0 and len(result.rows) <= 4 and len(result.columns) <= 4


def test_no_pair_is_asked_for_twice_and_the_table_is_whole() -> None:
    for make in (TableGame, BatchedTableGame):
        game = make(ROCK_PAPER_SCISSORS)
        result = double_oracle(game, table_oracles(game.table), ([0], [0]))
        assert len(set(game.asked)) == len(game.asked) == result.table.size
        assert np.array_equal(result.table, game.table[np.ix_(result.rows, result.columns)])


def test_oracles_see_the_support_with_its_weights() -> None:
    """The column player's strategy 2 is dominated, so it has no weight and no oracle hears of it."""
    table = np.array([[1.0, -1.0, 5.0], [-1.0, 1.0, 5.0]])
    seen: list[tuple[list[int], list[float]]] = []

    def best_row(columns: Sequence[int], weights: np.ndarray) -> int:
        seen.append((list(columns), weights.tolist()))
        return 0

    double_oracle(TableGame(table), (best_row, lambda rows, weights: 0), ([0, 1], [0, 1, 2]))
    assert seen == [([0, 1], pytest.approx([0.5, 0.5]))]


def test_several_replies_in_a_list_are_all_added_and_the_best_of_them_counts() -> None:
    game = TableGame(ROCK_PAPER_SCISSORS)
    everything = (lambda columns, weights: [0, 1, 2], lambda rows, weights: [0, 1, 2])
    result = double_oracle(game, everything, ([0], [0]))
    assert result.rows == result.columns == (0, 1, 2) and len(result.history) == 2
    assert (result.history[0].gains.row, result.history[0].gains.column) == (1.0, 1.0)
    assert result.converged and result.row == pytest.approx(np.full(3, 1 / 3))


# ------------------------------------------------------------------------------- stopping, and going on


@pytest.mark.parametrize("stubborn", ["both", "row", "column"])
def test_oracles_that_never_improve_stop_the_loop_without_a_claim_of_equilibrium(stubborn: str) -> None:
    """They answer the saddle (0, 1) with what is known and pays them less: nothing new, nothing proved."""
    best_row, best_column = table_oracles(SADDLE)
    oracles = (
        best_row if stubborn == "column" else lambda columns, weights: 2,
        best_column if stubborn == "row" else lambda rows, weights: 0,
    )
    result = double_oracle(TableGame(SADDLE), oracles, ([0, 2], [0, 1]))
    assert result.reason == "no-new-reply" and not result.converged
    assert (result.value, result.gains.total, len(result.history)) == (2.0, 0.0, 1)


def test_one_wrong_oracle_leaves_the_other_player_s_bound_standing() -> None:
    """The row oracle insists on rock; the column player's exact one bounds the value 0 from below, not from above."""
    _, best_column = table_oracles(ROCK_PAPER_SCISSORS)
    result = double_oracle(TableGame(ROCK_PAPER_SCISSORS), (lambda columns, weights: 0, best_column), ([0], [0]))
    assert result.value == -1.0 and result.columns == (0, 1)
    assert result.reason == "tolerance"  # rock pays what rock pays: only the oracle's exactness could tell
    assert result.bounds[0] <= 0 and result.bounds[1] == -1.0


def test_stopped_at_any_iteration_and_resumed_it_ends_with_the_same_result() -> None:
    table = np.random.Generator(np.random.PCG64(5)).standard_normal((15, 15))
    straight = double_oracle(TableGame(table), table_oracles(table), ([3], [4]))
    assert len(straight.history) > 5
    for count in range(1, len(straight.history)):
        game = TableGame(table)
        part = double_oracle(game, table_oracles(table), ([3], [4]), max_iterations=count)
        assert part.reason == "max-iterations" and len(part.history) == count
        result = double_oracle(game, table_oracles(table), part)
        assert (result.rows, result.columns, result.history) == (straight.rows, straight.columns, straight.history)
        assert np.array_equal(result.row, straight.row) and np.array_equal(result.table, straight.table)
        assert len(set(game.asked)) == len(game.asked)


def test_an_interrupt_returns_the_last_complete_iteration_and_resuming_ends_with_the_same_result() -> None:
    table = np.random.Generator(np.random.PCG64(5)).standard_normal((15, 15))
    best_row, best_column = table_oracles(table)
    straight = double_oracle(TableGame(table), (best_row, best_column), ([3], [4]))
    calls = 0

    def interrupted(rows: Sequence[int], weights: np.ndarray) -> int | list[int]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return best_column(rows, weights)

    part = double_oracle(TableGame(table), (best_row, interrupted), ([3], [4]))
    assert part.reason == "interrupted" and not part.converged
    assert part.history == straight.history[:3]
    result = double_oracle(TableGame(table), (best_row, best_column), part)
    assert result.history == straight.history and np.array_equal(result.row, straight.row)


def test_an_interrupt_before_the_first_iteration_is_raised() -> None:
    def interrupted(rows: Sequence[int], weights: np.ndarray) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        double_oracle(TableGame(SADDLE), (interrupted, interrupted), ([0], [0]))


# -------------------------------------------------------------------------------- strategies of any kind


class InnerProduct:
    """Payoff <row, column> of vectors."""

    def payoff(self, row: Any, column: Any) -> float:
        return float((row * column).sum())


@pytest.mark.parametrize("array", [np.array, torch.tensor])
def test_arrays_and_tensors_are_one_strategy_if_equal(array: Any) -> None:
    """On the line from (-1, 0) to (1, 0) a best reply is an end of it, a new object every time; the value is 0."""

    def best(sign: float) -> Any:
        def reply(others: Sequence[Any], weights: np.ndarray) -> Any:
            mean = sum(w * float(other[0]) for w, other in zip(weights, others, strict=True))
            return array([sign if mean > 0 else -sign, 0.0])

        return reply

    result = double_oracle(InnerProduct(), (best(1.0), best(-1.0)), ([array([0.5, 0.0])], [array([0.25, 0.0])]))
    assert result.converged and result.value == pytest.approx(0.0, abs=1e-12)
    assert len(result.rows) == len(result.columns) == 3  # the start and both ends


def test_a_numpy_index_is_the_same_strategy_as_a_python_one() -> None:
    best_row, best_column = table_oracles(SADDLE)
    oracles = (lambda c, w: np.int64(best_row(c, w)), lambda r, w: np.int64(best_column(r, w)))
    result = double_oracle(TableGame(SADDLE), oracles, ([0], [1]))
    assert (result.rows, result.columns) == ((0,), (1,))


def test_a_key_says_which_strategies_are_the_same() -> None:
    best_row, best_column = table_oracles(SADDLE)

    class Named:
        def __init__(self, index: int) -> None:
            self.index = index

    class Game:
        def payoff(self, row: Named, column: Named) -> float:
            return float(SADDLE[row.index, column.index])

    oracles: Any = (
        lambda columns, weights: Named(best_row([c.index for c in columns], weights)),
        lambda rows, weights: Named(best_column([r.index for r in rows], weights)),
    )
    start = ([Named(1)], [Named(2)])
    result = double_oracle(Game(), oracles, start, key=lambda strategy: strategy.index)
    assert result.value == 2.0 and result.converged
    assert len({r.index for r in result.rows}) == len(result.rows)


# ------------------------------------------------------------------------------------------- bad input


def test_bad_input_is_refused_by_name() -> None:
    game, oracles = TableGame(SADDLE), table_oracles(SADDLE)
    nothing: Any = (oracles[0], lambda rows, weights: [])
    none: Any = (lambda columns, weights: None, oracles[1])
    for arguments, settings, says in [
        ((game, oracles, ([], [0])), {}, "start: expected a strategy of each player, got 0 and 1"),
        ((game, oracles, ([0], [])), {}, "got 1 and 0"),
        ((game, nothing, ([0], [0])), {}, "column player's oracle returned no reply"),
        ((game, none, ([0], [0])), {}, "row player's oracle returned no reply"),
        ((object(), oracles, ([0], [0])), {}, r"expected a function of \(row, column\)"),
        ((game, oracles[0], ([0], [0])), {}, "oracles: expected two functions"),
        ((game, (oracles[0], 1), ([0], [0])), {}, "oracles: expected two functions"),
        ((game, oracles, (0.5, 0.5)), {}, "start: expected a list of each player's first strategies"),
        ((game, oracles, ([0], [0])), {"tolerance": -1.0}, "tolerance: expected at least 0"),
        ((game, oracles, ([0], [0])), {"tolerance": float("nan")}, "tolerance: expected at least 0"),
        ((game, oracles, ([0], [0])), {"max_iterations": 0}, "max_iterations: expected at least 1"),
    ]:
        with pytest.raises(SettingError, match=says):
            double_oracle(*arguments, **settings)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="payoff table"):
        table_oracles([1.0, 2.0])


def test_a_game_may_be_a_function() -> None:
    found = double_oracle(lambda row, column: float(SADDLE[row, column]), table_oracles(SADDLE), ([0], [0]))
    assert found.converged and found.value == double_oracle(TableGame(SADDLE), table_oracles(SADDLE), ([0], [0])).value


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_payoff_that_is_no_number_names_its_pair(bad: float) -> None:
    """The bad cell is met only when the row player's reply to the first mix, row 2, joins the table."""
    table = SADDLE.copy()
    table[2, 0] = bad
    for game in (TableGame(table), BatchedTableGame(table)):
        with pytest.raises(SettingError, match=f"payoff of 2 against 0: expected a finite number, got {bad}"):
            double_oracle(game, table_oracles(SADDLE), ([0], [0]))


def test_a_block_of_payoffs_of_the_wrong_shape_is_refused() -> None:
    class Transposed(BatchedTableGame):
        def payoffs(self, rows: Sequence[int], columns: Sequence[int]) -> np.ndarray:
            return super().payoffs(rows, columns).T

    with pytest.raises(SettingError, match=r"expected shape \(2, 1\), got \(1, 2\)"):
        double_oracle(Transposed(SADDLE), table_oracles(SADDLE), ([0, 1], [0]))
