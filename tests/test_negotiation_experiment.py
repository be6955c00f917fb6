"""The experiment of section 3.2 at a small size: kept models, trainings and cells that go on, tables, the benchmark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor

from advgames.agents.baiting import ArbitraryTurn, Preemptive, Reactive, Transfer
from advgames.agents.negotiators import NeuralNegotiator
from advgames.errors import DataFileError, SettingError
from advgames.files import load_tensors
from advgames.games import NegotiationGame
from advgames.resumed import resumed
from advgames.tasks.negotiations import load_negotiation
from advgames.training import dialogues
from advgames.training.adversarial_dialogue import AdversarialTraining, DuelRecipe
from advgames.training.bench_negotiation import talkative
from advgames.training.dialogues import converse
from advgames.training.experiments import negotiation_cells, negotiation_tables
from advgames.training.experiments.negotiation import Laboratory
from advgames.training.experiments.negotiation_cells import CELLS, Cell, play_cell, result, sentences_file, summary
from advgames.training.reinforce import Reinforce, ReinforceRecipe
from advgames.victims.negotiator import NegotiatorSizes
from advgames.victims.supervised import SupervisedRecipe

SMALL = NegotiatorSizes(word=12, goal=6, hidden=10, select=8, attention=7, dropout=0.0)
PLAYED = {cell.name: cell for cell in CELLS}


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    return small(tmp_path)


def small(out: Path, **changes: Any) -> Laboratory:
    """Little models that have hardly learned anything, of a few short dialogues."""
    whole = load_negotiation("bargains")
    recipe = SupervisedRecipe(epochs=1, learning_rate=0.5, smallest=0.5)
    task = replace(
        whole, read=lambda split: whole.lines(split)[:64], words=whole.vocabulary, sizes=SMALL, recipe=recipe
    )
    learn = ReinforceRecipe(batch_size=4, reward="advantage", supervised_every=0)
    return Laboratory(
        out, task, **{"dialogues": 8, "batch_size": 4, "duels": DuelRecipe(1, 4, learn, learn), **changes}
    )


def weights(laboratory: Laboratory, name: str) -> Tensor:
    return torch.cat([weight.flatten() for weight in laboratory.model(name).state_dict().values()])


def test_every_model_is_trained_once(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The robust one needs all but its own attack; the second time nothing is trained, and nothing else lies about."""
    step, met = AdversarialTraining.step, list[tuple[str, int]]()

    def stepped(duel: AdversarialTraining, dialogues: int) -> bool:
        if duel.turn == duel.done == 0:
            met.append((duel.recipe.meets, len(duel.past)))
            rl = laboratory.model("rl").state_dict()
            assert all(torch.equal(rl[name], w) for model in duel.past for name, w in model.state_dict().items())
        return step(duel, dialogues)

    monkeypatch.setattr(AdversarialTraining, "step", stepped)
    paths = {name: laboratory.path(name) for name in ("robust", "attack-robust", "attack-sv")}
    names = {"sv", "rl", "attack-rl", *paths}
    assert {file.name for file in laboratory.out.iterdir()} == {f"{name}.safetensors" for name in names}
    ordered = [weights(laboratory, name) for name in sorted(names)]
    assert all(not torch.equal(a, b) for n, a in enumerate(ordered) for b in ordered[:n])
    paths |= {name: laboratory.path(name) for name in ("robust-all", "attack-robust-all")}
    assert met == [("present", 0), ("all", 1)]
    monkeypatch.setattr(Reinforce, "run", None)
    assert {name: laboratory.path(name) for name in paths} == paths
    with pytest.raises(SettingError, match="no model is called 'attack-nobody'"):
        laboratory.path("attack-nobody")


def test_a_training_that_was_killed_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two turns of the duel: the models that were done stay, and the duel has one turn left."""
    whole, killed = (small(tmp_path / name, every=0.0) for name in ("whole", "killed"))
    expected = weights(whole, "robust")
    step, turns, until = AdversarialTraining.step, list[int](), 1

    def stepped(duel: AdversarialTraining, dialogues: int) -> bool:
        if duel.turn >= until:
            raise KeyboardInterrupt
        turns.append(duel.turn)
        return step(duel, dialogues)

    monkeypatch.setattr(AdversarialTraining, "step", stepped)
    with pytest.raises(KeyboardInterrupt):
        killed.path("robust")
    part = killed.out / "robust.part.safetensors"
    assert part.exists() and not (killed.out / "robust.safetensors").exists()
    kept = part.read_bytes()
    other = DuelRecipe(1, 5, killed.duels.target, killed.duels.adversary)
    with pytest.raises(DataFileError, match=r"robust\.part.*another training"):
        small(killed.out, duels=other).path("robust")
    part.write_bytes(kept[:1000])
    with pytest.raises(DataFileError, match=r"robust\.part\.safetensors: no training that can go on here"):
        small(killed.out).path("robust")
    part.write_bytes(kept)
    until = 2
    monkeypatch.setattr(AdversarialTraining, "step", lambda duel, n: duel.turn < 2 and stepped(duel, n))
    assert torch.equal(weights(small(killed.out), "robust"), expected)
    assert turns == [0, 1] and not part.exists()
    part.write_bytes(kept)  # as after a kill between the two: the model is there
    small(killed.out).path("robust")
    assert not part.exists()


class Counting:
    """A training that counts."""

    def __init__(self) -> None:
        self.steps = torch.zeros(1)

    def state(self) -> tuple[dict[str, Tensor], Any]:
        return {"steps": self.steps}, None

    def restore(self, tensors: Any, values: Any) -> None:
        self.steps = tensors["steps"]


def test_nothing_is_lost_that_was_told(tmp_path: Path) -> None:
    """With `every` at 0 each step is kept before anybody hears of it."""
    file, heard = tmp_path / "part.safetensors", list[int]()
    for begin in (0, 3, 6):
        training = Counting()

        def step(training: Counting = training, begin: int = begin) -> bool:
            if training.steps >= begin + 3:
                raise KeyboardInterrupt
            training.steps = training.steps + 1
            return True

        def told() -> None:
            heard.append(int(load_tensors(file)[0]["steps"]))

        with pytest.raises(KeyboardInterrupt):
            resumed(file, training, step, told, every=0.0)
    assert heard == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_file_that_cannot_be_written_stops_what_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("no space left")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    counting, left = Counting(), [3]

    def step() -> bool:
        left[0] -= 1
        return left[0] >= 0

    resumed(tmp_path / "part", counting, step, lambda: None, every=0.0, optional=True)
    assert left == [-1]
    left[0] = 3
    with pytest.raises(OSError, match="no space left"):
        resumed(tmp_path / "part", counting, step, lambda: None, every=0.0)


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
    file.write_text('{"first": 0, "adversary": [1.0], "target": [1.0], "agreed": [true], "turns": [3]}\n')
    with pytest.raises(SettingError, match="a line without efficient: delete the file"):
        result(parts.out, cell, 6)


@pytest.mark.parametrize(
    ("name", "kind", "speaks", "adversarial"),
    [
        ("sv-supervised", NeuralNegotiator, "sv", False),
        ("rl-none", NeuralNegotiator, "rl", False),
        ("rl-rl-attack", NeuralNegotiator, "attack-rl", True),
        ("sv-transfer", Transfer, "rl", True),
        ("rl-reactive-n3", Reactive, "rl", True),
        ("rl-reactive-n2-w8", Reactive, "rl", True),
        ("sv-forced", Reactive, "rl", True),
        ("sv-preemptive-n2", Preemptive, "rl", True),
        ("sv-ra-pa-da", ArbitraryTurn, "rl", True),
        ("rl-ra-pa-ta", ArbitraryTurn, "rl", True),
    ],
)
def test_every_kind_of_cell_is_played(
    name: str, kind: type, speaks: str, adversarial: bool, laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whom, against whom, on draws that nothing was trained on."""
    seen: list[tuple[NegotiationGame, Any, list[int]]] = []

    def spied(game: NegotiationGame, players: Any, seeds: Any) -> Any:
        seen.append((game, players, list(seeds)))
        return converse(game, players, seeds)

    cell = PLAYED[name]
    for target in ("sv", "rl"):
        (laboratory.out / f"sentences-{target}.txt").write_text("i want the hats\n")
    monkeypatch.setattr(negotiation_cells, "converse", spied)
    play_cell(laboratory, cell, scenarios=2, chunk=2)
    found = result(laboratory.out, cell, 2)
    assert all(len(part) == 2 for part in (found.adversary, found.target, found.agreed, found.efficient, found.turns))
    assert summary(laboratory.out, cell, 2).startswith(f"{name}: 2 scenarios, ")
    ((game, players, seeds),) = seen
    assert type(players["attacker"]) is kind and players["attacker"].weights == laboratory.path(speaks)
    assert players["defender"].weights == game.settings.target == laboratory.path(cell.target)
    assert game.settings.adversarial == adversarial and seeds == [10**12, 10**12 + 1]
    assert getattr(players["attacker"], "n", cell.n) == cell.n
    assert getattr(players["attacker"], "replacements", 2) == (8 if name.endswith("w8") else 2)
    assert getattr(players["attacker"], "stop", 0.0) == (-torch.inf if name == "sv-forced" else 0.0)
    assert (name.endswith("ta")) == (getattr(players["attacker"], "otherwise", "") == "transfer")


def test_forced_ends_come_right_after_the_attack(laboratory: Laboratory) -> None:
    """Two utterances of the adversary, then the target's `<selection>`: 4 turns where the adversary opened, else 5."""
    cell = replace(PLAYED["sv-forced"], n=2)
    play_cell(laboratory, cell, scenarios=16, chunk=16)
    turns = result(laboratory.out, cell, 16).turns
    assert {turn for turn in turns if turn >= 4} == {4, 5} and turns.count(4) > 1 and turns.count(5) > 1
    model = NeuralNegotiator(laboratory.path("sv"))
    interrupted = negotiation_cells.Interrupted(laboratory.path("sv"), 99)
    game = laboratory.game()
    free, never = (converse(game, {"attacker": model, "defender": one}, range(8)) for one in (model, interrupted))
    assert torch.equal(free.words, never.words)  # nobody is heard 99 times


def test_sentences_are_those_that_gained_most(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The adversary's last before the end, of dialogues that gained so much, the most frequent first; found once."""
    game, said = laboratory.game(adversarial=True), laboratory.task.vocabulary
    held = {
        "YOU: i want 1 hat <eos> THEM: deal <eos> YOU: you get 2 books <eos> THEM: <selection>": (9.0, 4.0),
        "THEM: no <eos> YOU: deal <eos> THEM: <selection>": (10.0, 0.0),
        "YOU: i want 1 hat <eos> THEM: what do you want ? <eos> YOU: deal <eos> THEM: no <eos> YOU: <selection>": (
            8.0,
            1.0,
        ),
        "YOU: i want 3 balls <eos> THEM: <selection>": (6.0, 2.0),
        "THEM: i want 3 balls <eos> YOU: <selection>": (9.0, 0.0),
    }
    state = game.reset(range(len(held)))
    state.words[:] = said.pad
    for row, (text, scores) in enumerate(held.items()):
        words = said.encode(text.split(), strict=True)
        state.words[row, : len(words)] = torch.tensor(words)
        state.scores[row] = torch.tensor(scores)
    laboratory.path("attack-sv")
    monkeypatch.setattr(dialogues, "converse", lambda *_: state)
    file = sentences_file(laboratory, "sv")
    assert file.read_text() == "deal\nyou get 2 books\n"
    state.scores[:] = 0.0
    assert sentences_file(laboratory, "sv") == file
    file.unlink()
    with pytest.raises(SettingError, match="nothing to transfer"):
        sentences_file(laboratory, "sv")


def test_tables_say_what_was_played_and_whether_it_is_in_order(tmp_path: Path) -> None:
    def played(name: str, adversary: list[float], target: list[float], deals: Sequence[bool] = (True, True)) -> None:
        deals = deals[: len(target)]
        line = {"first": 0, "adversary": adversary, "target": target, "agreed": deals, "efficient": deals}
        file = tmp_path / "cells" / f"{name}.jsonl"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({**line, "turns": [4] * len(target), "seconds": 1.0}) + "\n")

    played("sv-supervised", [5.0, 0.0], [7.0, 0.0], [True, False])
    played("rl-none", [0.0, 0.0], [0.0, 0.0], [False, False])
    played("sv-reactive-n2", [9.0, 7.0], [3.0, 7.0])  # advantages 6 and 0
    played("sv-rl-attack", [8.0, 8.0], [4.0, 4.0])
    played("sv-transfer", [5.0], [3.0])
    played("rl-reactive-n3", [5.0, 5.0], [5.0, 2.0])
    played("rl-reactive-n2", [7.0, 7.0], [5.0, 5.0])
    played("rl-reactive-n2-w8", [9.0, 9.0], [4.0, 4.0])
    played("rl-rl-attack", [5.0, 4.0], [3.0, 4.0])
    played("robust-rl-attack", [6.0, 4.0], [3.0, 4.0])
    text = negotiation_tables.tables(tmp_path, 2)
    assert "| 8.00 v 5.00 (+3.00 ± 5.88) PAR 50.0 | 8.83 v 3.43 (+5.40) PAR 87.0 |" in text
    assert "| 5.00 v 3.00 (+2.00 ± nan) PAR 100.0 [1] | 6.41 v 6.54 (-0.13) PAR 44.4 |" in text
    assert "| 3 | 5.00 v 3.50 (+1.50 ± 2.94) PAR 50.0 | 8.81 v 3.62 (+5.19) PAR 92.0 |" in text
    assert "| 2 | 7.00 v 5.00 (+2.00 ± 0.00) PAR 100.0 | 8.72 v 3.77" in text
    assert "| rl-reactive-n2-w8 | 9.00 v 4.00 (+5.00 ± 0.00) PAR 100.0 | 8.72 v 3.77" in text
    assert "| none |  | 7.23 v 4.55 (+2.68) PAR 75.8, agreement 89.6 |" in text
    own = "2.50 v 3.50 (-1.00 ± 1.96) PAR 0.0, agreement 50.0, Pareto 100.0"
    assert f"| SV v SV | {own} | 5.40 v 5.50 (-0.10), agreement 87.9 |" in text
    assert "PAR 0.0, agreement 0.0, Pareto nan | 5.05 v 5.00 (+0.05) PAR 44.7, agreement 76.4 |" in text
    assert negotiation_tables.orderings(tmp_path, 2) == [
        "- sv: reactive > RL attack: FAILS (+3.00, +4.00)",
        "- sv: RL attack > transfer: holds (+4.00, +2.00)",
        "- rl: reactive > RL attack: holds (+2.00, +1.00)",
        "- adversarial training lowers rl-attack (robust): FAILS (+1.00, +1.50)",
    ]


def test_names_of_cells_are_their_own() -> None:
    assert len(PLAYED) == len(CELLS)
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
