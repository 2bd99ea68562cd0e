"""MNIST from four IDX files: checks, validation split, permuted tasks.

The images are read once and shared by everything: the splits are views of the bytes of the files,
and a task is a permutation beside the data set, not a permuted copy of it.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

DATA_DIR = Path(__file__).resolve().parents[1] / "data"
VALIDATION_EXAMPLES = 5000
# Far below the distance between the generators of two seeds, so that they share no permutation.
MOST_TASKS = 10_000

# In the order in which they enter the checksum of a data set.
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# Of the data that came with the project.
SHIPPED_CHECKSUM = "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"

ByteArray = npt.NDArray[np.uint8]


class DataError(ValueError):
    """Data that cannot be used; the message is one line: the file, what is wrong, what to do."""


class Split(NamedTuple):
    """One part of a data set.

    Attributes:
        images: uint8 [N, pixels], grey values 0-255, flat, row by row, never permuted.
        labels: uint8 [N], class numbers from 0.
    """

    images: ByteArray
    labels: ByteArray


# eq=False: comparing arrays with == has no truth value; identity does.
@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in three splits which share memory.

    Attributes:
        train: The images of the training file after the first 5,000.
        validation: The first 5,000 images of the training file.
        test: The images of the test file.
        classes: Number of classes (highest label + 1).
        pixels: Pixels per image (rows x columns).
        checksum: Hex SHA-256 of the decompressed contents of the four files, the same for gzip
            and plain files. It names the files: `first` and `convert` don't change it.
    """

    train: Split
    validation: Split
    test: Split
    classes: int
    pixels: int
    checksum: str

    def first(self, examples: int) -> Dataset:
        """Returns the data set with only the first training images.

        Args:
            examples: Number of training images to keep; validation and test stay whole.

        Returns:
            A data set that shares its arrays with this one.

        Raises:
            DataError: If `examples` is less than 1 or more than there are.
        """
        available = len(self.train.labels)
        if not 1 <= examples <= available:
            raise DataError(
                f"cannot train on the first {examples} images: there are {available} without the "
                f"validation set; choose a number from 1 to {available}"
            )
        train = Split(self.train.images[:examples], self.train.labels[:examples])
        return replace(self, train=train)

    def convert(self, function: Callable[[ByteArray], Any]) -> Dataset:
        """Returns the data set with a function applied to every array.

        This is how the images get to the device (`dataset = dataset.convert(tf.constant)`): each
        image is in one split, so that one copy remains once the original data set is dropped.

        Args:
            function: Called with the images and with the labels of each split, once each.

        Returns:
            A data set whose arrays are what `function` returned.
        """
        return replace(
            self,
            train=Split(*map(function, self.train)),
            validation=Split(*map(function, self.validation)),
            test=Split(*map(function, self.test)),
        )


@dataclass(frozen=True, eq=False)
class Task:
    """A task of permuted MNIST: a data set, seen through a permutation of its pixels.

    New pixel j is old pixel `permutation[j]`. The splits are those of the data set and *not*
    permuted; nor need they be, because a permutation of the pixels is one of the rows of the first
    weight matrix:

        images[:, permutation] @ W1 == images @ W1[inverse],  inverse = np.argsort(permutation)

    Attributes:
        number: Number of the task, from 0.
        dataset: The unpermuted data set; all tasks of `permuted_tasks` share one.
        permutation: int32 [pixels].
    """

    number: int
    dataset: Dataset
    permutation: npt.NDArray[np.int32]

    @property
    def examples(self) -> int:
        """Number of training examples."""
        return len(self.train.labels)

    @property
    def train(self) -> Split:
        """The unpermuted training split."""
        return self.dataset.train

    @property
    def validation(self) -> Split:
        """The unpermuted validation split."""
        return self.dataset.validation

    @property
    def test(self) -> Split:
        """The unpermuted test split."""
        return self.dataset.test


@dataclass(frozen=True, eq=False)
class Mixture:
    """All tasks of a data set at once: example e is image e % N of task e // N.

    The permuted images are never made; a batch permutes its own.

    Attributes:
        dataset: The unpermuted data set that all tasks share.
        permutation: int32 [T, pixels], one row a task.
        label_step: What is added to an image's label per task number: the number of classes where
            every task has outputs of its own, 0 where all tasks share them.
        number: Random streams go by it; 0, as of a first task, where all tasks are learned at once.
    """

    dataset: Dataset
    permutation: npt.NDArray[np.int32]
    label_step: int
    number: int = 0

    @property
    def examples(self) -> int:
        """Number of training examples, T times the number of training images."""
        return len(self.permutation) * len(self.train.labels)

    @property
    def train(self) -> Split:
        """The unpermuted training split, shared by all tasks."""
        return self.dataset.train


def mixed(tasks: Sequence[Task], own_outputs: bool, number: int = 0) -> Mixture:
    """Returns tasks of one data set as a mixture.

    Args:
        tasks: all tasks of the run, in order.
        own_outputs: Whether every task has outputs of its own.
        number: Of the mixture; random streams go by it.

    Raises:
        DataError: The tasks are of several data sets.
    """
    dataset = tasks[0].dataset
    if any(task.dataset is not dataset for task in tasks):
        raise DataError("only tasks of one data set can be mixed; theirs are several")
    permutations = np.stack([task.permutation for task in tasks])
    return Mixture(dataset, permutations, dataset.classes if own_outputs else 0, number)


def task_permutation(task: int, pixels: int = 784, seed: int = 0) -> npt.NDArray[np.int32]:
    """Returns the pixel permutation of a task.

    It is `order = list(range(pixels)); random.seed(task + 1_000_000 * seed);
    random.shuffle(order)`, from a private generator: it depends on the arguments alone, and
    Python's global generator is not touched. No two pairs of task and seed use the same generator.

    Args:
        task: Number of the task, from 0 to `MOST_TASKS` - 1. Task 0 is permuted too.
        pixels: Pixels per image.
        seed: Seed of the permutations, from 0. Seed 0 gives the tasks of the release.

    Returns:
        int32 [pixels]; new pixel j is old pixel `permutation[j]`.

    Raises:
        DataError: If `task` or `seed` is out of its range.
    """
    if not 0 <= task < MOST_TASKS or seed < 0:
        raise DataError(
            f"task {task} of seed {seed} has no permutation: tasks are numbered from 0 to "
            f"{MOST_TASKS - 1}, seeds from 0"
        )
    order = list(range(pixels))
    random.Random(task + 1_000_000 * seed).shuffle(order)
    return np.array(order, dtype=np.int32)


def permuted_tasks(dataset: Dataset, count: int, seed: int = 0) -> list[Task]:
    """Returns the tasks 0 to `count` - 1 of a data set, which all share its images.

    Args:
        dataset: The unpermuted data set.
        count: Number of tasks, from 1 to `MOST_TASKS`.
        seed: Seed of the permutations; see `task_permutation`.

    Returns:
        The tasks in order.

    Raises:
        DataError: If `count` or `seed` is out of its range.
    """
    if not 1 <= count <= MOST_TASKS:
        raise DataError(f"cannot make {count} tasks: choose a number from 1 to {MOST_TASKS}")
    return [
        Task(number, dataset, task_permutation(number, dataset.pixels, seed))
        for number in range(count)
    ]


def tasks_of(settings: Any, dataset: Dataset, seed: int) -> list[Task]:
    """Returns the tasks of a run.

    Args:
        settings: tasks, and permutations: "fixed" or "per-seed".
        dataset: The unpermuted data set.
        seed: Of the run.
    """
    drawn_by = seed if settings.permutations == "per-seed" else 0
    return permuted_tasks(dataset, settings.tasks, drawn_by)


def check_tasks(tasks: Sequence[Task]) -> None:
    """Refuses tasks that one network cannot learn one after another.

    They may be of any data sets, large and small, of the same number of pixels and of classes.

    Args:
        tasks: in the order in which they are learned.

    Raises:
        DataError: If there are none, they are not numbered 0, 1, 2, ... in order, their images have
            not the same number of pixels or of classes, or a task permutes other pixels than its
            images have.
    """
    if not tasks:
        raise DataError("there is no task; give at least one")
    numbers = [task.number for task in tasks]
    if numbers != list(range(len(tasks))):
        raise DataError(
            f"the tasks are numbered {', '.join(map(str, numbers))}; number them from 0 in order, "
            "with dataclasses.replace(task, number=...)"
        )
    for what in ("pixels", "classes"):
        counts = [getattr(task.dataset, what) for task in tasks]
        if min(counts) < max(counts):
            raise DataError(
                f"one network cannot learn tasks of {min(counts)} and of {max(counts)} {what}; "
                f"give tasks of the same number of {what}"
            )
    for task in tasks:
        if not np.array_equal(np.sort(task.permutation), np.arange(task.dataset.pixels)):
            raise DataError(
                f"the permutation of task {task.number} is none of its {task.dataset.pixels} "
                "pixels; see task_permutation"
            )


def warnings(dataset: Dataset) -> list[str]:
    """Returns what makes a data set train into nonsense although its files are sound.

    To be asked of the whole data set: the few images that `first` keeps may lack a class rightly.

    Args:
        dataset: NumPy arrays, as `load_mnist` returns them.

    Returns:
        One line of text for each kind of fault, empty for sound data: classes without an image in
        a split, and images whose largest pixel is 1 or less.
    """
    splits = {"training": dataset.train, "validation": dataset.validation, "test": dataset.test}
    classes = {name: len(np.unique(split.labels)) for name, split in splits.items()}
    dark = [name for name, split in splits.items() if split.images.max() <= 1]
    texts = []
    if min(classes.values()) < dataset.classes:
        counts = ", ".join(f"{name} {count}" for name, count in classes.items())
        texts.append(
            f"accuracies will mislead: there are {dataset.classes} classes, and images of fewer "
            f"({counts}); number the labels from 0 without gaps, and shuffle the training file"
        )
    if dark:
        texts.append(
            f"no pixel is above 1, where white is 255 ({', '.join(dark)}); write grey values 0-255"
        )
    return texts


def load_mnist(data_dir: str | os.PathLike[str] = DATA_DIR) -> Dataset:
    """Reads a data set from four IDX files.

    The names are those of MNIST (`FILES`), with or without `.gz`, and `.idx` may stand for `-idx`;
    where several of these are there, they have to hold the same. The project's own data folder has
    to hold the data that came with it; other folders may hold any.

    Args:
        data_dir: Folder with the four files.

    Returns:
        The data set. Its arrays are read-only views of the contents of the files.

    Raises:
        DataError: If a file is missing, unreadable, damaged or not of the IDX format, two files of
            different contents have a claim to one name, the four don't fit together, the training
            file has no more than 5,000 images, or there are fewer than two classes.
        OSError: If the folder cannot be searched.
    """
    folder = Path(data_dir)
    files = [_read(folder, name) for name in FILES]
    train_images, train_labels, test_images, test_labels = (_parse(*file) for file in files)
    classes = int(train_labels.max()) + 1
    for is_wrong, what in (
        (len(train_images) != len(train_labels), "training images and labels differ in number"),
        (len(test_images) != len(test_labels), "test images and labels differ in number"),
        (train_images.shape[1:] != test_images.shape[1:], "the images differ in size"),
        (train_labels.min() == train_labels.max(), "all training labels are the same"),
        (
            test_labels.max() >= classes,
            f"a test label is {test_labels.max()}, and no training label is above {classes - 1}",
        ),
        (
            len(train_images) <= VALIDATION_EXAMPLES,
            f"the first {VALIDATION_EXAMPLES} training images are for validation, and there are "
            f"{len(train_images)}",
        ),
    ):
        if is_wrong:
            raise DataError(f"{folder}: {what}; use four files that belong together")
    digest = hashlib.sha256()
    for _, content in files:
        digest.update(content)
    checksum = digest.hexdigest()
    if folder.resolve() == DATA_DIR and checksum != SHIPPED_CHECKSUM:
        raise DataError(
            f"{folder} has not the data that came with the project (SHA-256 differs); restore "
            "them, and use --data-dir for other data"
        )

    pixels = math.prod(train_images.shape[1:])
    train_images = train_images.reshape(-1, pixels)
    cut = VALIDATION_EXAMPLES
    return Dataset(
        train=Split(train_images[cut:], train_labels[cut:]),
        validation=Split(train_images[:cut], train_labels[:cut]),
        test=Split(test_images.reshape(-1, pixels), test_labels),
        classes=classes,
        pixels=pixels,
        checksum=checksum,
    )


def _read(folder: Path, name: str) -> tuple[Path, bytes]:
    """Returns path and decompressed contents of one of `FILES`, under any of its names."""
    names = (name, name.replace("-idx", ".idx"))
    paths = [folder / f"{stem}{suffix}" for stem in names for suffix in (".gz", "")]
    # Not a folder: some archives unpack each file into one of its name. Nor a pipe or a device.
    contents = {path: _decompressed(path) for path in paths if path.is_file()}
    if not contents:
        raise DataError(
            f"there is no file {folder / name}[.gz]; put it there, or name another folder with "
            "--data-dir"
        )
    if len(set(contents.values())) > 1:
        raise DataError(
            f"{' and '.join(map(str, contents))} stand for the same file and differ; move one away"
        )
    return next(iter(contents.items()))


def _decompressed(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        # By content, not by name: browsers decompress downloads and keep the name.
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); replace it by a sound copy") from error


def _parse(path: Path, content: bytes) -> ByteArray:
    """Returns the array in an IDX file, [N, rows, columns] or [N], as a view of its bytes."""
    kind, dimensions = ("images", 3) if "images" in path.name else ("labels", 1)
    header = struct.Struct(f">{1 + dimensions}I")
    if len(content) >= header.size:
        magic, *shape = header.unpack_from(content)
        # Third byte: 8, unsigned bytes. Fourth byte: number of dimensions.
        is_whole = 0 < math.prod(shape) == len(content) - header.size
        if magic == 0x0800 + dimensions and is_whole:
            return np.frombuffer(content, dtype=np.uint8, offset=header.size).reshape(shape)
    raise DataError(f"{path} is not a whole IDX file of {kind}; replace it by a sound copy")
