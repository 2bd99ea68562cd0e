"""The numbers in the README are those of the stored results."""

from __future__ import annotations

import importlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from common import metrics, report
from tests import conftest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def stored(pattern: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(ROOT.glob(f"results/{pattern}"))]


def row(section: str, start: str) -> str:
    rows = [line for line in README.split(section, 1)[1].splitlines() if line.startswith(start)]
    assert rows, f"the README has no row {start!r} after {section!r}"
    return rows[0]


def percent(values: list[float]) -> str:
    mean, std, _ = metrics.mean_std(values)
    return f"{100 * mean:.2f}" + ("" if std is None else f" ± {100 * std:.2f}")


def grouped(pattern: str) -> dict[tuple[str, float | None], list[dict[str, Any]]]:
    groups = defaultdict(list)
    for result in stored(pattern):
        groups[result["script"], result["lambda"]].append(result)
    return groups


SCRIPTS = [script for script in conftest.SCRIPTS if script != "cal_importance_distribution"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_results_with_default_settings(script: str) -> None:
    results = stored(f"{script}/*seed0.json")
    best = report.choose_strength(results)
    (measured,) = (one["metrics"] for one in results if one["lambda"] == best)
    cell = f"ACC {100 * measured['ACC']:.2f}"
    if measured["F"] is not None:
        cell += f", F {100 * measured['F']:.2f}"
    if len(results) > 1:
        cell = f"λ {best:g}: {cell}"
    assert row("## Scripts", f"| `{script}.py").endswith(f" {cell} |")


def test_search_of_strengths() -> None:
    groups = grouped("search/*/*.json")
    for (script, strength), (result,) in groups.items():
        line = row("### λ of EWC and MAS", f"| {script}, λ {strength:g} |")
        rows = [result[key][-1] for key in ("validation_accuracy", "accuracy")]
        cells = [percent([sum(values) / len(values)]) for values in rows]
        cells.append(percent([result["metrics"]["F"]]))
        assert line == f"| {script}, λ {strength:g} | {' | '.join(cells)} |"
    for script in ("ewc", "mas"):
        found = {strength: one for (name, strength), (one,) in groups.items() if name == script}
        best = report.choose_strength(list(found.values()))
        settings = importlib.import_module(script).Settings()
        assert best == settings.strength[len(settings.strength) // 2]
