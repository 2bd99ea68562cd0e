"""Every script, as released, in lockstep with the authors' release on the same random draws.

tests/lockstep/ has what the release computed from this project's own initial weights, batches,
dropout masks and drawn labels. The table in docs/release.md is what this prints:

    python -m tests.test_lockstep
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import data, importance, network
from harness.progress import Progress
from tests import conftest

import numpy as np
import pytest
import tensorflow as tf

FILES = sorted((conftest.ROOT / "tests" / "lockstep").glob("*.npz"))

RELATIVE = 1e-3  # rounding makes a hundredth of it; without a defect it is eight times it and more
IMAGES = 2  # of 10,000, that may be right in one of the two alone

# A difference is relative to the largest magnitude of the whole array, or along these axes.
AXES = {"phases": 1, "statistics": ()}
COUNTS = ("right", "path_right")
STAGES, MEASURES = ("before", "after"), ("EWC", "MAS", "ANPyC")
STATISTICS = ("kurtosis", "skewness", "zeros")


class Watched(Progress):
    """Notes what a run computes.

    Attributes:
        found: what it computed so far, under the names that tests/lockstep/README.md explains.
        steps: of the whole run.
    """

    def __init__(self, rows: int, short_rows: int) -> None:
        """Takes the strides of W1's rows: in W1 itself, and in short vectors."""
        super().__init__()
        self.found: dict[str, Any] = {"losses": [], "phases": [], "masks": []}
        self.steps = 0
        self._rows, self._short_rows = rows, short_rows

    def start(self, total_steps: int, **state: Sequence[tf.Variable]) -> None:
        self.steps = total_steps
        super().start(total_steps, **state)

    def epoch_done(self, loss: float) -> None:
        self.found["losses"].append(loss)
        super().epoch_done(loss)

    def tasks(self, tasks: Sequence[data.Task]) -> Iterator[data.Task]:
        for task in super().tasks(tasks):
            if task.number:
                anchor = dict(zip(network.NAMES, self.state.get("anchor", ()), strict=False))
                self.found[f"t{task.number}.anchor"] = self._short_vector(anchor)
            yield task
            self.note(f"t{task.number}", task.number)

    def phases(self, values: Sequence[Any], names: Sequence[str]) -> Iterator[Any]:
        for number, value in enumerate(super().phases(values, names)):
            yield value
            head = len(self.learned[1:])
            self.found["phases"].append(self._short_vector(self._parameters(head)))
            if number and "masks" in self.state:
                entries = np.concatenate([mask.numpy().ravel() for mask in self.state["masks"]])
                self.found["masks"].append(np.packbits(entries == 1))
            if not number and not self.learned:  # the study of importance, before it prunes
                self.note("t0")

    def note(self, when: str, head: int = 0) -> None:
        """Notes weights and importance as they are now."""
        omega = dict(zip(network.NAMES, self.state.get("omega", ()), strict=False))
        for prefix, values in ((when, self._parameters(head)), (f"{when}.omega", omega)):
            for name, value in values.items():
                self.found[f"{prefix}.{name}"] = self.part(name, value.numpy())

    def part(self, name: str, array: np.ndarray) -> np.ndarray:
        """Returns what the files have of a tensor: some rows of W1, all of the others."""
        return array[:: self._rows] if name == "W1" else array

    def _parameters(self, head: int) -> dict[str, tf.Variable]:
        *heads, w1, b1, w2, b2 = self.state["network"]
        first = 2 * head if len(heads) > 2 else 0
        return dict(zip(network.NAMES, [w1, b1, w2, b2, *heads[first : first + 2]], strict=True))

    def _short_vector(self, values: dict[str, tf.Variable]) -> np.ndarray:
        arrays = {name: values[name].numpy() for name in ("W1", "b1", "b2", "c") if name in values}
        parts = [a[:: self._short_rows] if name == "W1" else a for name, a in arrays.items()]
        return np.concatenate([np.ravel(part) for part in parts] or [[]])


@functools.cache
def mnist() -> data.Dataset:
    dataset = data.load_mnist()
    # What is not compared comes from the same images: one program computes the accuracy on both.
    return dataclasses.replace(dataset, validation=dataset.test).convert(tf.constant)


def run(stored: dict[str, Any]) -> Watched:
    """Runs a script with the settings of a file."""
    script = importlib.import_module(stored["script"])
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in stored["settings"].items()
    }
    tasks = data.permuted_tasks(mnist().first(stored["examples"]), stored["tasks"])
    strength = {} if stored["strength"] is None else {"strength": stored["strength"]}
    progress = Watched(stored["rows"], stored["short_rows"])
    matrix = script.run(
        script.Settings(**settings), tasks, **strength, seed=stored["seed"], progress=progress
    )
    found, images = progress.found, len(tasks[0].test.labels)
    found["right"] = np.nan_to_num(np.rint(matrix * images), nan=-1)
    if len(matrix) < len(tasks):  # all at once
        progress.note("t0")
    if "path" in progress.details:
        progress.note("end")
        note_study(progress, stored["entries"], images)
    return progress


def note_study(progress: Watched, entries: int, images: int) -> None:
    """Notes what the study of importance has beside weights and masks.

    Args:
        progress: of its run.
        entries: stride of the importances.
        images: that it is tested on.
    """
    found, details = progress.found, progress.details
    found["path_right"] = [round(step["accuracy"] * images) for step in details["path"]]
    for name in network.NAMES[:4]:
        signed = progress.arrays[f"signed_{name}"]
        found[f"before.signed.{name}"] = progress.part(name, signed)
    for stage in STAGES:
        for name in MEASURES:
            found[f"{stage}.{name}"] = progress.arrays[f"{stage}_{name}"][::entries]
    described = [[details["importance"][stage][name] for name in MEASURES] for stage in STAGES]
    found["statistics"] = [[[one[s] for s in STATISTICS] for one in each] for each in described]


@dataclasses.dataclass
class Distance:
    """How far a run is from the release.

    Attributes:
        steps: of training.
        relative: of each array of numbers, the largest difference, relative to its magnitude.
        images: of each array of counts, the largest difference.
        entries: of the masks of all rounds.
        masked: how many of them are another.
    """

    steps: int
    relative: dict[str, float] = dataclasses.field(default_factory=dict)
    images: dict[str, int] = dataclasses.field(default_factory=dict)
    entries: int = 0
    masked: int = 0


def distance(path: Path) -> Distance:
    """Runs the script of a file with its settings, and compares all that is in the file."""
    expected = dict(np.load(path))
    progress = run(json.loads(str(expected.pop("settings"))))
    result = Distance(progress.steps)
    for name, theirs in expected.items():
        ours = np.asarray(progress.found[name])
        assert ours.shape == theirs.shape, name
        if name == "masks":
            bits = np.unpackbits(ours ^ theirs)
            result.entries, result.masked = bits.size, int(bits.sum())
        elif name in COUNTS:
            result.images[name] = int(np.abs(ours - theirs).max())
        else:
            axis = AXES.get(name)
            apart = np.abs(ours - theirs).max(axis=axis)
            size = np.where(apart == 0, 1, np.abs(theirs).max(axis=axis))
            result.relative[name] = float(np.max(apart / size))
    return result


@pytest.fixture
def drawn_as_usual(usual_group: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let D2 draw dropout for as many images together as a user's run does."""
    importance._compiled.cache_clear()
    monkeypatch.setattr(importance, "_GROUP", usual_group)
    yield
    importance._compiled.cache_clear()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_script_as_released_computes_what_the_release_does(
    path: Path, request: pytest.FixtureRequest
) -> None:
    if path.stem == "anpyc_wo_np":
        request.getfixturevalue("drawn_as_usual")
    found = distance(path)
    # What is no number is not below the limit, either.
    far = {name: value for name, value in found.relative.items() if not value <= RELATIVE}
    assert not far
    assert max(found.images.values(), default=0) <= IMAGES
    assert found.masked == 0


def main() -> None:
    """Prints a table: how far every script is from the release on this machine."""
    print("| script | steps | largest difference | right images | masks |")
    print("|---|--:|--:|--:|--:|")
    for path in FILES:
        found = distance(path)
        images = max(found.images.values(), default="")
        masks = f"{found.masked} of {found.entries:,}" if found.entries else ""
        largest = f"{max(found.relative.values()):.1e}".replace("e-0", "e-")
        print(f"| {path.stem} | {found.steps} | {largest} | {images} | {masks} |", flush=True)


if __name__ == "__main__":
    main()
