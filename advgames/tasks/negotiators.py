"""Negotiators by name: a task's own, trained once and kept, or weights from a file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from advgames.dialogue.vocabulary import Vocabulary
from advgames.errors import DataFileError, SettingError, VictimError
from advgames.files import load_tensors, save_tensors
from advgames.settings import imported
from advgames.tasks.negotiations import NegotiationTask
from advgames.victims.negotiator import Negotiator, NegotiatorSizes

__all__ = ["check_name", "load_negotiator", "read_negotiator", "save_negotiator"]

SUPERVISED = "sv"


def load_negotiator(task: NegotiationTask, name: str = SUPERVISED, device: torch.device | str = "cpu") -> Negotiator:
    """A negotiator over the task's words, in evaluation mode, on a device; not to be changed.

    Args:
        task: whose vocabulary it must have.
        name: ``"sv"`` (the task's own, supervised), a file that :func:`save_negotiator` wrote, or
            ``"my_module:name"`` of a :class:`~advgames.victims.negotiator.Negotiator` or of a function returning one.

    Raises:
        DataFileError: the file is missing or damaged.
        VictimError: the model's vocabulary is not the task's.
    """
    path = Path(name)
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    key = (name, stamp, str(device))
    if key not in task.models:
        task.models[key] = _load(task, name).to(device)
    return task.models[key]


def check_name(name: str) -> None:
    """Refuse a name that can be no negotiator's.

    Raises:
        DataFileError: there is no such file.
    """
    if name != SUPERVISED and ":" not in name and not Path(name).is_file():
        raise DataFileError(f"negotiator {name!r}: there is no such file; {SUPERVISED!r} is the task's own")


def _load(task: NegotiationTask, name: str) -> Negotiator:
    if name == SUPERVISED:
        from advgames.tasks.supervised import supervised_negotiator

        model = supervised_negotiator(task)
    elif ":" in name and not Path(name).exists():
        found = imported(name, "negotiator")
        model = found if isinstance(found, Negotiator) or not callable(found) else found()
        if not isinstance(model, Negotiator):
            raise SettingError(f"negotiator {name!r} must be a Negotiator, or a function returning one, got {model!r}")
    else:
        model = read_negotiator(name)
    if model.vocabulary != task.vocabulary:
        raise VictimError(
            f"negotiator {name!r} speaks {len(model.vocabulary)} words, but they are not the {len(task.vocabulary)} of "
            f"{task.name}: train it on this task's dialogues"
        )
    return model.eval().requires_grad_(False)


def save_negotiator(model: Negotiator, path: str | Path) -> None:
    """Weights, sizes and words in one safetensors file."""
    save_tensors(Path(path), model.state_dict(), {"sizes": asdict(model.sizes), "words": model.vocabulary.words})


def read_negotiator(path: str | Path) -> Negotiator:
    """The negotiator in a file, in evaluation mode.

    Raises:
        DataFileError: the file is missing, damaged, or none of :func:`save_negotiator`'s.
    """
    try:
        weights, told = load_tensors(path)
        if missing := {"words", "sizes"} - set(told):
            raise ValueError(f"it does not tell its {min(missing)}: write it with {__name__}.save_negotiator")
        model = Negotiator(Vocabulary(told["words"]), NegotiatorSizes(**told["sizes"]))
        model.load_state_dict(weights)
        if not all(bool(weight.isfinite().all()) for weight in weights.values()):
            raise ValueError("it has weights that are NaN or infinite")
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:
        raise DataFileError(f"{path}: cannot be read as a negotiator: {error}") from error
    return model.eval()
