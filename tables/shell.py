"""The shell commands of the rows of a table."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import shlex
from collections.abc import Mapping, Sequence

from tables import commands, contents

PYTHON = ".venv/bin/python"  # as the README has it


def of_table(evaluated: contents.TableResults) -> str:
    """Returns the commands of all rows, each with a comment.

    Rows of a group share a shell function with the flags that all of them have.
    """
    lines: list[str] = []
    defined: Mapping[str, tuple[str, ...]] = {}
    rows = [row for row in evaluated.rows if row.command]
    for _, group in itertools.groupby(rows, key=lambda row: row.row.group):
        of_group = list(group)
        common = _common([row.command.flags for row in of_group if row.command])
        if common and common != defined:
            flags = shlex.join(commands.arguments_of(common))
            lines.append(f'run() {{ script=$1; shift; {PYTHON} "$script" {flags} "$@"; }}')
            defined = common
        for row in of_group:
            lines += _of_row(row, common)
    return "\n".join(lines) + "\n"


def _of_row(row: contents.RowResults, common: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Returns a comment and the commands of a row."""
    assert row.command
    title, lines = row.row.title, []
    if row.grid:
        how = " by test accuracy" if row.row.by_test else ""
        lines.append(f"# {title}: choose λ{how}")
        lines.append(_line(row.command, common, row.grid, row.tuning_seeds))
    elif row.row.strength_of:
        lines.append(f"# {title}: λ as in the table {row.row.strength_of[0]}")
    else:
        lines.append(f"# {title}")
    if row.strengths and not (row.grid and row.seeds == row.tuning_seeds):
        lines.append(_line(row.command, common, row.strengths, row.seeds))
    return lines


def _common(rows: Sequence[Mapping[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Returns the flags that all rows have, each with its most frequent value."""
    return {
        flag: collections.Counter(flags[flag] for flags in rows).most_common(1)[0][0]
        for flag in rows[0]
        if all(flag in flags for flags in rows)
    }


def _line(
    command: commands.Command,
    common: Mapping[str, tuple[str, ...]],
    strengths: Sequence[float | None],
    seeds: Sequence[int],
) -> str:
    flags = {flag: v for flag, v in command.flags.items() if common.get(flag) != v}
    arguments = dataclasses.replace(command, flags=flags).arguments(strengths, seeds)
    return shlex.join([*(["run"] if common else [PYTHON]), f"{command.script}.py", *arguments])
