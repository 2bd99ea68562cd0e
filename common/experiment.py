"""Runs a script: command line, grid of (λ, seed) runs, resume, progress, choice of λ.

A script's `main` is `experiment.main(Settings, run, __file__, __doc__)`. Its `run(settings, tasks,
strength, seed, progress)` goes through the tasks with the help of `Progress`, which knows where an
interrupted run stopped.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rich.console
import rich.progress
import rich.table

from common import consolidation, data, metrics, options, plots, results

T = TypeVar("T")
Report = Callable[[Any, Sequence[dict[str, Any]], Path, str, "Display"], None]

_LINE_SECONDS = 30  # between two progress lines where there is no terminal


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
        details: what else goes into the result, JSON.
        arrays: what is stored beside the result, by name.
        place: task, phase and steps done, for messages.
    """

    def __init__(
        self, files: results.RunFiles | None = None, display: Display | None = None
    ) -> None:
        """Starts at the beginning; `start` may find a checkpoint."""
        self.accuracy: list[list[float]] = []
        self.validation_accuracy: list[list[float]] = []
        self.details: dict[str, Any] = {}
        self.arrays: dict[str, np.ndarray] = {}
        self._files = files
        self._display = display
        self._state: dict[str, Any] = {}
        self._task = self._phase = self._phase_steps = self._task_steps = 0
        self._all_steps = self._epoch = self._epoch_steps = 0
        self._restored_task = self._restored_phase = False
        self._seconds_before = 0.0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Computing time so far, with that of earlier parts of the run."""
        return self._seconds_before + time.monotonic() - self._began

    @property
    def place(self) -> str:
        """The task, the phase where there are several, and the epoch."""
        phase = f", phase {self._phase}" if self._phase else ""
        return f"task {self._task}{phase}, epoch {self._epoch}"

    @property
    def at_phase_start(self) -> bool:
        """Whether no epoch of this phase is done yet."""
        return self._phase_steps == 0

    def start(self, total_steps: int, **state: Sequence[Any]) -> None:
        """Names the variables that make up the state, and restores them from a checkpoint.

        Args:
            total_steps: of the whole run, for the time that is left.
            **state: lists of variables. They are to be at their initial values.
        """
        self._state = {
            f"{name}.{index}": variable
            for name, variables in state.items()
            for index, variable in enumerate(variables)
        }
        stored = None
        if self._files:
            try:
                shapes = {name: tuple(v.shape) for name, v in self._state.items()}
                stored = self._files.load_checkpoint(shapes)
            except results.ResultError as error:
                self._say(f"{error}; starting this run from the beginning")
        if stored:
            position, arrays = stored
            for name, variable in self._state.items():
                variable.assign(arrays.pop(name))
            self.arrays = arrays
            self.accuracy = position["accuracy"]
            self.validation_accuracy = position["validation_accuracy"]
            self.details = position["details"]
            self._task, self._phase, self._epoch = position["place"]
            self._phase_steps, self._task_steps, self._all_steps = position["steps"]
            self._seconds_before = position["seconds"]
            self._restored_task = self._restored_phase = True
            self._say(f"continuing after {self.place}")
        if self._display:
            self._display.begin(total_steps, self._all_steps)

    def tasks(self, tasks: Sequence[T]) -> Iterator[T]:
        """Yields the tasks that are not finished."""
        for number in range(self._task, len(tasks)):
            if not self._restored_task:
                self._task, self._task_steps = number, 0
                self._phase = self._phase_steps = 0
            self._restored_task = False
            yield tasks[number]

    def phases(self, values: Sequence[T]) -> Iterator[T]:
        """Yields one value for each phase of the task that is not finished."""
        for number in range(self._phase, len(values)):
            if not self._restored_phase:
                self._phase, self._phase_steps = number, 0
            self._restored_phase = False
            yield values[number]

    def epochs(self, steps: int, epoch_steps: int) -> Iterator[tuple[int, int]]:
        """Yields (first step, number of steps) of every epoch of the phase that is not finished.

        Args:
            steps: of the phase; the last epoch is cut short to fit.
            epoch_steps: of a whole epoch.
        """
        self._restored_task = self._restored_phase = False
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
        if self._files:
            position = {
                "place": [self._task, self._phase, self._epoch],
                "steps": [self._phase_steps, self._task_steps, self._all_steps],
                "accuracy": self.accuracy,
                "validation_accuracy": self.validation_accuracy,
                "details": self.details,
                "seconds": self.seconds,
            }
            arrays = {name: variable.numpy() for name, variable in self._state.items()}
            self._files.save_checkpoint(position, {**arrays, **self.arrays})
        if self._display:
            self._display.epoch(self._all_steps, self.place, loss)

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


class Display:
    """What a run shows: a bar with the time left on a terminal, plain lines in a log."""

    def __init__(self, tensorboard: Path | None = None) -> None:
        """Prints to standard output; also writes TensorBoard logs if a folder is given."""
        width = None if sys.stdout.isatty() else 120
        self._console = rich.console.Console(highlight=False, soft_wrap=True, width=width)
        self._bar: rich.progress.Progress | None = None
        self._total = self._first = 0
        self._began = self._last_line = time.monotonic()
        self._tensorboard = tensorboard
        self._writer: Any = None

    @contextlib.contextmanager
    def run(self, name: str) -> Iterator[Display]:
        """Shows one run."""
        if self._tensorboard:
            import tensorflow as tf

            self._writer = tf.summary.create_file_writer(str(self._tensorboard / name))
        with contextlib.ExitStack() as stack:
            if self._console.is_terminal:
                self._bar = stack.enter_context(
                    rich.progress.Progress(
                        rich.progress.TextColumn("{task.description}"),
                        rich.progress.BarColumn(),
                        rich.progress.TaskProgressColumn(),
                        rich.progress.TimeElapsedColumn(),
                        rich.progress.TextColumn("left"),
                        rich.progress.TimeRemainingColumn(),
                        console=self._console,
                        transient=True,
                    )
                )
                self._bar.add_task("compiling", total=None)
            yield self
        self._bar = None
        if self._writer:
            self._writer.close()
            self._writer = None

    def say(self, text: str) -> None:
        """Prints a line."""
        self._console.print(text, markup=False)

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
            self.say(f"  {place}, loss {loss:.4f}, {share:.0f} % done, {_duration(left)} left")

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
        """Prints a table."""
        table = rich.table.Table(*header, title=title, title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def _scalar(self, name: str, value: float, step: int) -> None:
        import tensorflow as tf

        # What tf.summary.scalar writes; that one needs the package tensorboard.
        kind = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        kind.plugin_data.plugin_name = "scalars"
        with self._writer.as_default():
            tf.summary.write(name, tf.constant(value, tf.float32), step, kind)


def main(
    cls: type[Any],
    run: Callable[..., Any],
    script: str,
    description: str,
    report: Report | None = None,
) -> None:
    """Runs a script from its command line and ends the process with its exit status.

    0: done; 2: bad input, in one line on standard error; 3: a run diverged; 130: interrupted.

    Args:
        cls: the settings, a subclass of `options.Settings`.
        run: (settings, tasks, seed=…, progress=…, and strength=… where the settings have one).
        script: path of the script.
        description: its docstring.
        report: shows and draws the results of all runs; None for accuracies over λ and seeds.
    """
    name = Path(script).stem
    _usable_streams()
    settings = options.parse(cls, description)
    try:
        folder = _writable(settings.results_dir / name, "--results-dir")
        if settings.tensorboard:
            _writable(settings.tensorboard, "--tensorboard")
        dataset = data.load_mnist(settings.data_dir)
        if settings.train_examples is not None:
            dataset = dataset.first(settings.train_examples)
        sys.exit(_run_grid(name, folder, settings, run, dataset, report or accuracy_report))
    except KeyboardInterrupt:
        text = "the same command continues after the last finished epoch"
        text = "interrupted; " + ("without --fresh, " if settings.fresh else "") + text
        print(f"\n{name}: {text}", file=sys.stderr)
        sys.exit(130)
    except (data.DataError, options.UsageError, results.ResultError) as error:
        text = str(error)
    except OSError as error:
        place, reason = error.filename or settings.results_dir, error.strerror or error
        text = f"{place}: {reason}; finished results are safe, and the same command continues"
    print(f"{name}: error: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(2)


def _usable_streams() -> None:
    """Lets a script print where a stream is closed, or its encoding has no λ."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (stays open; takes its number)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _writable(folder: Path, flag: str) -> Path:
    """Makes the folder of a flag, and tries to write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise options.UsageError(
            f"cannot write to {folder}: {error.strerror}; choose another folder with {flag}"
        ) from error


@contextlib.contextmanager
def _silent_libraries() -> Iterator[None]:
    """Keeps what native libraries write to standard error away from the terminal.

    TensorFlow's own libraries do so while they are loaded, before any log level counts.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def set_up_device(wanted: str) -> str:
    """Makes TensorFlow use a device from now on, and returns its name.

    Args:
        wanted: "cpu", "gpu" or "auto" (a GPU if there is one).

    Raises:
        UsageError: no GPU was found where one is wanted.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if wanted == "gpu" and not gpus:
        raise options.UsageError("--device gpu: TensorFlow finds no GPU; use --device cpu")
    if wanted == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        return "cpu"
    tf.config.set_visible_devices(gpus[:1], "GPU")
    tf.config.experimental.set_memory_growth(gpus[0], True)
    tf.config.experimental.enable_op_determinism()
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu"))


def _run_grid(
    name: str,
    folder: Path,
    settings: Any,
    run: Callable[..., Any],
    dataset: data.Dataset,
    report: Report,
) -> int:
    """Does every run of the grid that is not done yet, and reports; returns the exit status."""
    if settings.batch_size > len(dataset.train.labels):
        raise options.UsageError(
            f"--batch-size {settings.batch_size} is more than the {len(dataset.train.labels)} "
            "training images"
        )
    with _silent_libraries():
        import tensorflow as tf

        device = set_up_device(settings.device)
        dataset = dataset.convert(tf.constant)
    tasks = data.permuted_tasks(dataset, settings.tasks)
    identity = {**settings.identity(), "data": dataset.checksum}
    default = {**type(settings)().identity(), "data": data.SHIPPED_CHECKSUM}
    suffix = results.settings_hash(identity, default)
    del identity["as_released"]
    strengths: tuple[float | None, ...] = getattr(settings, "strength", (None,))
    display = Display(settings.tensorboard)
    display.say(f"{name} on {device}, TensorFlow {tf.__version__}")
    shown = {**identity, "data": dataset.checksum[:8]}
    display.say("  " + ", ".join(f"{key} {_plain(value)}" for key, value in shown.items()))
    display.say(f"  as released: {' '.join(settings.as_released) or 'nothing'}")
    grid = [(strength, seed) for strength in strengths for seed in settings.seeds]
    names = [results.run_name(strength, seed) + suffix for strength, seed in grid]
    if len(grid) > 1:
        display.say(f"{len(grid)} runs, λ x seeds: {len(strengths)} x {len(settings.seeds)}")

    finished: list[dict[str, Any]] = []
    computed = 0
    for place, ((strength, seed), run_name) in enumerate(zip(grid, names, strict=True)):
        title = f"seed {seed}" if strength is None else f"λ {results.number(strength)}, seed {seed}"
        label = {
            "script": name,
            "settings": identity,
            "as_released": list(settings.as_released),
            "lambda": strength,
            "seed": seed,
        }
        files = results.RunFiles(folder, run_name, label)
        with files.lock(display.say):
            if settings.fresh and not getattr(settings, "plot_only", False):
                files.discard()
            result = files.read()
            if result is not None:
                display.say(f"{title}: done before, see {files.path}")
            elif getattr(settings, "plot_only", False):
                raise results.ResultError(f"{files.path} is missing; run without --plot-only")
            else:
                display.say(f"{title}:")
                arguments: dict[str, Any] = {"seed": seed}
                if strength is not None:
                    arguments["strength"] = strength
                with display.run(f"{name}/{run_name}"):
                    result = _one_run(name, settings, run, tasks, files, display, arguments, device)
                computed += 1
                later = [folder / f"{one}.json" for one in names[place + 1 :]]
                left = sum(settings.fresh or not path.exists() for path in later)
                if left and computed == 1:
                    text = _duration(left * result["seconds"])
                    display.say(f"{left} runs are left; at this pace they take {text}")
        finished.append(result)
    report(settings, finished, folder, suffix, display)
    for run_name in names:
        path = folder / f"{run_name}.json"
        for written in (path, path.with_suffix(".npz")):
            if written.exists():
                display.say(f"  {written}")
    return 3 if any(result["status"] == "diverged" for result in finished) else 0


def _one_run(
    name: str,
    settings: Any,
    run: Callable[..., Any],
    tasks: Sequence[data.Task],
    files: results.RunFiles,
    display: Display,
    arguments: dict[str, Any],
    device: str,
) -> dict[str, Any]:
    """Does one run, stores its result and returns it."""
    import tensorflow as tf

    progress = Progress(files, display)
    result: dict[str, Any] = {
        "status": "finished",
        "accuracy": None,
        "validation_accuracy": None,
        "metrics": None,
    }
    try:
        run(settings, tasks, **arguments, progress=progress)
    except consolidation.Diverged as error:
        lower = "lower --learning-rate"
        if getattr(settings, "update", "") == "explicit" and "strength" in arguments:
            lower += " or --lambda, or use --update proximal"
        of = f"λ {results.number(arguments['strength'])}, " if "strength" in arguments else ""
        text = f"{name}: diverged at {of}{progress.place}: {error}; {lower}"
        display.say(text)
        result.update(status="diverged", diverged=text)
    else:
        result.update(
            accuracy=progress.accuracy,
            validation_accuracy=progress.validation_accuracy,
            metrics=metrics_of(progress.accuracy),
        )
    result.update(progress.details)
    result["seconds"] = round(progress.seconds, 1)
    result["versions"] = {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": device,
    }
    result["date"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    files.finish(result, progress.arrays)
    return {**files.label, **result}


def metrics_of(accuracy: list[list[float]]) -> dict[str, float | None]:
    """Returns the metrics of a run: of a matrix, or of joint training's single row of T."""
    if len(accuracy) == 1 and len(accuracy[0]) > 1:
        return metrics.joint_summary(accuracy[0])
    return metrics.summary(accuracy)


def choose_strength(finished: Sequence[dict[str, Any]], by_test: bool = False) -> float | None:
    """Returns the λ with the highest accuracy after the last task, mean over tasks and seeds.

    Args:
        finished: results, all of one grid. A λ of which a run diverged is not chosen.
        by_test: by test accuracy, as released (D12), instead of validation accuracy.

    Returns:
        λ; None where there is no grid or every λ diverged.
    """
    key = "accuracy" if by_test else "validation_accuracy"
    means = {}
    for strength in dict.fromkeys(result["lambda"] for result in finished):
        of = [result for result in finished if result["lambda"] == strength]
        if all(result["status"] == "finished" for result in of):
            means[strength] = np.mean([result[key][-1] for result in of])
    return max(means, key=lambda strength: means[strength]) if means else None


def accuracy_report(
    settings: Any,
    finished: Sequence[dict[str, Any]],
    folder: Path,
    suffix: str,
    display: Display,
) -> None:
    """Prints the table over λ and seeds, draws the figures and says where they are.

    Args:
        settings: of the script.
        finished: the results of all runs, finished or diverged.
        folder: of the script's results.
        suffix: of the runs' names, for settings that are not the defaults.
        display: where to print.
    """
    name = finished[0]["script"]
    best = choose_strength(finished, by_test=settings.released("D12"))
    strengths = list(dict.fromkeys(result["lambda"] for result in finished))
    measures = ("ACC", "F", "F_max", "LA")
    labels = {one: "-" if one is None else results.number(one) for one in strengths}
    if len(strengths) > 1 and best is not None:
        labels[best] += " *"
    rows, points, curves, good = [], {}, {}, []
    for strength in strengths:
        of = [result for result in finished if result["lambda"] == strength]
        good = [result for result in of if result["status"] == "finished"]
        for result in of:
            rows.append([labels[strength], str(result["seed"]), *_cells(result, measures)])
        if len(of) > 1 and good:
            each = [
                [result["metrics"][key] for result in good if result["metrics"][key] is not None]
                for key in measures
            ]
            validation = [float(np.mean(result["validation_accuracy"][-1])) for result in good]
            text = [_mean_std(values) for values in [validation, *each]]
            rows.append([labels[strength], f"mean of {len(good)}", *text, ""])
        if strength is not None:
            points[strength] = [
                (float(np.mean(r["validation_accuracy"][-1])), r["metrics"]["ACC"]) for r in good
            ]
        if good and len(good[0]["accuracy"]) == len(good[0]["accuracy"][-1]):
            label = name if strength is None else f"λ {results.number(strength)}"
            curves[label] = [metrics.average_accuracy_curve(r["accuracy"]) for r in good]
    header = ["λ", "seed", "validation ACC", *measures, "seconds"]
    by = "test" if settings.released("D12") else "validation"
    title = f"percent; the best λ by {by} accuracy has a *" if len(strengths) > 1 else "percent"
    display.table(title, header, rows)

    chosen = [r for r in finished if r["lambda"] == best and r["status"] == "finished"]
    if not chosen:
        return
    stem = folder / ((f"lambda{results.number(best)}" if best is not None else "result") + suffix)
    title = name if best is None else f"{name}, λ {results.number(best)}"
    for path in _figures(stem, title, chosen, curves, points, best):
        display.say(f"  {path}")


def _figures(
    stem: Path,
    title: str,
    chosen: Sequence[dict[str, Any]],
    curves: dict[str, list[Any]],
    points: dict[float, list[tuple[float, float]]],
    best: float | None,
) -> Iterator[Path]:
    """Draws the figures of a command: of the chosen λ, and over the grid."""
    matrices = [result["accuracy"] for result in chosen]

    def path(kind: str) -> Path:
        return stem.with_name(f"{stem.name}.{kind}.png")

    if len(matrices[0]) < len(matrices[0][-1]):  # joint training has one row of all tasks
        rows = [matrix[-1] for matrix in matrices]
        each = {
            f"task {number}": metrics.mean_std([100 * value for value in values])
            for number, values in enumerate(zip(*rows, strict=True))
        }
        yield plots.bars(
            {task: {"joint": mean} for task, (mean, _, _) in each.items()},
            {task: {"joint": std} for task, (_, std, _) in each.items()},
            path("tasks"),
            title,
            "test accuracy [%]",
        )
    elif len(matrices[0]) > 1:
        yield plots.accuracy_over_sequence(matrices, path("tasks"), title)
        yield plots.average_accuracy(curves, path("average"), title)
        yield plots.accuracy_matrix(matrices, path("matrix"), title)
    if "sparsity" in chosen[0]:
        yield plots.sparsity(chosen[0]["sparsity"], path("sparsity"), title)
    if best is not None and len(points) > 1:
        yield plots.strength_curve(points, best, path("strength"), title)


def _cells(result: dict[str, Any], measures: Sequence[str]) -> list[str]:
    if result["status"] == "diverged":
        return ["diverged", *["" for _ in measures], f"{result['seconds']:.0f}"]
    values = [float(np.mean(result["validation_accuracy"][-1]))]
    values += [result["metrics"][key] for key in measures]
    cells = ["-" if value is None else f"{100 * value:.2f}" for value in values]
    return [*cells, f"{result['seconds']:.0f}"]


def _mean_std(values: Sequence[float]) -> str:
    if not values:
        return "-"
    mean, std, _ = metrics.mean_std(values)
    return f"{100 * mean:.2f}" + ("" if std is None else f" ± {100 * std:.2f}")


def _plain(value: Any) -> str:
    return "-".join(str(one) for one in value) if isinstance(value, list) else str(value)


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
