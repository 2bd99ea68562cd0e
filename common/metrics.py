"""Metrics of a run over a sequence of tasks, computed from its accuracy matrix.

`R[i, j]` is the accuracy on the test set of task j after training on task i, j <= i. Everywhere
below `R` is either a ragged list of rows (row i holds i+1 numbers) or a square array [T, T] whose
upper triangle is ignored, whatever it contains. All accuracies and results are fractions, not
percent. No function modifies its argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
AccuracyMatrix: TypeAlias = Sequence[npt.ArrayLike] | npt.NDArray[Any]


def average_accuracy(R: AccuracyMatrix) -> float:
    """Return ACC, the final accuracy averaged over all tasks: mean_j R[T-1, j].

    Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning", 2017, section 2.

    Raises:
        ValueError: R is not a lower-triangular matrix of finite numbers.

    """
    return float(_square(R)[-1].mean())


def forgetting(R: AccuracyMatrix) -> float:
    """Return F, the mean over the tasks j < T-1 of R[j, j] - R[T-1, j].

    What a task lost between the end of its own training and the end of the sequence; negative if
    it gained. This is the definition of the released ANPyC code.

    Raises:
        ValueError: T = 1, or R is not a lower-triangular matrix of finite numbers.

    """
    matrix = _square(R)
    return _mean_loss(np.diag(matrix), matrix)


def backward_transfer(R: AccuracyMatrix) -> float:
    """Return BWT = -F, the mean over the tasks j < T-1 of R[T-1, j] - R[j, j].

    Lopez-Paz and Ranzato 2017, section 2.

    Raises:
        ValueError: T = 1, or R is not a lower-triangular matrix of finite numbers.

    """
    # Not -F, which turns an F of 0 into a printed "-0.00".
    return 0.0 - forgetting(R)


def max_forgetting(R: AccuracyMatrix) -> float:
    """Return F_max, the mean over the tasks j < T-1 of max_i R[i, j] - R[T-1, j], i = j ... T-1.

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
    """Return LA, each task's accuracy right after its own training, averaged: mean_j R[j, j].

    Riemer et al., "Learning to Learn without Forgetting by Maximizing Transfer and Minimizing
    Interference", 2019.

    Raises:
        ValueError: R is not a lower-triangular matrix of finite numbers.

    """
    return float(np.diag(_square(R)).mean())


def average_accuracy_curve(R: AccuracyMatrix) -> FloatArray:
    """Return ACC after each task, [T]: entry i is the mean over the tasks j <= i of R[i, j].

    Raises:
        ValueError: R is not a lower-triangular matrix of finite numbers.

    """
    matrix = _square(R)
    return np.array([matrix[i, : i + 1].mean() for i in range(len(matrix))])


def summary(R: AccuracyMatrix) -> dict[str, float | None]:
    """Return ACC, F, BWT, F_max and LA of one run; all but ACC are None for T = 1.

    Raises:
        ValueError: R is not a lower-triangular matrix of finite numbers.

    """
    several = len(R) > 1
    return {
        "ACC": average_accuracy(R),
        "F": forgetting(R) if several else None,
        "BWT": backward_transfer(R) if several else None,
        "F_max": max_forgetting(R) if several else None,
        "LA": learning_accuracy(R) if several else None,
    }


def joint_summary(row: npt.ArrayLike) -> dict[str, float | None]:
    """Return the keys of `summary` for a run that learned all tasks at once.

    Such a run has only a final row, [T]: ACC is its mean, and all that compares points in time is
    None.

    Raises:
        ValueError: row is not a non-empty vector of finite numbers.

    """
    acc = float(_vector(row, "the row of a joint run").mean())
    return {"ACC": acc, "F": None, "BWT": None, "F_max": None, "LA": None}


def skewness(values: npt.ArrayLike) -> float:
    """Return the third standardised moment of all values, m3 / m2^1.5, biased.

    Raises:
        ValueError: values is empty, not finite, or constant.

    """
    centred, variance = _centred(values)
    return float((centred**3).mean() / variance**1.5)


def excess_kurtosis(values: npt.ArrayLike) -> float:
    """Return the fourth standardised moment of all values less 3, m4 / m2^2 - 3, biased.

    A normal distribution has 0 (Fisher's definition).

    Raises:
        ValueError: values is empty, not finite, or constant.

    """
    centred, variance = _centred(values)
    return float((centred**4).mean() / variance**2) - 3.0


def mean_std(values: npt.ArrayLike) -> tuple[float, float | None, int]:
    """Return mean, sample standard deviation (divisor n-1; None for n = 1) and n over seeds.

    Raises:
        ValueError: values is not a non-empty vector of finite numbers.

    """
    vector = _vector(values, "values")
    std = float(vector.std(ddof=1)) if vector.size > 1 else None
    return float(vector.mean()), std, vector.size


def _mean_loss(earlier: FloatArray, matrix: FloatArray) -> float:
    """Return the mean over the tasks j < T-1 of earlier[j] - matrix[T-1, j]."""
    if len(matrix) == 1:
        raise ValueError(
            "forgetting is not defined for a single task: nothing was learned after it"
        )
    return float((earlier - matrix[-1])[:-1].mean())


def _square(R: AccuracyMatrix) -> FloatArray:
    """Return a copy of R as [T, T] with zeros above the diagonal."""
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
        matrix[i, : i + 1] = _vector(row[: i + 1], f"row {i} of the accuracy matrix")
    return matrix


def _vector(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return values as a non-empty vector of finite numbers."""
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or vector.size == 0:
        raise ValueError(f"{name}: expected a non-empty vector, got the shape {vector.shape}")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name}: not all numbers are finite: {vector.tolist()}")
    return vector


def _centred(values: npt.ArrayLike) -> tuple[FloatArray, float]:
    """Return the values less their mean, and their variance."""
    flat = _vector(np.ravel(values), "values")
    centred = flat - flat.mean()
    variance = float((centred**2).mean())
    if flat.min() == flat.max():
        raise ValueError("the moments of a constant are not defined")
    return centred, variance
