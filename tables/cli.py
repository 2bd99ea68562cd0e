"""Makes published tables and figures from stored runs, and the runs that are missing.

`reproduce_tables.py` says which tables; this is its command line.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness import options, process, results, screen
from tables import commands, contents, jobs, pages


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
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [table.name for table in publication.all_tables]
    parser.add_argument(
        "tables", nargs="*", metavar="TABLE", help=f"of {', '.join(names)} [all of them]"
    )
    parser.add_argument(
        "--results-dir",
        type=options.folder,
        default=publication.folder,
        metavar="DIR",
        help="compute in this folder, and show its values beside the published ones [results]",
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
    if given.check and given.tables:
        parser.error("--check takes no TABLE: it looks at all that is generated")
    if given.jobs < 1:
        parser.error(f"--jobs {given.jobs} is not {options.COUNT['allowed']}")
    given.tables = [name for name in names if name in (given.tables or names)]
    given.results_dir = given.results_dir.resolve()
    return given


def run(publication: Publication, given: argparse.Namespace) -> int:
    """Does what the command line asks for, and returns the exit status.

    Args:
        publication: what is published.
        given: from `parse`.

    Raises:
        ResultError: a stored file cannot be used.
        UsageError: a folder cannot be written.
        OSError: a file cannot be written or read.
    """
    every = [table.name for table in publication.all_tables]
    folder = given.results_dir
    store = commands.Store(folder)
    display = screen.Display()
    if given.list:
        _shell_commands(
            contents.evaluate(publication.all_tables, given.tables, store), folder, display
        )
        return 0
    if given.csv:
        text = pages.csv_runs(
            contents.evaluate(publication.all_tables, given.tables, store).values()
        )
        given.csv.write_text(text, encoding="utf-8")
        display.say(f"{given.csv}: {len(text.splitlines()) - 1} runs")
        return 0
    published = None
    if folder != publication.folder.resolve():
        published = contents.evaluate(
            publication.all_tables, every, commands.Store(publication.folder)
        )
    failed = 0
    if not given.check:
        missing = contents.missing_runs(
            contents.evaluate(publication.all_tables, given.tables, store)
        )
        if missing:
            process.writable(folder, "--results-dir")
        page = folder / "README.md"
        if page.exists() and pages.MADE not in page.read_text(encoding="utf-8", errors="replace"):
            raise options.UsageError(f"{page} would be replaced: take another --results-dir")
        try:
            if missing:
                failed = jobs.make(publication.all_tables, given.tables, store, given.jobs)
        except jobs.CannotBegin:
            display.say("stopped: it trained nothing, and the next ones would likely fail as well")
            return 1
    filled = contents.evaluate(publication.all_tables, every, store)
    files = pages.texts(folder, filled, published)
    if published is None:
        more = publication.blocks(filled)
        files |= {path: pages.with_blocks(path, filled, more) for path in publication.documents}
    drawn = pages.figures(folder, filled)
    if given.check:
        wrong = pages.check(files, drawn, folder)
        display.say("\n".join(wrong) or "all that is generated is what the results give")
        return 1 if wrong else 0
    undrawn = pages.write(files, drawn)
    for line in pages.left_over(files, drawn, folder):
        display.say(f"{line}; delete it")
    _say_what_came_out({name: filled[name] for name in given.tables}, published, display)
    others = [name for name in every if not (name in given.tables or filled[name].complete)]
    if others and published is None:
        display.say(f"not complete either, and not shown: {', '.join(others)}")
    for line in undrawn:
        display.say(line)
    display.say(f"see {_from_here(folder / 'README.md')}")
    for number, what in ((failed, "commands"), (len(undrawn), "figures")):
        if number:
            display.say(f"{number} {what} failed; the same command tries them again")
    return 1 if failed or undrawn else 0


def _from_here(path: Path) -> Path:
    """Returns a path as one would type it: of a file in the working directory, from there."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _shell_commands(
    filled: Mapping[str, contents.TableResults], folder: Path, display: screen.Display
) -> None:
    """Prints a shell command for every missing run, and on standard error what follows later."""
    for part in contents.missing_runs(filled):
        for seed in part.seeds:
            display.say(dataclasses.replace(part, seeds=(seed,)).shell(folder))
    waiting = contents.waiting(filled)
    if waiting:
        rows = "1 row chooses" if len(waiting) == 1 else f"{len(waiting)} rows choose"
        later = len(contents.waiting_runs(filled))
        runs = "1 run" if later == 1 else f"{later} runs"
        print(
            f"{rows} λ from these runs; then --list again, for {runs} or, where a grid is "
            "widened, more",
            file=sys.stderr,
        )


def _say_what_came_out(
    filled: Mapping[str, contents.TableResults],
    published: Mapping[str, contents.TableResults] | None,
    display: screen.Display,
) -> None:
    """Prints the comparison with the published tables, and whether results are of other sources."""
    others = {
        result["file"]
        for one in filled.values()
        for _, _, result in contents.all_runs(one)
        if result["versions"].get("code")
        != results.code_digest(options.ROOT / f"{result['script']}.py")
    }
    if others:
        display.say(
            f"{len(others)} stored results of other sources of their script; they stay valid"
        )
    for name, one in filled.items():
        if not one.complete:
            display.say(f"{name}: not complete")
        elif published and not published[name].complete:
            display.say(f"{name}: not published yet, so there is nothing to compare with")
        elif published:
            header, rows = pages.comparison(published[name], one)
            display.table(f"{name}, in percent where it is an accuracy", header, rows)
            apart = sum(row[-1] == "yes" for row in rows)
            display.say(f"{name}: {apart} of {len(rows)} values differ by more than the noise")


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
