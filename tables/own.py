"""A table of one's own: read from a Python file that defines it as the published ones are."""

from __future__ import annotations

import sys
import traceback
import types
from collections.abc import Sequence
from pathlib import Path

from harness import options, process
from tables import contents


def load(file: Path, published: Sequence[contents.Table]) -> contents.Table:
    """Returns the TABLE of a file.

    Args:
        file: Python.
        published: tables whose names are taken.

    Raises:
        UsageError: the file cannot be read or run, or defines no such table.
    """
    module = types.ModuleType(f"own_{file.stem}")  # not the name of another module
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # where dataclasses look for it
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # it may do anything
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(file)
        ]
        place = f", line {lines[-1]}" if lines else ""
        raise options.UsageError(f"--table {file}{place}: {_reason(error)}") from error
    table = getattr(module, "TABLE", None)
    if not isinstance(table, contents.Table) or not table.rows:
        raise options.UsageError(f"--table {file}: TABLE has to be a `contents.Table` with rows")
    if table.name in [other.name for other in published]:
        raise options.UsageError(f"--table {file}: there is a published table {table.name}")
    return table


def _reason(error: BaseException) -> str:
    if isinstance(error, options.UsageError):
        return str(error)
    return process.reason(error) if isinstance(error, Exception) else "it ended the process"
