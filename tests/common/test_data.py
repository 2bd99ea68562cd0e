"""Reading the data, its split, and the permuted tasks."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

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


def test_tasks_of_a_run_are_those_of_seed_0_or_of_its_own_seed(small: Dataset) -> None:
    for permutations, seed in (("fixed", 0), ("per-seed", 5)):
        wanted = SimpleNamespace(tasks=2, permutations=permutations)
        for task in data.tasks_of(wanted, small, seed=5):
            expected = task_permutation(task.number, pixels=16, seed=seed)
            np.testing.assert_array_equal(task.permutation, expected)


@pytest.mark.parametrize("count", [-1, 0, MOST_TASKS + 1, 10**18])
def test_number_of_tasks_out_of_range(small: Dataset, count: int) -> None:
    with pytest.raises(DataError, match=f"^cannot make {count} tasks: .* 1 to 10000$"):
        permuted_tasks(small, count)


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


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        (labelled(range(1, 11), range(1, 11), range(1, 11)), "training 10, validation 10, test 10"),
        (labelled([*TEN, 200], TEN, TEN), "201 classes.*training 11, validation 10, test 10"),
        (labelled(range(3, 10), range(4), TEN), "10 classes.*training 7, validation 4, test 10"),
        (labelled(TEN, TEN, range(9)), "training 10, validation 10, test 9"),
        (labelled(TEN, TEN, TEN, largest=1), "no pixel is above 1.*training, validation, test"),
    ],
    ids=["labels from 1", "gap", "sorted", "other test classes", "scaled to 0-1"],
)
def test_data_that_train_into_nonsense_get_a_warning(dataset: Dataset, told: str) -> None:
    (text,) = data.warnings(dataset)
    assert re.search(told, text) and "\n" not in text


def test_each_fault_has_its_warning_and_sound_data_none(mnist: Dataset) -> None:
    assert data.warnings(mnist) == []
    assert data.warnings(labelled(TEN, TEN, TEN, largest=2)) == []
    assert len(data.warnings(labelled(TEN, TEN, range(9), largest=0))) == 2


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


def array(*shape: int, value: int = 0) -> Change:
    """Return a function that puts the IDX file of a constant array in place of a file."""
    return lambda _: idx_bytes(np.full(shape, value, np.uint8))


def header(*numbers: int) -> Change:
    """Return a function that overwrites the beginning of a file with 32-bit numbers."""
    packed = struct.pack(f">{len(numbers)}I", *numbers)
    return lambda contents: packed + contents[len(packed) :]


def zipped_with(place: int, bits: int) -> Change:
    """Return a function that zips a file and changes bits of one byte."""

    def change(contents: bytes) -> bytes:
        zipped = bytearray(gzip.compress(contents))
        zipped[place] ^= bits
        return bytes(zipped)

    return change


IMAGES, LABELS = "not a whole IDX file of images", "not a whole IDX file of labels"
DAMAGE = {
    "empty file": (TEST_IMAGES, lambda c: b"", IMAGES),
    "labels header cut": (TEST_LABELS, lambda c: c[:7], LABELS),
    "gzip CRC": (TEST_IMAGES, zipped_with(-8, 1), "cannot be read"),
    "gzip deflate": (TRAIN_LABELS, zipped_with(10, 6), "cannot be read"),
    "gzip trailing bytes": (TEST_LABELS, lambda c: gzip.compress(c) + b"x", "cannot be read"),
    "not IDX": (TRAIN_IMAGES, lambda c: b"<!DOCTYPE html>" * 10, IMAGES),
    "images are labels": (TRAIN_IMAGES, array(5010), IMAGES),
    "labels are images": (TEST_LABELS, array(20, 4, 4), LABELS),
    "signed bytes": (TEST_IMAGES, header(0x0903), IMAGES),
    "too short": (TRAIN_IMAGES, lambda c: c[:-1], IMAGES),
    "too long": (TEST_LABELS, lambda c: c + b"\0", LABELS),
    "huge header": (TRAIN_IMAGES, header(0x0803, 2**32 - 1, 2**32 - 1, 2**32 - 1), IMAGES),
    "no images": (TRAIN_IMAGES, array(0, 4, 4), IMAGES),
    "no pixels": (TEST_IMAGES, array(20, 4, 0), IMAGES),
    "fewer labels": (TRAIN_LABELS, array(5009), "training images and labels differ in number"),
    "more labels": (TEST_LABELS, array(21), "test images and labels differ in number"),
    "size differs": (TEST_IMAGES, array(20, 2, 8), "the images differ in size"),
    "label too high": (TEST_LABELS, array(20, value=10), "label is 10, .* above 9"),
    "one class": (TRAIN_LABELS, array(5010, value=5), "all training labels are the same"),
}


def assert_rejected(folder: Path, what: str) -> None:
    """Assert that loading the folder gives one line that names it and says what is wrong."""
    with pytest.raises(DataError, match=what) as caught:
        load_mnist(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_file(tmp_path: Path, case: str) -> None:
    name, change, what = DAMAGE[case]
    folder = write_small(tmp_path)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    of_one_file = what in (IMAGES, LABELS, "cannot be read")
    assert_rejected(folder, f"{name} .*{what}" if of_one_file else what)


@pytest.mark.parametrize("name", data.FILES)
@pytest.mark.parametrize(
    "replace_by",
    [
        lambda path: None,
        lambda path: path.symlink_to("nowhere"),
        os.mkdir,
        os.mkfifo,  # reading it would wait for ever
        lambda path: path.symlink_to("/dev/zero"),  # or never end
    ],
    ids=["nothing", "broken link", "folder", "pipe", "device"],
)
def test_missing_file(tmp_path: Path, name: str, replace_by: Callable[[Path], None]) -> None:
    folder = write_small(tmp_path)
    (folder / name).unlink()
    replace_by(folder / name)
    assert_rejected(folder, f"no file .*/{name}.*--data-dir")
    assert_rejected(tmp_path / "nowhere", "no file .*--data-dir")


def test_file_that_must_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:  # for root, permissions refuse nothing
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert_rejected(write_small(tmp_path), f"{TRAIN_IMAGES} cannot be read .*Permission denied")


@pytest.mark.parametrize("name", data.FILES)
@pytest.mark.parametrize("other", ["{}.gz", "{dotted}", "{dotted}.gz"])
def test_other_data_under_a_second_name(tmp_path: Path, name: str, other: str) -> None:
    folder = write_small(tmp_path)
    second = other.format(name, dotted=name.replace("-idx", ".idx"))
    contents = idx_bytes(np.ones((20, 4, 4) if "images" in name else 20, np.uint8))
    (folder / second).write_bytes(gzip.compress(contents) if second.endswith("z") else contents)
    with pytest.raises(DataError, match="stand for the same file and differ") as caught:
        load_mnist(folder)
    assert f"{folder / name} " in str(caught.value) and f"{folder / second} " in str(caught.value)


def test_no_room_for_validation(tmp_path: Path) -> None:
    folder = write_idx_dataset(tmp_path, train=5000, test=20, size=(4, 4))
    assert_rejected(folder, "for validation, and there are 5000")
    folder = write_idx_dataset(tmp_path, train=5001, test=20, size=(4, 4))
    assert len(load_mnist(folder).train.labels) == 1


@settings(max_examples=50)
@given(kept=st.floats(0, 1, exclude_max=True))
def test_gzip_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, kept: float) -> None:
    folder = write_small(tmp_path_factory.getbasetemp() / "cut", compress=True)
    path = folder / f"{TRAIN_LABELS}.gz"
    contents = path.read_bytes()
    path.write_bytes(contents[: int(kept * len(contents))])
    assert_rejected(folder, f"{path.name} (cannot be read|is not a whole)")


def test_projects_folder_holds_what_came_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_small(tmp_path.resolve())
    load_mnist(folder)
    monkeypatch.setattr(data, "DATA_DIR", folder)
    assert_rejected(folder, "not the data that came with the project.*--data-dir")
