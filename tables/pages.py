"""Tables as Markdown: cells, notes, commands, the comparison with the published, whole pages."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import options, results, style
from tables import commands, contents

PYTHON = ".venv/bin/python"  # as the README has it
_CELL = re.compile(r"\{([^{}]+)\}")


def shown(estimate: contents.Estimate | None, column: contents.Column, diverged: int = 0) -> str:
    """Returns mean ± std (n), with the number of runs that diverged."""
    also = f"{diverged} diverged"
    if estimate is None:
        return also if diverged else "-"
    count = f"{estimate.n}; {also}" if diverged else f"{estimate.n}"
    return f"{plus_minus(estimate, column)} ({count})"


def plus_minus(estimate: contents.Estimate, column: contents.Column, sign: str = "") -> str:
    """Returns mean ± std."""

    def text(value: float, sign: str) -> str:
        # First the last bits, which differ between processors, then the rest; + 0.0 for no "-0".
        rounded = round(round(column.scale * value, contents.MOST_DIGITS), contents.DIGITS) + 0.0
        return f"{rounded:{sign}.{contents.DIGITS}f}".replace("-", "−")

    mean = text(estimate.mean, sign)
    return mean if estimate.std is None else f"{mean} ± {text(estimate.std, '')}"


def cells(evaluated: contents.TableResults, row: contents.RowResults) -> dict[str, str]:
    """Returns the cells of a row, by the heads of the columns."""
    table, reference = evaluated.table, evaluated.reference(row)
    by_head = {"": row.row.label}
    if _chooses(evaluated):
        by_head["λ"] = _strength(row)
    if table.epochs:
        by_head["total epochs"] = "-" if row.epochs is None else f"{row.epochs:g}"
    for column in table.columns:
        text = shown(row.estimate(column), column, row.diverged(column))
        if reference is not None and reference.command is None:
            text += _apart(row.estimate(column), reference.estimate(column), column)
        by_head[column.title] = text
    if any((other := evaluated.reference(each)) and other.command for each in evaluated.rows):
        by_head["difference"] = _difference(evaluated, row)
    return by_head


def _apart(
    ours: contents.Estimate | None, theirs: contents.Estimate | None, column: contents.Column
) -> str:
    """Returns how far ours is from other people's, in standard errors; bold if it differs."""
    if not (ours and theirs) or (error := contents.standard_error(ours, theirs)) is None:
        return ""
    distance = abs(ours.mean - theirs.mean)
    errors = distance / error if error else (math.inf if distance else 0.0)
    text = f"{errors:.1f} SE apart"
    return f", **{text}**" if contents.differs(ours, theirs, column) else f", {text}"


def _chooses(evaluated: contents.TableResults) -> bool:
    """Whether rows have one λ each, or will have."""
    return any(
        row.grid or row.row.strength_of or (len(row.strengths) == 1 and row.strengths != (None,))
        for row in evaluated.rows
    )


def _strength(row: contents.RowResults) -> str:
    if row.grid and not row.strengths:
        return "every one diverged"
    if len(row.strengths) != 1 or (strength := row.strengths[0]) is None:
        return "-"
    return results.number(strength) + (" (edge)" if row.edge else "")


def _difference(evaluated: contents.TableResults, row: contents.RowResults) -> str:
    reference, column = evaluated.reference(row), evaluated.table.columns[0]
    if any(evaluated.reference(other) is row for other in evaluated.rows):
        return "reference"
    difference = contents.difference(row, reference, column) if reference else None
    return f"{plus_minus(difference, column, '+')} ({difference.n})" if difference else "-"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """Returns a table; all columns but the first `texts` are numbers."""
    lines = [header, ["---"] * texts + ["--:"] * (len(header) - texts), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def grid(
    evaluated: contents.TableResults, rows: Sequence[contents.RowResults]
) -> tuple[list[str], list[list[str]]]:
    """Returns the heads of the columns, and the cells of some rows."""
    each = [cells(evaluated, row) for row in rows]
    return list(each[0]), [list(row.values()) for row in each]


def body(evaluated: contents.TableResults) -> str:
    """Returns the tables of all groups, each under its heading."""
    parts = []
    for group, rows in evaluated.groups().items():
        heading = f"**{group}**\n\n" if group else ""
        parts.append(heading + markdown(*grid(evaluated, rows)))
    return "\n".join(parts)


def shell_commands(evaluated: contents.TableResults) -> str:
    """Returns the shell commands of all rows, each with a comment."""
    lines = []
    for row in evaluated.rows:
        if row.command is None:
            continue
        if row.grid:
            line = _line(row.command, row.grid, row.tuning_seeds)
            how = " by test accuracy" if row.row.by_test else ""
            lines += [f"# {row.row.title}: choose λ{how}", line]
        elif row.row.strength_of:
            lines.append(f"# {row.row.title}: λ as in the table {row.row.strength_of[0]}")
        else:
            lines.append(f"# {row.row.title}")
        if row.strengths and not (row.grid and row.seeds == row.tuning_seeds):
            lines.append(_line(row.command, row.strengths, row.seeds))
    return "\n".join(lines) + "\n"


def _line(
    command: commands.Command, strengths: Sequence[float | None], seeds: Sequence[int]
) -> str:
    arguments = command.arguments(strengths, seeds)
    return shlex.join([PYTHON, f"{command.script}.py", *arguments])


def note(evaluated: contents.TableResults) -> str:
    """Returns the note of a table, a line a paragraph, its numbers filled in.

    "{label: head}" stands for a cell, "{group: label: head}" where the table has groups; of a
    measure or a difference without (n). "{label less label}", likewise, stands for the difference
    of two rows.

    Raises:
        UsageError: there is no such row or head.
    """
    rows = {row.row.title: row for row in evaluated.rows}

    def named(choice: Mapping[str, Any], name: str) -> Any:
        if name not in choice:
            meant = options.did_you_mean(choice, name)
            raise options.UsageError(
                f"the note of {evaluated.table.name} names no cell: {name}{meant}"
            )
        return choice[name]

    def cell(match: re.Match[str]) -> str:
        first, less, second = match[1].partition(" less ")
        if less:
            column = evaluated.table.columns[0]
            difference = contents.difference(named(rows, first), named(rows, second), column)
            return plus_minus(difference, column, "+") if difference else "-"
        title, _, head = match[1].rpartition(": ")
        by_head = cells(evaluated, named(rows, title))
        return str(named(by_head, head)).split(" (")[0]

    paragraphs = re.split(r"\n\s*\n", evaluated.table.note)
    return _CELL.sub(cell, "\n\n".join(" ".join(text.split()) for text in paragraphs))


def section(evaluated: contents.TableResults, compared: contents.TableResults | None = None) -> str:
    """Returns a table's section of the document: title, tables, figures, note, commands.

    Args:
        evaluated: the table.
        compared: the same from the published runs, where this one is of others.
    """
    table = evaluated.table
    parts = [f"## {table.title}\n", f"`{table.name}`. {table.shows}\n", body(evaluated)]
    if compared is None and table.note:
        parts.append(note(evaluated) + "\n")
    for drawing in drawings(evaluated):
        parts.append(f"![{drawing.title}](figures/{table.name}-{drawing.name}.png)\n")
    if compared is not None:
        header, rows = comparison(compared, evaluated)
        parts += ["Published and own:\n", markdown(header, rows)]
    parts.append(
        f"<details><summary>Commands</summary>\n\n```bash\n{shell_commands(evaluated)}```\n\n</details>\n"
    )
    return "\n".join(parts)


def drawings(evaluated: contents.TableResults) -> list[style.Drawing]:
    """Returns the figures of a table."""
    return [drawing for function in evaluated.table.drawings for drawing in function(evaluated)]


def comparison(
    published: contents.TableResults, own: contents.TableResults
) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows that show the published cells and one's own, and whether they differ.

    Args:
        published: a complete table.
        own: the same from other runs.
    """
    header = ["", "λ", "own λ", "measure", "published", "own", "differ by more than the noise"]
    rows = []
    for theirs, ours in zip(published.rows, own.rows, strict=True):
        if ours.command is None:
            continue
        for column in published.table.columns:
            pair = theirs.estimate(column), ours.estimate(column)
            lost = theirs.diverged(column), ours.diverged(column)
            if pair == (None, None) and lost == (0, 0):
                continue
            first, second = pair
            if first and second:
                differ = contents.differs(first, second, column)
            else:  # one finishes, and the other diverges with every seed, or every λ
                differ = (first is None) != (second is None)
            strengths = [_strength(theirs), _strength(ours)]
            texts = [shown(estimate, column, n) for estimate, n in zip(pair, lost, strict=True)]
            verdict = {True: "yes", False: "no", None: "-"}[differ]
            rows.append([ours.row.title, *strengths, column.title, *texts, verdict])
    return header, rows


@dataclasses.dataclass(frozen=True)
class Page:
    """What a page of tables says of itself.

    Attributes:
        made: the line by which it is known that it may be written anew.
        commands: that make it, each a line.
        docs: where docs/ is, seen from the page.
    """

    made: str
    commands: str
    docs: str = "../docs"


MADE = "Made by `reproduce_tables.py` from the files in this folder; do not edit."
PUBLISHED = Page(
    MADE,
    f"{PYTHON} reproduce_tables.py --results-dir mine   # compute all, and compare\n"
    f"{PYTHON} reproduce_tables.py fisher --results-dir mine   # one table\n",
)


def page_of_file(file: Path, folder: Path) -> Page:
    """Returns the page of a table of one's own.

    Args:
        file: that defines it.
        folder: where it is computed.
    """
    words = ["--table", _typed_path(file)]
    command = shlex.join([*words, "--results-dir", _typed_path(folder)])
    return Page(
        f"Made by `reproduce_tables.py {shlex.join(words)}` from the files in this folder and in "
        "results/; do not edit.",
        f"{PYTHON} reproduce_tables.py {command}\n",
        os.path.relpath(options.ROOT / "docs", folder),
    )


def _typed_path(path: Path) -> str:
    """Returns a path as one types it in the project's folder, where commands are run."""
    path = path.resolve()
    inside = path.is_relative_to(options.ROOT)
    return str(path.relative_to(options.ROOT) if inside else path)


def document(
    evaluated: Mapping[str, contents.TableResults],
    published: Mapping[str, contents.TableResults] | None = None,
    page: Page = PUBLISHED,
) -> str:
    """Returns the page with all complete tables.

    Args:
        evaluated: all its tables, by name.
        published: the same from the published runs, where these are one's own; else None.
        page: what it says of itself.
    """
    done = [table for table in evaluated.values() if table.complete]
    lacking = [name for name, table in evaluated.items() if not table.complete]
    parts = [
        "# Results\n",
        f"{page.made}\n",
        f"```bash\n{page.commands}```\n",
        _made(done),
        _legend(done, page.docs),
        "".join(
            f"* `{table.table.name}`: [{table.table.title}](#{anchor(table.table.title)})\n"
            for table in done
        ),
    ]
    if lacking:
        parts.append(f"Not complete yet: {', '.join(lacking)}.\n")
    for table in done:
        theirs = published[table.table.name] if published else None
        parts.append(section(table, theirs if theirs and theirs.complete else None))
    return "\n".join(parts)


def _legend(tables: Iterable[contents.TableResults], docs: str) -> str:
    """Returns what the words and numbers of the tables mean."""
    in_table = [
        f"`{table.table.name}`"
        for table in tables
        if any(row.grid and set(row.seeds) & set(row.tuning_seeds) for row in table.rows)
    ]
    but = f" (but in {', '.join(in_table)})" if in_table else ""
    errors, points = contents.NOISE_ERRORS, contents.NOISE_POINTS
    return f"""\
* Cells: percent, mean ± sample standard deviation over the seeds (number of seeds). Bands and error
  bars in figures are that deviation, but in figures of differences the standard error. Diverged
  runs are counted, and have no part in the mean.
* λ: where a row's commands say "choose λ", it was chosen by validation accuracy, unless they say
  otherwise, with the seeds named there, which are not in the table{but}.
  Where it is one seed, λ is less certain, and no standard error contains that; "edge": the best λ
  is the last of its grid.
* Total epochs: of all tasks and pruning rounds; an epoch of joint training counts once a task.
* Difference: of the first measure to the reference row, mean ± standard error over the seeds that
  finished in both, paired by seed; "SE apart", to other people's results, not paired.
* Noise: up to {errors:g} standard errors of a difference (in a paired t test p = 0.03
  with ten seeds, 0.07 with five, 0.13 with three; every difference for itself, without correction
  for their number). Beside published values, up to {points:g} points are noise, too.
* [What the measures mean]({docs}/method.md#metrics). The same as CSV files: [tables/](tables).
"""


def anchor(title: str) -> str:
    """Returns the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _made(done: Iterable[contents.TableResults]) -> str:
    """Returns the sentences on what was run, when and where."""
    runs = {
        id(result): result for table in done for _, _, result in contents.all_runs(table)
    }.values()
    if not runs:
        return "No table is complete.\n"
    versions: dict[str, set[str]] = {}
    for result in runs:
        for versions_of_part in (*result.get("versions_before", ()), result["versions"]):
            for name, version in versions_of_part.items():
                versions.setdefault(name, set()).add(version)

    def all_of(name: str) -> str:
        return ", ".join(sorted(versions[name]))

    hours = sum(result["seconds"] for result in runs) / 3600
    diverged = sum(result["status"] == "diverged" for result in runs)
    threads = "" if versions.get("threads", set()) - {"1"} else "one thread a run, "
    dates = sorted({result["date"][:10] for result in runs})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return (
        f"{len(runs)} runs ({diverged} diverged), {hours:.1f} hours in all, {threads}"
        f"{when}. TensorFlow {all_of('tensorflow')}, NumPy {all_of('numpy')}, "
        f"Python {all_of('python')}, {all_of('device')}; {all_of('platform')}.\n"
    )
