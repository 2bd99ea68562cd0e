"""What a run shows meanwhile: a bar or lines, tables, TensorBoard logs."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rich.box
import rich.console
import rich.progress
import rich.table
from rich.cells import cell_len

_LINE_SECONDS = 30  # between two progress lines where there is no terminal
_WIDE = 80  # columns of a terminal that has room for a bar beside its text
_WORD = re.compile(r"± \S+|\S+")  # what stays in one line of a table's cell


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

            # Nothing waits to be written: a process may end at any time.
            self._writer = tf.summary.create_file_writer(str(self._tensorboard / name), max_queue=0)
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
        widths = [max(map(cell_len, column), default=0) for column in words]
        whole = [max(map(cell_len, cells)) for cells in columns]
        # A heading may take twice as many lines as a cell.
        long = [max([cell_len(head) / 2, *map(cell_len, cells)]) for head, *cells in columns]
        frame: dict[str, Any] = {}
        room = self.width - (3 * len(columns) + 1)
        if sum(widths) > room:
            frame = {"box": rich.box.SIMPLE_HEAD, "show_edge": False, "padding": 0}
            room = self.width - (len(columns) - 1)
        while sum(widths) < min(room, sum(whole)):
            growing = [k for k, width in enumerate(widths) if width < whole[k]]
            widths[max(growing, key=lambda k: long[k] / widths[k])] += 1
        table = rich.table.Table(title=title, title_justify="left", **frame)
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
