"""Where a run stands, and what it shows meanwhile.

`Progress` counts tasks, phases and epochs, keeps the accuracies and the checkpoint, and knows where
an interrupted run stopped. `Display` is the screen.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from common import run_files
from common.results import ResultError

import numpy as np
import rich.box
import rich.console
import rich.progress
import rich.table
from rich.cells import cell_len

T = TypeVar("T")

_LINE_SECONDS = 30  # between two progress lines where there is no terminal
_WIDE = 80  # columns of a terminal that has room for a bar beside its text
_WORD = re.compile(r"± \S+|\S+")  # what stays in one line of a table's cell


class Progress:
    """Where a run stands: task, phase, epoch; its state, its accuracies, its checkpoint.

    A task is learned in one phase or several (pruning rounds, say), a phase epoch by epoch. After
    every epoch all state is saved. When the same run starts again, `tasks` and `phases` begin with
    the interrupted ones and `epochs` yields what is left; whatever else the script does between
    epochs is a function of that state, and is simply done again.

    Without files and display (the default) it only counts.

    Attributes:
        accuracy: test accuracy, one row a task.
        validation_accuracy: likewise on the validation set.
        trace: readings of the test accuracy in the course of training (`common.results`).
        details: what else goes into the result, JSON.
        arrays: what is stored beside the result, by name.
        learned: the tasks so far, the present one included.
        state: the variables of the run, lists by the names given to `start`. "network" has V and c
            of every head, then W1, b1, W2, b2; penalties have "omega" and "anchor".
    """

    def __init__(
        self, files: run_files.RunFiles | None = None, display: Display | None = None
    ) -> None:
        """Starts at the beginning; `start` may find a checkpoint."""
        self.accuracy: list[list[float]] = []
        self.validation_accuracy: list[list[float]] = []
        self.trace: list[dict[str, Any]] = []
        self.details: dict[str, Any] = {}
        self.arrays: dict[str, np.ndarray] = {}
        self.learned: Sequence[Any] = ()
        self._files = files
        self._display = display
        self.state: dict[str, Sequence[Any]] = {}
        self._task = self._phase = self._epoch = 0
        self._phase_name = ""
        self._phase_length = self._phase_steps = self._task_steps = self._all_steps = 0
        self._epoch_steps = 0  # of the epoch in hand
        self._restored_task = self._restored_phase = False
        self._seconds_before = 0.0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Computing time so far, with that of earlier parts of the run."""
        return self._seconds_before + time.monotonic() - self._began

    @property
    def place(self) -> str:
        """The task, the phase if it has a name, and the epoch, for messages."""
        phase = f", {self._phase_name}" if self._phase_name else ""
        return f"task {self._task}{phase}, epoch {self._epoch}"

    @property
    def at_phase_start(self) -> bool:
        """Whether no epoch of this phase is done yet."""
        return self._phase_steps == 0

    @property
    def task_steps(self) -> int:
        """Steps of this task that are done."""
        return self._task_steps + self._epoch_steps

    @property
    def reading_key(self) -> tuple[int, int]:
        """What tells this place from others of the task: the phase, and the steps done."""
        return self._phase, self.task_steps

    def start(self, total_steps: int, **state: Sequence[Any]) -> None:
        """Names the variables that make up the state, and restores them from a checkpoint.

        Args:
            total_steps: of the whole run, for the time that is left.
            **state: lists of variables. They are to be at their initial values.
        """
        self.state = state
        stored = None
        if self._files:
            try:
                shapes = {name: tuple(v.shape) for name, v in self._variables()}
                stored = self._files.load_checkpoint(shapes)
            except ResultError as error:
                self._say(f"{error}; starting this run from the beginning")
        if stored:
            position, arrays = stored
            for name, variable in self._variables():
                variable.assign(arrays.pop(name))
            self.arrays = arrays
            self.accuracy = position["accuracy"]
            self.validation_accuracy = position["validation_accuracy"]
            self.trace = position["trace"]
            self.details = position["details"]
            self._task, self._phase, self._phase_name, self._epoch = position["place"]
            self._phase_steps, self._task_steps, self._all_steps = position["steps"]
            self._seconds_before = position["seconds"]
            self._restored_task = self._restored_phase = True
            self._say(f"continuing after {self.place}")
        if self._display:
            self._display.begin(total_steps, self._all_steps)

    def _variables(self) -> Iterator[tuple[str, Any]]:
        """Yields every variable of the state, with the name that it has in a checkpoint."""
        for name, variables in self.state.items():
            for index, variable in enumerate(variables):
                yield f"{name}.{index}", variable

    def tasks(self, tasks: Sequence[T]) -> Iterator[T]:
        """Yields the tasks that are not finished."""
        for number in range(self._task, len(tasks)):
            if not self._restored_task:
                self._task, self._task_steps = number, 0
                self._begin_phase(0, "")
            self._restored_task = False
            self.learned = tasks[: number + 1]
            yield tasks[number]

    def phases(self, values: Sequence[T], names: Sequence[str]) -> Iterator[T]:
        """Yields one value for each phase of the task that is not finished.

        Args:
            values: of the phases.
            names: of the phases, for the screen; "" for none.
        """
        for number in range(self._phase, len(values)):
            if not self._restored_phase:
                self._begin_phase(number, names[number])
            self._restored_phase = False
            yield values[number]

    def _begin_phase(self, number: int, name: str) -> None:
        self._phase, self._phase_name = number, name
        self._phase_steps = self._epoch = 0

    def epochs(self, steps: int, epoch_steps: int) -> Iterator[tuple[int, int]]:
        """Yields (first step, number of steps) of every epoch of the phase that is not finished.

        Args:
            steps: of the phase; the last epoch is cut short to fit.
            epoch_steps: of a whole epoch.
        """
        self._restored_task = self._restored_phase = False
        self._phase_length = steps
        while self._phase_steps < steps:
            self._epoch = self._phase_steps // epoch_steps + 1
            self._epoch_steps = min(epoch_steps, steps - self._phase_steps)
            yield self._task_steps, self._epoch_steps

    def epoch_done(self, loss: float) -> None:
        """Counts and saves an epoch. Call it once in every turn of `epochs`.

        Args:
            loss: mean over the epoch's steps.
        """
        self._phase_steps += self._epoch_steps
        self._task_steps += self._epoch_steps
        self._all_steps += self._epoch_steps
        self._epoch_steps = 0
        if self._files:
            position = {
                "place": [self._task, self._phase, self._phase_name, self._epoch],
                "steps": [self._phase_steps, self._task_steps, self._all_steps],
                "accuracy": self.accuracy,
                "validation_accuracy": self.validation_accuracy,
                "trace": self.trace,
                "details": self.details,
                "seconds": self.seconds,
            }
            arrays = {name: variable.numpy() for name, variable in self._variables()}
            self._files.save_checkpoint(position, {**arrays, **self.arrays})
        if self._display:
            self._display.epoch(self._all_steps, self.place, loss)

    def reading_due(self, every: int) -> bool:
        """Whether the epoch in hand is an `every`-th one of its phase, or the last."""
        done = self._phase_steps + self._epoch_steps
        return self._epoch % every == 0 or done == self._phase_length

    def keep_reading(self, accuracy: list[float]) -> None:
        """Adds the test accuracies on the tasks so far, at this place, to the trace."""
        self.trace.append(
            {
                "task": self._task,
                "phase": self._phase,
                "epoch": self._epoch,
                "step": self._all_steps + self._epoch_steps,
                "accuracy": accuracy,
            }
        )

    def record(self, accuracy: list[float], validation_accuracy: list[float]) -> None:
        """Stores the accuracies on the tasks so far after the present one, and shows them."""
        del self.accuracy[self._task :], self.validation_accuracy[self._task :]
        self.accuracy.append(accuracy)
        self.validation_accuracy.append(validation_accuracy)
        if self._display:
            self._display.task(self._task, accuracy, self._all_steps)

    def matrix(self) -> np.ndarray:
        """Returns R [T, T], NaN above the diagonal."""
        size = max(len(row) for row in self.accuracy)
        full = np.full((len(self.accuracy), size), np.nan)
        for row, values in zip(full, self.accuracy, strict=True):
            row[: len(values)] = values
        return full

    def _say(self, text: str) -> None:
        if self._display:
            self._display.say(text)


class Console(rich.console.Console):
    """A console that prints text as it is, and falls silent when nobody reads it any more."""

    def __init__(self, width: int | None = None) -> None:
        """Prints to standard output, in lines of any length; tables `width` wide."""
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)

    def on_broken_pipe(self) -> None:
        """Prints nothing from now on."""
        self.quiet = True
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


class Display:
    """What a run shows: a bar with the time left on a terminal, plain lines in a log."""

    def __init__(self, tensorboard: Path | None = None) -> None:
        """Prints to standard output.

        Args:
            tensorboard: folder for TensorBoard logs, too; None for none.
        """
        width = None if sys.stdout.isatty() else 120
        self._console = Console(width)
        self._bar: rich.progress.Progress | None = None
        self._total = self._first = 0
        self._began = self._last_line = time.monotonic()
        self._tensorboard = tensorboard
        self._writer: Any = None

    @contextlib.contextmanager
    def run(self, name: str) -> Iterator[None]:
        """Shows one run."""
        if self._tensorboard:
            import tensorflow as tf

            self._writer = tf.summary.create_file_writer(str(self._tensorboard / name))
        with contextlib.ExitStack() as stack:
            if self._console.is_terminal:
                self._bar = stack.enter_context(bar(self._console))
                self._bar.add_task("compiling", total=None)
            try:
                yield
            finally:
                self._bar = None
                if self._writer:
                    self._writer.close()
                    self._writer = None

    @property
    def width(self) -> int:
        """Columns of the terminal; outside of one, those of the widest table."""
        return self._console.width

    def say(self, text: str) -> None:
        """Prints a line."""
        self._console.print(text)

    def begin(self, total: int, done: int) -> None:
        """Takes the number of steps in all, and of those that an earlier part has done."""
        self._total, self._first = total, done
        self._began = self._last_line = time.monotonic()
        if self._bar:
            self._bar.update(self._bar.task_ids[0], total=total, completed=done)

    def epoch(self, step: int, place: str, loss: float) -> None:
        """Shows that an epoch is done."""
        if self._writer:
            self._scalar("loss", loss, step)
        if self._bar:
            text = f"{place}, loss {loss:.4f}"
            self._bar.update(self._bar.task_ids[0], completed=step, description=text)
        elif time.monotonic() - self._last_line > _LINE_SECONDS:
            self._last_line = time.monotonic()
            left = (self._last_line - self._began) / (step - self._first) * (self._total - step)
            share = 100 * step / self._total
            self.say(f"  {place}, loss {loss:.4f}, {share:.0f} % done, {duration(left)} left")

    def task(self, task: int, accuracy: Sequence[float], step: int) -> None:
        """Shows the accuracies after a task."""
        if self._writer:
            for number, value in enumerate(accuracy):
                self._scalar(f"accuracy/task {number}", value, step)
            self._scalar("accuracy/mean", float(np.mean(accuracy)), step)
        each = " ".join(f"{100 * value:.2f}" for value in accuracy)
        when = f"after task {task}" if len(accuracy) == task + 1 else "all tasks together"
        self.say(f"  {when}: mean {100 * np.mean(accuracy):.2f} %, each {each}")

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Prints a table.

        Nothing in it is cut off. Where it is wider than the terminal, cells and headings go on in
        further lines, between words; if that is not enough, there is no frame.
        """
        columns = list(zip(header, *rows, strict=True))
        words = [[word for cell in cells for word in _WORD.findall(cell)] for cells in columns]
        widths = [max(map(cell_len, of_column), default=0) for of_column in words]
        whole = [max(map(cell_len, cells)) for cells in columns]
        # A heading may take twice as many lines as a cell.
        long = [max([cell_len(head) / 2, *map(cell_len, cells)]) for head, *cells in columns]
        look: dict[str, Any] = {}
        room = self.width - (3 * len(columns) + 1)
        if sum(widths) > room:
            look = {"box": rich.box.SIMPLE_HEAD, "show_edge": False, "padding": 0}
            room = self.width - (len(columns) - 1)
        while sum(widths) < min(room, sum(whole)):
            growing = [k for k, width in enumerate(widths) if width < whole[k]]
            widths[max(growing, key=lambda k: long[k] / widths[k])] += 1
        table = rich.table.Table(title=title, title_justify="left", **look)
        for k, (heading, width) in enumerate(zip(header, widths, strict=True)):
            table.add_column(heading, width=width, justify="right" if k else "left")
        for row in rows:
            table.add_row(*row)
        Console(max(sum(widths) + self.width - room, self.width)).print(table)

    def _scalar(self, name: str, value: float, step: int) -> None:
        import tensorflow as tf

        # What tf.summary.scalar writes; that one needs the package tensorboard.
        kind = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        kind.plugin_data.plugin_name = "scalars"
        with self._writer.as_default():
            tf.summary.write(name, tf.constant(value, tf.float32), step, kind)


def bar(console: rich.console.Console, **more: Any) -> rich.progress.Progress:
    """Returns a bar with share, time gone and time left, which vanishes in the end.

    On a narrow terminal all but the bar itself, with the text in several lines.

    Args:
        console: where it is shown.
        **more: of `rich.progress.Progress`.
    """
    wide = console.width >= _WIDE
    text = rich.table.Column(no_wrap=wide)
    number = rich.table.Column(no_wrap=True)
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}", table_column=text),
        *([rich.progress.BarColumn()] if wide else []),
        rich.progress.TaskProgressColumn(table_column=number),
        rich.progress.TimeElapsedColumn(table_column=number),
        rich.progress.TextColumn("left"),
        rich.progress.TimeRemainingColumn(table_column=number),
        console=console,
        transient=True,
        **more,
    )


def duration(seconds: float) -> str:
    """Returns a length of time as days, hours, minutes and seconds; 999,999,999 days at most."""
    longest = datetime.timedelta.max.days * 86_400
    return str(datetime.timedelta(seconds=min(round(seconds), longest)))
