"""The scripts from end to end: results, resuming, grids, divergence, bad surroundings.

Most runs take place in this process, which has TensorFlow and compiled programs at hand. Where a
process is the point, several are started early and run beside the other tests.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import gzip
import importlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
from harness import process, report, results, run_files, screen, style, validity
from harness import progress as progresses
from tests.conftest import ROOT

import numpy as np
import pytest

# Fields of every result, as `harness.results` describes them, and those that some scripts add.
FIELDS = {
    *("schema", "status", "script", "settings", "as_released", "lambda", "seed", "accuracy"),
    *("validation_accuracy", "metrics", "seconds", "versions", "date"),
}
OWN_FIELDS = {
    "anpyc_wi_np": {"sparsity", "omega"},
    "anpyc_wo_np": {"omega"},
    "ewc": {"omega"},
    "mas": {"omega"},
    "si": {"omega"},
    "lwf": set(),
    "finetune": set(),
    "sgd_single_head": set(),
    "sgd_freeze": set(),
    "joint": set(),
    "cal_importance_distribution": {"path", "importance"},
}

Run = Callable[..., Any]


def stored(folder: Path) -> dict[str, dict[str, Any]]:
    """Return all results below a folder, by file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))}


def only(folder: Path) -> dict[str, Any]:
    """Return the only result below a folder."""
    (result,) = stored(folder).values()
    return result


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """Return what has to be equal when a run is computed again."""
    return {key: result[key] for key in result.keys() - {"seconds", "date", "versions"}}


def snapshot(folder: Path) -> dict[str, Any]:
    """Return contents and times of change of all files below a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def unfinished(folder: Path) -> list[Path]:
    """Return what is below a folder only while a run lasts."""
    return [path for path in folder.rglob("*") if path.suffix not in (".json", ".png", ".npz", "")]


def checkpoint_below(folder: Path) -> Path:
    """Return the path of the only checkpoint below a folder."""
    (path,) = folder.rglob("*.ckpt/state.npz")
    return path


def assert_done(ended: Any) -> None:
    """Assert that a script ended well, with nothing on stderr."""
    assert (ended.status, ended.err) == (0, "")


def fields_of(script: str) -> set[str]:
    """Return the names of a script's settings."""
    return {field.name for field in dataclasses.fields(importlib.import_module(script).Settings)}


# Processes that run beside the tests

# Forty epochs, so that there is time to interrupt them.
LONG = ["--epochs", "20", "--results-dir", "results"]
GRID = [*LONG, "--lambda", "0", "3", "--seeds", "0", "1", "2"]

How = tuple[int, str, str]  # a process ended: exit status, standard output, standard error


def ends(*processes: subprocess.Popen[str]) -> list[How]:
    """Return how processes ended, when they have."""
    texts = [process.communicate(timeout=600) for process in processes]
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]


def after_saves(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    """Wait until a process has saved so many checkpoints, or has ended."""
    seen = saved_at(folder)
    while count and process.poll() is None:
        time.sleep(0.002)
        if saved_at(folder) != seen:
            seen, count = saved_at(folder), count - 1


def saved_at(folder: Path) -> list[int]:
    """Return when the checkpoint below a folder was written, in a list that is empty without."""
    times = []
    for path in folder.glob("results/*/*.ckpt/state.npz"):
        with contextlib.suppress(FileNotFoundError):  # just removed
            times.append(path.stat().st_mtime_ns)
    return times


def interrupt(folder: Path, start_script: Run) -> list[How]:
    """Kill a process without streams, start the same command again, and press Ctrl-C there."""
    processes = []
    for number, closed in ((signal.SIGKILL, (0, 1, 2)), (signal.SIGINT, ())):
        process = start_script("si", folder, *LONG, closed=closed)
        after_saves(process, folder, 3)
        process.send_signal(number)
        process.wait()
        processes.append(process)
    return ends(*processes)


def share(folder: Path, start_script: Run) -> list[How]:
    """Start two processes with the same six runs."""
    return ends(*[start_script("anpyc_wo_np", folder, *GRID) for _ in range(2)])


# A script's first run, on which several tests look


@dataclasses.dataclass
class FirstRun:
    """A script's run in this process: its results folder, how it ended, its only result."""

    folder: Path
    ended: Any
    result: dict[str, Any]


FirstRuns = Callable[[str], FirstRun]


@pytest.fixture(scope="module")
def first_runs(call_script: Run, tmp_path_factory: pytest.TempPathFactory) -> FirstRuns:
    """Return the function that gives a script's first run."""

    @functools.cache
    def first(script: str) -> FirstRun:
        folder = tmp_path_factory.mktemp(script)
        ended = call_script(script, "--results-dir", folder, "--figures", "png")
        assert_done(ended)
        return FirstRun(folder, ended, only(folder))

    return first


@pytest.fixture
def first_run(script: str, first_runs: FirstRuns) -> FirstRun:
    """Return the script's first run."""
    return first_runs(script)


def changed_copy(first_run: FirstRun, folder: Path, **changes: Any) -> Path:
    """Copy the files of a run, with changes in its result, and return the path of that."""
    shutil.copytree(first_run.folder, folder, dirs_exist_ok=True)
    (path,) = folder.rglob("*.json")
    path.write_text(json.dumps({**first_run.result, **changes}))
    return path


def test_run_ends_well_and_names_what_it_wrote(first_run: FirstRun, script: str) -> None:
    assert "\x1b" not in first_run.ended.out and "\r" not in first_run.ended.out  # no terminal
    lines = {line.strip() for line in first_run.ended.out.splitlines()}
    files = [path for path in first_run.folder.rglob("*") if path.is_file()]
    written = [path for path in files if path.parent.name != ".locks"]
    assert {str(path) for path in written} <= lines
    assert {path.suffix for path in written} >= {".json", ".png"}
    assert unfinished(first_run.folder) == []
    # Not the default settings: a hash is in the name.
    (path,) = first_run.folder.rglob("*.json")
    name = "lambda3_seed0" if "strength" in fields_of(script) else "seed0"
    assert re.fullmatch(rf"{name}-[0-9a-f]{{8}}\.json", path.name)
    assert path.parent == first_run.folder / script


# How files begin.
KINDS = {"pdf": b"%PDF", "svg": b"<?xml"}


def without_figures(first_run: FirstRun, folder: Path) -> dict[str, bytes]:
    """Copy the files of a run but its figures, and return those, by name."""
    shutil.copytree(first_run.folder, folder, ignore=shutil.ignore_patterns("*.png"))
    return {path.name: path.read_bytes() for path in first_run.folder.rglob("*.png")}


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("joint", "pdf"),
        ("finetune", "svg"),
        ("finetune", "none"),
        ("cal_importance_distribution", "none"),
    ],
)
def test_figures_are_drawn_as_wanted(
    script: str, kind: str, first_runs: FirstRuns, call_script: Run, tmp_path: Path
) -> None:
    names = without_figures(first_runs(script), tmp_path / "results")
    before = set(tmp_path.rglob("*"))
    ended = call_script(script, "--results-dir", tmp_path / "results", "--figures", kind)
    assert_done(ended)
    drawn = set(tmp_path.rglob("*")) - before
    if kind == "none":
        assert not drawn
        return
    assert {path.name for path in drawn} == {name.replace(".png", f".{kind}") for name in names}
    for path in drawn:
        assert f"  {path}\n" in ended.out
        content = path.read_bytes()
        assert content.startswith(KINDS[kind])
        if kind == "pdf":  # its fonts are TrueType
            assert b"/FontFile2" in content and b"/Type3" not in content


def test_neither_users_figure_settings_nor_closed_streams_change_a_figure(
    first_runs: FirstRuns, start_script: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures = without_figures(first_runs("finetune"), tmp_path / "results")
    wishes = "text.usetex: True\nfont.family: not there\nno.such.setting: 1\nfont.size: 30\n"
    (tmp_path / "matplotlibrc").write_text(wishes)
    monkeypatch.setenv("MPLBACKEND", "module://not_there")  # as a notebook leaves it
    with start_script("finetune", tmp_path, "--results-dir", "results", closed=(0, 1, 2)) as run:
        assert run.wait(600) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*.png")} == figures


def failing(*arguments: Any, **more: Any) -> Any:
    """Draw nothing."""
    raise RuntimeError("no fonts\nand more")


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("file", "result.matrix.png could not be drawn: Is a directory"),
        ("all", "no figures: RuntimeError: no fonts"),
    ],
)
def test_failing_figure_is_told_and_the_run_is_done(
    where: str,
    line: str,
    first_runs: FirstRuns,
    call_script: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "results"
    names = {name.replace(".png", "") for name in without_figures(first_runs("finetune"), folder)}
    (matrix,) = (name for name in names if name.endswith(".matrix"))
    if where == "file":
        (folder / "finetune" / f"{matrix}.png").mkdir()
    else:  # Matplotlib cannot be loaded, say
        monkeypatch.setattr(style, "Drawing", failing)
    ended = call_script("finetune", "--results-dir", folder, "--figures", "png")
    assert_done(ended)
    told = line.replace("result.matrix", matrix)
    assert ended.out.count(f"{told}\n") == 1
    drawn = {path.stem for path in folder.rglob("*.png") if path.is_file()}
    assert drawn == (set() if where == "all" else names - {matrix})
    (stored_file,) = folder.rglob("*.json")
    for path in (*folder.rglob("*.png"), stored_file):
        assert path.is_dir() or f"  {path}\n" in ended.out


@pytest.mark.parametrize("script", OWN_FIELDS)
def test_result_has_the_documented_fields(first_run: FirstRun, script: str) -> None:
    assert first_run.result.keys() == FIELDS | OWN_FIELDS[script]


def test_result_says_what_was_run(first_run: FirstRun, script: str) -> None:
    result, settings = first_run.result, first_run.result["settings"]
    assert (result["schema"], result["script"]) == (results.SCHEMA, script)
    assert (result["status"], result["seed"], result["as_released"]) == ("finished", 0, [])
    assert result["lambda"] == (3 if "strength" in fields_of(script) else None)
    assert (settings["train_examples"], settings["hidden"]) == (300, [16, 8])
    assert re.fullmatch("[0-9a-f]{64}", settings["data"])
    assert not settings.keys() & {"data_dir", "results_dir", "device", "fresh", "seeds", "strength"}
    versions = {"python", "tensorflow", "numpy", "platform", "device", "threads", "code"}
    assert result["versions"].keys() == versions
    assert result["versions"]["device"] == "cpu"
    assert result["versions"]["threads"] == process.threads()
    assert result["seconds"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", result["date"])
    assert validity.fault(result) is None  # shapes of the accuracies, metrics of them, and more


@pytest.mark.parametrize("script", OWN_FIELDS)
def test_accuracies_are_those_of_the_test_and_validation_images(
    first_run: FirstRun, script: str
) -> None:
    for key, images in (("accuracy", 200), ("validation_accuracy", 5000)):
        values = np.concatenate(first_run.result[key])
        assert values * images == pytest.approx(np.round(values * images), abs=1e-6)
    tasks = first_run.result["settings"].get("tasks", 1)
    chance = 0.1 / tasks if script == "joint" else 0.1  # the joint run names the task, too
    assert np.mean(first_run.result["validation_accuracy"][-1]) > 1.5 * chance


def test_screen_shows_settings_accuracies_and_the_table(first_run: FirstRun, script: str) -> None:
    out, result = first_run.ended.out, first_run.result
    lines = out.splitlines()
    assert lines[0].startswith(f"{script} on cpu, TensorFlow ")
    changed = lines[1].removeprefix("  not the defaults: ").split(", ")
    assert {"--batch-size 20", "--hidden 16 8", "--train-examples 300"} < set(changed)
    assert lines[2] == "  as released: nothing"
    table = [line for line in lines[3:] if re.match("  (--|data )", line)]
    kept = [cell for line in table for cell in re.split("  +", line.strip())]
    names = [cell.split()[0].lstrip("-").replace("-", "_") for cell in [*changed, *kept]]
    assert sorted(names) == sorted(result["settings"])
    for row in result["accuracy"]:
        each = " ".join(f"{100 * value:.2f}" for value in row)
        assert f"mean {100 * np.mean(row):.2f} %, each {each}" in out
    if not hasattr(importlib.import_module(script), "report"):
        (row,) = [line for line in lines if line.startswith("│") and " ACC " not in line]
        assert f"│ {100 * result['metrics']['ACC']:.2f} │" in row


# The same command again


def test_finished_run_is_reported_and_with_fresh_repeated(
    first_runs: FirstRuns, call_script: Run, tmp_path: Path
) -> None:
    first_run = first_runs("anpyc_wo_np")
    false = [[0.123] * len(row) for row in first_run.result["accuracy"]]
    path = changed_copy(first_run, tmp_path, accuracy=false, metrics=results.metrics_of(false))
    before = path.read_bytes(), path.stat()
    ended = call_script("anpyc_wo_np", "--results-dir", tmp_path, "--seeds", "0", "1")
    assert_done(ended)
    assert f"done before, see {path}\n" in ended.out
    assert "other sources" not in ended.out
    assert (path.read_bytes(), path.stat()) == before
    other = next(result for result in stored(tmp_path).values() if result["seed"] == 1)
    assert other["settings"] == first_run.result["settings"]
    assert other["validation_accuracy"] != first_run.result["validation_accuracy"]

    ended = call_script("anpyc_wo_np", "--results-dir", tmp_path, "--fresh")
    assert_done(ended)
    assert "done before" not in ended.out
    assert numbers(json.loads(path.read_text())) == numbers(first_run.result)
    assert other in stored(tmp_path).values()  # not asked for, not discarded
    assert unfinished(tmp_path) == []


def test_released_defects_are_switched_on_and_stored(
    first_runs: FirstRuns, call_script: Run, tmp_path: Path
) -> None:
    ended = call_script("anpyc_wi_np", "--results-dir", tmp_path, "--as-released")
    assert_done(ended)
    assert "as released: D3 D10 D15 D16\n" in ended.out
    result, first_run = only(tmp_path), first_runs("anpyc_wi_np")
    assert result["as_released"] == ["D3", "D10", "D15", "D16"]
    assert result["validation_accuracy"] != first_run.result["validation_accuracy"]
    assert stored(tmp_path).keys() != stored(first_run.folder).keys()


# Interruptions


def stop_at_save(monkeypatch: pytest.MonkeyPatch, wanted: int) -> Callable[[], None]:
    """Make the saving of a checkpoint end in Ctrl-C; return the function that counts from 1 again.

    Args:
        monkeypatch: restores it.
        wanted: which one; those before it are saved, this one is not.
    """
    save = run_files.RunFiles.save_checkpoint
    count = 0

    def save_or_stop(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == wanted:
            raise KeyboardInterrupt
        save(*arguments)

    def restart() -> None:
        nonlocal count
        count = 0

    monkeypatch.setattr(run_files.RunFiles, "save_checkpoint", save_or_stop)
    return restart


def test_run_interrupted_in_every_epoch_gives_the_same_numbers(
    call_script: Run, first_runs: FirstRuns, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    restart = stop_at_save(monkeypatch, wanted=2)  # each time losing an epoch
    for epoch in range(6):
        restart()
        ended = call_script("anpyc_wi_np", "--results-dir", tmp_path)
        assert ("continuing after" in ended.out) == (epoch > 0)
        if epoch < 5:
            assert ended.status == 130
            assert "interrupted" in ended.err and ended.err.strip().count("\n") == 0
    assert_done(ended)
    assert numbers(only(tmp_path)) == numbers(first_runs("anpyc_wi_np").result)
    assert unfinished(tmp_path) == []


def test_ctrl_c_says_how_to_go_on(
    call_script: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    restart = stop_at_save(monkeypatch, wanted=2)
    ended = call_script("anpyc_wo_np", "--results-dir", tmp_path)
    assert ended.status == 130
    assert "the same command continues" in ended.err
    assert checkpoint_below(tmp_path).exists()
    # With --fresh the same command does not continue, and must not be recommended as it is.
    restart()
    ended = call_script("anpyc_wo_np", "--results-dir", tmp_path, "--fresh")
    assert ended.status == 130
    assert "--fresh" in ended.err
    assert "continuing" not in ended.out


@pytest.fixture(scope="module")
def interrupted_run(call_script: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results folder of a run that has saved three checkpoints of four."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patch:
        stop_at_save(patch, wanted=4)
        assert call_script("anpyc_wo_np", "--results-dir", folder).status == 130
    return folder


def test_unusable_checkpoint_is_told_in_one_line_and_the_run_starts_over(
    interrupted_run: Path, call_script: Run, first_runs: FirstRuns, tmp_path: Path
) -> None:
    shutil.copytree(interrupted_run, tmp_path, dirs_exist_ok=True)
    path = checkpoint_below(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    ended = call_script("anpyc_wo_np", "--results-dir", tmp_path)
    assert_done(ended)
    (line,) = [line for line in ended.out.splitlines() if str(path) in line]
    assert "from the beginning" in line
    assert "continuing" not in ended.out
    assert numbers(only(tmp_path)) == numbers(first_runs("anpyc_wo_np").result)


MISSING = object()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(key, MISSING) for key in ("place", "steps", "accuracy", "validation_accuracy")],
        *[(key, MISSING) for key in ("trace", "details", "seconds", "versions", "network.0")],
        ("place", [0, 0, 1]),
        ("place", ["1", 0, "", 1]),
        ("place", [1.0, 0, "", 1]),
        ("place", [3, 0, "", 1]),  # and a row
        ("place", [1, -1, "", 1]),
        ("steps", [16, 16]),
        ("steps", [16, 8, 48]),
        ("steps", [16, 16, 10**6]),
        ("accuracy", []),
        ("accuracy", [[50.0]]),
        ("validation_accuracy", [["0.5"]]),
        ("trace", {}),
        ("details", []),
        ("details", {"sparsity": "much"}),
        ("seconds", "long"),
        ("versions", []),
        ("network.0", np.float32([0])),  # as of another version of the script
    ],
)
def test_what_cannot_be_the_state_of_a_run_is_not_continued(
    key: str, value: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = run_files.RunFiles(tmp_path, "a_run", {})

    def start() -> progresses.Progress:
        tensor = types.SimpleNamespace(shape=(2,), numpy=lambda: np.zeros(2), assign=lambda _: None)
        progress = progresses.Progress(files, screen.Display(), {"python": "3"})
        progress.start(total_steps=64, network=[tensor])
        return progress

    with files.locked():
        progress = start()
        for task in progress.tasks([0, 1]):
            for _ in progress.epochs(steps=32, epoch_steps=16):
                progress.epoch_done(0.5)
            progress.record([0.5] * (task + 1), [0.5] * (task + 1))
        start()
        assert "continuing after task 1, epoch 2" in capsys.readouterr().out
        position, arrays = files.load_checkpoint()
        changed = {**position, **arrays, key: value}
        changed = {name: entry for name, entry in changed.items() if entry is not MISSING}
        files.save_checkpoint(
            {name: changed[name] for name in position if name in changed},
            {name: changed[name] for name in arrays if name in changed},
        )
        start()
    (line,) = capsys.readouterr().out.splitlines()
    assert "does not hold the state of this run" in line and "from the beginning" in line


def test_run_continued_in_other_surroundings_says_so_and_so_does_its_result(
    interrupted_run: Path,
    call_script: Run,
    first_runs: FirstRuns,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    shutil.copytree(interrupted_run, tmp_path, dirs_exist_ok=True)
    began = process.threads()
    with monkeypatch.context() as patch:
        patch.setenv(
            "TF_NUM_INTRAOP_THREADS", "7"
        )  # of which TensorFlow, long begun, knows nothing
        stop_at_save(patch, wanted=2)
        ended = call_script("anpyc_wo_np", "--results-dir", tmp_path, "--epochs", "2")
    assert "continuing after" in ended.out
    (line,) = [line for line in ended.out.splitlines() if "made so far with" in line]
    assert f"threads {began} (now 7):" in line
    result = only(tmp_path)
    assert result["versions"]["threads"] == "7"
    (before,) = result.pop("versions_before")
    assert before == {**result["versions"], "threads": began}
    assert numbers(result) == numbers(first_runs("anpyc_wo_np").result)
    assert "done before" in call_script("anpyc_wo_np", "--results-dir", tmp_path).out


def test_seconds_are_those_of_all_parts_without_the_time_between_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = 0.0
    monkeypatch.setattr(progresses, "time", types.SimpleNamespace(monotonic=lambda: now))
    files = run_files.RunFiles(tmp_path, "a_run", {})
    with files.locked():
        for seconds in (10, 20):
            progress = progresses.Progress(files)
            progress.start(total_steps=2)
            next(progress.tasks([None]))
            next(progress.epochs(steps=2, epoch_steps=1))
            now += 10
            progress.epoch_done(0.0)
            assert progress.seconds == seconds
            now += 1000


# Grids


def test_grid_makes_every_run_and_names_the_best_strength(
    call_script: Run, first_runs: FirstRuns, tmp_path: Path
) -> None:
    flags = ["--lambda", "0", "3", "--seeds", "1", "0", "--results-dir", tmp_path]
    ended = call_script("anpyc_wo_np", *flags, "--figures", "png")
    assert_done(ended)
    grid = stored(tmp_path)
    names = [name.split("-")[0] for name in grid]
    assert names == ["lambda0_seed0", "lambda0_seed1", "lambda3_seed0", "lambda3_seed1"]
    for name, result in grid.items():
        assert f"{tmp_path / 'anpyc_wo_np' / name}\n" in ended.out
        assert name.startswith(f"lambda{result['lambda']:g}_seed{result['seed']}-")
    ((name, alone),) = stored(first_runs("anpyc_wo_np").folder).items()
    assert numbers(grid[name]) == numbers(alone)
    assert re.search(r"^4 runs\b", ended.out, flags=re.MULTILINE)
    assert "3 runs are left" in ended.out
    again = call_script("anpyc_wo_np", *flags, "--seeds", "2", "0", "1")
    assert "1 run is left" in again.out  # four of the other five are stored
    best = report.choose_strength([*grid.values()])
    assert marked(ended.out) == {f"{best:g}"}
    assert ("λ 3 is the largest of the grid" in ended.out) == (best == 3)
    assert len(list(tmp_path.rglob("*.strength.png"))) == 1
    header = next(line for line in ended.out.splitlines() if line.startswith("┃"))
    assert "validation ACC" in " ".join(header.split())  # whole, also where there is no terminal


def marked(out: str) -> set[str]:
    """Return the λ that the table marks as the best."""
    return set(re.findall(r"^│ (\S+) \* ", out, flags=re.MULTILINE))


# Readings of the accuracy during training


@pytest.mark.parametrize(
    "script",
    [
        "anpyc_wi_np",
        *[pytest.param(name, marks=pytest.mark.slow) for name in ("lwf", "sgd_freeze")],
    ],
)
def test_evaluate_every_adds_a_trace_and_changes_no_other_number(
    script: str,
    first_run: FirstRun,
    call_script: Run,
    tmp_path: Path,
) -> None:
    flags = ["--evaluate-every", "1", "--evaluate-steps", "5", "--figures", "png"]
    ended = call_script(script, "--results-dir", tmp_path / "whole", *flags)
    assert_done(ended)
    result = only(tmp_path / "whole")
    trace, others = result["trace"], numbers(result)
    assert [path.name.split(".")[-2] for path in tmp_path.rglob("*.trace.png")] == ["trace"]
    for key in ("trace", "settings", "metrics"):
        del others[key]
    assert others == {k: v for k, v in numbers(first_run.result).items() if k in others}
    old = first_run.result["metrics"]
    assert {key: result["metrics"][key] for key in old} == old
    assert result["metrics"].keys() - old.keys() == {"min_ACC", "WC_ACC"}
    within = [reading["step"] for reading in trace if reading["step"] % 16]
    begins = (0, 64) if script == "anpyc_wi_np" else (0, 32)  # of a task
    assert within == [begin + step for begin in begins for step in (5, 10, 15)]
    trace = [reading for reading in trace if reading["step"] % 16 == 0]  # ends of epochs
    epochs = [(reading["task"], reading["phase"], reading["epoch"]) for reading in trace]
    if script == "anpyc_wi_np":  # task 0 is pruned twice, and read at once each time
        rounds = [(0, phase, epoch) for phase in (1, 2) for epoch in (0, 1)]
        assert epochs == [(0, 0, 1), (0, 0, 2), *rounds, (1, 0, 1), (1, 0, 2)]
        assert [reading["step"] for reading in trace] == [16, 32, 32, 48, 48, 64, 80, 96]
    else:
        assert epochs == [(task, 0, epoch) for task in (0, 1) for epoch in (1, 2)]
        assert [reading["step"] for reading in trace] == [16, 32, 48, 64]
    for task in (0, 1):  # the last reading of a task is what its row of the matrix says
        last = [reading for reading in trace if reading["task"] == task][-1]
        assert last["accuracy"] == result["accuracy"][task]


# Several processes, other sources


@pytest.mark.slow
def test_two_processes_share_a_grid(
    start_script: Run, call_script: Run, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    folder = tmp_path_factory.mktemp("shared")
    both = share(folder, start_script)
    assert [(status, err) for status, _, err in both] == [(0, "")] * 2
    outs = [out for _, out, _ in both]
    shares = [out.count("after task 0") for out in outs]
    assert sum(shares) == 6 and min(shares) > 0
    tables = [[line for line in out.splitlines() if line.startswith("│")] for out in outs]
    assert len(tables[0]) == 8  # six runs, two means
    assert tables[0] == tables[1]
    assert unfinished(folder) == []
    assert call_script("anpyc_wo_np", *LONG, "--results-dir", tmp_path).status == 0
    ((name, alone),) = stored(tmp_path).items()
    assert numbers(stored(folder)[name]) == numbers(alone)


def test_runs_that_another_process_holds_are_left_to_the_end(
    call_script: Run, first_runs: FirstRuns, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (name,) = stored(first_runs("anpyc_wo_np").folder)
    other = Path(name.replace("lambda3", "lambda0")).stem
    naps: list[float] = []
    with contextlib.ExitStack() as another_process:
        files = run_files.RunFiles(tmp_path / "anpyc_wo_np", other, {})
        assert another_process.enter_context(files.locked())

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 2:
                another_process.close()

        monkeypatch.setattr(time, "sleep", sleep)
        ended = call_script("anpyc_wo_np", "--lambda", "0", "3", "--results-dir", tmp_path)
    assert_done(ended)
    assert ended.out.index("λ 3, seed 0:") < ended.out.index("λ 0, seed 0:")
    assert ended.out.count("1 run: another process is working there") == 1
    assert len(naps) == 2 and min(naps) > 0  # not after the first look, where there was work
    rows = re.findall(r"^│ (\d)", ended.out, flags=re.MULTILINE)
    assert rows == ["0", "3"]


def test_fresh_keeps_what_was_finished_meanwhile(
    call_script: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flags = ["--seeds", "0", "1", "--results-dir", tmp_path, "--fresh"]
    assert call_script("finetune", *flags).status == 0
    last = sorted(tmp_path.rglob("*.json"))[-1]
    record = progresses.Progress.record

    def finish_another(*arguments: Any) -> None:
        # As if another process finished the second run while this one does the first.
        text = last.read_text()
        last.unlink()
        last.write_text(text)
        record(*arguments)

    monkeypatch.setattr(progresses.Progress, "record", finish_another)
    ended = call_script("finetune", *flags)
    assert_done(ended)
    assert ended.out.count("seed 1: done by another process") == 1
    assert ended.out.count("after task 0") == 1


def test_results_of_other_sources_are_told_in_one_line(
    call_script: Run, first_runs: FirstRuns, tmp_path: Path
) -> None:
    first_run = first_runs("anpyc_wo_np")
    versions = {**first_run.result["versions"], "code": "0" * 12}
    changed_copy(first_run, tmp_path, versions=versions)
    ended = call_script("anpyc_wo_np", "--results-dir", tmp_path)
    assert_done(ended)
    (line,) = [line for line in ended.out.splitlines() if "other sources" in line]
    assert "--fresh" in line


# Divergence

EXPLOSIVE = ["--update", "explicit", "--learning-rate", "1", "--tasks", "3"]


def test_diverged_run_is_told_and_stored_and_the_others_still_run(
    call_script: Run, tmp_path: Path
) -> None:
    flags = [*EXPLOSIVE, "--lambda", "1e6", "0", "--results-dir", tmp_path]
    ended = call_script("anpyc_wo_np", *flags)
    assert ended.status == 3
    assert "Traceback" not in ended.out + ended.err
    diverged, finished = sorted(stored(tmp_path).values(), key=lambda result: result["status"])
    assert (finished["status"], finished["lambda"]) == ("finished", 0)
    assert (diverged["status"], diverged["lambda"]) == ("diverged", 1e6)
    assert diverged["accuracy"] is diverged["validation_accuracy"] is diverged["metrics"] is None
    assert "diverged" not in finished
    (line,) = [line for line in ended.out.splitlines() if "diverged at" in line]
    assert line.strip() == diverged["diverged"]
    for part in ("anpyc_wo_np", "λ 1000000", "task 1", "epoch 1"):
        assert part in line
    for remedy in ("--lambda", "--learning-rate", "--update proximal"):
        assert remedy in line
    assert marked(ended.out) == {"0"}
    assert unfinished(tmp_path) == []

    # Diverged is an end, too: the same command reports it, with the same status.
    before = snapshot(tmp_path)
    again = call_script("anpyc_wo_np", *flags)
    assert again.status == 3
    assert again.out.count("done before") == 2
    after = snapshot(tmp_path)
    assert all(after[name] == before[name] for name in before if name.endswith(".json"))
    tables = [[line for line in run.out.splitlines() if "│" in line] for run in (ended, again)]
    assert tables[0] == tables[1] != []


def test_divergence_without_a_strength_blames_the_learning_rate(
    call_script: Run, tmp_path: Path
) -> None:
    flags = ["--learning-rate", "1e30", "--figures", "png"]
    ended = call_script("finetune", *flags, "--results-dir", tmp_path)
    assert (ended.status, ended.err) == (3, "")
    assert "no figures" in ended.out and list(tmp_path.rglob("*.png")) == []
    reason = only(tmp_path)["diverged"]
    assert "task 0, epoch 1" in reason and "--learning-rate" in reason
    assert "λ" not in reason and "--update" not in reason


# Bad surroundings


@pytest.mark.parametrize(("module", "name", "wanted"), [(np, "savez", 4), (os, "fsync", 1)])
def test_full_disk_is_told_and_the_same_command_goes_on_afterwards(
    module: Any,
    name: str,
    wanted: int,
    call_script: Run,
    first_runs: FirstRuns,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    write, count = getattr(module, name), itertools.count(1)

    def write_or_fail(*arguments: Any, **more: Any) -> None:
        if next(count) >= wanted:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*arguments, **more)

    shutil.copytree(first_runs("anpyc_wo_np").folder, tmp_path, dirs_exist_ok=True)
    before, flags = snapshot(tmp_path), ["--results-dir", tmp_path, "--seeds", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(module, name, write_or_fail)
        ended = call_script("anpyc_wo_np", *flags)
    ended.assert_refused("No space left on device", "finished results are safe")
    assert before.items() <= snapshot(tmp_path).items()
    ended = call_script("anpyc_wo_np", *flags)
    assert_done(ended)
    assert "continuing after" in ended.out
    assert len(stored(tmp_path)) == 2


def test_results_folder_removed_under_way_is_told(
    call_script: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replace, count = os.replace, itertools.count(1)

    def remove_then_replace(source: Any, target: Any) -> None:
        if next(count) == 4:
            shutil.rmtree(tmp_path / "results")
        replace(source, target)

    monkeypatch.setattr(os, "replace", remove_then_replace)
    ended = call_script("anpyc_wo_np", "--results-dir", tmp_path / "results")
    ended.assert_refused("No such file", tmp_path / "results")
    assert stored(tmp_path) == {}


def test_finished_runs_are_shown_where_nothing_can_be_written(
    call_script: Run, first_runs: FirstRuns, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(first_runs("anpyc_wo_np").folder, tmp_path, dirs_exist_ok=True)

    def refuse(*_: Any, **__: Any) -> None:  # for root, permissions refuse nothing
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for module, name in (tempfile, "TemporaryFile"), (os, "replace"), (os, "mkdir"):
        monkeypatch.setattr(module, name, refuse)
    logs = ["--tensorboard", tmp_path / "logs"]
    flags = ["--results-dir", tmp_path, *logs, "--figures", "png"]
    ended = call_script("anpyc_wo_np", *flags)
    assert_done(ended)
    assert ".tasks.png could not be drawn: Read-only file system\n" in ended.out
    assert re.search("^│ 3 +│ +0 │", ended.out, flags=re.MULTILINE)
    ended = call_script("anpyc_wo_np", "--results-dir", tmp_path, "--seeds", "0", "1")
    ended.assert_refused("Read-only file system", "--results-dir")


def test_poor_encodings_and_nobody_who_reads_do_not_stop_a_command(
    start_script: Run, first_runs: FirstRuns, tmp_path: Path
) -> None:
    figures = without_figures(first_runs("anpyc_wo_np"), tmp_path / "results")
    with start_script("anpyc_wo_np", tmp_path, "--results-dir", "results", encoding="ascii") as run:
        assert "anpyc_wo_np: all runs are done" in run.stdout.readline()
        while "? 3, seed 0: done before" not in (line := run.stdout.readline()):  # no λ in ASCII
            assert line
        run.stdout.close()
        assert run.wait(600) == 0
        assert run.stderr.read() == ""
    assert {path.name for path in tmp_path.rglob("*.png")} == figures.keys()


@pytest.fixture
def results_folder(tmp_path: Path) -> Path:
    """Return a results folder with something in it that must not be lost."""
    folder = tmp_path / "results" / "anpyc_wo_np"
    folder.mkdir(parents=True)
    (folder / "lambda3_seed0.json").write_text("precious\n")
    return folder.parent


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ("--tasks 0", ["--tasks 0"]),
        ("--data-dir nowhere", ["nowhere"]),
        ("--data-dir damaged", ["train-images-idx3-ubyte.gz"]),
        ("--train-examples 401", ["401"]),  # of 400
        ("--batch-size 301", ["301", "300"]),
        ("--results-dir /proc/results", ["/proc/results", "--results-dir"]),
        ("--results-dir blocked", ["blocked/anpyc_wo_np", "--results-dir"]),
        ("--tensorboard /proc/logs", ["/proc/logs", "--tensorboard"]),
        ("--hidden 900000 900000", ["--hidden 900000 900000", "GiB of memory, and there are"]),
        ("--hidden 60000 60000", ["GiB of memory, and there are"]),
    ],
)
def test_bad_surroundings_are_told_in_one_line_before_tensorflow_is_loaded(
    flags: str,
    parts: list[str],
    call_script: Run,
    results_folder: Path,
    tiny_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = results_folder.parent
    damaged = shutil.copytree(tiny_data, folder / "damaged") / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    (folder / "blocked").mkdir()
    (folder / "blocked" / "anpyc_wo_np").write_text("precious")
    before = snapshot(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(process, "silent_unless_failing", failing)  # within which it is loaded
    call_script(
        "anpyc_wo_np", "--results-dir", "results", "--fresh", *flags.split()
    ).assert_refused(*parts)
    assert snapshot(folder) == before


def test_memory_that_runs_out_under_way_is_told(
    call_script: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_memory(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(progresses.Progress, "record", no_memory)
    ended = call_script("finetune", "--results-dir", tmp_path)
    ended.assert_refused("out of memory at task 0", "--batch-size")


def test_data_that_train_into_nonsense_are_told_and_the_run_goes_on(
    call_script: Run, tiny_data: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_data, tmp_path / "data")
    path = folder / "train-images-idx3-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:16] + bytes(len(content) - 16)))
    flags = ["--data-dir", folder, "--results-dir", tmp_path / "results"]
    ended = call_script("finetune", *flags)
    assert ended.status == 0
    (line,) = ended.err.splitlines()
    assert line.startswith("finetune: warning: ")


# With the project's own level another process looks for a GPU, and loads TensorFlow to do so.
@pytest.mark.parametrize("level", ["2", pytest.param(common.QUIET, marks=pytest.mark.slow)])
def test_missing_gpu_is_told(
    level: str,
    call_script: Run,
    results_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    before = snapshot(results_folder)
    flags = ["--results-dir", results_folder, "--device", "gpu"]
    call_script("anpyc_wo_np", *flags).assert_refused("--device gpu")
    assert snapshot(results_folder) == before
    if level == common.QUIET and tf.test.is_built_with_cuda():
        assert "cuInit" in capfd.readouterr().err  # what CUDA says


def test_death_while_tensorflow_starts_is_told(tiny_data: Path, tmp_path: Path) -> None:
    text = "import os; os.write(2, b'its last words\\n'); os.abort()"
    (tmp_path / "tensorflow.py").write_text(text)
    ended = subprocess.run(
        [sys.executable, ROOT / "finetune.py", "--data-dir", tiny_data, "--results-dir", tmp_path],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == -signal.SIGABRT
    assert "its last words\n" in ended.stderr


@pytest.mark.parametrize(
    ("end", "shown"),
    [(None, ""), (KeyboardInterrupt, ""), (ImportError, "a reason\n")],
)
@pytest.mark.parametrize("processes", [True, False])
def test_standard_error_is_shown_only_on_an_error(
    end: type[BaseException] | None,
    shown: str,
    processes: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError

    if not processes:  # that can be started
        monkeypatch.setattr(subprocess, "Popen", refuse)
    expectation = pytest.raises(end) if end else contextlib.nullcontext()
    with expectation, process.silent_unless_failing():
        os.write(2, b"a reason\n")
        if end:
            raise end
    os.write(2, b"afterwards\n")
    expected = shown if processes else "a reason\n"
    assert capfd.readouterr().err == f"{expected}afterwards\n"


def test_unusable_result_is_told_and_left_as_it_is(
    call_script: Run, first_runs: FirstRuns, tmp_path: Path
) -> None:
    first_run = first_runs("anpyc_wo_np")
    path = changed_copy(first_run, tmp_path, seed=1)
    before = snapshot(tmp_path)
    ended = call_script("anpyc_wo_np", "--results-dir", tmp_path)
    ended.assert_refused(path, "--fresh")
    assert snapshot(tmp_path) == before
    # What the message recommends works:
    assert_done(call_script("anpyc_wo_np", "--results-dir", tmp_path, "--fresh"))
    assert numbers(only(tmp_path)) == numbers(first_run.result)


# On screen


class Terminal(io.StringIO):
    """Output that passes for a terminal."""

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    """Return the function that gives a terminal of so many columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    def terminal(columns: int) -> Terminal:
        monkeypatch.setenv("COLUMNS", str(columns))
        return Terminal()

    return terminal


def test_terminal_shows_a_bar(
    call_script: Run, terminal: Callable[[int], Terminal], tmp_path: Path
) -> None:
    ended = call_script("anpyc_wo_np", "--results-dir", tmp_path, out=terminal(60))
    assert_done(ended)
    assert "\x1b[" in ended.out
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", ended.out)
    assert re.search(r"100% \d:\d\d:\d\d left \d:\d\d:\d\d", text)
    assert "…" not in text
    assert "after task 1: mean" in text


# The widest of each kind: over λ and seeds, beside published values, of importance.
TABLES = [
    (
        ["λ", "seed", "validation ACC", "ACC", "F", "F_max", "LA", "seconds"],
        [
            ["1000", "0", *["50.00"] * 5, "1234"],
            ["1000 *", "mean of 10", *["50.00 ± 3.21"] * 5, ""],
        ],
    ),
    (
        ["", "λ", "own λ", "measure", "published", "own", "differ by more than the noise"],
        [["Single-head: sgd_single_head", "0.1", "-", "F_max", *["50.00 ± 3.21 (10)"] * 2, "yes"]],
    ),
    (
        ["", "before pruning", "after pruning", "authors, before", "authors, after"],
        [["kurtosis ANPyC", *["1.234e+04 ± 123.4"] * 4]],
    ),
]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize(("header", "rows"), TABLES)
def test_nothing_in_a_table_is_cut_off(
    columns: int, header: list[str], rows: list[list[str]], terminal: Callable[[int], Terminal]
) -> None:
    with contextlib.redirect_stdout(terminal(columns)) as out:
        screen.Display().table("a title", header, rows)
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    shown = re.split(r"[\s│┃]+", text)
    for cell in (*header, *(cell for row in rows for cell in row)):
        assert set(cell.split()) <= set(shown)
    if columns >= 60:
        assert max(map(len, text.splitlines())) <= columns
    if columns == 200:
        assert all(cell in text for cell in header)


def test_log_says_every_half_minute_how_far_a_run_is(
    call_script: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    epoch, now = screen.Display.epoch, 0.0

    def epoch_of_20_seconds(*arguments: Any) -> None:
        nonlocal now
        now += 20
        epoch(*arguments)

    def said(*flags: str) -> list[tuple[str, str]]:
        out = call_script("anpyc_wo_np", "--results-dir", tmp_path, *flags).out
        return re.findall(r"^  (task .+), loss \d\.\d{4}, (.+ left)$", out, re.MULTILINE)

    monkeypatch.setattr(screen, "time", types.SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(screen.Display, "epoch", epoch_of_20_seconds)
    assert said() == [
        ("task 0, epoch 2", "50 % done, 0:00:40 left"),
        ("task 1, epoch 2", "100 % done, 0:00:00 left"),
    ]
    with monkeypatch.context() as patch:
        stop_at_save(patch, wanted=2)
        assert said("--seeds", "1") == []
    # Three epochs are left, and the first of the four counts in what is done, but not in the time.
    assert said("--seeds", "1") == [("task 1, epoch 1", "75 % done, 0:00:20 left")]


def test_tensorboard_logs_are_written(call_script: Run, tmp_path: Path) -> None:
    flags = ["--tensorboard", tmp_path / "logs", "--results-dir", tmp_path / "results"]
    ended = call_script("anpyc_wo_np", *flags, "--seeds", "0", "1")
    assert_done(ended)
    files = list((tmp_path / "logs").rglob("events.out.tfevents.*"))
    assert len({path.parent for path in files}) == 2  # one folder a run
    for path in files:
        content = path.read_bytes()
        for tag in (b"loss", b"accuracy/task 1", b"accuracy/mean"):
            assert tag in content


# Processes of their own, from another working directory


def test_help_does_not_wait_for_tensorflow() -> None:
    code = (
        "import contextlib, runpy, sys\n"
        "for path in sys.argv[1:]:\n"
        "    sys.argv = [path, '--help']\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        runpy.run_path(path, run_name='__main__')\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *(f"{script}.py" for script in OWN_FIELDS)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("usage: ") == len(OWN_FIELDS)


def test_ctrl_c_and_sigkill_leave_the_numbers_as_they_are(
    start_script: Run, call_script: Run, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    folder = tmp_path_factory.mktemp("interrupted")
    (by_kill, *_), (by_ctrl_c, continued, message) = interrupt(folder, start_script)
    assert by_kill == -signal.SIGKILL
    assert by_ctrl_c == 130
    (line,) = message.strip().splitlines()
    assert "interrupted" in line and "the same command continues" in line
    assert "continuing after task" in continued
    ended = call_script("si", *LONG, "--results-dir", folder / "results")
    assert_done(ended)
    assert "continuing after task" in ended.out
    assert unfinished(folder) == []
    assert call_script("si", *LONG, "--results-dir", tmp_path).status == 0
    assert numbers(only(tmp_path)) == numbers(only(folder))


# A library that writes to standard error, and calls Python from native code when Ctrl-C is pressed.
PRESSED = """
import os, signal, sys
from pathlib import Path
from harness import process
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored under nohup
library = {"__name__": sys.argv[1], "press": signal.raise_signal}
exec("def call(number):\\n  try: press(number)\\n  finally: print('raised')", library)
with process.errors_in_one_line("a_script", Path(), "the same command continues"):
    with process.silent_unless_failing():
        os.write(2, b"words of the library")
        library["call"](signal.SIGINT)
"""


@pytest.mark.parametrize(
    ("library", "printed"), [("tensorflow.python.eager", ""), ("numpy", "raised\n")]
)
def test_ctrl_c_ends_in_one_line_and_raises_nothing_within_tensorflow(
    library: str, printed: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PRESSED, library], cwd=ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (130, printed)
    assert ended.stderr == "\na_script: interrupted; the same command continues\n"


@pytest.mark.parametrize("name", ["finetune", "reproduce_tables"])
def test_ctrl_c_while_modules_are_loaded_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("import signal; signal.raise_signal(signal.SIGINT)")
    ended = subprocess.run(
        [sys.executable, ROOT / f"{name}.py"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 130
    assert ended.stderr == f"\n{name}: interrupted\n"


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6])
def test_ctrl_c_at_any_time_is_clean(delay: float, start_script: Run, tmp_path: Path) -> None:
    flags = [*LONG, "--epochs", "600"]  # longer than any delay
    with start_script("anpyc_wi_np", tmp_path, *flags) as process:
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    (line,) = err.strip().splitlines()
    assert "interrupted" in line
    assert stored(tmp_path) == {}
