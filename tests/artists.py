"""What a figure shows, read from its artists; heights are in percent."""

from __future__ import annotations

import inspect
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

from harness import style

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

DPI = 60  # less than of a file, which takes less time


def drawing_functions(module: ModuleType) -> set[str]:
    """Return the names of a module's public functions that draw a figure."""
    return {
        name
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }


def drawn(function: Callable[..., Figure], **arguments: Any) -> Figure:
    """Return a figure, laid out as in a file, after a look at whether it can be read.

    Without warnings, and with its title; nothing is cut off; the labels along an axis do not touch;
    legends and labels leave room for the axes.
    """
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error")
        patch.setattr(style, "DPI", DPI)
        figure = function(title="A title", **arguments)
        figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    assert picture.std() > 1
    edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
    assert all(edge.min() == 255 for edge in edges)
    assert figure.get_suptitle() == "A title"
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.get_xticklabels() if text.get_text()]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
        rows = [text.get_window_extent() for text in axes.get_yticklabels() if text.get_text()]
        rows.sort(key=lambda box: box.y0)
        assert all(low.y1 < high.y0 for low, high in itertools.pairwise(rows))
    assert figure.axes[0].get_window_extent().width > 2 * DPI
    return figure


def labels(figure: Figure) -> str:
    """Return what the axes of a figure say that they show."""
    return "; ".join(
        text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())
    )


def legend(figure: Figure) -> list[str]:
    """Return the entries of the figure's legends, long ones in one line."""
    legends = [*(axes.get_legend() for axes in figure.axes), *figure.legends]
    texts = [text for each in legends if each for text in each.get_texts()]
    return [text.get_text().replace("\n", " ") for text in texts]


def labelled(axes: Axes, label: str) -> Line2D:
    """Return the only line with a label."""
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    return line


def crosses(axes: Axes) -> list[tuple[float, float]]:
    """Return where an x marks runs that diverged."""
    lines = [line for line in axes.get_lines() if line.get_marker() == "x"]
    return [(float(x), float(y)) for line in lines for x, y in line.get_xydata()]


def half_lengths(bars: Collection) -> list[float]:
    """Return half the lengths of error bars, NaN where there is none."""
    ends = [path.vertices for path in bars.get_paths()]
    return [np.ptp(end, axis=0).max() / 2 for end in ends]


def error_bars(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Return x, y and half the length of the error bars of a labelled series."""
    ((line, _, (bars,)),) = [bar for bar in axes.containers if bar.get_label() == label]
    x, y = np.array(line.get_data(), dtype=float)
    return x, y, half_lengths(bars)


def std(values: Sequence[float]) -> float:
    """Return the sample standard deviation of fractions, in percent; NaN of one."""
    return 100 * np.std(values, ddof=1) if len(values) > 1 else math.nan


def assert_means(
    values: Sequence[float], halves: Sequence[float], seeds: Sequence[Sequence[float]]
) -> None:
    """Assert that values are means of the seeds' fractions, and their error bars deviations."""
    np.testing.assert_allclose(values, [100 * np.mean(each) for each in seeds])
    np.testing.assert_allclose(halves, [std(each) for each in seeds])


def assert_curves(axes: Axes, expected: Iterable[tuple[Sequence[float], np.ndarray]]) -> None:
    """Assert that lines are means over seeds, each in a band of one standard deviation.

    Args:
        axes: of which lines after these, and those of error bars, are not looked at.
        expected: of every curve, in order, its x [n] and the seeds' fractions [S, n].
    """
    expected = [(x, 100 * np.asarray(seeds)) for x, seeds in expected]
    of_bars = [line for bars in axes.containers for line in (bars[0], *bars[1])]
    means = [line for line in axes.get_lines() if line not in of_bars][: len(expected)]
    for line, (x, seeds) in zip(means, expected, strict=True):
        np.testing.assert_allclose(line.get_xdata(), x)
        np.testing.assert_allclose(line.get_ydata(), seeds.mean(axis=0))
    several = [(x, seeds) for x, seeds in expected if len(seeds) > 1]
    bands = [band for band in axes.collections if isinstance(band, PolyCollection)]
    for band, (x, seeds) in zip(bands, [each for each in several if len(each[0]) > 1], strict=True):
        # A corner, along the lower edge, a corner, and back along the upper edge.
        outline, n = band.get_paths()[0].vertices, len(x)
        mean, deviation = seeds.mean(axis=0), seeds.std(axis=0, ddof=1)
        np.testing.assert_allclose(outline[1 : n + 1].T, (x, mean - deviation))
        np.testing.assert_allclose(outline[n + 2 : 2 * n + 2][::-1].T, (x, mean + deviation))
    points = [each for each in several if len(each[0]) == 1]
    for (line, _, (bars,)), (x, seeds) in zip(axes.containers, points, strict=True):
        assert line.get_xydata().tolist() == [[x[0], pytest.approx(seeds.mean())]]
        assert half_lengths(bars) == pytest.approx([seeds.std(ddof=1)])
