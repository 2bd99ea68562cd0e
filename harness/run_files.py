"""Files of a run: its result, its checkpoint, and the lock that keeps other processes out.

A run owns `RESULTS/<script>/<id>.json`, written when it ends, beside it `<id>.npz` if it has arrays
to keep, and the folder `<id>.ckpt/` while it lasts. `.locks/<id>` is empty, and stays: a lock file
that came and went could be held twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from common import data
from harness import results, validity
from harness.results import ResultError

import numpy as np
import numpy.typing as npt


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Returns what tells a file from one that replaces it, None if there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


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
        self.label = {"schema": results.SCHEMA, **label}
        self._folder = folder / f"{name}.ckpt"
        self._defaults = dict(defaults or {})
        self._code = code
        self._noted = {path: _stamp(path) for path in (self.path, self._checkpoint)}

    @property
    def has_begun(self) -> bool:
        """Whether the run has left a result or a checkpoint."""
        return self.path.exists() or self._checkpoint.exists()

    def read(self) -> dict[str, Any] | None:
        """Returns the stored result, None if there is none; settings that it lacks are filled in.

        Raises:
            ResultError: the file is damaged, is not this run's, or cannot be right.
        """
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"), parse_constant=_no_number)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, OSError, RecursionError) as error:
            raise self._unusable(f"cannot be read ({error})") from error
        different = self._different(stored)
        if different:
            raise self._unusable(f"is of another run ({', '.join(different)} differ)")
        result = {**stored, **self.label}
        fault = validity.fault(result)
        if fault:
            raise self._unusable(fault)
        return result

    def _different(self, stored: Any) -> list[str]:
        """Returns those keys of the label that something stored has otherwise, or not at all."""
        label = dict(stored) if isinstance(stored, dict) else {}
        if isinstance(label.get("settings"), dict):
            label["settings"] = {**self._defaults, **label["settings"]}
        return [key for key in self.label if key not in label or label[key] != self.label[key]]

    def _unusable(self, why: str) -> ResultError:
        return ResultError(f"{self.path} {why}; move it away, or run its script with --fresh")

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Holds the run, so that no other process works on it, unless one does already.

        Never waits. The lock goes with the process, however it ends. On a file system whose locks
        keep nobody out, several processes may hold a run at once: each computes it, and all end
        with the same result.

        Yields:
            True if this process holds the run now, False if another one does.

        Raises:
            ResultError: the file system has no locks.
            OSError: the folder cannot be made or written.
        """
        path = self.path.parent / ".locks" / self.path.stem
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            held = True
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held = False
            except OSError as error:
                raise ResultError(
                    f"{path.parent}: its file system refuses locks ({error.strerror}); "
                    "choose another --results-dir"
                ) from error
            yield held

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "state.npz"

    @property
    def _arrays(self) -> Path:
        return self.path.with_suffix(".npz")

    def discard(self) -> None:
        """Removes the result, its arrays and the checkpoint, if they are older than this object.

        Older is what has not been replaced since, whatever a clock says: another process may have
        finished the run meanwhile. Call it while holding the run.
        """
        if _stamp(self._checkpoint) == self._noted[self._checkpoint]:
            self._checkpoint.unlink(missing_ok=True)
        if _stamp(self.path) == self._noted[self.path]:
            self.path.unlink(missing_ok=True)
            self._arrays.unlink(missing_ok=True)

    def save_checkpoint(
        self, position: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Replaces the checkpoint by a new one, whole or not at all.

        Args:
            position: JSON.
            arrays: by name.
        """
        text = json.dumps({"label": self.label, "code": self._code, "position": position})
        self._folder.mkdir(exist_ok=True)
        with self._unless_finished(), results.replacing(self._checkpoint) as file:
            np.savez(file, **{**arrays, "position": np.array(text)})  # type: ignore[arg-type]

    def load_checkpoint(
        self,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        form: validity.Form | None = None,
    ) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        """Returns what `save_checkpoint` stored, None if there is nothing.

        Args:
            shapes: of arrays of floats that have to be there; None for no such demand.
            form: of the position; None for any.

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
        floats = {name: array.shape for name, array in arrays.items() if array.dtype.kind == "f"}
        position: Any = content.get("position")
        if not ((shapes or {}).items() <= floats.items() and (form is None or form(position))):
            raise ResultError(f"{self._checkpoint} does not hold the state of this run")
        return position, arrays

    @contextlib.contextmanager
    def _unless_finished(self) -> Iterator[None]:
        """Lets writing fail where another process, which no lock kept out, has finished the run.

        That one has cleared up what this one was writing.
        """
        try:
            yield
        except FileNotFoundError:
            if not self.path.exists():
                raise

    def finish(
        self, result: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]] | None = None
    ) -> None:
        """Writes the result, and arrays beside it, and removes the checkpoint.

        Args:
            result: what is not in the label.
            arrays: by name; None or empty for none.
        """
        with self._unless_finished():
            if arrays:
                with results.replacing(self._arrays) as file:
                    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            results.write_json(self.path, {**self.label, **result})
        self._checkpoint.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)  # a link is the user's, and stays
        for path in (self.path, self._arrays):
            for abandoned in path.parent.glob(f".{path.name}.*"):  # by killed processes
                abandoned.unlink(missing_ok=True)


@functools.cache
def identities(settings: Any, checksum: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns all that changes a run's numbers beside λ and seed, and the same for the defaults.

    Args:
        settings: of a script.
        checksum: of the data set.
    """
    identity = {**settings.identity(), "data": checksum}
    return identity, {**type(settings)().identity(), "data": data.SHIPPED_CHECKSUM}


def files_of(
    name: str,
    folder: Path,
    settings: Any,
    strength: float | None,
    seed: int,
    checksum: str = data.SHIPPED_CHECKSUM,
    code: str = "",
) -> RunFiles:
    """Returns the files of one run.

    Args:
        name: of the script.
        folder: of its results.
        settings: of the script; their lists of λ and seeds are not used.
        strength: λ; None where the script has none.
        seed: of the run.
        checksum: of the data set.
        code: `results.code_digest` of the script.
    """
    identity, default = identities(settings, checksum)
    stem = results.run_name(strength, seed) + results.settings_hash(identity, default)
    own, defaults = (
        {key: value for key, value in every.items() if key != "as_released"}
        for every in (identity, default)
    )
    label = {
        "script": name,
        "settings": own,
        "as_released": list(settings.as_released),
        "lambda": strength,
        "seed": seed,
    }
    return RunFiles(folder, stem, label, defaults, code=code)
