"""What a grid of runs shows at its end: the table over λ and seeds, the choice of λ, the figures.

`distribution.report` is the counterpart for the study of importances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from common import metrics
from harness import distribution, figures, process, results, screen, style
from harness.results import Result

import numpy as np

Report: TypeAlias = Callable[
    [Any, Sequence[dict[str, Any]], Path, str, screen.Display],
    None,
]
MEASURES = ("ACC", "F", "F_max", "LA")  # in the table of a grid


def choose_strength(runs: Sequence[Result], by_test: bool = False) -> float | None:
    """Returns the λ with the highest accuracy after the last task, mean over tasks and seeds.

    Args:
        runs: results, all of one grid. A λ of which a run diverged is not chosen.
        by_test: by test accuracy, as released (D12), instead of validation accuracy.

    Returns:
        λ, of equally good ones the smallest; None where the script has none, or with every λ a run
        diverged.
    """
    key = "accuracy" if by_test else "validation_accuracy"
    means = {}
    for strength, seeds in by_strength(runs).items():
        if all(result["status"] == "finished" for result in seeds):
            # Without its last bits: equal accuracies in another order have the same mean.
            means[strength] = round(float(np.mean([result[key][-1] for result in seeds])), 12)
    return max(means, key=lambda strength: (means[strength], -(strength or 0.0)), default=None)


def by_strength(runs: Sequence[Result]) -> dict[float | None, list[Result]]:
    """Returns the runs of each λ, in the order in which λ first comes."""
    strengths = dict.fromkeys(result["lambda"] for result in runs)
    return {x: [result for result in runs if result["lambda"] == x] for x in strengths}


def at_end(best: float, grid: Sequence[float]) -> bool:
    """Whether a chosen λ lies at an end of its grid, beyond which there is more."""
    return len(grid) > 1 and best != 0 and best in (min(grid), max(grid))


def advice(best: float, grid: Sequence[float]) -> str:
    """Returns the advice to widen a grid at whose end the chosen λ lies."""
    end, more = ("largest", "larger") if best == max(grid) else ("smallest", "smaller")
    return (
        f"λ {results.number(best)} is the {end} of the grid, so the best may lie beyond it: "
        f"add {more} values to --lambda"
    )


def accuracy_report(
    settings: Any,
    runs: Sequence[dict[str, Any]],
    folder: Path,
    suffix: str,
    display: screen.Display,
) -> None:
    """Prints the table over λ and seeds, draws the figures and says where they are.

    Args:
        settings: of the script.
        runs: results of all, finished or diverged.
        folder: of the script's results.
        suffix: of the runs' names, for settings that are not the defaults.
        display: where to print.
    """
    name = runs[0]["script"]
    by_test = settings.released("D12")
    best = choose_strength(runs, by_test)
    grid = by_strength(runs)
    several = len(grid) > 1
    rows, points, curves = [], {}, {}
    for strength, seeds in grid.items():
        label = "-" if strength is None else results.number(strength)
        mark = " *" if several and strength == best and best is not None else ""
        finished = [result for result in seeds if result["status"] == "finished"]
        rows += [[label + mark, str(result["seed"]), *_cells(result)] for result in seeds]
        if len(seeds) > 1 and finished:
            columns = zip(*map(_measures, finished), strict=True)
            rows.append([label + mark, f"mean of {len(finished)}", *map(_mean_std, columns), ""])
        if strength is not None:
            pairs = [(results.validation_accuracy(r), r["metrics"]["ACC"]) for r in finished]
            points[strength] = (pairs, len(seeds) - len(finished))
        if finished and not results.is_joint(finished[0]["accuracy"]):
            curve = name if strength is None else f"λ {label}"
            curves[curve] = [metrics.average_accuracy_curve(r["accuracy"]) for r in finished]
    header = ["λ", "seed", "validation ACC", *MEASURES, "seconds"]
    by = "test" if by_test else "validation"
    title = f"percent; the best λ by {by} accuracy has a *" if several else "percent"
    display.table(title, header, rows)
    if best is not None and at_end(best, list(points)):
        display.say(f"  {advice(best, list(points))}")

    chosen = [r for r in runs if r["lambda"] == best and r["status"] == "finished"]
    if settings.figures != "none" and not chosen:
        display.say("  no figures: every run diverged, or with every λ one did")
        return
    stem = ("result" if best is None else f"lambda{results.number(best)}") + suffix
    title = name if best is None else f"{name}, λ {results.number(best)}"
    draw(
        lambda: _drawings(name, title, chosen, curves, points, best),
        folder / stem,
        settings.figures,
        display,
    )


def draw(
    drawings: Callable[[], Sequence[style.Drawing]],
    stem: Path,
    kind: str,
    display: screen.Display,
) -> None:
    """Draws the figures of a command, and says where they are, or why there is none.

    Args:
        drawings: returns them, once Matplotlib is needed.
        stem: of the names of their files.
        kind: as --figures has it.
        display: where to say so.
    """
    if kind == "none":
        return
    try:
        for line in style.write_all(drawings(), stem, kind):
            display.say(f"  {line}")
    except Exception as error:  # Matplotlib itself may not load
        display.say(f"  no figures: {process.reason(error)}")


def _drawings(
    script: str,
    title: str,
    chosen: Sequence[dict[str, Any]],
    curves: dict[str, list[Any]],
    points: dict[float, tuple[list[tuple[float, float]], int]],
    best: float | None,
) -> list[style.Drawing]:
    """Returns the figures of a command: of the chosen λ, and over the grid."""
    matrices = [result["accuracy"] for result in chosen]
    drawn = []

    def add(name: str, function: Callable[..., Any], **arguments: Any) -> None:
        drawn.append(style.Drawing(name, function, title, arguments))

    if results.is_joint(matrices[0]):
        means: dict[str, dict[str, float]] = {}
        stds: dict[str, dict[str, float | None]] = {}
        for number, values in enumerate(zip(*(matrix[-1] for matrix in matrices), strict=True)):
            mean, std, _ = metrics.mean_std([100 * value for value in values])
            means[f"task {number}"], stds[f"task {number}"] = {"joint": mean}, {"joint": std}
        add(
            "tasks",
            figures.bars,
            groups=means,
            errors=stds,
            ylabel="test accuracy [%]",
            methods={"joint": script},
        )
    elif len(matrices[0]) > 1:
        add("tasks", figures.accuracy_over_sequence, matrices=matrices)
        methods = dict.fromkeys(curves, script) if len(curves) == 1 else None
        add("average", figures.average_accuracy, curves=curves, methods=methods)
        add("matrix", figures.accuracy_matrix, matrices=matrices)
    if "sparsity" in chosen[0]:
        add("sparsity", figures.sparsity, records=chosen[0]["sparsity"])
    if "trace" in chosen[0]:
        add("trace", figures.accuracy_trace, traces=[result["trace"] for result in chosen])
    if all("omega" in result for result in chosen):
        omega = distribution.summed([result["omega"] for result in chosen])
        add("omega", figures.omega_histogram, histograms=omega)
    if best is not None and len(points) > 1:
        add("strength", figures.strength_curve, points=points, best=best, method=script)
    return drawn


def _measures(result: Result) -> list[float | None]:
    """Returns the numbers of a finished run that the table shows, fractions."""
    return [results.validation_accuracy(result), *(result["metrics"][key] for key in MEASURES)]


def _cells(result: Result) -> list[str]:
    seconds = f"{result['seconds']:.0f}"
    if result["status"] == "diverged":
        return ["diverged", *["" for _ in MEASURES], seconds]
    cells = ["-" if value is None else f"{100 * value:.2f}" for value in _measures(result)]
    return [*cells, seconds]


def _mean_std(column: Sequence[float | None]) -> str:
    values = [value for value in column if value is not None]
    if not values:
        return "-"
    mean, std, _ = metrics.mean_std(values)
    return f"{100 * mean:.2f}" + ("" if std is None else f" ± {100 * std:.2f}")
