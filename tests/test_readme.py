"""The numbers in the README are those of the stored results."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from common import distribution, metrics

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


@pytest.mark.parametrize("script", ["anpyc_wo_np", "anpyc_wi_np", "sgd_freeze"])
def test_results_with_default_settings(script: str) -> None:
    (result,) = stored(f"{script}/*seed0.json")
    measured = result["metrics"]
    quoted = f"ACC {100 * measured['ACC']:.2f}, F {100 * measured['F']:.2f}"
    assert quoted in row("## Scripts", f"| `{script}.py")


def test_short_protocols() -> None:
    groups = grouped("short/*/*.json")
    assert len({script for script, _ in groups}) == 10
    for (script, _), results in groups.items():
        finished = [one["metrics"]["ACC"] for one in results if one["status"] == "finished"]
        line = row("short protocols", f"| `{script}.py")
        assert f"| {percent(finished)} |" in line
        assert f"| {len(finished)} of {len(results)} |" in line


def test_equal_terms() -> None:
    for (script, strength), results in grouped("equal/*/*.json").items():
        name = script if strength is None else f"{script}, λ {strength:g}"
        line = row("### Equal terms", f"| {name} |")
        assert f"| {percent([one['metrics']['ACC'] for one in results])} |" in line
        if script != "joint":
            assert f"| {percent([one['metrics']['F'] for one in results])} |" in line


@pytest.mark.parametrize(("released", "name"), [(True, "as released"), (False, "default")])
def test_importance_statistics(released: bool, name: str) -> None:
    results = stored("cal_importance_distribution/seed*.json")
    results = [one for one in results if bool(one["as_released"]) == released]
    assert len(results) == 10
    for measure in ("EWC", "MAS", "ANPyC"):
        line = row("### Importance distribution", f"| {measure}, {name} |")
        for kind in ("kurtosis", "skewness"):
            for mean, std in distribution.statistics(results, kind)[measure]:
                assert f"| {mean:.2f} ± {std:.2f} |" in line


BENCHMARK = json.loads((ROOT / "results/benchmark.json").read_text(encoding="utf-8"))


def quoted(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


@pytest.mark.parametrize("script", BENCHMARK["steps"])
def test_speed_of_a_step(script: str) -> None:
    ratios = BENCHMARK["steps"][script]["ratios"]
    cells = " | ".join(quoted(ratios[name]) for name in ("session", "fit", "eager", "limit"))
    assert f"| `{script}` | {cells} |" == row("## Speed and scale", f"| `{script}` |")


def test_speed_of_everything_else() -> None:
    table = README.split("| what | time | relative to |", 1)[1].split("\n\n", 1)[0]
    for part in ("passes", "start-up", "throughput"):
        for name, one in BENCHMARK[part].items():
            if name != one["to"]:
                assert f"| {quoted(one['ratio'])} |" in table, name
