"""Files of a run: its result, its checkpoint, and the lock that keeps a second process out.

A run is one (script, settings, λ, seed). It owns `RESULTS/<script>/<id>.json`, written when it
ends, and the folder `<id>.ckpt/` while it lasts. The result has the fields

    schema               number of this description
    status               "finished" or "diverged"
    script               name without .py
    settings             every setting that changes numbers, resolved; data: SHA-256 of the images
    as_released          defects of the release in force, D-numbers
    lambda, seed         of this run; lambda null where the method has none
    accuracy             test accuracy, rows: after task i, columns: tasks j ≤ i; fractions. Joint
                         training: one row of T. null if diverged
    validation_accuracy  likewise on the validation set
    metrics              ACC, F, BWT, F_max, LA (`common.metrics`), fractions or null
    sparsity             one entry a pruning round: task, percent, overall and each tensor; absent
                         where nothing is pruned
    path, importance     of cal_importance_distribution alone: accuracy and sparsity along the
                         pruning path; statistics and histograms before and after it
    diverged             where and what to lower; absent if finished
    seconds              computing time, all parts of an interrupted run together
    versions             python, tensorflow, numpy, platform, device
    date                 when it ended, UTC
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

SCHEMA = 1
_ALWAYS = ("status", "accuracy", "validation_accuracy", "metrics", "seconds")


class ResultError(ValueError):
    """A stored file that cannot be used; the message is one line for the user."""


def number(value: float) -> str:
    """Returns the shortest text of a number: 3.0 -> 3."""
    return repr(float(value)).removesuffix(".0")


def run_name(strength: float | None, seed: int) -> str:
    """Returns the name of a run with its script's default settings; λ None where there is none."""
    return ("" if strength is None else f"lambda{number(strength)}_") + f"seed{seed}"


def settings_hash(identity: Mapping[str, Any], default: Mapping[str, Any]) -> str:
    """Returns what is added to a run's name: "" for the defaults, else "-" and eight hex digits.

    Args:
        identity: everything but λ and seed that changes numbers, JSON.
        default: the same for the script's defaults on the shipped data.
    """
    if identity == default:
        return ""
    text = json.dumps(identity, sort_keys=True)
    return "-" + hashlib.sha256(text.encode()).hexdigest()[:8]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=1, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class RunFiles:
    """The files of one run.

    Attributes:
        path: of the result.
        label: what identifies the run; a stored file with another one is refused.
    """

    def __init__(self, folder: Path, name: str, label: Mapping[str, Any]) -> None:
        """Names the files; makes none.

        Args:
            folder: of the script's results.
            name: of the run (`run_name` and `settings_hash`).
            label: script, settings, as_released, lambda and seed, as in the result.
        """
        self.path = folder / f"{name}.json"
        self.label = {"schema": SCHEMA, **label}
        self._folder = folder / f"{name}.ckpt"

    def read(self) -> dict[str, Any] | None:
        """Returns the stored result, None if there is none.

        Raises:
            ResultError: the file is damaged, or is not this run's.
        """
        try:
            result = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            raise self._unusable(f"cannot be read ({error})") from error
        found = {key: result.get(key) for key in self.label} if isinstance(result, dict) else {}
        different = [key for key in self.label if found.get(key) != self.label[key]]
        if different:
            raise self._unusable(f"is of another run ({', '.join(different)} differ)")
        missing = [key for key in _ALWAYS if key not in result]
        if missing:
            raise self._unusable(f"is incomplete (no {', '.join(missing)})")
        return dict(result)

    def _unusable(self, why: str) -> ResultError:
        return ResultError(f"{self.path} {why}; move it away or recompute it with --fresh")

    @contextlib.contextmanager
    def lock(self, waiting: Callable[[str], None]) -> Iterator[None]:
        """Holds the run, so that no other process works on it; waits while one does.

        The lock goes with the process, however it ends.

        Args:
            waiting: is told once, in a line, that another process has the run.
        """
        with self._locked_file(waiting):
            try:
                yield
            finally:
                if not self._checkpoint.exists():
                    shutil.rmtree(self._folder, ignore_errors=True)

    def _locked_file(self, waiting: Callable[[str], None]) -> IO[str]:
        """Returns the open lock file, locked. Whoever ends its work on the run removes it."""
        lock = self._folder / "lock"
        while True:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                file = lock.open("a+")
            except (FileExistsError, FileNotFoundError):
                if self._folder.is_file() or self._folder.parent.is_file():
                    raise
                continue  # removed under our hands
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting(f"another process is working on {self.path}; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                    return file
            file.close()

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "state.npz"

    def discard(self) -> None:
        """Removes the result, its arrays and the checkpoint (call it while holding the lock)."""
        for path in (self._checkpoint, self.path.with_suffix(".npz"), self.path):
            path.unlink(missing_ok=True)

    def save_checkpoint(
        self, position: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Replaces the checkpoint by a new one, whole or not at all.

        Args:
            position: JSON.
            arrays: by name.
        """
        text = json.dumps({"label": self.label, "position": position})
        self._save(self._checkpoint, np.savez, {**arrays, "position": np.array(text)})

    def load_checkpoint(
        self, shapes: Mapping[str, tuple[int, ...]] | None = None
    ) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        """Returns what `save_checkpoint` stored, None if there is nothing.

        Args:
            shapes: of arrays that have to be there; None for no such demand.

        Raises:
            ResultError: the checkpoint is damaged, or is not this run's.
        """
        try:
            with np.load(self._checkpoint, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            content = dict(json.loads(str(arrays.pop("position"))))
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged archive makes NumPy raise all sorts
            raise ResultError(f"{self._checkpoint} is damaged ({type(error).__name__})") from error
        if content.get("label") != self.label:
            raise ResultError(f"{self._checkpoint} is of another run")
        if any(n not in arrays or arrays[n].shape != s for n, s in (shapes or {}).items()):
            raise ResultError(f"{self._checkpoint} does not hold the state of this run")
        return content["position"], arrays

    def _save(
        self, path: Path, save: Callable[..., None], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Writes arrays whole or not at all, by way of a file in the folder of the checkpoint."""
        temporary = self._folder / f"{path.name}.new"
        with temporary.open("wb") as file:
            save(file, **arrays)
        os.replace(temporary, path)

    def finish(
        self, result: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]] | None = None
    ) -> None:
        """Writes the result, and arrays beside it, and removes the checkpoint.

        Args:
            result: what is not in the label.
            arrays: by name; None or empty for none.
        """
        if arrays:
            self._save(self.path.with_suffix(".npz"), np.savez_compressed, arrays)
        write_json(self.path, {**self.label, **result})
        self._checkpoint.unlink(missing_ok=True)
