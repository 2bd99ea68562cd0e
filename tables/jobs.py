"""The missing runs of tables, made by processes that do not outlive this one.

`python -m tables.jobs SCRIPT ARGUMENT ...` runs a script until it ends, or until its standard input
does. That is a pipe whose other end the parent holds, so it ends with the parent, however that
ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures

from harness import options, results, screen
from tables import commands, contents

# How the line begins with which TensorFlow ends a process; a stack trace follows.
_FATAL = re.compile(r"F\d{4} |\d{4}-\d\d-\d\d [\d:.]+: F ")

Output = subprocess.CompletedProcess[bytes]


class CannotBegin(Exception):
    """A command failed before it had trained anything, as the next ones would."""


def make(
    all_tables: Sequence[contents.Table], names: Sequence[str], store: commands.Store, at_once: int
) -> int:
    """Makes the missing runs of tables, and those that follow from them: of a λ that was chosen.

    Args:
        all_tables: of which some are made.
        names: of these.
        store: where results are, and will be.
        at_once: commands at a time, one thread each.

    Returns:
        How many commands failed. A run that diverged has a result, and is no failure.

    Raises:
        CannotBegin: a command failed before it had trained anything.
        ResultError: a stored file cannot be used.
    """
    begun: set[tuple[str, str]] = set()
    running: dict[futures.Future[Output], commands.MissingRuns] = {}
    failed = 0
    with _Screen() as shown, processes(at_once) as start:
        while True:
            table_results = contents.evaluate(all_tables, names, store)
            for part in _commands(contents.missing_runs(table_results), at_once):
                runs = part.without(begun)
                if runs.seeds:
                    begun.update(runs.runs())
                    running[start(runs.arguments(store.folder))] = runs
            if not running:
                return failed
            of_running = sum(len(runs.seeds) for runs in running.values())
            shown.left(of_running + len(contents.waiting_runs(table_results)))
            ended, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
            for future in ended:
                runs = running.pop(future)
                if _tell_how_it_ended(runs, future.result(), store, shown):
                    failed += 1
                    if not runs.has_begun(store.folder):
                        raise CannotBegin
                    # Those after the first that is not made have not been tried.
                    begun.difference_update(runs.not_made(store.folder).runs()[1:])


def _commands(
    groups: Sequence[commands.MissingRuns], at_once: int
) -> Iterator[commands.MissingRuns]:
    """Yields the runs of each command: some seeds of a row, for TensorFlow to be loaded once.

    Args:
        groups: all that are to be made.
        at_once: commands at a time; there are several for each, so that none idles in the end.
    """
    size = max(1, sum(len(group.seeds) for group in groups) // (4 * at_once))
    for group in groups:
        for first in range(0, len(group.seeds), size):
            yield dataclasses.replace(group, seeds=group.seeds[first : first + size])


@contextlib.contextmanager
def processes(at_once: int) -> Iterator[Callable[[Sequence[str]], futures.Future[Output]]]:
    """Yields the function that has a script run in a process, which is killed if it lasts longer.

    Args:
        at_once: processes at a time; the others wait.
    """
    read_end, write_end = os.pipe()  # children inherit the first alone

    def run(command: Sequence[str]) -> Output:
        return subprocess.run(
            [sys.executable, "-m", "tables.jobs", *command],
            stdin=read_end,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=options.ROOT,
            env={**os.environ, **commands.ENVIRONMENT},
        )

    pool = futures.ThreadPoolExecutor(at_once)
    try:
        yield lambda command: pool.submit(run, command)
    finally:
        os.close(write_end)
        pool.shutdown(cancel_futures=True)
        os.close(read_end)


def reason(output: str) -> str:
    """Returns why a process failed: TensorFlow's last word if it has ended it, else its last line.

    Args:
        output: all that it has printed.
    """
    lines = output.strip().splitlines()
    return next(filter(_FATAL.match, lines), lines[-1] if lines else "")


def _tell_how_it_ended(
    runs: commands.MissingRuns, ended: Output, store: commands.Store, shown: _Screen
) -> bool:
    """Says how a command ended, and why runs diverged; of one that failed also which, and why.

    Returns:
        Whether it failed.
    """
    status = ended.returncode
    lacking = runs.not_made(store.folder).seeds
    failed = status not in (0, 3) or bool(lacking)
    how, why = "done", []
    if failed:
        how = f"failed with status {status}"
        if status < 0:
            how += f" ({signal.strsignal(-status)})"
        last = reason(ended.stdout.decode(errors="replace"))
        why = ["it has left no result" if status in (0, 3) else last]
    elif status == 3:
        stored = [store.read(runs.table, runs.command, runs.strength, seed) for seed in runs.seeds]
        why = [result["diverged"] for result in stored if result and "diverged" in result]
        how = f"done, {len(why)} diverged"
    strength = "" if runs.strength is None else f", λ {results.number(runs.strength)}"
    seeds = f"seed{'s' * (len(runs.seeds) > 1)} {' '.join(map(str, runs.seeds))}"
    text = f"{runs.table}: {runs.title}{strength}, {seeds}: {how}"
    shown.ended(text, len(runs.seeds) - len(lacking[1:]))  # the others are tried again
    if failed:
        shown.say(f"  {runs.shell(store.folder)}")
    for line in why:
        shown.say(f"  {line}")
    return failed


class _Screen:
    """What is shown while runs are made: one bar for all on a terminal, and a line a command."""

    def __init__(self) -> None:
        self._console = screen.Console()
        self._bar = screen.bar(
            self._console, disable=not self._console.is_terminal, speed_estimate_period=3600
        )
        self._task = self._bar.add_task("", total=None)
        self._began = time.monotonic()
        self._done = self._left = 0

    def __enter__(self) -> _Screen:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def left(self, runs: int) -> None:
        """Takes how many runs are left; more of them may be known after a choice of λ."""
        self._left = runs
        self._show()

    def _show(self) -> None:
        total = self._done + self._left
        self._bar.update(
            self._task, description=self._runs_left(), total=total, completed=self._done
        )

    def _runs_left(self) -> str:
        return "1 run left" if self._left == 1 else f"{self._left} runs left"

    def ended(self, text: str, runs: int) -> None:
        """Says that a command has ended, how many runs it has done, and what is left."""
        self._done += runs
        self._left -= runs
        self._show()
        text += f"; {self._runs_left()}"
        if self._left and not self._console.is_terminal:
            seconds = (time.monotonic() - self._began) * self._left / self._done
            text += f", about {screen.duration(seconds)}"
        self.say(text)

    def say(self, text: str) -> None:
        """Prints a line."""
        self._console.print(text)


def _end_with_parent() -> None:
    os.read(0, 1)  # the parent writes nothing, so this returns when the pipe is closed
    os._exit(1)


def main(arguments: Sequence[str]) -> None:
    """Runs a script as if it had been started from the command line.

    Args:
        arguments: its path, and its own arguments.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and so this
    sys.argv = list(arguments)
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
