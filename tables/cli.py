"""Makes published tables and figures from stored runs, and the runs that are missing.

`reproduce_tables.py` says which tables; this is its command line.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness import options, process, report, results, screen
from tables import commands, contents, csv_files, generated, jobs, own, pages


@dataclasses.dataclass(frozen=True)
class Publication:
    """What is published.

    Attributes:
        all_tables: in the order of the page.
        folder: of the published results.
        documents: other pages with generated blocks.
        blocks: returns, from all tables by name, the texts of further blocks by name, None for one
            that stays as it is.
    """

    all_tables: Sequence[contents.Table]
    folder: Path
    documents: Sequence[Path]
    blocks: Callable[[Mapping[str, contents.TableResults]], Mapping[str, str | None]]


def parse(
    publication: Publication, description: str | None, arguments: Sequence[str] | None = None
) -> argparse.Namespace:
    """Reads the command line; ends the process on a bad one.

    Args:
        publication: whose tables can be named.
        description: for --help.
        arguments: None for those of the process.
    """
    parser = options.Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    names = [table.name for table in publication.all_tables]
    parser.add_argument(
        "tables", nargs="*", metavar="TABLE", help=f"of {', '.join(names)} [all of them]"
    )
    parser.add_argument(
        "--table",
        type=options.folder,
        metavar="FILE.py",
        help="instead a table of your own, the TABLE of this file; of runs that are published, "
        "none is computed again",
    )
    parser.add_argument(
        "--results-dir",
        type=options.folder,
        metavar="DIR",
        help="compute in this folder, and show its values beside the published ones "
        "[results; of --table FILE.py runs/FILE]",
    )
    parser.add_argument(
        "--jobs",
        type=options.number(int, options.COUNT["allowed"]),
        default=process.cores(),
        metavar="N",
        help="commands at once, of one thread each [one a core]",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--list",
        action="store_true",
        help="compute nothing, print a shell command for every missing run",
    )
    what.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="compute nothing, write a line for every stored run of every row, complete or not",
    )
    what.add_argument(
        "--check",
        action="store_true",
        help="compute nothing, fail where a generated file is not what all results give",
    )
    given = parser.read(arguments)
    for name in given.tables:
        if name not in names:
            parser.error(
                f"there is no table {name}; there are {', '.join(names)}"
                + options.did_you_mean(names, name)
            )
    if given.check and (given.tables or given.table):
        parser.error("--check takes no table: it looks at all that is published")
    if given.table and given.tables:
        parser.error(f"--table makes the table of {given.table} alone, not {given.tables[0]}")
    if given.jobs < 1:
        parser.error(f"--jobs {given.jobs} is not {options.COUNT['allowed']}")
    given.all_tables = not (given.tables or given.table)
    given.tables = [name for name in names if name in (given.tables or names)]
    usual = options.ROOT / "runs" / given.table.stem if given.table else publication.folder
    given.results_dir = (given.results_dir or usual).resolve()
    if given.table and given.results_dir == publication.folder.resolve():
        parser.error(f"--results-dir {given.results_dir} is of what is published; take another")
    return given


def run(publication: Publication, given: argparse.Namespace) -> int:
    """Does what the command line asks for, and returns the exit status.

    Args:
        publication: what is published.
        given: from `parse`.

    Raises:
        ResultError: a stored file cannot be used.
        UsageError: a folder cannot be written, or a file defines no table.
        OSError: a file cannot be written or read.
    """
    folder = given.results_dir
    all_tables, names = [*publication.all_tables], given.tables
    store, page = commands.Store(folder), pages.PUBLISHED
    if given.table:
        table = own.load(given.table, all_tables)
        all_tables, names = [table, *all_tables], [table.name]
        store = commands.Store(folder, publication.folder)
        page = pages.page_of_file(given.table, folder)
    display = screen.Display()
    evaluated = contents.evaluate(all_tables, names, store)
    if given.list:
        _print_commands(evaluated, folder, display)
        return 0
    if given.csv:
        text = csv_files.of_runs(evaluated.values())
        given.csv.write_text(text, encoding="utf-8")
        display.say(f"{given.csv}: {len(text.splitlines()) - 1} runs")
        return 0
    _require_matplotlib()
    failed = 0
    if not given.check:
        for name, reason in _without_data(evaluated).items():
            if not given.all_tables:
                raise options.UsageError(reason)
            display.say(f"left out: {reason}")
            names.remove(name)
            del evaluated[name]
        _refuse_before_computing(evaluated, folder, page)
        try:
            if contents.missing_runs(evaluated):
                failed = jobs.make(all_tables, names, store, given.jobs)
        except jobs.CannotBegin:
            display.say("stopped: it trained nothing, and the next ones would likely fail as well")
            return 1
    on_page = names if given.table else [table.name for table in all_tables]
    evaluated = contents.evaluate(all_tables, on_page, store)
    published = None
    if not given.table and folder != publication.folder.resolve():
        published = contents.evaluate(all_tables, on_page, commands.Store(publication.folder))
    files = generated.texts(folder, evaluated, published, page)
    if folder == publication.folder.resolve():
        more = publication.blocks(evaluated)
        for path in publication.documents:
            files[path] = generated.with_blocks(path, evaluated, more)
    drawn = generated.figures(folder, evaluated)
    if given.check:
        wrong = generated.check(files, drawn, folder)
        display.say("\n".join(wrong) or "all that is generated is what the results give")
        return 1 if wrong else 0
    undrawn = generated.write(files, drawn)
    for line in generated.left_over(files, drawn, folder):
        display.say(f"{line}; delete it")
    _print_tables({name: evaluated[name] for name in names}, published, bool(given.table), display)
    others = [name for name in on_page if not (name in names or evaluated[name].complete)]
    if others and published is None:
        display.say(f"not complete either, and not shown: {', '.join(others)}")
    for line in undrawn:
        display.say(line)
    display.say(f"see {_from_here(folder / 'README.md')}")
    for number, what in ((failed, "commands"), (len(undrawn), "figures")):
        if number:
            display.say(f"{number} {what} failed; the same command tries them again")
    return 1 if failed or undrawn else 0


def _require_matplotlib() -> None:
    """Refuses to begin what could not be drawn in the end."""
    try:
        importlib.import_module("matplotlib.figure")
    except Exception as error:
        reason = process.reason(error)
        raise options.UsageError(f"Matplotlib cannot be imported: {reason}") from error


def _without_data(evaluated: Mapping[str, contents.TableResults]) -> dict[str, str]:
    """Returns of each table that lacks the data of a missing run, the first such row and data."""
    lacking: dict[str, str] = {}
    for missing in contents.missing_runs(evaluated):
        if missing.table not in lacking and not missing.command.has_data():
            lacking[missing.table] = (
                f"table {missing.table}, row {missing.title!r}: "
                f"{missing.command.settings.data_dir} does not have its data, see data/README.md"
            )
    return lacking


def _refuse_before_computing(
    evaluated: Mapping[str, contents.TableResults], folder: Path, page: pages.Page
) -> None:
    """Refuses what could not be written in the end."""
    for table in evaluated.values():
        pages.note(table)
    if contents.missing_runs(evaluated):
        process.writable(folder, "--results-dir")
    for path in (folder / "README.md", folder / pages.COMMANDS):
        if path.exists() and page.made not in path.read_text(encoding="utf-8", errors="replace"):
            raise options.UsageError(f"{path} would be replaced: take another --results-dir")


def _from_here(path: Path) -> Path:
    """Returns a path as one would type it: of a file in the working directory, from there."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _print_commands(
    evaluated: Mapping[str, contents.TableResults], folder: Path, display: screen.Display
) -> None:
    """Prints a shell command for every missing run, and on standard error what follows later."""
    for missing in contents.missing_runs(evaluated):
        for seed in missing.seeds:
            display.say(dataclasses.replace(missing, seeds=(seed,)).shell(folder))
    waiting = contents.waiting(evaluated)
    if waiting:
        rows = "1 row chooses" if len(waiting) == 1 else f"{len(waiting)} rows choose"
        later = len(contents.waiting_runs(evaluated))
        runs = "1 run" if later == 1 else f"{later} runs"
        print(f"{rows} λ from these runs; then --list again, for {runs} more", file=sys.stderr)


def _print_tables(
    evaluated: Mapping[str, contents.TableResults],
    published: Mapping[str, contents.TableResults] | None,
    own: bool,
    display: screen.Display,
) -> None:
    """Prints one's own tables, or what they are beside the published ones.

    Also whether results are of other sources.
    """
    others = {
        result["file"]
        for table in evaluated.values()
        for _, _, result in contents.all_runs(table)
        if result["versions"].get("code")
        != results.code_digest(options.ROOT / f"{result['script']}.py")
    }
    if others:
        display.say(
            f"{len(others)} stored results of other sources of their script; they stay valid"
        )
    for name, table in evaluated.items():
        if not table.complete:
            display.say(f"{name}: not complete")
        elif own:
            for group, rows in table.groups().items():
                header, lines = pages.grid(table, rows)
                title = f"{group or name}, in percent where it is an accuracy"
                display.table(title, header, lines)
            for row in table.rows:
                best = row.strengths[0] if row.grid and row.edge else None
                if best is not None:
                    display.say(f"{row.row.title}: {report.advice(best, row.grid)}")
        elif published and not published[name].complete:
            display.say(f"{name}: not published yet, so there is nothing to compare with")
        elif published:
            header, lines = pages.comparison(published[name], table)
            display.table(f"{name}, in percent where it is an accuracy", header, lines)
            apart = sum(line[-1] == "yes" for line in lines)
            display.say(f"{name}: {apart} of {len(lines)} values differ by more than the noise")


def main(publication: Publication, name: str, description: str | None) -> None:
    """Runs the command line and ends the process with its exit status.

    0: done; 1: a command or a figure failed, or --check found a difference; 2: bad input;
    130: interrupted.

    Args:
        publication: what is published.
        name: of the script.
        description: its docstring.
    """
    process.usable_streams()
    process.own_figure_settings()
    given = parse(publication, description)
    with process.errors_in_one_line(name, given.results_dir, "the same command goes on"):
        sys.exit(run(publication, given))
