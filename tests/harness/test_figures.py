"""Figures: what is drawn are the data, and it is a readable PNG for few and many of them.

Numbers are read from the artists of the figure.
"""

import itertools
import math
import os
import sys

from harness import figures, style
from tests.artists import assert_curves, error_bars, half_lengths, labelled, legend, lines, std

import matplotlib
import numpy as np
import pytest
from scipy import stats

GENERATOR = np.random.default_rng(0)


def matrices(seeds, tasks):
    """Return one random ragged accuracy matrix per seed."""
    return [
        [GENERATOR.uniform(0.7, 1.0, i + 1).tolist() for i in range(tasks)] for _ in range(seeds)
    ]


@pytest.fixture
def path(tmp_path):
    """Return a file name in an otherwise empty folder."""
    return tmp_path / "figure.png"


def saved(figure, path):
    """Save a figure, and return what is in the file."""
    style.save(figure, path)
    return path.read_bytes()


def trace(tasks, epochs, pruned=True):
    """Return a random trace of phases of 10 steps an epoch; all tasks but the last are pruned."""
    readings = []
    step = 0
    for task in range(tasks):
        for phase in range(2 if pruned and task < tasks - 1 else 1):
            for epoch in range(0 if phase else 1, epochs + 1):
                step += 10 if epoch else 0
                accuracy = GENERATOR.uniform(0.7, 1.0, task + 1).tolist()
                place = {"task": task, "phase": phase, "epoch": epoch, "step": step}
                readings.append({**place, "accuracy": accuracy})
    return readings


sizes = pytest.mark.parametrize(
    ("seeds", "tasks"), [(1, 1), (3, 1), (1, 10), (3, 10), (1, 100), (3, 100)]
)


def columns(all_matrices):
    """Return of every task its number and those after it, and its accuracies since then [S, n]."""
    tasks = len(all_matrices[0])
    return [
        (range(j, tasks), np.array([[row[j] for row in one[j:]] for one in all_matrices]))
        for j in range(tasks)
    ]


@sizes
def test_accuracy_over_sequence(drawn, seeds, tasks):
    data = matrices(seeds, tasks)
    figure = drawn(figures.accuracy_over_sequence, data)
    assert_curves(figure.axes[0], columns(data))
    if tasks <= style.FEW_TASKS:
        assert legend(figure) == [f"task {j}" for j in range(tasks)]
    else:
        numbers = {text.get_text(): text.xy for text in figure.axes[0].texts}
        assert 5 < len(numbers) <= style.FEW_TASKS
        for number, place in numbers.items():
            j = int(number)
            assert place == (j, pytest.approx(100 * np.mean([one[j][j] for one in data])))


@sizes
def test_accuracy_matrix(drawn, seeds, tasks):
    data = matrices(seeds, tasks)
    axes, bar = drawn(figures.accuracy_matrix, data).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Tested on task", "After training on task")
    (image,) = axes.get_images()
    means = np.full((tasks, tasks), np.nan)
    for i in range(tasks):
        means[i, : i + 1] = np.mean([100 * np.array(one[i]) for one in data], axis=0)
    np.testing.assert_allclose(image.get_array().filled(np.nan), means)
    low, high = bar.get_ylim()
    assert low <= np.nanmin(means) and np.nanmax(means) <= high
    numbers = {(j, i): f"{means[i, j]:.1f}" for i in range(tasks) for j in range(i + 1)}
    expected = numbers if tasks <= style.FEW_TASKS else {}
    assert {text.get_position(): text.get_text() for text in axes.texts} == expected


@sizes
@pytest.mark.parametrize("labels", [1, 12])
def test_average_accuracy(drawn, seeds, tasks, labels):
    curves = {f"λ = {k}": GENERATOR.uniform(0.8, 1.0, (seeds, tasks)) for k in range(labels)}
    figure = drawn(figures.average_accuracy, curves)
    assert_curves(figure.axes[0], [(range(tasks), each) for each in curves.values()])
    assert legend(figure) == list(curves)


def test_square_matrices_are_drawn_like_ragged_ones(path):
    ragged = matrices(2, 4)
    padded = np.full((2, 4, 4), np.nan)
    for matrix, rows in zip(padded, ragged, strict=True):
        for i, row in enumerate(rows):
            matrix[i, : i + 1] = row
    for draw in (figures.accuracy_over_sequence, figures.accuracy_matrix):
        expected = saved(draw(ragged, "title"), path)
        assert saved(draw(padded, "title"), path) == expected


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize(
    ("seeds", "tasks", "epochs"), [(1, 1, 1), (1, 2, 300), (3, 3, 2), (3, 20, 2), (3, 50, 3)]
)
def test_accuracy_trace_shows_every_reading_border_and_pruning(drawn, seeds, tasks, epochs, pruned):
    traces = [trace(tasks, epochs, pruned) for _ in range(seeds)]
    figure = drawn(figures.accuracy_trace, traces)
    axes = figure.axes[0]
    length = 10 * epochs * (2 if pruned else 1)  # steps of a task, but of the last
    borders = [length * (i + 1) for i in range(tasks - 1)]

    curves = []
    for j in range(tasks):
        read = [[reading for reading in one if reading["task"] >= j] for one in traces]
        seeds = [[reading["accuracy"][j] for reading in one] for one in read]
        curves.append(([reading["step"] for reading in read[0]], seeds))
    assert_curves(axes, curves)
    assert [line.get_xdata()[0] for line in axes.get_lines()[tasks:]] == borders

    marks = [one for one in axes.collections if one.get_label() == "pruning round"]
    rounds = [segment[0, 0] for one in marks for segment in one.get_segments()]
    assert rounds == ([border - 10 * epochs for border in borders] if pruned else [])
    legends = [one for one in (axes.get_legend(), *figure.legends) if one]
    labels = [text.get_text() for one in legends for text in one.get_texts()]
    each = [f"task {j}" for j in range(tasks)] if tasks <= 3 else []
    assert labels == each + ["pruning round"] * bool(rounds)


@pytest.mark.parametrize("percents", [[[10]], [[10, 20, 30, 40, 50], [10, 20], [10]], [[10]] * 100])
def test_sparsity(drawn, percents):
    names = ("overall", "W1", "b1", "W2", "b2")
    records = [
        {"task": task, "percent": percent, **dict(zip(names, GENERATOR.random(5), strict=True))}
        for task, rounds in enumerate(percents)
        for percent in rounds
    ]
    figure = drawn(figures.sparsity, records)
    axes = figure.axes[0]
    assert legend(figure) == [*names[1:], "overall"]
    for name in names:
        line, shares = labelled(axes, name), []
        for task, group in itertools.groupby(records, key=lambda record: record["task"]):
            shares += [math.nan] * (task > 0) + [100 * record[name] for record in group]
        np.testing.assert_allclose(line.get_ydata(), shares)
        places = line.get_xdata()[np.isfinite(shares)]
        np.testing.assert_array_equal(np.round(places), range(len(records)))
    shown = axes.get_xticks().astype(int).tolist()
    assert len(shown) >= min(len(records), 25)
    targets = [str(records[at]["percent"]) for at in shown]
    assert [text.get_text() for text in axes.get_xticklabels()] == targets


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(
    ("strengths", "diverged", "best"),
    [
        ([3.0], [], 3.0),
        ([0.0, 1.0, 20.0], [], 1.0),
        ([0.5, 1.5, 2.0, 3.0, 10.0], [12.0, 15.0], 3.0),
        (np.geomspace(1e-4, 1e4, 40).tolist(), [], 1e-4),
    ],
)
def test_strength_curve(drawn, seeds, strengths, diverged, best):
    points = {one: (GENERATOR.uniform(0.8, 1.0, (seeds, 2)).tolist(), 0) for one in strengths}
    points |= {strength: ([], seeds) for strength in diverged}
    # Where only some did, the others have their mean.
    partly = strengths[-1:] if seeds > 1 else []
    points |= {strength: (points[strength][0], 1) for strength in partly}
    figure = drawn(figures.strength_curve, points, best)
    (axes,) = figure.axes
    marked = [*partly, *diverged]
    marks = ["a run diverged: λ not chosen"] * bool(marked)
    assert sorted(legend(figure)) == sorted(["validation", "test", f"chosen: λ = {best:g}", *marks])
    for k, label in enumerate(("validation", "test")):
        x, y, halves = error_bars(axes, label)
        aside = 0.1 * np.array(strengths) if axes.get_xscale() == "log" else 0.2  # of the other one
        assert np.all(np.abs(x - strengths) <= aside)
        of_seeds = [[pair[k] for pair in points[strength][0]] for strength in strengths]
        np.testing.assert_allclose(y, [100 * np.mean(values) for values in of_seeds])
        np.testing.assert_allclose(halves, [std(values) for values in of_seeds])
    assert [list(line.get_xdata()) for line in lines(axes, "x")] == [marked] * bool(marked)
    assert set(labelled(axes, f"chosen: λ = {best:g}").get_xdata()) == {best}


def test_density(drawn):
    grid = np.linspace(-0.05, 1.05, 200)
    values = {name: (grid, stats.norm.pdf(grid, mean, 0.1)) for name, mean in (("a", 0), ("b", 1))}
    (axes,) = drawn(figures.density, values).axes
    for name, (_, heights) in values.items():
        np.testing.assert_array_equal(labelled(axes, name).get_xydata().T, (grid, heights))


def test_log_histogram(drawn):
    counts, edges = np.histogram(GENERATOR.lognormal(size=1000), np.geomspace(1e-3, 1e3, 31))
    histograms = {
        "ANPyC": {"edges": edges, "counts": counts, "zeros": 0.5},
        "nothing but zeros": {"edges": edges, "counts": 0 * counts, "zeros": 1.0},
    }
    figure = drawn(figures.log_histogram, histograms)
    labels = ["ANPyC (50 % are exactly 0)", "nothing but zeros (100 % are exactly 0)"]
    assert legend(figure) == labels
    for stairs, each in zip(figure.axes[0].patches, (counts, 0 * counts), strict=True):
        np.testing.assert_array_equal(stairs.get_data().values, each)
        np.testing.assert_array_equal(stairs.get_data().edges, edges)


@pytest.mark.filterwarnings("error")
def test_omega_histogram(drawn):
    """Heights are shares of all entries, so that tensors of any size and sparsity compare."""
    edges = np.geomspace(1e-4, 1e4, 9)
    histograms = {
        "all": {"edges": edges, "counts": [0, 0, 0, 500, 490, 0, 9, 0], "zeros": 0.5},
        "W1": {"edges": edges, "counts": [0, 0, 0, 499, 490, 0, 0, 0], "zeros": 0.5},
        "b1": {"edges": edges, "counts": [0, 0, 0, 1, 0, 0, 9, 0], "zeros": 0.0},
        "W2": {"edges": edges, "counts": [0] * 8, "zeros": 1.0},
    }
    (axes,) = drawn(figures.omega_histogram, histograms).axes
    together = axes.patches[0].get_data()
    np.testing.assert_allclose(together.values, 50 * np.array([0, 0, 0, 500, 490, 0, 9, 0]) / 999)
    for name, line in zip(("W1", "b1", "W2"), axes.get_lines(), strict=True):
        filled = np.array(histograms[name]["counts"]) > 0
        np.testing.assert_array_equal(np.isfinite(line.get_ydata()), filled)
    shares = [np.nansum(line.get_ydata()) for line in axes.get_lines()]
    np.testing.assert_allclose(shares, [50, 100, 0])
    np.testing.assert_allclose(axes.get_lines()[1].get_ydata()[[3, 6]], [10, 90])
    np.testing.assert_allclose(axes.get_lines()[1].get_xdata()[3], edges[3] * 10**0.5)
    assert axes.get_xlim() == pytest.approx((edges[3], edges[7]))
    low, high = axes.get_ylim()
    assert low < 50 * 9 / 999 and high >= 90
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0] == "all\n(50 % are exactly 0)"
    assert labels[3] == "W2\n(100 % are exactly 0)"

    drawn(figures.omega_histogram, dict.fromkeys(("all", "W1"), histograms["W2"]))


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("with_reference", [False, True])
def test_bars(drawn, log_y, with_reference):
    groups = {"EWC": {"before": 300.0, "after": 800.0}, "MAS": {"before": 12.0, "after": 50.0}}
    errors = {"EWC": {"before": 200.0, "after": None}, "MAS": {"before": 6.0, "after": 60.0}}
    reference = {
        name: {key: (1.1 * x, x) for key, x in bar.items()} for name, bar in groups.items()
    }
    keywords = {"reference": reference if with_reference else None, "log_y": log_y}
    figure = drawn(figures.bars, groups, errors, ylabel="Kurtosis", **keywords)
    (axes,) = figure.axes
    assert (axes.get_ylabel(), axes.get_yscale()) == ("Kurtosis", "log" if log_y else "linear")
    assert [text.get_text() for text in axes.get_xticklabels()] == list(groups)
    theirs = [f"{name}, the authors" for name in ("before", "after") if with_reference]
    assert sorted(legend(figure)) == sorted(["before", "after", *theirs])
    for name in ("before", "after"):
        heights = [bar[name] for bar in groups.values()]
        if log_y:
            x, y, found = error_bars(axes, name)
            assert (np.round(x).tolist(), y.tolist()) == ([0, 1], heights)
        else:
            (drawn_bars,) = [one for one in axes.containers if one.get_label() == name]
            assert [bar.get_height() for bar in drawn_bars] == heights
            assert [round(bar.get_center()[0]) for bar in drawn_bars] == [0, 1]
            found = half_lengths(drawn_bars.errorbar[2][0])
        halves = np.array([bar[name] for bar in errors.values()], dtype=float)
        np.testing.assert_allclose(found, halves)
        if with_reference:
            x, y, halves = error_bars(axes, f"{name}, the authors")
            np.testing.assert_array_equal(np.round(x), [0, 1])
            published = [bar[name] for bar in reference.values()]
            np.testing.assert_allclose(np.transpose([y, halves]), published)


@pytest.mark.parametrize(
    "names",
    [
        [f"task {j}" for j in range(10)],
        [f"task {j}" for j in range(100)],
        [f"anpyc_wi_np --merge max --update explicit {j}" for j in range(6)],
        [f"incomprehensibilities, number {j}" for j in range(12)],
    ],
)
def test_labels_of_bars_do_not_touch(drawn, names):
    groups, errors = ({name: {"a": value} for name in names} for value in (90.0, None))
    (axes,) = drawn(figures.bars, groups, errors, ylabel="Accuracy (%)").axes
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert len(boxes) > 5


@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_pruning_path(drawn, seeds):
    percents = np.arange(0, 90, 5)
    curves = {"test": GENERATOR.uniform(0.9, 1.0, (seeds, 19)), "training": [np.ones(19)]}
    figure = drawn(figures.pruning_path, percents, curves)
    (axes,) = figure.axes
    before = axes.get_xticks()[0]
    assert before < 0 and axes.get_xticklabels()[0].get_text() == "before"
    assert_curves(axes, [([before, *percents], each) for each in curves.values()])
    assert legend(figure) == list(curves)


def test_long_labels_and_titles_leave_room_for_the_axes(drawn):
    curves = {f"a rather long label of a method, number {k}": [[0.9, 0.8]] for k in range(25)}
    (axes,) = drawn(figures.average_accuracy, curves, title="a long title " * 20).axes
    assert axes.get_window_extent().width > 5 * style.DPI
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [label.replace("\n", " ") for label in labels] == list(curves)
    assert max(len(line) for label in labels for line in label.split("\n")) <= style.LABEL_LENGTH


def test_arguments_are_not_modified_and_pictures_are_the_same(path):
    curves = {"a": GENERATOR.uniform(0.8, 1.0, (3, 10))}
    before = curves["a"].copy()
    first = saved(figures.average_accuracy(curves, "title"), path)
    np.testing.assert_array_equal(curves["a"], before)
    assert saved(figures.average_accuracy(curves, "title"), path) == first


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.accuracy_over_sequence([], "title"),
        lambda: figures.accuracy_over_sequence([[[0.9]], [[0.9], [0.8, 0.9]]], "title"),
        lambda: figures.accuracy_matrix([[]], "title"),
        lambda: figures.accuracy_trace([], "title"),
        lambda: figures.accuracy_trace([[]], "title"),
        lambda: figures.accuracy_trace([trace(2, 1), trace(2, 2)], "title"),
        lambda: figures.accuracy_trace(
            [trace(2, 1), [{**reading, "step": reading["step"] + 1} for reading in trace(2, 1)]],
            "title",
        ),
        lambda: figures.average_accuracy({}, "title"),
        lambda: figures.average_accuracy({"a": []}, "title"),
        lambda: figures.average_accuracy({"a": [[0.9], [0.9, 0.8]]}, "title"),
        lambda: figures.sparsity([], "title"),
        lambda: figures.strength_curve({}, 1.0, "title"),
        lambda: figures.density({}, "title"),
        lambda: figures.log_histogram({}, "title"),
        lambda: figures.omega_histogram({}, "title"),
        lambda: figures.bars({}, {}, "title", "Kurtosis"),
        lambda: figures.pruning_path([0, 5], {}, "title"),
        lambda: figures.pruning_path([0, 5], {"a": [[0.9, 0.9]]}, "title"),
    ],
)
def test_no_or_uneven_data(draw):
    with pytest.raises(ValueError, match=r"nothing to draw|^expected|dimension"):
        draw()


def test_a_failed_write_leaves_the_old_file_and_no_other(path, monkeypatch):
    old = saved(figures.accuracy_matrix([[[0.9]]], "title"), path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        style.save(figures.accuracy_matrix([[[0.5]]], "title"), path)
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_neither_users_settings_nor_the_date_change_a_file(kind, path, monkeypatch):
    drawing = style.Drawing("matrix", figures.accuracy_matrix, "λ", {"matrices": matrices(1, 3)})
    one, other = path.with_suffix(f".1.{kind}"), path.with_suffix(f".2.{kind}")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert drawing.write(one) == ""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    wishes = {"text.usetex": True, "font.family": "not there", "font.size": 30}
    of_files = {"savefig.bbox": "tight", "savefig.transparent": True, "pdf.fonttype": 3}
    with matplotlib.rc_context({**wishes, **of_files, "svg.fonttype": "none"}):
        assert drawing.write(other) == ""
    assert one.read_bytes() == other.read_bytes()


def test_pyplot_and_global_settings_are_left_alone(path):
    settings = dict(matplotlib.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    drawing = style.Drawing("matrix", figures.accuracy_matrix, "title", {"matrices": [[[0.9]]]})
    assert drawing.write(path) == ""
    assert dict(matplotlib.rcParams) == settings
    assert ("matplotlib.pyplot" in sys.modules) == loaded
