"""Figures of runs: each can be drawn and read, shows the data, and names them in its file."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness import figures, results, style
from tests import artists
from tests.artists import drawn

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv, same_color, to_rgb

GENERATOR = np.random.default_rng(0)
LONG = "a long label of a method, with its settings, that says at length what differs in it"


def accuracies(*shape: int) -> Any:
    """Return random accuracies, as results have them."""
    return GENERATOR.uniform(0.5, 1.0, shape).tolist()


def matrices(seeds: int, tasks: int) -> list[list[list[float]]]:
    """Return one random ragged accuracy matrix per seed."""
    return [[accuracies(i + 1) for i in range(tasks)] for _ in range(seeds)]


def traces(seeds: int, tasks: int, epochs: int = 2, pruned: bool = True) -> list[list[Any]]:
    """Return a random trace per seed: 10 steps an epoch, two phases for all tasks but the last."""
    places, step = [], 0
    for task in range(tasks):
        for phase in range(2 if pruned and task < tasks - 1 else 1):
            for epoch in range(0 if phase else 1, epochs + 1):
                step += 10 if epoch else 0
                places.append({"task": task, "phase": phase, "epoch": epoch, "step": step})
    return [
        [{**place, "accuracy": accuracies(place["task"] + 1)} for place in places]
        for _ in range(seeds)
    ]


def pruning_records(rounds: Sequence[Sequence[int]]) -> list[dict[str, float]]:
    """Return random shares of pruned entries of every task's rounds."""
    return [
        {"task": task, "percent": percent, "W1": share, "b1": share / 2, "overall": share / 3}
        for task, percents in enumerate(rounds)
        for percent, share in zip(percents, GENERATOR.random(len(percents)), strict=True)
    ]


EDGES = np.geomspace(1e-4, 1e4, 9)
HISTOGRAMS = {
    "all": {"edges": EDGES, "counts": [0, 0, 0, 500, 490, 0, 9, 0], "zeros": 0.5},
    "W1": {"edges": EDGES, "counts": [0, 0, 0, 499, 490, 0, 0, 0], "zeros": 0.5},
    "b1": {"edges": EDGES, "counts": [0, 0, 0, 1, 0, 0, 9, 0], "zeros": 0.0},
    "W2": {"edges": EDGES, "counts": [0] * 8, "zeros": 1.0},
}
BARS: dict[str, Any] = {
    "groups": {"EWC": {"before": 300.0, "after": 800.0}, "MAS": {"before": 12.0, "after": 50.0}},
    "errors": {"EWC": {"before": 200.0, "after": None}, "MAS": {"before": 6.0, "after": 60.0}},
    "ylabel": "Kurtosis",
}
THEIRS = {name: dict.fromkeys(bars, (9.0, 3.0)) for name, bars in BARS["groups"].items()}
GRID = np.geomspace(1e-4, 1e4, 40).tolist()
POINTS = {0.5: (accuracies(3, 2), 0), 1.5: (accuracies(2, 2), 1), 10.0: ([], 3), 20.0: ([], 3)}
# Arguments of every function: one seed, several, and what is hard to draw.
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "accuracy_over_sequence": [
        {"matrices": matrices(*size)} for size in ((1, 1), (3, 1), (3, 4), (2, 50))
    ],
    "accuracy_trace": [
        {"traces": traces(*size)} for size in ((1, 1, 1), (3, 3), (1, 20, 2, False), (2, 50))
    ],
    "average_accuracy": [
        {"curves": {"ewc": accuracies(1, 1)}},
        {"curves": {"ewc": accuracies(3, 1), "mas": accuracies(3, 50)}},
        {"curves": {f"{LONG} {k}": accuracies(1, 3) for k in range(25)}},
        {
            "curves": {
                "λ 3": accuracies(1, 3),
                "low": [[0.9, 0.5, 0.1]],
                "high": [[0.9, 0.8, 0.7]],
            },
            "levels": {"all": [0.9]},
            "methods": {"all": "joint", "high": "mine", "low": "lwf", "λ 3": "mine"},
        },
    ],
    "accuracy_matrix": [{"matrices": matrices(*size)} for size in ((1, 1), (3, 4), (1, 50))],
    "sparsity": [
        {"records": pruning_records(rounds)} for rounds in ([[10]], [[10, 20], [10]], [[10]] * 100)
    ],
    "strength_curve": [
        {"points": {3.0: (accuracies(1, 2), 0)}, "best": 3.0},
        {"points": {0.0: (accuracies(3, 2), 0), 1.0: (accuracies(3, 2), 0)}, "best": 1.0},
        {"points": {x: (accuracies(3, 2), 0) for x in GRID}, "best": GRID[0]},
        {"points": POINTS, "best": 0.5},
        {"points": {1.0: ([], 1), 3.0: ([], 1)}, "best": 1.0},
    ],
    "density": [{"values": {"a": (np.linspace(0, 1), np.linspace(0, 9)), "b": ([0, 1], [1, 0])}}],
    "log_histogram": [{"histograms": HISTOGRAMS}],
    "omega_histogram": [
        {"histograms": HISTOGRAMS},
        {"histograms": dict.fromkeys(("all", "W1"), HISTOGRAMS["W2"])},
    ],
    "bars": [
        BARS,
        {**BARS, "reference": THEIRS, "log_y": True},
        *(
            {
                "groups": {f"{name} {k}": {"a": 90.0} for k in range(count)},
                "errors": {f"{name} {k}": {"a": None} for k in range(count)},
                "ylabel": "Accuracy (%)",
            }
            for name, count in (("task", 10), ("task", 100), ("anpyc_wi_np --merge max", 6))
        ),
    ],
    "pruning_path": [
        {"curves": {"test": accuracies(1, 2)}, "percents": [0]},
        {"curves": {"test": accuracies(3, 19)}, "percents": range(0, 90, 5)},
    ],
}
UNITS = {"density": "Density", "log_histogram": "Entries", "bars": "Kurtosis"}  # of the others: %


def test_every_function_has_examples() -> None:
    assert set(EXAMPLES) == artists.drawing_functions(figures)


@pytest.mark.parametrize(
    ("name", "example"), [(name, k) for name in EXAMPLES for k in range(len(EXAMPLES[name]))]
)
def test_figure_is_drawn(name: str, example: int) -> None:
    arguments = EXAMPLES[name][example]
    figure = drawn(getattr(figures, name), **arguments)
    assert arguments.get("ylabel", UNITS.get(name, "%")) in artists.labels(figure)


def since_each_task(seeds: Sequence[Any]) -> list[tuple[Sequence[int], np.ndarray]]:
    """Return of every task its number and those after it, and its accuracies since then [S, n]."""
    tasks = len(seeds[0])
    return [
        (range(j, tasks), np.array([[row[j] for row in matrix[j:]] for matrix in seeds]))
        for j in range(tasks)
    ]


def along_steps(seeds: Sequence[Any]) -> list[tuple[Sequence[int], np.ndarray]]:
    """Return of every task the steps at which it was read, and its accuracies there [S, n]."""
    curves = []
    for j in range(seeds[0][-1]["task"] + 1):
        read = [[reading for reading in trace if reading["task"] >= j] for trace in seeds]
        values = [[reading["accuracy"][j] for reading in trace] for trace in read]
        curves.append(([reading["step"] for reading in read[0]], np.array(values)))
    return curves


MATRICES, TRACES = matrices(3, 4), traces(3, 3)
CURVES = {"a": accuracies(3, 4), "b": accuracies(1, 4), "c": accuracies(2, 1)}


@pytest.mark.parametrize(
    ("draw", "arguments", "curves"),
    [
        (figures.accuracy_over_sequence, {"matrices": MATRICES}, since_each_task(MATRICES)),
        (figures.accuracy_trace, {"traces": TRACES}, along_steps(TRACES)),
        (
            figures.average_accuracy,
            {"curves": CURVES},
            [(range(len(seeds[0])), seeds) for seeds in CURVES.values()],
        ),
        (
            figures.pruning_path,
            {"percents": [0, 6, 12], "curves": {"test": CURVES["a"], "validation": CURVES["b"]}},
            [([-1, 0, 6, 12], CURVES["a"]), ([-1, 0, 6, 12], CURVES["b"])],
        ),
    ],
)
def test_curves_are_means_over_the_seeds_in_a_band_of_one_deviation(
    draw: Callable[..., Any], arguments: dict[str, Any], curves: Any
) -> None:
    figure = drawn(draw, **arguments)
    artists.assert_curves(figure.axes[0], curves)
    names = arguments.get("curves", [f"task {j}" for j in range(len(curves))])
    assert artists.legend(figure)[: len(curves)] == list(names)


def test_joint_training_is_a_level() -> None:
    levels = {"joint": [0.9, 0.95, 0.97]}
    axes = drawn(figures.average_accuracy, curves=CURVES, levels=levels).axes[0]
    level, (band,) = artists.labelled(axes, "joint, all tasks at once"), axes.patches
    mean, deviation = np.mean([90, 95, 97]), np.std([90, 95, 97], ddof=1)
    np.testing.assert_allclose(level.get_ydata(), mean)
    assert (band.get_y(), band.get_height()) == pytest.approx((mean - deviation, 2 * deviation))


def test_lines_that_low_ones_squeeze_have_a_panel_of_their_own() -> None:
    ends = {"finetune": 0.3, "ewc": 0.86, "mas": 0.88, "si": 0.87}
    curves = {label: [np.linspace(0.95, end, 10)] * 2 for label, end in ends.items()}
    levels = {"joint": [0.95, 0.96]}
    figure = drawn(figures.average_accuracy, curves=curves, levels=levels)
    whole, closer = figure.axes
    assert artists.legend(figure) == [*ends, "joint, all tasks at once"]
    for label in ends:
        assert artists.labelled(whole, label).get_ydata()[-1] == pytest.approx(100 * ends[label])
    high = {label: end for label, end in ends.items() if label != "finetune"}
    assert [line.get_label() for line in closer.get_lines()] == [*high]
    assert 85 < closer.get_ylim()[0] < 86 and closer.get_ylim()[1] < 95
    # Where there is room for all there is one panel.
    assert len(drawn(figures.average_accuracy, curves={k: curves[k] for k in high}).axes) == 1


def test_trace_shows_borders_and_prunings() -> None:
    axes = drawn(figures.accuracy_trace, traces=TRACES).axes[0]
    assert [line.get_xdata()[0] for line in axes.get_lines()[3:]] == [40, 80]
    (marks,) = [lines for lines in axes.collections if lines.get_label() == "pruning round"]
    assert [segment[0, 0] for segment in marks.get_segments()] == [20, 60]


def test_matrix_is_the_mean_of_ragged_or_square_ones() -> None:
    square = np.full((3, 4, 4), np.nan)
    for matrix, ragged in zip(square, MATRICES, strict=True):
        for row, values in zip(matrix, ragged, strict=True):
            row[: len(values)] = values
    for given in (MATRICES, square):
        (image,) = drawn(figures.accuracy_matrix, matrices=given).axes[0].get_images()
        np.testing.assert_allclose(image.get_array().filled(np.nan), 100 * square.mean(axis=0))


def test_sparsity_has_a_gap_between_tasks() -> None:
    records = pruning_records([[10, 20], [10]])
    (axes,) = drawn(figures.sparsity, records=records).axes
    for name in ("W1", "b1", "overall"):
        first, second, third = (100 * record[name] for record in records)
        shares = artists.labelled(axes, name).get_ydata()
        np.testing.assert_allclose(shares, [first, second, math.nan, third])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["10", "20", "10"]


def test_strengths_with_a_diverged_run_are_marked() -> None:
    figure = drawn(figures.strength_curve, points=POINTS, best=0.5)
    (axes,) = figure.axes
    for k, label in enumerate(("validation", "test")):
        x, y, halves = artists.error_bars(axes, label)
        np.testing.assert_allclose(x, [0.5, 1.5], rtol=0.05)
        artists.assert_means(y, halves, [[pair[k] for pair in POINTS[at][0]] for at in (0.5, 1.5)])
    assert [x for x, _ in artists.crosses(axes)] == [1.5, 10, 20]
    assert set(artists.labelled(axes, "chosen: λ = 0.5").get_xdata()) == {0.5}
    assert style.NOT_CHOSEN in artists.legend(figure)


def test_densities_and_histograms_are_those_given() -> None:
    (values,) = (example["values"] for example in EXAMPLES["density"])
    (axes,) = drawn(figures.density, values=values).axes
    assert axes.get_yscale() == "log"
    for name, curve in values.items():
        np.testing.assert_array_equal(artists.labelled(axes, name).get_data(), curve)
    figure = drawn(figures.log_histogram, histograms=HISTOGRAMS)
    for stairs, histogram in zip(figure.axes[0].patches, HISTOGRAMS.values(), strict=True):
        np.testing.assert_array_equal(stairs.get_data().values, histogram["counts"])
        np.testing.assert_array_equal(stairs.get_data().edges, EDGES)
    assert artists.legend(figure)[0] == "all (50 % are exactly 0)"


def test_omega_is_drawn_as_shares_of_all_entries_of_a_tensor() -> None:
    """Zeros count, too, so that tensors of any size and sparsity compare."""
    figure = drawn(figures.omega_histogram, histograms=HISTOGRAMS)
    (axes,) = figure.axes
    counts = np.array(HISTOGRAMS["all"]["counts"])
    np.testing.assert_allclose(axes.patches[0].get_data().values, 50 * counts / 999)
    for name, share in (("W1", 50), ("b1", 100), ("W2", 0)):
        (line,) = [each for each in axes.get_lines() if each.get_label().startswith(name)]
        filled = np.array(HISTOGRAMS[name]["counts"]) > 0
        np.testing.assert_array_equal(np.isfinite(line.get_ydata()), filled)
        assert np.nansum(line.get_ydata()) == pytest.approx(share)
    assert artists.legend(figure)[3] == "W2 (100 % are exactly 0)"


@pytest.mark.parametrize("log_y", [False, True])
def test_bars_stand_beside_published_values(log_y: bool) -> None:
    (axes,) = drawn(figures.bars, **BARS, reference=THEIRS, log_y=log_y).axes
    for name in ("before", "after"):
        heights = [group[name] for group in BARS["groups"].values()]
        expected = np.array([group[name] for group in BARS["errors"].values()], dtype=float)
        if log_y:
            _, drawn_heights, halves = artists.error_bars(axes, name)
        else:
            (bars,) = [each for each in axes.containers if each.get_label() == name]
            drawn_heights = [bar.get_height() for bar in bars]
            halves = artists.half_lengths(bars.errorbar.lines[2][0])
        np.testing.assert_allclose(drawn_heights, heights)
        np.testing.assert_allclose(halves, expected)
        _, theirs, halves = artists.error_bars(axes, f"{name}, the authors")
        assert (theirs.tolist(), halves) == ([9, 9], pytest.approx([3, 3]))


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_data_are_refused(name: str) -> None:
    (data, something), *more = EXAMPLES[name][0].items()
    with pytest.raises(ValueError, match=r"nothing to draw|^expected"):
        getattr(figures, name)(title="A title", **{data: type(something)()}, **dict(more))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("accuracy_over_sequence", [[[0.9]], [[0.9], [0.8, 0.9]]]),
        ("accuracy_matrix", [[]]),
        ("accuracy_trace", [[]]),
        ("accuracy_trace", [*traces(1, 2, 1), *traces(1, 2, 2)]),
        ("average_accuracy", {"a": []}),
        ("average_accuracy", {"a": [[0.9], [0.9, 0.8]]}),
    ],
)
def test_seeds_of_unequal_length_are_refused(name: str, data: Any) -> None:
    with pytest.raises(ValueError, match=r"^expected"):
        getattr(figures, name)(data, title="A title")


# Colours

# What the colour-blind see of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN = {
    "all": np.eye(3),
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
TO_XYZ = [[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722], [0.0177, 0.1095, 0.8728]]


def lab(colour: str, seen: Any) -> np.ndarray:
    """Return a colour as CIELAB, relative to white."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.array(TO_XYZ) @ np.clip(np.array(seen) @ linear, 0, 1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", SEEN)
def test_colours_of_methods_differ_for_everyone(seen: str) -> None:
    colours = {*style.METHODS.values(), style.OTHER_METHODS[0]}
    pairs = itertools.combinations([lab(colour, SEEN[seen]) for colour in colours], 2)
    assert min(np.linalg.norm(first - second) for first, second in pairs) > 10  # 2 can be seen


def test_a_method_has_one_colour_in_every_figure() -> None:
    methods = {"EWC": "ewc", "EWC, online": "ewc", "mine": "mymethod", "ANPyC": "anpyc_wi_np"}
    styles = style.styles(methods, methods)
    assert styles["ANPyC"]["linewidth"] > styles["EWC"]["linewidth"]
    assert styles["mine"]["color"] not in {each.lower() for each in style.METHODS.values()}
    first, variant = styles["EWC"], styles["EWC, online"]
    hues = [rgb_to_hsv(to_rgb(each["color"]))[0] for each in (first, variant)]
    assert hues[0] == pytest.approx(hues[1], abs=0.01)
    for look in ("color", "marker", "linestyle"):
        assert first[look] != variant[look]
    # Alone or beside others, in a figure of a run or of a table.
    assert style.styles(["EWC, online"], methods)["EWC, online"] == variant
    points = {3.0: (accuracies(2, 2), 0), 1.0: (accuracies(2, 2), 0)}
    single = [
        drawn(figures.average_accuracy, curves={"λ 3": accuracies(2, 3)}, methods={"λ 3": "ewc"}),
        drawn(figures.strength_curve, points=points, best=3.0, method="ewc"),
    ]
    for figure in single:
        assert same_color(figure.axes[0].get_lines()[0].get_color(), first["color"])
    with pytest.raises(ValueError, match="there is none of 'LwF'"):
        style.styles(["LwF"], methods)


# Files


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_neither_users_settings_nor_the_date_change_a_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = style.Drawing("matrix", figures.accuracy_matrix, "λ", {"matrices": MATRICES})
    first, second = tmp_path / f"1.{kind}", tmp_path / f"2.{kind}"
    monkeypatch.setattr(style, "DPI", 60)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert drawing.write(first) == ""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    wishes = {"text.usetex": True, "font.family": "not there", "font.size": 30}
    of_files = {"savefig.bbox": "tight", "savefig.transparent": True, "pdf.fonttype": 3}
    with matplotlib.rc_context({**wishes, **of_files, "svg.fonttype": "none"}):
        before = dict(matplotlib.rcParams)
        assert drawing.write(second) == ""
        assert dict(matplotlib.rcParams) == before  # which are the user's
    assert first.read_bytes() == second.read_bytes()


DATA = {"a": {0.1: [(0.9, None)], 3.0: []}, "b": np.array([0.25, math.nan]), "zero": False}


def test_digest_is_of_the_data() -> None:
    # The digests of published figures depend on this; another value disowns them all.
    assert style.digest("bars", DATA) == "4193e221c7a24aaa"
    with pytest.raises(TypeError):
        style.digest("bars", {"a": object()})


def test_digest_changes_with_the_data() -> None:
    all_data = [
        DATA,
        DATA | {"a": {0.1: [(0.90000001, None)], 3.0: []}},
        DATA | {"a": {0.10000001: [(0.9, None)], 3.0: []}},
        DATA | {"a": {3.0: [], 0.1: [(0.9, None)]}},
        DATA | {"a": {0.1: [(None, 0.9)], 3.0: []}},
        DATA | {"b": [math.nan, 0.25]},
        DATA | {"b": [0.25, math.inf]},
        DATA | {"zero": True},
        DATA | {"more": []},
        {("c" if key == "b" else key): value for key, value in DATA.items()},
    ]
    digests = [style.digest("bars", data) for data in all_data]
    assert len({*digests, style.digest("means", DATA)}) == len(all_data) + 1


def test_digest_does_not_change_with_the_last_bits_or_the_type() -> None:
    third = np.float64(1) / 3
    numbers = [third, 2e-9 * third, -1e12 * third, 1.0, 0.0]
    near = [np.nextafter(x, 1) for x in numbers[:3]]
    assert near != numbers[:3]
    same = ([*near, 1, -0.0], tuple(numbers), np.array(numbers), list(map(np.float64, numbers)))
    assert {style.digest("bars", each) for each in same} == {style.digest("bars", numbers)}
    assert style.digest("bars", np.float32(0.5)) == style.digest("bars", 0.5)
    assert style.digest("bars", 1234567891234) != style.digest("bars", 1234567891235)


def test_a_figure_is_another_one_when_the_code_that_draws_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = '''"""Draws."""
from harness import style
def draw(title, size):
    """Draws nothing."""
    figure = style.figure(f"of {title}", size, 1)
    return figure
'''
    source = tmp_path / "drawing_of_this_test.py"
    source.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    drawing = style.Drawing(
        "nothing", importlib.import_module(source.stem).draw, "nothing", {"size": 2}
    )
    path = tmp_path / "nothing.png"
    assert drawing.write(path) == ""
    for old, new, same in (
        ("Draws nothing.", "Draws very little.", True),
        ("    return", "    # Nothing is drawn.\n    return", True),
        ("import style", "import style, report", True),
        ("size, 1", "size, 2", False),
        ("of {title}", "about {title}", False),
    ):
        source.write_text(code.replace(old, new))
        results.sources_digest.cache_clear()
        assert drawing.is_in(path) == same, new


def test_digest_is_stored_in_a_whole_picture(tmp_path: Path) -> None:
    path = tmp_path / "figure.png"
    figure = style.figure("title", 1, 1)
    style.save(figure, path)
    assert style.stored(path) is None
    style.save(figure, path, "0123456789abcdef")
    assert style.stored(path) == "0123456789abcdef"
    content = path.read_bytes()
    for length in (0, 20, 60, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert style.stored(path) is None
    path.write_bytes(b"no picture")
    assert style.stored(path) is None
