"""What is published of filled tables: Markdown, CSV files, figures, blocks of other documents.

All of it is a function of the stored runs. `write` brings a folder up to date, `check` says what is
not. A figure counts as the same where the data that it draws are, by a digest in the PNG.
"""

from __future__ import annotations

import csv
import io
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import options, results, style
from tables import commands, contents

PYTHON = ".venv/bin/python"  # as the README has it
MADE = "Made by `reproduce_tables.py` from the files in this folder; do not edit."
_BLOCK = re.compile(
    r"(<!-- generated: ([^\n]+) -->\n)(?:(?!<!-- generated:).)*?(<!-- end -->)", re.DOTALL
)
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


def cells(filled: contents.TableResults, row: contents.RowResults) -> dict[str, str]:
    """Returns the cells of a row, by the heads of the columns."""
    table, reference = filled.table, filled.reference(row)
    by_head = {"": row.row.label}
    if _chooses(filled):
        by_head["λ"] = _strength(row)
    if table.epochs:
        by_head["total epochs"] = "-" if row.epochs is None else f"{row.epochs:g}"
    for column in table.columns:
        text = shown(row.estimate(column), column, row.diverged(column))
        if reference is not None and reference.command is None:
            text += _apart(row.estimate(column), reference.estimate(column), column)
        by_head[column.title] = text
    if any((other := filled.reference(one)) and other.command for one in filled.rows):
        by_head["difference"] = _difference(filled, row)
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


def _chooses(filled: contents.TableResults) -> bool:
    """Whether rows have one λ each."""
    return any(len(row.strengths) == 1 and row.strengths != (None,) for row in filled.rows)


def _strength(row: contents.RowResults) -> str:
    if row.grid and not row.strengths:
        return "every one diverged"
    if len(row.strengths) != 1 or (strength := row.strengths[0]) is None:
        return "-"
    return results.number(strength) + (" (edge)" if row.edge else "")


def _difference(filled: contents.TableResults, row: contents.RowResults) -> str:
    reference, column = filled.reference(row), filled.table.columns[0]
    if any(filled.reference(one) is row for one in filled.rows):
        return "reference"
    found = contents.difference(row, reference, column) if reference else None
    return f"{plus_minus(found, column, '+')} ({found.n})" if found else "-"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """Returns a table; all columns but the first `texts` are numbers."""
    lines = [header, ["---"] * texts + ["--:"] * (len(header) - texts), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def body(filled: contents.TableResults) -> str:
    """Returns the tables of all groups, each under its heading."""
    parts = []
    for group, rows in filled.groups().items():
        each = [cells(filled, row) for row in rows]
        heading = f"**{group}**\n\n" if group else ""
        parts.append(heading + markdown(list(each[0]), [list(row.values()) for row in each]))
    return "\n".join(parts)


def shell_commands(filled: contents.TableResults) -> str:
    """Returns the shell commands of all rows, each with a comment."""
    lines = []
    for row in filled.rows:
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


def note(filled: contents.TableResults) -> str:
    """Returns the note of a table, a line a paragraph, its numbers filled in.

    "{label: head}" stands for a cell, "{group: label: head}" where the table has groups; of a
    measure or a difference without (n). "{label less label}", likewise, stands for the difference
    of two rows.

    Raises:
        UsageError: there is no such row or head.
    """
    by_place = {row.row.title: row for row in filled.rows}

    def one_of(known: Mapping[str, Any], name: str) -> Any:
        if name not in known:
            meant = options.did_you_mean(known, name)
            raise options.UsageError(
                f"the note of {filled.table.name} names no cell: {name}{meant}"
            )
        return known[name]

    def cell(found: re.Match[str]) -> str:
        first, less, second = found[1].partition(" less ")
        if less:
            column = filled.table.columns[0]
            pair = one_of(by_place, first), one_of(by_place, second)
            difference = contents.difference(*pair, column)
            return plus_minus(difference, column, "+") if difference else "-"
        place, _, head = found[1].rpartition(": ")
        by_head = cells(filled, one_of(by_place, place))
        return str(one_of(by_head, head)).split(" (")[0]

    paragraphs = re.split(r"\n\s*\n", filled.table.note)
    return _CELL.sub(cell, "\n\n".join(" ".join(part.split()) for part in paragraphs))


def section(filled: contents.TableResults, compared: contents.TableResults | None = None) -> str:
    """Returns a table's section of the document: title, tables, figures, note, commands.

    Args:
        filled: the table.
        compared: the same from the published runs, where this one is of others.
    """
    table = filled.table
    parts = [f"## {table.title}\n", f"`{table.name}`. {table.shows}\n", body(filled)]
    if compared is None and table.note:
        parts.append(note(filled) + "\n")
    for drawing in drawings(filled):
        parts.append(f"![{drawing.title}](figures/{table.name}-{drawing.name}.png)\n")
    if compared is not None:
        header, rows = comparison(compared, filled)
        parts += ["Published and own:\n", markdown(header, rows)]
    parts.append(
        f"<details><summary>Commands</summary>\n\n```bash\n{shell_commands(filled)}```\n\n</details>\n"
    )
    return "\n".join(parts)


def drawings(filled: contents.TableResults) -> list[style.Drawing]:
    """Returns the figures of a table."""
    return [one for function in filled.table.drawings for one in function(filled)]


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
            strengths = [_strength(one) for one in (theirs, ours)]
            texts = [shown(estimate, column, n) for estimate, n in zip(pair, lost, strict=True)]
            verdict = {True: "yes", False: "no", None: "-"}[differ]
            rows.append([ours.row.title, *strengths, column.title, *texts, verdict])
    return header, rows


def csv_table(filled: contents.TableResults) -> str:
    """Returns a table as CSV: a line a row, mean, std, n and diverged of every column."""
    table = filled.table
    lines = []
    for row in filled.rows:
        line: dict[str, Any] = {"group": row.row.group, "row": row.row.label}
        line["script"] = row.command.script if row.command else ""
        line["lambda"] = " ".join(results.number(one) for one in row.strengths if one is not None)
        line["edge"] = int(row.edge)
        line["grid"] = " ".join(map(results.number, row.grid))
        line["epochs"] = "" if row.epochs is None else f"{row.epochs:g}"
        for column in table.columns:
            line |= _numbers(column.title, row.estimate(column))
            line[f"{column.title} diverged"] = row.diverged(column)
        reference = filled.reference(row)
        line["reference"] = reference.row.label if reference else ""
        difference = contents.difference(row, reference, table.columns[0]) if reference else None
        line |= _numbers("difference", difference, "standard error")
        lines.append(line)
    return _csv(lines, list(lines[0]))


def _numbers(title: str, found: contents.Estimate | None, spread: str = "std") -> dict[str, Any]:
    """Returns an estimate as it stands in files: not in percent."""

    def text(value: float | None) -> str:
        return "" if value is None else f"{value:.{contents.MOST_DIGITS}g}"

    heads = (title, f"{title} {spread}", f"{title} n")
    cells = (text(found.mean), text(found.std), found.n) if found else ("", "", "")
    return dict(zip(heads, cells, strict=True))


def csv_runs(filled: Iterable[contents.TableResults]) -> str:
    """Returns all runs as CSV, a line each; those that choose a λ have `use` "tuning".

    Every setting that changes numbers has a column, and so has every metric. A cell is empty where
    a run has none, and a column is left out where no run has any.
    """
    lines: list[dict[str, Any]] = []
    settings: dict[str, None] = {}
    for one in filled:
        for row, use, result in contents.all_runs(one):
            assert row.command
            given = row.command.settings
            # Some scripts have the first two for good, so that they are none of their settings.
            own = {name: getattr(given, name) for name in ("tasks", "head", *given.identity())}
            settings |= dict.fromkeys(own)
            finished = result["status"] == "finished"
            lines.append(
                {
                    "table": one.table.name,
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


_LEGEND = f"""\
* Cells: percent, mean ± sample standard deviation over the seeds (number of seeds). Bands and error
  bars in figures are that deviation, but in figures of differences the standard error. Diverged
  runs are counted, and have no part in the mean.
* λ: where a row's commands say "choose λ", it was chosen by validation accuracy, with the seeds
  named there, which are not in the table (but for D12 in `defects`). Where it is one seed, λ is
  less certain, and no standard error contains that; "edge": the best λ is still the last of its
  grid.
* Total epochs: of all tasks and pruning rounds; an epoch of joint training counts once a task.
* Difference: of the first measure to the reference row, mean ± standard error over the seeds that
  finished in both, paired by seed; "SE apart", to other people's results, not paired.
* Noise: up to {contents.NOISE_ERRORS:g} standard errors of a difference (in a paired t test p = 0.03
  with ten seeds, 0.07 with five, 0.13 with three; every difference for itself, without correction
  for their number). Beside published values, up to {contents.NOISE_POINTS:g} points are noise, too.
* [What the measures mean](../docs/method.md#metrics). The same as CSV files: [tables/](tables).
"""  # noqa: E501
_METRICS = ("ACC", "F", "BWT", "F_max", "LA", "min_ACC", "WC_ACC")


def _csv(lines: Sequence[Mapping[str, Any]], heads: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def document(
    filled: Mapping[str, contents.TableResults],
    published: Mapping[str, contents.TableResults] | None = None,
) -> str:
    """Returns the page with all complete tables.

    Args:
        filled: all tables, by name.
        published: the same from the published runs, where these are one's own; else None.
    """
    done = [one for one in filled.values() if one.complete]
    open_ = [name for name, one in filled.items() if not one.complete]
    parts = [
        "# Results\n",
        f"{MADE}\n",
        f"```bash\n{PYTHON} reproduce_tables.py --results-dir mine   # compute all, and compare\n"
        f"{PYTHON} reproduce_tables.py fisher --results-dir mine   # one table\n```\n",
        _made(done),
        _LEGEND,
        "".join(
            f"* `{one.table.name}`: [{one.table.title}](#{anchor(one.table.title)})\n"
            for one in done
        ),
    ]
    if open_:
        parts.append(f"Not complete yet: {', '.join(open_)}.\n")
    for one in done:
        theirs = published[one.table.name] if published else None
        parts.append(section(one, theirs if theirs and theirs.complete else None))
    return "\n".join(parts)


def anchor(title: str) -> str:
    """Returns the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _made(done: Iterable[contents.TableResults]) -> str:
    """Returns the sentences on what was run, when and where."""
    runs = {id(result): result for one in done for _, _, result in contents.all_runs(one)}.values()
    if not runs:
        return "No table is complete.\n"
    versions: dict[str, set[str]] = {}
    for result in runs:
        for part in (*result.get("versions_before", ()), result["versions"]):
            for name, version in part.items():
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


def texts(
    folder: Path,
    filled: Mapping[str, contents.TableResults],
    published: Mapping[str, contents.TableResults] | None = None,
) -> dict[Path, str]:
    """Returns the generated text files of a folder of results.

    Args:
        folder: of the results.
        filled: all tables, by name.
        published: as for `document`.
    """
    files = {folder / "README.md": document(filled, published)}
    for name, one in filled.items():
        if one.complete:
            files[folder / "tables" / f"{name}.csv"] = csv_table(one)
    return files


def figures(folder: Path, filled: Mapping[str, contents.TableResults]) -> dict[Path, style.Drawing]:
    """Returns the figures of a folder of results."""
    return {
        folder / "figures" / f"{name}-{drawing.name}.png": drawing
        for name, one in filled.items()
        if one.complete
        for drawing in drawings(one)
    }


def with_blocks(
    path: Path,
    filled: Mapping[str, contents.TableResults],
    more: Mapping[str, str | None] | None = None,
) -> str:
    """Returns a document with its generated blocks as they should be.

    A block stands between `<!-- generated: NAME -->` and `<!-- end -->`, and holds the body of the
    table of that name, once it is complete.

    Args:
        path: of the document.
        filled: all tables, by name.
        more: further texts, by name; None for a block that stays as it is.

    Raises:
        ResultError: there is no such table or text, or a block has no end.
    """
    bodies = {name: body(one) if one.complete else None for name, one in filled.items()}
    blocks = {**(more or {}), **bodies}

    def block(found: re.Match[str]) -> str:
        name = found[2]
        if name not in blocks:
            meant = options.did_you_mean(blocks, name)
            raise results.ResultError(f"{path}: there is no table {name} for its block{meant}")
        text = blocks[name]
        return found[0] if text is None else f"{found[1]}{text}{found[3]}"

    page = path.read_bytes().decode()
    if len(_BLOCK.findall(page)) != page.count("<!-- generated:"):
        raise results.ResultError(f"{path}: a generated block has no end, or is not marked as such")
    return _BLOCK.sub(block, page)


def write(files: Mapping[Path, str], drawn: Mapping[Path, style.Drawing]) -> list[str]:
    """Brings generated files up to date.

    Args:
        files: texts by path.
        drawn: figures by path.

    Returns:
        A line for every figure that could not be drawn.

    Raises:
        OSError: a text cannot be written.
    """
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != text.encode():
            with results.replacing(path) as file:
                file.write(text.encode())
    old = [path for path, drawing in drawn.items() if not (path.exists() and drawing.is_in(path))]
    return [line for path in old if (line := drawn[path].write(path))]


def check(
    files: Mapping[Path, str], drawn: Mapping[Path, style.Drawing], folder: Path
) -> list[str]:
    """Returns a line for every generated file that is not what it should be.

    Args:
        files: texts by path.
        drawn: figures by path.
        folder: of the results.
    """
    wrong = []
    for path, text in files.items():
        if not path.exists():
            wrong.append(f"{path} is missing")
        elif path.read_bytes() != text.encode():
            wrong.append(f"{path} is not what the results give")
    for path, drawing in drawn.items():
        if not path.exists():
            wrong.append(f"{path} is missing")
        elif not drawing.is_in(path):
            wrong.append(f"{path} does not show what the results give")
    return wrong + left_over(files, drawn, folder)


def left_over(
    files: Mapping[Path, str], drawn: Mapping[Path, style.Drawing], folder: Path
) -> list[str]:
    """Returns a line for every file beside the generated ones; arguments as for `check`."""
    found = (*folder.glob("tables/*.csv"), *folder.glob("figures/*.png"))
    return [f"{path} is of no complete table" for path in found if path not in {*files, *drawn}]
