"""What README.md and docs/ say is so: links, commands, flags, defects, results."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import reproduce_tables
from common import released
from harness import options, run_files
from tables import cli, contents, pages
from tables import commands as table_commands
from tables.rows import release

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
COMMANDS = ROOT / "results" / "commands.md"
PAGES = [*GUIDES, ROOT / "data" / "README.md", ROOT / "results" / "README.md", COMMANDS]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def fenced(text: str, language: str) -> list[str]:
    """Returns the blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """Returns a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Returns the anchors of the headings of a page."""
    return set(map(pages.anchor, re.findall(r"^#+ (.+)$", prose(text_of(path)), re.MULTILINE)))


@each_page
def test_links(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text_of(page))):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page} links to {target}"
        assert not anchor or anchor in anchors(path), f"{page} links to {target}"


def commands(text: str) -> Iterator[list[str]]:
    """Yields the words of every Python command: of shell blocks, and of code within lines."""
    lines = [line for block in fenced(text, "bash") for line in block.splitlines()]
    lines += re.findall(r"`(\w+\.py [^`\n]+)`", prose(text))
    for line in lines:
        for command in re.split(r"&&|>", line.split("   #")[0]):
            words = shlex.split(command)
            if words and words[0].endswith("bin/python"):
                yield words[1:]
            elif words and words[0].endswith(".py"):
                yield words


@each_page
def test_commands(page: Path) -> None:
    lines = list(commands(text_of(page)))
    assert lines or page not in (ROOT / "README.md", ROOT / "docs" / "running.md")
    for words in lines:
        if words[0] == "-m":
            assert importlib.util.find_spec(words[1])
        elif words[0] == "reproduce_tables.py":
            cli.parse(reproduce_tables.publication(), "", words[1:])
        elif words[0].startswith("benchmark/"):
            assert (ROOT / words[0]).exists()
        else:
            options.parse(importlib.import_module(words[0][:-3]).Settings, "", words[1:])


def test_commands_of_rows_make_their_runs(tmp_path: Path) -> None:
    stub = tmp_path / ".venv" / "bin" / "python"
    stub.parent.mkdir(parents=True)
    stub.write_text('#!/bin/sh\necho "$@"\n')
    stub.chmod(0o755)
    tables = reproduce_tables.TABLES
    names = [table.name for table in tables]
    evaluated = contents.evaluate(tables, names, table_commands.Store(reproduce_tables.RESULTS))
    of_rows = [row.command for table in evaluated.values() for row in table.rows if row.command]
    checksums = {command.settings.data_dir: command.checksum for command in of_rows}
    made = set()
    for block in fenced(text_of(COMMANDS), "bash"):
        done = subprocess.run(["sh", "-eu"], input=block, text=True, cwd=tmp_path, stdout=-1)
        assert done.returncode == 0
        for line in done.stdout.splitlines():
            script, *arguments = shlex.split(line)
            cls = importlib.import_module(script.removesuffix(".py")).Settings
            settings = options.parse(cls, "", arguments)
            for seed in settings.seeds:
                for strength in getattr(settings, "strength", (None,)):
                    run = script[:-3], tmp_path, settings, strength, seed
                    files = run_files.files_of(*run, checksums[settings.data_dir])
                    made.add((script[:-3], files.path.name))
    shown = [run for table in evaluated.values() for _, _, run in contents.all_runs(table)]
    assert made == {(run["script"], Path(run["file"]).name) for run in shown}


def test_versions_of_python() -> None:
    def said(pattern: str, path: str) -> str:
        match = re.search(pattern, text_of(ROOT / path))
        assert match, path
        return match[1]

    oldest = said(r"`python3` of version 3\.(\d+) to 3\.\d+", "README.md")
    newest = said(r"`python3` of version 3\.\d+ to 3\.(\d+)", "README.md")
    versions = [f"3.{number}" for number in range(int(oldest), int(newest) + 1)]
    assert (3, int(oldest)) == harness.OLDEST_PYTHON
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert project["requires-python"] == f">=3.{oldest}"
    assert said(r'pythons="(.+)"', ".ci/run").split() == versions
    assert json.loads(said(r"python: (\[.+\])", ".github/workflows/tests.yml")) == versions


def test_constraints_are_the_versions_of_the_published_results() -> None:
    exact = dict(re.findall(r"^([\w-]+)==(\S+)$", text_of(ROOT / "constraints.txt"), re.MULTILINE))
    needed = re.findall(r"^[\w-]+", text_of(ROOT / "requirements.txt"), re.MULTILINE)
    assert sorted(needed) == sorted(harness.PACKAGES)
    assert set(needed) <= set(exact)
    used = f"TensorFlow {exact['tensorflow']}, NumPy {exact['numpy']}, Python 3.11.7,"
    assert used in text_of(ROOT / "results" / "README.md")
    assert "Python 3.11.7 " in text_of(ROOT / "constraints.txt")


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<!\w)--[a-z][a-z-]+", text))


def test_flags() -> None:
    of_scripts = set()
    for script in release.SCRIPTS:
        cls = importlib.import_module(script).Settings
        of_scripts |= {declared.flag for declared in options.options_of(cls).values()}
    of_tables = {"--help", "--jobs", "--list", "--csv", "--check", "--results-dir"}
    of_tables |= {"--table", "--no-figures"}
    for page in GUIDES:
        assert flags(prose(text_of(page))) <= of_scripts | of_tables, page
    assert of_scripts - flags(text_of(ROOT / "docs" / "running.md")) == set()


def rows(page: str, heading: str) -> list[list[str]]:
    """Returns the cells of the first table under a heading."""
    section = text_of(ROOT / page).split(f"{heading}\n", 1)[1]
    table = re.search(r"(^\|.*\n)+", section, re.MULTILINE)
    assert table, f"no table under {heading}"
    lines = table[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_defects() -> None:
    of_scripts = {
        script: importlib.import_module(script).Settings.DEFECTS for script in release.SCRIPTS
    }
    table = rows("docs/release.md", "## Defects")
    listed = {number: scripts.split(", ") for number, scripts, *_ in table}
    assert set(listed) == {*released.DEFECTS, "D13"}
    for defect in released.DEFECTS:
        having = {script for script, defects in of_scripts.items() if defect in defects}
        assert set(listed[defect]) == having, defect
    for command, _, defects in rows("docs/release.md", "## Settings"):
        script = command.strip("`").split(".py")[0]
        assert tuple(defects.split()) == of_scripts[script], script


def test_grids_of_the_default_strengths_are_those_of_the_table() -> None:
    text = text_of(ROOT / "docs" / "release.md")
    for script, grid in release.GRIDS.items():
        assert f".venv/bin/python {script}.py {grid} --seeds 100\n" in text


def test_python_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (example,) = fenced(text_of(ROOT / "docs" / "running.md"), "python")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)
    # What it gets is the network that the accuracies are of.
    *heads, w1, b1, w2, b2 = (variable.numpy() for variable in names["kept"].state["network"])
    for number, task in enumerate(names["tasks"]):
        v, c = heads[2 * number : 2 * number + 2]
        x = np.asarray(task.test.images)[:, task.permutation] / 255
        h = np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0)
        right = np.mean(np.argmax(h @ v + c, axis=1) == np.asarray(task.test.labels))
        assert right == pytest.approx(names["accuracies"][-1, number], abs=2e-4)
    assert (tmp_path / "anpyc.pdf").read_bytes().startswith(b"%PDF")


def test_headline() -> None:
    columns: list[dict[str, str]] = []  # label of a row -> its cell
    for sequence, epochs, also in (("equal-small", 15, ""), ("long", 11, ", fifty tasks")):
        lines: dict[str, list[dict[str, str]]] = {}  # by heading
        for name, suffix in ((sequence, ""), ("measures", also)):
            with (ROOT / "results" / "tables" / f"{name}.csv").open(encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    if line["group"].endswith(suffix):
                        lines.setdefault(line["group"].removesuffix(suffix), []).append(line)
        for group in ("Multi-head", "Single-head"):
            columns.append({})
            for line in lines[group]:
                label = line["row"].replace(f", sum, {epochs} epochs", " --merge sum")
                label = label.replace("square", "--measure square")
                mean, std = 100 * float(line["ACC"]), 100 * float(line["ACC std"])
                columns[-1][label] = f"{mean:.2f} ± {std:.2f} ({line['ACC n']})"
    for name, *cells in rows("README.md", "<!-- generated: headline -->"):
        words = re.findall(r"`(.+?)`", name) or [name.split()[0].lower()]
        labels = [word.replace(" --gamma 1", ", online") for word in words]
        for cell, column in zip(cells, columns, strict=True):
            assert cell == next((column[one] for one in labels if one in column), "-"), name
