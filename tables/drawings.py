"""What the figures of a table draw: plain numbers from its stored runs, for `tables.figures`.

Every function takes a filled table and returns its figures, one for each group of rows unless it
says otherwise.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from common import metrics
from harness import figures as run_figures
from harness import results, style
from tables import contents, figures


def curves(filled: contents.TableResults) -> list[style.Drawing]:
    """ACC after each task, a line a row; joint training has a level."""

    def data(rows: Sequence[contents.RowResults]) -> dict[str, Any]:
        lines, levels = _apart_from_joint(rows)
        curves = {
            label: [metrics.average_accuracy_curve(run["accuracy"]) for run in runs]
            for label, runs in lines.items()
        }
        ends = {label: [run["metrics"]["ACC"] for run in runs] for label, runs in levels.items()}
        arguments = {"curves": curves, "levels": ends, "methods": _methods(filled, rows)}
        return arguments if lines else {}

    return _by_group(filled, "curves", run_figures.average_accuracy, "ACC after each task", data)


def final_accuracies(filled: contents.TableResults) -> list[style.Drawing]:
    """The accuracy on each task after the last one, a line a row."""

    def data(rows: Sequence[contents.RowResults]) -> dict[str, Any]:
        lines, levels = (
            {label: [run["accuracy"][-1] for run in runs] for label, runs in part.items()}
            for part in _apart_from_joint(rows)
        )
        arguments = {"rows": lines, "levels": levels, "methods": _methods(filled, rows)}
        return arguments if lines else {}

    title = "final accuracy on each task"
    return _by_group(filled, "final", figures.final_accuracy, title, data)


def strengths(filled: contents.TableResults) -> list[style.Drawing]:
    """Validation ACC and F over λ, from the runs that chose it."""

    def data(rows: Sequence[contents.RowResults]) -> dict[str, Any]:
        points: dict[str, Any] = {}
        chosen = {}
        for row in rows:
            if not row.grid:
                continue
            points[row.row.label] = {
                strength: _validation([run for run in row.tuning if run["lambda"] == strength])
                for strength in row.grid
            }
            if row.strengths:
                chosen[row.row.label] = row.strengths[0]
        arguments = {"points": points, "chosen": chosen, "methods": _methods(filled, rows)}
        return arguments if points else {}

    def title(rows: Sequence[contents.RowResults]) -> str:
        seeds = sorted({row.chosen_by for row in rows if row.grid})
        many = f"{' or '.join(map(str, seeds))} seed{'s' if seeds != [1] else ''}"
        return f"choice of λ on the validation set, {many}"

    return _by_group(filled, "strengths", figures.over_strengths, title, data)


def _validation(runs: Sequence[results.Result]) -> tuple[list[tuple[float, float]], int]:
    """Returns validation ACC and F of the runs that finished, and how many diverged."""
    matrices = [run["validation_accuracy"] for run in runs if run["status"] == "finished"]
    pairs = [(metrics.average_accuracy(matrix), metrics.forgetting(matrix)) for matrix in matrices]
    return pairs, len(runs) - len(pairs)


def means(filled: contents.TableResults) -> list[style.Drawing]:
    """ACC of every row, all groups in one figure."""
    column = filled.table.columns[0]
    data = {
        group: {_label(row, column): list(row.values(column).values()) for row in rows}
        for group, rows in filled.groups().items()
    }
    arguments = {"groups": data, "xlabel": "Test accuracy, mean of all tasks (%)"}
    title = f"{filled.table.title}: {column.title} of every row"
    return [style.Drawing("means", figures.means, title, arguments)]


def differences(filled: contents.TableResults) -> list[style.Drawing]:
    """Paired differences to the reference, all groups in one figure."""
    column = filled.table.columns[0]
    data: dict[str, dict[str, Any]] = {}
    for group, rows in filled.groups().items():
        compared: dict[str, Any] = {}
        references: dict[str, None] = {}
        for row in rows:
            reference = filled.reference(row)
            less = contents.difference(row, reference, column) if reference else None
            if reference and less:
                compared[_label(row, column)] = (less.mean, less.std, list(less.values))
                references[reference.row.label] = None
        if compared:
            data[f"{group} (reference: {'; '.join(references)})".lstrip()] = compared
    xlabel = f"{column.title} less that of the reference, paired by seed (percentage points)"
    arguments = {"groups": data, "xlabel": xlabel}
    title = f"{filled.table.title}: differences in {column.title}"
    drawing = style.Drawing("differences", figures.differences, title, arguments)
    return [drawing] if data else []


def updates(filled: contents.TableResults) -> list[style.Drawing]:
    """ACC over λ, a panel a group and a line a row."""
    data = {
        group: {
            row.row.label: {
                column.strength: (list(row.values(column).values()), row.diverged(column))
                for column in filled.table.columns
            }
            for row in rows
        }
        for group, rows in filled.groups().items()
    }
    return [style.Drawing("strengths", figures.updates, filled.table.title, {"points": data})]


def agreement(filled: contents.TableResults) -> list[style.Drawing]:
    """ACC of every script beside that of the release where there is one."""
    column = filled.table.columns[0]
    data = {}
    for row in filled.rows:
        if row.command is None:
            continue
        reference = filled.reference(row)
        theirs = reference.estimate(column) if reference else None
        ours = list(row.values(column).values())
        data[row.command.script] = (list(theirs.values) if theirs else None, ours)
    return [style.Drawing("agreement", figures.agreement, filled.table.title, {"pairs": data})]


def along_training(filled: contents.TableResults) -> list[style.Drawing]:
    """The accuracy of the first tasks in the course of training, a panel a row."""

    def data(rows: Sequence[contents.RowResults]) -> dict[str, Any]:
        traces = {label: [run["trace"] for run in runs] for label, runs in _finished(rows).items()}
        return {"traces": traces} if traces else {}

    title = "the first tasks"
    return _by_group(filled, "trace", figures.along_training, title, data)


def first_epoch(filled: contents.TableResults) -> list[style.Drawing]:
    """How accuracy on earlier tasks changes within a task's first epoch, a line a row."""

    def data(rows: Sequence[contents.RowResults]) -> dict[str, Any]:
        lines = {
            label: [changes_within(run["trace"]) for run in runs]
            for label, runs in _finished(rows).items()
        }
        return {"changes": lines, "methods": _methods(filled, rows)} if lines else {}

    title = "the first epoch of a task"
    return _by_group(filled, "first-epoch", figures.first_epoch, title, data)


def changes_within(trace: metrics.Trace) -> dict[int, float]:
    """Returns how accuracy on earlier tasks has changed after each step of a task's first epoch.

    Args:
        trace: of a run with readings within each task's first epoch.

    Returns:
        Per step at which was read, 0 before the first: the change of the mean accuracy on the
        earlier tasks since the task began, a fraction, mean over all tasks but the first.
    """
    changes: dict[int, list[float]] = {}
    by_task = [[*part] for _, part in itertools.groupby(trace, lambda reading: reading["task"])]
    for task, (earlier, own) in enumerate(itertools.pairwise(by_task), start=1):
        before = earlier[-1]
        place = own[0]["phase"], own[0]["epoch"]
        for reading in (before, *own):
            if reading is before or (reading["phase"], reading["epoch"]) == place:
                change = sum(reading["accuracy"][:task]) - sum(before["accuracy"][:task])
                step = reading["step"] - before["step"]
                changes.setdefault(step, []).append(change / task)
    return {step: sum(values) / len(values) for step, values in changes.items()}


def _methods(filled: contents.TableResults, rows: Sequence[contents.RowResults]) -> dict[str, str]:
    """Returns the script of every label of a table, so that a row looks alike in all its figures.

    Args:
        filled: the table.
        rows: of the figure, whose scripts count where a label stands in several groups.
    """
    every = [row for row in (*filled.rows, *rows) if row.command]
    return {row.row.label: row.command.script for row in every if row.command}


def _finished(rows: Sequence[contents.RowResults]) -> dict[str, list[results.Result]]:
    """Returns the runs that finished of every row that has some, by label."""
    return {row.row.label: finished for row in rows if (finished := row.finished)}


def _apart_from_joint(
    rows: Sequence[contents.RowResults],
) -> tuple[dict[str, list[results.Result]], dict[str, list[results.Result]]]:
    """Returns the finished runs of methods that learn task after task, and of joint training."""
    joint = {
        label: runs
        for label, runs in _finished(rows).items()
        if results.is_joint(runs[0]["accuracy"])
    }
    others = {label: runs for label, runs in _finished(rows).items() if label not in joint}
    return others, joint


def _label(row: contents.RowResults, column: contents.Column) -> str:
    diverged = row.diverged(column)
    return row.row.label + (f" ({diverged} of {len(row.runs)} diverged)" if diverged else "")


def _by_group(
    filled: contents.TableResults,
    name: str,
    draw: Callable[..., Any],
    title: str | Callable[[Sequence[contents.RowResults]], str],
    data: Callable[[Sequence[contents.RowResults]], dict[str, Any]],
) -> list[style.Drawing]:
    groups = filled.groups()
    drawn = []
    for group, rows in groups.items():
        arguments = data(rows)
        if arguments:
            suffix = "-" + re.sub(r"\W+", "-", group.lower()) if len(groups) > 1 else ""
            place = ", ".join(filter(None, (filled.table.title, group.lower())))
            what = title if isinstance(title, str) else title(rows)
            drawn.append(style.Drawing(name + suffix, draw, f"{place}: {what}", arguments))
    return drawn
