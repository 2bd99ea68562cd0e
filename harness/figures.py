"""Figures of a run, of a grid of runs and of importance distributions, in Matplotlib.

Every function takes plain numbers and returns a figure, which `style.save` or its own `savefig`
writes. Accuracies, sparsities and shares come in as fractions and are drawn in percent. Where a
function takes one curve or matrix per seed it draws the mean over the seeds and, for more than one
seed, a band or an error bar of one sample standard deviation to either side. Series are told apart
by marker, line style, hatch or label as well as by colour.

Errors common to all: ValueError for no data or seeds of unequal length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from common.metrics import AccuracyMatrix, FloatArray, Trace
from harness import style

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

# Lines of upright text that fit below an axis.
AXIS_LINES = 45
# How many times the lowest density shown goes into the highest.
DENSITIES = 1e6
# The point before pruning stands before the others by this part of the pruning path's width.
BEFORE = 12


class Histogram(TypedDict):
    """Counts [B] between positive edges [B+1], and the share of values that are exactly zero."""

    edges: npt.ArrayLike
    counts: npt.ArrayLike
    zeros: float


def accuracy_over_sequence(matrices: Sequence[AccuracyMatrix], title: str) -> Figure:
    """Draws one line per task: its test accuracy after its own and every later task.

    Args:
        matrices: per seed an accuracy matrix, ragged or [T, T] with the upper triangle ignored.
        title: the figure's title.
    """
    tasks = _task_count(matrices)
    few = tasks <= style.FEW_TASKS
    colours = style.sequence_colours(tasks)
    figure, axes = style.plot(title, "After training on task", "Test accuracy of the task (%)")
    label_every = math.ceil(tasks / style.FEW_TASKS)
    for j in range(tasks):
        curve = style.percent(
            [[_row(matrix, i)[j] for i in range(j, tasks)] for matrix in matrices]
        )
        style.line(axes, np.arange(j, tasks), curve, **style.task_style(j, colours[j], few))
        if not few and j % label_every == 0:
            # Every line begins at a place of its own, so labels there don't collide.
            axes.annotate(
                str(j),
                (j, curve.mean(axis=0)[0]),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=style.FONT_SIZE,
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
    style.task_axis(axes, tasks)
    style.task_legend(figure, axes, colours)
    return figure


def accuracy_trace(traces: Sequence[Trace], title: str) -> Figure:
    """Draws one line per task: its test accuracy along the whole of training, once it began.

    A line that falls at a border between two tasks, or at a pruning round, and rises again shows
    what the accuracy after every task doesn't.

    Args:
        traces: per seed the readings, in order: "task", the one in training; "epoch" within its
            phase, 0 for a reading directly after a pruning; "step" of the whole run; "accuracy"
            [task + 1] on the tasks so far. The seeds differ in nothing but "accuracy".
        title: the figure's title.
    """
    tasks, epochs, steps = style.trace_places(traces)
    numbers = np.unique(tasks)
    ends = [int(steps[tasks == task].max()) for task in numbers]
    prunings = steps[epochs == 0]
    few = len(numbers) <= style.FEW_TASKS
    colours = style.sequence_colours(len(numbers))

    figure, axes = style.plot(title, "Training step", "Test accuracy of the task (%)", width=11.0)
    for j, colour in zip(numbers, colours, strict=True):
        curve = style.trace_of_task(traces, j)
        # The first and the last reading may lie on the frame, which would cut their markers.
        of_line = {**style.task_style(j, colour, few), "clip_on": False}
        if few:
            of_line["markevery"] = style.marked_points(len(steps))
        style.line(axes, steps[tasks >= j], curve, **of_line)
    style.task_spans(axes, numbers, [0, *ends])
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    style.pruning_marks(axes, prunings)
    style.task_legend(figure, axes, colours)
    if prunings.size and not few:
        figure.legend(loc="outside lower center", fontsize=style.FONT_SIZE, frameon=False)
    return figure


def average_accuracy(
    curves: Mapping[str, Sequence[npt.ArrayLike]],
    title: str,
    levels: Mapping[str, Sequence[float]] | None = None,
    methods: Mapping[str, str] | None = None,
) -> Figure:
    """Draws ACC after each task, one line per label.

    Where some lines end so low that the others lie on each other, a second panel shows the others
    alone, in the second half of the tasks.

    Args:
        curves: per label (a method, a strength) and seed the curve [T].
        title: the figure's title.
        levels: per label and seed the final ACC of a method that learns all tasks at once; a
            dashed line across the figure.
        methods: as for `style.styles`.
    """
    style.require(curves)
    levels = levels or {}
    styles = style.styles((*curves, *levels), methods)
    percents = {label: style.percent(seeds) for label, seeds in curves.items()}
    longest = max(seeds.shape[1] for seeds in percents.values())
    ends = {label: float(seeds[:, -1].mean()) for label, seeds in percents.items()}
    xlabel, ylabel = "After training on task", "Test accuracy, mean of the tasks so far (%)"
    heading = f"{style.CLOSER}, second half of the tasks"
    figure, panels = style.plot_closer(title, xlabel, ylabel, ends, closer=heading)
    for axes, labels in panels:
        for label in labels:
            seeds = percents[label]
            of_line = {**styles[label], "markevery": style.marked_points(seeds.shape[1])}
            style.line(axes, np.arange(seeds.shape[1]), seeds, label=label, **of_line)
        style.task_axis(axes, longest)
    (whole, _), *closer = panels
    for label, finals in levels.items():
        values = style.percent(finals)
        colour, mean, std = styles[label]["color"], values.mean(), style.spread(values)
        name = f"{label}, all tasks at once"
        whole.axhline(mean, label=name, color=colour, linestyle="--", linewidth=1.5)
        if values.size > 1:
            whole.axhspan(mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
    for axes, labels in closer:
        first = min(percents[label].shape[1] for label in labels) // 2
        shown = [percents[label][:, first:].mean(axis=0) for label in labels]
        axes.set_xlim(first - 0.02 * longest, axes.get_xlim()[1])
        style.fit(axes, np.concatenate(shown))
    style.legend(figure, panels[-1][0], [whole])
    return figure


def accuracy_matrix(matrices: Sequence[AccuracyMatrix], title: str) -> Figure:
    """Draws the accuracy matrix, averaged over the seeds, as a heat map of its lower triangle.

    Args:
        matrices: per seed an accuracy matrix, ragged or [T, T] with the upper triangle ignored.
        title: the figure's title.
    """
    tasks = _task_count(matrices)
    mean = np.full((tasks, tasks), np.nan)
    for i in range(tasks):
        mean[i, : i + 1] = style.percent([_row(matrix, i)[: i + 1] for matrix in matrices]).mean(
            axis=0
        )
    # Whole tens, at least one of them, so that the colour bar has readable ends.
    low = min(10 * math.floor(np.nanmin(mean) / 10), 90)
    high = max(10 * math.ceil(np.nanmax(mean) / 10), low + 10)

    figure, axes = style.plot(title, "Tested on task", "After training on task", 7.5, 6.2)
    axes.grid(False)
    image = axes.imshow(mean, cmap="viridis", vmin=low, vmax=high)
    style.colour_bar(figure, axes, image, "Test accuracy (%)")
    axes.xaxis.set_major_locator(style.task_locator(tasks))
    axes.yaxis.set_major_locator(style.task_locator(tasks))
    if tasks <= style.FEW_TASKS:
        for i in range(tasks):
            for j in range(i + 1):
                axes.text(
                    j,
                    i,
                    f"{mean[i, j]:.1f}",
                    ha="center",
                    va="center",
                    color="white" if mean[i, j] < (low + high) / 2 else "black",
                    fontsize=style.FONT_SIZE,
                )
    return figure


def sparsity(records: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Draws the share of pruned entries after every pruning round, per tensor and overall.

    Args:
        records: one per round, in order: "task", "percent" (the round's target) and, as fractions
            of the entries, "overall" and one value per tensor ("W1", "b1", ...).
        title: the figure's title.
    """
    style.require(records)
    tasks = np.array([int(record["task"]) for record in records])
    rounds = np.arange(len(records))
    borders = np.flatnonzero(np.diff(tasks)) + 1
    starts = np.array([0, *borders])
    xlabel = "Pruning round, by its target (% of the candidates)"
    figure, axes = style.plot(title, xlabel, "Entries pruned (%)", width=9.5)
    names = [name for name in records[0] if name not in ("task", "percent", "overall")]
    names.append("overall")
    styles = style.styles(names)
    for k, name in enumerate(names):
        percent = 100 * np.array([record[name] for record in records])
        # Side by side within the round's place: all tensors may be pruned to the same share.
        places = rounds + 0.7 * ((k + 0.5) / len(names) - 0.5)
        # A gap at each border: at the start of a task nothing is pruned.
        axes.plot(
            np.insert(places, borders, np.nan),
            np.insert(percent, borders, np.nan),
            label=name,
            **styles[name],
        )
    axes.axhline(0, color="0.6", linewidth=0.8)
    style.task_spans(axes, tasks[starts], np.array([*starts, len(records)]) - 0.5)
    shown = rounds[:: math.ceil(len(rounds) / 30)]
    axes.set_xticks(shown, [f"{records[k]['percent']:g}" for k in shown])
    style.legend(figure, axes)
    return figure


def strength_curve(
    points: Mapping[float, tuple[Sequence[tuple[float, float]], int]],
    best: float,
    title: str,
    method: str = "",
) -> Figure:
    """Draws final validation and test accuracy over the consolidation strength λ.

    Args:
        points: per λ the (validation ACC, test ACC) of the seeds that finished, and how many
            diverged.
        best: the λ chosen.
        title: the figure's title.
        method: the script whose colour it has.
    """
    style.require(points)
    finished = np.array(sorted(strength for strength, (pairs, _) in points.items() if len(pairs)))
    diverged = sorted(strength for strength, (_, lost) in points.items() if lost)
    ylabel = "Accuracy after the last task, all tasks (%)"
    figure, axes = style.plot(title, "Consolidation strength λ", ylabel)
    low, high = min(points), max(points)
    above = [strength for strength in points if strength > 0]
    log = bool(above) and high > 10 * min(above)
    at = style.logarithmic(points) if log else {strength: strength for strength in points}
    if log:
        axes.set_xscale("log")
        low = at[low]
    if low == high:
        axes.set_xlim(low - 1, low + 1)
    if not finished.size:
        axes.set_ylim(0, 100)
    styles = style.method_styles(("validation", "test"), {"validation": method, "test": method})
    for k, (label, of_line) in enumerate(styles.items()):
        seeds = [100 * np.array([pair[k] for pair in points[x][0]]) for x in finished]
        # A little to either side, or the two error bars of one λ would hide each other.
        aside = (-0.005, 0.005)[k]
        places = np.array([at[strength] for strength in finished])
        places = places * (high / low) ** aside if log else places + aside * ((high - low) or 1.0)
        style.error_bars(axes, places, seeds, label=label, **of_line)
    if diverged:
        marked = [at[strength] for strength in diverged]
        style.diverged_marks(axes, marked, np.full(len(diverged), 0.03), label=style.NOT_CHOSEN)
    axes.axvline(at[best], color="0.4", linestyle=":", label=f"chosen: λ = {best:g}", zorder=1)
    labels = [f"{strength:g}" for strength in sorted(points)]
    ticks = np.array([at[strength] for strength in sorted(points)])
    axes.set_xticks(ticks, style.sparse_labels(np.log(ticks) if log else ticks, labels))
    axes.xaxis.set_minor_locator(NullLocator())
    style.legend(figure, axes)
    return figure


def density(
    values: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    title: str,
    methods: Mapping[str, str] | None = None,
) -> Figure:
    """Draws densities of min-max normalised importances, on a logarithmic axis.

    Args:
        values: per name (grid [G], density [G]), for example from `gaussian_density`.
        title: the figure's title.
        methods: as for `style.styles`.
    """
    style.require(values)
    styles = style.styles(values, methods)
    figure, axes = style.plot(title, "Importance, min-max normalised", "Density")
    for name, (grid, height) in values.items():
        marked = style.marked_points(np.size(grid))
        axes.plot(grid, height, label=name, markevery=marked, **styles[name])
    highest = max(float(np.asarray(height).max()) for _, height in values.values())
    axes.set_yscale("log")
    axes.set_ylim(highest / DENSITIES, 2 * highest)
    style.legend(figure, axes)
    return figure


def log_histogram(
    histograms: Mapping[str, Histogram], title: str, methods: Mapping[str, str] | None = None
) -> Figure:
    """Draws histograms on two logarithmic axes; the legend states the share of exact zeros.

    Args:
        histograms: per name the edges, the counts between them and the share of exact zeros.
        title: the figure's title.
        methods: as for `style.styles`.
    """
    style.require(histograms)
    styles = style.styles(histograms, methods)
    figure, axes = style.plot(title, _range_label("Importance", histograms), "Entries per bin")
    for k, (name, histogram) in enumerate(histograms.items()):
        axes.stairs(
            _counts(histogram),
            _edges(histogram),
            label=_zeros_label(name, histogram),
            color=styles[name]["color"],
            linestyle=style.LINE_STYLES[k % len(style.LINE_STYLES)],
            linewidth=min(styles[name]["linewidth"], 2.0),
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*_used_range(histograms))
    # A bin with one entry has to show, and log axes begin where the lowest step is otherwise.
    axes.set_ylim(bottom=0.5)
    style.legend(figure, axes)
    return figure


def omega_histogram(histograms: Mapping[str, Histogram], title: str) -> Figure:
    """Draws how the importance Ω is distributed, in every tensor and in all of them together.

    The tensors differ in size by orders of magnitude, so a bin's height is the share of the
    tensor's entries, zeros included, that lie in it. The legend states the share of exact zeros.

    Args:
        histograms: per tensor the edges, the counts between them, summed over the seeds, and the
            share of exact zeros; the first is of all tensors together.
        title: the figure's title.
    """
    style.require(histograms)
    xlabel = _range_label("Importance Ω", histograms)
    figure, axes = style.plot(title, xlabel, "Entries per bin, share of the tensor (%)")
    lowest = 1.0
    styles = style.styles([*histograms][1:])
    for k, (name, histogram) in enumerate(histograms.items()):
        counts = _counts(histogram)
        # The counts are of all entries but the zeros.
        percent = 100 * (1 - histogram["zeros"]) * counts / max(counts.sum(), 1)
        lowest = np.min(percent, where=counts > 0, initial=lowest)
        edges, label = _edges(histogram), _zeros_label(name, histogram)
        if k == 0:
            axes.stairs(percent, edges, label=label, color="0.85", fill=True)
        else:
            # In a tensor of few entries many bins are empty: steps down to 0 would hide the rest.
            percent[counts == 0] = np.nan
            centres = np.sqrt(edges[:-1] * edges[1:])
            axes.plot(centres, percent, label=label, **{**styles[name], "markersize": 3})
    axes.set_xlim(*_used_range(histograms))
    axes.set_ylim(lowest / 2, 100)
    axes.set_xscale("log")
    axes.set_yscale("log")
    style.legend(figure, axes)
    return figure


def bars(
    groups: Mapping[str, Mapping[str, float]],
    errors: Mapping[str, Mapping[str, float | None]],
    title: str,
    ylabel: str,
    reference: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    log_y: bool = False,
    methods: Mapping[str, str] | None = None,
) -> Figure:
    """Draws a grouped bar chart with error bars and, beside the bars, published values.

    On a logarithmic axis, where the length of a bar means nothing, points stand for the bars.

    Args:
        groups: per category (a place on the x axis) and series (a colour) the bar's height.
        errors: half the length of each error bar, of the same shape; None for no error bar.
        title: the figure's title.
        ylabel: what is drawn, with its unit.
        reference: published (mean, standard deviation), of the same shape, as hollow markers.
        log_y: logarithmic y axis, for heights that differ by orders of magnitude.
        methods: of the series, as for `style.styles`.
    """
    style.require(groups)
    series = list(next(iter(groups.values())))
    styles = style.styles(series, methods)
    figure, axes = style.plot(title, "", ylabel)
    axes.grid(False, axis="x")
    places = np.arange(len(groups))
    slot = 0.8 / len(series)
    bar = slot if reference is None else 0.65 * slot
    for k, name in enumerate(series):
        left = places - 0.4 + k * slot
        heights = [group[name] for group in groups.values()]
        yerr = np.array([errors[category][name] for category in groups], dtype=np.float64)
        colour, marker = styles[name]["color"], style.MARKERS[k % len(style.MARKERS)]
        points: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": 6}
        points |= {"color": colour, "capsize": 3}
        if log_y:
            axes.errorbar(left + bar / 2, heights, yerr=yerr, label=name, **points)
        else:
            axes.bar(
                left + bar / 2,
                heights,
                bar,
                yerr=yerr,
                label=name,
                color=colour,
                alpha=0.7,  # of a black bar the error bar would not show
                hatch=style.HATCHES[k % len(style.HATCHES)],
                edgecolor="white",
                error_kw={"capsize": 3, "elinewidth": 1.2},
            )
        if reference is not None:
            published = np.array([reference[category][name] for category in groups])
            axes.errorbar(
                left + (bar + slot) / 2,
                published[:, 0],
                yerr=published[:, 1],
                label=f"{name}, the authors",
                markerfacecolor="white",
                **points,
            )
    if log_y:
        axes.set_yscale("log")
    room = style.AXIS_DIGITS // len(groups)
    if max(len(word) for name in groups for word in name.split()) <= room:
        axes.set_xticks(places, [style.wrapped(name, room) for name in groups])
    else:
        every = math.ceil(len(groups) / AXIS_LINES)
        upright = [style.wrapped(name) for name in groups]
        axes.set_xticks(places[::every], upright[::every], rotation=90)
    style.legend(figure, axes)
    return figure


def pruning_path(
    percents: npt.ArrayLike,
    curves: Mapping[str, Sequence[npt.ArrayLike]],
    title: str,
) -> Figure:
    """Draws accuracy over the percentage pruned.

    Args:
        percents: the targets of the pruning steps, in percent, ascending, [Q].
        curves: per label and seed the accuracy before pruning, then those after the steps, [1+Q].
        title: the figure's title.
    """
    style.require(curves)
    figure, axes = style.plot(title, "Pruned, target per tensor (%)", "Accuracy (%)")
    steps = np.asarray(percents, dtype=np.float64)
    before = steps[0] - max(steps[-1] - steps[0], 1.0) / BEFORE
    styles = style.styles(curves)
    for label, seeds in curves.items():
        places = np.array([before, *steps])
        style.line(axes, places, style.percent(seeds), label=label, **styles[label])
    shown = steps[:: math.ceil(len(steps) / 10)]
    axes.set_xticks([before, *shown], ["before", *(f"{step:g}" for step in shown)])
    style.legend(figure, axes)
    return figure


def _zeros_label(name: str, histogram: Histogram) -> str:
    return f"{name}\n({100 * histogram['zeros']:.3g} % are exactly 0)"


def _counts(histogram: Histogram) -> FloatArray:
    return np.asarray(histogram["counts"], dtype=np.float64)


def _edges(histogram: Histogram) -> FloatArray:
    return np.asarray(histogram["edges"], dtype=np.float64)


def _used_range(histograms: Mapping[str, Histogram]) -> tuple[float, float]:
    """Returns the edges beyond which every bin of every histogram is empty."""
    lows, highs = [], []
    for histogram in histograms.values():
        edges = _edges(histogram)
        used = np.flatnonzero(_counts(histogram))
        if used.size:
            lows.append(edges[used[0]])
            highs.append(edges[used[-1] + 1])
    return (min(lows), max(highs)) if lows else (edges[0], edges[-1])


def _range_label(quantity: str, histograms: Mapping[str, Histogram]) -> str:
    """Returns the label of an axis of importance, with what lies beyond its bins."""
    parts = [quantity]
    for place, beyond, which in ((0, "below", "first"), (-1, "above", "last")):
        filled = [histogram for histogram in histograms.values() if _counts(histogram)[place]]
        if filled:
            parts.append(f"{beyond} {_edges(filled[0])[place]:.0e} counts in the {which} bin")
    return "; ".join(parts)


def _task_count(matrices: Sequence[AccuracyMatrix]) -> int:
    counts = {len(matrix) for matrix in matrices}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"expected accuracy matrices over one number of tasks, got {counts}")
    return counts.pop()


def _row(matrix: AccuracyMatrix, i: int) -> FloatArray:
    return np.asarray(matrix[i], dtype=np.float64)
