"""Metrics of a run over a sequence of tasks, computed from its accuracy matrix and its trace.

`R[i, j]` is the accuracy on the test set of task j after training on task i, j <= i. Everywhere
below `R` is either a ragged list of rows (row i holds i+1 numbers) or a square array [T, T] whose
upper triangle is ignored, whatever it contains. A trace holds the readings of the test accuracy
taken in the course of training: mappings, of which "task" is the task i that was being learned and
"accuracy" holds the i+1 accuracies on the tasks so far; what else they hold is not read. All
accuracies and results are fractions, not percent. No function modifies its argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
DECADE_EDGES = np.logspace(-20, 5, 126)

AccuracyMatrix: TypeAlias = Sequence[npt.ArrayLike] | npt.NDArray[Any]
Trace: TypeAlias = Sequence[Mapping[str, Any]]


def average_accuracy(R: AccuracyMatrix) -> float:
    """Returns ACC, the final accuracy averaged over all tasks: mean_j R[T-1, j].

    Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning", 2017, section 2.

    Raises:
        ValueError: R is not a lower-triangular matrix of finite numbers.
    """
    return float(_square(R)[-1].mean())


def forgetting(R: AccuracyMatrix) -> float:
    """Returns F, the mean over the tasks j < T-1 of R[j, j] - R[T-1, j].

    What a task lost between the end of its own training and the end of the sequence; negative if
    it gained. This is the definition of the released ANPyC code.

    Raises:
        ValueError: T = 1, or R is not a lower-triangular matrix of finite numbers.
    """
    matrix = _square(R)
    return _mean_loss(np.diag(matrix), matrix)


def backward_transfer(R: AccuracyMatrix) -> float:
    """Returns BWT = -F, the mean over the tasks j < T-1 of R[T-1, j] - R[j, j].

    Lopez-Paz and Ranzato 2017, section 2.

    Raises:
        ValueError: T = 1, or R is not a lower-triangular matrix of finite numbers.
    """
    # Not -F, which turns an F of 0 into a printed "-0.00".
    return 0.0 - forgetting(R)


def max_forgetting(R: AccuracyMatrix) -> float:
    """Returns F_max, the mean over the tasks j < T-1 of max_i R[i, j] - R[T-1, j], i = j ... T-1.

    What a task lost against the best it ever had. Chaudhry et al., "Riemannian Walk for
    Incremental Learning: Understanding Forgetting and Intransigence", 2018, but for one point:
    they leave the last row out of the maximum. Here a task that is best at the very end counts
    as 0, there it counts as less than 0.

    Raises:
        ValueError: T = 1, or R is not a lower-triangular matrix of finite numbers.
    """
    matrix = _square(R)
    measured = np.tri(len(matrix), dtype=bool)
    return _mean_loss(matrix.max(axis=0, where=measured, initial=-np.inf), matrix)


def learning_accuracy(R: AccuracyMatrix) -> float:
    """Returns LA, each task's accuracy right after its own training, averaged: mean_j R[j, j].

    Riemer et al., "Learning to Learn without Forgetting by Maximizing Transfer and Minimizing
    Interference", 2019.

    Raises:
        ValueError: R is not a lower-triangular matrix of finite numbers.
    """
    return float(np.diag(_square(R)).mean())


def minimum_accuracy(R: AccuracyMatrix, trace: Trace) -> float:
    """Returns min-ACC, the mean over the tasks j < T-1 of the lowest accuracy on j once learned.

    The lowest of the readings taken while a later task i > j was being learned, and of the R[i, j]
    after it. De Lange, van de Ven and Tuytelaars, "Continual evaluation for lifelong learning:
    identifying the stability gap", 2023.

    Raises:
        ValueError: T = 1, R is not a lower-triangular matrix of finite numbers, or the trace is
            empty or has a reading that does not hold i+1 finite numbers of a task i < T.
    """
    matrix = _square(R)
    readings = _readings(trace, len(matrix))
    _require_several(matrix, "the lowest accuracy")
    lowest = np.full(len(matrix) - 1, np.inf)
    for accuracy in (*readings, *(matrix[i, : i + 1] for i in range(len(matrix)))):
        # The last accuracy is of the task in hand: how it rises is learning, not forgetting.
        earlier = lowest[: accuracy.size - 1]
        np.minimum(earlier, accuracy[:-1], out=earlier)
    return float(lowest.mean())


def worst_case_accuracy(R: AccuracyMatrix, trace: Trace) -> float:
    """Returns WC-ACC, R[T-1, T-1] / T + (1 - 1/T) min-ACC.

    What the newest task ended with, weighed against the worst of all others. De Lange, van de Ven
    and Tuytelaars 2023.

    Raises:
        ValueError: as `minimum_accuracy`.
    """
    matrix = _square(R)
    tasks = len(matrix)
    return float(matrix[-1, -1] / tasks + (1 - 1 / tasks) * minimum_accuracy(R, trace))


def average_accuracy_curve(R: AccuracyMatrix) -> FloatArray:
    """Returns ACC after each task, [T]: entry i is the mean over the tasks j <= i of R[i, j].

    Raises:
        ValueError: R is not a lower-triangular matrix of finite numbers.
    """
    matrix = _square(R)
    return np.array([matrix[i, : i + 1].mean() for i in range(len(matrix))])


def summary(R: AccuracyMatrix, trace: Trace | None = None) -> dict[str, float | None]:
    """Returns ACC, F, BWT, F_max and LA of one run; all but ACC are None for T = 1.

    With a trace min_ACC and WC_ACC as well.

    Raises:
        ValueError: R is not a lower-triangular matrix of finite numbers, or T > 1 and the trace is
            not one of readings as `minimum_accuracy` takes them.
    """
    several = len(R) > 1
    result = {
        "ACC": average_accuracy(R),
        "F": forgetting(R) if several else None,
        "BWT": backward_transfer(R) if several else None,
        "F_max": max_forgetting(R) if several else None,
        "LA": learning_accuracy(R) if several else None,
    }
    if trace is not None:
        result["min_ACC"] = minimum_accuracy(R, trace) if several else None
        result["WC_ACC"] = worst_case_accuracy(R, trace) if several else None
    return result


def joint_summary(row: npt.ArrayLike) -> dict[str, float | None]:
    """Returns the keys of `summary`, without a trace, for a run that learned all tasks at once.

    Such a run has only a final row, [T]: ACC is its mean, and all that compares points in time is
    None.

    Raises:
        ValueError: row is not a non-empty vector of finite numbers.
    """
    acc = float(_vector(row, "the row of a joint run").mean())
    return {"ACC": acc, "F": None, "BWT": None, "F_max": None, "LA": None}


def skewness(values: npt.ArrayLike) -> float:
    """Returns the third standardised moment of all values, m3 / m2^1.5, biased.

    Raises:
        ValueError: values is empty, not finite, or constant.
    """
    centred, variance = _centred(values)
    return float((centred**3).mean() / variance**1.5)


def excess_kurtosis(values: npt.ArrayLike) -> float:
    """Returns the fourth standardised moment of all values less 3, m4 / m2^2 - 3, biased.

    A normal distribution has 0 (Fisher's definition).

    Raises:
        ValueError: values is empty, not finite, or constant.
    """
    centred, variance = _centred(values)
    return float((centred**4).mean() / variance**2) - 3.0


def histogram(values: npt.ArrayLike) -> dict[str, Any]:
    """Returns the share of exact zeros, and the counts of the values above 0 by size, JSON.

    Args:
        values: of any shape, finite.

    Returns:
        zeros, a fraction; decades, the counts between `DECADE_EDGES`, five bins a decade (what
        is beyond counts in the outermost bins).
    """
    array = np.asarray(values, dtype=np.float64)
    within = np.clip(array[array > 0], DECADE_EDGES[0], DECADE_EDGES[-1])
    return {
        "zeros": float(np.mean(array == 0)),
        "decades": np.histogram(within, DECADE_EDGES)[0].tolist(),
    }


def mean_std(values: npt.ArrayLike) -> tuple[float, float | None, int]:
    """Returns mean, sample standard deviation (divisor n-1; None for n = 1) and n over seeds.

    Raises:
        ValueError: values is not a non-empty vector of finite numbers.
    """
    vector = _vector(values, "values")
    std = float(vector.std(ddof=1)) if vector.size > 1 else None
    return float(vector.mean()), std, vector.size


def _mean_loss(earlier: FloatArray, matrix: FloatArray) -> float:
    """Returns the mean over the tasks j < T-1 of earlier[j] - matrix[T-1, j]."""
    _require_several(matrix, "forgetting")
    return float((earlier - matrix[-1])[:-1].mean())


def _require_several(matrix: FloatArray, measure: str) -> None:
    if len(matrix) == 1:
        raise ValueError(
            f"{measure} is not defined for a single task: nothing was learned after it"
        )


def _square(R: AccuracyMatrix) -> FloatArray:
    """Returns a copy of R as [T, T] with zeros above the diagonal."""
    rows = [np.asarray(row, dtype=np.float64) for row in R]
    tasks = len(rows)
    if tasks == 0:
        raise ValueError("the accuracy matrix has no rows")
    shapes = [row.shape for row in rows]
    if shapes not in ([(i + 1,) for i in range(tasks)], [(tasks,)] * tasks):
        raise ValueError(
            f"row i of an accuracy matrix over {tasks} tasks must hold i+1 numbers (or every row "
            f"{tasks}), but the rows have the shapes {shapes}"
        )
    matrix = np.zeros((tasks, tasks))
    for i, row in enumerate(rows):
        matrix[i, : i + 1] = row[: i + 1]
    if not np.isfinite(matrix).all():  # looked at once, since row by row takes twice as long
        for i, row in enumerate(rows):
            _vector(row[: i + 1], f"row {i} of the accuracy matrix")
    return matrix


def _readings(trace: Trace, tasks: int) -> list[FloatArray]:
    """Returns the accuracies of the readings of a run over `tasks` tasks."""
    if not len(trace):
        raise ValueError("the trace has no readings")
    readings = []
    for k, reading in enumerate(trace):
        name = f"reading {k} of the trace"
        task: Any = reading.get("task")
        if task not in range(tasks):
            raise ValueError(f"{name}: expected one of {tasks} tasks, got the task {task}")
        accuracy = _vector(reading.get("accuracy", ()), name)
        if accuracy.size != task + 1:
            raise ValueError(
                f"{name}: task {task} must have {task + 1} accuracies, not {accuracy.size}"
            )
        readings.append(accuracy)
    return readings


def _vector(values: npt.ArrayLike, name: str) -> FloatArray:
    """Returns values as a non-empty vector of finite numbers."""
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or vector.size == 0:
        raise ValueError(f"{name}: expected a non-empty vector, got the shape {vector.shape}")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name}: not all numbers are finite: {vector.tolist()}")
    return vector


def _centred(values: npt.ArrayLike) -> tuple[FloatArray, float]:
    """Returns the values less their mean, and their variance."""
    flat = _vector(np.ravel(values), "values")
    centred = flat - flat.mean()
    variance = float((centred**2).mean())
    if flat.min() == flat.max():
        raise ValueError("the moments of a constant are not defined")
    return centred, variance
