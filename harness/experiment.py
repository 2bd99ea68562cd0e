"""Runs a script: command line, grid of (λ, seed) runs, resume, one run.

A script's `main` is `experiment.main(Settings, run, __file__, __doc__)`; its `run` is a `Run`. It
may import TensorFlow at its top, but then `--help` and every refusal wait for that.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import inspect
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from common import consolidation, data
from harness import options, process, report, results, run_files, screen
from harness.progress import Progress

import numpy as np

_COLUMNS = 3  # of settings on the screen, at most
_AGAIN_SECONDS = 3  # between two looks at the runs that other processes hold


class Run(Protocol):
    """A script's `run`: one method, written out over its tasks, made callable by `method`."""

    def __call__(
        self,
        settings: Any,
        tasks: Sequence[data.Task],
        strength: float | None = None,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Learns the tasks.

        Args:
            settings: of the script.
            tasks: in order, numbered from 0; of any data sets, large and small, of the same number
                of pixels and of classes. Joint training takes those of one data set.
            strength: λ; None for the first of the settings. Only where they have it.
            seed: of initial weights, shuffling, dropout and drawn labels; None for the settings'
                first.
            progress: of a run that is shown, saved and resumed; None for none of that.

        Returns:
            The test accuracies as fractions: R [T, T], row i after task i, NaN above the diagonal.
            [1, T] for methods that learn all tasks at once.

        Raises:
            consolidation.Diverged: loss, parameters or importance are no longer finite.
            ValueError: one network cannot learn these tasks, or a training set is smaller than one
                batch.
        """


def method(function: Callable[..., np.ndarray]) -> Run:
    """Makes a script's `run` of (settings, tasks, [strength,] seed, progress) callable as `Run`."""
    takes_strength = "strength" in inspect.signature(function).parameters

    @functools.wraps(function)
    def run(
        settings: Any,
        tasks: Sequence[data.Task],
        strength: float | None = None,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        arguments: dict[str, Any] = {
            "seed": settings.seeds[0] if seed is None else seed,
            "progress": progress or Progress(),
        }
        if takes_strength:
            arguments["strength"] = settings.strength[0] if strength is None else strength
        elif strength is not None:
            raise TypeError(f"{function.__module__} has no strength")
        return function(settings, tasks, **arguments)

    return run


def main(
    cls: type[Any],
    run: Run,
    script: str,
    description: str,
    show: report.Report | None = None,
) -> None:
    """Runs a script from its command line and ends the process with its exit status.

    0: done; 2: bad input, in one line on standard error; 3: a run diverged; 130: interrupted.

    Args:
        cls: the settings, a subclass of `options.Settings`.
        run: of the script.
        script: path of the script.
        description: its docstring.
        show: shows and draws the results of all runs; None for accuracies over λ and seeds.
    """
    name = Path(script).stem
    process.usable_streams()
    process.own_figure_settings()
    settings = options.parse(cls, description)
    again = "the same command continues"
    interrupted = (
        f"{'without --fresh, ' if settings.fresh else ''}{again} after the last finished epoch"
    )
    with process.errors_in_one_line(
        name, settings.results_dir, interrupted, f"; finished results are safe, and {again}"
    ):
        code = results.code_digest(Path(script))
        grid = Grid(name, settings, run, _read_data(name, settings), code)
        sys.exit(grid.execute(show or report.accuracy_report))


def _read_data(name: str, settings: Any) -> data.Dataset:
    """Returns the data set of a script's runs, and warns of what trains into nonsense."""
    dataset = data.load_mnist(settings.data_dir)
    for warning in data.warnings(dataset):
        print(f"{name}: warning: {warning}", file=sys.stderr)
    if settings.train_examples is not None:
        dataset = dataset.first(settings.train_examples)
    _check_size(settings, dataset)
    return dataset


def _check_size(settings: Any, dataset: data.Dataset) -> None:
    """Refuses a batch larger than the training set, and a network that the memory cannot hold."""
    if settings.batch_size > len(dataset.train.labels):
        raise options.UsageError(
            f"--batch-size {settings.batch_size} is more than the {len(dataset.train.labels)} "
            "training images"
        )
    first, second = settings.hidden
    heads = settings.tasks if settings.head == "multi" else 1
    entries = (dataset.pixels + second) * first + heads * second * dataset.classes
    # Weights, their gradient and the next ones; with a penalty also Ω, curvature, anchor, as they
    # are and in order of the pixels, and the sums of an importance pass.
    needed = 4 * entries * (12 if hasattr(settings, "update") else 3)
    available = process.memory()
    if needed > available:
        raise options.UsageError(
            f"a network of --hidden {first} {second} and --tasks {settings.tasks} takes at least "
            f"{needed / 2**30:,.0f} GiB of memory, and there are {available / 2**30:,.0f} GiB"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Planned:
    """A run of a grid: λ, None where the script has none, seed and files."""

    strength: float | None
    seed: int
    files: run_files.RunFiles

    @property
    def title(self) -> str:
        """What the screen calls it."""
        strength = "" if self.strength is None else f"λ {results.number(self.strength)}, "
        return f"{strength}seed {self.seed}"


class Grid:
    """The runs of one command: every λ with every seed.

    Several processes may share a grid: each takes the runs that no other one holds.
    """

    def __init__(
        self,
        name: str,
        settings: Any,
        run: Run,
        dataset: data.Dataset,
        code: str,
    ) -> None:
        """Names the runs and their files.

        Args:
            name: of the script.
            settings: of the script.
            run: of the script.
            dataset: as read. Who calls this keeps no reference to it: it moves to the device.
            code: `results.code_digest` of the script.
        """
        self._name, self._settings, self._run, self._code = name, settings, run, code
        self._dataset, self._checksum = dataset, dataset.checksum
        self._folder = settings.results_dir / name
        self._device = ""
        self._display = screen.Display(settings.tensorboard)

        def planned(strength: float | None, seed: int) -> Planned:
            files = run_files.files_of(
                name, self._folder, settings, strength, seed, dataset.checksum, code
            )
            return Planned(strength, seed, files)

        strengths = getattr(settings, "strength", (None,))
        self._runs = [planned(strength, seed) for strength in strengths for seed in settings.seeds]

    def execute(self, show: report.Report) -> int:
        """Does every run that is not done yet, and reports.

        Args:
            show: the results of all runs.

        Returns:
            The exit status.
        """
        done = self._stored()
        pending = [planned for planned in self._runs if planned not in done]
        if pending:
            self._start_tensorflow()
        else:
            self._display.say(f"{self._name}: all runs are done")
        self._show_settings()
        for planned in done:
            self._display.say(f"{planned.title}: done before, see {planned.files.path}")
        self._warn_of_other_sources(list(done.values()))
        done |= self._do(pending)
        self._report(show, [done[planned] for planned in self._runs])
        return 3 if any(result["status"] == "diverged" for result in done.values()) else 0

    def _stored(self) -> dict[Planned, dict[str, Any]]:
        """Returns the results of the runs that need not be done.

        Raises:
            ResultError: one cannot be used; or is missing where figures alone are wanted.
        """
        plot_only = getattr(self._settings, "plot_only", False)
        stored: dict[Planned, dict[str, Any]] = {}
        if self._settings.fresh and not plot_only:
            return stored
        for planned in self._runs:
            result = planned.files.read()
            if result is not None:
                stored[planned] = result
            elif plot_only:
                path = planned.files.path
                raise results.ResultError(f"{path} is missing; run without --plot-only")
        return stored

    def _start_tensorflow(self) -> None:
        """Loads TensorFlow, and moves the data to the device; not before all else has been checked.

        Raises:
            UsageError: a folder cannot be written, or there is no such device.
        """
        process.writable(self._folder, "--results-dir")
        if self._settings.tensorboard:
            process.writable(self._settings.tensorboard, "--tensorboard")
        with process.silent_unless_failing():
            import tensorflow as tf

            self._device = process.set_up_device(self._settings.device)
            tf.function(lambda x: x, jit_compile=True)(0.0)  # XLA has its say at first use
            self._dataset = self._dataset.convert(tf.constant)
        self._display.say(f"{self._name} on {self._device}, TensorFlow {tf.__version__}")

    def _do(self, pending: Sequence[Planned]) -> dict[Planned, dict[str, Any]]:
        """Returns the results of runs: own ones, and of those that others hold in the end theirs.

        Args:
            pending: the runs.
        """
        done: dict[Planned, dict[str, Any]] = {}
        is_first, told = True, False
        while pending:
            passed = []
            for place, planned in enumerate(pending):
                with planned.files.locked() as held:
                    if not held:
                        passed.append(planned)
                        continue
                    if self._settings.fresh:
                        planned.files.discard()
                    result = planned.files.read()
                    if result is not None:
                        self._display.say(f"{planned.title}: done by another process")
                    else:
                        result = self._do_one(planned)
                        if is_first:
                            self._say_what_is_left(pending[place + 1 :], result["seconds"])
                        is_first = False
                    done[planned] = result
            if passed and not told:
                told = True
                runs = "1 run" if len(passed) == 1 else f"{len(passed)} runs"
                self._display.say(f"{runs}: another process is working there; waiting for it")
            if len(passed) == len(pending):
                time.sleep(_AGAIN_SECONDS)
            pending = passed
        return done

    def _report(self, show: report.Report, runs: Sequence[dict[str, Any]]) -> None:
        """Shows and draws the results of all runs, and names their files."""
        suffix = results.settings_hash(*run_files.identities(self._settings, self._checksum))
        show(self._settings, runs, self._folder, suffix, self._display)
        for planned in self._runs:
            for path in (planned.files.path, planned.files.path.with_suffix(".npz")):
                if path.exists():
                    self._display.say(f"  {path}")

    def _show_settings(self) -> None:
        """Shows what differs from the script's defaults, and the rest in columns."""
        settings, display = self._settings, self._display
        identity, default = run_files.identities(settings, self._checksum)
        changed: list[str] = []
        kept: list[str] = []
        for name, declared in options.options_of(type(settings)).items():
            if name in identity and name != "as_released":
                text = f"{declared.flag} {options.shown(getattr(settings, name))}"
                (kept if identity[name] == default[name] else changed).append(text)
        text = f"data {identity['data'][:8]}"
        (kept if identity["data"] == default["data"] else changed).append(text)
        display.say(f"  not the defaults: {', '.join(changed) or 'nothing'}")
        display.say(f"  as released: {' '.join(settings.as_released) or 'nothing'}")
        width = max(len(text) for text in kept) + 2
        columns = max(1, min(_COLUMNS, display.width // width))
        for first in range(0, len(kept), columns):
            row = "".join(text.ljust(width) for text in kept[first : first + columns])
            display.say(f"  {row.rstrip()}")
        runs = len(self._runs)
        if runs > 1:
            seeds = len(settings.seeds)
            display.say(f"{runs} runs, λ x seeds: {runs // seeds} x {seeds}")

    def _warn_of_other_sources(self, stored: Sequence[dict[str, Any]]) -> None:
        other = sum(result["versions"].get("code") != self._code for result in stored)
        if other:
            which = "a stored result" if other == 1 else f"{other} stored results"
            self._display.say(f"{which} of other sources of this script; --fresh computes anew")

    def _say_what_is_left(self, later: Sequence[Planned], seconds: float) -> None:
        fresh = self._settings.fresh
        left = sum(fresh or not planned.files.path.exists() for planned in later)
        if left:
            runs, they = (
                ("1 run is", "it takes") if left == 1 else (f"{left} runs are", "they take")
            )
            text = screen.duration(left * seconds)
            self._display.say(f"{runs} left; at this pace {they} {text}")

    def _do_one(self, planned: Planned) -> dict[str, Any]:
        """Does a run that this process holds, stores its result and returns it."""
        import tensorflow as tf

        files, seed = planned.files, planned.seed
        progress = Progress(files, self._display, self._versions())
        tasks = data.tasks_of(self._settings, self._dataset, seed)
        result: dict[str, Any] = {
            "status": "finished",
            "accuracy": None,
            "validation_accuracy": None,
            "metrics": None,
        }
        self._display.say(f"{planned.title}:")
        try:
            with self._display.run(f"{self._name}/{files.path.stem}"):
                self._run(self._settings, tasks, planned.strength, seed, progress)
        except consolidation.Diverged as error:
            result.update(status="diverged", diverged=self._blame(planned, progress, error))
            self._display.say(result["diverged"])
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            raise options.UsageError(
                f"out of memory at {progress.place}; lower --hidden, --tasks or --batch-size"
            ) from error
        else:
            result.update(
                accuracy=progress.accuracy,
                validation_accuracy=progress.validation_accuracy,
                metrics=results.metrics_of(progress.accuracy, progress.trace),
            )
        if progress.trace:
            result["trace"] = progress.trace
        result.update(progress.details)
        result["seconds"] = round(progress.seconds, 2)
        *before, result["versions"] = progress.versions
        if before:
            result["versions_before"] = before
        now = datetime.datetime.now(datetime.UTC)
        result["date"] = now.isoformat(timespec="seconds")
        files.finish(result, progress.arrays)
        return {**files.label, **result}

    def _versions(self) -> dict[str, str]:
        """Returns the versions that a result names."""
        import tensorflow as tf

        return {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "platform": platform.platform(),
            "device": self._device,
            "threads": process.threads(),
            "code": self._code,
        }

    def _blame(self, planned: Planned, progress: Progress, error: consolidation.Diverged) -> str:
        """Returns where a run diverged and what to lower."""
        lower = "lower --learning-rate"
        if planned.strength:
            lower += " or --lambda"
            if getattr(self._settings, "update", "") == "explicit":
                lower += ", or use --update proximal"
        place = f"{planned.title}, {progress.place}"
        return f"{self._name}: diverged at {place}: {error}; {lower}"
