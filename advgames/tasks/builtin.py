"""The tasks by name: embedded ones (digits, linear-regression) and those read from a data root."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advgames import rng
from advgames.errors import SettingError, UnknownNameError
from advgames.tasks.base import Recipe, Split, Task
from advgames.tasks.polygon import polygon_task
from advgames.tasks.readers import data_root, read_cifar10, read_mnist
from advgames.victims import (
    Victim,
    cifar10_cnn,
    digits_cnn,
    linear_classifier,
    mnist_cnn,
    pair_cnn,
    residual_regression,
)

__all__ = ["PAIRED", "TASKS", "load_task"]

_SPLIT_SEED = 20211  # which samples train and which validate is part of the task, the same for every match


def load_task(
    name: str,
    root: str | Path | None = None,
    train_size: int | None = None,
    validation_size: int | None = None,
    test_size: int | None = None,
) -> Task:
    """A task by name, on the CPU in float32.

    Args:
        name: one of :data:`TASKS`, or two classes of one of :data:`PAIRED`, such as ``"mnist:0v1"``.
        root: folder of the data files; default: the environment variable ADVGAMES_DATA.
        train_size, validation_size, test_size: how many samples of each split to use; default: as in the paper
            (r2t2.txt section 6 and A.1.2), or all there are.

    Raises:
        UnknownNameError: no such task.
        DataFileError: a file is missing or damaged.
        SettingError: more samples are asked for than there are.
    """
    sizes = (train_size, validation_size, test_size)
    whole, colon, classes = name.partition(":")
    if colon and whole in PAIRED:
        return _pair(whole, classes, root, sizes)
    if name not in TASKS:
        raise UnknownNameError("task", name, [*TASKS, *(f"{paired}:0v1" for paired in PAIRED)])
    return TASKS[name](root, sizes)


Sizes = tuple[int | None, int | None, int | None]


def _digits(root: str | Path | None, sizes: Sizes) -> Task:
    """scikit-learn's 1,797 handwritten 8x8 digits: 1,000 train, 297 validation, 500 test."""
    rest, test = _digit_pools()
    return Task(
        "digits",
        *_split("digits", rest, test, sizes, validation=297),
        make_victim=lambda: Victim(digits_cnn()),
        num_classes=10,
        defaults={"batch_size": 100, "epochs": 40, "optimizer": "adam", "learning_rate": 3e-3, "epsilon": 1.3},
        recipe=Recipe(epochs=20, batch_size=50, learning_rate=3e-3),
    )


def _digit_pools() -> tuple[Split, Split]:
    """(everything else, test) of scikit-learn's digits, shuffled."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = torch.from_numpy(raw.images.astype(np.float32) / 16.0).unsqueeze(1)
    pool = Split(images, torch.from_numpy(raw.target.astype(np.int64)))
    order = _shuffled(len(pool))
    return pool.take(order[500:]), pool.take(order[:500])


def _mnist(name: str) -> Callable[[str | Path | None, Sizes], Task]:
    def load(root: str | Path | None, sizes: Sizes) -> Task:
        pool, test = _mnist_pools(root, name)
        return Task(
            name,
            *_split(name, pool, test, sizes, validation=5000),
            make_victim=lambda: Victim(mnist_cnn()),
            num_classes=10,
            defaults={"batch_size": 500, "epochs": 120, "optimizer": "adam", "learning_rate": 8e-4, "epsilon": 3.0},
            recipe=Recipe(epochs=3),
        )

    load.__doc__ = f"{name}: 28x28 images; 5,000 of the training images validate, the others train."
    return load


def _mnist_pools(root: str | Path | None, name: str) -> tuple[Split, Split]:
    """(training images, test images) of MNIST or Fashion-MNIST, the first shuffled."""
    arrays = read_mnist(data_root(root), name)
    pool = _images(arrays.train_images, arrays.train_labels)
    return pool.take(_shuffled(len(pool))), _images(arrays.test_images, arrays.test_labels)


def _mnist_1v7(root: str | Path | None, sizes: Sizes) -> Task:
    """MNIST's 1 against 7: 40 train, 400 validation, one linear layer (r2t2.txt section 6.2 and A.1.2)."""
    arrays = read_mnist(data_root(root), "mnist")
    pool = _two_classes(_images(arrays.train_images, arrays.train_labels), 1, 7)
    test = _two_classes(_images(arrays.test_images, arrays.test_labels), 1, 7)
    return Task(
        "mnist-1v7",
        *_split("mnist-1v7", pool.take(_shuffled(len(pool))), test, sizes, validation=400, train=40),
        make_victim=lambda: Victim(linear_classifier(784, 2)),
        num_classes=2,
        defaults={"batch_size": 40, "epochs": 200, "optimizer": "adam", "learning_rate": 8e-4, "epsilon": 3.0},
    )


def _cifar10(root: str | Path | None, sizes: Sizes) -> Task:
    """CIFAR-10, 32x32 colour images; 5,000 of the training images validate, the others train."""
    arrays = read_cifar10(data_root(root))
    pool = _images(arrays.train_images, arrays.train_labels)
    test = _images(arrays.test_images, arrays.test_labels)
    return Task(
        "cifar10",
        *_split("cifar10", pool.take(_shuffled(len(pool))), test, sizes, validation=5000),
        make_victim=lambda: Victim(cifar10_cnn()),
        num_classes=10,
        defaults={"batch_size": 400, "epochs": 240, "optimizer": "adam", "learning_rate": 8e-4, "epsilon": 2.0},
    )


def _linear_regression(root: str | Path | None, sizes: Sizes) -> Task:
    """R12 (r2t2.txt section 5): x ~ U(0, 2], theta_0 = -10, theta* = 20, eta = 0.2, epsilon = 0.1, z = 50."""
    if any(size is not None for size in sizes):
        raise SettingError("linear-regression draws fresh inputs: train_size, validation_size, test_size do not apply")

    def draw(seeds: Tensor, iteration: int, batch_size: int) -> Split:
        inputs = 2.0 * rng.uniform(seeds, "draw", iteration, (batch_size, 1), dtype=torch.float64)
        return Split(inputs, torch.zeros_like(inputs))

    grid = (torch.arange(1000, dtype=torch.float32) + 0.5).unsqueeze(1) / 500.0
    point = torch.full((1, 1), 50.0)
    return Task(
        "linear-regression",
        train=Split(grid, torch.zeros_like(grid)),
        validation=Split(point, torch.zeros_like(point)),
        test=Split(grid, torch.zeros_like(grid)),
        make_victim=residual_regression,
        bounds=None,
        defaults={"batch_size": 1, "iterations": 30, "optimizer": "sgd", "learning_rate": 0.2, "epsilon": 0.1},
        draw=draw,
    )


def _pair(name: str, classes: str, root: str | Path | None, sizes: Sizes) -> Task:
    """Two classes of a data set, the second one labelled 1 (additive_nash.txt section 4 and appendix D)."""
    found = re.fullmatch(r"(\d)v(\d)", classes)
    if not found or found[1] == found[2]:
        raise UnknownNameError("task", f"{name}:{classes}", [f"{name}:0v1"], "pairs of classes 0 to 9")
    small = name == "digits"
    whole = _digit_pools() if small else _mnist_pools(root, name)
    pool, test = (_two_classes(split, int(found[1]), int(found[2])) for split in whole)
    return Task(
        f"{name}:{classes}",
        *_split(f"{name}:{classes}", pool, test, sizes, validation=60 if small else 1000),
        make_victim=lambda: Victim(digits_cnn(outputs=2) if small else pair_cnn()),
        num_classes=2,
        defaults={
            "batch_size": 50 if small else 500,
            "epochs": 20,
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "epsilon": PAIRED[name],
        },
        recipe=Recipe(epochs=20, batch_size=20) if small else Recipe(0, 4, 64, 0.01, momentum=0.5),
    )


#: data sets of which any two classes make a task, and the radius of its players
PAIRED = {"digits": 1.0, "mnist": 4.0, "fashion-mnist": 2.0}

TASKS: dict[str, Callable[[str | Path | None, Sizes], Task]] = {
    "digits": _digits,
    "linear-regression": _linear_regression,
    "mnist": _mnist("mnist"),
    "fashion-mnist": _mnist("fashion-mnist"),
    "mnist-1v7": _mnist_1v7,
    "cifar10": _cifar10,
    "polygon": polygon_task,
}


def _images(images: np.ndarray, labels: np.ndarray) -> Split:
    return Split(torch.from_numpy(images).to(torch.float32) / 255.0, torch.from_numpy(labels).to(torch.int64))


def _shuffled(size: int) -> Tensor:
    return rng.permutation(rng.seed_tensor([_SPLIT_SEED]), "split", 0, size)[0]


def _two_classes(split: Split, first: int, second: int) -> Split:
    keep = (split.labels == first) | (split.labels == second)
    return Split(split.inputs[keep], (split.labels[keep] == second).to(torch.int64))


def _split(
    name: str, pool: Split, test: Split, sizes: Sizes, validation: int, train: int | None = None
) -> tuple[Split, Split, Split]:
    """(train, validation, test) of a shuffled pool: validation from its end, so that sizes do not move it."""
    wanted = sizes[1] if sizes[1] is not None else validation
    limit = len(pool) - wanted
    wanted_train = sizes[0] if sizes[0] is not None else (train or limit)
    wanted_test = sizes[2] if sizes[2] is not None else len(test)
    for what, count, available in (
        ("validation_size", wanted, len(pool) - 1),
        ("train_size", wanted_train, limit),
        ("test_size", wanted_test, len(test)),
    ):
        if not 1 <= count <= available:
            raise SettingError(f"{name}: {what} must lie in [1, {available}], got {count}")
    index = torch.arange(len(pool))
    return (
        pool.take(index[:wanted_train]),
        pool.take(index[len(pool) - wanted :]),
        test.take(torch.arange(wanted_test)),
    )
