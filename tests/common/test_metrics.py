"""Metrics: numbers worked out by hand, properties, and errors."""

import copy
import functools
import math
import statistics

from common import metrics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

# Task 0 is best in the middle, task 1 at the end.
RAGGED = [[0.9], [0.95, 0.8], [0.7, 0.85, 0.6]]
# The readings of 0.1 are of tasks not yet learned.
TRACE = [
    {"task": 0, "accuracy": [0.1]},
    {"task": 0, "accuracy": [0.9]},
    {"task": 1, "accuracy": [0.65, 0.1]},
    {"task": 2, "accuracy": [0.75, 0.9, 0.1]},
]

NAMES = ["ACC", "F", "BWT", "F_max", "LA"]
ON_MATRICES = [
    metrics.average_accuracy,
    metrics.forgetting,
    metrics.backward_transfer,
    metrics.max_forgetting,
    metrics.learning_accuracy,
]


@st.composite
def ragged(draw, smallest=2):
    """Draw a ragged accuracy matrix over up to 8 tasks."""
    tasks = draw(st.integers(smallest, 8))
    accuracy = st.floats(0, 1)
    return [draw(st.lists(accuracy, min_size=i + 1, max_size=i + 1)) for i in range(tasks)]


@st.composite
def traced(draw):
    """Draw a ragged accuracy matrix over 2 to 8 tasks, and a trace of up to 20 readings."""
    rows = draw(ragged())
    trace = [
        {"task": i, "accuracy": draw(st.lists(st.floats(0, 1), min_size=i + 1, max_size=i + 1))}
        for i in draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=20))
    ]
    return rows, trace


def square(rows, filler):
    """Return the ragged rows as [T, T] with `filler` above the diagonal."""
    matrix = np.full((len(rows), len(rows)), filler, dtype=float)
    for i, row in enumerate(rows):
        matrix[i, : i + 1] = row
    return matrix


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (metrics.average_accuracy, 2.15 / 3),
        (metrics.forgetting, 0.075),  # (0.9 - 0.7 + 0.8 - 0.85) / 2
        (metrics.backward_transfer, -0.075),
        (metrics.max_forgetting, 0.125),  # (0.95 - 0.7 + 0.85 - 0.85) / 2
        (metrics.learning_accuracy, 2.3 / 3),
        # Task 0 is lowest in a reading, task 1 in a row of R.
        (functools.partial(metrics.minimum_accuracy, trace=TRACE), (0.65 + 0.85) / 2),
        (functools.partial(metrics.worst_case_accuracy, trace=TRACE), 0.6 / 3 + 2 / 3 * 0.75),
    ],
)
def test_hand_worked(function, expected):
    result = function(RAGGED)
    assert type(result) is float
    assert result == pytest.approx(expected, abs=1e-12)


def test_frozen_trunk_of_the_release():
    """Where nothing changes after its own training, nothing is forgotten."""
    final = [0.909, 0.834, 0.818]
    matrix = [final[: i + 1] for i in range(3)]
    assert metrics.forgetting(matrix) == 0.0
    assert metrics.max_forgetting(matrix) == 0.0
    assert str(metrics.backward_transfer(matrix)) == "0.0"
    assert metrics.average_accuracy(matrix) == metrics.learning_accuracy(matrix)


def test_summary_names_every_metric():
    values = dict(zip(NAMES, [function(RAGGED) for function in ON_MATRICES], strict=True))
    assert metrics.summary(RAGGED) == values
    assert list(metrics.summary(RAGGED, TRACE)) == [*NAMES, "min_ACC", "WC_ACC"]


def test_summary_of_one_task():
    expected = {"ACC": 0.9, "F": None, "BWT": None, "F_max": None, "LA": None}
    assert metrics.summary([[0.9]]) == expected
    assert metrics.summary(np.array([[0.9]])) == expected
    expected |= {"min_ACC": None, "WC_ACC": None}
    assert metrics.summary([[0.9]], [{"task": 0, "accuracy": [0.9]}]) == expected


def test_joint_summary():
    result = metrics.joint_summary([0.5, 0.75, 1.0])
    assert result == {"ACC": 0.75, "F": None, "BWT": None, "F_max": None, "LA": None}


@pytest.mark.parametrize(
    "function", [metrics.forgetting, metrics.backward_transfer, metrics.max_forgetting]
)
def test_one_task_has_no_forgetting(function):
    with pytest.raises(ValueError, match="single task"):
        function([[0.9]])


@pytest.mark.parametrize("function", [metrics.minimum_accuracy, metrics.worst_case_accuracy])
def test_one_task_has_no_lowest_accuracy(function):
    with pytest.raises(ValueError, match="single task"):
        function([[0.9]], [{"task": 0, "accuracy": [0.9]}])


@pytest.mark.parametrize(
    "function", [metrics.minimum_accuracy, metrics.worst_case_accuracy, metrics.summary]
)
@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ({"task": 3, "accuracy": [0.9] * 4}, "reading 1 .* task 3"),
        ({"task": -1, "accuracy": []}, "reading 1 .* task -1"),
        ({"task": 0.5, "accuracy": [0.9]}, "reading 1 .* task 0.5"),
        ({"accuracy": [0.9]}, "reading 1 .* task None"),
        ({"task": 1, "accuracy": [0.9]}, "reading 1 .* must have 2"),
        ({"task": 1, "accuracy": [0.9, 0.8, 0.7]}, "reading 1 .* must have 2"),
        ({"task": 0, "accuracy": 0.9}, "reading 1 .* vector"),
        ({"task": 0}, "reading 1 .* vector"),
        ({"task": 1, "accuracy": [0.9, math.nan]}, "reading 1 .* finite"),
        ({"task": 1, "accuracy": [None, 0.9]}, "reading 1 .* finite"),
    ],
)
def test_malformed_traces(function, reading, message):
    with pytest.raises(ValueError, match=message):
        function(RAGGED, [TRACE[0], reading])
    with pytest.raises(ValueError, match="no readings"):
        function(RAGGED, [])
    with pytest.raises(ValueError, match="must hold"):
        function([[0.9], [0.8]], TRACE)


@pytest.mark.parametrize(
    "function", [*ON_MATRICES, metrics.average_accuracy_curve, metrics.summary]
)
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([], "no rows"),
        ([[]], "must hold"),
        ([0.9], "must hold"),
        ([0.9, 0.8], "must hold"),
        ([[0.9], [0.8]], "must hold"),
        ([[0.9, 0.8], [0.7]], "must hold"),
        ([[0.9], [0.8, 0.7, 0.6]], "must hold"),
        ([[0.9, 0.8, 0.7]], "must hold"),
        (np.zeros((2, 3)), "must hold"),
        (np.zeros((2, 2, 2)), "must hold"),
        ([[0.9], [math.nan, 0.8]], "row 1 .* finite"),
        ([[0.9], [0.8, math.inf]], "row 1 .* finite"),
        ([[0.9], [None, 0.8]], "row 1 .* finite"),
    ],
)
def test_malformed_matrices(function, matrix, message):
    with pytest.raises(ValueError, match=message):
        function(matrix)


@pytest.mark.parametrize("row", [[], [[0.9]], 0.9, [math.nan]])
def test_malformed_rows(row):
    with pytest.raises(ValueError, match="row of a joint run"):
        metrics.joint_summary(row)


@given(ragged())
def test_against_plain_loops(rows):
    tasks = len(rows)
    last = rows[-1]
    lost = [rows[j][j] - last[j] for j in range(tasks - 1)]
    most = [max(rows[i][j] for i in range(j, tasks)) - last[j] for j in range(tasks - 1)]
    diagonal = [rows[j][j] for j in range(tasks)]
    expected = {
        "ACC": statistics.fmean(last),
        "F": statistics.fmean(lost),
        "BWT": -statistics.fmean(lost),
        "F_max": statistics.fmean(most),
        "LA": statistics.fmean(diagonal),
    }
    assert metrics.summary(rows) == pytest.approx(expected, abs=1e-12)
    curve = [statistics.fmean(row) for row in rows]
    np.testing.assert_allclose(metrics.average_accuracy_curve(rows), curve, atol=1e-12)


@given(traced())
def test_lowest_against_plain_loops(rows_and_trace):
    rows, trace = rows_and_trace
    before = copy.deepcopy(rows_and_trace)
    tasks = len(rows)
    lowest = []
    for j in range(tasks - 1):
        on_j = [rows[i][j] for i in range(j + 1, tasks)]
        on_j += [reading["accuracy"][j] for reading in trace if reading["task"] > j]
        lowest.append(min(on_j))
    expected = statistics.fmean(lowest)
    assert metrics.minimum_accuracy(rows, trace) == pytest.approx(expected, abs=1e-12)
    expected = rows[-1][-1] / tasks + (1 - 1 / tasks) * expected
    assert metrics.worst_case_accuracy(rows, trace) == pytest.approx(expected, abs=1e-12)
    full = square(rows, math.nan)
    assert metrics.summary(full, trace) == metrics.summary(rows, trace)
    assert rows_and_trace == before


@given(ragged(smallest=1), st.sampled_from([0.0, math.nan, math.inf, 7.0]))
def test_square_equals_ragged(rows, filler):
    assert metrics.summary(square(rows, filler)) == metrics.summary(rows)
    assert metrics.summary([np.array(row) for row in rows]) == metrics.summary(rows)


@given(ragged(), st.sampled_from(ON_MATRICES))
def test_argument_is_not_modified(rows, function):
    before = copy.deepcopy(rows)
    function(rows)
    assert rows == before
    matrix = square(rows, math.nan)
    matrix.setflags(write=False)
    function(matrix)
    np.testing.assert_array_equal(matrix, square(rows, math.nan))


def test_mean_std():
    assert metrics.mean_std([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, math.sqrt(7 / 3), 3))
    assert metrics.mean_std(np.array([0.25])) == (0.25, None, 1)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20))
def test_mean_std_against_the_standard_library(values):
    mean, std, n = metrics.mean_std(values)
    assert (type(mean), type(std), type(n)) == (float, float, int)
    assert mean == pytest.approx(statistics.fmean(values), abs=1e-12)
    assert std == pytest.approx(statistics.stdev(values), abs=1e-12)
    assert n == len(values)


@pytest.mark.parametrize("values", [[], [0.9, None], [math.nan], [[0.9]], 0.9])
def test_mean_std_of_nonsense(values):
    with pytest.raises(ValueError, match="values"):
        metrics.mean_std(values)
