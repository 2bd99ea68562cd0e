"""Texts of generated blocks that are not a table of runs: speed, time, the effect of defects."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from common import released
from tables import contents, pages

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
        measured: what `benchmark/beside_avalanche.py` wrote.
    """
    lines = []
    for network, methods in measured["networks"].items():
        for method, sides in methods.items():
            ratios = [spread(sides[side]["ratio"]) for side in ("theirs", "batched")]
            kept = [f"{100 * sides[side]['kept']:.1f}" for side in ("ours", "theirs")]
            lines.append([f"{network}, {method}", *ratios, *kept])
    header = ["Avalanche / ours", "batched / ours", "ACC, ours", "ACC, Avalanche"]
    return pages.markdown(["", *header], lines)


def speed(benchmark: Mapping[str, Any]) -> dict[str, str]:
    """Returns the blocks that show the benchmark's ratios, by name.

    Args:
        benchmark: what `benchmark/speed.py` wrote.
    """
    steps = [
        [f"`{script}`", *(spread(measured["ratios"][rival]) for rival in RIVALS)]
        for script, measured in benchmark["steps"].items()
    ]
    rest = [
        [
            (SMALL_NETWORK if section == "passes-small" else "") + what,
            spread(measured["ratio"]),
            measured["to"],
        ]
        for section in PARTS
        for what, measured in benchmark[section].items()
        if what != measured["to"]
    ]
    return {
        "speed of a step": pages.markdown(["step", *RIVALS.values()], steps),
        "speed of the rest": pages.markdown(["what", "time", "relative to"], rest),
    }


def scripts(
    described: Mapping[str, tuple[str, str]], with_defaults: Sequence[contents.TableResults]
) -> str | None:
    """Returns the block that lists the scripts; None as long as a table is not complete.

    Args:
        described: scenario and what it is, by script.
        with_defaults: tables in which scripts run with their default settings, whatever the λ.
    """
    if not all(table.complete for table in with_defaults):
        return None
    seconds: dict[str, list[float]] = {}
    for table in with_defaults:
        for row, _, result in contents.all_runs(table):
            if row.command and not row.command.flags:
                seconds.setdefault(row.command.script, []).append(result["seconds"])
    cells = [
        [f"`{script}.py`", *texts, _duration(seconds.get(script))]
        for script, texts in described.items()
    ]
    return pages.markdown(["command", "scenario", "what it is", "time"], cells, texts=3)


def _duration(seconds: Sequence[float] | None) -> str:
    """Returns the median in seconds, or from 100 on in minutes; "-" where there is no run."""
    if not seconds:
        return "-"
    median = statistics.median(seconds)
    return f"{median:.0f} s" if median < 100 else f"{median / 60:.0f} min"


def defects(evaluated: contents.TableResults) -> str | None:
    """Returns the block that shows the effect of each defect; None as long as it is not complete.

    Args:
        evaluated: a table with a group a script, whose labels begin with the defect or "all".
    """
    if not evaluated.complete:
        return None
    of_defects: dict[str, list[str]] = {name: [] for name in (*released.DEFECTS, "all")}
    for row in evaluated.rows:
        reference = evaluated.reference(row)
        if reference is None:
            continue
        difference, lost = contents.difference(row, reference), row.diverged(contents.ACC)
        effect = [pages.plus_minus(difference, contents.ACC, "+")] if difference else []
        effect += [f"({lost} diverged)"] if lost else []
        defect = row.row.label.split()[0].strip(":,")
        of_defects[defect].append(" ".join((row.row.group, *effect)))
    lines = [[defect, "; ".join(each)] for defect, each in of_defects.items() if each]
    rows = f"[rows and commands](../results/README.md#{pages.anchor(evaluated.table.title)})"
    return (
        "The effect of each on the short protocols, in points of ACC, paired by seed, mean ± "
        f"standard error ({rows}):\n\n"
        f"{pages.markdown(['', 'ACC with it less ACC without'], lines)}"
    )
