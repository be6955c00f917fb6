"""Payoff tables to equilibria: games of known value, honest gaps, commitment, samples and their intervals."""

from __future__ import annotations

import itertools
import json
import pickle
from typing import Any

import numpy as np
import pytest

from advgames.equilibrium import (
    CellStatistics,
    EmpiricalGame,
    exploitability,
    solve_stackelberg,
    solve_zero_sum,
)
from advgames.errors import SettingError, UnknownNameError, UnsupportedFormError

PENNIES = np.array([[1.0, -1.0], [-1.0, 1.0]])
ROCK_PAPER_SCISSORS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def gap_by_definition(table: np.ndarray, row: np.ndarray, column: np.ndarray) -> float:
    """max_i (A y)_i - min_j (x A)_j in plain loops."""
    m, n = table.shape
    best_row = max(sum(table[i, j] * column[j] for j in range(n)) for i in range(m))
    best_column = min(sum(row[i] * table[i, j] for i in range(m)) for j in range(n))
    return best_row - best_column


def is_mix(weights: np.ndarray) -> bool:
    return bool(weights.min() >= 0 and abs(weights.sum() - 1) < 1e-12)


# ---------------------------------------------------------------------------------------- zero-sum games


@pytest.mark.parametrize("method", ["auto", "lp", "interior-point", "regret-matching"])
def test_matching_pennies_is_played_half_and_half_for_nothing(method: Any) -> None:
    solution = solve_zero_sum(PENNIES, method)
    assert solution.row == pytest.approx([0.5, 0.5], abs=1e-4)
    assert solution.column == pytest.approx([0.5, 0.5], abs=1e-4)
    assert solution.value == pytest.approx(0, abs=1e-4)


def test_rock_paper_scissors_is_played_in_thirds() -> None:
    solution = solve_zero_sum(ROCK_PAPER_SCISSORS)
    assert solution.row == pytest.approx(np.full(3, 1 / 3))
    assert solution.column == pytest.approx(np.full(3, 1 / 3))
    assert solution.value == pytest.approx(0, abs=1e-12)


def test_biased_pennies_have_the_closed_form_of_two_by_two_games() -> None:
    """[[a, b], [c, d]] without a saddle: x_1 = (d - c) / D, y_1 = (d - b) / D, v = (a d - b c) / D, D = a - b - c + d;
    with a, b, c, d = 3, -1, -2, 1 and D = 7 the players' mixes differ, so neither can pass for the other's."""
    solution = solve_zero_sum([[3, -1], [-2, 1]])
    assert solution.row == pytest.approx([3 / 7, 4 / 7])
    assert solution.column == pytest.approx([2 / 7, 5 / 7])
    assert solution.value == pytest.approx(1 / 7)


def test_scissors_that_win_double_are_feared() -> None:
    """Scissors beat paper for 2: in a skew game x A = 0 gives rock : paper : scissors = 2 : 1 : 1."""
    table = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -2.0], [-1.0, 2.0, 0.0]])
    solution = solve_zero_sum(table)
    assert solution.row == pytest.approx([0.5, 0.25, 0.25])
    assert solution.column == pytest.approx([0.5, 0.25, 0.25])


def random_tables() -> list[np.ndarray]:
    """100 tables: square, wide, tall, one row, one column; integers, duplicates, low rank, constant, scaled."""
    draw = generator(7)
    tables: list[np.ndarray] = []
    for shape in [(2, 2), (3, 3), (8, 8), (20, 20), (5, 17), (17, 5), (1, 6), (6, 1), (1, 1), (2, 30)]:
        uniform = draw.random(shape)
        rows, columns = (draw.integers(0, size, size) for size in shape)
        tables += [
            uniform,
            draw.standard_normal(shape),
            draw.integers(-2, 3, shape).astype(float),
            uniform[rows][:, columns],  # duplicate rows and columns
            np.outer(uniform[:, 0], uniform[0]) - 0.5,  # rank one
            np.full(shape, draw.standard_normal()),
            np.zeros(shape),
            (uniform > 0.5).astype(float),
            np.sort(uniform, axis=0),  # dominated rows
            np.where(uniform < 0.2, -1.0, uniform),
        ]
    return tables


@pytest.mark.parametrize("method", ["lp", "interior-point"])
def test_duals_of_one_program_are_a_true_equilibrium_on_100_tables(method: Any) -> None:
    tables = random_tables()
    assert len(tables) == 100
    for table in tables:
        solution = solve_zero_sum(table, method)
        assert solution.row.shape == table.shape[:1] and solution.column.shape == table.shape[1:]
        assert is_mix(solution.row) and is_mix(solution.column)
        assert gap_by_definition(table, solution.row, solution.column) <= 1e-9
        assert solution.gap == pytest.approx(gap_by_definition(table, solution.row, solution.column), abs=1e-12)
        assert solution.value == pytest.approx(solution.row @ table @ solution.column, abs=1e-9)


def test_program_regret_matching_and_a_grid_agree_on_two_by_n() -> None:
    draw = generator(1)
    weights = np.linspace(0, 1, 20_001)
    for size in (2, 3, 7, 12):
        table = draw.random((2, size))
        value = (np.outer(weights, table[0]) + np.outer(1 - weights, table[1])).min(axis=1).max()
        program = solve_zero_sum(table, "lp")
        quick = solve_zero_sum(table, "regret-matching", tolerance=1e-4)
        assert program.value == pytest.approx(value, abs=1e-4)
        assert quick.value == pytest.approx(program.value, abs=quick.gap / 2 + 1e-12)
        assert quick.gap <= 1e-4 * np.ptp(table)
        assert quick.gap == pytest.approx(gap_by_definition(table, quick.row, quick.column), abs=1e-12)


def test_two_steps_of_regret_matching_by_hand() -> None:
    """A = [[3, -1], [-2, 1]]. Step 1, against y = (1/2, 1/2): payoffs (1, -1/2), regrets (3/4, 0), x = (1, 0);
    against it the columns earn (-3, 1), regrets (0, 2), y = (0, 1). Step 2: regrets (3/4, 2), x = (3, 8) / 11; columns
    earn (7, -5) / 11, regrets (12/11, 2), y = (6, 11) / 17. Weighted 1 : 2, x = (17, 16) / 33 and y = (4, 13) / 17."""
    solution = solve_zero_sum([[3, -1], [-2, 1]], "regret-matching", 0.0, 2)
    assert solution.row == pytest.approx([17 / 33, 16 / 33])
    assert solution.column == pytest.approx([4 / 17, 13 / 17])


def test_regret_matching_stopped_early_says_how_far_it_is() -> None:
    table = generator(2).random((6, 6))
    few, many = (solve_zero_sum(table, "regret-matching", 0.0, steps) for steps in (3, 300))
    assert few.gap == pytest.approx(gap_by_definition(table, few.row, few.column), abs=1e-12)
    assert few.gap > 10 * many.gap > 0
    assert is_mix(few.row) and is_mix(few.column)


def test_interior_point_agrees_with_simplex_on_a_large_table() -> None:
    table = generator(3).random((120, 90))
    simplex, interior = solve_zero_sum(table, "lp"), solve_zero_sum(table, "interior-point")
    assert (simplex.method, interior.method) == ("lp", "interior-point")
    assert interior.value == pytest.approx(simplex.value, abs=1e-10)
    assert interior.row == pytest.approx(simplex.row, abs=1e-7)
    assert interior.column == pytest.approx(simplex.column, abs=1e-7)


def test_auto_turns_to_interior_point_at_1000_strategies() -> None:
    draw = generator(4)
    assert solve_zero_sum(draw.random((2, 999))).method == "lp"
    assert solve_zero_sum(draw.random((2, 1000))).method == "interior-point"
    assert solve_zero_sum(draw.random((1000, 2))).method == "interior-point"


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1.0, 1e9, 1e200])
@pytest.mark.parametrize("method", ["lp", "interior-point", "regret-matching"])
def test_mixes_do_not_depend_on_the_unit_of_payoffs(scale: float, method: Any) -> None:
    table = generator(5).random((6, 4))
    plain, scaled = solve_zero_sum(table, method), solve_zero_sum(table * scale, method)
    assert scaled.row == pytest.approx(plain.row, abs=1e-9)
    assert scaled.column == pytest.approx(plain.column, abs=1e-9)
    assert scaled.value == pytest.approx(plain.value * scale, rel=1e-9)


def test_mixes_do_not_depend_on_a_constant_added_to_payoffs() -> None:
    table = generator(6).integers(0, 1000, (6, 4)).astype(float)  # whole numbers, so that the sum is exact
    plain, shifted = solve_zero_sum(table), solve_zero_sum(table + 2.0**40)
    assert shifted.row == pytest.approx(plain.row, abs=1e-9)
    assert shifted.column == pytest.approx(plain.column, abs=1e-9)
    assert shifted.value - 2.0**40 == pytest.approx(plain.value, abs=1e-3)


def test_exchanging_the_players_exchanges_the_mixes() -> None:
    table = generator(8).random((5, 5))
    one, other = solve_zero_sum(table), solve_zero_sum(-table.T)
    assert other.row == pytest.approx(one.column, abs=1e-9)
    assert other.value == pytest.approx(-one.value)


def test_where_all_payoffs_are_equal_up_to_rounding_mixes_are_uniform() -> None:
    for table in (np.full((2, 4), 0.3), np.array([[0.1 + 0.2, 0.3], [0.3, 0.3]])):
        solution = solve_zero_sum(table)
        assert (solution.row == 1 / table.shape[0]).all() and (solution.column == 1 / table.shape[1]).all()
        assert solution.gap <= 1e-16 and solution.value == pytest.approx(0.3)


def test_one_row_or_one_column_is_a_choice_of_the_other_player() -> None:
    assert solve_zero_sum([[3, 1, 2]]).column.tolist() == [0, 1, 0]
    assert solve_zero_sum([[3], [1], [2]]).row.tolist() == [1, 0, 0]
    assert solve_zero_sum([[3], [1], [2]]).value == 3


def test_huge_penalties_leave_an_honest_gap_below_a_millionth_of_the_range() -> None:
    draw = generator(9)
    for _ in range(20):
        table = draw.random((15, 15))
        table[draw.random(table.shape) < 0.1] = -1e6
        solution = solve_zero_sum(table)
        assert solution.gap <= 1e-6 * np.ptp(table)
        assert solution.gap == pytest.approx(gap_by_definition(table, solution.row, solution.column), abs=1e-8)


# ------------------------------------------------------------------------------------------ exploitability


def test_exploitability_is_zero_at_equilibrium_and_counts_each_players_gain_elsewhere() -> None:
    """Pennies with x = (3/4, 1/4), y = (1/2, 1/2): the row player earns 0 and cannot do better against y; the column
    player, who earns 0 too, earns 1/2 by its second column. With y = (1, 0) the row player earns 1/2 and could 1;
    the column player earns -1/2 and could 1/2."""
    assert exploitability(PENNIES, [0.5, 0.5], [0.5, 0.5]).total == 0
    first = exploitability(PENNIES, [0.75, 0.25], [0.5, 0.5])
    assert (first.row, first.column, first.total) == (0, 0.5, 0.5)
    second = exploitability(PENNIES, [0.75, 0.25], [1, 0])
    assert (second.row, second.column, second.total) == (0.5, 1.0, 1.5)


def test_in_zero_sum_games_exploitability_adds_up_to_the_gap() -> None:
    draw = generator(10)
    table = draw.standard_normal((5, 7))
    row, column = draw.dirichlet(np.ones(5)), draw.dirichlet(np.ones(7))
    total = exploitability(table, row, column).total
    assert total == pytest.approx(gap_by_definition(table, row, column), abs=1e-12)


def test_exploitability_of_the_prisoners_dilemma() -> None:
    """Cooperate/cooperate pays 3 each and either gains 2 by defecting; defect/defect is the equilibrium."""
    row = [[3, 0], [5, 1]]
    column = [[3, 5], [0, 1]]
    game = EmpiricalGame.from_matrix(row, column, ["cooperate", "defect"], ["cooperate", "defect"])
    both = game.exploitability("cooperate", "cooperate")
    assert (both.row, both.column) == (2, 2)
    assert game.exploitability("defect", {"defect": 1.0}).total == 0
    lone = game.exploitability("cooperate", "defect")
    assert (lone.row, lone.column) == (1, 0)


def test_best_response_is_the_best_of_all_pure_answers_for_its_own_player() -> None:
    table = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.5]])
    game = EmpiricalGame.from_matrix(table, rows=["a", "b"], columns=["p", "q", "r"])
    attack = game.best_response([0.5, 0.5, 0.0], "attacker")  # a pays 1, b pays 1.5
    assert (attack.index, attack.name, attack.payoff) == (1, "b", 1.5)
    defence = game.best_response({"a": 0.25, "b": 0.75}, "defender")  # pays -0.5, -2.25, -1.375
    assert (defence.index, defence.name, defence.payoff) == (0, "p", -0.5)
    assert game.best_response("q", "row").name == "b"
    assert game.best_response("b", "column").name == "p"


# --------------------------------------------------------------------- who moves first: stackelberg.txt § 6


def three_games(loss: np.ndarray) -> tuple[float, float, float]:
    """The paper's loss phi at the equilibria of G_1, G_2 and G_3, the classifier choosing rows to MINIMISE phi.

    Both our players maximise, so the classifier's payoff is -phi, and the adversary's phi.
    """
    game = EmpiricalGame.from_matrix(-loss, players=("classifier", "adversary"))
    first = game.stackelberg("classifier", "pure")
    second = game.stackelberg("adversary", "pure")
    return -first.leader_value, second.leader_value, -game.nash().value


def test_equilibria_in_pure_strategies_are_all_mutual_best_responses() -> None:
    """Battle of the sexes has two, pennies have none, and a table of ties has every cell."""
    sexes = EmpiricalGame.from_matrix(
        np.array([[3.0, 0.0], [0.0, 2.0]]), column_payoff=np.array([[2.0, 0.0], [0.0, 3.0]])
    )
    assert sexes.pure_equilibria() == [("row 0", "column 0"), ("row 1", "column 1")]
    assert EmpiricalGame.from_matrix(np.array([[1.0, -1.0], [-1.0, 1.0]])).pure_equilibria() == []
    assert len(EmpiricalGame.from_matrix(np.full((2, 3), 0.1)).pure_equilibria()) == 6


@pytest.mark.parametrize("a", [0.01, 0.25, 0.5, 0.9, 0.999])
def test_example_6_3_has_minmax_0_maxmin_minus_a_and_mixed_value_between(a: float) -> None:
    """phi = [[0, -a], [-1, 0]], row player minimising: G_1 (Row 1, Column 1) with 0; G_2 (Row 1, Column 2) with -a;
    G_3 mixes rows (1, a) / (1 + a) and columns (a, 1) / (1 + a), with -a / (1 + a)."""
    loss = np.array([[0.0, -a], [-1.0, 0.0]])
    game = EmpiricalGame.from_matrix(-loss, players=("classifier", "adversary"))

    first = game.stackelberg("classifier", "pure")
    assert (first.leader_mix.tolist(), first.response, first.response_name) == ([1, 0], 0, "column 0")
    assert (first.leader_value, first.follower_value) == (0, 0)

    second = game.stackelberg("adversary", "pure")
    assert (second.leader_mix.tolist(), second.response, second.response_name) == ([0, 1], 0, "row 0")
    assert (second.leader_value, second.follower_value) == (-a, a)

    third = game.nash()
    assert third.row == pytest.approx([1 / (1 + a), a / (1 + a)])
    assert third.column == pytest.approx([a / (1 + a), 1 / (1 + a)])
    assert -third.value == pytest.approx(-a / (1 + a))
    assert third.exploitability.total == pytest.approx(0, abs=1e-12)

    minmax, maxmin, mixed = three_games(loss)
    assert minmax > mixed > maxmin


def test_moving_second_never_hurts_proposition_6_2() -> None:
    """phi(G_1) >= phi(G_3) >= phi(G_2), as in the proposition's proof (the paper's introduction has another order)."""
    draw = generator(11)
    for shape in [(2, 2), (3, 5), (6, 4), (1, 4), (4, 1), (10, 10)]:
        for _ in range(5):
            loss = draw.standard_normal(shape)
            minmax, maxmin, mixed = three_games(loss)
            assert minmax == loss.max(axis=1).min()
            assert maxmin == loss.min(axis=0).max()
            assert minmax >= mixed - 1e-9 and mixed >= maxmin - 1e-9


# ------------------------------------------------------------------------------------- commitment, general sum


def mixed_commitment_by_grid(leader: np.ndarray, follower: np.ndarray, steps: int) -> float:
    """The leader's best value over a grid of mixes of two rows, ties of the follower in the leader's favour."""
    best = -np.inf
    for weight in np.linspace(0, 1, steps + 1):
        mix = np.array([weight, 1 - weight])
        answers = mix @ follower
        best = max(best, (mix @ leader)[answers >= answers.max() - 1e-12].max())
    return float(best)


@pytest.mark.parametrize(("reward", "share", "value"), [(1.0, 1 / 2, 3.5), (2.0, 2 / 3, 11 / 3)])
def test_commitment_to_a_mix_beats_commitment_to_a_row(reward: float, share: float, value: float) -> None:
    """Leader [[2, 4], [1, 3]]; follower [[1, 0], [0, r]]. Row 1 is answered by column 1, and pays 2; row 2 by column 2,
    and pays 3. With p on row 1 the follower takes column 2 while r (1 - p) >= p, so p <= r / (1 + r), and the leader
    earns 4 p + 3 (1 - p) = 3 + r / (1 + r): 3.5 for r = 1, 11/3 for r = 2."""
    leader, follower = np.array([[2.0, 4.0], [1.0, 3.0]]), np.array([[1.0, 0.0], [0.0, reward]])
    pure = solve_stackelberg(leader, follower, "pure")
    assert (pure.leader_mix.tolist(), pure.response) == ([0, 1], 1)
    assert (pure.leader_value, pure.follower_value) == (3, reward)
    mixed = solve_stackelberg(leader, follower, "mixed")
    assert mixed.leader_mix == pytest.approx([share, 1 - share])
    assert mixed.response == 1
    assert mixed.leader_value == pytest.approx(value)
    assert mixed.follower_value == pytest.approx(reward * (1 - share))
    assert mixed_commitment_by_grid(leader, follower, 600) == pytest.approx(value)


def test_mixed_commitment_is_the_best_of_a_grid_on_random_general_sum_games() -> None:
    draw = generator(12)
    for columns in (2, 3, 5):
        for _ in range(4):
            leader, follower = draw.random((2, columns)), draw.random((2, columns))
            solution = solve_stackelberg(leader, follower, "mixed")
            answers = solution.leader_mix @ follower
            assert answers[solution.response] >= answers.max() - 1e-9
            grid = mixed_commitment_by_grid(leader, follower, 2000)
            assert grid - 1e-9 <= solution.leader_value <= grid + 2e-3
            assert solution.leader_value >= solve_stackelberg(leader, follower, "pure").leader_value - 1e-9


def test_in_zero_sum_games_mixed_commitment_pays_the_nash_value_whoever_leads() -> None:
    draw = generator(13)
    for shape in [(2, 2), (4, 3), (3, 6)]:
        game = EmpiricalGame.from_matrix(draw.standard_normal(shape))
        value = game.nash().value
        assert game.stackelberg("row", "mixed").leader_value == pytest.approx(value, abs=1e-9)
        assert game.stackelberg("column", "mixed").leader_value == pytest.approx(-value, abs=1e-9)
        assert game.stackelberg("row", "mixed").follower_value == pytest.approx(-value, abs=1e-9)


def test_the_follower_breaks_ties_in_the_leaders_favour() -> None:
    leader, follower = [[0, 5, 1], [2, 2, 2]], [[1, 1, 1], [0, 0, 0]]
    assert solve_stackelberg(leader, follower, "pure").response == 1
    assert solve_stackelberg(leader, follower, "pure").leader_value == 5
    assert solve_stackelberg(leader, follower, "mixed").leader_value == pytest.approx(5)


def test_the_column_player_leads_with_its_own_payoffs() -> None:
    """The column player prefers its second column, the row player answers with its first row there."""
    game = EmpiricalGame.from_matrix([[0, 7], [1, 0]], [[0, 3], [2, 9]], players=("red", "blue"))
    blue = game.stackelberg("blue")  # column 1: answered by row 2, pays 2; column 2: by row 1, pays 3
    assert (blue.leader_mix.tolist(), blue.response_name) == ([0, 1], "row 0")
    assert (blue.leader_value, blue.follower_value) == (3, 7)
    red = game.stackelberg("red")  # row 1: answered by column 2, pays 7
    assert (red.leader_mix.tolist(), red.response_name, red.leader_value) == ([1, 0], "column 1", 7)


# ------------------------------------------------------------------------------------------- cell statistics


def test_merging_any_split_in_any_order_equals_direct_computation() -> None:
    samples = 1e6 + generator(14).standard_normal((3, 2, 12))  # a large mean would ruin a naive sum of squares
    for cuts in [(4, 8), (0, 5), (1, 11), (12, 12)]:
        parts = [CellStatistics.of(part) for part in np.split(samples, cuts, axis=-1)]
        for order in itertools.permutations(parts):
            merged = order[0].merge(order[1].merge(order[2]))
            assert (merged.count == 12).all()
            np.testing.assert_allclose(merged.mean, samples.mean(axis=-1), rtol=1e-14)
            np.testing.assert_allclose(merged.variance, samples.var(axis=-1, ddof=1), rtol=1e-8)
            error = samples.std(axis=-1, ddof=1) / np.sqrt(12)
            np.testing.assert_allclose(merged.standard_error, error, rtol=1e-8)


def test_adding_one_by_one_equals_direct_computation_and_leaves_the_original_alone() -> None:
    samples = generator(15).standard_normal((2, 3, 9))
    start = CellStatistics.empty((2, 3))
    total = start
    for index in range(9):
        total = total.add(samples[..., index])
    direct = CellStatistics.of(samples)
    np.testing.assert_allclose(total.mean, direct.mean)
    np.testing.assert_allclose(total.squares, direct.squares)
    assert (start.count == 0).all() and np.isnan(start.mean).all()


def test_cells_may_have_different_numbers_of_samples() -> None:
    first = np.array([[True, False], [False, False]])
    total = CellStatistics.empty((2, 2)).add(2.0, where=first).add(4.0, where=first)
    total = total.add([[np.nan, 7.0], [0.0, 0.0]], where=~first)  # what is not counted may be anything
    assert total.count.tolist() == [[2, 1], [1, 1]]
    assert total.mean.tolist() == [[3, 7], [0, 0]]
    assert total.variance[0, 0] == 2 and np.isnan(total.variance[0, 1])


# --------------------------------------------------------------------------------- samples and their intervals


def noisy_game(seeds: int = 6, noise: float = 0.3, table: np.ndarray = ROCK_PAPER_SCISSORS) -> EmpiricalGame:
    """A table played with common seeds, cells having their own noise."""
    draw = generator(16)
    rows, columns = [f"r{i}" for i in range(table.shape[0])], [f"c{j}" for j in range(table.shape[1])]
    samples = {
        (row, column): {100 + seed: float(table[i, j] + noise * draw.standard_normal()) for seed in range(seeds)}
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    }
    return EmpiricalGame.from_samples(rows, columns, samples)


def test_payoffs_are_the_means_of_samples() -> None:
    game = EmpiricalGame.from_samples(["r"], ["c", "d"], {("r", "c"): [1.0, 2.0, 6.0], ("r", "d"): {7: 4.0, 9: 6.0}})
    assert game.payoff.tolist() == [[3, 5]] and game.column_payoff.tolist() == [[-3, -5]]
    assert game.statistics.count.tolist() == [[3, 2]]
    assert game.statistics.variance.tolist() == [[7, 2]]
    assert game.column_statistics.variance.tolist() == [[7, 2]]


def test_shared_seeds_are_resampled_together() -> None:
    """Where a seed shifts all cells alike, each resample shifts the whole table: the value moves, the mix does not.

    Cells resampled apart would tear the table to pieces: see the same samples under seeds of their own.
    """
    table = np.array([[3.0, -1.0], [-2.0, 1.0]])
    shifts = [-8.0, -3.0, 0.0, 1.0, 10.0]
    pairs = list(itertools.product(["a", "b"], ["p", "q"]))
    shared = {
        pair: {seed: payoff + shift for seed, shift in enumerate(shifts)}
        for pair, payoff in zip(pairs, table.ravel().tolist(), strict=True)
    }
    apart = {pair: {f"{pair} {seed}": payoff for seed, payoff in cell.items()} for pair, cell in shared.items()}
    together = EmpiricalGame.from_samples(["a", "b"], ["p", "q"], shared)
    values = []
    for payoff, column_payoff in together.resampled(50, seed=3):
        np.testing.assert_allclose(payoff - payoff[0, 0], table - table[0, 0], atol=1e-12)
        assert (column_payoff == -payoff).all()
        solution = solve_zero_sum(payoff)
        assert solution.row == pytest.approx([3 / 7, 4 / 7]) and solution.column == pytest.approx([2 / 7, 5 / 7])
        values.append(solution.value)
    assert max(values) - min(values) > 1
    assert together.value_interval(seed=3).row_support_frequency.tolist() == [1, 1]

    torn = EmpiricalGame.from_samples(["a", "b"], ["p", "q"], apart)
    np.testing.assert_allclose(torn.payoff, together.payoff)
    assert any(solve_zero_sum(payoff).row.max() == 1 for payoff, _ in torn.resampled(50, seed=3))


def test_rows_with_seeds_of_their_own_are_resampled_apart_and_their_cells_together() -> None:
    cells = {
        (row, column): {f"{row}{seed}": float(seed) for seed in range(5)}
        for row, column in itertools.product("ab", "pq")
    }
    game = EmpiricalGame.from_samples(["a", "b"], ["p", "q"], cells)
    tables = np.array([payoff for payoff, _ in game.resampled(40)])
    assert (tables[:, :, 0] == tables[:, :, 1]).all()
    assert (tables[:, 0, 0] != tables[:, 1, 0]).mean() > 0.5


def test_the_bootstrap_is_the_distribution_of_all_resamples() -> None:
    """Two seeds, 0 and 1: a resample's mean is 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4."""
    game = EmpiricalGame.from_samples(["r"], ["c"], {("r", "c"): [0.0, 1.0]})
    means = [float(payoff[0, 0]) for payoff, _ in game.resampled(4000)]
    assert [means.count(mean) / 4000 for mean in (0, 0.5, 1)] == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert [end.item() for end in game.interval(0.6)] == [0, 1]
    assert [end.item() for end in game.interval(0.4)] == [0.5, 0.5]


def test_intervals_are_deterministic_and_touch_no_global_randomness() -> None:
    game = noisy_game()
    np.random.seed(0)
    before = pickle.dumps(np.random.get_state())
    first, again, other = game.interval(), game.interval(), game.interval(seed=1)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    one, two = game.value_interval(resamples=20), game.value_interval(resamples=20)
    assert (one.low, one.high) == (two.low, two.high)
    assert pickle.dumps(np.random.get_state()) == before


def test_resamples_do_not_depend_on_the_order_in_which_matches_came_in() -> None:
    draw = generator(18)
    samples = {pair: dict(enumerate(draw.standard_normal(4))) for pair in itertools.product("ab", "pq")}
    turned = {pair: dict(reversed(cell.items())) for pair, cell in reversed(samples.items())}
    mixed = {pair: (turned if pair[0] == "a" else samples)[pair] for pair in samples}
    games = [EmpiricalGame.from_samples(["a", "b"], ["p", "q"], cells) for cells in (samples, turned, mixed)]
    first, *others = (np.array([payoff for payoff, _ in game.resampled(10)]) for game in games)
    assert all(np.array_equal(first, other) for other in others)
    assert all(np.array_equal(games[0].interval(), game.interval()) for game in games)


def test_intervals_hold_the_mean_and_shrink_with_more_seeds() -> None:
    few, many = noisy_game(5), noisy_game(80)
    for game in (few, many):
        low, high = game.interval()
        assert (low < game.payoff).all() and (game.payoff < high).all()
        defender_low, defender_high = game.interval(player="defender")
        assert np.array_equal(defender_low, -high) and np.array_equal(defender_high, -low)
    widths = [np.subtract(*reversed(game.interval())).mean() for game in (few, many)]
    assert widths[1] < widths[0] / 2


def test_students_interval_is_the_textbooks_and_wider_than_the_bootstraps_at_five_seeds() -> None:
    """Samples 1 .. 5: mean 3, standard error sqrt(2.5 / 5), t_(4, 0.975) = 2.776445."""
    game = EmpiricalGame.from_samples(["r"], ["c"], {("r", "c"): [1.0, 2.0, 3.0, 4.0, 5.0]})
    low, high = game.interval(method="t")
    assert [low.item(), high.item()] == pytest.approx([3 - 2.776445 * 0.5**0.5, 3 + 2.776445 * 0.5**0.5])
    short, tall = game.interval()
    assert low < short < tall < high


def test_one_sample_shows_no_spread() -> None:
    game = EmpiricalGame.from_matrix(PENNIES)
    for method in ("bootstrap", "t"):
        assert np.isnan(game.interval(method=method)).all()  # type: ignore[arg-type]
    value = game.value_interval()
    assert np.isnan([value.low, value.high, *value.row_support_frequency]).all()
    assert game.nash().value == 0


def test_the_value_interval_holds_the_value_and_sees_which_strategies_matter() -> None:
    """The third row and the third column lose by far in every match, so no resample plays them."""
    game = noisy_game(20, 0.3, np.array([[3.0, -1.0, 9.0], [-2.0, 1.0, 9.0], [-9.0, -9.0, -7.0]]))
    interval = game.value_interval(resamples=60)
    assert interval.low < game.nash().value < interval.high < interval.low + 1
    assert interval.row_support_frequency.tolist() == [1, 1, 0]
    assert interval.column_support_frequency.tolist() == [1, 1, 0]


def test_a_choice_that_the_seeds_leave_open_has_a_support_frequency_between() -> None:
    cells = {("a", "c"): {s: float(v) for s, v in enumerate([0, 0, 3, 0])}, ("b", "c"): dict.fromkeys(range(4), 0.5)}
    interval = EmpiricalGame.from_samples(["a", "b"], ["c"], cells).value_interval(resamples=400)
    # a wins where seed 2 is drawn at all: 1 - (3/4)^4 = 0.684
    assert interval.row_support_frequency == pytest.approx([0.684, 0.316], abs=0.07)
    assert interval.low == 0.5


def test_general_sum_samples_keep_both_players_seeds_together() -> None:
    cells = {("r", c): {s: float(s + k) for s in range(5)} for k, c in enumerate("pq")}
    twice = {pair: {seed: 2 * payoff for seed, payoff in cell.items()} for pair, cell in cells.items()}
    game = EmpiricalGame.from_samples(["r"], ["p", "q"], cells, column_samples=twice)
    for row_payoff, column_payoff in game.resampled(10):
        np.testing.assert_allclose(column_payoff, 2 * row_payoff)
    low, high = game.interval(player="column")
    np.testing.assert_allclose([low, high], 2 * np.array(game.interval()))


def test_accuracy_against_error_rate_has_a_value_although_it_adds_up_to_one() -> None:
    error = np.array([[0.3, 0.8], [0.9, 0.1]], dtype=np.float32)
    game = EmpiricalGame.from_matrix(error, 1 - error)
    assert game.constant_sum
    assert game.nash().value == pytest.approx(solve_zero_sum(error).value)
    assert game.nash().exploitability.total == pytest.approx(0, abs=1e-6)


# ------------------------------------------------------------------------------ names, selections, files, errors


def assert_same(one: EmpiricalGame, other: EmpiricalGame) -> None:
    assert (one.rows, one.columns, one.players) == (other.rows, other.columns, other.players)
    assert np.array_equal(one.payoff, other.payoff) and np.array_equal(one.column_payoff, other.column_payoff)
    assert np.array_equal(one.interval(), other.interval(), equal_nan=True)
    assert one.to_dict() == other.to_dict()


@pytest.mark.parametrize("general", [False, True])
def test_json_gives_the_same_game_back(general: bool) -> None:
    draw = generator(17)
    cells = {
        (row, column): {seed: draw.standard_normal() for seed in ([1, 2, 3] if row == "a" else ["x", 4])}
        for row, column in itertools.product("ab", "pqr")
    }
    other = {pair: {seed: 1 / 3 - payoff for seed, payoff in cell.items()} for pair, cell in cells.items()}
    game = EmpiricalGame.from_samples(["a", "b"], ["p", "q", "r"], cells, ("red", "blue"), other if general else None)
    assert_same(game, EmpiricalGame.from_dict(json.loads(json.dumps(game.to_dict()))))
    assert_same(game, pickle.loads(pickle.dumps(game)))
    assert game.has_column_samples is general


def test_a_restriction_is_the_game_of_its_own_samples() -> None:
    game = noisy_game()
    part = game.restrict(["r2", "r0"], ["c1"])
    assert part.payoff.tolist() == [[game.payoff[2, 1]], [game.payoff[0, 1]]]
    cells = {
        (row, column): dict(zip(group["seeds"], payoffs, strict=True))
        for group in game.to_dict()["groups"]
        for (row, column), payoffs in zip(group["cells"], group["payoffs"], strict=True)
    }
    kept = {pair: cells[pair] for pair in [("r2", "c1"), ("r0", "c1")]}
    assert_same(part, EmpiricalGame.from_samples(["r2", "r0"], ["c1"], kept))
    assert_same(game, game.restrict())
    with pytest.raises(UnknownNameError, match="r0"):
        game.restrict(rows=["r9"])


def test_mixes_are_understood_by_weight_and_by_name() -> None:
    game = noisy_game()
    by_weight, by_name = (
        game.exploitability([0, 0.5, 0.5], [1, 0, 0]),
        game.exploitability({"r1": 0.5, "r2": 0.5}, "c0"),
    )
    assert by_weight == by_name
    assert game.named([0, 0.25, 0.75], "attacker") == {"r1": 0.25, "r2": 0.75}


def test_tables_cannot_be_changed_from_outside() -> None:
    table = PENNIES.copy()
    game = EmpiricalGame.from_matrix(table)
    table[0, 0] = 99
    assert game.payoff[0, 0] == 1
    for array in (game.payoff, game.column_payoff, game.statistics.count, game.groups[0].payoffs):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize(
    "table", [[[1, np.nan]], [[np.inf, 0]], [1, 2], [[]], np.zeros((0, 3)), "pgd", [[1e308, -1e308]]]
)
def test_what_is_no_finite_table_is_refused(table: Any) -> None:
    with pytest.raises(SettingError):
        solve_zero_sum(table)
    with pytest.raises(SettingError):
        EmpiricalGame.from_matrix(table)


def test_settings_outside_their_domain_are_refused() -> None:
    game = noisy_game()
    with pytest.raises(UnknownNameError, match="interior-point"):
        solve_zero_sum(PENNIES, "interior")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="max_iterations"):
        solve_zero_sum(PENNIES, max_iterations=0)
    with pytest.raises(SettingError, match="max_iterations=1 "):
        solve_zero_sum(generator().random((30, 30)), "lp", max_iterations=1)
    with pytest.raises(SettingError, match="tolerance"):
        solve_zero_sum(PENNIES, tolerance=float("nan"))
    with pytest.raises(SettingError, match="confidence"):
        game.interval(95)
    with pytest.raises(SettingError, match="resamples"):
        game.value_interval(resamples=0)
    with pytest.raises(UnknownNameError, match="bootstrap"):
        game.interval(method="boot")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="defender"):
        game.stackelberg("defendor")
    with pytest.raises(UnknownNameError, match="mixed"):
        game.stackelberg("row", "mix")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="shape"):
        solve_stackelberg(PENNIES, ROCK_PAPER_SCISSORS)


@pytest.mark.parametrize("mix", [[0.5, 0.6, 0], [1.5, -0.5, 0], [1, 0], [np.nan, 0, 1], {"r0": 0.7}, "c0", ["a"]])
def test_what_is_no_mix_is_refused(mix: Any) -> None:
    with pytest.raises((SettingError, UnknownNameError)):
        noisy_game().exploitability(mix, "c0")


def test_missing_cells_and_nan_are_named() -> None:
    whole: dict[tuple[str, str], Any] = {pair: [1.0, 2.0] for pair in itertools.product("ab", "pq")}

    def refuse(message: str, cells: Any = whole, **settings: Any) -> None:
        with pytest.raises(SettingError, match=message):
            EmpiricalGame.from_samples(**({"rows": ["a", "b"], "columns": ["p", "q"], "samples": cells} | settings))

    refuse(r"2 of 4 cells are missing: \('a', 'q'\), \('b', 'q'\)", {k: v for k, v in whole.items() if k[1] == "p"})
    refuse(r"missing: \('b', 'p'\)", whole | {("b", "p"): []})
    refuse(r"NaN or infinite payoffs in 1 of 4 cells: \('a', 'p'\)", whole | {("a", "p"): [1.0, float("nan")]})
    refuse(r"no such row or column in the table: \('z', 'p'\)", whole | {("z", "p"): [1.0]})
    refuse("payoffs by seed", whole | {("a", "p"): 1.0})
    refuse("payoffs by seed", whole | {("a", "p"): {0.5: 1.0}})
    refuse(r"different seeds in \('a', 'q'\)", column_samples=whole | {("a", "q"): [1.0]})
    refuse("none twice", rows=["a", "a"])
    refuse("at least one name", columns=[])
    refuse("players", players=("red", "red"))
    refuse("players", players=("column", "row"))


def test_damaged_records_are_refused() -> None:
    whole = noisy_game().to_dict()
    for key in whole:
        with pytest.raises(SettingError):
            EmpiricalGame.from_dict({name: part for name, part in whole.items() if name != key})
    with pytest.raises(SettingError, match="twice"):
        EmpiricalGame.from_dict(whole | {"groups": whole["groups"] * 2})


def test_a_general_sum_game_has_no_value_and_says_what_to_use() -> None:
    game = EmpiricalGame.from_matrix([[2, 4], [1, 3]], [[1, 0], [0, 2]])
    for question in (game.nash, game.value_interval):
        with pytest.raises(UnsupportedFormError, match="stackelberg"):
            question()


def test_statistics_of_bad_samples_are_refused() -> None:
    with pytest.raises(SettingError, match="finite"):
        CellStatistics.of([1.0, np.nan])
    with pytest.raises(SettingError, match="finite"):
        CellStatistics.empty((2,)).add([1.0, np.inf])
    with pytest.raises(SettingError, match="shape"):
        CellStatistics.empty((2,)).add([1.0, 2.0, 3.0])
    with pytest.raises(SettingError, match="shape"):
        CellStatistics.empty((2,)).merge(CellStatistics.empty((3,)))
