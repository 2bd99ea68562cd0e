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
from tables import contents, noise, shell

_CELL = re.compile(r"\{([^{}]+)\}")
_INTERVAL = ": interval"
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^a-z\s])")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
COMMANDS = "commands.md"  # the page with the commands of all rows
HEADS = {"difference": "difference ± SE"}  # of columns, where they say more than their names


def shown(estimate: contents.Estimate | None, column: contents.Column, diverged: int = 0) -> str:
    """Returns mean ± std (n), with the number of runs that diverged."""
    also = f"{diverged} diverged"
    if estimate is None:
        return also if diverged else "-"
    count = f"{estimate.n}; {also}" if diverged else f"{estimate.n}"
    return f"{plus_minus(estimate, column)} ({count})"


def plus_minus(estimate: contents.Estimate, column: contents.Column, sign: str = "") -> str:
    """Returns mean ± std."""
    mean = _number(estimate.mean, column, sign)
    return mean if estimate.std is None else f"{mean} ± {_number(estimate.std, column)}"


def interval(difference: contents.Difference, column: contents.Column) -> str:
    """Returns the 95 % interval of a difference, "-" where its standard error is not known."""
    if difference.std is None:
        return "-"
    reach = noise.quantile(difference.freedom) * difference.std
    ends = (difference.mean - reach, difference.mean + reach)
    return " to ".join(_number(end, column, "+") for end in ends)


def _number(value: float, column: contents.Column, sign: str = "") -> str:
    # First the last bits, which differ between processors, then the rest; + 0.0 for no "-0".
    rounded = round(round(column.scale * value, contents.MOST_DIGITS), contents.DIGITS) + 0.0
    return f"{rounded:{sign}.{contents.DIGITS}f}".replace("-", "−")


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
    remarks = {"edge": row.edge, "one seed": row.chosen_by == 1}
    also = ", ".join(remark for remark, holds in remarks.items() if holds)
    return results.number(strength) + (f" ({also})" if also else "")


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
    return [HEADS.get(name, name) for name in each[0]], [list(row.values()) for row in each]


def body(evaluated: contents.TableResults) -> str:
    """Returns the tables of all groups, each under its heading."""
    parts = []
    for group, rows in evaluated.groups().items():
        heading = f"**{group}**\n\n" if group else ""
        parts.append(heading + markdown(*grid(evaluated, rows)))
    return "\n".join(parts)


def note(evaluated: contents.TableResults) -> str:
    """Returns the note of a table, a line a paragraph, its numbers filled in.

    "{label: head}" stands for a cell, "{group: label: head}" where the table has groups; without
    (n), and with what is behind ±: SD, the standard deviation over the seeds, or SE, the standard
    error of a difference. "{label less label}", likewise, stands for the difference of two rows.
    "{label: interval}" and "{label less label: interval}" stand for 95 % intervals of differences.

    Raises:
        UsageError: there is no such row or head.
    """
    column = evaluated.table.columns[0]

    def cell(match: re.Match[str]) -> str:
        text = match[1]
        if pair := _pair(evaluated, text):
            difference = contents.difference(*pair, column)
            if difference is None:
                return "-"
            if text.endswith(_INTERVAL):
                return interval(difference, column)
            return f"{plus_minus(difference, column, '+')} SE"
        title, _, head = text.rpartition(": ")
        by_head = cells(evaluated, _named(evaluated, _rows(evaluated), title))
        shown_text = str(_named(evaluated, by_head, head)).split(" (")[0]
        error = " SE" if head in HEADS else " SD"
        return shown_text + (error if "±" in shown_text else "")

    return _CELL.sub(cell, _paragraphs(evaluated))


def _paragraphs(evaluated: contents.TableResults) -> str:
    """Returns the note of a table as it is written, a line a paragraph."""
    paragraphs = re.split(r"\n\s*\n", evaluated.table.note)
    return "\n\n".join(" ".join(text.split()) for text in paragraphs)


def _rows(evaluated: contents.TableResults) -> dict[str, contents.RowResults]:
    return {row.row.title: row for row in evaluated.rows}


def _named(evaluated: contents.TableResults, choice: Mapping[str, Any], name: str) -> Any:
    """Returns what a note names, of some choice."""
    if name not in choice:
        meant = options.did_you_mean(choice, name)
        raise options.UsageError(f"the note of {evaluated.table.name} names no cell: {name}{meant}")
    return choice[name]


def _pair(
    evaluated: contents.TableResults, text: str
) -> tuple[contents.RowResults, contents.RowResults] | None:
    """Returns the rows of whose difference a note speaks, None where it names a cell."""
    first, less, second = text.removesuffix(_INTERVAL).partition(" less ")
    if not less and not text.endswith(_INTERVAL):
        return None
    row = _named(evaluated, _rows(evaluated), first)
    if less:
        return row, _named(evaluated, _rows(evaluated), second)
    reference = evaluated.reference(row)
    if reference is None:
        raise options.UsageError(
            f"the note of {evaluated.table.name}: {first} has no reference, so no interval"
        )
    return row, reference


def verdict(evaluated: contents.TableResults) -> str:
    """Returns the first sentence of a table's note, "" for none."""
    return _SENTENCE.split(note(evaluated))[0]


def differences(
    evaluated: contents.TableResults, with_note: bool = True
) -> list[contents.Difference]:
    """Returns the differences that a table's section shows, in cells and in the note.

    Each once, and without those that have no standard error.

    Args:
        evaluated: the table.
        with_note: whether the section has the note.
    """
    first, *others = evaluated.table.columns
    pairs = []
    for row in evaluated.rows:
        if reference := evaluated.reference(row):
            pairs.append((row, reference, first))
            if reference.command is None:
                pairs += [(row, reference, column) for column in others]
    texts = _CELL.findall(_paragraphs(evaluated)) if with_note else []
    named = (_pair(evaluated, text) for text in texts)
    pairs += [(*pair, first) for pair in named if pair]
    once = {(frozenset((id(a), id(b))), column.title): (a, b, column) for a, b, column in pairs}
    shown_ones = (contents.difference(*triple) for triple in once.values())
    return [each for each in shown_ones if each and each.std is not None]


def section(evaluated: contents.TableResults, compared: contents.TableResults | None = None) -> str:
    """Returns a table's section of the document: title, tables, note and figures.

    Args:
        evaluated: the table.
        compared: the same from the published runs, where this one is of others.
    """
    table = evaluated.table
    link = f"[Commands]({COMMANDS}#{anchor(table.title)})."
    parts = [f"## {table.title}\n", f"`{table.name}`. {table.shows} {link}\n", body(evaluated)]
    if compared is None and table.note:
        first = verdict(evaluated)
        parts.append(f"**{first}**{note(evaluated).removeprefix(first)}\n")
    for drawing in drawings(evaluated):
        parts.append(f"![{drawing.title}](figures/{table.name}-{drawing.name}.png)\n")
    if compared is not None:
        header, rows = comparison(compared, evaluated)
        parts += ["Published and own:\n", markdown(header, rows)]
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
    f"{shell.PYTHON} reproduce_tables.py --results-dir mine   # compute all, and compare\n"
    f"{shell.PYTHON} reproduce_tables.py fisher --results-dir mine   # one table\n",
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
        f"{shell.PYTHON} reproduce_tables.py {command}\n",
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
        _legend(done, page.docs, with_notes=published is None),
        "".join(_entry(table, with_notes=published is None) for table in done),
    ]
    if lacking:
        parts.append(f"Not complete yet: {', '.join(lacking)}.\n")
    for table in done:
        theirs = published[table.table.name] if published else None
        parts.append(section(table, theirs if theirs and theirs.complete else None))
    return "\n".join(parts)


def commands_document(
    evaluated: Mapping[str, contents.TableResults], page: Page = PUBLISHED
) -> str:
    """Returns the page with the commands of all complete tables; arguments as for `document`."""
    parts = [
        "# Commands\n",
        f"{page.made}\n",
        """\
Of every row the command that makes its runs, in `runs/`; before it, where λ is chosen, the one that
chooses it. `run` adds the flags that rows share: in the project's folder, paste its line first. A
flag that a row has again replaces that of `run`. Whole tables are made by `reproduce_tables.py`, as
[README.md](README.md) says.
""",
    ]
    for table in (table for table in evaluated.values() if table.complete):
        title = table.table.title
        parts.append(f"## {title}\n")
        parts.append(f"`{table.table.name}`: [the table](README.md#{anchor(title)}).\n")
        parts.append(f"```bash\n{shell.of_table(table)}```\n")
    return "\n".join(parts)


def _entry(evaluated: contents.TableResults, with_notes: bool) -> str:
    """Returns a line of the table of contents: the verdict, where the page has it, or the title."""
    table = evaluated.table
    text = _LINK.sub(r"\1", verdict(evaluated)) if with_notes else ""
    return f"* [{text or table.title}](#{anchor(table.title)}) (`{table.name}`)\n"


def _legend(tables: Sequence[contents.TableResults], docs: str, with_notes: bool) -> str:
    """Returns what the words and numbers of the tables mean."""
    in_table = [
        f"`{table.table.name}`"
        for table in tables
        if any(row.grid and set(row.seeds) & set(row.tuning_seeds) for row in table.rows)
    ]
    but = f" (but in {', '.join(in_table)})" if in_table else ""
    errors, points = contents.NOISE_ERRORS, contents.NOISE_POINTS
    p = [f"{noise.tail(errors, n - 1):.2f}" for n in (10, 5, 3)]
    shown_ones = [each for table in tables for each in differences(table, with_notes)]
    false = sum(noise.tail(errors, each.freedom) for each in shown_ones if each.std)
    count = f"{len(shown_ones)} differences. Were there none in truth, about {false:.1f}"
    return f"""\
* Cells: percent, mean ± sample standard deviation over the seeds (number of seeds), in notes SD.
  Bands and error bars in figures are that deviation, but in figures of differences the standard
  error. Diverged runs are counted, and have no part in the mean.
* λ: where a row's [commands]({COMMANDS}) say "choose λ", it was chosen by validation accuracy,
  unless they say otherwise, with the seeds named there, which are not in the table{but}.
  "One seed": that is how many have chosen it, so λ is less certain, and no standard error contains
  that; "edge": the best λ is the last of its grid.
* Total epochs: of all tasks and pruning rounds; an epoch of joint training counts once a task.
* Difference: of the first measure to the reference row, mean ± standard error (SE) over the seeds
  that finished in both (their number), paired by seed; "SE apart", to other people's results, not
  paired.
* Noise: up to {errors:g} standard errors of a difference (in a paired t test p = {p[0]} with ten
  seeds, {p[1]} with five, {p[2]} with three). Beside published values, up to {points:g} points are
  noise, too.
* This page shows {count} of them would still
  be beyond {errors:g} standard errors (by the t distribution; tables share runs, so they are not
  independent).
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
