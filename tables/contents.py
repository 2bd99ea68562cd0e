"""Tables of stored runs: which runs a row needs, which λ it takes, what its cells say.

A row is the command line of a script, read with the script's own parser. Where a command names
several λ, one is chosen on the validation set with seeds that do not enter the table. What is
stored decides how far a row has come, so that a table is evaluated in the same way before, during
and after its computation.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from common import metrics
from harness import options, report
from harness.results import Result
from tables import commands

NOISE_ERRORS = 2.5  # standard errors, up to which two means do not differ
NOISE_POINTS = 0.5  # percentage points, likewise
DIGITS = 2  # of a cell, after the point
MOST_DIGITS = 9  # before a mean is rounded for print: hides the last bits of another processor


@dataclasses.dataclass(frozen=True)
class Column:
    """A number of every run, of which a table shows mean and standard deviation over the seeds.

    Attributes:
        title: head of the column; in a CSV file its name.
        value: of a result and the row's group, as the result has it; None where it has none.
        scale: factor for print: 100 for percent.
        strength: of the runs that count; None for all of the row.
    """

    title: str
    value: Callable[[Result, str], float | None]
    scale: float = 100.0
    strength: float | None = None


def metric(name: str) -> Column:
    """Returns the column of a metric (`common.metrics`), in percent."""
    return Column(name.replace("_ACC", "-ACC"), lambda result, _: result["metrics"][name])


ACC = metric("ACC")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Mean, sample standard deviation and number of values, as results have them (fractions).

    Attributes:
        mean: of the values.
        std: with divisor n − 1; None for n = 1.
        n: how many values.
        values: themselves, where they are known.
    """

    mean: float
    std: float | None
    n: int
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Returns the estimate from values, one a seed."""
        return cls(*metrics.mean_std(values), tuple(values))


@dataclasses.dataclass(frozen=True)
class Difference(Estimate):
    """Mean difference of two rows; std is its standard error.

    Attributes:
        freedom: degrees of freedom of the standard error; 0 where there is none.
    """

    freedom: int = 0


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        label: first cell; no two of a group have the same.
        command: script and its own flags; "" for a row of other people's.
        group: heading under which the row stands.
        flags: further flags, which other rows have, too; those that the script does not have are
            left out, and the command's own win.
        reference: label of the row of its group from which its difference is taken; "" for none,
            None for the table's.
        seeds: None for the table's.
        tuning: seeds that choose λ; None for the table's.
        by_test: choose λ by test accuracy.
        checksum: of the data set of --data-dir (of a relative path, from the project's folder), for
            a row to be shown without it; None to read it.
        strength_of: table, group and label of the row whose chosen λ this row takes.
        estimates: of a row without command, by title of the column.
        lost: of a row without command, how many runs diverged, likewise.
    """

    label: str
    command: str = ""
    group: str = ""
    flags: str = ""
    reference: str | None = None
    seeds: tuple[int, ...] | None = None
    tuning: tuple[int, ...] | None = None
    by_test: bool = False
    checksum: str | None = None
    strength_of: tuple[str, str, str] | None = None
    estimates: Mapping[str, Estimate] = dataclasses.field(default_factory=dict)
    lost: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """Heading and label, which no other row of the table has."""
        return ": ".join(filter(None, (self.group, self.label)))


def rows_of(group: str, flags: str, commands: Mapping[str, str], **same: Any) -> tuple[Row, ...]:
    """Returns rows that have a heading, flags and more in common.

    Args:
        group: heading.
        flags: of all rows, as far as their scripts have them.
        commands: by label.
        **same: further attributes of `Row`.
    """
    return tuple(Row(label, command, group, flags, **same) for label, command in commands.items())


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: rows, and what they have in common.

    Attributes:
        name: of its folder and files.
        title: heading.
        shows: the sentence that says what it is for.
        rows: in order; those of a group together.
        seeds: of the cells.
        tuning: seeds that choose λ; empty: every λ of a command enters the table, and every column
            has a strength.
        columns: of measures.
        reference: label of the row, in each group, from which differences are taken; "" for none.
        epochs: whether a column says how many epochs a row trains in all.
        drawings: functions that return what to draw, from the evaluated table (`tables.drawings`).
        note: what came out; `pages.note` fills its numbers in. Its first sentence is the verdict,
            and the entry in the table of contents.

    Raises:
        UsageError: an attribute is no tuple of what it should have; the name is none of a folder;
            two rows or columns have the same title; rows of a group do not stand together.
    """

    name: str
    title: str
    shows: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    tuning: tuple[int, ...] = ()
    columns: tuple[Column, ...] = (ACC, metric("F"), metric("LA"))
    reference: str = ""
    epochs: bool = True
    drawings: tuple[Callable[[TableResults], Sequence[Any]], ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        """Checks what the types do not say, and what they say to those who run no type checker."""
        if not re.fullmatch(r"\w[\w.-]*", str(self.name)):
            raise options.UsageError(f"table {self.name!r}: the name has to be that of a folder")
        self._require_tuple("rows", self.rows, Row)
        self._require_tuple("columns", self.columns, Column)
        self._require_tuple("drawings", self.drawings, Callable)
        for row in self.rows:
            if not all(isinstance(t, str) for t in (row.label, row.command, row.group, row.flags)):
                raise options.UsageError(
                    f"table {self.name}: label, command, group and flags of a row have to be texts"
                )
        for place in (self, *self.rows):
            for name in ("seeds", "tuning"):
                seeds = getattr(place, name)
                self._require_tuple(name, () if seeds is None else seeds, int)
        names_of = {
            "groups": [group for group, _ in itertools.groupby(row.group for row in self.rows)],
            "rows": [row.title for row in self.rows],
            "columns": [column.title for column in self.columns],
        }
        for what, names in names_of.items():
            twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
            if twice:
                raise options.UsageError(f"table {self.name}: two {what} {twice[0]!r}")

    def _require_tuple(self, name: str, value: object, kind: Any) -> None:
        if not isinstance(value, tuple) or not all(isinstance(part, kind) for part in value):
            raise options.UsageError(
                f"table {self.name}: {name} has to be a tuple of {kind.__name__}"
            )


@dataclasses.dataclass
class RowResults:
    """A row, as far as what is stored goes.

    Attributes:
        row: as written.
        command: None for other people's estimates.
        grid: the λ tried, ascending; empty where none is chosen.
        tuning: results that chose λ.
        strengths: that enter the table: the chosen λ, or every one, or (None,); empty while a
            choice waits for runs, or where every λ diverged.
        edge: whether the chosen λ lies at an end of the grid.
        chosen_by: how many seeds have chosen λ, here or in the row that it is from; 0 for none.
        seeds: of the cells.
        tuning_seeds: of the choice.
        runs: results in the table.
        missing: runs to be made now.
        waits: whether λ waits for some of them.
    """

    row: Row
    command: commands.Command | None = None
    grid: tuple[float, ...] = ()
    tuning: tuple[Result, ...] = ()
    strengths: tuple[float | None, ...] = ()
    edge: bool = False
    chosen_by: int = 0
    seeds: tuple[int, ...] = ()
    tuning_seeds: tuple[int, ...] = ()
    runs: tuple[Result, ...] = ()
    missing: tuple[commands.MissingRuns, ...] = ()
    waits: bool = False

    @property
    def epochs(self) -> float | None:
        """Epochs that a run trains, over all tasks and pruning rounds; None where it has steps.

        An epoch of joint training over T tasks counts T times.
        """
        settings = self.command.settings if self.command else None
        if settings is None or getattr(settings, "epochs", None) is None:
            return None
        rounds = max(
            (len(run.get("sparsity", run.get("path", ()))) for run in self.runs), default=0
        )
        again = settings.retrain_epochs * rounds if rounds else 0
        return float(settings.tasks * settings.epochs + again)

    @property
    def finished(self) -> list[Result]:
        """Results in the table of the runs that did not diverge."""
        return [result for result in self.runs if result["status"] == "finished"]

    def values(self, column: Column) -> dict[int, float]:
        """Returns a column's number of every run that finished, by seed."""
        return {
            result["seed"]: value
            for result in self.finished
            if column.strength in (None, result["lambda"])
            and (value := column.value(result, self.row.group)) is not None
        }

    def estimate(self, column: Column) -> Estimate | None:
        """Returns mean, std and n of a column, None where there is nothing."""
        if self.command is None:
            return self.row.estimates.get(column.title)
        values = list(self.values(column).values())
        return Estimate.of(values) if values else None

    def diverged(self, column: Column) -> int:
        """Returns how many of a column's runs diverged."""
        if self.command is None:
            return self.row.lost.get(column.title, 0)
        return sum(
            result["status"] == "diverged" and column.strength in (None, result["lambda"])
            for result in self.runs
        )


@dataclasses.dataclass
class TableResults:
    """A table, as far as what is stored goes."""

    table: Table
    rows: list[RowResults]

    @property
    def complete(self) -> bool:
        """Whether no run is missing."""
        return not any(row.missing for row in self.rows)

    def groups(self) -> dict[str, list[RowResults]]:
        """Returns the rows by their headings."""
        groups: dict[str, list[RowResults]] = {}
        for row in self.rows:
            groups.setdefault(row.row.group, []).append(row)
        return groups

    def reference(self, row: RowResults) -> RowResults | None:
        """Returns the row from which a row's difference is taken, None for none."""
        label = self.table.reference if row.row.reference is None else row.row.reference
        if not label or label == row.row.label:
            return None
        return self.row(row.row.group, label)

    def row(self, group: str, label: str) -> RowResults:
        """Returns a row by heading and label.

        Raises:
            UsageError: there is no such row.
        """
        rows = {row.row.label: row for row in self.rows if row.row.group == group}
        if label not in rows:
            place = f"row {label!r} under {group!r}" if group else f"row {label!r}"
            meant = options.did_you_mean(rows, label)
            raise options.UsageError(f"table {self.table.name} has no {place}{meant}")
        return rows[label]


def evaluate(
    tables: Sequence[Table], names: Sequence[str], store: commands.Store
) -> dict[str, TableResults]:
    """Evaluates tables, as far as what is stored goes.

    Args:
        tables: all of them, since a row may take its λ from another table.
        names: of those wanted.
        store: the runs.

    Raises:
        ResultError: a stored file is damaged, or is of another run.
        UsageError: a row names a script, a flag, a value or another row that is not there.
    """
    by_name = {table.name: table for table in tables}
    store.list_files(by_name)
    places = {
        (table.name, row.group, row.label): (table, row) for table in tables for row in table.rows
    }
    done: dict[tuple[str, str, str], RowResults] = {}

    def row_results(table: Table, row: Row) -> RowResults:
        place = (table.name, row.group, row.label)
        if place not in done:
            chosen = None
            if row.strength_of:
                if row.strength_of not in places:
                    wanted, *others = (
                        ": ".join(filter(None, p)) for p in (row.strength_of, *places)
                    )
                    meant = options.did_you_mean(others, wanted)
                    text = f"table {table.name}, row {row.title!r}: no row {wanted} to take λ from"
                    raise options.UsageError(f"{text}{meant}")
                chosen = row_results(*places[row.strength_of])
            done[place] = _evaluate_row(table, row, store, chosen)
        return done[place]

    evaluated = {}
    for name in names:
        table = by_name[name]
        evaluated[name] = TableResults(table, [row_results(table, row) for row in table.rows])
        for row in evaluated[name].rows:
            evaluated[name].reference(row)  # now, and not when all its runs are made
    return evaluated


def _evaluate_row(
    table: Table, row: Row, store: commands.Store, chosen: RowResults | None
) -> RowResults:
    if not row.command:
        return RowResults(row)
    try:
        command = commands.parse(row.command, row.flags, row.checksum)
    except ValueError as error:
        raise options.UsageError(f"table {table.name}, row {row.title!r}: {error}") from error
    seeds = table.seeds if row.seeds is None else row.seeds
    tuning = table.tuning if row.tuning is None else row.tuning
    result = RowResults(row, command, seeds=seeds, tuning_seeds=tuning)

    def stored_runs(strengths: Sequence[float | None], seeds: Sequence[int]) -> tuple[Result, ...]:
        """Returns the runs that are stored, and notes which are missing."""
        runs = []
        for strength in strengths:
            by_seed = {seed: store.read(table.name, command, strength, seed) for seed in seeds}
            runs += [run for run in by_seed.values() if run is not None]
            lacking = tuple(seed for seed, run in by_seed.items() if run is None)
            if lacking:
                missing = commands.MissingRuns(table.name, row.title, command, strength, lacking)
                result.missing += (missing,)
        return tuple(runs)

    strengths: tuple[Any, ...] = getattr(command.settings, "strength", (None,))
    if len(strengths) > 1 and not tuning and any(c.strength is None for c in table.columns):
        raise options.UsageError(
            f"table {table.name}, row {row.title!r}: several λ, and neither tuning seeds to choose "
            "one nor a λ for every column"
        )
    if chosen is not None:
        result.waits, strengths, result.edge = chosen.waits, chosen.strengths, chosen.edge
        result.chosen_by = chosen.chosen_by
        result.missing = chosen.missing if chosen.waits else ()
    elif len(strengths) > 1 and tuning:
        result.grid = tuple(sorted(strengths))
        result.tuning = stored_runs(result.grid, tuning)
        result.chosen_by = len(tuning)
        result.waits = bool(result.missing)
        best = None if result.waits else report.choose_strength(result.tuning, row.by_test)
        strengths = () if best is None else (best,)
        result.edge = best is not None and report.at_end(best, result.grid)
    result.strengths = strengths
    result.runs = stored_runs(result.strengths, seeds)
    return result


def difference(row: RowResults, reference: RowResults, column: Column = ACC) -> Difference | None:
    """Returns the mean difference of two rows, its standard error (as std), and n.

    Paired over the seeds that finished in both; where one of them is other people's, of the
    means, with the standard error √(s₁²/n₁ + s₂²/n₂), the degrees of freedom of Welch, rounded
    down, and the smaller n.

    Returns:
        None where there is nothing to compare.
    """
    if row.command is None or reference.command is None:
        first, second = row.estimate(column), reference.estimate(column)
        if first is None or second is None:
            return None
        mean, n = first.mean - second.mean, min(first.n, second.n)
        return Difference(mean, standard_error(first, second), n, freedom=_welch(first, second))
    ours, theirs = row.values(column), reference.values(column)
    pairs = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    if not pairs:
        return None
    mean, std, n = metrics.mean_std(pairs)
    return Difference(mean, None if std is None else std / n**0.5, n, tuple(pairs), n - 1)


def _welch(first: Estimate, second: Estimate) -> int:
    """Returns the degrees of freedom of the difference of two means; 0 where there are none."""
    if first.std is None or second.std is None:
        return 0
    a, b = first.std**2 / first.n, second.std**2 / second.n
    least = min(first.n, second.n) - 1
    return int((a + b) ** 2 / (a**2 / (first.n - 1) + b**2 / (second.n - 1))) if a + b else least


def standard_error(first: Estimate, second: Estimate) -> float | None:
    """Returns √(s₁²/n₁ + s₂²/n₂), None where a standard deviation is not known."""
    if first.std is None or second.std is None:
        return None
    return float((first.std**2 / first.n + second.std**2 / second.n) ** 0.5)


def differs(first: Estimate, second: Estimate, column: Column) -> bool | None:
    """Returns whether two means differ by more than the noise; None where n = 1.

    More than 2.5 standard errors of their difference; of percentages at least 0.5 points.
    """
    error = standard_error(first, second)
    if error is None:
        return None
    least = NOISE_POINTS / 100 if column.scale == 100 else 0.0
    return abs(first.mean - second.mean) > max(NOISE_ERRORS * error, least)


def all_runs(evaluated: TableResults) -> Iterator[tuple[RowResults, str, Result]]:
    """Yields every run of a table, with its row and its use: "table", or "tuning" for λ alone."""
    for row in evaluated.rows:
        for result in row.runs:
            yield row, "table", result
        in_table = set(map(id, row.runs))
        for result in row.tuning:
            if id(result) not in in_table:
                yield row, "tuning", result


def missing_runs(evaluated: Mapping[str, TableResults]) -> list[commands.MissingRuns]:
    """Returns the runs that can be made now, in the order of the tables, each once."""
    seen: set[tuple[str, str]] = set()
    runs = []
    for row in (row for table in evaluated.values() for row in table.rows):
        for missing in row.missing:
            new = missing.without(seen)
            seen.update(new.runs())
            if new.seeds:
                runs.append(new)
    return runs


def waiting(evaluated: Mapping[str, TableResults]) -> list[RowResults]:
    """Returns the rows whose λ waits for runs."""
    return [row for table in evaluated.values() for row in table.rows if row.waits]


def waiting_runs(evaluated: Mapping[str, TableResults]) -> list[commands.Command]:
    """Returns the command of every run of such rows; one that several need, once."""
    return list(
        {
            (row.command.script, *row.command.flags.items(), seed): row.command
            for row in waiting(evaluated)
            if row.command
            for seed in row.seeds
        }.values()
    )
