"""Files of a run: its result, its checkpoint, and the lock that keeps other processes out.

A run is one (script, settings, λ, seed). It owns `RESULTS/<script>/<id>.json`, written when it
ends, and the folder `<id>.ckpt/` while it lasts. The result has the fields

    schema               number of this description
    status               "finished" or "diverged"
    script               name without .py
    settings             every setting that changes numbers, resolved; data: SHA-256 of the images.
                         A setting younger than the file is not in it; it had its default
    as_released          defects of the release in force, D-numbers
    lambda, seed         of this run; lambda null where the method has none
    accuracy             test accuracy, rows: after task i, columns: tasks j ≤ i; fractions. Joint
                         training: one row of T. null if diverged
    validation_accuracy  likewise on the validation set
    metrics              ACC, F, BWT, F_max, LA (`common.metrics`), fractions or null; where there
                         is a trace also min_ACC, WC_ACC
    trace                of --evaluate-every, absent without it: a list of task, phase, epoch, step,
                         accuracy, the test accuracy on all tasks so far, fractions. step counts the
                         training steps of the whole run; epoch 0 is directly after a pruning,
                         before retraining
    sparsity             one entry a pruning round: task, percent, overall and each tensor; absent
                         where nothing is pruned
    omega                of the accumulated Ω at the end, one entry for all tensors together (all)
                         and each one (W1, b1, W2, b2; V, c where the head is held too): zeros, the
                         share of exact zeros; decades, the counts of the values above 0 in five
                         bins a decade from 1e-20 to 1e5, what lies beyond in the outermost bins;
                         absent for methods without Ω, and if diverged
    path, importance     of cal_importance_distribution alone: accuracy and sparsity along the
                         pruning path; statistics and histograms before and after it
    diverged             where and what to lower; absent if finished
    seconds              computing time, all parts of an interrupted run together
    versions             python, tensorflow, numpy, platform, device; code: of the sources
                         (`code_digest`), not in files from before it was stored
    date                 when it ended, UTC
"""

from __future__ import annotations

import ast
import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Result = Mapping[str, Any]

SCHEMA = 1
# The modules of common/ that numbers depend on, besides the script.
COMPUTING = (
    "data",
    "network",
    "importance",
    "consolidation",
    "pruning",
    "training",
    "metrics",
)
_ALWAYS = ("status", "accuracy", "validation_accuracy", "metrics", "seconds", "versions")
_TRIES = 100  # to make and lock a folder that others may be removing
_PAUSE_SECONDS = 0.005
_REMOVED = (errno.ENOENT, errno.EEXIST, errno.ESTALE)  # what a removal under our hands looks like


class ResultError(ValueError):
    """A stored file that cannot be used; the message is one line for the user."""


def number(value: float) -> str:
    """Returns the shortest text of a number: 3.0 -> 3."""
    return repr(float(value)).removesuffix(".0")


def is_joint(accuracy: Sequence[Sequence[float]]) -> bool:
    """Whether accuracies are the single row of a method that learns all tasks at once."""
    return len(accuracy) < len(accuracy[-1])


def validation_accuracy(result: Result) -> float:
    """Returns the validation accuracy after the last task, mean over tasks, of a finished run."""
    last = result["validation_accuracy"][-1]
    return float(sum(last) / len(last))


def run_name(strength: float | None, seed: int) -> str:
    """Returns the name of a run with its script's default settings; λ None where there is none."""
    return ("" if strength is None else f"lambda{number(strength)}_") + f"seed{seed}"


def settings_hash(identity: Mapping[str, Any], default: Mapping[str, Any]) -> str:
    """Returns what is added to a run's name: "" for the defaults, else "-" and eight hex digits.

    Only what differs from the defaults counts, so that a new setting renames no old run.

    Args:
        identity: everything but λ and seed that changes numbers, JSON.
        default: the same for the script's defaults on the shipped data.
    """
    changed = {
        key: value for key, value in identity.items() if key not in default or default[key] != value
    }
    if not changed:
        return ""
    text = json.dumps(changed, sort_keys=True)
    return "-" + hashlib.sha256(text.encode()).hexdigest()[:8]


@functools.cache
def code_digest(script: Path) -> str:
    """Returns twelve hex digits that tell the sources of a result from others.

    They are the start of a SHA-256 over the syntax trees of the script and of the modules
    `COMPUTING`. Comments, formatting, docstrings, the folder and the version of Python have no
    part in it.

    Args:
        script: path of the script.

    Raises:
        OSError: a source cannot be read.
        SyntaxError: a source is not Python.
    """
    common = Path(__file__).parent
    digest = hashlib.sha256()
    for path in (script, *(common / f"{name}.py" for name in COMPUTING)):
        digest.update(_tree(ast.parse(path.read_bytes())).encode() + b"\n")
    return digest.hexdigest()[:12]


def _tree(node: Any) -> str:
    """Returns a syntax tree as text: the same in every version of Python, unlike `ast.dump`'s.

    Fields that are empty are left out, because newer versions add some, and so are statements
    that do nothing, which is what a docstring is.
    """
    if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some with an empty text
        node = ast.JoinedStr([part for part in node.values if getattr(part, "value", None) != ""])
    if isinstance(node, list):
        return f"[{','.join(text for part in node if (text := _tree(part)))}]"
    if isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ):
        return ""
    if not isinstance(node, ast.AST):
        return ascii(node)  # not repr, which depends on the version's Unicode tables
    fields = [
        f"{name}={text}"
        for name, value in ast.iter_fields(node)
        if value is not None and name not in ("kind", "type_comment")
        if (text := _tree(value)) != "[]"
    ]
    return f"{type(node).__name__}({','.join(fields)})"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file, row by row, whole or not at all.

    A list of scalars stands on one line (a row of a matrix, a histogram), and so does a dict of
    those in a list (a reading of a trace, a pruning round).

    Raises:
        ValueError, TypeError: content is no JSON; NaN is none.
        OSError: the file cannot be written.
    """
    # There and back, so that only lists, dicts with text as keys, and scalars are left.
    plain = json.loads(json.dumps(content, allow_nan=False))
    with replacing(path) as file:
        file.write(_rows(plain).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _rows(value: Any, depth: int = 0, listed: bool = False) -> str:
    """Returns JSON as text; listed: the value is an element of a list."""
    is_dict = isinstance(value, dict)
    if _is_row(value) or (is_dict and (listed or not value) and all(map(_is_row, value.values()))):
        return json.dumps(value)
    if is_dict:
        lines = [f"{json.dumps(key)}: {_rows(part, depth + 1)}" for key, part in value.items()]
    else:
        lines = [_rows(part, depth + 1, listed=True) for part in value]
    first, last = "{}" if is_dict else "[]"
    line = "\n" + " " * depth
    return first + ",".join(f"{line} {text}" for text in lines) + line + last


def _is_row(value: Any) -> bool:
    """Whether JSON is a scalar, or a list of scalars."""
    parts = value if isinstance(value, list) else [value]
    return not any(isinstance(part, (dict, list)) for part in parts)


@contextlib.contextmanager
def replacing(path: Path, temporary: Path | None = None) -> Iterator[IO[bytes]]:
    """Opens a file that replaces another one in the end, whole or not at all.

    Args:
        path: of the other one.
        temporary: meanwhile, in the same folder; None for a name of this process.
    """
    temporary = temporary or path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Returns what tells a file from one that replaces it, None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class RunFiles:
    """The files of one run.

    Attributes:
        path: of the result.
        label: what identifies the run; a stored file with another one is refused.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        label: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
        *,
        code: str = "",
    ) -> None:
        """Names the files, and notes which are there for `discard`; makes none.

        Args:
            folder: of the script's results.
            name: of the run (`run_name` and `settings_hash`).
            label: script, settings, as_released, lambda and seed, as in the result.
            defaults: of the script's settings, for those that a stored file lacks; None for none.
            code: of the sources (`code_digest`); a checkpoint of others is refused.

        Raises:
            OSError: the files cannot be looked for.
        """
        self.path = folder / f"{name}.json"
        self.label = {"schema": SCHEMA, **label}
        self._folder = folder / f"{name}.ckpt"
        self._defaults = dict(defaults or {})
        self._code = code
        self._noted = {path: _stamp(path) for path in (self.path, self._checkpoint)}

    def read(self) -> dict[str, Any] | None:
        """Returns the stored result, None if there is none; settings that it lacks are filled in.

        Raises:
            ResultError: the file is damaged, or is not this run's.
        """
        try:
            result = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            raise self._unusable(f"cannot be read ({error})") from error
        different = self._different(result)
        if different:
            raise self._unusable(f"is of another run ({', '.join(different)} differ)")
        missing = [key for key in _ALWAYS if key not in result]
        if missing:
            raise self._unusable(f"is incomplete (no {', '.join(missing)})")
        return {**result, **self.label}

    def _different(self, stored: Any) -> list[str]:
        """Returns those keys of the label that something stored has otherwise, or not at all."""
        found = dict(stored) if isinstance(stored, dict) else {}
        if isinstance(found.get("settings"), dict):
            found["settings"] = {**self._defaults, **found["settings"]}
        return [key for key in self.label if key not in found or found[key] != self.label[key]]

    def _unusable(self, why: str) -> ResultError:
        return ResultError(f"{self.path} {why}; move it away or recompute it with --fresh")

    @contextlib.contextmanager
    def hold(self) -> Iterator[bool]:
        """Holds the run, so that no other process works on it, unless one does already.

        Never waits. The lock goes with the process, however it ends.

        Yields:
            True if this process holds the run now, False if another one does.

        Raises:
            ResultError: the folder of the checkpoint cannot be made, or cannot be locked.
            OSError: the folder cannot be made or written.
        """
        file = self._locked_file()
        if file is None:
            yield False
            return
        try:
            yield True
        finally:
            with file, contextlib.suppress(OSError):
                self._temporary(self._checkpoint).unlink(missing_ok=True)
                self._lock.unlink()
            # Fails for a link, and where a checkpoint is left. Not before the lock file is closed:
            # NFS keeps one that is open under another name.
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _locked_file(self) -> IO[str] | None:
        """Returns the open lock file, locked; None if another process has it locked.

        Whoever ends its work on the run removes it, and perhaps just after we opened it.
        """
        for _ in range(_TRIES):
            with contextlib.ExitStack() as stack:
                try:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    file = stack.enter_context(self._lock.open("a+"))
                    if not self._take(file):
                        return None
                    if os.path.samestat(os.fstat(file.fileno()), self._lock.stat()):
                        stack.pop_all()
                        return file
                    raise FileNotFoundError(errno.ENOENT, "removed again and again", self._lock)
                except OSError as error:
                    if error.errno not in _REMOVED:
                        raise
                    last = error
            time.sleep(_PAUSE_SECONDS)
        raise self._no_folder(last)

    def _take(self, file: IO[str]) -> bool:
        """Locks the lock file, and returns whether that could be done: no other process has it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _REMOVED:
                raise
            raise ResultError(
                f"{self._folder}: its file system refuses locks ({error.strerror}); "
                "choose another --results-dir"
            ) from error
        return True

    def _no_folder(self, error: OSError) -> ResultError:
        """Returns why there is no folder to lock, from the error of the last try."""
        place = Path(error.filename or self._folder)
        if place.is_symlink():
            why = f"is a link to {os.readlink(place)}, and there is no such folder"
            return ResultError(f"{place} {why}; bring it back, or remove the link")
        if os.path.lexists(place) and not place.is_dir():
            return ResultError(f"{place} is in the way of a folder; move it away")
        return ResultError(
            f"{place} cannot be made ({error.strerror}); choose another --results-dir"
        )

    @property
    def _lock(self) -> Path:
        return self._folder / "lock"

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "state.npz"

    @staticmethod
    def _temporary(path: Path) -> Path:
        """Returns where arrays are written first, by the process that holds the run."""
        return path.with_name(f"{path.name}.new")

    def discard(self) -> None:
        """Removes the result, its arrays and the checkpoint, if they are older than this object.

        Older is what has not been replaced since, whatever a clock says: another process may have
        finished the run meanwhile. Call it while holding the run.
        """
        if _stamp(self._checkpoint) == self._noted[self._checkpoint]:
            self._checkpoint.unlink(missing_ok=True)
        if _stamp(self.path) == self._noted[self.path]:
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".npz").unlink(missing_ok=True)

    def save_checkpoint(
        self, position: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Replaces the checkpoint by a new one, whole or not at all.

        Args:
            position: JSON.
            arrays: by name.
        """
        text = json.dumps({"label": self.label, "code": self._code, "position": position})
        self._save(self._checkpoint, np.savez, {**arrays, "position": np.array(text)})

    def load_checkpoint(
        self, shapes: Mapping[str, tuple[int, ...]] | None = None
    ) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        """Returns what `save_checkpoint` stored, None if there is nothing.

        Args:
            shapes: of arrays that have to be there; None for no such demand.

        Raises:
            ResultError: the checkpoint is damaged, is not this run's, or was made by other sources,
                with which going on would make one result of two programs.
        """
        try:
            with np.load(self._checkpoint, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            content = dict(json.loads(str(arrays.pop("position"))))
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged archive makes NumPy raise all sorts
            raise ResultError(f"{self._checkpoint} is damaged ({type(error).__name__})") from error
        if self._different(content.get("label")):
            raise ResultError(f"{self._checkpoint} is of another run")
        if content.get("code") != self._code:
            raise ResultError(f"{self._checkpoint} was made by other sources")
        if any(n not in arrays or arrays[n].shape != s for n, s in (shapes or {}).items()):
            raise ResultError(f"{self._checkpoint} does not hold the state of this run")
        return content["position"], arrays

    def _save(
        self, path: Path, save: Callable[..., None], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Writes arrays whole or not at all."""
        with replacing(path, self._temporary(path)) as file:
            save(file, **arrays)

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
