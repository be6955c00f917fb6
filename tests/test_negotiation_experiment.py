"""The experiment of section 3.2 at a small size: kept models, trainings and cells that go on, tables, the benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from advgames.agents.negotiators import NeuralNegotiator
from advgames.errors import DataFileError, SettingError
from advgames.games import NegotiationGame
from advgames.resumed import resumed
from advgames.tasks.negotiations import load_negotiation
from advgames.training.adversarial_dialogue import DuelRecipe
from advgames.training.bench_negotiation import talkative
from advgames.training.dialogues import converse
from advgames.training.experiments import negotiation_tables
from advgames.training.experiments.negotiation import Laboratory
from advgames.training.experiments.negotiation_cells import CELLS, Cell, malicious_sentences, play_cell, result, summary
from advgames.training.reinforce import Reinforce, ReinforceRecipe
from advgames.victims.negotiator import NegotiatorSizes
from advgames.victims.supervised import SupervisedRecipe

SMALL = NegotiatorSizes(word=12, goal=6, hidden=10, select=8, attention=7, dropout=0.0)
PLAYED = {cell.name: cell for cell in CELLS}


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    return small(tmp_path)


def small(out: Path) -> Laboratory:
    """Little models that have hardly learned anything, of a few short dialogues."""
    whole = load_negotiation("bargains")
    recipe = SupervisedRecipe(epochs=1, learning_rate=0.5, smallest=0.5)
    task = replace(
        whole, read=lambda split: whole.lines(split)[:64], words=whole.vocabulary, sizes=SMALL, recipe=recipe
    )
    learn = ReinforceRecipe(batch_size=4, reward="advantage", supervised_every=0)
    return Laboratory(out, task, dialogues=8, batch_size=4, duels=DuelRecipe(1, 4, learn, learn))


def test_every_model_is_trained_once(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The robust one needs all but its own attack; the second time nothing is trained, and nothing else lies about."""
    paths = {name: laboratory.path(name) for name in ("robust", "attack-robust", "attack-sv")}
    names = {"sv", "rl", "attack-rl", *paths}
    assert {file.name for file in laboratory.out.iterdir()} == {f"{name}.safetensors" for name in names}
    weights = {name: torch.cat([w.flatten() for w in laboratory.model(name).state_dict().values()]) for name in names}
    ordered = [weights[name] for name in sorted(names)]
    assert all(not torch.equal(a, b) for n, a in enumerate(ordered) for b in ordered[:n])
    monkeypatch.setattr(Reinforce, "run", None)
    assert {name: laboratory.path(name) for name in paths} == paths
    with pytest.raises(SettingError, match="no model is called 'attack-nobody'"):
        laboratory.path("attack-nobody")


def test_a_reinforced_training_stopped_goes_on_exactly(laboratory: Laboratory) -> None:
    opponent, file = NeuralNegotiator(laboratory.path("sv")), laboratory.out / "part.safetensors"

    def learner(seed: int = 0) -> Reinforce:
        recipe = ReinforceRecipe(dialogues=12, batch_size=2, supervised_every=4, supervised_batch=4, seed=seed)
        return Reinforce(laboratory.game(), laboratory.model("sv"), opponent, recipe, laboratory.corpus())

    def stepping(learning: Reinforce, stop: int = 99) -> Callable[[], bool]:
        def step() -> bool:
            if learning.done >= stop:
                raise KeyboardInterrupt
            before = learning.done
            learning.run(min(before + 4, 12))
            return learning.done > before

        return step

    whole = learner()
    resumed(laboratory.out / "whole.safetensors", whole, stepping(whole), str, every=99.0)
    assert not (laboratory.out / "whole.safetensors").exists()  # it was quick enough
    first = learner()
    with pytest.raises(KeyboardInterrupt):
        resumed(file, first, stepping(first, 8), str, every=0.0)
    second = learner()
    resumed(file, second, stepping(second), str, every=0.0)
    assert second.done == 12 and len(second.history) == len(whole.history)
    assert file.exists()  # until its result is safe
    pairs = zip(second.model.state_dict().values(), whole.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataFileError, match=r"part\.safetensors: an interrupted training that cannot be read"):
        resumed(file, learner(), lambda: False, str)


class Counting:
    """A training that counts."""

    def __init__(self) -> None:
        self.steps = torch.zeros(1)

    def state(self) -> tuple[dict[str, Tensor], Any]:
        return {"steps": self.steps}, None

    def restore(self, tensors: Any, values: Any) -> None:
        self.steps = tensors["steps"]


def test_no_more_is_lost_than_was_said(tmp_path: Path) -> None:
    """With `every` at 0 each step is kept before the next begins."""
    file = tmp_path / "part.safetensors"
    for begin in (0, 3, 6):
        training = Counting()

        def step(training: Counting = training, begin: int = begin) -> bool:
            if training.steps >= begin + 3:
                raise KeyboardInterrupt
            training.steps += 1
            return True

        with pytest.raises(KeyboardInterrupt):
            resumed(file, training, step, str, every=0.0)
        assert int(training.steps) == begin + 3


def test_a_cell_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """One dialogue at a time, after a kill in the middle of a line: as all at once."""
    cell = PLAYED["sv-none"]
    whole, parts = small(tmp_path / "whole"), small(tmp_path / "parts")
    play_cell(whole, cell, scenarios=6, chunk=6)
    play_cell(parts, cell, scenarios=3, chunk=1)
    file = parts.out / "cells" / "sv-none.jsonl"
    with file.open("a") as opened:
        opened.write('{"first": 3, "adversary": [9.')
    assert len(result(parts.out, cell, 6).adversary) == 3
    play_cell(parts, cell, scenarios=6, chunk=1)
    play_cell(parts, cell, scenarios=6, chunk=1)  # there is nothing left
    assert len(file.read_text().splitlines()) == 6
    ours, theirs = (replace(result(each.out, cell, 6), seconds=0.0) for each in (parts, whole))
    assert ours == theirs and len(ours.turns) == 6
    assert len(result(parts.out, cell, 2).agreed) == 2  # a smaller table of what was played
    file.write_text("\n".join(reversed(file.read_text().splitlines())) + "\n")
    with pytest.raises(SettingError, match="scenario 5 follows 0: delete the file"):
        result(parts.out, cell, 6)


@pytest.mark.parametrize("name", ["sv-supervised", "rl-rl-attack", "sv-reactive-n2", "sv-preemptive-n2", "sv-ra-pa-da"])
def test_every_kind_of_cell_is_played(name: str, laboratory: Laboratory) -> None:
    play_cell(laboratory, PLAYED[name], scenarios=2, chunk=2)
    found = result(laboratory.out, PLAYED[name], 2)
    assert (
        len(found.adversary) == len(found.target) == len(found.agreed) == len(found.efficient) == len(found.turns) == 2
    )
    assert summary(laboratory.out, PLAYED[name], 2).startswith(f"{name}: 2 scenarios, ")


def test_sentences_are_those_that_gained_most(laboratory: Laboratory) -> None:
    """The last ones before the end of dialogues that gained so much, the most frequent first, found once."""
    file = malicious_sentences(laboratory, "sv", dialogues=64, best=-10.0)
    everything = file.read_text().splitlines()
    assert everything and not {"<selection>", "YOU:", "THEM:", "<eos>"} & set(" ".join(everything).split())
    assert malicious_sentences(laboratory, "sv", dialogues=64, best=11.0) == file
    file.unlink()
    few = malicious_sentences(laboratory, "sv", dialogues=64, best=3.0).read_text().splitlines()
    assert set(few) < set(everything)
    file.unlink()
    with pytest.raises(SettingError, match="nothing to transfer"):
        malicious_sentences(laboratory, "sv", dialogues=8, best=11.0)


def test_tables_say_what_was_played_and_whether_it_is_in_order(tmp_path: Path) -> None:
    def played(name: str, adversary: list[float], target: list[float]) -> None:
        deals = [True] * len(target)
        line = {"first": 0, "adversary": adversary, "target": target, "agreed": deals, "efficient": deals}
        file = tmp_path / "cells" / f"{name}.jsonl"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({**line, "turns": [4] * len(target), "seconds": 1.0}) + "\n")

    played("sv-reactive-n2", [9.0, 7.0], [3.0, 7.0])  # advantages 6 and 0
    played("sv-rl-attack", [8.0, 8.0], [4.0, 4.0])
    played("sv-transfer", [5.0], [3.0])
    played("rl-reactive-n3", [5.0, 5.0], [5.0, 2.0])
    played("rl-rl-attack", [5.0, 4.0], [3.0, 4.0])
    played("robust-rl-attack", [6.0, 4.0], [3.0, 4.0])
    text = negotiation_tables.tables(tmp_path, 2)
    assert "| 8.00 v 5.00 (+3.00 ± 5.88) PAR 50.0 | 8.83 v 3.43 (+5.40) PAR 87.0 |" in text
    assert "| 5.00 v 3.00 (+2.00 ± nan) PAR 100.0 [1] | 6.41 v 6.54 (-0.13) PAR 44.4 |" in text
    assert "| 3 | 5.00 v 3.50 (+1.50 ± 2.94) PAR 50.0 | 8.81 v 3.62 (+5.19) PAR 92.0 |" in text
    assert "| none |  | 7.23 v 4.55 (+2.68) PAR 75.8, agreement 89.6 |" in text
    assert "| SV v SV |  | 5.40 v 5.50 (-0.10), agreement 87.9 |" in text
    assert negotiation_tables.orderings(tmp_path, 2) == [
        "- sv: reactive > RL attack: FAILS (+3.00, +4.00)",
        "- sv: RL attack > transfer: holds (+4.00, +2.00)",
        "- adversarial training lowers rl-attack: FAILS (+1.00, +1.50)",
    ]


def test_names_of_cells_are_their_own() -> None:
    assert len(PLAYED) == len(CELLS) == 25
    assert Cell("reactive", "rl", (0, 0, 0), n=3).name == "rl-reactive-n3"


def test_models_are_described_by_what_they_predict(laboratory: Laboratory) -> None:
    laboratory.path("rl")
    text = negotiation_tables.describe_models(laboratory)
    assert text.count("\n| sv |") == text.count("\n| rl |") == 1 and "robust" not in text


def test_the_benchmarks_negotiator_talks_about_as_long_as_people() -> None:
    """It is random, but made to end utterances and talks: several turns, and none that all end at the limit."""
    game, model = talkative(torch.device("cpu"))
    assert isinstance(game, NegotiationGame) and len(game.vocabulary) == 463
    state = converse(game, {player: NeuralNegotiator(model) for player in game.players}, range(48))
    assert 2.0 < float(state.turn.double().mean()) < 7.0
    assert 15 < float(state.length.double().mean()) < 60
