"""Commands side by side: processes that do not outlive the one that started them.

`python -m tables.jobs SCRIPT ARGUMENT ...` runs a script until it ends, or until its standard input
does. That is a pipe whose other end the parent holds, so it ends with the parent, however that
ends.
"""

from __future__ import annotations

import dataclasses
import os
import re
import runpy
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, cast

from harness import options, results, screen
from tables import commands, contents

_LOOK_SECONDS = 1.0  # between two counts of what is done
_STOP_SECONDS = 5.0  # to end cleanly after an interruption
# How the line begins with which TensorFlow ends a process; a stack trace follows.
_FATAL = re.compile(r"F\d{4} |\d{4}-\d\d-\d\d [\d:.]+: F ")


class CannotBegin(Exception):
    """A command failed before it had trained anything, as the next ones would."""


class Jobs:
    """Scripts that are running.

    Attributes:
        running: the process of each, by what it makes.
    """

    def __init__(self) -> None:
        """Starts none."""
        self.running: dict[commands.MissingRuns, subprocess.Popen[bytes]] = {}
        self._outputs = selectors.DefaultSelector()

    def __enter__(self) -> Jobs:
        """Returns itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends what is still running."""
        self.stop()
        self._outputs.close()

    def start(self, key: commands.MissingRuns, command: Sequence[str]) -> None:
        """Starts a script.

        Args:
            key: what it makes.
            command: path of the script, and its arguments.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", "tables.jobs", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=options.ROOT,
            env={**os.environ, **commands.ENVIRONMENT},
        )
        self.running[key] = process
        output = cast(IO[bytes], process.stdout)
        self._outputs.register(output, selectors.EVENT_READ, (key, bytearray()))

    def ended(self, seconds: float) -> dict[commands.MissingRuns, tuple[int, str]]:
        """Waits until one ends, and returns those that have: key -> exit status, reason.

        A reason is TensorFlow's last word if it has ended the process, else the last line.

        Args:
            seconds: to wait at most.
        """
        until = time.monotonic() + seconds
        over: dict[commands.MissingRuns, tuple[int, str]] = {}
        while self.running and not over and (left := until - time.monotonic()) > 0:
            for ready, _ in self._outputs.select(left):
                key, output = ready.data
                piece = os.read(ready.fd, 65536)
                output += piece
                if not piece:  # the process has ended, and whatever else writes for it
                    self._outputs.unregister(ready.fileobj)
                    over[key] = self._end(key, output.decode(errors="replace"))
        return over

    def stop(self) -> None:
        """Ends all that are running, as Ctrl-C does; those that take too long at once."""
        for process in self.running.values():
            process.send_signal(signal.SIGINT)
        until = time.monotonic() + _STOP_SECONDS
        while self.running and (left := until - time.monotonic()) > 0:
            self.ended(left)
        for process in self.running.values():
            process.kill()
        while self.running:
            self.ended(_LOOK_SECONDS)

    def _end(self, key: commands.MissingRuns, output: str) -> tuple[int, str]:
        process = self.running.pop(key)
        process.communicate()  # closes its pipes, and waits
        lines = output.strip().splitlines()
        return process.returncode, next(filter(_FATAL.match, lines), lines[-1] if lines else "")


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
    failed = 0
    with _Overall(store) as shown, Jobs() as jobs:
        while True:
            filled = contents.evaluate(all_tables, names, store)
            known = contents.missing_runs(filled)
            over = begun - {run for part in jobs.running for run in part.runs()}
            shown.plan(filled, [one.without(over) for one in known])
            to_begin = [part for one in known if (part := one.without(begun)).seeds]
            left = sum(len(one.seeds) for one in to_begin)
            for one in to_begin:
                seeds = one.seeds
                while seeds and len(jobs.running) < at_once:
                    # Large portions first, for fewer starts; small ones in the end, so that all
                    # processes end at about the same time.
                    share = max(1, left // (2 * at_once))
                    part = dataclasses.replace(one, seeds=seeds[:share])
                    seeds = seeds[share:]
                    left -= len(part.seeds)
                    begun.update(part.runs())
                    jobs.start(part, part.arguments(store.folder))
            if not jobs.running:
                return failed
            ended: dict[commands.MissingRuns, tuple[int, str]] = {}
            while not ended:
                shown.look(jobs.running)
                ended = jobs.ended(_LOOK_SECONDS)
            for part, (status, reason) in ended.items():
                if shown.ended(part, status, reason):
                    failed += 1
                    if not part.has_begun(store.folder):
                        raise CannotBegin


class _Overall:
    """The screen while runs are made: one bar for all on a terminal, and a line a command."""

    def __init__(self, store: commands.Store) -> None:
        self._store = store
        self._console = screen.Console()
        self._bar = screen.bar(
            self._console, disable=not self._console.is_terminal, speed_estimate_period=3600
        )
        self._task = self._bar.add_task("", total=None)
        self._began = time.monotonic()
        self._done = 0
        self._known: dict[tuple[str, str], int] = {}  # cost of every run that can be made now
        self._later: list[int] = []  # of every run that waits for them

    def __enter__(self) -> _Overall:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def plan(
        self, filled: Mapping[str, contents.TableResults], known: Sequence[commands.MissingRuns]
    ) -> None:
        """Takes what is to be done; more of it is known after every choice of λ."""
        costs = {run: commands.cost(one.command.settings) for one in known for run in one.runs()}
        self._done += sum(cost for run, cost in self._known.items() if run not in costs)
        self._known = costs
        self._later = [commands.cost(one.settings) for one in contents.waiting_runs(filled)]
        self._show()

    def look(self, parts: Iterable[commands.MissingRuns]) -> None:
        """Counts the runs that have ended since the last look."""
        for part in parts:
            for run, seed in zip(part.runs(), part.seeds, strict=True):
                if run in self._known and part.path(self._store.folder, seed).exists():
                    self._done += self._known.pop(run)
        self._show()

    def _show(self) -> None:
        total = self._done + self._left()
        self._bar.update(
            self._task, description=self._runs_left(), total=total, completed=self._done
        )

    def _left(self) -> int:
        return sum(self._known.values()) + sum(self._later)

    def _runs_left(self) -> str:
        runs = len(self._known) + len(self._later)
        return "1 run left" if runs == 1 else f"{runs} runs left"

    def ended(self, part: commands.MissingRuns, status: int, reason: str) -> bool:
        """Says how a command ended; of one that failed or diverged also which, and why.

        Returns:
            Whether it failed.
        """
        self.look([part])
        made = all(part.path(self._store.folder, seed).exists() for seed in part.seeds)
        failed = status not in (0, 3) or not made
        strength = "" if part.strength is None else f", λ {results.number(part.strength)}"
        seeds = " ".join(map(str, part.seeds))
        title = f"{part.table}: {part.title}{strength}, seeds {seeds}"
        if failed:
            how = f"failed with status {status}"
            if status < 0:
                how += f" ({signal.strsignal(-status)})"
            reasons = ["it has left no result" if status in (0, 3) else reason]
        elif status == 0:
            how, reasons = "done", []
        else:
            stored = [
                self._store.read(part.table, part.command, part.strength, seed)
                for seed in part.seeds
            ]
            how = "diverged"
            reasons = [one["diverged"] for one in stored if one and one["status"] == "diverged"]
        left = f"; {self._runs_left()}"
        if self._done and self._left() and not self._console.is_terminal:
            seconds = (time.monotonic() - self._began) * self._left() / self._done
            left += f", about {screen.duration(seconds)}"
        self._console.print(f"{title}: {how}{left}")
        if reasons:
            self._console.print(f"  {part.shell(self._store.folder)}")
        for reason in reasons:
            self._console.print(f"  {reason}")
        return failed


def _end_with_parent() -> None:
    os.read(0, 1)  # the parent writes nothing, so this returns when the pipe is closed
    os._exit(1)


def main(arguments: Sequence[str]) -> None:
    """Runs a script as if it had been started from the command line.

    Args:
        arguments: its path, and its own arguments.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A shell lets what it starts in the background ignore Ctrl-C, which is how `Jobs.stop` ends us.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = list(arguments)
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
