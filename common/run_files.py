"""Files of a run: its result, its checkpoint, and the lock that keeps other processes out.

A run owns `RESULTS/<script>/<id>.json`, written when it ends, beside it `<id>.npz` if it has arrays
to keep, and the folder `<id>.ckpt/` while it lasts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from common import data, results
from common.results import ResultError

import numpy as np
import numpy.typing as npt

_ALWAYS = ("status", "accuracy", "validation_accuracy", "metrics", "seconds", "versions")
_TRIES = 100  # to make and lock a folder that others may be removing
_PAUSE_SECONDS = 0.005
_REMOVED = (errno.ENOENT, errno.EEXIST, errno.ESTALE)  # what a removal under our hands looks like


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
        return ResultError(f"{self.path} {why}; move it away, or run its script with --fresh")

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
        with results.replacing(path, self._temporary(path)) as file:
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
        results.write_json(self.path, {**self.label, **result})
        self._checkpoint.unlink(missing_ok=True)


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
    own, usual = (
        {key: value for key, value in one.items() if key != "as_released"}
        for one in (identity, default)
    )
    label = {
        "script": name,
        "settings": own,
        "as_released": list(settings.as_released),
        "lambda": strength,
        "seed": seed,
    }
    return RunFiles(folder, stem, label, usual, code=code)
