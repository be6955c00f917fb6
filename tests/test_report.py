"""The report: one self-contained page with the right numbers, whatever state the tournament is in."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from advgames.equilibrium import EmpiricalGame
from advgames.errors import ResultsMismatchError
from advgames.report import CellTable, payoff_table, solve, write_report
from advgames.report.images import png
from advgames.report.numbers import decimals, duration, listed, number, percent, plain, seconds
from advgames.report.watch import Watch
from advgames.results import MatchRecord, Results
from advgames.spec import MatchSpec, TournamentSpec

LEVELS = ["level-0", "level-1"]
#: final test accuracy and attacker's payoff of (attacker, defender)
ACCURACY = {
    ("level-0", "level-0"): 0.98,
    ("level-0", "level-1"): 0.94,
    ("level-1", "level-0"): 0.56,
    ("level-1", "level-1"): 0.95,
    ("level-2", "level-0"): 0.60,
    ("level-1", "level-2"): 0.95,
}
PAYOFF = {
    ("level-0", "level-0"): -2.0,
    ("level-0", "level-1"): -1.0,
    ("level-1", "level-0"): 1.0,
    ("level-1", "level-1"): -2.0,
}
Change = Callable[[MatchSpec, MatchRecord], MatchRecord | None]


def unchanged(match: MatchSpec, record: MatchRecord) -> MatchRecord | None:
    return record


def made(directory: Path, spec: TournamentSpec | None = None, change: Change = unchanged, plots: bool = False) -> Path:
    """A results directory of invented matches; seeds move every number by 0.01 a step around its mean."""
    spec = spec or TournamentSpec(task="digits", players={"attacker": LEVELS, "defender": LEVELS}, seeds=[0, 1, 2])
    results = Results.create(directory, spec)
    records = []
    for match in spec.matches():
        record = change(match, invented(match, directory, plots))
        if record is not None:
            records.append(record)
    results.append(records)
    return directory


def invented(match: MatchSpec, directory: Path, plots: bool) -> MatchRecord:
    cell = (match.players["attacker"], match.players["defender"])
    shift = 0.01 * (match.seed - 1)
    payoff, accuracy = PAYOFF.get(cell, 0.0) + shift, ACCURACY.get(cell, 0.5) - shift
    curves: dict[str, list[float]] = {
        "round": [0, 50, 100],
        "test_accuracy": [0.1, 0.3, accuracy],
        "validation_loss": [2.3, 2, 2.3 + payoff],
    }
    panels = None
    if match.seed == 0:
        panels = f"panels/{match.id}.npz"
        (directory / "panels").mkdir(exist_ok=True)
        names = ("clean", "attack", "attacked", "defense", "repaired")
        tiles = {name: np.full((4, 1, 8, 8), 0.1 * k, dtype=np.float32) for k, name in enumerate(names)}
        np.savez_compressed(directory / panels, labels=np.arange(4), **tiles)  # type: ignore[arg-type]
    return MatchRecord(
        id=match.id,
        **match.model_dump(),
        payoffs={"attacker": payoff, "defender": -payoff},
        measures={"test_accuracy": accuracy, "validation_loss": 2.3 + payoff},
        curves=curves if plots else {},
        timings={"total_s": 60.0, "seconds_per_move": {"attacker": 0.03, "defender": 0.006}, "matches_in_batch": 3},
        versions={"advgames": "0.1.0", "torch": "2.13.0"},
        panels=panels,
    )


def page_of(directory: Path) -> str:
    """The page's text, without its style sheet and tags."""
    text = write_report(directory, resamples=50).read_text(encoding="utf-8")
    text = re.sub(r"<(style|svg)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("results") / "run", plots=True)


@pytest.fixture(scope="module")
def page(results_dir: Path) -> str:
    return page_of(results_dir)


@pytest.fixture(scope="module")
def source(results_dir: Path, page: str) -> str:
    return (results_dir / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_no_other_file_and_no_network(results_dir: Path, source: str) -> None:
    text = source
    assert text.startswith("<!DOCTYPE html>")
    assert "http" not in text
    assert not re.search(r"<(script|link|iframe|object|embed)\b|@import|url\((?!#)", text)
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources and all(source.startswith(("data:", "#")) for source in sources)
    assert not list(results_dir.glob("*.part"))


def test_the_same_records_give_the_same_page(results_dir: Path, source: str) -> None:
    path = write_report(results_dir, resamples=50)
    assert path == results_dir / "report.html" and path.read_text(encoding="utf-8") == source


def test_ids_are_used_and_stand_once_on_the_page(source: str) -> None:
    ids = re.findall(r'\sid="([^"]*)"', source)
    assert ids and len(ids) == len(set(ids)) and all(f"#{name}" in source for name in ids)


def test_the_summary_says_what_attack_and_defence_do(page: str) -> None:
    assert "2 attacker strategies met 2 defender strategies, every pair over 3 seeds: 12 matches" in page
    assert "When nobody interferes, the victim ends at 98.0 % test accuracy" in page
    assert "level-1, moves that to 56.0 %, 42.0 points lower" in page
    assert "level-1, brings it back to 95.0 %, 93 % of what the attack took" in page  # 39 of 42 points
    assert "With nobody attacking, the same defence ends at 94.0 %, 4.0 points lower" in page


def test_the_strongest_attack_is_chosen_and_equals_are_named(tmp_path: Path) -> None:
    levels = [*LEVELS, "level-2"]
    spec = TournamentSpec(task="digits", players={"attacker": levels, "defender": levels}, seeds=[0, 1, 2])
    page = page_of(made(tmp_path / "run", spec))
    assert "level-1, moves that to 56.0 %, 42.0 points lower. Against" in page  # level-2 does less, on every seed
    assert "the best defence, level-1, brings it back to 95.0 %" in page
    assert "93 % of what the attack took (level-2 cannot be told apart from it with these seeds)" in page


def test_the_page_gives_the_equilibrium_of_the_table(page: str) -> None:
    # [[-2, -1], [1, -2]]: rows mix 3/4, 1/4, columns 1/4, 3/4, value -5/4
    assert "the attacker plays level-0 (75 %) or level-1 (25 %)" in page
    assert "the defender plays level-0 (25 %) or level-1 (75 %)" in page
    assert "worth −1.25 to the attacker (95 % bootstrap interval −1.26 to −1.24)" in page
    assert "played 56 %" in page and "played 19 %" in page and "played 6 %" in page
    assert "the attacker could still gain 0 and the defender could still gain 0" in page


def test_cells_show_means_with_student_s_interval(page: str) -> None:
    # samples m - 0.01, m, m + 0.01: t(2, 0.975) * 0.01 / sqrt(3) = 0.0248
    assert "−2.00" in page and "± 0.02" in page
    assert "98.0" in page and "± 2.5" in page
    assert "95 % interval of the mean, Student's t" in page


def test_arrows_mark_best_replies(source: str) -> None:
    payoffs = source.split('<table class="heat')[1].split("</table>")[0]
    cells = re.findall(r'<td class="cell.*?</td>', payoffs, re.DOTALL)
    # [[-2, -1], [1, -2]]: the attacker wants the largest of a column, the defender the smallest of a row
    assert ["▲" in cell for cell in cells] == [False, True, True, False]
    assert ["◀" in cell for cell in cells] == [True, False, False, True]


def test_times_are_per_move_and_match(page: str) -> None:
    assert "10.0 ms" in page and "2.00 ms" in page  # 30 and 6 ms per move of a batch of 3 matches
    assert "Moves and rounds of all matches together took 4 min 00 s." in page  # 4 batches of 60 s


def test_the_page_says_how_it_was_made(page: str) -> None:
    assert "advgames tournament tournament.yaml --out again" in page
    assert "task: digits" in page and "2.13.0" in page
    assert "epsilon 1.3 default" in page  # the task's own
    assert "3 seeds per pair are few" in page and "percentile bootstrap" in page


def test_panels_show_every_stage(source: str) -> None:
    tiles = re.findall(r'<img src="data:image/png;base64,([^"]*)"', source)
    assert len(tiles) == 3 * 5 * 4  # pairs, stages, inputs
    assert all(base64.b64decode(tile).startswith(b"\x89PNG") for tile in tiles)


def test_a_png_holds_its_pixels() -> None:
    from matplotlib.image import imread

    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 14
    assert np.array_equal(np.rint(imread(io.BytesIO(png(pixels)), format="png") * 255), pixels)
    assert np.array_equal(np.rint(imread(io.BytesIO(png(pixels[..., 0])), format="png") * 255), pixels[..., 0])


def test_damaged_panels_are_passed_over(tmp_path: Path) -> None:
    directory = made(tmp_path / "run")
    for file in (directory / "panels").iterdir():
        file.write_bytes(b"PK\x03\x04 nonsense")
    assert "What the players do to the inputs" not in page_of(directory)


def test_a_pair_that_was_not_played_is_named_and_nothing_is_solved(tmp_path: Path) -> None:
    last = {"attacker": "level-1", "defender": "level-1"}
    page = page_of(made(tmp_path / "run", change=lambda match, record: None if match.players == last else record))
    assert "Incomplete: 3 of 12 matches have not been played" in page
    assert "level-1 vs level-1 (seeds 0, 1 and 2)" in page
    assert "--resume" in page and "not played" in page
    assert "no equilibrium to report: some pairs have not been played" in page
    assert "−2.00" in page


def test_a_missing_seed_leaves_an_equilibrium_so_far(tmp_path: Path) -> None:
    page = page_of(made(tmp_path / "run", change=lambda match, record: None if match.seed == 2 else record))
    assert "Incomplete: 4 of 12" in page and "So far, at the Nash equilibrium" in page
    assert "2 of 3 seeds" in page


def test_a_directory_without_records_gets_a_page(tmp_path: Path) -> None:
    page = page_of(made(tmp_path / "run", change=lambda match, record: None))
    assert "Incomplete: 12 of 12" in page and "0 of 12 matches so far" in page


def test_one_seed_has_no_intervals(tmp_path: Path) -> None:
    spec = TournamentSpec(task="digits", players={"attacker": LEVELS, "defender": LEVELS}, seeds=[1])
    page = page_of(made(tmp_path / "run", spec))
    assert "One seed per pair" in page and "one match" in page
    assert "bootstrap interval" not in page and "±" not in page
    assert "worth −1.25 to the attacker." in page


def test_without_accuracy_the_story_is_about_the_loss(tmp_path: Path) -> None:
    def regression(match: MatchSpec, record: MatchRecord) -> MatchRecord:
        loss = 10 * (1 - record.measures["test_accuracy"])
        return record.model_copy(update={"measures": {"test_loss": loss}, "curves": {}, "panels": None})

    page = page_of(made(tmp_path / "run", change=regression))
    assert "the victim ends at a test loss of 0.2" in page and "moves that to 4.4" in page
    assert "accuracy" not in page


def test_the_defender_may_have_the_rows(tmp_path: Path) -> None:
    spec = TournamentSpec(task="digits", players={"defender": LEVELS, "attacker": LEVELS}, seeds=[0, 1, 2])
    page = page_of(made(tmp_path / "run", spec))
    assert "level-1, moves that to 56.0 %" in page and "brings it back to 95.0 %" in page
    assert "worth 1.25 to the defender" in page


def test_equal_payoffs_make_no_equilibrium_up(tmp_path: Path) -> None:
    def flat(match: MatchSpec, record: MatchRecord) -> MatchRecord:
        return record.model_copy(update={"payoffs": {"attacker": -1e6 + 1e-6 * match.seed, "defender": 1e6}})

    page = page_of(made(tmp_path / "run", change=flat))
    assert "Every pair pays the attacker the same, −1·10⁶, but for rounding" in page
    assert "▲" not in page and "played" not in page.split("Every match")[0].split("Each")[1]


def test_one_pair_has_no_equilibrium_to_speak_of(tmp_path: Path) -> None:
    spec = TournamentSpec(task="digits", players={"attacker": ["level-1"], "defender": ["level-0"]}, seeds=[0, 1])
    page = page_of(made(tmp_path / "run", spec))
    assert (
        "pays the attacker 0.995 on average, the defender the opposite; the victim ends at 56.5 % test accuracy" in page
    )
    assert "equilibrium" not in page.lower()


def test_a_general_sum_game_gets_commitments(tmp_path: Path) -> None:
    def selfish(match: MatchSpec, record: MatchRecord) -> MatchRecord:
        return record.model_copy(update={"payoffs": {**record.payoffs, "defender": 5.0 if match.seed else 4.0}})

    page = page_of(made(tmp_path / "run", change=selfish))
    assert "add up to no constant" in page and "if the attacker commits first" in page


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    evil = "mine:<script>alert(1)</script>"
    spec = TournamentSpec(task="digits", players={"attacker": ["null", evil], "defender": ["null"]}, seeds=[0, 1])
    text = write_report(made(tmp_path / "run", spec), resamples=50).read_text(encoding="utf-8")
    assert "<script" not in text and "mine:&lt;script&gt;" in text


def test_many_strategies_still_make_a_page(tmp_path: Path) -> None:
    names = [f"level-{k}+momentum(beta=0.9{k})" for k in range(8)]
    spec = TournamentSpec(task="digits", players={"attacker": names, "defender": ["null"]}, seeds=[0])
    directory = made(tmp_path / "run", spec, plots=True)
    assert "Of the attacker's strategies 6 are drawn" in page_of(directory)


def test_altered_records_are_refused(tmp_path: Path) -> None:
    directory = made(tmp_path / "run")
    file = directory / "records.jsonl"
    file.write_text(file.read_text(encoding="utf-8").replace('"seed": 2', '"seed": 7'), encoding="utf-8")
    with pytest.raises(ResultsMismatchError):
        write_report(directory)
    with pytest.raises(ResultsMismatchError, match="no results directory"):
        write_report(tmp_path)


def test_importing_the_report_stays_light() -> None:
    heavy = ["torch", "matplotlib", "jinja2", "scipy", "sklearn", "pydantic", "rich"]
    code = f"import sys, advgames.report; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# tables and solutions


def pennies() -> EmpiricalGame:
    payoffs = {("a", "x"): [1.0, 1.2], ("a", "y"): [-1.0, -1.2], ("b", "x"): [-1.1, -1.1], ("b", "y"): [1.1, 1.1]}
    return EmpiricalGame.from_samples(["a", "b"], ["x", "y"], payoffs)


def test_the_payoff_table_is_markdown() -> None:
    assert payoff_table(pennies()).splitlines() == [
        "| attacker \\ defender | x            | y            |",
        "|---------------------|--------------|--------------|",
        "| a                   | 1.10 ± 1.27  | −1.10 ± 1.27 |",
        "| b                   | −1.10 ± 0.00 | 1.10 ± 0.00  |",
    ]
    assert "1.10 [1.00, 1.20]" in payoff_table(pennies(), method="bootstrap")
    assert "−1.10 ± 1.27" in payoff_table(pennies(), player="defender").splitlines()[2].split("|")[2]


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_a_cell_table_has_the_game_s_own_intervals(method: str) -> None:
    game = pennies()
    table = CellTable.from_game(game, method=method)  # type: ignore[arg-type]
    low, high = game.interval(method=method)  # type: ignore[arg-type]
    assert np.allclose(table.low, low) and np.allclose(table.high, high) and np.allclose(table.mean, game.payoff)


def test_a_solution_says_what_each_strategy_gives_away() -> None:
    solution = solve(EmpiricalGame.from_matrix([[2.0, 0.0], [0.0, 1.0]], rows=["a", "b"], columns=["x", "y"]))
    assert solution.mix("attacker") == pytest.approx({"a": 1 / 3, "b": 2 / 3})
    assert solution.given_away("attacker") == pytest.approx({"a": 2 / 3, "b": 2 / 3})
    assert solution.given_away("defender") == pytest.approx({"x": 4 / 3, "y": 1 / 3})
    assert solution.gain("attacker") == pytest.approx(0) and solution.gain("defender") == pytest.approx(0)


def test_a_solution_is_json_even_where_nothing_is_known() -> None:
    document = solve(EmpiricalGame.from_matrix([[2.0, 0.0], [0.0, 1.0]])).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["value"] == pytest.approx(2 / 3)
    assert document["value_interval"]["low"] is None and document["payoff"]["t"]["low"] == [[None, None]] * 2


# numbers


def test_numbers_read_well() -> None:
    assert [number(v, 2) for v in (1.005e-9, -0.001, -2.5, float("nan"))] == ["0.00", "0.00", "−2.50", "–"]
    assert [number(v) for v in (-2.25e6, 3.4567, 0.0)] == ["−2.25·10⁶", "3.46", "0"]
    assert [decimals(v) for v in ([1.0, 2.0], [0.1, 0.12], [5.0], [-2.25e6, 0.0])] == [2, 4, 2, -1]
    assert [percent(0.123), percent(1.0, 0)] == ["12.3 %", "100 %"]
    assert [seconds(v) for v in (0.005, 12.0, 3e-5)] == ["5.00 ms", "12.0 s", "30.0 µs"]
    assert [duration(v) for v in (59.6, 125, 3720)] == ["1 min 00 s", "2 min 05 s", "1 h 02 min"]
    assert [listed([]), listed("a"), listed("ab"), listed("abc", "or")] == ["", "a", "a and b", "a, b or c"]
    assert plain({"a": np.array([1.0, np.nan]), 1: (np.int64(3),)}) == {"a": [1.0, None], "1": [3]}


# progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_progress_without_a_terminal_is_a_line_now_and_then_with_an_estimate() -> None:
    clock, screen = Clock(), io.StringIO()
    with Watch(Console(file=screen, width=200), every=10.0, clock=clock) as watch:
        watch({"kind": "start", "total": 6, "done": 0})
        for played in range(1, 11):
            clock.now += 2.0
            watch({"kind": "round", "match": "a vs b", "round": played, "horizon": 10, "matches": 3})
        watch({"kind": "done", "match": "a vs b", "matches": 3})
        assert watch.remaining() == pytest.approx(20.0)  # half is done after 20 s
    lines = screen.getvalue().splitlines()
    assert lines[0] == "6 of 6 matches to play"
    assert lines[1] == "30 % · 0 of 6 matches · a vs b, round 6 of 10 · about 28 s left"
    assert lines[-1] == "3 of 6 matches played, 20 s" and len(lines) == 3


def test_the_estimate_counts_only_what_this_run_played() -> None:
    clock = Clock()
    watch = Watch(Console(file=io.StringIO()), clock=clock)
    watch({"kind": "start", "total": 4, "done": 2})
    assert watch.remaining() is None
    watch({"kind": "round", "match": "a vs b", "round": 51, "horizon": 100, "matches": 1})  # from a checkpoint
    clock.now = 10.0
    watch({"kind": "round", "match": "a vs b", "round": 75, "horizon": 100, "matches": 1})
    assert watch.remaining() == pytest.approx(10.0 * 1.25 / 0.25)


def test_bars_come_and_go_on_a_terminal() -> None:
    screen = io.StringIO()
    with Watch(Console(file=screen, force_terminal=True, width=100)) as watch:
        watch({"kind": "start", "total": 2, "done": 0})
        watch({"kind": "round", "match": "a[b] vs c", "round": 1, "horizon": 2, "matches": 1})
        watch({"kind": "done", "match": "a[b] vs c", "matches": 1})
    assert "1 of 2 matches" in screen.getvalue()
