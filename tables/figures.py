"""Figures of the published tables, which compare several methods.

What is said at the top of `harness.figures` holds here, too: plain numbers in, fractions drawn in
percent, mean over the seeds with one sample standard deviation, errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.metrics import FloatArray, Trace
from harness import style

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

# Share of a panel's height that a mark at its bottom takes, and one with a number above it.
MARK = 0.05
NUMBERED_MARK = 0.11
# Inches of a row in a list, and of a line of its label.
ROW = 0.26
LINE = 0.16
# Characters, after which labels of rows, headings and the label of the axis go on in a new line.
ROW_LENGTH = 44
HEADING_LENGTH = 56
XLABEL_LENGTH = 80
DIVERGED = "every run diverged"
# An axis is linear unless its largest difference is more than so many points, and more than so many
# times the median.
SQUEEZED = 8
TRACED = (0, 1, 2)  # tasks that have a line along training
_DIAMONDS: dict[str, Any] = {**style.series_style(0), "linestyle": "none", "marker": "D"}


def final_accuracy(
    rows: Mapping[str, Sequence[npt.ArrayLike]],
    title: str,
    order: Sequence[str] = (),
) -> Figure:
    """Draws the accuracy on each task after the last one, one line per method.

    Args:
        rows: per label (a method) and seed the accuracies [T], of as many tasks for every label.
        title: the figure's title.
        order: as for `style.series_styles`.
    """
    style.require(rows)
    styles = style.series_styles(rows, order)
    percents = [style.percent(seeds) for seeds in rows.values()]
    tasks = percents[0].shape[1]
    if any(seeds.shape[1] != tasks for seeds in percents):
        raise ValueError("expected accuracies on as many tasks for every label")
    xlabel, ylabel = "Task, in the order of learning", "Test accuracy after the last task (%)"
    figure, axes = style.plot(title, xlabel, ylabel, 10.0, 5.5)
    for k, (label, seeds) in enumerate(zip(rows, percents, strict=True)):
        marked = style.marked_points(tasks, k)
        style.line(axes, np.arange(tasks), seeds, label=label, markevery=marked, **styles[label])
    style.task_axis(axes, tasks)
    style.legend(figure, axes)
    return figure


def over_strengths(
    points: Mapping[str, Mapping[float, tuple[Sequence[tuple[float, float]], int]]],
    title: str,
    chosen: Mapping[str, float] | None = None,
    order: Sequence[str] = (),
) -> Figure:
    """Draws validation accuracy and forgetting over the consolidation strength λ, per method.

    Args:
        points: per label (a method) and λ > 0 the (validation ACC, validation F) of the seeds that
            finished, and how many diverged.
        title: the figure's title.
        chosen: per label the chosen λ, one at which a run finished.
        order: as for `style.series_styles`.
    """
    style.require(points)
    styles = style.series_styles(points, order)
    chosen = chosen or {}
    if not all(len(points.get(label, {}).get(best, ((), 0))[0]) for label, best in chosen.items()):
        raise ValueError("expected a finished run at every chosen λ")
    strengths = _strengths(points.values())
    figure = style.figure(title, 13.0, 5.0)
    cross = {"markersize": 10, "markeredgewidth": 1.2}
    ring: dict[str, Any] = {"marker": "o", "markersize": 13, "fillstyle": "none", "linewidth": 0}
    panels = []
    ylabels = (
        "Validation accuracy, mean of all tasks (%)",
        "Validation forgetting F (percentage points)",
    )
    for measure, ylabel in enumerate(ylabels):
        axes = style.axes(figure, "Consolidation strength λ", ylabel, 1, 2, measure + 1)
        panels.append(axes)
        _strength_axis(axes, strengths)
        for k, (label, pairs) in enumerate(points.items()):
            curve = {x: [pair[measure] for pair in seeds] for x, (seeds, _) in pairs.items()}
            aside = _aside(k, len(points), strengths)
            _strength_line(axes, curve, aside, label=label, **styles[label])
            if label in chosen:
                mean = 100 * np.mean(curve[chosen[label]])
                axes.plot(chosen[label] * aside, mean, color=styles[label]["color"], **ring)
        _y_limits([axes])
    if chosen:
        panels[0].plot([], [], color="0.3", label="chosen λ", **ring)

    # Methods that diverge at the same λ stand one above the other.
    heights = dict.fromkeys(strengths, 0.0)
    for label, pairs in points.items():
        for strength, (_, diverged) in pairs.items():
            if not diverged:
                continue
            height = heights[strength] + MARK / 2
            heights[strength] += MARK
            colour = styles[label]["color"]
            style.diverged_marks(panels[0], [strength], [height], color=colour, **cross)
            # There may be more methods than colours: the method's marker stands in the x.
            transform = panels[0].get_xaxis_transform()
            panels[0].plot([strength], [height], transform=transform, **styles[label])
    if any(heights.values()):
        style.diverged_marks(panels[0], [], [], color="0.3", label=style.NOT_CHOSEN, **cross)
    _y_limits(panels[:1], max(heights.values()))
    style.legend(figure, panels[1], panels)
    return figure


def updates(
    points: Mapping[str, Mapping[str, Mapping[float, tuple[Sequence[float], int]]]],
    title: str,
) -> Figure:
    """Draws the final accuracy over λ, a panel per method and a line per form of the update.

    Args:
        points: per heading (a method), label (a form of the update) and λ > 0 the ACC of the seeds
            that finished, and how many diverged.
        title: the figure's title.
    """
    style.require(points)
    strengths = _strengths(runs for lines in points.values() for runs in lines.values())
    names = list(dict.fromkeys(name for lines in points.values() for name in lines))
    xlabel, ylabel = "Consolidation strength λ", "Test accuracy, mean of all tasks (%)"
    figure, panels, beside = _panels(title, list(points), 3, xlabel, ylabel)
    marks = []
    for axes, lines in zip(panels, points.values(), strict=True):
        _strength_axis(axes, strengths)
        for name, runs in lines.items():
            k = names.index(name)
            curve = {strength: finished for strength, (finished, _) in runs.items()}
            aside = _aside(k, len(names), strengths)
            _strength_line(axes, curve, aside, label=name, **style.series_style(k))
            for strength, (finished, diverged) in runs.items():
                if diverged:
                    share = f"{diverged}/{len(finished) + diverged}"
                    marks.append((axes, strength, k, share))
    # One row of marks for each line that diverged anywhere, the first on top.
    marked = sorted({k for _, _, k, _ in marks}, reverse=True)
    for axes, strength, k, share in marks:
        height = NUMBERED_MARK * (marked.index(k) + 0.3)
        colour = style.series_style(k)["color"]
        style.diverged_marks(axes, [strength], [height], color=colour, markersize=6)
        axes.annotate(
            share,
            (strength, height),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            color=colour,
            fontsize=style.FONT_SIZE - 2,
        )
    for k in reversed(marked):
        label = f"{names[k]}: diverged / all runs"
        colour = style.series_style(k)["color"]
        style.diverged_marks(panels[0], [], [], color=colour, markersize=6, label=label)
    _y_limits(panels, NUMBERED_MARK * len(marked))
    style.legend(figure, beside, panels)
    return figure


def along_training(
    traces: Mapping[str, Sequence[Trace]],
    title: str,
) -> Figure:
    """Draws the accuracy of the first tasks along the whole of training, a panel per method.

    Methods differ in how long they train on a task, so every task takes the same width.

    Args:
        traces: per label (a method) and seed the readings, as for `harness.figures.accuracy_trace`.
        title: the figure's title.
    """
    style.require(traces)
    xlabel, ylabel = "Task in training, from its first to its last step", "Test accuracy (%)"
    figure, panels, beside = _panels(title, list(traces), 2, xlabel, ylabel)
    for axes, seeds in zip(panels, traces.values(), strict=True):
        trained, epochs, steps = style.trace_places(seeds)
        numbers, which = np.unique(trained, return_inverse=True)
        if not set(TRACED) <= set(numbers):
            raise ValueError(f"expected readings in each of the tasks {TRACED}")
        ends = np.array([0, *(steps[trained == task].max() for task in numbers)])
        places = which + (steps - ends[which]) / np.diff(ends)[which]
        for k, task in enumerate(TRACED):
            began = trained >= task
            of_line = {**style.series_style(k), "markevery": style.marked_points(began.sum(), k)}
            of_line["clip_on"] = False  # as in harness.figures.accuracy_trace
            curve = style.trace_of_task(seeds, task)
            style.line(axes, places[began], curve, label=f"task {task}", **of_line)
        # Over the whole height, the rounds of many tasks would hide the rest.
        style.pruning_marks(axes, places[epochs == 0], 0.1)
        for border in range(1, len(numbers)):
            axes.axvline(border, color="0.75", linewidth=0.6, zorder=1)
        axes.set_xlim(0, len(numbers))
        axes.grid(False, axis="x")
        every = math.ceil(len(numbers) / style.FEW_TASKS)
        axes.set_xticks(np.arange(len(numbers))[::every] + 0.5, numbers[::every])
    style.legend(figure, beside, panels)
    return figure


def differences(
    groups: Mapping[str, Mapping[str, tuple[float, float | None, Sequence[float]]]],
    title: str,
    xlabel: str,
) -> Figure:
    """Draws differences to a reference around a line at 0, a row each.

    Where the largest would squeeze the others, the axis is logarithmic beyond ±1, and says so.

    Args:
        groups: per heading and row label the mean difference, its standard error or None, and the
            differences of the seeds, all of them fractions.
        title: the figure's title.
        xlabel: the difference of what, in percentage points.
    """
    rows = [row for group in groups.values() for row in group.values()]
    seeds = [_percents(values) for _, _, values in rows]
    sizes = sorted(abs(100 * mean) for mean, _, _ in rows)
    uneven = bool(sizes) and sizes[-1] > max(SQUEEZED * sizes[len(sizes) // 2], SQUEEZED)
    if uneven:
        xlabel += "; logarithmic beyond ±1"
    figure, axes, places = _listing(title, groups, xlabel, ROW)
    if uneven:
        axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.axvline(0, color="0.4", linewidth=1.0, zorder=1)
    _seed_dots(axes, places, seeds, "difference of one seed", color=style.COLOURS[0])
    axes.errorbar(
        [100 * mean for mean, _, _ in rows],
        places,
        xerr=[math.nan if error is None else 100 * error for _, error, _ in rows],
        label="mean, with its standard error",
        capsize=3,
        **_DIAMONDS,
    )
    style.legend(figure, axes, [axes])
    return figure


def means(
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    title: str,
    xlabel: str,
) -> Figure:
    """Draws the mean accuracy of the seeds, a row each.

    Args:
        groups: per heading and row label the ACC of the seeds; empty where every run diverged.
        title: the figure's title.
        xlabel: what is drawn, with its unit.
    """
    rows = [_percents(values) for group in groups.values() for values in group.values()]
    figure, axes, places = _listing(title, groups, xlabel, ROW)
    finished = [k for k, values in enumerate(rows) if values.size]
    _seed_dots(axes, places, rows, "one seed", color=style.COLOURS[0])
    label = "mean, with one standard deviation"
    seeds = [rows[k] for k in finished]
    style.error_bars(axes, places[finished], seeds, flat=True, label=label, **_DIAMONDS)
    _mark_diverged(axes, np.delete(places, finished))
    style.legend(figure, axes, [axes])
    return figure


def agreement(
    pairs: Mapping[str, tuple[Sequence[float] | None, Sequence[float]]],
    title: str,
) -> Figure:
    """Draws the accuracy of the release's runs and of ours side by side, a row per script.

    Args:
        pairs: per label (a script) the ACC of the release's seeds, None where there are none, and
            of our seeds, empty where every run diverged.
        title: the figure's title.
    """
    xlabel = "Test accuracy, mean of all tasks (%)"
    figure, axes, places = _listing(title, {"": pairs}, xlabel, 1.5 * ROW)
    columns = zip(*pairs.values(), strict=True)
    for k, (name, column) in enumerate(zip(("release", "this code"), columns, strict=True)):
        rows = [_percents(values if values is not None else ()) for values in column]
        finished = [row for row, values in enumerate(rows) if values.size]
        beside = places + (-0.3, 0.3)[k] * ROW
        marker = {**style.series_style(k), "linestyle": "none"}
        _seed_dots(axes, beside, rows, f"{name}, one seed", color=marker["color"])
        label = f"{name}, mean with one standard deviation"
        seeds = [rows[row] for row in finished]
        style.error_bars(axes, beside[finished], seeds, flat=True, label=label, **marker)
    _mark_diverged(axes, np.delete(beside, finished))
    style.legend(figure, axes, [axes])
    return figure


def _percents(values: Sequence[float]) -> FloatArray:
    return 100 * np.asarray(values, dtype=np.float64)


def _strengths(curves: Iterable[Mapping[float, Any]]) -> FloatArray:
    """Returns every λ of the curves, ascending."""
    strengths = np.array(sorted({strength for curve in curves for strength in curve}))
    style.require(strengths)
    if strengths[0] <= 0:
        raise ValueError(f"expected λ above 0 on a logarithmic axis, got {strengths[0]:g}")
    return strengths


def _strength_axis(axes: Axes, strengths: FloatArray) -> None:
    """Lets the x axis show whole decades around every λ."""
    low = math.floor(np.log10(strengths[0]))
    high = max(math.ceil(np.log10(strengths[-1])), low + 1)
    ticks = 10.0 ** np.arange(low, high + 1, math.ceil((high - low) / 5))
    axes.set_xscale("log")
    margin = 0.05 * (high - low)
    axes.set_xlim(10 ** (low - margin), 10 ** (high + margin))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def _aside(k: int, lines: int, strengths: FloatArray) -> float:
    """Returns the factor by which the k-th line stands beside λ: error bars would hide others."""
    decades = max(np.log10(strengths[-1] / strengths[0]), 1.0)
    return float(10 ** (0.003 * decades * (k - (lines - 1) / 2)))


def _strength_line(
    axes: Axes, curve: Mapping[float, Sequence[float]], aside: float, **of_line: Any
) -> None:
    """Draws the mean over the seeds, with its standard deviation, at every λ where one finished."""
    finished = [strength for strength in sorted(curve) if len(curve[strength])]
    seeds = [_percents(curve[strength]) for strength in finished]
    style.error_bars(axes, np.array(finished) * aside, seeds, **of_line)


def _y_limits(panels: Sequence[Axes], below: float = 0.0) -> None:
    """Leaves the share `below` of the height to marks; shows 0 to 100 if nothing is drawn."""
    heights = [axes.dataLim.intervaly for axes in panels]
    low, high = panels[0].get_ylim() if np.isfinite(heights).all(axis=1).any() else (0.0, 100.0)
    panels[0].set_ylim(high - (high - low) / (1 - below), high)


def _panels(
    title: str, headings: Sequence[str], columns: int, xlabel: str, ylabel: str
) -> tuple[Figure, list[Axes], Axes]:
    """Returns a figure with a panel per heading, and the panel beside which its legend stands."""
    columns = min(columns, len(headings))
    rows = math.ceil(len(headings) / columns)
    figure = style.figure(title, 2.5 + (9.0 if columns > 1 else 6.0), 1.4 + 2.6 * rows)
    panels: list[Axes] = []
    for k, heading in enumerate(headings):
        axes = style.axes(
            figure,
            xlabel if k + columns >= len(headings) else "",
            ylabel if k % columns == 0 else "",
            rows,
            columns,
            k + 1,
            sharey=panels[0] if panels else None,
        )
        axes.tick_params(labelleft=k % columns == 0)
        axes.set_title(style.wrapped(heading, 120 // columns), fontsize=style.FONT_SIZE + 1)
        panels.append(axes)
    return figure, panels, panels[columns - 1]


def _listing(
    title: str, groups: Mapping[str, Mapping[str, Any]], xlabel: str, row: float
) -> tuple[Figure, Axes, FloatArray]:
    """Returns a figure of rows under headings, and their places on its y axis, in inches.

    Args:
        title: the figure's title.
        groups: per heading the labels of its rows; a heading without text takes no place.
        xlabel: what is drawn, with its unit.
        row: inches of a row at least.
    """
    style.require([label for group in groups.values() for label in group])
    headings: list[tuple[float, float, str]] = []
    labels, places = [], []
    bottom = 0.0
    for heading, group in groups.items():
        if heading and group:
            text = style.wrapped(heading, HEADING_LENGTH)
            top, bottom = bottom, bottom + ROW + LINE * text.count("\n")
            headings.append((top, bottom, text))
        for label in group:
            labels.append(style.wrapped(label, ROW_LENGTH))
            height = max(row, LINE * (2 + labels[-1].count("\n")) - 0.06)
            places.append(bottom + height / 2)
            bottom += height
    figure, axes = style.plot(title, style.wrapped(xlabel, XLABEL_LENGTH), "", 11.0, bottom + 1.4)
    axes.set_yticks(places, labels)
    axes.set_ylim(bottom, 0)
    axes.grid(False, axis="y")
    for top, under, text in headings:
        axes.axhspan(top, under, color="0.93", linewidth=0, zorder=2)
        axes.text(
            0.01,
            (top + under) / 2,
            text,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=style.FONT_SIZE,
            fontweight="bold",
        )
    return figure, axes, np.array(places)


def _seed_dots(
    axes: Axes, places: FloatArray, rows: Sequence[FloatArray], label: str, color: str
) -> None:
    """Draws the values of the seeds of every row as faint dots, a little below its mean."""
    heights = np.repeat(places + 0.2 * ROW, [values.size for values in rows])
    dot: dict[str, Any] = {"linestyle": "none", "marker": ".", "mew": 0, "color": color}
    axes.plot(np.concatenate(rows), heights, label=label, alpha=0.5, zorder=3, **dot)


def _mark_diverged(axes: Axes, places: FloatArray) -> None:
    """Draws an x at the left of the rows at these places."""
    if places.size:
        where = {"transform": axes.get_yaxis_transform(), "label": DIVERGED}
        style.diverged_marks(axes, np.full(places.size, 0.015), places, markersize=6, **where)
