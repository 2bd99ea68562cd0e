"""Made-up results of runs, stored as scripts store theirs, and stand-ins for the scripts."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness import options, results, run_files
from tables import commands, contents
from tables.contents import Row, Table, TableResults

ROOT = Path(__file__).resolve().parents[1]
FLAGS = "--hidden 8 4 --tasks 3 --epochs 2"
VERSIONS = {
    "python": "3.12.1",
    "tensorflow": "2.21.0",
    "numpy": "2.1.0",
    "platform": "Linux",
    "device": "cpu",
    "code": "0123456789ab",
}


HISTOGRAM = {"zeros": 0.5, "decades": [1] * 125}
MEASURE = {**HISTOGRAM, "unit": [1] * 1000, "kurtosis": 9.0, "skewness": -3.0, "highest": 2.5}
MEASURES = {"EWC": MEASURE, "MAS": MEASURE, "ANPyC": MEASURE}
STEP = {"accuracy": 0.9, "validation_accuracy": 1, "overall": 0.1}  # of a pruning path


def matrix(acc: float, lost: float, tasks: int) -> list[list[float]]:
    """Return R with the ACC `acc` and the F `lost`, or less where an accuracy would be above 1."""
    rows = [[acc] * task + [min(1.0, acc + lost)] for task in range(tasks)]
    rows[-1][-1] = acc
    return rows


def result(
    script: str,
    tasks: int,
    acc: float | None,
    validation: float | None = None,
    lost: float = 0.1,
    traced: bool = False,
) -> dict[str, Any]:
    """Return a result without its label; validation None: as acc, acc None: diverged.

    With a trace: of one reading a task.
    """
    usual = {"seconds": 36.0, "versions": VERSIONS, "date": "2025-11-25T21:00:00+00:00"}
    nothing = dict.fromkeys(("accuracy", "validation_accuracy", "metrics"))
    if acc is None:
        return {"status": "diverged", **nothing, "diverged": f"{script}: diverged", **usual}

    def rows(acc: float) -> list[list[float]]:
        return [[acc] * tasks] if script == "joint" else matrix(acc, lost, tasks)

    accuracy = rows(acc)
    trace = [
        {"task": task, "phase": 0, "epoch": 1, "step": task + 1, "accuracy": row}
        for task, row in enumerate(accuracy if traced else [])
    ]
    return {
        "status": "finished",
        "accuracy": accuracy,
        "validation_accuracy": rows(acc if validation is None else validation),
        "metrics": results.metrics_of(accuracy, trace),
        **({"trace": trace} if traced else {}),
        **usual,
    }


def made_from(script: str, settings: Any, *accuracies: Any) -> dict[str, Any]:
    """Return a result as the settings of its script ask for one; `accuracies` as for `result`."""
    traced = getattr(settings, "evaluate_every", None) is not None
    return result(script, settings.tasks, *accuracies, traced=traced)


def keep(
    folder: Path,
    line: str,
    seed: int,
    acc: float | None,
    strength: float | None = None,
    validation: float | None = None,
    lost: float = 0.1,
    flags: str = FLAGS,
    **more: Any,
) -> Path:
    """Store a result in the folder of a table, and return its path; `more` goes into it."""
    command = commands.parse(line, flags)
    home = folder / command.script
    home.mkdir(parents=True, exist_ok=True)
    settings, checksum = command.settings, command.checksum
    files = run_files.files_of(command.script, home, settings, strength, seed, checksum)
    made = {**made_from(command.script, settings, acc, validation, lost), **more}
    if acc is not None and "trace" in made:
        made["metrics"] = results.metrics_of(made["accuracy"], made["trace"])
    if acc is not None and command.script == "cal_importance_distribution":
        percents = range(0, settings.prune_percent + 1, settings.prune_step)
        made["path"] = [{"percent": percent, **STEP} for percent in percents]
        made.setdefault("importance", {"before": MEASURES, "after": MEASURES})
    files.finish(made)
    return files.path


def keep_all(folder: Path, line: str, accs: Iterable[float | None], **more: Any) -> None:
    """Store the results of the seeds 0, 1, …"""
    for seed, acc in enumerate(accs):
        keep(folder, line, seed, acc, **more)


def row(label: str, command: str, group: str = "", **more: Any) -> Row:
    """Return a row with the flags of all made-up runs."""
    return Row(label, command, group, **{"flags": FLAGS, **more})


def table(*rows: Row, name: str = "small", **more: Any) -> Table:
    """Return a table of two seeds, with one that chooses λ."""
    usual = {"title": f"A {name} table", "shows": "What it shows.", "seeds": (0, 1)}
    return Table(name, **{**usual, "rows": rows, "tuning": (100,), **more})


def filled(folder: Path, *all_tables: Table, name: str = "") -> TableResults:
    """Return a table, by default the first, filled in from what is stored now.

    A further table, "another", has no rows; its folder may hold runs.
    """
    name = name or all_tables[0].name
    every = (*all_tables, table(name="another"))
    return contents.evaluate(every, [name], commands.Store(folder))[name]


# Scripts that do what they are told, in place of learning.
_STAND_IN = """
import sys
sys.path.insert(0, {root!r})
from tests import made_up
made_up.stand_in(__file__)
"""


def project(folder: Path, **orders: Any) -> Path:
    """Make a folder with stand-ins for all scripts, and return it.

    Args:
        folder: of the project.
        **orders: what a script does in place of making its results: "refuse" (fail at once), "fail"
            (and leave a checkpoint), "wait" (for ever); or before it: "meet" (wait until as many
            scripts as `number` says have begun); "diverge"; or, without a result, "nothing" (end
            well) or "lose" (end as if it had diverged). Else λ is the better the smaller it is.
    """
    folder.mkdir()
    for package in ("common", "harness", "tables"):
        (folder / package).symlink_to(ROOT / package)
    for path in ROOT.glob("*.py"):
        (folder / path.name).write_text(_STAND_IN.format(root=str(ROOT)))
    (folder / "orders").write_text(json.dumps(orders))
    (folder / "log").write_text("")
    return folder


def log(project: Path) -> list[list[str]]:
    """Return what the stand-ins have told: "begin" or "end", pid, script, λ, seeds."""
    return [line.split(",") for line in (project / "log").read_text().splitlines()]


def stand_in(file: str) -> None:
    """Make results of the runs that the command line names, or fail, as ordered."""
    script, folder = Path(file).stem, Path(file).parent
    settings = options.parse(importlib.import_module(script).Settings, "")
    orders = json.loads((folder / "orders").read_text())
    order = orders.get(script, "")
    strengths = getattr(settings, "strength", (None,))
    what = f"{os.getpid()},{script},{strengths[0]},{' '.join(map(str, settings.seeds))}"
    _tell(folder, f"begin,{what}")
    if order == "fail":
        files = _files(script, settings, strengths[0], settings.seeds[0])
        with files.locked():
            files.save_checkpoint({}, {})
    if order in ("fail", "refuse"):
        print("Traceback (most recent call last):\n  one line more")
        sys.exit("boom")
    until = time.monotonic() + 120  # for ever
    while order == "wait" and time.monotonic() < until:
        time.sleep(1)
    if order == "meet":
        while sum(event == "begin" for event, *_ in log(folder)) < orders["number"]:
            assert time.monotonic() < until
            time.sleep(0.02)
    for strength in strengths:
        for seed in settings.seeds if order not in ("nothing", "lose") else ():
            acc = None if order == "diverge" else 0.9 - 0.001 * (strength or 0)
            files = _files(script, settings, strength, seed)
            files.finish(made_from(script, settings, acc))
    _tell(folder, f"end,{what}")
    sys.exit(3 if order in ("diverge", "lose") else 0)


def _files(script: str, settings: Any, strength: float | None, seed: int) -> run_files.RunFiles:
    home = settings.results_dir / script
    home.mkdir(parents=True, exist_ok=True)
    return run_files.files_of(script, home, settings, strength, seed)


def _tell(folder: Path, text: str) -> None:
    with (folder / "log").open("a") as file:
        file.write(text + "\n")
