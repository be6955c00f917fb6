"""The readers return what the original files hold, and name the file and the damage when they cannot."""

from __future__ import annotations

import gzip
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from advgames.errors import DataFileError
from advgames.tasks.readers import Arrays, data_root, find_idx, read_cifar10, read_idx, read_mnist

TRAIN, TEST = 6, 4
STEMS = {
    "train-images-idx3-ubyte": (TRAIN, 28, 28),
    "train-labels-idx1-ubyte": (TRAIN,),
    "t10k-images-idx3-ubyte": (TEST, 28, 28),
    "t10k-labels-idx1-ubyte": (TEST,),
}
LAYOUTS = ["bin", "py"]


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def numbers(shape: tuple[int, ...], seed: int = 0, high: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape, dtype=np.uint8)


def write_mnist(folder: Path, packed: bool = False, dotted: bool = False) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True)
    written = {}
    for seed, (stem, shape) in enumerate(STEMS.items()):
        written[stem] = numbers(shape, seed, high=256 if "images" in stem else 10)
        content = idx_bytes(written[stem])
        name = stem.replace("-idx", ".idx") if dotted else stem
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return written


def python2_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """What Python 2 wrote into the original python version: protocol 2, byte strings, numpy.core."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    dtype = (
        b"cnumpy\ndtype\n("
        + text(b"u1")
        + b"K\x00K\x01tR(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
    state = b"(K\x01(" + b"".join(b"M" + struct.pack("<H", size) for size in pixels.shape) + b"t" + dtype + b"\x89"
    array += state + text(pixels.tobytes()) + b"tb"
    numbers_ = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers_ + b"u."


def batch_bytes(pixels: np.ndarray, labels: np.ndarray, layout: str, protocol: int = 2) -> bytes:
    if layout == "bin":
        return np.concatenate([labels[:, None], pixels], axis=1).tobytes()
    return pickle.dumps({b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"one"}, protocol)


def batch_path(root: Path, layout: str, name: str) -> Path:
    return root / f"cifar-10-batches-{layout}" / (f"{name}.bin" if layout == "bin" else name)


def write_cifar(root: Path, layout: str, batches: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3072) and labels (N,) of all batches in order, the test batch last; 3 images in each."""
    (root / f"cifar-10-batches-{layout}").mkdir(parents=True)
    names = [*(f"data_batch_{number + 1}" for number in range(batches)), "test_batch"]
    pixels, labels = numbers((len(names), 3, 3072)), numbers((len(names), 3), seed=1, high=10)
    for index, name in enumerate(names):
        batch_path(root, layout, name).write_bytes(batch_bytes(pixels[index], labels[index], layout))
    return pixels.reshape(-1, 3072), labels.reshape(-1)


def assert_kind(arrays: Arrays) -> None:
    assert {arrays.train_images.dtype, arrays.test_images.dtype} == {np.dtype(np.uint8)}
    assert {arrays.train_labels.dtype, arrays.test_labels.dtype} == {np.dtype(np.int64)}
    assert all(array.flags.writeable and array.flags.c_contiguous for array in arrays)


# IDX


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (0, 28, 28)])
@pytest.mark.parametrize("packed", [False, True])
def test_an_idx_file_returns_its_array(tmp_path: Path, shape: tuple[int, ...], packed: bool) -> None:
    array = numbers(shape)
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(idx_bytes(array)) if packed else idx_bytes(array))
    read = read_idx(path)
    assert read.dtype == np.uint8 and read.flags.writeable
    np.testing.assert_array_equal(read, array)


def test_content_not_the_name_decides_whether_a_file_is_packed(tmp_path: Path) -> None:
    array = numbers((7,))
    (tmp_path / "unpacked.gz").write_bytes(idx_bytes(array))
    (tmp_path / "packed").write_bytes(gzip.compress(idx_bytes(array)))
    np.testing.assert_array_equal(read_idx(tmp_path / "unpacked.gz"), array)
    np.testing.assert_array_equal(read_idx(tmp_path / "packed"), array)


GOOD = idx_bytes(numbers((2, 3)))  # 12 bytes of header, 6 of elements
IDX_DAMAGE = {
    "empty": (b"", "at least 4 bytes, found 0"),
    "no magic": (b"\x01" + GOOD[1:], "wrong magic number 0x01000802"),
    "floats": (b"\0\0\x0d\x02" + GOOD[4:], "wrong magic number 0x00000d02"),
    "no dimension": (b"\0\0\x08\0" + GOOD[4:], "wrong magic number 0x00000800"),
    "cut header": (GOOD[:9], "a header of 12 bytes, found 9"),
    "cut elements": (GOOD[:-1], r"expected 18 bytes for shape \(2, 3\), found 17"),
    "too long": (GOOD + b"\0", "expected 18 bytes .* found 19"),
    "an error page": (b"<html>not found</html>", "wrong magic number"),
}
GZIP_DAMAGE = {
    "cut": gzip.compress(GOOD)[:-4],
    "head only": gzip.compress(GOOD)[:2],
    "not gzip": b"<html>not found</html>",
    "bad sum": gzip.compress(GOOD)[:-8] + b"\0\0\0\0" + gzip.compress(GOOD)[-4:],
    "bad body": gzip.compress(GOOD)[:10] + b"\xff" * 8,
}


@pytest.mark.parametrize("damage", IDX_DAMAGE)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_idx_file_is_named_with_its_damage(tmp_path: Path, damage: str, packed: bool) -> None:
    content, complaint = IDX_DAMAGE[damage]
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataFileError, match=complaint) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("damage", GZIP_DAMAGE)
def test_a_broken_gzip_file_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(GZIP_DAMAGE[damage])
    with pytest.raises(DataFileError, match="broken gzip file") as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_labels_are_not_taken_for_images(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(idx_bytes(numbers((5,))))
    with pytest.raises(DataFileError, match="wrong magic number 0x00000801, expected 0x00000803"):
        read_idx(tmp_path / "labels", dimensions=3)


def test_a_path_that_is_no_file_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataFileError, match="cannot be read"):
            read_idx(path)


def test_find_idx_knows_both_spellings_packed_or_not(tmp_path: Path) -> None:
    stem = "train-images-idx3-ubyte"
    with pytest.raises(DataFileError, match=r"missing \(looked for .*train-images\.idx3-ubyte\.gz"):
        find_idx(tmp_path, stem)
    for name in ("train-images.idx3-ubyte.gz", f"{stem}.gz", "train-images.idx3-ubyte", stem):
        (tmp_path / name).write_bytes(b"")
        assert find_idx(tmp_path, stem) == tmp_path / name  # each written one takes precedence over the last


# MNIST and Fashion-MNIST


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("mnist", "."),
        ("fashion-mnist", "fashion-mnist"),
        ("fashion-mnist", "FashionMNIST/raw"),
        ("fashion-mnist", "."),
    ],
)
def test_mnist_is_found_where_it_is_usually_kept(
    tmp_path: Path, name: str, folder: str, packed: bool, dotted: bool
) -> None:
    root = tmp_path / "root"
    written = write_mnist(root / folder, packed, dotted)
    arrays = read_mnist(root, name)
    assert_kind(arrays)
    assert arrays.train_images.shape == (TRAIN, 1, 28, 28) and arrays.test_images.shape == (TEST, 1, 28, 28)
    for array, expected in zip(arrays, written.values(), strict=True):
        np.testing.assert_array_equal(array.squeeze(), expected)


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw"])
def test_mnist_is_not_taken_for_fashion_mnist(tmp_path: Path, folder: str) -> None:
    write_mnist(tmp_path / folder)
    for root in (tmp_path, tmp_path / folder):
        with pytest.raises(DataFileError, match="no IDX files"):
            read_mnist(root, "fashion-mnist")
    assert len(read_mnist(tmp_path / folder, "mnist").train_labels) == TRAIN


MNIST_DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes | None], str]] = {
    "missing file": ("t10k-labels-idx1-ubyte", lambda content: None, "missing"),
    "truncated": (
        "train-images-idx3-ubyte",
        lambda content: content[:-100],
        "expected 4,720 bytes .* found 4,620",
    ),
    "label 10": (
        "train-labels-idx1-ubyte",
        lambda content: content[:-1] + b"\x0a",
        "expected 0 to 9, found 10 at 5",
    ),
    "a label less": (
        "t10k-labels-idx1-ubyte",
        lambda content: idx_bytes(numbers((3,), high=10)),
        "4 labels.*found 3",
    ),
    "images as labels": (
        "t10k-labels-idx1-ubyte",
        lambda content: idx_bytes(numbers((4, 28, 28))),
        "wrong magic",
    ),
    "other size": (
        "t10k-images-idx3-ubyte",
        lambda content: idx_bytes(numbers((4, 8, 8))),
        "28 x 28.*found 8 x 8",
    ),
    "no images": (
        "t10k-images-idx3-ubyte",
        lambda content: idx_bytes(numbers((0, 28, 28))),
        "expected 0 labels",
    ),
}


@pytest.mark.parametrize("damage", MNIST_DAMAGE)
def test_damaged_mnist_names_file_damage_and_remedy(tmp_path: Path, damage: str) -> None:
    stem, spoil, complaint = MNIST_DAMAGE[damage]
    write_mnist(tmp_path / "mnist")
    path = tmp_path / "mnist" / stem
    content = spoil(path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataFileError, match=complaint) as caught:
        read_mnist(tmp_path)
    assert str(tmp_path / "mnist" / stem.split("-")[0]) in str(caught.value)
    assert "original mnist distribution" in str(caught.value) and "place them in the folder mnist/" in str(caught.value)


def test_an_empty_data_set_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(numbers((0, 28, 28))))
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(numbers((0,))))
    with pytest.raises(DataFileError, match="at least one image"):
        read_mnist(tmp_path)


# CIFAR-10


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batches", [1, 2, 11])
@pytest.mark.parametrize("inside", [False, True])
def test_cifar_returns_planes_in_the_order_of_the_batches(
    tmp_path: Path, layout: str, batches: int, inside: bool
) -> None:
    pixels, labels = write_cifar(tmp_path, layout, batches)
    arrays = read_cifar10(tmp_path / f"cifar-10-batches-{layout}" if inside else tmp_path)
    assert_kind(arrays)
    assert arrays.train_images.shape == (3 * batches, 3, 32, 32) and arrays.test_images.shape == (
        3,
        3,
        32,
        32,
    )
    both = np.concatenate([arrays.train_images, arrays.test_images])
    np.testing.assert_array_equal(both.reshape(-1, 3072), pixels)
    np.testing.assert_array_equal(np.concatenate([arrays.train_labels, arrays.test_labels]), labels)
    assert arrays.train_images[0, 2, 1, 3] == pixels[0, 2 * 1024 + 1 * 32 + 3]  # blue, second row, fourth column


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_python_batch_of_any_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    pixels, labels = write_cifar(tmp_path, "py", 1)
    content = batch_bytes(pixels[:3], labels[:3], "py", protocol)
    batch_path(tmp_path, "py", "data_batch_1").write_bytes(content)
    np.testing.assert_array_equal(read_cifar10(tmp_path).train_images.reshape(3, -1), pixels[:3])


def test_a_python_batch_as_python_2_wrote_it_is_read(tmp_path: Path) -> None:
    pixels, labels = write_cifar(tmp_path, "py", 1)
    content = python2_pickle(pixels[:3], labels[:3].tolist())
    assert set(pickle.loads(content, encoding="bytes")) == {b"data", b"labels"}
    batch_path(tmp_path, "py", "data_batch_1").write_bytes(content)
    arrays = read_cifar10(tmp_path)
    np.testing.assert_array_equal(arrays.train_images.reshape(3, -1), pixels[:3])
    np.testing.assert_array_equal(arrays.train_labels, labels[:3])


def test_other_files_are_not_taken_for_batches(tmp_path: Path) -> None:
    write_cifar(tmp_path, "bin", 1)
    for name in ("data_batch_1.bin.part", "data_batch_x.bin", "batches.meta.txt"):
        batch_path(tmp_path, "bin", "x").with_name(name).write_bytes(b"?")
    assert len(read_cifar10(tmp_path).train_labels) == 3


class Intruder:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


FOREIGN = {
    "a function": lambda: pickle.dumps({b"data": print, b"labels": [0]}),
    "no dictionary": lambda: pickle.dumps([1, 2, 3]),
    "no data": lambda: pickle.dumps({b"labels": [0]}),
    "no labels": lambda: pickle.dumps({b"data": numbers((1, 3072))}),
    "floats": lambda: pickle.dumps({b"data": np.zeros((1, 3072)), b"labels": [0]}),
    "signed bytes": lambda: pickle.dumps({b"data": np.zeros((1, 3072), np.int8), b"labels": [0]}),
    "one dimension": lambda: pickle.dumps({b"data": numbers((3072,)), b"labels": [0]}),
    "float labels": lambda: pickle.dumps({b"data": numbers((1, 3072)), b"labels": [0.5]}),
    "text": lambda: b"not found",
    "empty": lambda: b"",
    "column order": lambda: pickle.dumps({b"data": np.asfortranarray(numbers((2, 3072))), b"labels": [0, 1]}),
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_foreign_pickle_is_refused(tmp_path: Path, foreign: str) -> None:
    write_cifar(tmp_path, "py")
    path = batch_path(tmp_path, "py", "data_batch_2")
    path.write_bytes(FOREIGN[foreign]())
    with pytest.raises(DataFileError, match="broken or foreign pickle") as caught:
        read_cifar10(tmp_path)
    assert str(path) in str(caught.value) and "original CIFAR-10 distribution" in str(caught.value)


def test_a_pickle_that_runs_something_is_refused_before_it_runs(tmp_path: Path) -> None:
    write_cifar(tmp_path, "py")
    trace = tmp_path / "trace"
    content = pickle.dumps({b"data": Intruder(trace), b"labels": [0]})
    batch_path(tmp_path, "py", "test_batch").write_bytes(content)
    with pytest.raises(DataFileError, match="which no batch needs"):
        read_cifar10(tmp_path)
    assert not trace.exists()
    pickle.loads(content)
    assert trace.exists()  # the ordinary loader would have run it


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_truncated_batch_is_named(tmp_path: Path, layout: str) -> None:
    write_cifar(tmp_path, layout)
    path = batch_path(tmp_path, layout, "data_batch_2")
    path.write_bytes(path.read_bytes()[:-5])
    complaint = (
        r"multiple of 3,073 bytes, found 9,214 \(3,068 over\)" if layout == "bin" else "broken or foreign pickle"
    )
    with pytest.raises(DataFileError, match=complaint) as caught:
        read_cifar10(tmp_path)
    assert str(path) in str(caught.value) and "original CIFAR-10 distribution" in str(caught.value)


@pytest.mark.parametrize("cut", range(0, 9500, 317))
def test_a_pickle_cut_anywhere_is_a_data_file_error(tmp_path: Path, cut: int) -> None:
    write_cifar(tmp_path, "py")
    path = batch_path(tmp_path, "py", "data_batch_1")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataFileError, match="broken or foreign pickle"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("pixels", "labels", "complaint"),
    [
        (numbers((2, 3072)), np.array([3, 10], np.uint8), "expected 0 to 9, found 10 at 1"),
        (numbers((0, 3072)), np.zeros(0, np.uint8), "at least one image|broken or foreign pickle"),
    ],
)
def test_labels_out_of_range_and_empty_batches_are_named(
    tmp_path: Path, layout: str, pixels: np.ndarray, labels: np.ndarray, complaint: str
) -> None:
    write_cifar(tmp_path, layout)
    path = batch_path(tmp_path, layout, "data_batch_2")
    path.write_bytes(batch_bytes(pixels, labels, layout))
    with pytest.raises(DataFileError, match=complaint) as caught:
        read_cifar10(tmp_path)
    assert str(path) in str(caught.value)


def test_python_batches_need_a_label_for_each_image_and_whole_images(tmp_path: Path) -> None:
    write_cifar(tmp_path, "py")
    path = batch_path(tmp_path, "py", "data_batch_1")
    path.write_bytes(pickle.dumps({b"data": numbers((3, 3072)), b"labels": [1, 2]}))
    with pytest.raises(DataFileError, match=r"expected 3 labels, one for each image, found 2"):
        read_cifar10(tmp_path)
    path.write_bytes(pickle.dumps({b"data": numbers((2, 1536)), b"labels": [1]}))
    with pytest.raises(DataFileError, match=r"expected 3,072 bytes for each image, found 1,536"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("missing", ["data_batch_1", "test_batch"])
def test_a_missing_batch_is_named(tmp_path: Path, layout: str, missing: str) -> None:
    write_cifar(tmp_path, layout, batches=1)
    path = batch_path(tmp_path, layout, missing)
    path.unlink()
    with pytest.raises(DataFileError, match="cannot be read") as caught:
        read_cifar10(tmp_path)
    assert str(path) in str(caught.value)


# The data root


def test_the_explicit_data_root_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ADVGAMES_DATA", str(tmp_path))
    assert data_root() == tmp_path
    assert data_root(tmp_path / "mine") == tmp_path / "mine"
    assert data_root(str(tmp_path / "mine")) == tmp_path / "mine"
    monkeypatch.setenv("ADVGAMES_DATA", "")
    assert data_root() is None
    monkeypatch.delenv("ADVGAMES_DATA")
    assert data_root() is None


@pytest.mark.parametrize("read", [read_mnist, read_cifar10])
def test_without_files_the_error_says_how_to_get_them(tmp_path: Path, read: Callable[[Path | None], Arrays]) -> None:
    for root, complaint in (
        (None, "no data root: set --data-root or ADVGAMES_DATA"),
        (tmp_path / "x", "no folder"),
    ):
        with pytest.raises(DataFileError, match=complaint) as caught:
            read(root)
        assert "data root" in str(caught.value) and "original" in str(caught.value)
    with pytest.raises(DataFileError, match=r"no (IDX files|CIFAR-10 batches)") as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value) and "original" in str(caught.value)


# The real files (their counts and means as in their README)


def test_real_mnist_has_its_class_counts(data_root: Path) -> None:
    arrays = read_mnist(data_root)
    assert_kind(arrays)
    assert arrays.train_images.shape == (60_000, 1, 28, 28) and arrays.test_images.shape == (
        10_000,
        1,
        28,
        28,
    )
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(arrays.train_labels).tolist() == train
    assert np.bincount(arrays.test_labels).tolist() == test
    assert round(float(arrays.train_images.mean() / 255), 4) == 0.1307


def test_real_cifar_has_its_channel_means(data_root: Path) -> None:
    arrays = read_cifar10(data_root)
    assert_kind(arrays)
    assert np.bincount(arrays.train_labels).tolist() == [len(arrays.train_labels) // 10] * 10
    assert np.bincount(arrays.test_labels).tolist() == [len(arrays.test_labels) // 10] * 10
    pixels = arrays.train_images
    np.testing.assert_allclose(pixels.mean(axis=(0, 2, 3)) / 255, (0.4911, 0.4824, 0.4466), atol=5e-4)
    np.testing.assert_allclose(pixels.std(axis=(0, 2, 3)) / 255, (0.2471, 0.2433, 0.2616), atol=5e-4)
