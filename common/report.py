"""What a grid of runs shows at its end: the table over λ and seeds, the choice of λ, the figures.

`distribution.report` is the counterpart for the study of importances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from common import distribution, metrics, plots, progress, results

Report: TypeAlias = Callable[
    [Any, Sequence[dict[str, Any]], Path, str, progress.Display],
    None,
]


def choose_strength(finished: Sequence[Mapping[str, Any]], by_test: bool = False) -> float | None:
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
            # Without its last bits: equal accuracies in another order have the same mean.
            means[strength] = round(float(np.mean([result[key][-1] for result in of])), 12)
    return max(means, key=lambda strength: means[strength]) if means else None


def edge(best: float, strengths: Sequence[float]) -> str:
    """Returns the advice to widen a grid where the chosen λ lies at its end, else ""."""
    if len(strengths) == 1 or min(strengths) < best < max(strengths) or best == 0:
        return ""
    end, more = ("largest", "larger") if best == max(strengths) else ("smallest", "smaller")
    return (
        f"λ {results.number(best)} is the {end} of the grid, so the best may lie beyond it: "
        f"add {more} values to --lambda"
    )


def accuracy_report(
    settings: Any,
    finished: Sequence[dict[str, Any]],
    folder: Path,
    suffix: str,
    display: progress.Display,
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
    if best is not None and (advice := edge(best, strengths)):
        display.say(f"  {advice}")

    chosen = [r for r in finished if r["lambda"] == best and r["status"] == "finished"]
    if settings.no_figures or not chosen:
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
    if "trace" in chosen[0]:
        traces = [result["trace"] for result in chosen]
        yield plots.accuracy_trace(traces, path("trace"), title)
    if "omega" in chosen[0]:
        omega = distribution.summed([result["omega"] for result in chosen])
        yield plots.omega_histogram(omega, path("omega"), title)
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
