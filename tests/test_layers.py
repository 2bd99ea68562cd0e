"""Imports point one way: common/ ← harness/ ← tables/; no script imports another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT, SCRIPTS

import pytest

SEES = {
    "common": {"common"},
    "harness": {"common", "harness"},
    "tables": {"common", "harness", "tables"},
    **{script: {"common", "harness"} for script in SCRIPTS},
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("part", SEES)
def test_imports_point_left_only(part: str) -> None:
    paths = [ROOT / f"{part}.py"] if part in SCRIPTS else [*(ROOT / part).rglob("*.py")]
    assert paths
    ours = {"common", "harness", "tables", "tests", "benchmark", "reproduce_tables", *SCRIPTS}
    for path in paths:
        packages = {name.partition(".")[0] for name in imports(path)}
        assert packages & ours <= SEES[part], path
