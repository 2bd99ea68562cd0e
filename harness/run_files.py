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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from common import data
from harness import results, validity
from harness.results import ResultError

import numpy as np
import numpy.typing as npt

_TRIES = 10  # to write a file that others may be clearing up


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Returns what tells a file from one that replaces it, None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _write_arrays(save: Callable[..., None], path: Path, arrays: Mapping[str, Any]) -> None:
    with results.replacing(path) as file:
        save(file, **arrays)


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
        found = dict(stored) if isinstance(stored, dict) else {}
        if isinstance(found.get("settings"), dict):
            found["settings"] = {**self._defaults, **found["settings"]}
        return [key for key in self.label if key not in found or found[key] != self.label[key]]

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
                if self.path.exists():
                    self._clear_up()
            # Fails for a link, and where something is left. Not before the lock file is closed: NFS
            # keeps one that is open under another name.
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _locked_file(self) -> IO[str] | None:
        """Returns the open lock file, locked; None if another process has it locked.

        It is removed once there is a result, and perhaps just after we opened it. That does no
        harm: who then holds the removed one finds the result.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            place = Path(error.filename)
            if os.path.lexists(place) and not place.is_dir():
                raise self._in_the_way(place) from error
            return None  # another process has removed it just now
        try:
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(self._lock.open("a"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stack.pop_all()
                return file
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.ENOENT, errno.ESTALE):
                return None  # held by another process, or removed by it just now
            if error.filename:
                raise
            raise ResultError(
                f"{self._folder}: its file system refuses locks ({error.strerror}); "
                "choose another --results-dir"
            ) from error

    @staticmethod
    def _in_the_way(place: Path) -> ResultError:
        """Returns what is wrong with something that should be a folder and is none."""
        if place.is_symlink():
            why = f"is a link to {os.readlink(place)}, and there is no such folder"
            return ResultError(f"{place} {why}; bring it back, or remove the link")
        return ResultError(f"{place} is in the way of a folder; move it away")

    def _clear_up(self) -> None:
        """Removes the lock file, and what killed processes were writing."""
        for path in (self._checkpoint, self.path, self._arrays):
            for left in path.parent.glob(f".{path.name}.*"):
                left.unlink(missing_ok=True)
        self._lock.unlink()

    @property
    def _lock(self) -> Path:
        return self._folder / "lock"

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
        write = functools.partial(_write_arrays, np.savez)
        self._write(write, self._checkpoint, {**arrays, "position": np.array(text)})

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
        held = {name: array.shape for name, array in arrays.items() if array.dtype.kind == "f"}
        position: Any = content.get("position")
        if not ((shapes or {}).items() <= held.items() and (form is None or form(position))):
            raise ResultError(f"{self._checkpoint} does not hold the state of this run")
        return position, arrays

    def _write(self, write: Callable[..., None], path: Path, content: Mapping[str, Any]) -> None:
        """Writes a file, again if another process clears up meanwhile, which no lock has kept out.

        Args:
            write: of path and content, whole or not at all.
            path: of the file.
            content: of the file.
        """
        for _ in range(_TRIES):
            try:
                return write(path, content)
            except FileNotFoundError as error:
                last = error
                with contextlib.suppress(FileExistsError):
                    self._folder.mkdir()
        raise last

    def finish(
        self, result: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]] | None = None
    ) -> None:
        """Writes the result, and arrays beside it, and removes the checkpoint.

        Args:
            result: what is not in the label.
            arrays: by name; None or empty for none.
        """
        if arrays:
            write = functools.partial(_write_arrays, np.savez_compressed)
            self._write(write, self._arrays, arrays)
        self._write(results.write_json, self.path, {**self.label, **result})
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
