"""What a figure draws, read from its artists; heights are in percent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D


def legend(figure: Figure) -> list[str]:
    """Return the entries of the figure's legend, long ones in one line."""
    (found,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    return [text.get_text().replace("\n", " ") for text in found.get_texts()]


def labelled(axes: Axes, label: str) -> Line2D:
    """Return the only line with a label."""
    (found,) = [line for line in axes.get_lines() if line.get_label() == label]
    return found


def lines(axes: Axes, marker: str) -> list[Line2D]:
    """Return the lines with something in them that are drawn with a marker."""
    return [
        line for line in axes.get_lines() if line.get_marker() == marker and len(line.get_xdata())
    ]


def half_lengths(bars: Collection) -> list[float]:
    """Return half the lengths of error bars, NaN where there is none."""
    ends = [path.vertices for path in bars.get_paths()]
    return [np.ptp(end, axis=0).max() / 2 for end in ends]


def error_bars(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Return x, y and half the length of the error bars of a labelled series."""
    ((line, _, (bars,)),) = [one for one in axes.containers if one.get_label() == label]
    x, y = np.array(line.get_data(), dtype=float)
    return x, y, half_lengths(bars)


def std(values: Sequence[float]) -> float:
    """Return the sample standard deviation of fractions, in percent; NaN of one."""
    return 100 * np.std(values, ddof=1) if len(values) > 1 else math.nan


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
        np.testing.assert_array_equal(line.get_xdata(), x)
        np.testing.assert_allclose(line.get_ydata(), seeds.mean(axis=0))
    several = [(x, seeds) for x, seeds in expected if len(seeds) > 1]
    bands = [one for one in axes.collections if isinstance(one, PolyCollection)]
    for band, (x, seeds) in zip(bands, [one for one in several if len(one[0]) > 1], strict=True):
        # A corner, along the lower edge, a corner, and back along the upper edge.
        outline, n = band.get_paths()[0].vertices, len(x)
        mean, deviation = seeds.mean(axis=0), seeds.std(axis=0, ddof=1)
        np.testing.assert_allclose(outline[1 : n + 1].T, (x, mean - deviation))
        np.testing.assert_allclose(outline[n + 2 : 2 * n + 2][::-1].T, (x, mean + deviation))
    points = [one for one in several if len(one[0]) == 1]
    for (line, _, (bars,)), (x, seeds) in zip(axes.containers, points, strict=True):
        assert line.get_xydata().tolist() == [[x[0], pytest.approx(seeds.mean())]]
        assert half_lengths(bars) == pytest.approx([seeds.std(ddof=1)])
