"""Victims are trained once, found again, and never mistaken for one another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from advgames.tasks import Recipe, Task, cache_folder, load_task, trained, trained_module
from advgames.victims import Victim, mlp, polygon_classifier

QUICK = Recipe(epochs=1, batch_size=50)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, on disk and in the process."""
    monkeypatch.setenv("ADVGAMES_CACHE", str(tmp_path))
    monkeypatch.setattr(trained, "_kept", type(trained._kept)())
    return cache_folder()


def small(activation: type[nn.Module] = nn.ReLU, hidden: int = 8) -> Task:
    return replace(load_task("digits", None, 100, 20, 20), make_victim=lambda: Victim(mlp(64, hidden, 10, activation)))


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten() for value in module.state_dict().values()])


def test_the_same_victim_comes_from_training_memory_and_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = weights(trained_module(small(), QUICK))
    (file,) = folder.glob("*.safetensors")
    assert torch.equal(weights(trained_module(small(), QUICK)), first)
    trained._kept.clear()
    monkeypatch.setattr(trained, "_train", None)  # whoever trains now, fails
    assert torch.equal(weights(trained_module(small(), QUICK)), first)
    assert file.exists()


def test_recipes_data_and_architectures_are_told_apart(folder: Path) -> None:
    tasks = [
        small(),
        small(hidden=9),
        small(nn.Tanh),
        replace(small(), train=load_task("digits", None, 90, 20, 20).train),
    ]
    for task in tasks:
        trained_module(task, QUICK)
    trained_module(small(), Recipe(seed=1, epochs=1, batch_size=50))
    assert len(list(folder.glob("*.safetensors"))) == 5


def test_settings_that_no_weight_shows_are_told_apart(folder: Path) -> None:
    """Two polygons of one name: their outputs differ. Trained or not, each gets its own."""
    plane = load_task("polygon")
    other = replace(plane, make_victim=lambda: polygon_classifier(3, 2.0))
    point = torch.tensor([[3.0, 0.0]])
    for recipe in (plane.recipe, Recipe(epochs=1, learning_rate=1e-9)):
        assert (trained_module(plane, recipe)(point).argmax(1) != trained_module(other, recipe)(point).argmax(1)).all()


@pytest.mark.parametrize("damage", ["cut", "other", "partial"])
def test_a_damaged_file_is_trained_anew(folder: Path, damage: str) -> None:
    from safetensors.torch import load_file, save_file

    first = weights(trained_module(small(), QUICK))
    (file,) = folder.glob("*.safetensors")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:50])
    else:
        zeros = {name: torch.zeros_like(value) for name, value in load_file(file).items()}
        zeros.pop("3.bias") if damage == "partial" else zeros.update({"3.bias": torch.zeros(3)})
        save_file(zeros, file)
    trained._kept.clear()
    assert torch.equal(weights(trained_module(small(), QUICK)), first)


def test_what_is_returned_is_one_s_own_and_fixed(folder: Path) -> None:
    one, two = trained_module(small(), QUICK), trained_module(small(), QUICK)
    assert not one.training and not any(p.requires_grad for p in one.parameters())
    with torch.no_grad():
        next(one.parameters()).zero_()
    assert weights(two).abs().sum() > weights(one).abs().sum()


def test_no_global_generator_is_touched_and_a_folder_that_cannot_be_written_is_no_error(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("ADVGAMES_CACHE", str(blocked))
    before = torch.get_rng_state()
    trained_module(small(), QUICK)
    assert torch.equal(torch.get_rng_state(), before)
