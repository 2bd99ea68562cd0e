"""Figures of a run, of a grid of runs and of importance distributions, as PNG files.

Every function takes plain numbers and a path, writes the file and returns its path. Accuracies,
sparsities and shares come in as fractions and are drawn in percent. Where a function takes one
curve or matrix per seed it draws the mean over the seeds and, for more than one seed, a band or an
error bar of one sample standard deviation to either side. Series are told apart by marker, line
style, hatch or label as well as by colour.

Errors common to all: ValueError for no data or seeds of unequal length, OSError where the folder
of `path` is missing or cannot be written.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

FloatArray: TypeAlias = npt.NDArray[np.float64]
PathLike: TypeAlias = str | os.PathLike[str]
AccuracyMatrix: TypeAlias = Sequence[npt.ArrayLike] | npt.NDArray[Any]
Trace: TypeAlias = Sequence[Mapping[str, Any]]


class Histogram(TypedDict):
    """Counts [B] between positive edges [B+1], and the share of values that are exactly zero."""

    edges: npt.ArrayLike
    counts: npt.ArrayLike
    zeros: float


DPI = 150
FONT_SIZE = 9
# Okabe and Ito's palette without its yellow, which is too faint for a line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")
LINE_STYLES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xxx")
# Beyond this many tasks, a marker per point and a number per cell no longer fit.
FEW_TASKS = 12
MARKERS_PER_LINE = 12
# Characters, after which a label goes on in a new line.
LABEL_LENGTH = 30
# Inches of a figure's width that a legend may take from the axes.
LEGEND_WIDTH = 2.5
# Digits side by side, and lines of upright text, that fit below an axis.
AXIS_DIGITS = 70
AXIS_LINES = 45


def accuracy_over_sequence(matrices: Sequence[AccuracyMatrix], path: PathLike, title: str) -> Path:
    """Draw one line per task: its test accuracy after its own and every later task.

    Args:
        matrices: per seed an accuracy matrix, ragged or [T, T] with the upper triangle ignored.
        path: the PNG file to write.
        title: the figure's title.

    """
    tasks = _task_count(matrices)
    few = tasks <= FEW_TASKS
    colours = _sequence_colours(tasks)
    figure = _figure(title, 8.5, 5.0)
    axes = _axes(figure, "After training on task", "Test accuracy of the task (%)")
    label_every = math.ceil(tasks / FEW_TASKS)
    for j in range(tasks):
        curve = _percent([[_row(matrix, i)[j] for i in range(j, tasks)] for matrix in matrices])
        _line(axes, np.arange(j, tasks), curve, **_task_style(j, colours[j], few))
        if not few and j % label_every == 0:
            # Every line begins at a place of its own, so labels there don't collide.
            axes.annotate(
                str(j),
                (j, curve.mean(axis=0)[0]),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=FONT_SIZE,
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
    _task_axis(axes, tasks)
    if few:
        _legend(figure, axes)
    else:
        _task_colour_bar(figure, axes, colours)
    return _save(figure, path)


def accuracy_trace(traces: Sequence[Trace], path: PathLike, title: str) -> Path:
    """Draw one line per task: its test accuracy along the whole of training, once it began.

    A line that falls at a border between two tasks, or at a pruning round, and rises again shows
    what the accuracy after every task doesn't.

    Args:
        traces: per seed the readings, in order: "task", the one in training; "epoch" within its
            phase, 0 for a reading directly after a pruning; "step" of the whole run; "accuracy"
            [task + 1] on the tasks so far. The seeds differ in nothing but "accuracy".
        path: the PNG file to write.
        title: the figure's title.

    """
    _require(traces)
    places = [[(r["task"], r["epoch"], r["step"]) for r in trace] for trace in traces]
    if not places[0] or any(other != places[0] for other in places):
        raise ValueError("expected traces with readings, at the same places for every seed")
    tasks, epochs, steps = np.array(places[0]).T
    numbers = np.unique(tasks)
    ends = [int(steps[tasks == task].max()) for task in numbers]
    prunings = steps[epochs == 0]
    few = len(numbers) <= FEW_TASKS
    colours = _sequence_colours(len(numbers))

    figure = _figure(title, 11.0, 5.0)
    axes = _axes(figure, "Training step", "Test accuracy of the task (%)")
    for j, colour in zip(numbers, colours, strict=True):
        curve = _percent([[r["accuracy"][j] for r in trace if r["task"] >= j] for trace in traces])
        # The first and the last reading may lie on the frame, which would cut their markers.
        style = {**_task_style(j, colour, few), "clip_on": False}
        if few:
            style["markevery"] = math.ceil(len(steps) / MARKERS_PER_LINE)
        _line(axes, steps[tasks >= j], curve, **style)
    _task_spans(axes, numbers, [0, *ends])
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    if prunings.size:
        marks = axes.vlines(prunings, 0, 1, transform=axes.get_xaxis_transform(), zorder=1)
        marks.set(color=COLOURS[1], linestyle=":", linewidth=0.8, alpha=0.7, label="pruning round")
    if few:
        _legend(figure, axes)
    else:
        _task_colour_bar(figure, axes, colours)
        if prunings.size:
            figure.legend(loc="outside lower center", fontsize=FONT_SIZE, frameon=False)
    return _save(figure, path)


def average_accuracy(
    curves: Mapping[str, Sequence[npt.ArrayLike]], path: PathLike, title: str
) -> Path:
    """Draw ACC after each task, one line per label.

    Args:
        curves: per label (a method, a strength) and seed the curve [T].
        path: the PNG file to write.
        title: the figure's title.

    """
    _require(curves)
    figure = _figure(title, 8.5, 5.0)
    axes = _axes(figure, "After training on task", "Test accuracy, mean of the tasks so far (%)")
    longest = 0
    for k, (label, seeds) in enumerate(curves.items()):
        percent = _percent(seeds)
        tasks = percent.shape[1]
        longest = max(longest, tasks)
        every = math.ceil(tasks / MARKERS_PER_LINE)
        _line(axes, np.arange(tasks), percent, label=label, markevery=every, **_series_style(k))
    _task_axis(axes, longest)
    _legend(figure, axes)
    return _save(figure, path)


def accuracy_matrix(matrices: Sequence[AccuracyMatrix], path: PathLike, title: str) -> Path:
    """Draw the accuracy matrix, averaged over the seeds, as a heat map of its lower triangle.

    Args:
        matrices: per seed an accuracy matrix, ragged or [T, T] with the upper triangle ignored.
        path: the PNG file to write.
        title: the figure's title.

    """
    tasks = _task_count(matrices)
    mean = np.full((tasks, tasks), np.nan)
    for i in range(tasks):
        mean[i, : i + 1] = _percent([_row(matrix, i)[: i + 1] for matrix in matrices]).mean(axis=0)
    # Whole tens, at least one of them, so that the colour bar has readable ends.
    low = min(10 * math.floor(np.nanmin(mean) / 10), 90)
    high = max(10 * math.ceil(np.nanmax(mean) / 10), low + 10)

    figure = _figure(title, 7.5, 6.2)
    axes = _axes(figure, "Tested on task", "After training on task")
    axes.grid(False)
    image = axes.imshow(mean, cmap="viridis", vmin=low, vmax=high)
    _colour_bar(figure, axes, image, "Test accuracy (%)")
    axes.xaxis.set_major_locator(_task_locator(tasks))
    axes.yaxis.set_major_locator(_task_locator(tasks))
    if tasks <= FEW_TASKS:
        for i in range(tasks):
            for j in range(i + 1):
                axes.text(
                    j,
                    i,
                    f"{mean[i, j]:.1f}",
                    ha="center",
                    va="center",
                    color="white" if mean[i, j] < (low + high) / 2 else "black",
                    fontsize=FONT_SIZE,
                )
    return _save(figure, path)


def sparsity(records: Sequence[Mapping[str, float]], path: PathLike, title: str) -> Path:
    """Draw the share of pruned entries after every pruning round, per tensor and overall.

    Args:
        records: one per round, in order: "task", "percent" (the round's target) and, as fractions
            of the entries, "overall" and one value per tensor ("W1", "b1", ...).
        path: the PNG file to write.
        title: the figure's title.

    """
    _require(records)
    tasks = np.array([int(record["task"]) for record in records])
    rounds = np.arange(len(records))
    borders = np.flatnonzero(np.diff(tasks)) + 1
    starts = np.array([0, *borders])
    figure = _figure(title, 9.5, 5.0)
    axes = _axes(figure, "Pruning round, by its target (% of the candidates)", "Entries pruned (%)")
    names = [name for name in records[0] if name not in ("task", "percent", "overall")]
    names.append("overall")
    for k, name in enumerate(names):
        percent = 100 * np.array([record[name] for record in records])
        # Side by side within the round's place: all tensors may be pruned to the same share.
        places = rounds + 0.7 * ((k + 0.5) / len(names) - 0.5)
        # A gap at each border: at the start of a task nothing is pruned.
        axes.plot(
            np.insert(places, borders, np.nan),
            np.insert(percent, borders, np.nan),
            label=name,
            **_series_style(k),
        )
    axes.axhline(0, color="0.6", linewidth=0.8)
    _task_spans(axes, tasks[starts], np.array([*starts, len(records)]) - 0.5)
    shown = rounds[:: math.ceil(len(rounds) / 30)]
    axes.set_xticks(shown, [f"{records[k]['percent']:g}" for k in shown])
    _legend(figure, axes)
    return _save(figure, path)


def strength_curve(
    points: Mapping[float, Sequence[tuple[float, float]]],
    best: float | None,
    path: PathLike,
    title: str,
) -> Path:
    """Draw final validation and test accuracy over the consolidation strength λ.

    Args:
        points: per λ and seed (validation ACC, test ACC); an empty list where every run diverged.
        best: the λ chosen, or None.
        path: the PNG file to write.
        title: the figure's title.

    """
    _require(points)
    finished = np.array(sorted(strength for strength in points if len(points[strength])))
    diverged = sorted(strength for strength in points if not len(points[strength]))
    figure = _figure(title, 8.5, 5.0)
    axes = _axes(figure, "Consolidation strength λ", "Accuracy after the last task, all tasks (%)")
    low, high = min(points), max(points)
    log = low > 0 and high > 10 * low
    if log:
        axes.set_xscale("log")
    if low == high:
        axes.set_xlim(low - 1, low + 1)
    if not finished.size:
        axes.set_ylim(0, 100)
    for k, label in enumerate(("validation", "test")):
        seeds = [100 * np.array([pair[k] for pair in points[strength]]) for strength in finished]
        # A little to either side, or the two error bars of one λ would hide each other.
        aside = (-0.005, 0.005)[k]
        axes.errorbar(
            finished * (high / low) ** aside if log else finished + aside * ((high - low) or 1.0),
            [values.mean() for values in seeds],
            yerr=[values.std(ddof=1) if values.size > 1 else np.nan for values in seeds],
            label=label,
            capsize=3,
            **_series_style(k),
        )
    if diverged:
        axes.plot(
            diverged,
            np.full(len(diverged), 0.03),
            transform=axes.get_xaxis_transform(),
            label="every run diverged",
            linestyle="none",
            marker="x",
            markersize=8,
            markeredgewidth=2,
            color=COLOURS[-1],
        )
    if best is not None:
        axes.axvline(best, color="0.4", linestyle=":", label=f"chosen: λ = {best:g}", zorder=1)
    strengths = np.array(sorted(points))
    labels = [f"{strength:g}" for strength in strengths]
    places = np.log(strengths) if log else strengths
    axes.set_xticks(strengths, _sparse_labels(places, labels))
    axes.xaxis.set_minor_locator(NullLocator())
    _legend(figure, axes)
    return _save(figure, path)


def gaussian_density(
    counts: npt.ArrayLike, edges: npt.ArrayLike, grid: npt.ArrayLike, bandwidth: float = 0.01
) -> FloatArray:
    """Return the Gaussian kernel density estimate of a fine histogram on a grid, [G].

    A sum of normal densities of standard deviation `bandwidth` at the bin centres, weighted with
    counts / total. It is not reflected at the ends of the values' range: over the whole line it
    integrates to 1, over [0, 1] to less where much lies near 0.

    Args:
        counts: values per bin, [B]; bins should be narrow against the bandwidth.
        edges: the bins' edges, [B+1].
        grid: where to evaluate, [G].
        bandwidth: standard deviation of the kernel, in the unit of the edges.

    Raises:
        ValueError: the shapes don't fit, or all counts are zero.

    """
    weights = np.asarray(counts, dtype=np.float64)
    bounds = np.asarray(edges, dtype=np.float64)
    if weights.ndim != 1 or bounds.shape != (weights.size + 1,):
        raise ValueError(
            f"expected counts [B] and edges [B+1], got {weights.shape}, {bounds.shape}"
        )
    if not weights.sum() > 0:
        raise ValueError("an empty histogram has no density")
    filled = weights > 0
    weights = weights[filled] / weights.sum()
    centres = (bounds[:-1] + bounds[1:])[filled] / 2
    # Point by point: a matrix [G, B] of a fine histogram would fill the memory.
    sums = [
        weights @ np.exp(-0.5 * ((point - centres) / bandwidth) ** 2)
        for point in np.asarray(grid, dtype=np.float64)
    ]
    return np.array(sums) / (bandwidth * math.sqrt(2 * math.pi))


def density(
    values: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    path: PathLike,
    title: str,
    log_y: bool = False,
) -> Path:
    """Draw densities of min-max normalised importances.

    Args:
        values: per name (grid [G], density [G]), for example from `gaussian_density`.
        path: the PNG file to write.
        title: the figure's title.
        log_y: logarithmic density axis, down to a millionth of the highest density.

    """
    _require(values)
    figure = _figure(title, 8.5, 5.0)
    axes = _axes(figure, "Importance, min-max normalised", "Density")
    highest = 0.0
    for k, (name, (grid, height)) in enumerate(values.items()):
        every = math.ceil(np.size(grid) / MARKERS_PER_LINE)
        axes.plot(grid, height, label=name, markevery=every, **_series_style(k))
        highest = max(highest, float(np.max(height)))
    if log_y:
        axes.set_yscale("log")
        axes.set_ylim(highest * 1e-6, highest * 3)
    else:
        axes.set_ylim(bottom=0)
    _legend(figure, axes)
    return _save(figure, path)


def log_histogram(histograms: Mapping[str, Histogram], path: PathLike, title: str) -> Path:
    """Draw histograms on two logarithmic axes; the legend states the share of exact zeros.

    Args:
        histograms: per name the edges, the counts between them and the share of exact zeros.
        path: the PNG file to write.
        title: the figure's title.

    """
    _require(histograms)
    figure = _figure(title, 8.5, 5.0)
    axes = _axes(figure, "Importance", "Entries per bin")
    for k, (name, histogram) in enumerate(histograms.items()):
        axes.stairs(
            _counts(histogram),
            np.asarray(histogram["edges"], dtype=np.float64),
            label=_zeros_label(name, histogram),
            color=COLOURS[k % len(COLOURS)],
            linestyle=LINE_STYLES[k % len(LINE_STYLES)],
            linewidth=1.5,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*_used_range(histograms))
    # A bin with one entry has to show, and log axes begin where the lowest step is otherwise.
    axes.set_ylim(bottom=0.5)
    _legend(figure, axes)
    return _save(figure, path)


def omega_histogram(histograms: Mapping[str, Histogram], path: PathLike, title: str) -> Path:
    """Draw how the importance Ω is distributed, in every tensor and in all of them together.

    The tensors differ in size by orders of magnitude, so a bin's height is the share of the
    tensor's entries, zeros included, that lie in it. The legend states the share of exact zeros.

    Args:
        histograms: per tensor the edges, the counts between them, summed over the seeds, and the
            share of exact zeros; the first is of all tensors together.
        path: the PNG file to write.
        title: the figure's title.

    """
    _require(histograms)
    figure = _figure(title, 8.5, 5.0)
    axes = _axes(figure, "Importance Ω", "Entries per bin, share of the tensor (%)")
    lowest = 1.0
    for k, (name, histogram) in enumerate(histograms.items()):
        counts = _counts(histogram)
        # The counts are of all entries but the zeros.
        percent = 100 * (1 - histogram["zeros"]) * counts / max(counts.sum(), 1)
        lowest = np.min(percent, where=counts > 0, initial=lowest)
        edges = np.asarray(histogram["edges"], dtype=np.float64)
        label = _zeros_label(name, histogram)
        if k == 0:
            axes.stairs(percent, edges, label=label, color="0.85", fill=True)
        else:
            # In a tensor of few entries many bins are empty: steps down to 0 would hide the rest.
            percent[counts == 0] = np.nan
            centres = np.sqrt(edges[:-1] * edges[1:])
            axes.plot(centres, percent, label=label, **{**_series_style(k - 1), "markersize": 3})
    axes.set_xlim(*_used_range(histograms))
    axes.set_ylim(lowest / 2, 100)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _legend(figure, axes)
    return _save(figure, path)


def bars(
    groups: Mapping[str, Mapping[str, float]],
    errors: Mapping[str, Mapping[str, float | None]],
    path: PathLike,
    title: str,
    ylabel: str,
    reference: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    log_y: bool = False,
) -> Path:
    """Draw a grouped bar chart with error bars and, beside the bars, published values.

    Args:
        groups: per category (a place on the x axis) and series (a colour) the bar's height.
        errors: half the length of each error bar, of the same shape; None for no error bar.
        path: the PNG file to write.
        title: the figure's title.
        ylabel: what is drawn, with its unit.
        reference: published (mean, standard deviation), of the same shape, as hollow markers.
        log_y: logarithmic y axis, for heights that differ by orders of magnitude.

    """
    _require(groups)
    series = list(next(iter(groups.values())))
    figure = _figure(title, 8.5, 5.0)
    axes = _axes(figure, "", ylabel)
    axes.grid(False, axis="x")
    places = np.arange(len(groups))
    slot = 0.8 / len(series)
    bar = slot if reference is None else 0.65 * slot
    for k, name in enumerate(series):
        left = places - 0.4 + k * slot
        axes.bar(
            left + bar / 2,
            [heights[name] for heights in groups.values()],
            bar,
            yerr=np.array([errors[category][name] for category in groups], dtype=np.float64),
            label=name,
            color=COLOURS[k % len(COLOURS)],
            hatch=HATCHES[k % len(HATCHES)],
            edgecolor="white",
            error_kw={"capsize": 3, "elinewidth": 1.2},
        )
        if reference is not None:
            published = np.array([reference[category][name] for category in groups])
            axes.errorbar(
                left + (bar + slot) / 2,
                published[:, 0],
                yerr=published[:, 1],
                label=f"{name}, published",
                linestyle="none",
                marker=MARKERS[k % len(MARKERS)],
                markerfacecolor="white",
                markersize=6,
                color=COLOURS[k % len(COLOURS)],
                capsize=3,
            )
    if log_y:
        axes.set_yscale("log")
    room = AXIS_DIGITS // len(groups)
    if max(len(word) for name in groups for word in name.split()) <= room:
        axes.set_xticks(places, [_wrapped(name, room) for name in groups])
    else:
        every = math.ceil(len(groups) / AXIS_LINES)
        upright = [_wrapped(name) for name in groups]
        axes.set_xticks(places[::every], upright[::every], rotation=90)
    _legend(figure, axes)
    return _save(figure, path)


def pruning_path(
    percents: npt.ArrayLike,
    curves: Mapping[str, Sequence[npt.ArrayLike]],
    path: PathLike,
    title: str,
) -> Path:
    """Draw accuracy over the percentage pruned.

    Args:
        percents: the targets of the pruning steps, in percent, [Q].
        curves: per label and seed the accuracies after the steps, [Q].
        path: the PNG file to write.
        title: the figure's title.

    """
    _require(curves)
    figure = _figure(title, 8.5, 5.0)
    axes = _axes(figure, "Pruned, target per tensor (%)", "Accuracy (%)")
    for k, (label, seeds) in enumerate(curves.items()):
        _line(axes, np.asarray(percents), _percent(seeds), label=label, **_series_style(k))
    _legend(figure, axes)
    return _save(figure, path)


def _zeros_label(name: str, histogram: Histogram) -> str:
    return f"{name}\n({100 * histogram['zeros']:.3g} % are exactly 0)"


def _counts(histogram: Histogram) -> FloatArray:
    return np.asarray(histogram["counts"], dtype=np.float64)


def _used_range(histograms: Mapping[str, Histogram]) -> tuple[float, float]:
    """Return the edges beyond which every bin of every histogram is empty."""
    lows, highs = [], []
    for histogram in histograms.values():
        edges = np.asarray(histogram["edges"], dtype=np.float64)
        used = np.flatnonzero(_counts(histogram))
        if used.size:
            lows.append(edges[used[0]])
            highs.append(edges[used[-1] + 1])
    return (min(lows), max(highs)) if lows else (edges[0], edges[-1])


def _require(data: Sized) -> None:
    if not len(data):
        raise ValueError("nothing to draw")


def _figure(title: str, width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    # Matplotlib cuts off a title that is wider than the figure.
    figure.suptitle(textwrap.fill(title, int(10 * width)), fontsize=FONT_SIZE + 3)
    return figure


def _axes(figure: Figure, xlabel: str, ylabel: str) -> Axes:
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel, fontsize=FONT_SIZE + 1)
    axes.set_ylabel(ylabel, fontsize=FONT_SIZE + 1)
    axes.tick_params(labelsize=FONT_SIZE)
    axes.grid(True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _legend(figure: Figure, axes: Axes) -> None:
    """Put the legend to the right of the axes, in columns of about 20 lines."""
    handles, names = axes.get_legend_handles_labels()
    labels = ["\n".join(_wrapped(line) for line in name.splitlines()) for name in names]
    lines = sum(1 + label.count("\n") for label in labels)
    legend = axes.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        fontsize=FONT_SIZE,
        ncols=max(1, math.ceil(lines / 20)),
        frameon=False,
    )
    # Beside a wide legend the axes would shrink to nothing.
    more = legend.get_window_extent().width / DPI - LEGEND_WIDTH
    if more > 0:
        figure.set_figwidth(figure.get_figwidth() + more)


def _wrapped(label: str, length: int = LABEL_LENGTH) -> str:
    return textwrap.fill(label, length, break_on_hyphens=False)


def _series_style(k: int) -> dict[str, Any]:
    return {
        "color": COLOURS[k % len(COLOURS)],
        "marker": MARKERS[k % len(MARKERS)],
        "linestyle": LINE_STYLES[k // len(COLOURS) % len(LINE_STYLES)],
        "linewidth": 1.5,
        "markersize": 5,
    }


def _sequence_colours(tasks: int) -> list[tuple[float, ...]]:
    """Return one viridis colour per task, without the yellow end, too faint on white."""
    viridis = matplotlib.colormaps["viridis"]
    return [tuple(colour) for colour in viridis(np.linspace(0, 0.9, tasks))]


def _task_style(j: int, colour: tuple[float, ...], few: bool) -> dict[str, Any]:
    """Return how `_line` draws task j: told apart by marker, too, where there are few tasks."""
    if few:
        marker = MARKERS[j % len(MARKERS)]
        style = {"label": f"task {j}", "marker": marker, "linewidth": 1.5, "band_alpha": 0.15}
    else:
        style = {"marker": ".", "markevery": [0], "linewidth": 0.8, "band_alpha": 0.06}
    return {"color": colour, "markersize": 5, **style}


def _line(
    axes: Axes, x: npt.NDArray[Any], seeds: FloatArray, band_alpha: float = 0.15, **style: Any
) -> None:
    """Draw the mean over the seeds [S, n] and a band of one sample standard deviation."""
    mean = seeds.mean(axis=0)
    axes.plot(x, mean, **style)
    if len(seeds) == 1:
        return
    std = seeds.std(axis=0, ddof=1)
    colour = style["color"]
    if len(x) == 1:  # A band over one point is invisible.
        axes.errorbar(x, mean, yerr=std, color=colour, capsize=3)
    else:
        axes.fill_between(x, mean - std, mean + std, color=colour, alpha=band_alpha, linewidth=0)


def _sparse_labels(places: npt.NDArray[Any], labels: Sequence[str]) -> list[str]:
    """Return labels of ascending places, emptied where one would touch the one before.

    The places are taken to span the whole axis.
    """
    places = (places - places[0]) / ((places[-1] - places[0]) or 1.0)
    sparse: list[str] = []
    free = -math.inf
    for place, label in zip(places, labels, strict=True):
        half = len(label) / 2 / AXIS_DIGITS
        sparse.append(label if place - half >= free else "")
        if sparse[-1]:
            free = place + half + 0.01
    return sparse


def _task_spans(axes: Axes, tasks: npt.NDArray[Any], edges: npt.ArrayLike) -> None:
    """Part the x axis at the edges [T+1], and number the tasks [T] between them above it."""
    edges = np.asarray(edges, dtype=np.float64)
    for border in edges[1:-1]:
        axes.axvline(border, color="0.6", linewidth=0.8, zorder=1)
    axes.set_xlim(edges[0], edges[-1])
    centres = (edges[:-1] + edges[1:]) / 2
    top = axes.secondary_xaxis("top")
    top.set_xticks(centres, _sparse_labels(centres, [str(task) for task in tasks]))
    top.tick_params(length=0, labelsize=FONT_SIZE)
    top.set_xlabel("Task", fontsize=FONT_SIZE + 1)


def _task_colour_bar(figure: Figure, axes: Axes, colours: Sequence[tuple[float, ...]]) -> None:
    """Draw beside the axes which task has which colour, where a legend would be too long."""
    tasks = len(colours)
    scale = ScalarMappable(Normalize(-0.5, tasks - 0.5), ListedColormap(colours))
    _colour_bar(figure, axes, scale, "Task").set_ticks(MaxNLocator(10, integer=True))


def _colour_bar(figure: Figure, axes: Axes, scale: ScalarMappable, label: str) -> Colorbar:
    bar = figure.colorbar(scale, ax=axes)
    bar.set_label(label, fontsize=FONT_SIZE + 1)
    bar.ax.tick_params(labelsize=FONT_SIZE)
    return bar


def _task_locator(tasks: int) -> FixedLocator | MaxNLocator:
    return FixedLocator(range(tasks)) if tasks <= FEW_TASKS else MaxNLocator(10, integer=True)


def _task_axis(axes: Axes, tasks: int) -> None:
    margin = 0.5 if tasks == 1 else 0.02 * (tasks - 1)
    axes.set_xlim(-margin, tasks - 1 + margin)
    axes.xaxis.set_major_locator(_task_locator(tasks))


def _task_count(matrices: Sequence[AccuracyMatrix]) -> int:
    counts = {len(matrix) for matrix in matrices}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"expected accuracy matrices over one number of tasks, got {counts}")
    return counts.pop()


def _row(matrix: AccuracyMatrix, i: int) -> FloatArray:
    return np.asarray(matrix[i], dtype=np.float64)


def _percent(seeds: Sequence[npt.ArrayLike]) -> FloatArray:
    """Return the curves of the seeds, fractions, as percent [S, n]."""
    lengths = {np.size(curve) for curve in seeds}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"expected curves of one length, at least one, got the lengths {lengths}")
    return 100 * np.asarray(seeds, dtype=np.float64)


def _save(figure: Figure, path: PathLike) -> Path:
    """Write the figure beside its final name first, so that no reader meets half a file."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        figure.savefig(temporary, format="png", dpi=DPI)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
