"""Runs a script: command line, grid of (λ, seed) runs, resume, one run.

A script's `main` is `experiment.main(Settings, run, __file__, __doc__)`; its `run` is a `Run`.
"""

from __future__ import annotations

import dataclasses
import datetime
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from common import consolidation, data
from harness import options, process, report, results, run_files, screen
from harness import progress as progresses

import numpy as np

_COLUMNS = 3  # of settings on the screen, at most
_AGAIN_SECONDS = 3  # between two looks at the runs that other processes hold


class Run(Protocol):
    """A script's `run`: one method, written out over its tasks."""

    def __call__(
        self,
        settings: Any,
        tasks: Sequence[data.Task],
        strength: float = ...,
        seed: int = 0,
        progress: progresses.Progress | None = None,
    ) -> np.ndarray:
        """Learns the tasks.

        Args:
            settings: of the script; their lists of λ and seeds are not used.
            tasks: in order, numbered from 0; of any data sets, large and small, of the same number
                of pixels and of classes. Joint training takes those of one data set.
            strength: λ; only where the settings have it.
            seed: of initial weights, shuffling, dropout and drawn labels.
            progress: of a run that is shown, saved and resumed; None for none of that.

        Returns:
            The test accuracies as fractions: R [T, T], row i after task i, NaN above the diagonal.
            [1, T] for methods that learn all tasks at once.

        Raises:
            consolidation.Diverged: loss, parameters or importance are no longer finite.
            ValueError: one network cannot learn these tasks, or a training set is smaller than one
                batch.
        """


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
        dataset = data.load_mnist(settings.data_dir)
        for warning in data.warnings(dataset):
            print(f"{name}: warning: {warning}", file=sys.stderr)
        if settings.train_examples is not None:
            dataset = dataset.first(settings.train_examples)
        _check_size(settings, dataset)
        folder = settings.results_dir / name
        grid = Grid(name, folder, settings, dataset, results.code_digest(Path(script)))
        sys.exit(grid.run(run, show or report.accuracy_report))


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
    # Weights, their gradient and the next ones; with a penalty also Ω, its pull and the anchor, as
    # they are and in the order of the task's pixels, and the sums of an importance pass.
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
        of = "" if self.strength is None else f"λ {results.number(self.strength)}, "
        return f"{of}seed {self.seed}"


class Grid:
    """The runs of one command: every λ with every seed.

    Several processes may share a grid: each takes the runs that no other one holds.
    """

    def __init__(
        self, name: str, folder: Path, settings: Any, dataset: data.Dataset, code: str
    ) -> None:
        """Names the runs and their files.

        Args:
            name: of the script.
            folder: of its results.
            settings: of the script.
            dataset: as read.
            code: `results.code_digest` of the script.
        """
        self._name, self._folder, self._settings, self._code = name, folder, settings, code
        self._dataset, self._checksum = dataset, dataset.checksum

        def planned(strength: float | None, seed: int) -> Planned:
            files = run_files.files_of(
                name, folder, settings, strength, seed, dataset.checksum, code
            )
            return Planned(strength, seed, files)

        strengths = getattr(settings, "strength", (None,))
        self._runs = [planned(strength, seed) for strength in strengths for seed in settings.seeds]

    def run(self, run: Run, show: report.Report) -> int:
        """Does every run that is not done yet, and reports.

        Args:
            run: of the script.
            show: the results of all runs.

        Returns:
            The exit status.
        """
        display = screen.Display(self._settings.tensorboard)
        fresh = self._settings.fresh
        done = self._stored()
        pending = [one for one in self._runs if one not in done]
        if pending:
            process.writable(self._folder, "--results-dir")
            if self._settings.tensorboard:
                process.writable(self._settings.tensorboard, "--tensorboard")
            with process.silent_unless_failing():
                import tensorflow as tf

                device = process.set_up_device(self._settings.device)
                tf.function(lambda one: one, jit_compile=True)(0.0)  # XLA has its say at first use
                dataset = self._dataset.convert(tf.constant)
                del self._dataset
            display.say(f"{self._name} on {device}, TensorFlow {tf.__version__}")
        else:
            display.say(f"{self._name}: all runs are done")
        self._show_settings(display)
        for one in done:
            display.say(f"{one.title}: done before, see {one.files.path}")
        self._warn_of_other_sources(list(done.values()), display)
        computed, told = 0, False
        while pending:
            passed = []
            for place, planned in enumerate(pending):
                with planned.files.locked() as held:
                    if not held:
                        passed.append(planned)
                        continue
                    if fresh:
                        planned.files.discard()
                    result = planned.files.read()
                    if result is not None:
                        display.say(f"{planned.title}: done by another process")
                    else:
                        result = self._one_run(run, planned, dataset, device, display)
                        computed += 1
                        if computed == 1:
                            later = pending[place + 1 :]
                            self._say_what_is_left(later, result["seconds"], display)
                    done[planned] = result
            if passed and not told:
                told = True
                runs = "1 run" if len(passed) == 1 else f"{len(passed)} runs"
                display.say(f"{runs}: another process is working there; waiting for it")
            if len(passed) == len(pending):
                time.sleep(_AGAIN_SECONDS)
            pending = passed
        in_order = [done[one] for one in self._runs]
        suffix = results.settings_hash(*run_files.identities(self._settings, self._checksum))
        show(self._settings, in_order, self._folder, suffix, display)
        for one in self._runs:
            for written in (one.files.path, one.files.path.with_suffix(".npz")):
                if written.exists():
                    display.say(f"  {written}")
        return 3 if any(result["status"] == "diverged" for result in in_order) else 0

    def _stored(self) -> dict[Planned, dict[str, Any]]:
        """Returns the results of the runs that need not be done.

        Raises:
            ResultError: one cannot be used; or is missing where figures alone are wanted.
        """
        plot_only = getattr(self._settings, "plot_only", False)
        found: dict[Planned, dict[str, Any]] = {}
        if self._settings.fresh and not plot_only:
            return found
        for one in self._runs:
            result = one.files.read()
            if result is not None:
                found[one] = result
            elif plot_only:
                raise results.ResultError(f"{one.files.path} is missing; run without --plot-only")
        return found

    def _show_settings(self, display: screen.Display) -> None:
        """Shows what differs from the script's defaults, and the rest in columns."""
        now = self._settings
        identity, default = run_files.identities(now, self._checksum)
        changed: list[str] = []
        kept: list[str] = []
        for name, known in options.options_of(type(now)).items():
            if name in identity and name != "as_released":
                text = f"{known.flag} {options.shown(getattr(now, name))}"
                (kept if identity[name] == default[name] else changed).append(text)
        text = f"data {identity['data'][:8]}"
        (kept if identity["data"] == default["data"] else changed).append(text)
        display.say(f"  not the defaults: {', '.join(changed) or 'nothing'}")
        display.say(f"  as released: {' '.join(now.as_released) or 'nothing'}")
        width = max(len(text) for text in kept) + 2
        columns = max(1, min(_COLUMNS, display.width // width))
        for first in range(0, len(kept), columns):
            row = "".join(text.ljust(width) for text in kept[first : first + columns])
            display.say(f"  {row.rstrip()}")
        runs = len(self._runs)
        if runs > 1:
            seeds = len(now.seeds)
            display.say(f"{runs} runs, λ x seeds: {runs // seeds} x {seeds}")

    def _warn_of_other_sources(
        self, stored: Sequence[dict[str, Any]], display: screen.Display
    ) -> None:
        other = sum(result["versions"].get("code") != self._code for result in stored)
        if other:
            which = "a stored result" if other == 1 else f"{other} stored results"
            display.say(f"{which} of other sources of this script; --fresh computes anew")

    def _say_what_is_left(
        self, later: Sequence[Planned], seconds: float, display: screen.Display
    ) -> None:
        left = sum(self._settings.fresh or not one.files.path.exists() for one in later)
        if left:
            runs, they = (
                ("1 run is", "it takes") if left == 1 else (f"{left} runs are", "they take")
            )
            text = screen.duration(left * seconds)
            display.say(f"{runs} left; at this pace {they} {text}")

    def _one_run(
        self,
        run: Run,
        planned: Planned,
        dataset: data.Dataset,
        device: str,
        display: screen.Display,
    ) -> dict[str, Any]:
        """Does a run that this process holds, stores its result and returns it."""
        import tensorflow as tf

        strength, seed, files = planned.strength, planned.seed, planned.files
        progress = progresses.Progress(files, display, self._versions(device))
        arguments: dict[str, Any] = {"seed": seed, "progress": progress}
        if strength is not None:
            arguments["strength"] = strength
        tasks = data.tasks_of(self._settings, dataset, seed)
        result: dict[str, Any] = {
            "status": "finished",
            "accuracy": None,
            "validation_accuracy": None,
            "metrics": None,
        }
        display.say(f"{planned.title}:")
        try:
            with display.run(f"{self._name}/{files.path.stem}"):
                run(self._settings, tasks, **arguments)
        except consolidation.Diverged as error:
            result.update(status="diverged", diverged=self._blame(planned, progress, error))
            display.say(result["diverged"])
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

    def _versions(self, device: str) -> dict[str, str]:
        """Returns the versions that a result names."""
        import tensorflow as tf

        return {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "platform": platform.platform(),
            "device": device,
            "threads": process.threads(),
            "code": self._code,
        }

    def _blame(
        self, planned: Planned, progress: progresses.Progress, error: consolidation.Diverged
    ) -> str:
        """Returns where a run diverged and what to lower."""
        lower = "lower --learning-rate"
        if planned.strength:
            lower += " or --lambda"
            if getattr(self._settings, "update", "") == "explicit":
                lower += ", or use --update proximal"
        place = f"{planned.title}, {progress.place}"
        return f"{self._name}: diverged at {place}: {error}; {lower}"
