"""The embedded dialogues are what the game says they are, and a negotiator learns from them, once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from advgames.agents import NeuralNegotiator
from advgames.dialogue.acts import ACCEPT, INSIST, KINDS, PROPOSE, act_kind
from advgames.dialogue.corpus import Line, format_line, read_lines
from advgames.dialogue.scenarios import all_scenarios
from advgames.files import load_tensors, save_tensors
from advgames.games import NegotiationGame
from advgames.tasks import trained
from advgames.tasks.bargains import DIALOGUES, MAX_TURNS, hold_dialogues
from advgames.tasks.negotiations import NegotiationTask, load_negotiation
from advgames.tasks.negotiators import load_negotiator
from advgames.tasks.supervised import supervised_negotiator
from advgames.training.dialogues import converse
from advgames.victims.negotiator import Negotiator, NegotiatorSizes
from advgames.victims.supervised import SupervisedRecipe, SupervisedTrainer, evaluate

TASK = load_negotiation("bargains")
OTHER = {"YOU:": "THEM:", "THEM:": "YOU:"}


def utterances(line: Line) -> Iterator[tuple[str, int]]:
    """(who, act) of a line in turn; each utterance must be one of the grammar."""
    ids = torch.tensor(TASK.vocabulary.encode(line.words, strict=True))
    opens = [place for place, word in enumerate(line.words) if word in OTHER]
    for start, stop in zip(opens, [*opens[1:], len(line.words)], strict=True):
        (act,) = TASK.grammar.parse(ids[None, start + 1 : stop]).tolist()
        assert act > 0, line.words[start:stop]
        yield line.words[start], act


# The dialogues


def test_lines_read_back_from_a_file(tmp_path: Path) -> None:
    for split, (_, dialogues) in DIALOGUES.items():
        lines = TASK.lines(split)
        assert len(lines) == 2 * dialogues
        path = tmp_path / f"{split}.txt"
        path.write_text("\n".join(map(format_line, lines)), encoding="utf-8")
        assert read_lines(path) == lines


def test_they_are_always_the_same_and_not_the_same_in_two_splits() -> None:
    first = hold_dialogues("val")
    hold_dialogues.cache_clear()
    assert hold_dialogues("val") == first
    assert len(set(hold_dialogues("val")) & set(hold_dialogues("test"))) < 20  # the shortest may well come twice


def test_two_lines_are_the_two_sides_of_a_dialogue() -> None:
    lines = TASK.lines("val")
    for one, other in zip(lines[::2], lines[1::2], strict=True):
        assert (one.context, one.partner) == (other.partner, other.context)
        assert tuple(OTHER.get(word, word) for word in one.words) == other.words
        assert one.outputs == (*other.outputs[3:], *other.outputs[:3])


def test_scenarios_are_generated_ones() -> None:
    known = set(map(tuple, all_scenarios().flatten(1).tolist()))
    assert {line.context + line.partner for line in TASK.lines("train")} <= known
    seeds = torch.arange(50)
    assert set(map(tuple, TASK.scenarios(seeds).flatten(1).tolist())) <= known


def test_outputs_are_what_was_agreed_on() -> None:
    """Read once more from the words alone: the last offer, if its addressee accepted it."""
    endings: Counter[str] = Counter()
    for line in TASK.lines("val"):
        offers: dict[str, int] = {}
        newest, agreed = "", False
        for who, act in utterances(line):
            if PROPOSE <= act < INSIST:
                offers[who] = act - PROPOSE
            if PROPOSE <= act <= INSIST:
                newest, agreed = who, False
            if act == ACCEPT:
                assert newest == OTHER[who]
                agreed = True
        if not agreed:
            assert line.outputs == ("<no_agreement>",) * 6
            endings["none"] += 1
            continue
        split = offers[newest]
        asked = [split // 25, split // 5 % 5, split % 5]
        left = [count - n for count, n in zip(line.context[::2], asked, strict=True)]
        mine, yours = (asked, left) if newest == "YOU:" else (left, asked)
        assert line.outputs == tuple(f"item{item}={n}" for part in (mine, yours) for item, n in enumerate(part))
        endings[newest] += 1
    assert endings["YOU:"] == endings["THEM:"] > 150 and 0 < endings["none"] < 40


def test_every_kind_of_act_is_said_by_every_opener() -> None:
    kinds: dict[str, set[str]] = {"YOU:": set(), "THEM:": set()}
    lengths = set()
    for line in TASK.lines("train")[:300]:
        acts = list(utterances(line))
        lengths.add(len(acts))
        for who, act in acts:
            kinds[who].add(KINDS[int(act_kind(torch.tensor(act)))])
    assert kinds["YOU:"] == kinds["THEM:"] == set(KINDS) - {"pass", "other"}
    assert max(lengths) == MAX_TURNS


# The negotiator that learns from them


@pytest.fixture(scope="module")
def supervised() -> Negotiator:
    return load_negotiator(TASK, "sv")


def test_it_learns_to_speak_and_to_choose(supervised: Negotiator) -> None:
    """Trained with seeds 0 and 1 it chose 95.3 % of these outputs right, and 96 % of the validation dialogues'."""
    losses = evaluate(supervised, TASK.corpus("test"))
    assert losses.correct > 0.93
    assert losses.perplexity < 1.8
    nothing_learnt = evaluate(Negotiator(TASK.vocabulary, TASK.sizes), TASK.corpus("test"))
    assert nothing_learnt.correct < 0.3 and nothing_learnt.perplexity > 50


def test_it_comes_to_agreements_with_itself(supervised: Negotiator) -> None:
    game = NegotiationGame(TASK, actions="tokens", unit="utterance")
    state = converse(game, {p: NeuralNegotiator(supervised) for p in game.players}, range(400))
    found = game.measures(state)
    assert found["agreement"].mean() > 0.85
    assert state.scores.mean() > 5
    said = state.acts[state.acts > -2]
    assert (said > 0).double().mean() > 0.95  # it has picked up the grammar, which nobody holds it to


# Trained once


SIZES = NegotiatorSizes(8, 8, 8, 8, 8, dropout=0.2)
QUICK = SupervisedRecipe(epochs=2, batch_size=20, learning_rate=0.5, decay=2.0, smallest=0.1)  # 4 epochs in all


def small(lines: int = 40, recipe: SupervisedRecipe = QUICK, sizes: NegotiatorSizes = SIZES) -> NegotiationTask:
    return replace(TASK, read=lambda split: list(hold_dialogues("val")[:lines]), sizes=sizes, recipe=recipe)


def weights(model: Negotiator) -> Tensor:
    return torch.cat([value.flatten() for value in model.state_dict().values()])


class Cut(Exception):
    """The training is killed."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, on disk and in the process."""
    monkeypatch.setenv("ADVGAMES_CACHE", str(tmp_path))
    monkeypatch.setattr(trained, "_kept", type(trained._kept)())
    return trained.cache_folder()


def test_the_same_negotiator_comes_from_training_memory_and_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_rng_state()
    model = supervised_negotiator(small())
    first = weights(model)
    assert torch.equal(torch.get_rng_state(), before)
    (file,) = folder.iterdir()  # the checkpoint is gone
    assert file.suffix == ".safetensors"
    monkeypatch.setattr(SupervisedTrainer, "step", None)  # whoever trains now, fails
    for _ in range(2):
        with torch.no_grad():
            model.embedding.weight.zero_()  # whoever spoils it, spoils it for nobody else
        model = supervised_negotiator(small())
        assert torch.equal(weights(model), first) and not model.training
    trained._kept.clear()
    assert torch.equal(weights(supervised_negotiator(small())), first)


def test_recipes_dialogues_and_sizes_are_told_apart(folder: Path) -> None:
    one_epoch = replace(QUICK, epochs=1)
    reworded = [
        line._replace(words=tuple("need" if word == "want" else word for word in line.words))
        for line in hold_dialogues("val")[:40]
    ]
    tasks = [
        small(recipe=one_epoch),
        replace(small(recipe=one_epoch), read=lambda split: reworded),
        small(recipe=replace(one_epoch, seed=1)),
        small(recipe=replace(one_epoch, momentum=0.5)),
        small(lines=38, recipe=one_epoch),
        small(recipe=one_epoch, sizes=replace(SIZES, dropout=0.0)),
        small(recipe=one_epoch, sizes=replace(SIZES, goal=9)),
    ]
    models = [weights(supervised_negotiator(task)) for task in tasks]
    assert len(list(folder.iterdir())) == len(tasks)
    assert len({tuple(model[:50].tolist()) for model in models}) == len(tasks)


@pytest.mark.parametrize("damage", ["none", "cut", "other", "half"])
def test_a_training_that_was_cut_off_goes_on(folder: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []

    def until(last: int, epoch: int, epochs: int, losses: Any) -> None:
        assert epochs == 4 and losses.word > 0
        heard.append(epoch)
        if epoch == last:
            raise Cut

    whole = weights(supervised_negotiator(small(), lambda *event: until(9, *event)))
    assert heard == [1, 2, 3, 4]
    for file in folder.iterdir():
        file.unlink()
    trained._kept.clear()
    heard.clear()
    caplog.clear()
    with pytest.raises(Cut), caplog.at_level(logging.INFO, "advgames"):
        supervised_negotiator(small(), lambda *event: until(3, *event))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO", "INFO"]
    (file,) = folder.iterdir()
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "other":
        file.write_bytes(b"")
    elif damage == "half":  # the weights can be taken, what goes with them cannot
        tensors, values = load_tensors(file)
        save_tensors(file, tensors, {**values, "values": [["no", "losses"], 3]})
    heard.clear()
    assert torch.equal(weights(supervised_negotiator(small(), lambda *event: until(9, *event))), whole)
    assert heard == ([4] if damage == "none" else [1, 2, 3, 4])
    assert [file.suffix for file in folder.iterdir()] == [".safetensors"]


def test_it_trains_where_nothing_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder would be")
    monkeypatch.setenv("ADVGAMES_CACHE", str(blocked))
    monkeypatch.setattr(trained, "_kept", type(trained._kept)())
    quick = replace(QUICK, epochs=1)
    assert torch.isfinite(weights(supervised_negotiator(small(recipe=quick)))).all()
