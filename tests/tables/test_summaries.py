"""Blocks of other pages: the effect of defects, the list of scripts, speed."""

from __future__ import annotations

import json
from pathlib import Path

from benchmark import speed as benchmark
from harness import options
from tables import summaries
from tests import made_up
from tests.made_up import filled, keep, row, table


def test_effects_of_defects(tmp_path: Path) -> None:
    row = made_up.row
    slow = "si.py --lr-decay-epochs 1"
    rows = (
        row("no defect", "si.py", "si"),
        row("D7", "si.py --as-released D7", "si"),
        row("slow", slow, "si", reference=""),
        row("D8, slow", f"{slow} --as-released D8", "si", reference="slow"),
        row("all defects", "si.py --as-released", "si"),
        row("no defect", "mas.py --lambda 1", "mas"),
        row("D6, λ 3", "mas.py --lambda 3 --as-released D6", "mas"),
    )
    defects = made_up.table(*rows, name="defects", reference="no defect", tuning=())
    assert summaries.defects(made_up.filled(tmp_path, defects)) is None
    accs = {
        "no defect": (0.9, 0.9),
        "D7": (0.6, 0.64),
        "slow": (0.8, 0.7),
        "D8, slow": (0.81, None),
        "all defects": (None, None),
        "D6, λ 3": (0.91, 0.93),
    }
    for each in rows:
        strength = float(each.command.split()[2]) if each.group == "mas" else 0.1
        made_up.keep_all(tmp_path / "defects", each.command, accs[each.label], strength=strength)
    text = summaries.defects(made_up.filled(tmp_path, defects))
    assert text and text.splitlines()[-4:] == [
        "| D6 | mas +2.00 ± 1.00 |",
        "| D7 | si −28.00 ± 2.00 |",
        "| D8 | si +1.00 (1 diverged) |",
        "| all | si (2 diverged) |",
    ]


def test_list_of_scripts_has_the_median_time_with_defaults(tmp_path: Path) -> None:
    rows = (
        row("tuned", "mas.py --lambda 1 10 100", flags=""),
        row("alone", "finetune.py", flags=""),
        row("other settings", "finetune.py --epochs 1", flags=""),
    )
    times = {
        "mas.py": {100: 10.0, 0: 89.6, 1: 89.8},  # of seed 100 a run for each λ
        "finetune.py": {0: 390.0, 1: 450.0},
        "finetune.py --epochs 1": {0: 1.0, 1: 1.0},
    }
    described = {"mas": ("one head", "MAS"), "finetune": ("several", "none"), "si": ("one", "SI")}
    whole = table(*rows)
    for line, seconds in times.items():
        assert summaries.scripts(described, [filled(tmp_path, whole)]) is None
        strengths = (1.0, 10.0, 100.0) if line == "mas.py" else (None,)
        for strength in strengths:
            for seed, taken in seconds.items():
                more = {"strength": strength, "flags": "", "seconds": taken}
                keep(tmp_path / "small", line, seed, 0.9 if strength == 10 else 0.8, **more)
    block = summaries.scripts(described, [filled(tmp_path, whole)])
    assert block and block.splitlines()[1:] == [
        "| --- | --- | --- | --: |",
        "| `mas.py` | one head | MAS | 10 s |",
        "| `finetune.py` | several | none | 7 min |",
        "| `si.py` | one | SI | - |",
    ]


def shown(ratio: dict[str, float]) -> str:
    """Return median and quartiles as text."""
    return "{median:.2f} ({low:.2f} to {high:.2f})".format(**ratio)


def test_blocks_of_speed_hold_every_ratio_of_the_benchmark() -> None:
    measured = json.loads((options.ROOT / "results" / "benchmark.json").read_text())
    blocks = summaries.speed(measured)
    lines = blocks["speed of a step"].splitlines()
    assert len(lines) == 2 + len(measured["steps"])
    for script, of_script in measured["steps"].items():
        cells = [shown(of_script["ratios"][name]) for name in (*benchmark.RIVALS, "limit")]
        assert f"| `{script}` | {' | '.join(cells)} |" in lines
    lines = blocks["speed of the rest"].splitlines()[2:]
    expected = [
        (what, shown(time["ratio"]), time["to"])
        for section in benchmark.PARTS
        for what, time in measured[section].items()
        if what != time["to"]
    ]
    rows = [tuple(line.strip("| ").split(" | ")) for line in lines]
    assert [(what.removeprefix("64-32: "), *rest) for what, *rest in rows] == expected
    assert sum(what.startswith("64-32: ") for what, *_ in rows) == 5


def test_block_of_avalanche_holds_every_ratio() -> None:
    measured = json.loads((options.ROOT / "results" / "avalanche.json").read_text())
    lines = summaries.avalanche(measured).splitlines()[2:]
    left = iter(lines)
    for network, methods in measured["networks"].items():
        for method, sides in methods.items():
            head, *cells = next(left).strip("| ").split(" | ")
            assert head == f"{network}, {method}"
            assert cells[:2] == [shown(sides[side]["ratio"]) for side in ("theirs", "batched")]
            assert cells[2:] == [f"{100 * sides[side]['kept']:.1f}" for side in ("ours", "theirs")]
    assert next(left, None) is None
