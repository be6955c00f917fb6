"""A task's victim, trained once and kept: the fixed models of the test-time games."""

from __future__ import annotations

import copy
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from advgames import rng
from advgames.errors import DataFileError, SettingError
from advgames.files import save_tensors
from advgames.settings import imported
from advgames.tasks.base import Recipe, Task
from advgames.victims import Victim

__all__ = ["cache_folder", "digest", "frozen", "import_victim", "keep", "load_weights", "trained_module"]

_FORM = 2  # of the training below: another number, and kept victims are trained anew
_kept: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
_KEEP = 64


def trained_module(task: Task, recipe: Recipe) -> nn.Module:
    """The task's victim trained by a recipe, in evaluation mode, on the CPU in float32; not to be changed.

    The same task, recipe and torch give the same weights. They are kept in the process and, where that folder can be
    written, in :func:`cache_folder`, so that every process of a tournament trains a victim once at most.
    """
    task = task.to("cpu", torch.float32)
    with torch.random.fork_rng(devices=[]):  # modules initialise themselves from the global generator
        victim = task.make_victim()
    module = victim.module
    start = victim.init(rng.seed_tensor([recipe.seed]))
    module.load_state_dict({name: p[0] for name, p in start.items()}, strict=False)
    if recipe.epochs == 0:
        return frozen(module)
    keep(_key(task, recipe, module), module, lambda: _train(task, victim, recipe))
    return frozen(module)


def keep(key: str, module: nn.Module, train: Callable[[], object]) -> None:
    """Give `module` the weights of that name: this process's, those in :func:`cache_folder`, or what `train` makes it.

    What is trained is kept in both. A file that is not whole, or not of this module's weights, counts for nothing.
    """
    if key not in _kept:
        file = cache_folder() / f"{key}.safetensors"
        weights = _on_disk(module, file)
        if weights is None:
            train()
            weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
            _keep_on_disk(weights, file)
        _kept[key] = weights
    _kept.move_to_end(key)
    while len(_kept) > _KEEP:
        _kept.popitem(last=False)
    module.load_state_dict(_kept[key])


def digest(text: str, tensors: Iterable[tuple[str, Tensor]]) -> str:
    """A name for a text and named tensors: what decides the weights of a training."""
    told = hashlib.sha256(text.encode())
    for name, value in tensors:
        told.update(name.encode())
        told.update(value.reshape(-1).contiguous().numpy().data)
    return told.hexdigest()[:24]


def cache_folder() -> Path:
    """Where trained victims are kept: ADVGAMES_CACHE, else ``~/.cache/advgames`` (XDG_CACHE_HOME); safe to delete."""
    named = os.environ.get("ADVGAMES_CACHE")
    if named:
        return Path(named) / "victims"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "advgames" / "victims"


def load_weights(task: Task, path: str | Path) -> nn.Module:
    """The task's victim with the weights of a safetensors file, in evaluation mode.

    Raises:
        DataFileError: the file is missing, damaged, or holds other weights than this architecture's.
    """
    with torch.random.fork_rng(devices=[]):
        module = task.make_victim().module
    try:
        module.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataFileError(f"{path}: cannot be read as weights of {task.name}'s victim: {error}") from error
    return frozen(module)


def import_victim(place: str) -> nn.Module:
    """The torch module that ``"my_module:name"`` is, or that the function of that name returns.

    The function is called once per batch of matches, in every process, and must return the same module each time;
    torch's global generator is seeded for it, and restored.

    Raises:
        SettingError: there is nothing to import, or it is no torch module.
    """
    found = imported(place, "victim")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        made = found if isinstance(found, nn.Module) or not callable(found) else found()
    if not isinstance(made, nn.Module):
        raise SettingError(f"victim {place!r} must be a torch module, or a function that returns one, got {made!r}")
    return made


def frozen(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose parameters require no gradient."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def _train(task: Task, victim: Victim, recipe: Recipe) -> None:
    if task.num_classes is None:
        raise SettingError(f"{task.name} has no classes: there is no victim to train for a test-time game")
    module = victim.module
    optimizer: torch.optim.Optimizer
    if recipe.momentum is None:
        optimizer = torch.optim.Adam(module.parameters(), lr=recipe.learning_rate)
    else:
        optimizer = torch.optim.SGD(module.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum)
    key, train = rng.seed_tensor([recipe.seed]), task.train
    module.train()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.default_generator.manual_seed(recipe.seed)  # dropout, should the victim have any
        for epoch in range(recipe.epochs):
            order = rng.permutation(key, "victim.epoch", epoch, len(train))[0]
            for ids in torch.split(order, recipe.batch_size):
                optimizer.zero_grad()
                victim.loss(module(train.inputs[ids]), train.labels[ids]).mean().backward()  # type: ignore[no-untyped-call]
                optimizer.step()


def _on_disk(module: nn.Module, file: Path) -> dict[str, Tensor] | None:
    """The weights in the file, if it is whole and they are this module's; else they are trained anew."""
    try:
        found = load_file(file)
    except (OSError, SafetensorError):
        return None
    own = module.state_dict()
    same = found.keys() == own.keys() and all(found[name].shape == value.shape for name, value in own.items())
    return found if same else None


def _keep_on_disk(weights: dict[str, Tensor], file: Path) -> None:
    with suppress(OSError):  # a cache that cannot be written is no reason to stop
        save_tensors(file, weights, {})


def _key(task: Task, recipe: Recipe, module: nn.Module) -> str:
    """A name for what decides the weights: recipe, data, architecture, initial weights and outputs, torch.

    The outputs on a few inputs tell apart what neither names nor weights show, such as another activation.
    """
    with torch.no_grad():
        outputs = copy.deepcopy(module).eval()(task.train.inputs[:4])
    parts = [*module.state_dict().items(), ("outputs", outputs), ("", task.train.inputs), ("", task.train.labels)]
    return digest(f"{_FORM} {asdict(recipe)} {module} {torch.__version__}", parts)
