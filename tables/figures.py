"""Figures of the published tables, which compare several methods.

What is said at the top of `harness.figures` holds here, too: plain numbers in, fractions drawn in
percent, mean over the seeds with one sample standard deviation, errors.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from common.metrics import FloatArray, Trace
from harness import style

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

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
OWN_AXIS = "(own axis)"
DOT = "0.4"  # of a seed
BIN = 5  # tasks to a point, where there are many
TRACED = (0, 1, 2)  # tasks that have a line along training
_DIAMONDS: dict[str, Any] = {
    **{"color": style.GREY, "linestyle": "none", "linewidth": 1.5},
    **{"marker": "D", "markersize": 5},
}


def final_accuracy(
    rows: Mapping[str, Sequence[npt.ArrayLike]],
    title: str,
    levels: Mapping[str, Sequence[npt.ArrayLike]] | None = None,
    methods: Mapping[str, str] | None = None,
) -> Figure:
    """Draws the accuracy on each task after the last one, one line per method.

    Of many tasks a point is the mean of five. Where some methods end so low that the others lie on
    each other, a second panel shows the others alone.

    Args:
        rows: per label (a method) and seed the accuracies [T], of as many tasks for every label.
        title: the figure's title.
        levels: the same of methods that learn all tasks at once; in the first panel only.
        methods: as for `style.styles`.
    """
    style.require(rows)
    percents = {name: style.percent(seeds) for name, seeds in {**rows, **(levels or {})}.items()}
    styles = style.styles(percents, methods)
    tasks = next(iter(percents.values())).shape[1]
    if any(seeds.shape[1] != tasks for seeds in percents.values()):
        raise ValueError("expected accuracies on as many tasks for every label")
    ends = {label: float(percents[label].mean()) for label in rows}
    firsts = np.arange(0, tasks, BIN if tasks > style.FEW_TASKS else 1)
    lasts = np.append(firsts[1:], tasks) - 1
    means = {
        label: np.add.reduceat(seeds, firsts, axis=1) / (lasts - firsts + 1)
        for label, seeds in percents.items()
    }
    xlabel, ylabel = "Task, in the order of learning", "Test accuracy after the last task (%)"
    if len(firsts) < tasks:
        xlabel += f", mean of each {BIN}"
    figure, panels = style.plot_closer(title, xlabel, ylabel, ends, 9.5, 5.5)
    places = np.arange(len(firsts))
    for axes, labels in panels:
        for label in [*labels, *(levels or {})] if axes is panels[0][0] else labels:
            of_line = {**styles[label], "markevery": style.marked_points(len(places))}
            style.line(axes, places, means[label], label=label, **of_line)
        style.task_axis(axes, len(places))
        if len(firsts) < tasks:
            bins = [f"{first}-{last}" for first, last in zip(firsts, lasts, strict=True)]
            axes.set_xticks(places, style.sparse_labels(places, bins))
    for axes, labels in panels[1:]:
        style.fit(axes, np.concatenate([means[label].mean(axis=0) for label in labels]))
    style.legend(figure, panels[-1][0], [panels[0][0]])
    return figure


def over_strengths(
    points: Mapping[str, Mapping[float, tuple[Sequence[tuple[float, float]], int]]],
    title: str,
    chosen: Mapping[str, float] | None = None,
    methods: Mapping[str, str] | None = None,
) -> Figure:
    """Draws validation accuracy and forgetting over the consolidation strength λ.

    A method and its variants have a panel for each. λ is not comparable between methods, accuracies
    are: the panels share the y axis, but for methods so low that the others would be squeezed.

    Args:
        points: per label (a method) and λ the (validation ACC, validation F) of the seeds that
            finished, and how many diverged.
        title: the figure's title.
        chosen: per label the chosen λ, one at which a run finished.
        methods: as for `style.styles`; None for a panel per label.
    """
    style.require(points)
    styles = style.styles(points, methods)
    chosen = chosen or {}
    if not all(len(points.get(label, {}).get(best, ((), 0))[0]) for label, best in chosen.items()):
        raise ValueError("expected a finished run at every chosen λ")
    columns: dict[str, list[str]] = {}
    for label in points:
        columns.setdefault(methods[label] if methods else label, []).append(label)
    places = {
        name: style.logarithmic({x for label in labels for x in points[label]})
        for name, labels in columns.items()
    }
    apart = _apart({name: _span([points[label] for label in columns[name]]) for name in columns})

    figure = style.figure(title, 2.5 + max(6.0, 2.4 * len(columns)), 7.0)
    ring: dict[str, Any] = {"marker": "o", "markersize": 13, "fillstyle": "none", "linewidth": 0}
    cross: dict[str, Any] = {"markersize": 10, "markeredgewidth": 1.2}
    rows: list[list[Axes]] = []
    ylabels = (
        "Validation accuracy,\nmean of all tasks (%)",
        "Validation forgetting F\n(percentage points)",
    )
    for measure, ylabel in enumerate(ylabels):
        xlabel = "Strength λ" if measure else ""
        rows.append(_panels(figure, (2, len(columns)), measure, [*columns], apart, xlabel, ylabel))
        for axes, (name, labels) in zip(rows[-1], columns.items(), strict=True):
            at = places[name]
            tried = np.array(sorted(at.values()))
            _strength_axis(axes, tried, 5 if len(columns) < 3 else 3, at.get(0))
            for k, label in enumerate(labels):
                curve = {
                    at[x]: [pair[measure] for pair in seeds]
                    for x, (seeds, _) in points[label].items()
                }
                aside = _aside(k, len(labels), tried)
                _strength_line(axes, curve, aside, label=label, **styles[label])
                if label in chosen:
                    best = at[chosen[label]]
                    mean = 100 * np.mean(curve[best])
                    axes.plot(best * aside, mean, color=styles[label]["color"], **ring)
    if chosen:
        rows[0][0].plot([], [], color="0.3", label="chosen λ", **ring)

    # Variants that diverge at the same λ stand one above the other.
    highest = 0.0
    for axes, (name, labels) in zip(rows[0], columns.items(), strict=True):
        heights: dict[float, float] = {}
        for label in labels:
            for strength, (_, diverged) in points[label].items():
                if not diverged:
                    continue
                height = heights.get(strength, 0.0) + MARK / 2
                heights[strength] = height + MARK / 2
                colour, place = styles[label]["color"], places[name][strength]
                style.diverged_marks(axes, [place], [height], color=colour, **cross)
                # Variants look alike: the marker stands in the x.
                transform = axes.get_xaxis_transform()
                axes.plot([place], [height], transform=transform, **styles[label])
        highest = max([highest, *heights.values()])
    if highest:
        style.diverged_marks(rows[0][0], [], [], color="0.3", label=style.NOT_CHOSEN, **cross)
    for row, below in zip(rows, (highest, 0.0), strict=True):
        _y_limits(row, below)
    style.legend(figure, rows[0][-1], [axes for row in rows for axes in row])
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
    styles = style.styles(names)
    for k, of_line in enumerate(styles.values()):
        # Lines that lie on each other show, since the first is the broadest.
        of_line |= {"linewidth": 1.2 + 1.8 * (len(names) - 1 - k), "markersize": 5}
    xlabel, ylabel = "Consolidation strength λ", "Test accuracy, mean of all tasks (%)"
    figure, panels, beside = _figure_of_panels(title, list(points), 3, xlabel, ylabel)
    marks = []
    for axes, lines in zip(panels, points.values(), strict=True):
        _strength_axis(axes, strengths)
        for name, runs in lines.items():
            curve = {strength: finished for strength, (finished, _) in runs.items()}
            aside = _aside(names.index(name), len(names), strengths)
            _strength_line(axes, curve, aside, label=name, **styles[name])
            for strength, (finished, diverged) in runs.items():
                if diverged:
                    share = f"{diverged}/{len(finished) + diverged}"
                    marks.append((axes, strength, name, share))
    # One row of marks for each line that diverged anywhere, the first on top.
    diverging = {name for _, _, name, _ in marks}
    marked = [name for name in names if name in diverging]
    for axes, strength, name, share in marks:
        height = NUMBERED_MARK * (marked[::-1].index(name) + 0.3)
        colour = styles[name]["color"]
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
    for name in marked:
        label, colour = f"{name}: diverged / all runs", styles[name]["color"]
        style.diverged_marks(panels[0], [], [], color=colour, markersize=6, label=label)
    _y_limits(panels, NUMBERED_MARK * len(marked))
    style.legend(figure, beside, panels)
    return figure


def along_training(
    traces: Mapping[str, Sequence[Trace]],
    title: str,
) -> Figure:
    """Draws the accuracy of the first tasks along the whole of training, a panel per method.

    Methods differ in how long they train on a task, so every task takes the same width. The panels
    share their y axis, but for methods that fall so far that the others would be squeezed.

    Args:
        traces: per label (a method) and seed the readings, as for `harness.figures.accuracy_trace`.
        title: the figure's title.
    """
    style.require(traces)
    spans: dict[str, tuple[float, float]] = {}
    for label, seeds in traces.items():
        trained = style.trace_places(seeds)[0]
        if not set(TRACED) <= set(trained):
            raise ValueError(f"expected readings in each of the tasks {TRACED}")
        means = np.concatenate([style.trace_of_task(seeds, k).mean(axis=0) for k in TRACED])
        spans[label] = float(means.min()), float(means.max())
    styles = style.styles([f"task {task}" for task in TRACED])
    xlabel, ylabel = "Task in training, from its first to its last step", "Test accuracy (%)"
    figure, panels, beside = _figure_of_panels(
        title, list(traces), 2, xlabel, ylabel, _apart(spans)
    )
    for axes, seeds in zip(panels, traces.values(), strict=True):
        trained, epochs, steps = style.trace_places(seeds)
        numbers, which = np.unique(trained, return_inverse=True)
        ends = np.array([0, *(steps[trained == task].max() for task in numbers)])
        places = which + (steps - ends[which]) / np.diff(ends)[which]
        for k, (task, (label, of_line)) in enumerate(zip(TRACED, styles.items(), strict=True)):
            began = trained >= task
            # Not clipped, as in harness.figures.accuracy_trace.
            more: dict[str, Any] = {
                "markevery": style.marked_points(began.sum(), k),
                "clip_on": False,
            }
            curve = style.trace_of_task(seeds, task)
            style.line(axes, places[began], curve, label=label, **of_line, **more)
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


def first_epoch(
    changes: Mapping[str, Sequence[Mapping[int, float]]],
    title: str,
    methods: Mapping[str, str] | None = None,
) -> Figure:
    """Draws how the accuracy on earlier tasks changes in the first steps on a task.

    Args:
        changes: per label (a method) and seed the change after each step, a fraction; the same
            steps for all seeds of a label.
        title: the figure's title.
        methods: as for `style.styles`.
    """
    style.require(changes)
    styles = style.styles(changes, methods)
    ylabel = "Change of the test accuracy\non the earlier tasks (% points)"
    figure, axes = style.plot(title, "Step on the new task", ylabel)
    axes.axhline(0, color="0.4", linewidth=1.0, zorder=1)
    for label, seeds in changes.items():
        steps = np.array(list(seeds[0]))
        values = 100 * np.array([list(seed.values()) for seed in seeds])
        of_line = {**styles[label], "markevery": style.marked_points(len(steps))}
        style.line(axes, steps, values, label=label, **of_line)
    style.legend(figure, axes)
    return figure


def differences(
    groups: Mapping[str, Mapping[str, tuple[float, float | None, Sequence[float]]]],
    title: str,
    xlabel: str,
) -> Figure:
    """Draws differences to a reference around a line at 0, a row each.

    Args:
        groups: per heading and row label the mean difference, its standard error or None, and the
            differences of the seeds, all of them fractions.
        title: the figure's title.
        xlabel: the difference of what, in percentage points.
    """
    rows = [row for group in groups.values() for row in group.values()]
    seeds = [_percents(values) for _, _, values in rows]
    figure, (axes,), (places,) = _listing(title, [groups], xlabel, ROW)
    axes.axvline(0, color="0.4", linewidth=1.0, zorder=1)
    _seed_dots(axes, places, seeds, "difference of one seed")
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
    """Draws the mean accuracy of the seeds, a row each, and an axis for each heading.

    Args:
        groups: per heading and row label the ACC of the seeds; empty where every run diverged.
        title: the figure's title.
        xlabel: what is drawn, with its unit.
    """
    figure, panels, all_places = _listing(
        title, [{heading: group} for heading, group in groups.items()], xlabel, ROW
    )
    for axes, places, group in zip(panels, all_places, groups.values(), strict=True):
        rows = [_percents(values) for values in group.values()]
        finished = [k for k, values in enumerate(rows) if values.size]
        _seed_dots(axes, places, rows, "one seed")
        label = "mean, with one standard deviation"
        seeds = [rows[k] for k in finished]
        style.error_bars(axes, places[finished], seeds, flat=True, label=label, **_DIAMONDS)
        _mark_diverged(axes, np.delete(places, finished))
    style.legend(figure, panels[0], panels)
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
    figure, (axes,), (places,) = _listing(title, [{"": pairs}], xlabel, 1.5 * ROW)
    columns = zip(*pairs.values(), strict=True)
    for k, (name, column) in enumerate(zip(("release", "this code"), columns, strict=True)):
        rows = [_percents(values if values is not None else ()) for values in column]
        finished = [row for row, values in enumerate(rows) if values.size]
        beside = places + (-0.3, 0.3)[k] * ROW
        marker = {**_DIAMONDS, "marker": "oD"[k], "markerfacecolor": ("white", style.GREY)[k]}
        _seed_dots(axes, beside, rows, f"{name}, one seed", hollow=not k)
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


def _strength_axis(
    axes: Axes, strengths: FloatArray, spaces: int = 5, zero: float | None = None
) -> None:
    """Lets the x axis show whole decades around every λ.

    Args:
        axes: the panel.
        strengths: ascending, where each λ stands.
        spaces: between its ticks, at most.
        zero: where λ 0 stands (`style.logarithmic`), if it is one of them.
    """
    low = math.floor(np.log10(strengths[0]))
    high = max(math.ceil(np.log10(strengths[-1])), low + 1)
    ticks = 10.0 ** np.arange(low, high + 1, math.ceil((high - low) / spaces))
    axes.set_xscale("log")
    margin = 0.05 * (high - low)
    axes.set_xlim(10 ** (low - margin), 10 ** (high + margin))
    axes.set_xticks(ticks, ["0" if tick == zero else f"{tick:g}" for tick in ticks])
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
    for axes in panels:
        sharing = axes.get_shared_y_axes().get_siblings(axes)
        if next(panel for panel in panels if panel in sharing) is not axes:
            continue
        heights = [panel.dataLim.intervaly for panel in sharing]
        low, high = axes.get_ylim() if np.isfinite(heights).all(axis=1).any() else (0.0, 100.0)
        axes.set_ylim(high - (high - low) / (1 - below), high)


def _span(
    lines: Iterable[Mapping[float, tuple[Sequence[tuple[float, float]], int]]],
) -> tuple[float, float]:
    """Returns the lowest and the highest mean validation ACC of some lines; of none NaN."""
    finished = [seeds for line in lines for seeds, _ in line.values() if len(seeds)]
    means = [float(np.mean(seeds, axis=0)[0]) for seeds in finished] or [math.nan]
    return min(means), max(means)


def _apart(spans: Mapping[str, tuple[float, float]]) -> set[str]:
    """Returns the names of the lowest panels, if a shared axis would squeeze the others.

    That is where the others need less than half of the axis; beside two low ones less than a third,
    and so on.

    Args:
        spans: between what heights each panel shows something, NaN for nothing.
    """

    def length(names: Sequence[str]) -> float:
        return max(spans[name][1] for name in names) - min(spans[name][0] for name in names)

    known = [name for name, (low, _) in spans.items() if not math.isnan(low)]
    known.sort(key=lambda name: spans[name][0])
    for count in range(1, len(known) // 2 + 1):
        if length(known[count:]) < length(known) / (count + 1):
            return set(known[:count])
    return set()


def _figure_of_panels(
    title: str,
    headings: Sequence[str],
    columns: int,
    xlabel: str,
    ylabel: str,
    apart: Collection[str] = (),
) -> tuple[Figure, list[Axes], Axes]:
    """Returns a figure with a panel per heading, and the panel beside which its legend stands."""
    columns = min(columns, len(headings))
    rows = math.ceil(len(headings) / columns)
    figure = style.figure(title, 2.5 + (9.0 if columns > 1 else 6.0), 1.4 + 2.6 * rows)
    panels = _panels(figure, (rows, columns), 0, headings, apart, xlabel, ylabel)
    return figure, panels, panels[columns - 1]


def _panels(
    figure: Figure,
    shape: tuple[int, int],
    first: int,
    headings: Sequence[str],
    apart: Collection[str],
    xlabel: str,
    ylabel: str,
) -> list[Axes]:
    """Adds a panel per heading to a figure; they share their y axis.

    Args:
        figure: to which they are added.
        shape: how many rows and columns of panels the figure has in all.
        first: the row with which they begin; only those that begin at the top have headings.
        headings: of the panels.
        apart: those of panels with a y axis of their own.
        xlabel: of the lowest panel in each column.
        ylabel: of the leftmost in each row.
    """
    rows, columns = shape
    shared: Axes | None = None
    panels: list[Axes] = []
    for k, heading in enumerate(headings):
        left, own = k % columns == 0, heading in apart
        axes = style.axes(
            figure,
            xlabel if k + columns >= len(headings) else "",
            ylabel if left else "",
            *(rows, columns, first * columns + k + 1),
            sharey=None if own else shared,
        )
        if not own:
            shared = shared or axes
        axes.tick_params(labelleft=left or own or headings[k - 1] in apart)
        if not first:
            text = f"{heading} {OWN_AXIS}" if own else heading
            axes.set_title(style.wrapped(text, 96 // columns), fontsize=style.FONT_SIZE + 1)
        panels.append(axes)
    return panels


def _listing(
    title: str, parts: Sequence[Mapping[str, Mapping[str, Any]]], xlabel: str, row: float
) -> tuple[Figure, list[Axes], list[FloatArray]]:
    """Returns a figure of rows under headings, and their places on the y axes, in inches.

    Args:
        title: the figure's title.
        parts: of each pair of axes, per heading the labels of its rows; a heading without text
            takes no place.
        xlabel: what is drawn, with its unit.
        row: inches of a row at least.
    """
    style.require([label for part in parts for group in part.values() for label in group])
    parts = [part for part in parts if any(part.values())]
    contents = [_places(part, row) for part in parts]
    heights = [bottom for *_, bottom in contents]
    figure = style.figure(title, 11.0, sum(heights) + 0.9 + 0.5 * len(parts))
    ratios = figure.add_gridspec(len(parts), 1, height_ratios=heights)
    panels = []
    for k, (labels, places, headings, bottom) in enumerate(contents):
        below = style.wrapped(xlabel, XLABEL_LENGTH) if k == len(parts) - 1 else ""
        axes = style.axes(figure, below, "", ratios[k])
        panels.append(axes)
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
    return figure, panels, [np.array(places) for _, places, _, _ in contents]


def _places(
    groups: Mapping[str, Mapping[str, Any]], row: float
) -> tuple[list[str], list[float], list[tuple[float, float, str]], float]:
    """Returns labels and places of rows, top, bottom and text of headings, and the lower end."""
    headings: list[tuple[float, float, str]] = []
    labels: list[str] = []
    places: list[float] = []
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
    return labels, places, headings, bottom


def _seed_dots(
    axes: Axes, places: FloatArray, rows: Sequence[FloatArray], label: str, hollow: bool = False
) -> None:
    """Draws the values of the seeds of every row as faint dots, a little below its mean."""
    heights = np.repeat(places + 0.2 * ROW, [values.size for values in rows])
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3, "alpha": 0.6}
    inside = "none" if hollow else DOT
    dot |= {"markeredgecolor": DOT, "markerfacecolor": inside, "mew": 0.8 if hollow else 0}
    axes.plot(np.concatenate(rows), heights, label=label, zorder=3, **dot)


def _mark_diverged(axes: Axes, places: FloatArray) -> None:
    """Draws an x at the left of the rows at these places."""
    if places.size:
        where = {"transform": axes.get_yaxis_transform(), "label": DIVERGED}
        style.diverged_marks(axes, np.full(places.size, 0.015), places, markersize=6, **where)
