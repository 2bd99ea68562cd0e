"""Tables and runs as CSV, for pandas or a spreadsheet: full numbers, fractions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness import options, results
from tables import contents

_METRICS = ("ACC", "F", "BWT", "F_max", "LA", "min_ACC", "WC_ACC")


def of_table(evaluated: contents.TableResults) -> str:
    """Returns a table as CSV: a line a row, mean, std, n and diverged of every column."""
    table = evaluated.table
    lines = []
    for row in evaluated.rows:
        line: dict[str, Any] = {"group": row.row.group, "row": row.row.label}
        line["script"] = row.command.script if row.command else ""
        line["lambda"] = " ".join(
            results.number(value) for value in row.strengths if value is not None
        )
        line["edge"] = int(row.edge)
        line["grid"] = " ".join(map(results.number, row.grid))
        line["epochs"] = "" if row.epochs is None else f"{row.epochs:g}"
        for column in table.columns:
            line |= _numbers(column.title, row.estimate(column))
            line[f"{column.title} diverged"] = row.diverged(column)
        reference = evaluated.reference(row)
        line["reference"] = reference.row.label if reference else ""
        difference = contents.difference(row, reference, table.columns[0]) if reference else None
        line |= _numbers("difference", difference, "standard error")
        lines.append(line)
    return _csv(lines, list(lines[0]))


def _numbers(title: str, estimate: contents.Estimate | None, spread: str = "std") -> dict[str, Any]:
    """Returns an estimate as it stands in files: not in percent."""

    def text(value: float | None) -> str:
        # What rounding leaves of a difference of 0 is not the same on all machines.
        return "" if value is None else f"{round(value, 15) + 0.0:.{contents.MOST_DIGITS}g}"

    heads = (title, f"{title} {spread}", f"{title} n")
    numbers = (text(estimate.mean), text(estimate.std), estimate.n) if estimate else ("", "", "")
    return dict(zip(heads, numbers, strict=True))


def of_runs(evaluated: Iterable[contents.TableResults]) -> str:
    """Returns all runs as CSV, a line each; those that choose a λ have `use` "tuning".

    Every setting that changes numbers has a column, and so has every metric. A cell is empty where
    a run has none, and a column is left out where no run has any.
    """
    lines: list[dict[str, Any]] = []
    settings: dict[str, None] = {}
    for table in evaluated:
        for row, use, result in contents.all_runs(table):
            assert row.command
            given = row.command.settings
            # Some scripts have the first two for good, so that they are none of their settings.
            own = {name: getattr(given, name) for name in ("tasks", "head", *given.identity())}
            settings |= dict.fromkeys(own)
            finished = result["status"] == "finished"
            lines.append(
                {
                    "table": table.table.name,
                    "group": row.row.group,
                    "row": row.row.label,
                    "use": use,
                    "script": result["script"],
                    **{name: _typed(value) for name, value in own.items()},
                    "lambda": result["lambda"],
                    "seed": result["seed"],
                    "status": result["status"],
                    **{name: (result["metrics"] or {}).get(name) for name in _METRICS},
                    "validation_ACC": results.validation_accuracy(result) if finished else None,
                    "seconds": result["seconds"],
                    "file": result["file"],
                }
            )
    some = {name for line in lines for name, cell in line.items() if cell not in (None, "")}
    in_order = sorted(settings, key=[*options.SHARED, *settings].index)
    heads = [
        *("table", "group", "row", "use", "script"),
        *(name for name in in_order if name in some),
        *("lambda", "seed", "status"),
        *(name for name in (*_METRICS, "validation_ACC") if name in some),
        *("seconds", "file"),
    ]
    return _csv(lines, heads)


def _typed(value: Any) -> str:
    """Returns a setting as one types it, "" for one that is not there."""
    return "" if value is None or value == () else options.shown(value)


def _csv(lines: Sequence[Mapping[str, Any]], heads: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
