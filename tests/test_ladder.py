"""Ladders and double oracle: what each level answers, what is kept, and games of known value."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from advgames.agents import Agent, Mix, RLLevelK, Scripted
from advgames.equilibrium import EmpiricalGame, exploitability
from advgames.errors import AccessError, DataFileError, SettingError, UnknownNameError
from advgames.files import load_tensors
from advgames.games import Game, MatrixGame, NegotiationGame, PerturbationGame, PoisoningGame
from advgames.tasks import load_task
from advgames.tasks.negotiations import load_negotiation
from advgames.training import LearningRecipe, double_oracle, ladder
from advgames.training.best_response import respond
from advgames.training.population import Population, _described, response
from advgames.victims import Victim
from advgames.victims.classifiers import linear_classifier

pytest.importorskip("stable_baselines3")

QUICK = LearningRecipe("A2C", 5_000, net=(16,), options={"learning_rate": 0.02})
TINY = LearningRecipe("PPO", 16, num_games=4, net=(8,), options={"n_steps": 4, "batch_size": 8})


def chances(agent: Agent, game: Game[Any], player: str) -> np.ndarray[Any, Any]:
    """How likely each strategy of a table is."""
    state = game.reset([0])
    if isinstance(agent, RLLevelK):
        return agent.policy.chances(game.observe(state, player))[0].numpy()
    assert isinstance(agent, Mix)
    weights = agent.weights or (1.0,) * len(game.access(state, player).payoff)  # type: ignore[attr-defined]
    return np.array(weights) / sum(weights)


def test_responses_weigh_the_levels_below() -> None:
    table = EmpiricalGame.from_matrix([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    third = np.full(3, 1 / 3)
    assert [mix.tolist() for mix in response("previous")(table)] == [[0, 0, 1], [0, 0, 1]]
    for name in ("uniform", "nash", "replicator"):
        for mix in response(name)(table):
            np.testing.assert_allclose(mix, third, atol=1e-6)
    poisson = np.array([1, 1.5, 1.5**2 / 2])
    np.testing.assert_allclose(response("poisson")(table)[0], poisson / poisson.sum())
    biased = EmpiricalGame.from_matrix([[3.0, -1.0], [-1.0, 1.0]])
    for mix in response("replicator")(biased):
        np.testing.assert_allclose(mix, [1 / 3, 2 / 3], atol=0.01)
    with pytest.raises(UnknownNameError, match="previous"):
        response("previos")


def test_levels_answer_what_they_are_asked_to() -> None:
    """Rock-paper-scissors from rock: level 1 plays paper, level 2 scissors; the table is what they play."""
    game = MatrixGame("rock-paper-scissors")
    rock = {player: Mix([1, 0, 0]) for player in game.players}
    heard = set()
    found = ladder(game, 2, recipe=QUICK, start=rock, seeds=64, told=lambda name, steps, paid: heard.add(name))
    for player in game.players:
        levels = found.agents[player]
        assert len(levels) == 3 and [level.k for level in levels[1:] if isinstance(level, RLLevelK)] == [1, 2]
        for level, best in ((1, 1), (2, 2)):
            assert chances(levels[level], game, player)[best] > 0.9
    assert found.game.rows == ("level-0", "level-1", "level-2") and found.game.players == ("row", "column")
    assert found.game.payoff[1, 0] > 0.8 and found.game.payoff[2, 1] > 0.8 and found.game.payoff[0, 2] > 0.8
    assert [dict(answered) for answered in found.answered["row"]] == [{"level-0": 1.0}, {"level-1": 1.0}]
    assert heard == {f"level-{level}-{player}" for level in (1, 2) for player in game.players}


def test_exploitability_is_what_fresh_best_responses_gain() -> None:
    game = MatrixGame("rock-paper-scissors")
    rock = {player: Mix([1, 0, 0]) for player in game.players}
    found = ladder(game, 1, recipe=QUICK, start=rock, exploiter=QUICK, seeds=200)
    assert found.exploitability is not None and len(found.exploitability) == 2
    assert found.exploitability[0].budget == {"row": 5_120, "column": 5_120}  # whole rounds of learning
    for level in (0, 1):
        assert found.exploitability[level].gains == pytest.approx({"row": 1.0, "column": 1.0}, abs=0.15)
        assert found.exploitability[level].exploitability == pytest.approx(2.0, abs=0.3)


def each_gain(people: Population, mixes: Mapping[str, Mapping[str, float]]) -> list[float]:
    """What each player of a table could truly gain against the other's mix, in units of the table's range."""
    game = people.game
    assert isinstance(game, MatrixGame)
    found = []
    for player in game.players:
        parts = [weight * chances(people.agents[player][name], game, player) for name, weight in mixes[player].items()]
        found.append(np.sum(parts, axis=0) / np.sum(parts))
    gains = exploitability(game.task.payoff, *found)
    return [part / float(np.ptp(game.task.payoff)) for part in (gains.row, gains.column)]


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("matching-pennies", 0.0),
        ("biased-pennies", 1 / 3),
        ("rock-paper-scissors", 0.0),
        ("biased-rock-paper-scissors", 0.0),
        ("example-6.3", 1 / 3),
    ],
)
def test_double_oracle_reaches_known_values(task: str, value: float) -> None:
    game = MatrixGame(task)
    counts = zip(game.players, game.table.shape[1:], strict=True)
    start = {player: Mix(np.eye(count)[0].tolist()) for player, count in counts}
    run = double_oracle(game, recipe=QUICK, start=start, max_iterations=15, tolerance=0.005, patience=2, seeds=1000)
    assert sum(each_gain(run.population, run.history[-1].mixes)) < 0.02
    assert run.reason == "tolerance" and len(run.history) > 2
    assert run.history[-1].values["row"] == pytest.approx(value, abs=0.02 * float(np.ptp(game.task.payoff)))


@pytest.mark.parametrize(("order", "paid"), [("row-first", 0.0), ("column-first", 0.5)])
def test_example_6_3_is_learned_in_its_other_orders(order: str, paid: float) -> None:
    """The follower sees the leader's move: the row player is paid what the orders' Stackelberg values say."""
    run = double_oracle(
        MatrixGame("example-6.3", order=order), recipe=QUICK, max_iterations=6, tolerance=0.005, patience=2, seeds=500
    )
    assert run.history[-1].values["row"] == pytest.approx(paid, abs=0.02) and run.reason == "tolerance"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [0, 1])
def test_double_oracle_solves_a_random_table(seed: int) -> None:
    recipe = LearningRecipe("A2C", 20_000, net=(16,), options={"learning_rate": 0.01, "ent_coef": 0.01})
    game = MatrixGame(f"random:20x20:{seed}")
    run = double_oracle(game, recipe=recipe, max_iterations=40, tolerance=0.002, patience=3, seeds=2000)
    assert sum(each_gain(run.population, run.history[-1].mixes)) < 0.02


@pytest.mark.parametrize(("response_to", "levels"), [("uniform", 5), ("poisson", 3)])
def test_every_level_is_a_best_response_to_the_mixture_below(response_to: str, levels: int) -> None:
    """Fictitious play and the cognitive hierarchy on biased rock-paper-scissors, from rock."""
    game = MatrixGame("biased-rock-paper-scissors")
    rock = {player: Mix([1, 0, 0]) for player in game.players}
    climbed = ladder(game, levels, response_to, recipe=QUICK, start=rock, seeds=4)
    played = {p: np.array([chances(agent, game, p) for agent in climbed.agents[p]]) for p in game.players}
    paid = {"row": game.task.payoff, "column": -game.task.payoff.T}
    for player, other in (("row", "column"), ("column", "row")):
        for level in range(1, levels + 1):
            weights = climbed.answered[player][level - 1]
            mix = sum(weight * played[other][int(name.split("-")[1])] for name, weight in weights.items())
            worth = paid[player] @ mix
            assert worth.max() - played[player][level] @ worth < 0.01 * np.ptp(game.task.payoff)


def test_the_nash_mixture_of_a_ladder_comes_near_the_value() -> None:
    """PSRO on biased rock-paper-scissors, from rock. (Fictitious play falls as one over the root of its rounds.)"""
    game = MatrixGame("biased-rock-paper-scissors")
    rock = {player: Mix([1, 0, 0]) for player in game.players}
    climbed = ladder(game, 6, "nash", recipe=QUICK, start=rock, seeds=1000)
    mixes = dict(zip(game.players, response("nash")(climbed.game), strict=True))
    people = Population(game, 4)
    weights = dict[str, dict[str, float]]()
    for player in game.players:
        for level, agent in enumerate(climbed.agents[player]):
            people.add(player, f"level-{level}", agent)
        weights[player] = dict(zip(people.agents[player], mixes[player].tolist(), strict=True))
    assert sum(each_gain(people, weights)) < 0.02


def test_gains_are_differences_on_the_same_matches() -> None:
    """By hand; where several replies stand to choice, the matches that choose are not those that measure."""
    game = MatrixGame([[1.0, -1.0], [-1.0, 1.0], [0.5, 0.5]])
    people = Population(game, range(40, 80))
    for name, weights in (("one", [1, 0, 0]), ("two", [0, 1, 0]), ("safe", [0, 0, 1]), ("mix", None)):
        people.add("row", name, Mix(weights))
    people.add("column", "left", Mix([1, 0]))
    people.add("column", "even", Mix())
    best, gain, half = people.gain("row", ["one", "two"], {"safe": 1.0}, {"left": 1.0})
    assert (best, gain, half) == ("one", 0.5, 0.0)
    series = people.series("row", {"one": 0.5, "safe": 0.5}, {"left": 0.5, "even": 0.5})
    even = np.array(people.paid("one", "even")[0])
    np.testing.assert_allclose(series, 0.5 * (0.5 * 1.0 + 0.5 * even) + 0.5 * 0.5)
    _, gain, half = people.gain("row", ["one"], {"safe": 1.0}, {"even": 1.0})
    assert gain == pytest.approx((even - 0.5).mean()) and gain < 0  # a reply that loses is told so
    assert half == pytest.approx(1.96 * (even - 0.5).std(ddof=1) / 40**0.5)
    best, gain, _ = people.gain("row", ["one", "two", "mix"], {"safe": 1.0}, {"even": 1.0})
    left = np.array(people.paid(best, "even")[0])
    others = {name: np.array(people.paid(name, "even")[0])[::2].mean() for name in ("one", "two", "mix")}
    whole = {name: np.array(people.paid(name, "even")[0]).mean() for name in others}
    assert max(whole, key=lambda name: whole[name]) != best  # over all of the matches another one is
    assert others[best] == max(others.values()) and gain == pytest.approx(left[1::2].mean() - 0.5)


def test_folders_know_their_game_and_their_players(tmp_path: Path) -> None:
    """Tables of one name, players of one description, and what else decides the result."""
    table = [[1.0, -1.0], [-1.0, 1.0]]
    double_oracle(MatrixGame(table), recipe=TINY, seeds=8, max_iterations=1, out=tmp_path / "one")
    for game in (MatrixGame([[50.0, 10.0], [10.0, 50.0]]), MatrixGame(table, dtype="float64")):
        with pytest.raises(DataFileError, match="another training"):
            double_oracle(game, recipe=TINY, seeds=8, max_iterations=1, out=tmp_path / "one")
    with pytest.raises(DataFileError, match="another training"):
        double_oracle(MatrixGame(table), recipe=TINY, seeds=8, max_iterations=1, tolerance=0.5, out=tmp_path / "one")
    agents = [respond(MatrixGame(table), "row", "mix", replace(TINY, seed=seed)) for seed in (0, 1)]
    assert repr(agents[0]) != repr(agents[1])
    replies = {"row": agents, "column": ["mix(weights=[1, 0])"]}
    double_oracle(MatrixGame(table), replies=replies, seeds=8, max_iterations=1)  # these are two
    ladder(MatrixGame(table), 1, recipe=TINY, start={"row": agents[0]}, seeds=8, out=tmp_path / "two")
    with pytest.raises(DataFileError, match="another training"):
        ladder(MatrixGame(table), 1, recipe=TINY, start={"row": agents[1]}, seeds=8, out=tmp_path / "two")
    moved = replace(TINY, tensorboard=str(tmp_path / "curves"))
    ladder(MatrixGame(table), 1, recipe=moved, start={"row": agents[0]}, seeds=8, out=tmp_path / "two")


def test_games_are_told_apart_by_what_matches_begin_with() -> None:
    """Tasks of one name whose victims have other layers, or whose scenarios differ."""
    digits = load_task("digits", train_size=40, validation_size=10, test_size=10)
    linear = replace(digits, make_victim=lambda: Victim(linear_classifier(64, 10)))
    games: list[Game[Any]] = [PoisoningGame(task, batch_size=4, iterations=2) for task in (digits, linear)]
    bargains = load_negotiation("bargains")
    for seeds in (torch.arange(3), torch.arange(3, 6)):
        pairs = bargains.scenarios(seeds)
        games.append(NegotiationGame(replace(bargains, pairs=lambda pairs=pairs: pairs)))
    many = [list(range(300)), [*range(299), 300]]
    assert len({_described(MatrixGame(), seeds) for seeds in many}) == 2
    told = [_described(game, range(3)) for game in games]
    assert len(set(told)) == len(games)
    assert told[0] == _described(PoisoningGame(digits, batch_size=4, iterations=2), range(3))


def test_nothing_is_trained_and_no_folder_claimed_by_what_cannot_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advgames.training.population.respond", None)
    game, wrong = MatrixGame(), LearningRecipe("SAC", 16)
    for call in (
        lambda: ladder(game, 1, recipe={"row": TINY, "column": wrong}, out=tmp_path / "out"),
        lambda: ladder(game, 1, recipe=TINY, exploiter=wrong, out=tmp_path / "out"),
        lambda: double_oracle(game, recipe={"row": TINY, "column": wrong}, out=tmp_path / "out"),
    ):
        with pytest.raises(SettingError, match="SAC cannot act"):
            call()
    typo = replace(TINY, options={"learning_rte": 0.1})  # of the last to learn: nobody has begun
    with pytest.raises(SettingError, match="learning_rte"):
        ladder(game, 1, recipe={"row": TINY, "column": typo}, out=tmp_path / "out")
    with pytest.raises(SettingError, match="learning_rte"):
        ladder(game, 1, recipe=TINY, exploiter={"row": TINY, "column": typo}, out=tmp_path / "out")
    with pytest.raises(AccessError, match="plays a payoff table"):  # whoever is given beside the start is tried too
        double_oracle(game, recipe=TINY, replies={"row": ["level-1"]}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_given_replies_join_and_the_best_one_counts() -> None:
    """Pure strategies as replies: double oracle on the whole table, without learning."""
    game = MatrixGame("random:4x5:3")
    pure = {
        player: [Mix(np.eye(count)[n].tolist()) for n in range(count)]
        for player, count in zip(game.players, (4, 5), strict=True)
    }
    start = {player: mixes[0] for player, mixes in pure.items()}
    run = double_oracle(game, replies=pure, start=start)
    whole = EmpiricalGame.from_matrix(game.task.payoff).nash()
    assert run.reason == "tolerance" and run.history[-1].values["row"] == pytest.approx(whole.value, abs=1e-3)
    assert run.history[0].exploitability > 0.1 and len(run.history) > 2
    mixed = double_oracle(game, recipe=TINY, replies=pure, start=start, max_iterations=2, seeds=32)
    for step in mixed.history:  # a policy that learned nothing is never the best
        assert all(name.startswith("Mix") for name in step.replies.values())
    mix = run.mix("row")
    mix.reset(game.access(game.reset([0]), "row"))


def test_double_oracle_stops_for_the_reason_it_names() -> None:
    game = MatrixGame("rock-paper-scissors")
    only = {"row": [Mix([0, 1, 0])], "column": [Mix([0, 1, 0])]}
    start = {player: Mix([1, 0, 0]) for player in game.players}
    run = double_oracle(game, replies=only, start=start, solver="uniform", max_iterations=5)
    assert run.reason == "no-new-reply" and len(run.history) == 2  # paper is in, and gains on the even mix
    assert double_oracle(game, replies=only, start=start, max_iterations=1).reason == "max-iterations"
    run = double_oracle(game, replies=only, start=start, patience=3)
    assert run.reason == "tolerance" and [step.exploitability > 0 for step in run.history] == [
        True,
        False,
        False,
        False,
    ]


def test_chance_does_not_make_a_strategy_of_the_table_gain_on_an_equilibrium() -> None:
    """Three replies that mix: on half of the matches one of them always seems to gain a little."""
    game = MatrixGame("rock-paper-scissors")
    mixed = [Mix([3, 1, 1]), Mix([1, 3, 1]), Mix([1, 1, 3])]
    for seed in (6, 10, 13, 14):
        seeds = range(1000 * seed, 1000 * seed + 300)
        run = double_oracle(game, replies=dict.fromkeys(game.players, mixed), patience=2, seeds=seeds)
        assert run.reason == "tolerance", seed


def test_a_ladder_begins_with_the_weights_it_is_given() -> None:
    game = MatrixGame("rock-paper-scissors")
    given = respond(game, "row", "mix", replace(TINY, seed=7))
    frozen = {**TINY.options, "learning_rate": 1e-12}
    recipes = {"row": replace(TINY, options=frozen, start=given), "column": replace(TINY, options=frozen)}
    climbed = ladder(game, 2, recipe=recipes, seeds=4)
    for level in (1, 2):
        np.testing.assert_allclose(chances(climbed.agents["row"][level], game, "row"), chances(given, game, "row"))
    assert not np.allclose(chances(climbed.agents["column"][1], game, "column"), chances(given, game, "row"))


@pytest.mark.parametrize("what", ["ladder", "double oracle"])
def test_a_killed_run_goes_on_and_ends_the_same(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it learns and in the middle of a line of payoffs: bit-identical policies and payoffs."""
    game = MatrixGame("rock-paper-scissors")

    def climb(out: Path, **changes: Any) -> Any:
        if what == "ladder":
            return ladder(game, 2, "uniform", **{"recipe": TINY, "seeds": 16, "out": out, "exploiter": TINY, **changes})
        return double_oracle(game, **{"recipe": TINY, "seeds": 16, "out": out, "max_iterations": 3, **changes})

    climb(tmp_path / "whole")
    learned = 0

    def killed(name: str, steps: int, paid: float) -> None:
        nonlocal learned
        learned += 1
        if learned == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        climb(tmp_path / "parts", told=killed)
    file = tmp_path / "parts" / "payoffs.jsonl"
    kept = file.read_text()
    file.write_text(kept + '{"row": "level-1", "paid": [[0.')
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "parts").glob("*.safetensors")}
    assert before
    climb(tmp_path / "parts")
    assert file.read_text().startswith(kept)  # pairs that were played are not played again
    for name, time in before.items():
        assert (tmp_path / "parts" / name).stat().st_mtime_ns == time
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "parts").iterdir())
    for name in names:
        one, two = (tmp_path / folder / name for folder in ("whole", "parts"))
        if name.endswith(".safetensors"):
            (tensors, values), (others, told) = load_tensors(one), load_tensors(two)
            assert values == told and tensors.keys() == others.keys()
            assert all(torch.equal(tensor, others[part]) for part, tensor in tensors.items()), name
        else:
            assert one.read_bytes() == two.read_bytes(), name
    for change in ({"seeds": 17}, {"recipe": LearningRecipe("A2C", 16)}, {"start": {"row": Mix([1, 1, 2])}}):
        with pytest.raises(DataFileError, match="another training"):
            climb(tmp_path / "parts", **change)
    line = json.loads(kept.splitlines()[0])
    file.write_text(json.dumps({**line, "paid": [[0.0], [0.0]]}) + "\n")
    with pytest.raises(DataFileError, match="1 payoffs for 16 matches"):
        climb(tmp_path / "parts")


def test_a_process_that_is_killed_outright_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    """SIGKILL in the middle of a training: the same call in another process ends as if nothing had happened."""
    code = """
import os, signal, sys
from advgames.games import MatrixGame
from advgames.training import LearningRecipe, ladder
recipe = LearningRecipe("PPO", 16, num_games=4, net=(8,), options={"n_steps": 4, "batch_size": 8})
def told(name, steps, paid):
    if name == "level-2-row" and len(sys.argv) > 2:
        os.kill(os.getpid(), signal.SIGKILL)
ladder(MatrixGame("rock-paper-scissors"), 2, recipe=recipe, seeds=16, out=sys.argv[1], told=told)
"""

    def run(out: Path, *more: str) -> int:
        return subprocess.run([sys.executable, "-c", code, str(out), *more], check=False, timeout=120).returncode

    assert run(tmp_path / "killed", "kill") == -signal.SIGKILL
    finished = {file.name for file in (tmp_path / "killed").glob("*.safetensors")}
    assert finished == {"level-1-row.safetensors", "level-1-column.safetensors"}
    assert run(tmp_path / "killed") == run(tmp_path / "whole") == 0
    for name in (file.name for file in (tmp_path / "whole").glob("*.safetensors")):
        one, two = (load_tensors(tmp_path / folder / name)[0] for folder in ("killed", "whole"))
        assert all(torch.equal(tensor, two[part]) for part, tensor in one.items())
    assert (tmp_path / "killed" / "payoffs.jsonl").read_text() == (tmp_path / "whole" / "payoffs.jsonl").read_text()


def test_warm_starts_begin_with_the_level_below() -> None:
    """One step of a vanishing learning rate: level 2 is level 1; cold, it is somebody else."""
    game = MatrixGame("rock-paper-scissors")
    for algorithm in ("PPO", "A2C", "DQN"):
        options: dict[str, Any] = {"learning_rate": 1e-12}
        if algorithm == "PPO":
            options |= {"n_steps": 4, "batch_size": 8}
        still = LearningRecipe(algorithm, 16, num_games=4, net=(8,), options=options)
        for warm in (True, False):
            found = ladder(game, 2, recipe=still, warm=warm, seeds=4)
            one, two = (agent for agent in found.agents["row"][1:] if isinstance(agent, RLLevelK))
            weights = [agent.policy.body[0].weight for agent in (one, two)]
            assert torch.allclose(*weights, atol=1e-6) == warm


@pytest.mark.parametrize("algorithm", ["SAC", "TD3", "PPO"])
def test_warm_starts_of_points(algorithm: str) -> None:
    game = PerturbationGame("polygon", batch_size=2, rounds=1, order="attacker-first")
    options: dict[str, Any] = {"learning_rate": 1e-12}
    options |= {"n_steps": 4, "batch_size": 8} if algorithm == "PPO" else {"buffer_size": 100, "learning_starts": 4}
    recipe = LearningRecipe(algorithm, 16, num_games=4, net=(8,), options=options)
    found = ladder(game, 2, recipe=recipe, warm=True, seeds=4)
    one, two = (agent for agent in found.agents["attacker"][1:] if isinstance(agent, RLLevelK))
    for weight, other in zip(one.policy.state_dict().values(), two.policy.state_dict().values(), strict=True):
        assert torch.allclose(weight, other, atol=1e-6)


def test_games_that_are_not_zero_sum_keep_both_payoffs() -> None:
    """A ladder of negotiators in acts; a Nash response has no meaning there, replicator dynamics have."""
    game = NegotiationGame(illegal="outcome", max_turns=4, ending="accept")
    found = ladder(game, 1, "replicator", recipe=TINY, start={"attacker": Scripted("greedy")}, seeds=8)
    assert not found.game.constant_sum and found.game.payoff.shape == (2, 2)
    assert np.ptp(found.game.column_payoff) > 0
    for refused in (lambda: ladder(game, 2, "nash", recipe=TINY, seeds=8), lambda: double_oracle(game, recipe=TINY)):
        with pytest.raises(SettingError, match="needs a zero-sum game"):
            refused()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"levels": 0}, SettingError, "levels and exploiters must be positive"),
        ({"response_to": "best"}, UnknownNameError, "previous"),
        ({"start": {"attacker": "mix"}}, UnknownNameError, "row"),
        ({"start": {"row": "level-1"}}, Exception, "plays a payoff table"),
        ({"start": {"row": Mix}}, SettingError, "reset and act; got .*; write Mix"),
        ({"start": {"row": 3}}, SettingError, "reset and act; got 3$"),
        ({"recipe": {"row": "PPO", "column": TINY}}, SettingError, "recipe of the row must be"),
        ({"seeds": 4.0}, SettingError, "seeds are whole numbers"),
        ({"seeds": [0.5]}, SettingError, "seeds are whole numbers"),
        ({"start": 3}, SettingError, "start maps players"),
        ({"start": "mix"}, SettingError, "start maps players to agents, such as {'row': 'mix'}"),
        ({"seeds": 0}, SettingError, "at least one match"),
        ({"recipe": "PPO"}, SettingError, "recipe must be a LearningRecipe"),
        ({"exploiter": True}, SettingError, "exploiter must be a LearningRecipe"),
        ({"recipe": {"row": TINY}}, SettingError, "none for column"),
        ({"recipe": {"row": TINY, "colum": TINY}}, UnknownNameError, "column"),
        ({"recipe": LearningRecipe("SAC", 16)}, SettingError, "SAC cannot act"),
    ],
)
def test_what_cannot_climb_is_refused(change: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ladder(MatrixGame(), **{"recipe": TINY, "seeds": 4, **change})


def test_what_cannot_be_an_oracle_is_refused() -> None:
    game = MatrixGame()
    for change, error, text in (
        ({}, SettingError, "no replies of the row"),
        ({"replies": {"row": ["mix"]}}, SettingError, "no replies of the column"),
        ({"recipe": TINY, "max_iterations": 0}, SettingError, "must be positive"),
        ({"recipe": TINY, "tolerance": -1.0}, SettingError, "not negative"),
        ({"recipe": TINY, "solver": "nsah"}, UnknownNameError, "unknown solver 'nsah'; did you mean 'nash'"),
        ({"replies": {"row": "mix"}}, SettingError, "replies of the row are a list"),
        ({"replies": {"row": Mix()}}, SettingError, "replies of the row are a list"),
        ({"replies": {"rows": ["mix"]}}, UnknownNameError, "row"),
        ({"replies": {"row": ["mix", "mix"]}}, SettingError, "given twice"),
    ):
        with pytest.raises(error, match=text):
            double_oracle(game, **change)  # type: ignore[arg-type]
    people = Population(game, 4)
    people.add("row", "one", Mix())
    with pytest.raises(SettingError, match="has a strategy 'one' already"):
        people.add("row", "one", Mix())
