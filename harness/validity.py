"""Whether what is stored can be right: the values of results and of checkpoints.

A file may be whole and yet hold nonsense, because somebody edited it or another program wrote it.
`harness.results` describes the fields.
"""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from common import metrics
from harness import results

Form: TypeAlias = Callable[[Any], bool]  # whether JSON is of a certain kind


def within(low: float, high: float) -> Form:
    """Returns the form of a number between two others; NaN is not."""
    return lambda value: type(value) in (int, float) and low <= value <= high


def whole(value: Any) -> bool:
    """Whether JSON is a whole number from 0, small enough for a float to be exact."""
    return type(value) is int and 0 <= value <= 2**53


def text(value: Any) -> bool:
    """Whether JSON is text."""
    return isinstance(value, str)


def date(value: Any) -> bool:
    """Whether JSON is a date in ISO format."""
    try:
        return text(value) and bool(datetime.datetime.fromisoformat(value))
    except ValueError:
        return False


def listed(form: Form, least: int = 0, most: float = math.inf) -> Form:
    """Returns the form of a list, of any length by default, whose values all have a form."""
    return lambda value: (
        isinstance(value, list) and least <= len(value) <= most and all(map(form, value))
    )


def record(form: Form | None = None, **fields: Form) -> Form:
    """Returns the form of a dict with certain fields; what else it holds has the form `form`."""
    other = form or (lambda value: True)
    return lambda value: (
        isinstance(value, dict)
        and fields.keys() <= value.keys()
        and all(fields.get(key, other)(entry) for key, entry in value.items())
    )


fraction = within(0, 1)
seconds = within(0, 1e12)
versions = record(text, python=text, tensorflow=text, numpy=text, platform=text, device=text)
rows = listed(listed(fraction, 1))
trace = listed(
    record(task=whole, phase=whole, epoch=whole, step=whole, accuracy=listed(fraction, 1))
)

_real = within(-sys.float_info.max, sys.float_info.max)
_percent = within(0, 100)
_decades = listed(whole, *[len(metrics.DECADE_EDGES) - 1] * 2)
_histogram = record(zeros=fraction, decades=_decades)
_described = record(
    kurtosis=_real,
    skewness=_real,
    highest=_real,
    zeros=fraction,
    decades=_decades,
    unit=lambda counts: listed(whole, 1000, 1000)(counts) and any(counts),
)
_measured = record(EWC=_described, MAS=_described, ANPyC=_described)
_DETAILS: Mapping[str, Form] = {
    "sparsity": lambda rounds: (
        listed(record(fraction, task=whole, percent=_percent, overall=fraction), 1)(rounds)
        and all(each.keys() == rounds[0].keys() for each in rounds)
    ),
    "omega": record(_histogram, all=_histogram),
    "path": listed(
        record(fraction, percent=_percent, accuracy=fraction, validation_accuracy=fraction)
    ),
    "importance": record(_measured),
}
_FIELDS: Mapping[str, Form] = {
    **_DETAILS,
    "status": lambda value: value in ("finished", "diverged"),
    "accuracy": lambda value: value is None or rows(value),
    "validation_accuracy": lambda value: value is None or rows(value),
    "trace": trace,
    "diverged": text,
    "seconds": seconds,
    "versions": versions,
    "versions_before": listed(versions, 1),
    "date": date,
}
_ALWAYS = ("status", "accuracy", "validation_accuracy", "metrics", "seconds", "versions", "date")
_PRECISION = 1e-9  # of metrics: their last bits depend on the order in which a machine adds


def details(value: Any) -> bool:
    """Whether JSON is what a script adds to its result as it goes."""
    return isinstance(value, dict) and not _wrong(value, _DETAILS)


def fault(result: results.Result) -> str | None:
    """Returns what is wrong with a stored result, None for nothing.

    All that is read again is looked at: the kind of every value, whether there are as many
    accuracies as tasks, and whether the metrics are theirs.

    Args:
        result: with its label, all settings included.
    """
    missing = [key for key in _ALWAYS if key not in result]
    if missing:
        return f"is incomplete (no {', '.join(missing)})"
    wrong = ", ".join(_wrong(result, _FIELDS)) or _misfit(result)
    return f"has what cannot be right ({wrong})" if wrong else None


def _wrong(value: Mapping[str, Any], forms: Mapping[str, Form]) -> list[str]:
    """Returns the fields that are not of their kinds."""
    return [key for key, form in forms.items() if key in value and not form(value[key])]


def _misfit(result: results.Result) -> str:
    """Returns what does not fit the rest of a result, "" for nothing; each field is of its kind."""
    settings, accuracies = result["settings"], ("accuracy", "validation_accuracy")
    if result["status"] == "diverged":
        there = [key for key in (*accuracies, "metrics") if result[key] is not None]
        return ", ".join(there) or ("" if "diverged" in result else "diverged")
    tasks = settings.get("tasks", 1)
    for key in accuracies:
        lengths = [len(row) for row in result[key] or ()]
        if lengths not in ([*range(1, tasks + 1)], [tasks]):
            return f"{key} is not of {tasks} tasks"
    readings = result.get("trace", [])
    expects_readings = "trace" in result or settings.get("evaluate_every") is not None
    if (expects_readings and not readings) or any(
        len(reading["accuracy"]) != reading["task"] + 1 or reading["task"] >= tasks
        for reading in readings
    ):
        return "trace"
    stored, expected = result["metrics"], results.metrics_of(result["accuracy"], readings)
    if not isinstance(stored, dict) or stored.keys() != expected.keys():
        return "metrics"
    for key, value in expected.items():
        if not _near(stored[key], value):
            return f"{key} is {stored[key]}, and its accuracies give {value}"
    return _misfit_of_study(result) if result["script"] == "cal_importance_distribution" else ""


def _misfit_of_study(result: results.Result) -> str:
    """Returns what does not fit in a finished study of importances."""
    settings = result["settings"]
    percents = [*range(0, settings["prune_percent"] + 1, settings["prune_step"])]
    if [step["percent"] for step in result.get("path", ())] != percents:
        return "path"
    return "" if result.get("importance", {}).keys() == {"before", "after"} else "importance"


def _near(stored: Any, expected: float | None) -> bool:
    if stored is None or expected is None:
        return stored is expected
    return within(expected - _PRECISION, expected + _PRECISION)(stored)


def is_position(stored: Any, total_steps: int) -> bool:
    """Whether JSON is a position in a run of so many steps, as `progress.Progress` saves it."""
    form = record(
        place=lambda place: (
            isinstance(place, list)
            and [*map(type, place)] == [int, int, str, int]
            and min(place[0], place[1], place[3]) >= 0
        ),
        steps=listed(whole, 3, 3),
        accuracy=rows,
        validation_accuracy=rows,
        trace=trace,
        details=details,
        seconds=seconds,
        versions=listed(record(text), 1),
    )
    if not form(stored):
        return False
    finished, task, steps = len(stored["accuracy"]), stored["place"][0], stored["steps"]
    return (
        finished == len(stored["validation_accuracy"])
        and finished - 1 <= task <= finished
        and [0, *steps, total_steps] == sorted([0, *steps, total_steps])
    )
