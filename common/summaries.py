"""Texts of generated blocks that are not a table of runs: speed, and what each defect costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common import options, publish, tables

# Heads of the benchmark's ratios.
RIVALS = {
    "session": "session / ours",
    "fit": "Keras fit / ours",
    "eager": "eager / ours",
    "limit": "products / ours",
}
PARTS = ("passes", "passes-small", "start-up", "throughput")
SMALL_NETWORK = "64-32: "


def spread(ratio: Mapping[str, float]) -> str:
    """Returns a ratio of times: median (quartiles)."""
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def avalanche(measured: Mapping[str, Any]) -> str:
    """Returns the block that shows Avalanche beside our scripts.

    Args:
        measured: what `tests/beside_avalanche.py` wrote.
    """
    lines = []
    for network, methods in measured["networks"].items():
        for method, sides in methods.items():
            ratios = [spread(sides[side]["ratio"]) for side in ("theirs", "batched")]
            kept = [f"{100 * sides[side]['kept']:.1f}" for side in ("ours", "theirs")]
            lines.append([f"{network}, {method}", *ratios, *kept])
    header = ["Avalanche / ours", "batched / ours", "ACC, ours", "ACC, Avalanche"]
    return publish.markdown(["", *header], lines)


def speed(benchmark: Mapping[str, Any]) -> dict[str, str]:
    """Returns the blocks that show the benchmark's ratios, by name.

    Args:
        benchmark: what `tests/benchmark.py` wrote.
    """
    steps = [
        [f"`{script}`", *(spread(one["ratios"][rival]) for rival in RIVALS)]
        for script, one in benchmark["steps"].items()
    ]
    rest = [
        [(SMALL_NETWORK if part == "passes-small" else "") + what, spread(one["ratio"]), one["to"]]
        for part in PARTS
        for what, one in benchmark[part].items()
        if what != one["to"]
    ]
    return {
        "speed of a step": publish.markdown(["step", *RIVALS.values()], steps),
        "speed of the rest": publish.markdown(["what", "time", "relative to"], rest),
    }


def prices(defects: tables.Filled) -> str:
    """Returns the block that shows what each defect costs in each script.

    Args:
        defects: a table with a group a script, whose labels begin with the defect or "all"; as long
            as it is not complete, nothing is shown.
    """
    if not defects.complete:
        return ""
    of_defects: dict[str, list[str]] = {name: [] for name in (*options.DEFECTS, "all")}
    for row in defects.rows:
        reference = defects.reference(row)
        if reference is None:
            continue
        found, lost = tables.difference(row, reference), row.diverged(tables.ACC)
        parts = [publish.plus_minus(found, tables.ACC, "+")] if found else []
        parts += [f"({lost} diverged)"] if lost else []
        defect = row.row.label.split()[0].strip(":,")
        of_defects[defect].append(" ".join((row.row.group, *parts)))
    lines = [[defect, "; ".join(costs)] for defect, costs in of_defects.items() if costs]
    rows = f"[rows and commands](../results/README.md#{publish.anchor(defects.table.title)})"
    return (
        "What each costs on the short protocols, in points of ACC, paired by seed, mean ± standard "
        f"error ({rows}):\n\n{publish.markdown(['', 'ACC with it less ACC without'], lines)}"
    )
