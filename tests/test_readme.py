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
RELEASE = json.loads((ROOT / "results/release.json").read_text(encoding="utf-8"))
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


def test_short_protocols() -> None:
    groups = grouped("short/*/*.json")
    assert len({script for script, _ in groups}) == 10
    for (script, _), results in groups.items():
        finished = [one["metrics"]["ACC"] for one in results if one["status"] == "finished"]
        line = row("short protocols", f"| `{script}.py")
        assert f"| {percent(finished)} | {len(finished)} of {len(results)} |" in line
        theirs = [value / 100 for value in RELEASE["short"].get(script, {}).get("ACC", [])]
        assert f"| {percent(theirs) if theirs else '-'} | {percent(finished)} |" in line


def apart(ours: list[float], mean: float, std: float, count: int) -> str:
    """Return how far a mean is from another one, in standard errors of the difference."""
    own, own_std, own_count = metrics.mean_std(ours)
    assert own_std is not None
    return f"{abs(own - mean) / (own_std**2 / own_count + std**2 / count) ** 0.5:.1f}"


def detail(name: str, ours: list[float], mean: float, std: float, count: int, form: str) -> str:
    own, own_std, own_count = metrics.mean_std(ours)
    cells = [
        f"{m:{form}} ± {s:{form}} ({n})"
        for m, s, n in ((mean, std, count), (own, own_std, own_count))
    ]
    return f"| {name} | {' | '.join(cells)} | {apart(ours, mean, std, count)} |"


def test_pruning_as_released_in_detail() -> None:
    results = stored("short/anpyc_wi_np/*.json")
    good = [one for one in results if one["status"] == "finished"]
    theirs = RELEASE["anpyc_wi_np"]
    mean, std, count = metrics.mean_std(RELEASE["short"]["anpyc_wi_np"]["ACC"])
    lines = [
        detail("ACC, percent", [100 * r["metrics"]["ACC"] for r in good], mean, std, count, ".2f")
    ]
    first = theirs["short"]["accuracy on task 0"].values()
    ours = [100 * r["accuracy"][0][0] for r in good]
    lines.append(detail("accuracy on task 0 after its rounds, percent", ours, *first, ".1f"))
    for percent_pruned, tensor, *numbers in (z.values() for z in theirs["short"]["zeros"]):
        ours = [
            row[tensor]
            for r in results
            for row in r["sparsity"]
            if (row["task"], row["percent"]) == (0, percent_pruned)
        ]
        name = f"pruned share of {tensor}, round {percent_pruned}"
        lines.append(detail(name, ours, *numbers, ".3f"))
    for line in lines:
        assert line in README.splitlines(), line


def test_divergence_as_released() -> None:
    full = [one for one in stored("anpyc_wi_np/*.json") if one["as_released"]]
    assert sorted(one["seed"] for one in full) == list(range(10))
    diverged = [str(one["seed"]) for one in full if one["status"] == "diverged"]
    finished = [one["metrics"]["ACC"] for one in full if one["status"] == "finished"]
    text = " ".join(README.split())
    assert f"with seeds {', '.join(diverged[:-1])} and {diverged[-1]} of 0 to 9" in text
    assert f"the other {len(finished)} end at {percent(finished)} %" in text


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
