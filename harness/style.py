"""What all figures share: style, axes, legends, the band over seeds, and how a file is written.

A method has one colour in all figures (`METHODS`). What is no method, such as tasks or tensors, is
told apart by the colours of viridis, or drawn in grey.

A figure is written whole or not at all. A PNG has the `digest` of the data that it was drawn from,
and of the code that draws: pictures of the same data differ between versions of Matplotlib.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import math
import re
import statistics
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

from common.metrics import FloatArray, Trace
from harness import process, results

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, Normalize, to_hex, to_rgb
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

DPI = 150
FONT_SIZE = 9
# The colour of every method, by its script: of Okabe and Ito's palette, which the colour-blind can
# tell apart; references are grey and black.
METHODS = {
    **dict.fromkeys(("finetune", "sgd_single_head"), "#767676"),
    "sgd_freeze": "#BDBDBD",
    "joint": "#000000",
    "lwf": "#8B5A2B",
    "ewc": "#0072B2",
    "mas": "#009E73",
    "si": "#E69F00",
    "anpyc_wo_np": "#6E1250",
    **dict.fromkeys(("anpyc_wi_np", "anpyc"), "#D55E00"),
}
# Of methods that are not known by name, in the order in which they come.
OTHER_METHODS = ("#332288", "#CC79A7", "#999933")
# How much white, or below 0 black, is mixed into the colour of each variant of a method.
SHADES = (0.0, 0.4, -0.5, 0.55, 0.2, -0.25)
THICK = "anpyc"  # the beginning of the names of methods that are set off from the rest
GREY = "0.25"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")
LINE_STYLES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xxx")
# Lines that end within so many times the distance between the best and the median are leading, and
# have a panel of their own where all take so many times as much room.
NEAR = 3
SQUEEZED = 3
CLOSER = "the highest alone"
# Beyond this many tasks, a marker per point and a number per cell no longer fit.
FEW_TASKS = 12
MARKERS_PER_LINE = 12
# Characters, after which a label goes on in a new line.
LABEL_LENGTH = 30
# Inches of a figure's width that a legend may take from the axes.
LEGEND_WIDTH = 2.5
# Digits side by side that fit below an axis.
AXIS_DIGITS = 70
# Beside Matplotlib's defaults. PDF: TrueType fonts, which journals ask for. SVG: the same ids every
# time; text is outlines there, by default, and so looks the same where the font is missing.
SETTINGS: Any = {"pdf.fonttype": 42, "svg.hashsalt": "ANPyC"}
# Without a date, so that the same figure is the same file.
METADATA: dict[str, Any] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
NOT_CHOSEN = "a run diverged: λ not chosen"
# A whole PNG, from its signature to its last chunk, with a digest as text.
_STORED = re.compile(rb"\x89PNG.*?tEXtdata\0([0-9a-f]{16}).*IEND\xaeB`\x82", re.DOTALL)


def require(data: Sized) -> None:
    """Raises ValueError for no data."""
    if not len(data):
        raise ValueError("nothing to draw")


def percent(seeds: Sequence[npt.ArrayLike]) -> FloatArray:
    """Returns the curves of the seeds, fractions, as percent [S, n]."""
    lengths = {np.size(curve) for curve in seeds}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"expected curves of one length, at least one, got the lengths {lengths}")
    return 100 * np.asarray(seeds, dtype=np.float64)


def spread(values: FloatArray) -> float:
    """Returns the sample standard deviation of [S] values; NaN (no error bar) of one."""
    return float(values.std(ddof=1)) if values.size > 1 else math.nan


def trace_places(traces: Sequence[Trace]) -> npt.NDArray[Any]:
    """Returns tasks, epochs and steps of a run's readings, [3, n]; the same for every seed."""
    require(traces)
    places = [[(r["task"], r["epoch"], r["step"]) for r in trace] for trace in traces]
    if not places[0] or any(other != places[0] for other in places):
        raise ValueError("expected traces with readings, at the same places for every seed")
    return np.array(places[0]).T


def trace_of_task(traces: Sequence[Trace], task: int) -> FloatArray:
    """Returns per seed a task's accuracy in percent at every reading since the task began."""
    return percent([[r["accuracy"][task] for r in trace if r["task"] >= task] for trace in traces])


def figure(title: str, width: float, height: float) -> Figure:
    """Returns an empty figure of width × height inches under a title."""
    empty = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(empty)
    # Matplotlib cuts off a title that is wider than the figure.
    empty.suptitle(textwrap.fill(title, int(10 * width)), fontsize=FONT_SIZE + 3)
    return empty


def plot(
    title: str, xlabel: str, ylabel: str, width: float = 8.5, height: float = 5.0
) -> tuple[Figure, Axes]:
    """Returns a figure with one pair of axes."""
    whole = figure(title, width, height)
    return whole, axes(whole, xlabel, ylabel)


def axes(figure: Figure, xlabel: str, ylabel: str, *place: Any, **options: Any) -> Axes:
    """Adds axes with a light grid; `place` and `options` are those of `Figure.add_subplot`."""
    panel: Axes = figure.add_subplot(*place, **options)
    panel.set_xlabel(xlabel, fontsize=FONT_SIZE + 1)
    panel.set_ylabel(ylabel, fontsize=FONT_SIZE + 1)
    panel.tick_params(labelsize=FONT_SIZE)
    panel.grid(True, color="0.9", linewidth=0.8)
    panel.set_axisbelow(True)
    return panel


def plot_closer(
    title: str,
    xlabel: str,
    ylabel: str,
    ends: Mapping[str, float],
    width: float = 8.5,
    height: float = 5.0,
    closer: str = CLOSER,
) -> tuple[Figure, list[tuple[Axes, list[str]]]]:
    """Returns a figure, and each pair of its axes with the labels of the lines to draw there.

    The second pair, where there is one, is for the `leading` lines alone.

    Args:
        title: of the figure.
        xlabel: of both.
        ylabel: likewise.
        ends: as for `leading`.
        width: in inches, with one pair.
        height: in inches.
        closer: heading of the second pair.
    """
    near = leading(ends)
    parts = [list(ends), near] if near else [list(ends)]
    whole = figure(title, width + (len(parts) - 1) * 5.0, height)
    pairs = []
    for k, labels in enumerate(parts):
        panel = axes(whole, xlabel, "" if k else ylabel, 1, len(parts), k + 1)
        if near:
            panel.set_title(("all", closer)[k], fontsize=FONT_SIZE + 1)
        pairs.append((panel, labels))
    return whole, pairs


def legend(figure: Figure, axes: Axes, panels: Sequence[Axes] = ()) -> None:
    """Puts the legend to the right of the axes, in columns of about 20 lines.

    Args:
        figure: the figure, which grows where the legend is wide.
        axes: the axes beside which the legend stands.
        panels: where the entries come from, each name once, bars and error bars before other
            marks. If left out, these axes, in matplotlib's order.
    """
    entries: dict[str, Any] = {}
    for panel in panels or [axes]:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    if panels:
        order = sorted(entries.items(), key=lambda entry: not isinstance(entry[1], Container))
        entries = dict(order)
    labels = ["\n".join(wrapped(line) for line in name.splitlines()) for name in entries]
    lines = sum(1 + label.count("\n") for label in labels)
    drawn = axes.legend(
        entries.values(),
        labels,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        fontsize=FONT_SIZE,
        ncols=max(1, math.ceil(lines / 20)),
        frameon=False,
    )
    # Beside a wide legend the axes would shrink to nothing.
    more = drawn.get_window_extent().width / DPI - LEGEND_WIDTH
    if more > 0:
        figure.set_figwidth(figure.get_figwidth() + more)


def wrapped(label: str, length: int = LABEL_LENGTH) -> str:
    """Returns the label in lines of at most `length` characters, broken between words."""
    return textwrap.fill(label, length, break_on_hyphens=False)


def styles(
    labels: Iterable[str], methods: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """Returns how series are drawn.

    Args:
        labels: of the series.
        methods: as for `method_styles`; None where they are not of methods.
    """
    if methods is not None:
        return method_styles(labels, methods)
    names = list(labels)
    return {
        name: {
            "color": colour,
            "marker": MARKERS[k % len(MARKERS)],
            "linestyle": LINE_STYLES[k % len(LINE_STYLES)],
            "linewidth": 1.5,
            "markersize": 5,
        }
        for k, (name, colour) in enumerate(zip(names, sequence_colours(len(names)), strict=True))
    }


def method_styles(labels: Iterable[str], methods: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Returns how series are drawn that are methods or variants of them.

    Variants of a method share its colour, in other shades, and differ by line and marker.

    Args:
        labels: of the series in the figure.
        methods: the script of every label, in order, of all figures that belong together, so that
            a series looks the same in each.

    Raises:
        ValueError: a label has no script.
    """
    labels = list(labels)
    unknown = [label for label in labels if label not in methods]
    if unknown:
        raise ValueError(f"expected the script of every label, there is none of {unknown[0]!r}")
    known = list(METHODS)
    others = [script for script in dict.fromkeys(methods.values()) if script not in METHODS]
    styles, drawn = {}, collections.Counter[str]()
    for label, script in methods.items():
        variant, place = drawn[script], (known + others).index(script)
        drawn[script] += 1
        again, other = divmod(max(place - len(known), 0), len(OTHER_METHODS))
        colour = METHODS.get(script, OTHER_METHODS[other])
        thick = script.startswith(THICK)
        styles[label] = {
            "color": _shade(colour, SHADES[(variant + again) % len(SHADES)]),
            "marker": MARKERS[(place + variant) % len(MARKERS)],
            "linestyle": LINE_STYLES[variant % len(LINE_STYLES)],
            "linewidth": 2.6 if thick else 1.4,
            "markersize": 7 if thick else 5,
            "zorder": 2.5 if thick else 2.2,
        }
    return {label: styles[label] for label in labels}


def _shade(colour: str, white: float) -> str:
    """Returns a colour with a share of white in it, or of black, where it is below 0."""
    red, green, blue = ((1 - abs(white)) * part + max(white, 0) for part in to_rgb(colour))
    return to_hex((red, green, blue))


def leading(ends: Mapping[str, float]) -> list[str]:
    """Returns the labels of the lines that others squeeze; none where there is room for all.

    Args:
        ends: where each line ends: the more, the better.
    """
    if not ends:
        return []
    best = max(ends.values())
    reach = NEAR * (best - statistics.median(ends.values()))
    near = {label: end for label, end in ends.items() if best - end <= reach + 1e-9}
    squeezed = best - min(ends.values()) > SQUEEZED * (best - min(near.values()))
    return list(near) if squeezed and len(near) > 1 else []


def marked_points(points: int, first: int = 0) -> tuple[int, int]:
    """Returns which points of a long line have a marker: from which on, and each how many-th.

    Args:
        points: of the line.
        first: another for each line, so that markers of lines that lie on each other stand side
            by side where there is room.
    """
    every = math.ceil(points / MARKERS_PER_LINE)
    return first % every, every


def sequence_colours(tasks: int) -> list[tuple[float, ...]]:
    """Returns one viridis colour per task, without the yellow end, too faint on white."""
    viridis = matplotlib.colormaps["viridis"]
    return [tuple(colour) for colour in viridis(np.linspace(0, 0.8, tasks))]


def task_style(j: int, colour: tuple[float, ...], few: bool) -> dict[str, Any]:
    """Returns how `line` draws task j: told apart by marker, too, where there are few tasks."""
    if few:
        marker = MARKERS[j % len(MARKERS)]
        style = {"label": f"task {j}", "marker": marker, "linewidth": 1.5, "band_alpha": 0.15}
    else:
        style = {"marker": ".", "markevery": [0], "linewidth": 0.8, "band_alpha": 0.06}
    return {"color": colour, "markersize": 5, **style}


def line(
    axes: Axes, x: npt.NDArray[Any], seeds: FloatArray, band_alpha: float = 0.15, **style: Any
) -> None:
    """Draws the mean over the seeds [S, n] and a band of one sample standard deviation."""
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


def error_bars(
    axes: Axes, places: npt.ArrayLike, seeds: Sequence[FloatArray], flat: bool = False, **style: Any
) -> None:
    """Draws at every place the mean of its seeds, with one sample standard deviation.

    Args:
        axes: where to draw.
        places: along the x axis, or, where the bars lie `flat`, along the y axis.
        seeds: the values at each place.
        flat: whether the values are along the x axis.
        **style: of `Axes.errorbar`.
    """
    means = [values.mean() for values in seeds]
    deviations = [spread(values) for values in seeds]
    style = {"capsize": 3, "elinewidth": 1.2, **style}
    if flat:
        axes.errorbar(means, places, xerr=deviations, **style)
    else:
        axes.errorbar(places, means, yerr=deviations, **style)


def logarithmic(strengths: Iterable[float]) -> dict[float, float]:
    """Returns where each λ stands on a logarithmic axis: 0 a decade or more below the others."""
    least = min((strength for strength in strengths if strength > 0), default=1.0)
    zero = 10.0 ** (math.floor(math.log10(least)) - 1)
    return {strength: strength or zero for strength in strengths}


def sparse_labels(places: npt.NDArray[Any], labels: Sequence[str]) -> list[str]:
    """Returns labels of ascending places, emptied where one would touch the one before.

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


def task_spans(axes: Axes, tasks: npt.NDArray[Any], edges: npt.ArrayLike) -> None:
    """Parts the x axis at the edges [T+1], and numbers the tasks [T] between them above it."""
    edges = np.asarray(edges, dtype=np.float64)
    for border in edges[1:-1]:
        axes.axvline(border, color="0.6", linewidth=0.8, zorder=1)
    axes.set_xlim(edges[0], edges[-1])
    centres = (edges[:-1] + edges[1:]) / 2
    top = axes.secondary_xaxis("top")
    top.set_xticks(centres, sparse_labels(centres, [str(task) for task in tasks]))
    top.tick_params(length=0, labelsize=FONT_SIZE)
    top.set_xlabel("Task", fontsize=FONT_SIZE + 1)


def pruning_marks(axes: Axes, places: npt.NDArray[Any], top: float = 1.0) -> None:
    """Draws a dotted line at every pruning round, up to a share of the axes' height."""
    if places.size:
        marks = axes.vlines(places, 0, top, transform=axes.get_xaxis_transform(), zorder=1)
        marks.set(color=GREY, linestyle=":", linewidth=0.8, alpha=0.7, label="pruning round")


def diverged_marks(axes: Axes, x: npt.ArrayLike, y: npt.ArrayLike, **style: Any) -> None:
    """Draws an x where runs diverged, at heights y as a share of the axes' height."""
    usual = {"color": "black", "markersize": 8, "markeredgewidth": 2}
    usual["transform"] = axes.get_xaxis_transform()
    axes.plot(x, y, linestyle="none", marker="x", **{**usual, **style})


def task_legend(figure: Figure, axes: Axes, colours: Sequence[tuple[float, ...]]) -> None:
    """Says beside the axes which task has which colour; of many tasks with a colour bar."""
    tasks = len(colours)
    if tasks <= FEW_TASKS:
        legend(figure, axes)
        return
    scale = ScalarMappable(Normalize(-0.5, tasks - 0.5), ListedColormap(colours))
    colour_bar(figure, axes, scale, "Task").set_ticks(MaxNLocator(10, integer=True))


def colour_bar(figure: Figure, axes: Axes, scale: ScalarMappable, label: str) -> Colorbar:
    """Draws a labelled colour bar beside the axes."""
    bar = figure.colorbar(scale, ax=axes)
    bar.set_label(label, fontsize=FONT_SIZE + 1)
    bar.ax.tick_params(labelsize=FONT_SIZE)
    return bar


def task_locator(tasks: int) -> FixedLocator | MaxNLocator:
    """Returns where an axis of task numbers has its ticks."""
    return FixedLocator(range(tasks)) if tasks <= FEW_TASKS else MaxNLocator(10, integer=True)


def fit(axes: Axes, heights: FloatArray) -> None:
    """Lets the y axis show the heights, and little more."""
    low, high = heights.min(), heights.max()
    margin = 0.05 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)


def task_axis(axes: Axes, tasks: int) -> None:
    """Lets the x axis show the task numbers from 0."""
    margin = 0.5 if tasks == 1 else 0.02 * (tasks - 1)
    axes.set_xlim(-margin, tasks - 1 + margin)
    axes.xaxis.set_major_locator(task_locator(tasks))


def save(figure: Figure, path: Path, data: str = "") -> None:
    """Writes a figure.

    Args:
        figure: what is written.
        path: of the file; PNG, PDF or SVG, by its ending.
        data: the digest of the drawing, which goes into a PNG; "" for none.
    """
    kind = path.suffix[1:]
    metadata = METADATA[kind] | ({"data": data} if data and kind == "png" else {})
    with results.replacing(path) as file:
        figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)


def digest(draw_name: str, arguments: Any) -> str:
    """Returns 16 hex digits that name the data of a figure.

    Floats count to 9 significant digits, so that a sum in another order, on another machine, gives
    the same digits. 1 and 1.0 are the same.

    Args:
        draw_name: the name of the function that draws.
        arguments: what it draws: numbers, text, None, arrays, and sequences and mappings of them.

    Raises:
        TypeError: there is something else in the arguments.
    """
    text = json.dumps([draw_name, _plain(arguments)], allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stored(path: Path) -> str | None:
    """Returns the digest that `save` stored; None where there is none, or no whole PNG file."""
    picture = _STORED.fullmatch(path.read_bytes())
    return picture[1].decode() if picture else None


def _plain(data: Any) -> Any:
    """Returns data as JSON has it, with the precision that `digest` promises."""
    if isinstance(data, Mapping):
        # Not an object: its keys would have to be text, and here they may be strengths.
        return [[_plain(key), _plain(value)] for key, value in data.items()]
    if isinstance(data, np.ndarray | np.generic):
        return _plain(data.tolist())
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    if not isinstance(data, float):
        return data
    if not math.isfinite(data):
        return str(data)
    rounded = float(f"{data:.9g}")
    return int(rounded) if rounded.is_integer() else rounded


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn, and compared with a file.

    Attributes:
        name: of its file, or a part of it.
        draw: a function of `harness.figures` or `tables.figures`.
        title: of the figure.
        arguments: of the function, beside the title.
    """

    name: str
    draw: Callable[..., Figure]
    title: str
    arguments: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """What stands in the file: of the data drawn, and of the code that draws them."""
        sources = {__name__, self.draw.__module__}
        code = results.sources_digest(*sorted(str(sys.modules[name].__file__) for name in sources))
        return digest(self.draw.__name__, [self.title, self.arguments, code])

    def is_in(self, path: Path) -> bool:
        """Whether a file, which is there, shows the same data, drawn in the same way."""
        return stored(path) == self.digest

    def write(self, path: Path) -> str:
        """Draws the figure into a file, whatever the user's settings of Matplotlib are.

        Returns:
            "", or a line that says why it could not be drawn: no result should suffer from that.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with matplotlib.rc_context({**matplotlib.rcParamsDefault, **SETTINGS}):
                save(self.draw(title=self.title, **self.arguments), path, self.digest)
        except Exception as error:
            return f"{path} could not be drawn: {process.reason(error)}"
        return ""


def write_all(drawings: Iterable[Drawing], stem: Path, kind: str) -> Iterator[str]:
    """Writes figures to `<stem>.<name>.<kind>`; yields the path of each, or why there is none."""
    for drawing in drawings:
        path = stem.with_name(f"{stem.name}.{drawing.name}.{kind}")
        yield drawing.write(path) or str(path)
