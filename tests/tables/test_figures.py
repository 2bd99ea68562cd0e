"""Figures of tables: what is drawn are the data's means, deviations and counts, and all is legible.

Numbers are read from the artists of the figure; the digest of the data and its place in the file
are tested here, too.
"""

import itertools
import math

from harness import figures as run_figures
from harness import style
from tables import figures
from tests.artists import assert_curves, error_bars, labelled, legend, lines, std
from tests.harness.test_figures import trace

import numpy as np
import pytest
from matplotlib.colors import to_hex

GENERATOR = np.random.default_rng(0)
METHODS = [f"method {k}" for k in range(10)]
LONG = "a long label of a row, with its settings, that says at length what differs in it"
XLABEL = "Difference of ACC (percentage points)"
YLABEL = "Test accuracy (%)"


def accuracies(*shape):
    return GENERATOR.uniform(0.5, 1.0, shape)


def row_names(axes):
    return [text.get_text().replace("\n", " ") for text in axes.get_yticklabels()]


def dots(axes, label):
    """Return the values of the seeds of every row of a list, sorted by row."""
    found = labelled(axes, label)
    rows = np.abs(found.get_ydata()[:, None] - axes.get_yticks()).argmin(axis=1)
    return [found.get_xdata()[rows == row].tolist() for row in range(len(axes.get_yticks()))]


@pytest.mark.parametrize(("seeds", "tasks"), [(1, 1), (3, 1), (3, 10), (1, 50), (5, 50)])
def test_final_accuracy(drawn, seeds, tasks):
    rows = {method: accuracies(seeds, tasks) for method in METHODS}
    figure = drawn(figures.final_accuracy, rows)
    (axes,) = figure.axes
    assert legend(figure) == METHODS
    curves = [line for line in axes.get_lines() if line.get_label() in METHODS]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in curves}
    assert len(looks) == len({look[1:] for look in looks}) == len(METHODS)
    assert_curves(axes, [(range(tasks), values) for values in rows.values()])


def test_over_strengths(drawn):
    points = {
        "EWC": {0.1: (accuracies(3, 2), 0), 1.0: (accuracies(1, 2), 0), 100.0: ([], 2)},
        "LwF": {
            **{10.0: (accuracies(2, 2), 0), 1.0: (accuracies(2, 2), 0)},
            **{100.0: (accuracies(1, 2), 1), 1000.0: ([], 1), 10000.0: ([], 0)},
        },
    }
    figure = drawn(figures.over_strengths, points, chosen={"EWC": 1.0, "LwF": 10.0})
    assert legend(figure) == ["EWC", "LwF", "chosen λ", "a run diverged: λ not chosen"]
    assert "accuracy" in figure.axes[0].get_ylabel()
    assert "forgetting" in figure.axes[1].get_ylabel()
    for measure, axes in enumerate(figure.axes):
        assert axes.get_xscale() == "log"
        for label, best in (("EWC", 1.0), ("LwF", 10.0)):
            finished = sorted(one for one, (runs, _) in points[label].items() if len(runs))
            x, y, halves = error_bars(axes, label)
            np.testing.assert_allclose(x, finished, rtol=0.05)
            seeds = [points[label][strength][0][:, measure] for strength in finished]
            np.testing.assert_allclose(y, [100 * values.mean() for values in seeds])
            np.testing.assert_allclose(halves, [std(values) for values in seeds])
            rings = [line for line in axes.get_lines() if line.get_fillstyle() == "none"]
            ring = finished.index(best)
            places = [line.get_xydata()[0].tolist() for line in rings if len(line.get_xdata())]
            assert [x[ring], y[ring]] in places
    accuracy, forgetting = figure.axes
    assert not lines(forgetting, "x")
    marks = lines(accuracy, "x")
    assert [line.get_xdata()[0] for line in marks] == [100, 100, 1000]
    colours = [to_hex(line.get_color()).upper() for line in marks]
    assert colours == [style.COLOURS[k] for k in (0, 1, 1)]
    assert 0 < marks[0].get_ydata()[0] < marks[1].get_ydata()[0] < 0.2


def test_over_strengths_of_many_methods_and_of_diverged_runs_alone(drawn):
    grid = np.geomspace(0.01, 1e4, 13).tolist()
    points = {method: {x: (accuracies(3, 2).tolist(), 0) for x in grid} for method in METHODS}
    for pairs in points.values():
        pairs[grid[-1]] = ([], 3)
    figure = drawn(figures.over_strengths, points)
    assert legend(figure) == [*METHODS, "a run diverged: λ not chosen"]
    heights = [line.get_ydata()[0] for line in lines(figure.axes[0], "x")]
    assert len(heights) == 10
    assert np.diff(heights).min() > 0.03
    low, high = figure.axes[0].get_ylim()
    lowest = min(error_bars(figure.axes[0], method)[1].min() for method in METHODS)
    assert (lowest - low) / (high - low) > max(heights) + figures.MARK / 2

    figure = drawn(figures.over_strengths, {"EWC": {3.0: ([], 1)}})
    assert legend(figure) == ["EWC", "a run diverged: λ not chosen"]
    assert figure.axes[0].get_ylim()[1] == 100
    assert [line.get_xdata()[0] for line in lines(figure.axes[0], "x")] == [3.0]


def test_updates(drawn):
    grid = np.geomspace(0.01, 1e4, 13).tolist()
    points = {
        method: {
            "proximal": {strength: (accuracies(3), 0) for strength in grid},
            "explicit": {strength: (accuracies(3), 0) for strength in grid[:-3]},
        }
        for method in METHODS[:5]
    }
    last = points[METHODS[4]]
    last["explicit"] |= {grid[-3]: (accuracies(2), 1), grid[-2]: ([], 3), grid[-1]: ([], 0)}
    figure = drawn(figures.updates, points)
    assert [axes.get_title() for axes in figure.axes] == METHODS[:5]
    assert legend(figure) == ["proximal", "explicit", "explicit: diverged / all runs"]
    for axes, series in zip(figure.axes, points.values(), strict=True):
        assert axes.get_ylim() == figure.axes[0].get_ylim()
        for name, runs in series.items():
            finished = [strength for strength, (values, _) in runs.items() if len(values)]
            x, y, halves = error_bars(axes, name)
            np.testing.assert_allclose(x, finished, rtol=0.05)
            np.testing.assert_allclose(
                y, [100 * np.mean(runs[strength][0]) for strength in finished]
            )
            np.testing.assert_allclose(halves, [std(runs[strength][0]) for strength in finished])
    assert not any(lines(axes, "x") for axes in figure.axes[:4])
    marks = lines(figure.axes[4], "x")
    assert [line.get_xdata()[0] for line in marks] == grid[-3:-1]
    assert {line.get_color() for line in marks} == {style.COLOURS[1]}
    assert [text.get_text() for text in figure.axes[4].texts] == ["1/3", "3/3"]
    assert [text.xy[0] for text in figure.axes[4].texts] == grid[-3:-1]


def test_updates_without_a_finished_run(drawn):
    names = ("proximal", "explicit")
    points = {"EWC": {name: {1.0: ([], 10), 3.0: ([], 10)} for name in names}}
    figure = drawn(figures.updates, points)
    (axes,) = figure.axes
    assert axes.get_ylim()[1] == 100
    assert axes.get_ylim()[0] < 0
    heights = [line.get_ydata()[0] for line in lines(axes, "x")]
    assert heights[0] == heights[1] > heights[2] == heights[3]
    assert [text.get_text() for text in axes.texts] == ["10/10"] * 4


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("tasks", [3, 50])
def test_along_training(drawn, seeds, tasks):
    lengths = dict(zip(METHODS[:6], (1, 2, 3, 4, 5, 6), strict=True))
    traces = {
        method: [trace(tasks, epochs, pruned=epochs == 2) for _ in range(seeds)]
        for method, epochs in lengths.items()
    }
    figure = drawn(figures.along_training, traces)
    assert [axes.get_title() for axes in figure.axes] == METHODS[:6]
    assert legend(figure) == ["task 0", "task 1", "task 2", "pruning round"]
    for axes, runs, epochs in zip(figure.axes, traces.values(), lengths.values(), strict=True):
        assert axes.get_xlim() == (0, tasks)
        assert axes.get_ylim() == figure.axes[0].get_ylim()
        borders = [line.get_xdata()[0] for line in axes.get_lines() if line.get_color() == "0.75"]
        assert borders == list(range(1, tasks))
        curves = [line for line in axes.get_lines() if line.get_label().startswith("task")]
        assert len(curves) == 3
        for j, line in enumerate(curves):
            read = [k for k, reading in enumerate(runs[0]) if reading["task"] >= j]
            mean = [100 * np.mean([run[k]["accuracy"][j] for run in runs]) for k in read]
            np.testing.assert_allclose(line.get_ydata(), mean)
            length = 10 * epochs * (2 if epochs == 2 else 1)  # steps of a task that is pruned
            for place, k in zip(line.get_xdata(), read, strict=True):
                task, step = runs[0][k]["task"], runs[0][k]["step"]
                last = task == tasks - 1
                begin = task * length
                width = 10 * epochs if last else length
                assert place == pytest.approx(task + (step - begin) / width)
        rounds = [one for one in axes.collections if one.get_label() == "pruning round"]
        found = [segment[0, 0] for one in rounds for segment in one.get_segments()]
        expected = [task + 0.5 for task in range(tasks - 1)] if epochs == 2 else []
        assert found == pytest.approx(expected)
    (band, *_) = figure.axes[0].collections or [None]
    assert (band is None) == (seeds == 1)
    if band:
        first = np.array([[r["accuracy"][0] for r in run] for run in traces[METHODS[0]]])
        edge = band.get_paths()[0].vertices[:, 1].max()
        assert edge == pytest.approx(100 * (first.mean(axis=0) + first.std(axis=0, ddof=1)).max())


def test_differences(drawn):
    groups = {
        f"group {k}": {
            f"row {i}": (seeds.mean(), seeds.std(ddof=1) / 5**0.5, seeds.tolist())
            for i, seeds in enumerate(GENERATOR.normal(0, 0.05, (5, 5)))
        }
        for k in range(10)
    }
    groups["group 3"][LONG] = (-0.1, None, [-0.1])
    groups["group 9"]["means alone"] = (0.05, 0.01, [])
    figure = drawn(figures.differences, groups, xlabel=XLABEL)
    (axes,) = figure.axes
    names = [label for group in groups.values() for label in group]
    rows = [row for group in groups.values() for row in group.values()]
    assert row_names(axes) == names
    assert [text.get_text() for text in axes.texts] == list(groups)
    assert axes.get_xlabel() == XLABEL
    x, y, halves = error_bars(axes, "mean, with its standard error")
    np.testing.assert_allclose(x, [100 * mean for mean, _, _ in rows])
    np.testing.assert_array_equal(y, axes.get_yticks())
    expected = [math.nan if error is None else 100 * error for _, error, _ in rows]
    np.testing.assert_allclose(halves, expected)
    for found, (_, _, seeds) in zip(dots(axes, "difference of one seed"), rows, strict=True):
        np.testing.assert_allclose(found, 100 * np.array(seeds))
    assert axes.get_lines()[0].get_xdata() == [0, 0]
    assert legend(figure) == ["mean, with its standard error", "difference of one seed"]


@pytest.mark.parametrize(("largest", "scale"), [(-0.07, "linear"), (-0.27, "symlog")])
def test_one_large_difference_leaves_the_small_ones_apart(drawn, largest, scale):
    rows = {f"row {k}": (0.002 * k - 0.006, 0.001, []) for k in range(7)}
    groups = {"": rows | {"large": (largest, 0.01, [])}}
    (axes,) = drawn(figures.differences, groups, xlabel=XLABEL).axes
    assert axes.get_xscale() == scale
    beyond = "; logarithmic beyond ±1" if scale == "symlog" else ""
    assert axes.get_xlabel() == XLABEL + beyond


def test_means(drawn):
    groups = {
        "first": {"a": [0.912, 0.931, 0.925], "b": [0.88]},
        "second": {LONG: [0.7512, 0.7513], "diverged": []},
        "third": {"a": [0.99]},
    }
    figure = drawn(figures.means, groups, xlabel=XLABEL)
    (axes,) = figure.axes
    assert row_names(axes) == ["a", "b", LONG, "diverged", "a"]
    assert [text.get_text() for text in axes.texts] == ["first", "second", "third"]
    seeds = [values for group in groups.values() for values in group.values()]
    finished = [0, 1, 2, 4]
    x, y, halves = error_bars(axes, "mean, with one standard deviation")
    np.testing.assert_allclose(x, [100 * np.mean(seeds[row]) for row in finished])
    np.testing.assert_allclose(y, axes.get_yticks()[finished])
    np.testing.assert_allclose(halves, [std(seeds[row]) for row in finished])
    for found, values in zip(dots(axes, "one seed"), seeds, strict=True):
        np.testing.assert_allclose(found, 100 * np.array(values))
    (mark,) = lines(axes, "x")
    assert mark.get_ydata().tolist() == [axes.get_yticks()[3]]
    assert legend(figure) == ["mean, with one standard deviation", "one seed", "every run diverged"]
    assert axes.get_xlabel() == XLABEL


def test_means_without_a_finished_run(drawn):
    figure = drawn(figures.means, {"": {"a": [], "b": []}}, xlabel=XLABEL)
    (axes,) = figure.axes
    assert not axes.texts
    assert lines(axes, "x")[0].get_ydata().tolist() == axes.get_yticks().tolist()


def test_agreement(drawn):
    pairs = {
        "a.py": ([0.91, 0.92, 0.96], [0.9, 0.94]),
        "b.py": (None, [0.8]),
        LONG: ([0.7], []),
    }
    figure = drawn(figures.agreement, pairs)
    (axes,) = figure.axes
    assert row_names(axes) == list(pairs)
    columns = [[values or [] for values in column] for column in zip(*pairs.values(), strict=True)]
    for name, rows, finished in zip(
        ("release", "this code"), columns, ([0, 2], [0, 1]), strict=True
    ):
        x, y, halves = error_bars(axes, f"{name}, mean with one standard deviation")
        np.testing.assert_allclose(x, [100 * np.mean(rows[row]) for row in finished])
        np.testing.assert_allclose(halves, [std(rows[row]) for row in finished])
        assert [np.abs(place - axes.get_yticks()).argmin() for place in y] == finished
        for found, values in zip(dots(axes, f"{name}, one seed"), rows, strict=True):
            np.testing.assert_allclose(found, 100 * np.array(values))
    (mark,) = lines(axes, "x")
    assert [np.abs(place - axes.get_yticks()).argmin() for place in mark.get_ydata()] == [2]
    looks = [(one[0].get_color(), one[0].get_marker()) for one in axes.containers]
    assert looks == list(zip(style.COLOURS[:2], style.MARKERS[:2], strict=True))


def test_labels_do_not_touch(drawn):
    groups = {
        f"a heading, {LONG} {k}": {f"{LONG} {i}": accuracies(2) for i in range(5)}
        for k in range(10)
    }
    figure = drawn(figures.means, groups, xlabel=LONG + LONG)
    (axes,) = figure.axes
    frame = axes.get_window_extent()
    headings = [text.get_window_extent() for text in axes.texts]
    assert all(frame.x0 < box.x0 and box.x1 < frame.x1 for box in headings)
    bands = [patch.get_window_extent() for patch in axes.patches if patch.get_width() == 1]
    for band, box in zip(bands, headings, strict=True):
        assert band.y0 < box.y0 - 3 and box.y1 + 3 < band.y1
    labels = [text.get_window_extent() for text in axes.get_yticklabels()]
    boxes = sorted([*labels, *headings], key=lambda box: -box.y1)
    assert len(boxes) == 60
    assert all(above.y0 > below.y1 for above, below in itertools.pairwise(boxes))
    assert frame.width > 4 * style.DPI

    points = {f"{LONG} {k}": {"proximal": {0.01: ([0.9], 0), 1e4: ([], 3)}} for k in range(5)}
    panels = drawn(figures.updates, points).axes
    titles = [axes.title.get_window_extent() for axes in panels]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(titles[:3]))
    for axes in panels:
        frame = axes.get_window_extent()
        assert all(text.get_window_extent().x1 < frame.x1 for text in axes.texts)
        ticks = [text.get_window_extent() for text in axes.get_xticklabels()]
        assert all(left.x1 + 12 < right.x0 for left, right in itertools.pairwise(ticks))


@pytest.mark.parametrize("finals", [[0.95], [0.95, 0.96, 0.98]])
def test_average_accuracy_with_levels(drawn, finals):
    curves = {"a": accuracies(2, 3)}
    figure = drawn(run_figures.average_accuracy, curves, levels={"joint": finals})
    (axes,) = figure.axes
    assert legend(figure) == ["a", "joint, all tasks at once"]
    level = labelled(axes, "joint, all tasks at once")
    assert level.get_linestyle() == "--"
    assert level.get_color() != axes.get_lines()[0].get_color()
    np.testing.assert_allclose(level.get_ydata(), 2 * [100 * np.mean(finals)])
    bands = [(patch.get_y(), patch.get_height()) for patch in axes.patches]
    assert len(bands) == (len(finals) > 1)
    for low, height in bands:
        assert low == pytest.approx(100 * np.mean(finals) - std(finals))
        assert height == pytest.approx(2 * std(finals))
    with pytest.raises(ValueError, match="expected curves"):
        drawn(run_figures.average_accuracy, curves, levels={"joint": []})


PAIR = {1.0: ([(0.9, 0.1)], 0)}


@pytest.mark.parametrize(
    ("function", "data", "options"),
    [
        (figures.final_accuracy, {}, {}),
        (figures.final_accuracy, {"a": []}, {}),
        (figures.final_accuracy, {"a": [[0.9], [0.9, 0.8]]}, {}),
        (figures.final_accuracy, {"a": [[0.9]], "b": [[0.9, 0.8]]}, {}),
        (figures.over_strengths, {}, {}),
        (figures.over_strengths, {"a": {}}, {}),
        (figures.over_strengths, {"a": {0.0: ([(0.9, 0.1)], 0)}}, {}),
        (figures.over_strengths, {"a": PAIR}, {"chosen": {"a": 2.0}}),
        (figures.over_strengths, {"a": PAIR}, {"chosen": {"b": 1.0}}),
        (figures.over_strengths, {"a": {1.0: ([], 1)}}, {"chosen": {"a": 1.0}}),
        (figures.updates, {}, {}),
        (figures.updates, {"a": {"proximal": {}}}, {}),
        (figures.updates, {"a": {"proximal": {-1.0: ([0.9], 0)}}}, {}),
        (figures.along_training, {}, {}),
        (figures.along_training, {"a": []}, {}),
        (figures.along_training, {"a": [[]]}, {}),
        (figures.along_training, {"a": [trace(2, 1)]}, {}),
        (figures.along_training, {"a": [trace(3, 1), trace(3, 2)]}, {}),
        (figures.differences, {}, {"xlabel": XLABEL}),
        (figures.differences, {"a": {}}, {"xlabel": XLABEL}),
        (figures.means, {"a": {}}, {"xlabel": XLABEL}),
        (figures.means, {}, {"xlabel": XLABEL}),
        (figures.agreement, {}, {}),
    ],
)
def test_no_or_bad_data(function, data, options):
    with pytest.raises(ValueError, match=r"nothing to draw|^expected"):
        function(data, "A title", **options)


# What a figure was drawn from

DATA = {"a": {0.1: [(0.9, None)], 3.0: []}, "b": np.array([0.25, math.nan]), "zero": False}


def test_digest_is_of_the_data():
    # The digests of published figures depend on this; another value disowns them all.
    assert style.digest("bars", DATA) == "4193e221c7a24aaa"
    assert style.digest("bars", dict(DATA)) == "4193e221c7a24aaa"


@pytest.mark.parametrize(
    "other",
    [
        DATA | {"a": {0.1: [(0.90000001, None)], 3.0: []}},
        DATA | {"a": {0.10000001: [(0.9, None)], 3.0: []}},
        DATA | {"a": {3.0: [], 0.1: [(0.9, None)]}},
        DATA | {"a": {0.1: [(None, 0.9)], 3.0: []}},
        DATA | {"b": [math.nan, 0.25]},
        DATA | {"b": [0.25, math.inf]},
        DATA | {"zero": True},
        DATA | {"more": []},
        {("c" if key == "b" else key): value for key, value in DATA.items()},
    ],
)
def test_digest_changes_with_the_data(other):
    assert style.digest("bars", other) != style.digest("bars", DATA)


def test_digest_does_not_change_with_the_last_bits_or_the_type():
    third = np.float64(1) / 3
    numbers = [third, 2e-9 * third, -1e12 * third, 1.0, 0.0]
    expected = style.digest("bars", numbers)
    near = [np.nextafter(x, 1) for x in numbers[:3]]
    assert near != numbers[:3]
    for same in (
        [*near, 1, -0.0],
        tuple(numbers),
        np.array(numbers),
        list(map(np.float64, numbers)),
    ):
        assert style.digest("bars", same) == expected
    assert style.digest("differences", numbers) != expected
    assert style.digest("bars", np.float32(0.5)) == style.digest("bars", 0.5)
    assert style.digest("bars", 1234567891234) != style.digest("bars", 1234567891235)


def test_digest_of_what_is_no_data():
    with pytest.raises(TypeError):
        style.digest("bars", {"a": object()})


def test_text_is_stored_in_the_file(tmp_path):
    path = tmp_path / "figure.png"
    figure = run_figures.average_accuracy({"a": [[0.9, 0.8]]}, "title")
    style.save(figure, path)
    assert style.stored(path) is None
    for text in ("0123456789abcdef", "another: λ"):
        style.save(figure, path, text)
        assert style.stored(path) == text
        assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_picture_stores_nothing(tmp_path):
    path = tmp_path / "figure.png"
    style.save(run_figures.average_accuracy({"a": [[0.9, 0.8]]}, "title"), path, "text")
    content = path.read_bytes()
    for nonsense in (b"", b"no picture", content[:20], content[:60], content[: len(content) // 2]):
        path.write_bytes(nonsense)
        assert style.stored(path) is None
    path.unlink()
    with pytest.raises(FileNotFoundError):
        style.stored(path)
