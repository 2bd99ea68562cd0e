"""Where a run stands: task, phase, epoch; its accuracies, its checkpoint.

It deals out the epochs of a phase, and knows where an interrupted run stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from harness import run_files, screen, validity
from harness.results import ResultError

import numpy as np

T = TypeVar("T")


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
        trace: readings of the test accuracy in the course of training (`harness.results`).
        details: what else goes into the result, JSON.
        arrays: what is stored beside the result, by name.
        learned: the tasks so far, the present one included.
        state: the variables of the run, lists by the names given to `start`. "network" has V and c
            of every head, then W1, b1, W2, b2; penalties have "omega" and "anchor".
        versions: of TensorFlow and the like (`harness.results`), one for each part of the run that
            had others than the part before; the last ones are those of now.
    """

    def __init__(
        self,
        files: run_files.RunFiles | None = None,
        display: screen.Display | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Starts at the beginning; `start` may find a checkpoint.

        Args:
            files: of the run; None for no checkpoint.
            display: the screen; None for none.
            versions: of now; None for none.
        """
        self.accuracy: list[list[float]] = []
        self.validation_accuracy: list[list[float]] = []
        self.trace: list[dict[str, Any]] = []
        self.details: dict[str, Any] = {}
        self.arrays: dict[str, np.ndarray] = {}
        self.learned: Sequence[Any] = ()
        self._files = files
        self._display = display
        self.state: dict[str, Sequence[Any]] = {}
        self.versions = [dict(versions or {})]
        self._task = self._phase = self._epoch = 0
        self._phase_name = ""
        self._phase_length = self._phase_steps = self._task_steps = self._all_steps = 0
        self._epoch_steps = 0  # of the epoch in hand
        self._restored_task = self._restored_phase = False
        self._seconds_before = 0.0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds by the clock so far, with those of earlier parts of the run."""
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

    def reading_key(self, left: int) -> tuple[int, int]:
        """Returns what tells this place from others of the task: the phase, and the steps done.

        Args:
            left: steps of the epoch in hand that are still to take.
        """
        return self._phase, self.task_steps - left

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
                stored = self._files.load_checkpoint(
                    shapes, lambda position: validity.is_position(position, total_steps)
                )
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
            self._continue_from(position["versions"])
        if self._display:
            self._display.begin(total_steps, self._all_steps)

    def _continue_from(self, versions: list[dict[str, str]]) -> None:
        """Takes the versions of the earlier parts, and says what is not as in the last of them."""
        (now,), before = self.versions, versions[-1]
        if before == now:
            self.versions = versions
            return
        self.versions = [*versions, now]
        changed = [
            f"{name} {before.get(name)} (now {now.get(name)})"
            for name in {**before, **now}
            if before.get(name) != now.get(name)
        ]
        self._say(
            f"made so far with {', '.join(changed)}: its numbers may not be those of a run without "
            "interruption"
        )

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
                "versions": self.versions,
            }
            arrays = {name: variable.numpy() for name, variable in self._variables()}
            self._files.save_checkpoint(position, {**arrays, **self.arrays})
        if self._display:
            self._display.epoch(self._all_steps, self.place, loss)

    @property
    def in_first_epoch(self) -> bool:
        """Whether the epoch in hand is the task's first."""
        return self._phase == 0 and self._epoch == 1

    def reading_due(self, every: int) -> bool:
        """Whether the epoch in hand is an `every`-th one of its phase, or the last."""
        done = self._phase_steps + self._epoch_steps
        return self._epoch % every == 0 or done == self._phase_length

    def keep_reading(self, accuracy: list[float], left: int) -> None:
        """Adds the test accuracies on the tasks so far, at this place, to the trace.

        Args:
            accuracy: on each task, fractions.
            left: steps of the epoch in hand that are still to take.
        """
        self.trace.append(
            {
                "task": self._task,
                "phase": self._phase,
                "epoch": self._epoch,
                "step": self._all_steps + self._epoch_steps - left,
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
