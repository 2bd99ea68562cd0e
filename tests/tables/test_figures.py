"""Figures of tables: each can be drawn and read, and shows the data."""

from __future__ import annotations

from typing import Any

from harness import style
from tables import figures
from tests import artists
from tests.artists import assert_means, crosses, drawn, error_bars
from tests.harness.test_figures import LONG, accuracies, traces

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color

GRID = np.geomspace(0.01, 1e4, 13).tolist()
METHODS = [f"method {k}" for k in range(10)]
XLABEL = {"xlabel": "ACC (%)"}
STRENGTHS = {
    "EWC": {0.1: (accuracies(3, 2), 0), 1.0: (accuracies(1, 2), 0), 100.0: ([], 2)},
    "LwF": {10.0: (accuracies(2, 2), 0), 0.0: (accuracies(2, 2), 0), 100.0: (accuracies(1, 2), 1)},
}
LISTS = {
    "first": {"a": [0.912, 0.931, 0.925], "b": [0.88]},
    "second": {LONG: [0.7512, 0.7513], "diverged": []},
}
DIFFERENCES = {
    "first": {"a": (-0.01, 0.002, [-0.012, -0.008]), "b": (0.02, None, [0.02])},
    "second": {LONG: (0.03, 0.01, []), "large": (-0.27, 0.01, [-0.26, -0.28])},
}
PAIRS = {
    "a.py": ([0.91, 0.92, 0.96], [0.9, 0.94]),
    "b.py": (None, [0.8]),
    LONG: ([0.7], []),
}
# Arguments of every function: one seed, several, diverged runs, and what is hard to draw.
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "final_accuracy": [
        {"rows": {"EWC": accuracies(1, 1)}},
        {
            "rows": {method: accuracies(2, 52) for method in METHODS} | {"low": [[0.1] * 52]},
            "levels": {"joint": accuracies(2, 52)},
        },
    ],
    "over_strengths": [
        {"points": STRENGTHS, "chosen": {"EWC": 1.0, "LwF": 10.0}},
        {"points": {name: {x: (accuracies(1, 2), 1) for x in GRID} for name in METHODS}},
        {"points": {"EWC": {3.0: ([], 1)}}},
    ],
    "updates": [
        {"points": {f"{LONG} {k}": {"one": {0.01: ([0.9], 0), 1e4: ([], 3)}} for k in range(5)}},
        {"points": {"EWC": {name: {1.0: ([], 10), 3.0: ([], 10)} for name in ("one", "other")}}},
    ],
    "along_training": [
        {"traces": {"EWC": traces(1, 3, 1)}},
        {"traces": {name: traces(2, 20, 1, name == "method 1") for name in METHODS[:3]}},
    ],
    "first_epoch": [
        {"changes": {"ewc": [{0: 0.0, 5: -0.02}], "mine": [{0: 0.0, 5: -0.2}, {0: 0.0, 5: -0.1}]}},
    ],
    "differences": [{"groups": DIFFERENCES, **XLABEL}],
    "means": [
        {"groups": LISTS, **XLABEL},
        {"groups": {"": {"a": [], "b": []}}, **XLABEL},
        {
            "groups": {f"{LONG} {k}": {f"{LONG} {i}": [0.9] for i in range(3)} for k in range(3)},
            "xlabel": f"{LONG}, {LONG} (%)",
        },
    ],
    "agreement": [{"pairs": PAIRS}],
}


def test_every_function_has_examples() -> None:
    assert set(EXAMPLES) == artists.drawing_functions(figures)


@pytest.mark.parametrize(
    ("name", "example"), [(name, k) for name in EXAMPLES for k in range(len(EXAMPLES[name]))]
)
def test_figure_is_drawn(name: str, example: int) -> None:
    assert "%" in artists.labels(drawn(getattr(figures, name), **EXAMPLES[name][example]))


def test_final_accuracies_are_means_in_a_band_and_lines_differ() -> None:
    rows = {method: accuracies(3, 5) for method in METHODS}
    figure = drawn(figures.final_accuracy, rows=rows)
    (axes,) = figure.axes
    artists.assert_curves(axes, [(range(5), seeds) for seeds in rows.values()])
    assert artists.legend(figure) == METHODS
    lines = [artists.labelled(axes, method) for method in METHODS]
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == len(METHODS)


def test_final_accuracies_of_many_tasks_are_means_of_five() -> None:
    rows = {"ewc": accuracies(3, 52)}
    (axes,) = drawn(figures.final_accuracy, rows=rows).axes
    parts = [np.array(rows["ewc"])[:, k : k + 5].mean(axis=1) for k in range(0, 52, 5)]
    artists.assert_curves(axes, [(range(11), np.transpose(parts))])
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert (labels[0], labels[-1]) == ("0-4", "50-51")


def test_strengths_are_means_with_chosen_and_diverged_ones() -> None:
    chosen = {"EWC": 1.0, "LwF": 10.0}
    methods = dict.fromkeys(STRENGTHS, "ewc")
    figure = drawn(figures.over_strengths, points=STRENGTHS, chosen=chosen, methods=methods)
    for measure, axes in enumerate(figure.axes):
        rings = [line.get_xydata() for line in axes.get_lines() if line.get_fillstyle() == "none"]
        for label, finished, ring in zip(STRENGTHS, ([0.1, 1], [0, 10, 100]), rings, strict=False):
            x, y, halves = error_bars(axes, label)
            # 0 stands where 0.01 would.
            np.testing.assert_allclose(x, [strength or 0.01 for strength in finished], rtol=0.05)
            assert axes.get_xticklabels()[0].get_text() == "0"
            pairs = [STRENGTHS[label][strength][0] for strength in finished]
            assert_means(y, halves, [[pair[measure] for pair in seeds] for seeds in pairs])
            best = finished.index(chosen[label])
            np.testing.assert_allclose(ring, [(x[best], y[best])])
    accuracy, forgetting = figure.axes
    assert [x for x, _ in crosses(accuracy)] == [100, 100] and not crosses(forgetting)
    heights = [y for _, y in crosses(accuracy)]
    assert 0 < heights[0] < heights[1] < 0.2  # one above the other
    assert artists.legend(figure) == ["EWC", "LwF", "chosen λ", style.NOT_CHOSEN]


def test_a_method_so_low_that_it_squeezes_others_has_an_axis_of_its_own() -> None:
    def line(*heights: float) -> Any:
        return {10.0**k: ([(height, 0.1)], 0) for k, height in enumerate(heights)}

    points = {
        "lwf": line(0.2, 0.55, 0.3),
        "ewc": line(0.82, 0.86, 0.84),
        "ewc, online": line(0.83, 0.89, 0.85),
        "si": line(0.8, 0.88, 0.87),
    }
    methods = {label: label.split(",")[0] for label in points}
    panels = drawn(figures.over_strengths, points=points, methods=methods).axes
    assert [panel.get_title() for panel in panels[:3]] == ["lwf (own axis)", "ewc", "si"]
    low, *high = (panel.get_ylim() for panel in panels[:3])
    assert low[0] < 20 and high[0] == high[1] and high[0][0] > 78
    assert [bars.get_label() for bars in panels[1].containers] == ["ewc", "ewc, online"]
    traced = {name: traces(2, 4) for name in ("ewc", "mas", "finetune")}
    for reading in (reading for trace in traced["finetune"] for reading in trace):
        reading["accuracy"] = [accuracy - 0.5 for accuracy in reading["accuracy"]]
    for name in ("ewc", "mas"):
        for reading in (reading for trace in traced[name] for reading in trace):
            reading["accuracy"] = [0.9 + accuracy / 20 for accuracy in reading["accuracy"]]
    panels = drawn(figures.along_training, traces=traced).axes
    assert [panel.get_title() for panel in panels] == ["ewc", "mas", "finetune (own axis)"]
    assert panels[0].get_ylim() == panels[1].get_ylim() and panels[0].get_ylim()[0] > 90


def test_updates_are_means_with_shares_of_diverged_runs() -> None:
    ewc = {x: (accuracies(3), 0) for x in GRID}
    mas = {**ewc, GRID[-2]: (accuracies(2), 1), GRID[-1]: ([], 3)}
    figure = drawn(figures.updates, points={"EWC": {"one": ewc}, "MAS": {"one": ewc, "other": mas}})
    first, second = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["EWC", "MAS"]
    assert first.get_ylim() == second.get_ylim()
    for axes, name, runs in ((first, "one", ewc), (second, "other", mas)):
        finished = [x for x in GRID if runs[x][0]]
        x, y, halves = error_bars(axes, name)
        np.testing.assert_allclose(x, finished, rtol=0.05)
        assert_means(y, halves, [runs[strength][0] for strength in finished])
    assert not crosses(first) and [x for x, _ in crosses(second)] == GRID[-2:]
    assert [text.get_text() for text in second.texts] == ["1/3", "3/3"]
    assert artists.legend(figure) == ["one", "other", "other: diverged / all runs"]


def test_training_gives_every_task_the_same_width() -> None:
    lengths = {"EWC": 1, "ANPyC": 3}
    runs = {name: traces(3, 4, epochs, name == "ANPyC") for name, epochs in lengths.items()}
    figure = drawn(figures.along_training, traces=runs)
    for axes, seeds, epochs in zip(figure.axes, runs.values(), lengths.values(), strict=True):
        assert axes.get_xlim() == (0, 4)
        curves = []
        for j in figures.TRACED:
            read = [[reading for reading in trace if reading["task"] >= j] for trace in seeds]
            places = []
            for reading in read[0]:
                # A task of ANPyC is trained twice, but for the last.
                length = 10 * epochs * (2 if epochs == 3 else 1)
                begin = reading["task"] * length
                width = 10 * epochs if reading["task"] == 3 else length
                places.append(reading["task"] + (reading["step"] - begin) / width)
            values = [[reading["accuracy"][j] for reading in trace] for trace in read]
            curves.append((places, np.array(values)))
        artists.assert_curves(axes, curves)
    (marks,) = [
        lines for lines in figure.axes[1].collections if lines.get_label() == "pruning round"
    ]
    assert [segment[0, 0] for segment in marks.get_segments()] == pytest.approx([0.5, 1.5, 2.5])


def dots(axes: Axes, label: str) -> list[list[float]]:
    """Return the values of the seeds of every row of a list."""
    line, places = artists.labelled(axes, label), axes.get_yticks()
    rows = np.abs(line.get_ydata()[:, None] - places).argmin(axis=1)
    return [line.get_xdata()[rows == row].tolist() for row in range(len(places))]


def row_labels(axes: Axes) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in axes.get_yticklabels()]


def test_differences_are_means_with_standard_errors() -> None:
    (axes,) = drawn(figures.differences, groups=DIFFERENCES, **XLABEL).axes
    rows = [row for group in DIFFERENCES.values() for row in group.values()]
    x, y, halves = error_bars(axes, "mean, with its standard error")
    np.testing.assert_allclose(x, [100 * mean for mean, _, _ in rows])
    np.testing.assert_array_equal(y, axes.get_yticks())
    np.testing.assert_allclose(
        halves, [np.nan if error is None else 100 * error for _, error, _ in rows]
    )
    for found, (_, _, seeds) in zip(dots(axes, "difference of one seed"), rows, strict=True):
        assert found == pytest.approx([100 * seed for seed in seeds])
    assert row_labels(axes) == ["a", "b", LONG, "large"]
    assert axes.get_xscale() == "linear"


def test_means_have_deviations_and_marks_for_rows_that_diverged() -> None:
    figure = drawn(figures.means, groups=LISTS, **XLABEL)
    expected = ([0, 1], []), ([0], [1])  # rows that finished, and that did not
    for axes, group, (finished, lost) in zip(figure.axes, LISTS.values(), expected, strict=True):
        seeds = list(group.values())
        x, y, halves = error_bars(axes, "mean, with one standard deviation")
        assert_means(x, halves, [seeds[row] for row in finished])
        np.testing.assert_array_equal(y, axes.get_yticks()[finished])
        for found, values in zip(dots(axes, "one seed"), seeds, strict=True):
            assert found == pytest.approx([100 * value for value in values])
        assert [y for _, y in crosses(axes)] == [axes.get_yticks()[row] for row in lost]
        assert row_labels(axes) == [*group]
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == [*LISTS]
    first, second = (axes.get_xlim() for axes in figure.axes)
    assert first[0] > second[1]  # an axis for each group
    assert figures.DIVERGED in artists.legend(figure)


def test_agreement_shows_the_release_beside_this_code() -> None:
    (axes,) = drawn(figures.agreement, pairs=PAIRS).axes
    for k, (name, rows) in enumerate((("release", [0, 2]), ("this code", [0, 1]))):
        x, y, halves = error_bars(axes, f"{name}, mean with one standard deviation")
        assert_means(x, halves, [list(PAIRS.values())[row][k] for row in rows])
        assert [np.abs(place - axes.get_yticks()).argmin() for place in y] == rows
    assert [np.abs(y - axes.get_yticks()).argmin() for _, y in crosses(axes)] == [2]
    first, second = (bars[0].get_markerfacecolor() for bars in axes.containers)
    assert not same_color(first, second)


PAIR = {1.0: ([(0.9, 0.1)], 0)}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *((name, {next(iter(examples[0])): {}}) for name, examples in EXAMPLES.items()),
        ("final_accuracy", {"rows": {"a": [[0.9], [0.9, 0.8]]}}),
        ("final_accuracy", {"rows": {"a": [[0.9]], "b": [[0.9, 0.8]]}}),
        ("updates", {"points": {"a": {"b": {0.0: ([0.9], 0)}}}}),
        ("over_strengths", {"points": {"a": PAIR}, "chosen": {"a": 2.0}}),
        ("over_strengths", {"points": {"a": PAIR}, "chosen": {"b": 1.0}}),
        ("along_training", {"traces": {"a": traces(1, 2, 1)}}),
        ("along_training", {"traces": {"a": [*traces(1, 3, 1), *traces(1, 3, 2)]}}),
        ("means", {"groups": {"a": {}}}),
    ],
)
def test_no_or_bad_data_are_refused(name: str, arguments: dict[str, Any]) -> None:
    more = XLABEL if "groups" in arguments else {}
    with pytest.raises(ValueError, match=r"nothing to draw|^expected"):
        getattr(figures, name)(title="A title", **arguments, **more)
