"""Reading the data, its split, and the permuted tasks."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from common import data
from common.data import (
    DATA_DIR,
    MOST_TASKS,
    DataError,
    Dataset,
    Split,
    load_mnist,
    permuted_tasks,
    task_permutation,
)
from tests.idx import idx_bytes, write_idx_dataset

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = data.FILES


def write_small(folder: Path, compress: bool = False) -> Path:
    """Write a data set of 4 x 4 pixels with 10 training images beyond the validation set."""
    return write_idx_dataset(folder, train=5010, test=20, size=(4, 4), compress=compress)


def assert_equal(a: Dataset, b: Dataset) -> None:
    """Assert that two data sets have the same contents."""
    for split in ("train", "validation", "test"):
        for left, right in zip(getattr(a, split), getattr(b, split), strict=True):
            np.testing.assert_array_equal(left, right)
    assert (a.classes, a.pixels, a.checksum) == (b.classes, b.pixels, b.checksum)


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    """Return the data set that comes with the project."""
    return load_mnist()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a tiny synthetic data set."""
    return load_mnist(write_small(tmp_path_factory.mktemp("small")))


# MNIST itself


def test_mnist_shapes(mnist: Dataset) -> None:
    for split, count in ((mnist.train, 55000), (mnist.validation, 5000), (mnist.test, 10000)):
        assert split.images.shape == (count, 784)
        assert split.labels.shape == (count,)
        assert split.images.dtype == split.labels.dtype == np.uint8
    assert (mnist.classes, mnist.pixels) == (10, 784)
    assert mnist.checksum == "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"


def test_mnist_labels(mnist: Dataset) -> None:
    # The first labels of the training file are 5 0 4 1 9: the validation set is its beginning.
    assert mnist.validation.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.train.labels[:5].tolist() == [7, 3, 4, 6, 1]
    assert mnist.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    validation = np.bincount(mnist.validation.labels)
    assert validation.tolist() == [479, 563, 488, 493, 535, 434, 501, 550, 462, 495]
    both = np.bincount(mnist.train.labels) + validation
    assert both.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = np.bincount(mnist.test.labels)
    assert test.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_mnist_pixels(mnist: Dataset) -> None:
    total = mnist.train.images.sum() + mnist.validation.images.sum()
    assert total / (60000 * 784) == pytest.approx(33.318421, abs=1e-6)
    mean = mnist.train.images.mean(axis=0).reshape(28, 28)
    assert mean[0].max() < 1 and mean[:, 0].max() < 1  # digits don't touch the border
    assert mean[10:18, 10:18].min() > 50


def test_images_are_in_memory_once(mnist: Dataset) -> None:
    train, validation = mnist.train.images, mnist.validation.images
    address = [array.__array_interface__["data"][0] for array in (validation, train)]
    assert address[1] - address[0] == 5000 * 784  # one array, cut in two
    assert not train.flags.owndata and not validation.flags.owndata
    tasks = permuted_tasks(mnist, 10)
    for task in tasks:
        assert np.shares_memory(task.train.images, train)
        assert np.shares_memory(task.validation.images, validation)
        assert task.test.images is mnist.test.images
    assert np.shares_memory(mnist.first(100).train.images, train)


def test_tensorflow_is_not_imported() -> None:
    command = "import sys, common.data as d; d.DATA_DIR; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=DATA_DIR.parent).returncode == 0


# Permutations and tasks


@pytest.mark.parametrize(
    ("task", "first", "digest"),
    [
        (
            0,
            [72, 660, 757, 548, 56, 696, 665, 214, 546, 698],
            "9b4f5210e68fe6e9e53f460aa937f83a5ef5895b5a880cf1c2f4af5823f5080e",
        ),
        (
            1,
            [556, 445, 635, 187, 50, 630, 197, 606, 701, 729],
            "1253d658439e8c9cb97973e37f731c00dedb6a2249f66a0cd47511619c5a16fa",
        ),
    ],
)
def test_permutation_values(task: int, first: list[int], digest: str) -> None:
    permutation = task_permutation(task)
    assert permutation.dtype == np.int32
    assert permutation[:10].tolist() == first
    assert hashlib.sha256(permutation.astype("<i4").tobytes()).hexdigest() == digest


@given(
    task=st.integers(0, MOST_TASKS - 1), pixels=st.integers(1, 1000), seed=st.integers(0, 2**31 - 1)
)
def test_permutation_is_that_of_pythons_own_generator(task: int, pixels: int, seed: int) -> None:
    def shuffled(generator_seed: int) -> list[int]:
        order = list(range(pixels))
        random.seed(generator_seed)
        random.shuffle(order)
        return order

    assert task_permutation(task, pixels).tolist() == shuffled(task)
    assert task_permutation(task, pixels, seed).tolist() == shuffled(task + 1_000_000 * seed)


def test_permutations_differ_between_tasks_and_seeds() -> None:
    tasks = [*range(20), MOST_TASKS - 1]
    permutations = {task_permutation(t, seed=s).tobytes() for t in tasks for s in (0, 1, 2, 10)}
    assert len(permutations) == 4 * len(tasks)


@pytest.mark.parametrize(("task", "seed"), [(-1, 0), (MOST_TASKS, 0), (1_000_000, 0), (0, -1)])
def test_permutation_of_no_task(task: int, seed: int) -> None:
    with pytest.raises(DataError, match=f"^task {task} of seed {seed} .* 0 to 9999, seeds from 0$"):
        task_permutation(task, seed=seed)


def test_permutation_leaves_global_generators_alone() -> None:
    expected = task_permutation(3)
    random.seed(99)
    np.random.seed(99)
    states = random.getstate(), np.random.get_state()[1].tolist()
    np.testing.assert_array_equal(task_permutation(3), expected)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states


def test_permuted_tasks(small: Dataset) -> None:
    tasks = permuted_tasks(small, 4)
    assert [task.number for task in tasks] == [0, 1, 2, 3]
    for task in tasks:
        assert task.dataset is small
        assert task.train is small.train
        assert task.validation is small.validation
        assert task.test is small.test
        np.testing.assert_array_equal(task.permutation, task_permutation(task.number, pixels=16))
    for task in permuted_tasks(small, 3, seed=7):
        expected = task_permutation(task.number, pixels=16, seed=7)
        np.testing.assert_array_equal(task.permutation, expected)


@pytest.mark.parametrize("count", [-1, 0, MOST_TASKS + 1, 10**18])
def test_number_of_tasks_out_of_range(small: Dataset, count: int) -> None:
    with pytest.raises(DataError, match=f"^cannot make {count} tasks: .* 1 to 10000$"):
        permuted_tasks(small, count)


def test_most_tasks(small: Dataset) -> None:
    assert len(permuted_tasks(small, MOST_TASKS)) == MOST_TASKS


# Dataset


def test_first(small: Dataset) -> None:
    few = small.first(3)
    np.testing.assert_array_equal(few.train.images, small.train.images[:3])
    np.testing.assert_array_equal(few.train.labels, small.train.labels[:3])
    assert few.validation is small.validation and few.test is small.test
    assert_equal(small.first(10), small)


@pytest.mark.parametrize("examples", [-1, 0, 11])
def test_first_out_of_range(small: Dataset, examples: int) -> None:
    with pytest.raises(DataError, match=f"first {examples} images.*1 to 10"):
        small.first(examples)


def test_convert(small: Dataset) -> None:
    calls = []

    def function(array: np.ndarray) -> list[int]:
        calls.append(array)
        return array.tolist()

    converted = small.convert(function)
    assert len(calls) == 6
    assert converted.train.images == small.train.images.tolist()
    assert converted.test.labels == small.test.labels.tolist()
    assert converted.checksum == small.checksum
    assert len(converted.first(4).train.labels) == 4


# Data that train into nonsense


def labelled(training: object, validation: object, test: object, largest: int = 255) -> Dataset:
    """Return a data set with these labels, and images that are `largest` in one pixel of the last.

    As in `load_mnist`, the training file has the highest label.
    """
    splits = []
    for values in (training, validation, test):
        labels = np.array(values, np.uint8)
        images = np.zeros((len(labels), 4), np.uint8)
        images[-1, 2] = largest
        splits.append(Split(images, labels))
    classes = 1 + max(splits[0].labels.max(), splits[1].labels.max())
    return Dataset(*splits, classes=int(classes), pixels=4, checksum="labelled")


TEN = range(10)
GAP = [*range(9), 200]
EVEN = range(0, 256, 2)
NUMBER, SHUFFLE, MATCH = "number the labels from 0", "shuffle the training file", "same classes"
ABSENT = {
    "labels from 1": (
        labelled(range(1, 11), range(1, 11), range(1, 11)),
        "class 0 in the training, validation and test set",
        [NUMBER],
    ),
    "gap": (
        labelled(GAP, GAP, GAP),
        "classes 9 to 199 in the training, validation and test set",
        [NUMBER],
    ),
    "gaps": (
        labelled(EVEN, EVEN, EVEN),
        "classes 1, 3, 5 and 124 more in the training, validation and test set",
        [NUMBER],
    ),
    "few in validation": (labelled(TEN, [0, 1, 4, 8], TEN), "2 to 3, 5 to 7 and 9 in", [SHUFFLE]),
    "sorted": (
        labelled(range(3, 10), range(4), TEN),
        "classes 0 to 2 in the training set, of classes 4 to 9 in the validation set",
        [SHUFFLE],
    ),
    "other test classes": (labelled(TEN, TEN, range(9)), "class 9 in the test set", [MATCH]),
    "other training classes": (
        labelled([0, 2], [0, 2], range(3)),
        "class 1 in the training and validation set",
        [MATCH],
    ),
    "from 1 and sorted": (
        labelled([2, 3], [1, 2], [1, 2, 3]),
        "class 0 in the training, validation and test set, of class 1 in the training set, "
        "of class 3 in the validation set",
        [NUMBER, SHUFFLE],
    ),
}


@pytest.mark.parametrize("case", ABSENT)
def test_warning_of_absent_classes(case: str) -> None:
    dataset, where, advice = ABSENT[case]
    (text,) = data.warnings(dataset)
    assert where in text
    assert [word for word in (NUMBER, SHUFFLE, MATCH) if word in text] == advice
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("largest", [0, 1, 2])
def test_warning_of_scaled_images(largest: int) -> None:
    texts = data.warnings(labelled(TEN, TEN, TEN, largest))
    assert len(texts) == (largest < 2)
    for text in texts:
        assert "the training, validation and test set is above 1" in text and "255" in text


def test_warning_of_one_scaled_file_beside_absent_classes() -> None:
    dataset = labelled(TEN, TEN, range(9))
    scaled = Split(dataset.test.images // 255, dataset.test.labels)
    classes, pixels = data.warnings(replace(dataset, test=scaled))
    assert "class 9 in the test set" in classes
    assert "no pixel of the test set" in pixels


def test_no_warning_of_sound_data(mnist: Dataset) -> None:
    assert data.warnings(mnist) == []
    assert data.warnings(labelled(TEN, TEN, TEN)) == []
    # The first three images have three of ten classes: the reason to look at the whole data.
    assert len(data.warnings(mnist.first(3))) == 1


# Files that are fine


def test_gzip_and_plain_are_equal(tmp_path: Path) -> None:
    plain = load_mnist(write_small(tmp_path / "plain"))
    assert_equal(load_mnist(write_small(tmp_path / "gzip", compress=True)), plain)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_names_with_a_dot(tmp_path: Path, small: Dataset, suffix: str) -> None:
    folder = write_small(tmp_path, compress=bool(suffix))
    for name in data.FILES:
        (folder / f"{name}{suffix}").rename(folder / f"{name.replace('-idx', '.idx')}{suffix}")
    assert_equal(load_mnist(str(folder)), small)


def test_gz_name_with_plain_contents(tmp_path: Path, small: Dataset) -> None:
    folder = write_small(tmp_path)
    for name in data.FILES:
        (folder / name).rename(folder / f"{name}.gz")
    assert_equal(load_mnist(folder), small)


def test_several_files_of_one_name_with_the_same_contents(tmp_path: Path, small: Dataset) -> None:
    folder = write_small(tmp_path)
    write_small(tmp_path, compress=True)
    for name in data.FILES:  # as in some archives, beside the file itself
        (folder / name.replace("-idx", ".idx")).mkdir()
    assert_equal(load_mnist(folder), small)


@pytest.mark.parametrize(("size", "classes"), [((28, 28), 10), ((3, 7), 2), ((1, 5), 256)])
def test_other_sizes_and_class_counts(tmp_path: Path, size: tuple[int, int], classes: int) -> None:
    other = load_mnist(
        write_idx_dataset(tmp_path, train=5300, test=300, size=size, classes=classes)
    )
    assert other.pixels == size[0] * size[1]
    assert other.classes == classes
    assert other.train.images.shape == (300, other.pixels)
    assert other.validation.images.shape == (5000, other.pixels)
    assert permuted_tasks(other, 1)[0].permutation.shape == (other.pixels,)


def test_checksum_tells_data_sets_apart(tmp_path: Path, small: Dataset) -> None:
    folder = write_idx_dataset(tmp_path, train=5010, test=20, size=(4, 4), seed=1)
    assert load_mnist(folder).checksum != small.checksum


# Files that are damaged, missing, or don't fit


Change = Callable[[bytes], bytes]


def header(*numbers: int) -> Change:
    """Return a function that overwrites the beginning of a file with 32-bit numbers."""
    packed = struct.pack(f">{len(numbers)}I", *numbers)
    return lambda contents: packed + contents[len(packed) :]


def array(values: object) -> Change:
    """Return a function that puts the IDX file of an array in place of a file."""
    return lambda _: idx_bytes(np.array(values, dtype=np.uint8))


def zeros(*shape: int) -> Change:
    """Return a function that puts the IDX file of an all-zero array in place of a file."""
    return lambda _: idx_bytes(np.zeros(shape, np.uint8))


def wrong_crc(contents: bytes) -> bytes:
    """Return the contents as a gzip file whose CRC is wrong."""
    zipped = bytearray(gzip.compress(contents))
    zipped[-8] ^= 1
    return bytes(zipped)


def wrong_deflate(contents: bytes) -> bytes:
    """Return the contents as a gzip file with an invalid block type."""
    zipped = bytearray(gzip.compress(contents))
    zipped[10] |= 0b110
    return bytes(zipped)


DAMAGE = {
    "empty file": (TEST_IMAGES, lambda c: b"", "cut short"),
    "images header cut": (TRAIN_IMAGES, lambda c: c[:15], "cut short"),
    "labels header cut": (TEST_LABELS, lambda c: c[:7], "cut short"),
    "gzip of nothing": (TRAIN_LABELS, lambda c: gzip.compress(b""), "cut short"),
    "gzip CRC": (TEST_IMAGES, wrong_crc, "gzip"),
    "gzip deflate": (TRAIN_LABELS, wrong_deflate, "gzip"),
    "gzip trailing bytes": (TEST_LABELS, lambda c: gzip.compress(c) + b"x", "gzip"),
    "not IDX": (TRAIN_IMAGES, lambda c: b"<!DOCTYPE html>" * 10, "not an IDX file of images"),
    "images are labels": (TRAIN_IMAGES, array([1] * 5010), "0x00000801 instead of 0x00000803"),
    "labels are images": (TEST_LABELS, zeros(20, 4, 4), "not an IDX file of labels"),
    "signed bytes": (TEST_IMAGES, header(0x0903), "0x00000903"),
    "images too short": (TRAIN_IMAGES, lambda c: c[:-1], "too short: 80175 bytes"),
    "images too long": (TEST_IMAGES, lambda c: c + b"\0", "too long: 337 bytes"),
    "labels too short": (TRAIN_LABELS, lambda c: c[:-1], "too short"),
    "labels too long": (TEST_LABELS, lambda c: c + b"\0", "too long"),
    "huge header": (TRAIN_IMAGES, header(0x0803, 2**32 - 1, 2**32 - 1, 2**32 - 1), "too short"),
    "no images": (TRAIN_IMAGES, zeros(0, 4, 4), "is empty"),
    "no pixels": (TEST_IMAGES, zeros(20, 4, 0), "is empty"),
    "no labels": (TEST_LABELS, zeros(0), "is empty"),
    "fewer labels": (TRAIN_LABELS, zeros(5009), "5009 labels for the 5010 images"),
    "more labels": (TEST_LABELS, zeros(21), "21 labels for the 20 images"),
    "size differs": (TEST_IMAGES, zeros(20, 2, 8), "2 x 8 pixels"),
    "label too high": (TEST_LABELS, array([10] * 20), "label 10.*none above 9"),
    "one class": (TRAIN_LABELS, zeros(5010), "one class"),
    "one class, not 0": (TRAIN_LABELS, array([5] * 5010), "one class only .every label is 5"),
}


def assert_rejected(folder: Path, name: str, what: str) -> None:
    """Assert that loading the folder gives one line with the name of the file and what is wrong."""
    with pytest.raises(DataError, match=what) as caught:
        load_mnist(folder)
    message = str(caught.value)
    assert str(folder / name) in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_file(tmp_path: Path, case: str) -> None:
    name, change, what = DAMAGE[case]
    folder = write_small(tmp_path)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    assert_rejected(folder, name, what)


@pytest.mark.parametrize("name", data.FILES)
@pytest.mark.parametrize(
    ("replace_by", "what"),
    [
        (lambda path: None, "missing"),
        (lambda path: path.symlink_to("nowhere"), "cannot be read: No such file"),
        (os.mkdir, "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    ],
    ids=["nothing", "broken link", "folder", "pipe", "device"],
)
def test_file_that_cannot_be_read(
    tmp_path: Path, name: str, replace_by: Callable[[Path], None], what: str
) -> None:
    folder = write_small(tmp_path)
    (folder / name).unlink()
    replace_by(folder / name)
    assert_rejected(folder, name, what)


@pytest.mark.parametrize("name", data.FILES)
@pytest.mark.parametrize("other", ["{}", "{}.gz", "{dotted}", "{dotted}.gz"])
def test_other_data_under_a_second_name(tmp_path: Path, name: str, other: str) -> None:
    compress = not other.endswith(".gz")
    folder = write_small(tmp_path, compress=compress)
    first = f"{name}.gz" if compress else name
    second = other.format(name, dotted=name.replace("-idx", ".idx"))
    contents = idx_bytes(np.ones((20, 4, 4) if "images" in name else 20, np.uint8))
    (folder / second).write_bytes(gzip.compress(contents) if second.endswith("z") else contents)
    for one in (first, second):
        assert_rejected(folder, one, "stand for the same file and differ")


def test_no_room_for_validation(tmp_path: Path) -> None:
    folder = write_idx_dataset(tmp_path, train=5000, test=20, size=(4, 4))
    assert_rejected(folder, TRAIN_IMAGES, "has 5000 images")
    folder = write_idx_dataset(tmp_path, train=5001, test=20, size=(4, 4))
    assert len(load_mnist(folder).train.labels) == 1


def test_no_folder(tmp_path: Path) -> None:
    assert_rejected(tmp_path / "nowhere", "", "No such file or directory; --data-dir")
    (tmp_path / "file").write_text("not a folder")
    assert_rejected(tmp_path / "file", "", "Not a directory")


@settings(max_examples=50)
@given(kept=st.floats(0, 1, exclude_max=True))
def test_gzip_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, kept: float) -> None:
    folder = write_small(tmp_path_factory.getbasetemp() / "cut", compress=True)
    path = folder / f"{TRAIN_LABELS}.gz"
    contents = path.read_bytes()
    path.write_bytes(contents[: int(kept * len(contents))])
    assert_rejected(folder, path.name, "damaged|cut short")


# The files that come with the project


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of data/ that takes the place of data/ itself."""
    folder = tmp_path.resolve() / "data"
    shutil.copytree(DATA_DIR, folder)
    monkeypatch.setattr(data, "DATA_DIR", folder)
    return folder


@pytest.mark.parametrize("name", data.FILES)
def test_changed_shipped_file(shipped: Path, name: str) -> None:
    path = shipped / f"{name}.gz"
    contents = bytearray(path.read_bytes())
    contents[4] ^= 1  # the time in the gzip header: the data stay good
    path.write_bytes(contents)
    assert_rejected(shipped, path.name, "not the file that came with the project.*--data-dir")


def test_other_data_in_the_projects_folder(shipped: Path) -> None:
    for name in data.FILES:
        (shipped / f"{name}.gz").unlink()
    write_small(shipped)
    assert_rejected(shipped, TRAIN_IMAGES, "not the file that came with the project.*--data-dir")


def test_unpacked_copies_in_the_projects_folder_have_to_be_the_same(
    shipped: Path, mnist: Dataset
) -> None:
    for name in data.FILES:
        (shipped / name).write_bytes(gzip.decompress((shipped / f"{name}.gz").read_bytes()))
    assert_equal(load_mnist(shipped), mnist)
    (shipped / TEST_LABELS).write_bytes(idx_bytes(np.ones(10_000, np.uint8)))
    for name in (TEST_LABELS, f"{TEST_LABELS}.gz"):
        assert_rejected(shipped, name, "stand for the same file and differ")


def test_changed_copy_elsewhere_is_read(shipped: Path, tmp_path: Path, mnist: Dataset) -> None:
    folder = tmp_path / "elsewhere"
    shutil.copytree(shipped, folder)
    path = folder / f"{TEST_LABELS}.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())))
    assert_equal(load_mnist(folder), mnist)
