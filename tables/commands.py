"""Command lines of scripts, and the runs that they make: those stored, and those missing."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from common import data
from harness import options, process, results, run_files

# One thread each: as many at once as there are cores get the most out of them, and the last bits of
# the Fisher and MAS importances depend on the number of threads.
ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
_SCRIPTS = Path(__file__).resolve().parents[1]  # from where they are imported


@dataclasses.dataclass(frozen=True)
class Command:
    """A script with its settings.

    Attributes:
        script: name without .py.
        flags: flag -> its values as text, without --lambda and --seeds.
        settings: of the script.
        checksum: of the data set.
    """

    script: str
    flags: Mapping[str, tuple[str, ...]]
    settings: Any
    checksum: str = data.SHIPPED_CHECKSUM

    def arguments(self, strengths: Sequence[float | None], seeds: Sequence[int]) -> list[str]:
        """Returns the arguments of the script for some of its runs; λ None where it has none."""
        given = [results.number(value) for value in strengths if value is not None]
        return [
            *arguments_of(self.flags),
            *(["--lambda", *given] if given else []),
            "--seeds",
            *map(str, seeds),
        ]

    def files(self, folder: Path, strength: float | None, seed: int) -> run_files.RunFiles:
        """Returns the files of a run in the folder of a table."""
        home = folder / self.script
        return _files_of(self.script, home, self.settings, strength, seed, self.checksum)

    def has_data(self) -> bool:
        """Returns whether its data set is where --data-dir says."""
        try:
            return _checksum(self.settings.data_dir) == self.checksum
        except data.DataError:
            return False


@functools.cache
def parse(command: str, more: str = "", checksum: str | None = None) -> Command:
    """Reads a command line with the parser of its script.

    Args:
        command: script and flags.
        more: further flags, as far as the script has them; those of the command win.
        checksum: of the data set; None to read it where the folder is not the project's.

    Raises:
        ValueError: there is no such script, or it refuses a flag or a value; no script has one of
            the further flags; a quotation mark is not closed; the data cannot be used. The message
            is one line.
    """
    file, *own = shlex.split(command)
    script = file.removesuffix(".py")
    cls = _settings_of(script)
    of_script = _flags_of(cls)
    given = _flags(shlex.split(more))
    misspelt = [flag for flag in given if flag not in of_script and flag not in _all_flags()]
    if misspelt:
        meant = options.did_you_mean(_all_flags(), *misspelt)
        raise options.UsageError(f"no script has {' '.join(misspelt)}{meant}")
    flags = {flag: values for flag, values in given.items() if flag in of_script} | _flags(own)
    settings = options.parse(cls, "", arguments_of(flags), _Parser)
    flags = {flag: v for flag, v in flags.items() if flag not in ("--lambda", "--seeds")}
    return Command(script, flags, settings, checksum or _checksum(settings.data_dir))


@functools.cache
def _checksum(folder: Path) -> str:
    is_own = folder == data.DATA_DIR
    return data.SHIPPED_CHECKSUM if is_own else data.load_mnist(options.ROOT / folder).checksum


class _Parser(options.Parser):
    """A parser that does not end the process."""

    def error(self, message: str) -> NoReturn:
        raise options.UsageError(message)


def _settings_of(script: str) -> type[options.Settings]:
    cls: type[options.Settings] | None = None
    if (_SCRIPTS / f"{script}.py").exists():
        try:
            cls = getattr(importlib.import_module(script), "Settings", None)
        except Exception as error:  # it may be anybody's
            reason = process.reason(error)
            raise options.UsageError(f"{script}.py cannot be imported: {reason}") from error
    if cls is None:
        meant = options.did_you_mean(_all_scripts(), script)
        raise options.UsageError(f"there is no script {script}{meant}")
    return cls


def _flags_of(cls: type[options.Settings]) -> set[str]:
    return {option.flag for option in options.options_of(cls).values()}


def _all_scripts() -> list[str]:
    """Returns the names of all scripts; other files may do anything when they are imported."""
    paths = sorted(_SCRIPTS.glob("*.py"))
    return [path.stem for path in paths if b"\nclass Settings(" in path.read_bytes()]


@functools.cache
def _all_flags() -> list[str]:
    return sorted({flag for script in _all_scripts() for flag in _flags_of(_settings_of(script))})


def arguments_of(flags: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Returns flags and their values as a command line."""
    return [word for flag, values in flags.items() for word in (flag, *values)]


def _flags(arguments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    flags: dict[str, tuple[str, ...]] = {}
    flag = ""
    for word in arguments:
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            flags[flag] = (value,) if equals else ()
        elif flag:
            flags[flag] += (word,)
        else:
            meant = options.did_you_mean(_all_flags(), word)
            raise options.UsageError(f"{word} stands where a flag should{meant}")
    return flags


class Store:
    """The runs stored in a folder: `FOLDER/<table>/<script>/<id>.json`.

    A run that two tables have in common is stored once, in the folder of either; where it is
    twice, since two processes made it at the same time, both tables take the same.
    """

    def __init__(self, folder: Path, more: Path | None = None) -> None:
        """Names the folders; `list_files` lists their files.

        Args:
            folder: where runs are stored, and will be.
            more: another one, whose runs count where the first has none.
        """
        self.folder = folder
        self._folders = [folder] if more is None else [folder, more]
        self._paths: dict[tuple[str, str], Path] = {}
        self._read: dict[Path, results.Result] = {}

    def list_files(self, names: Collection[str]) -> None:
        """Lists the files as they are now.

        Args:
            names: of the tables; of runs that are there twice, the first counts.
        """
        homes = [folder / name for folder in self._folders for name in names]
        self._paths = {}
        for path in (path for home in homes for path in home.glob("*/*.json")):
            self._paths.setdefault((path.parent.name, path.name), path)

    def read(
        self, table: str, command: Command, strength: float | None, seed: int
    ) -> results.Result | None:
        """Returns a run's result, None if there is none.

        Its `file` is the path from the folder where runs will be.

        Raises:
            ResultError: the file is damaged, or is not this run's.
        """
        files = command.files(self.folder / table, strength, seed)
        listed = self._paths.get((command.script, files.path.name), files.path)
        if listed != files.path:
            files = command.files(listed.parents[1], strength, seed)
        if files.path not in self._read:
            result = files.read()
            if result is None:
                return None
            self._read[files.path] = {**result, "file": os.path.relpath(files.path, self.folder)}
        return self._read[files.path]


_files_of = functools.cache(run_files.files_of)


@dataclasses.dataclass(frozen=True, eq=False)
class MissingRuns:
    """Runs that a row of a table needs and that are not stored: of one λ, of some seeds."""

    table: str
    title: str  # of the row
    command: Command
    strength: float | None
    seeds: tuple[int, ...]

    def run(self, seed: int) -> tuple[str, str]:
        """Returns script and file name of a run, which no other run has."""
        return self.command.script, self.path(Path(), seed).name

    def path(self, folder: Path, seed: int) -> Path:
        """Returns where a run's result will be, in a folder of results."""
        return self._files(folder, seed).path

    def not_made(self, folder: Path) -> MissingRuns:
        """Returns the same with those alone whose result is not in a folder of results."""
        seeds = tuple(seed for seed in self.seeds if not self.path(folder, seed).exists())
        return dataclasses.replace(self, seeds=seeds)

    def has_begun(self, folder: Path) -> bool:
        """Returns whether a run has left something in a folder of results."""
        return any(self._files(folder, seed).has_begun for seed in self.seeds)

    def _files(self, folder: Path, seed: int) -> run_files.RunFiles:
        return self.command.files(folder / self.table, self.strength, seed)

    def runs(self) -> list[tuple[str, str]]:
        """Returns `run` of every seed."""
        return [self.run(seed) for seed in self.seeds]

    def without(self, runs: Collection[tuple[str, str]]) -> MissingRuns:
        """Returns the same without some of the runs."""
        left = tuple(seed for seed in self.seeds if self.run(seed) not in runs)
        return dataclasses.replace(self, seeds=left)

    def shell(self, folder: Path) -> str:
        """Returns the shell command that makes the runs, with one thread."""
        words = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return shlex.join(["env", *words, sys.executable, *self.arguments(folder)])

    def arguments(self, folder: Path) -> list[str]:
        """Returns path of the script, and the arguments that make the runs."""
        flags = dict(self.command.flags)
        if "--data-dir" in flags:
            flags["--data-dir"] = (str(options.ROOT / self.command.settings.data_dir),)
        command = dataclasses.replace(self.command, flags=flags)
        return [
            str(options.ROOT / f"{command.script}.py"),
            *command.arguments((self.strength,), self.seeds),
            *("--results-dir", str(folder / self.table), "--no-figures"),
        ]
