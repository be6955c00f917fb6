"""Tasks have the paper's splits and victims, and say clearly what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from advgames.errors import DataFileError, SettingError, UnknownNameError
from advgames.games import PoisoningGame
from advgames.tasks import TASKS, Task, load_task
from advgames.training import play
from advgames.victims import cifar10_cnn, mnist_cnn

EMBEDDED = ["digits", "linear-regression", "polygon"]


def sizes(task: Task) -> tuple[int, int, int]:
    return len(task.train), len(task.validation), len(task.test)


def overlap(a: torch.Tensor, b: torch.Tensor) -> int:
    """Images of b that are also in a."""
    known = {x.numpy().tobytes() for x in a}
    return sum(x.numpy().tobytes() in known for x in b)


def test_digits_are_all_there_once_and_smaller_tasks_are_parts_of_larger_ones() -> None:
    whole, part = load_task("digits"), load_task("digits", None, 100, 50, 70)
    assert sizes(whole) == (1000, 297, 500) and sizes(part) == (100, 50, 70)
    assert torch.equal(part.train.inputs, whole.train.inputs[:100])
    assert torch.equal(part.validation.inputs, whole.validation.inputs[-50:])
    assert overlap(whole.train.inputs, whole.test.inputs) == overlap(whole.train.inputs, whole.validation.inputs) == 0
    assert whole.train.inputs.min() >= 0 and whole.train.inputs.max() <= 1
    assert whole.train.inputs.flatten(1).norm(dim=1).mean() * 0.34 == pytest.approx(1.3, abs=0.05)  # epsilon


def test_the_victims_have_the_sizes_the_paper_states() -> None:
    assert sum(p.numel() for p in mnist_cnn().parameters()) == 92_330
    assert sum(p.numel() for p in cifar10_cnn().parameters()) == pytest.approx(1e6, rel=0.3)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "mnist-1v7", "cifar10"])
def test_absent_data_is_said_with_how_to_get_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADVGAMES_DATA", raising=False)
    for root in (None, tmp_path):
        with pytest.raises(DataFileError) as caught:
            load_task(name, root)
        assert "ADVGAMES_DATA" in str(caught.value) or str(tmp_path) in str(caught.value)


def test_unknown_tasks_and_impossible_sizes_are_refused_by_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mnist'"):
        load_task("minst")
    for name, bad in (
        ("train_size", (1500, None, None)),
        ("validation_size", (None, 0, None)),
        ("test_size", (None, None, 501)),
    ):
        with pytest.raises(SettingError, match=name):
            load_task("digits", None, *bad)
    with pytest.raises(SettingError, match="draws fresh inputs"):
        load_task("linear-regression", None, 10)


def test_regression_inputs_are_uniform_on_0_2_and_fresh_for_every_match_and_iteration() -> None:
    task = load_task("linear-regression")
    assert task.draw is not None
    drawn = torch.stack([task.draw(torch.arange(2000), t, 1).inputs for t in range(2)])
    assert drawn.min() > 0 and drawn.max() <= 2 and abs(drawn.mean() - 1) < 0.03
    assert len(drawn.unique()) == drawn.numel()


def test_mnist_and_cifar_have_the_paper_s_splits(data_root: Path) -> None:
    mnist, cifar = load_task("mnist", data_root), load_task("cifar10", data_root)
    assert sizes(mnist) == (55_000, 5_000, 10_000) and mnist.input_shape == (1, 28, 28)
    assert len(cifar.validation) == 5_000 and cifar.input_shape == (3, 32, 32)
    assert (mnist.train.labels.bincount() / 55_000 - 0.1).abs().max() < 0.02
    pair = load_task("mnist-1v7", data_root)
    assert sizes(pair) == (40, 400, 1135 + 1028) and pair.test.labels.sum() == 1028


def plays(name: str, root: Path | None) -> None:
    small = {"train_size": 20, "validation_size": 20, "test_size": 20, "batch_size": 10}
    settings = {"iterations": 2, **({} if name in ("linear-regression", "polygon") else small)}
    players = {"attacker": "level-1", "defender": "level-1"}
    (record,) = play("poisoning", name, players, [0], settings, data_root=root and str(root))
    assert record.payoffs["attacker"] == -record.payoffs["defender"] != 0


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_tasks_play(name: str) -> None:
    plays(name, None)


@pytest.mark.parametrize("name", sorted(set(TASKS) - set(EMBEDDED) - {"fashion-mnist"}))
def test_tasks_read_from_files_play(name: str, data_root: Path) -> None:
    plays(name, data_root)


def test_mnist_at_small_size_shows_the_attack_and_the_defence(data_root: Path) -> None:
    """One seed, 1,000 images, 40 iterations: far from the paper's size, but the order must hold."""
    settings = {"train_size": 1000, "validation_size": 200, "test_size": 500, "batch_size": 100, "iterations": 40}
    accuracy = {}
    for attacker, defender in ((0, 0), (1, 0), (1, 1)):
        players = {"attacker": f"level-{attacker}", "defender": f"level-{defender}"}
        (record,) = play(
            "poisoning",
            "mnist",
            players,
            [0],
            {**settings, "learning_rate": 3e-3},
            data_root=str(data_root),
            evaluations=1,
        )
        accuracy[attacker, defender] = record.measures["test_accuracy"]
    assert accuracy[1, 0] < accuracy[0, 0] - 0.2
    assert accuracy[1, 1] > accuracy[0, 0] - (accuracy[0, 0] - accuracy[1, 0]) / 3


def test_digits_the_undefended_attack_takes_30_points_and_the_defence_gives_two_thirds_back() -> None:
    """The suite's main claim at one seed and half the training; five seeds stand in docs/experiments.md."""
    accuracy = {}
    for attacker, defender in ((0, 0), (1, 0), (1, 1)):
        players = {"attacker": f"level-{attacker}", "defender": f"level-{defender}"}
        (record,) = play("poisoning", "digits", players, [0], {"iterations": 200}, evaluations=1)
        accuracy[attacker, defender] = record.measures["test_accuracy"]
    taken = accuracy[0, 0] - accuracy[1, 0]
    assert taken >= 0.3 and accuracy[1, 1] - accuracy[1, 0] >= 2 / 3 * taken


def test_the_null_game_is_plain_training() -> None:
    """Independent of the players: with radius 0 every attack leaves the training as it was."""
    settings = {"train_size": 60, "validation_size": 30, "test_size": 20, "batch_size": 10, "iterations": 6}
    losses = {
        play(players={"attacker": name, "defender": "null"}, seeds=[0], settings={**settings, "epsilon": 0.0})[
            0
        ].measures["test_loss"]
        for name in ("null", "level-1", "random")
    }
    assert len(losses) == 1
    assert PoisoningGame("digits", epsilon=0.0).settings.epsilon_attacker == 0.0
