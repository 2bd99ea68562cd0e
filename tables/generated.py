"""The files that are generated: what they hold, and whether they hold it.

All of it is a function of the stored runs. `write` brings a folder up to date, `check` says what is
not. A figure counts as the same where its data and the code that draws it are, by a digest in the
PNG.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from harness import options, results, style
from tables import contents, csv_files, pages

_BLOCK = re.compile(
    r"(<!-- generated: ([^\n]+) -->\n)(?:(?!<!-- generated:).)*?(<!-- end -->)", re.DOTALL
)


def texts(
    folder: Path,
    evaluated: Mapping[str, contents.TableResults],
    published: Mapping[str, contents.TableResults] | None = None,
    page: pages.Page = pages.PUBLISHED,
) -> dict[Path, str]:
    """Returns the generated text files of a folder of results.

    Args:
        folder: of the results.
        evaluated: all tables, by name.
        published: as for `pages.document`.
        page: likewise.
    """
    files = {
        folder / "README.md": pages.document(evaluated, published, page),
        folder / pages.COMMANDS: pages.commands_document(evaluated, page),
    }
    for name, table in evaluated.items():
        if table.complete:
            files[folder / "tables" / f"{name}.csv"] = csv_files.of_table(table)
    return files


def figures(
    folder: Path, evaluated: Mapping[str, contents.TableResults]
) -> dict[Path, style.Drawing]:
    """Returns the figures of a folder of results."""
    return {
        folder / "figures" / f"{name}-{drawing.name}.png": drawing
        for name, table in evaluated.items()
        if table.complete
        for drawing in pages.drawings(table)
    }


def with_blocks(
    path: Path,
    evaluated: Mapping[str, contents.TableResults],
    more: Mapping[str, str | None] | None = None,
) -> str:
    """Returns a document with its generated blocks as they should be.

    A block stands between `<!-- generated: NAME -->` and `<!-- end -->`, and holds the body of the
    table of that name, once it is complete.

    Args:
        path: of the document.
        evaluated: all tables, by name.
        more: further texts, by name; None for a block that stays as it is.

    Raises:
        ResultError: there is no such table or text, or a block has no end.
    """
    bodies = {
        name: pages.body(table) if table.complete else None for name, table in evaluated.items()
    }
    blocks = {**(more or {}), **bodies}

    def block(match: re.Match[str]) -> str:
        name = match[2]
        if name not in blocks:
            meant = options.did_you_mean(blocks, name)
            raise results.ResultError(f"{path}: there is no table {name} for its block{meant}")
        text = blocks[name]
        return match[0] if text is None else f"{match[1]}{text}{match[3]}"

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
    paths = (*folder.glob("tables/*.csv"), *folder.glob("figures/*.png"))
    return [f"{path} is of no complete table" for path in paths if path not in {*files, *drawn}]
