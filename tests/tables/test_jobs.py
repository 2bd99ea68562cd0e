"""Commands side by side: what is started and when, what fails, and that no child outlives us.

Stand-ins for the scripts (`tests.made_up.project`) make the results, so nothing is learned here.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import options, screen
from harness.results import ResultError
from tables import commands, contents, jobs
from tests import made_up
from tests.made_up import filled, keep, row, table

import pytest

EWC = "ewc.py --lambda 1 3"
StandIns = Callable[..., Path]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return the folder of results."""
    return tmp_path / "results"


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    """Return the function that puts stand-ins in place of the scripts; arguments: the orders."""

    def put(**orders: Any) -> Path:
        project = made_up.project(tmp_path / "project", **orders)
        monkeypatch.setattr(options, "ROOT", project)
        return project

    return put


def make(results: Path, *all_tables: contents.Table, at_once: int = 2) -> int:
    """Make all runs of tables, and return how many commands failed."""
    names = [each.name for each in all_tables]
    return jobs.make(all_tables, names, commands.Store(results), at_once)


def begun(project: Path) -> list[tuple[str, str, str]]:
    """Return script, λ and seed of every run that was begun, in order."""
    return [
        (script, strength, seed)
        for what, _, script, strength, seed in made_up.log(project)
        if what == "begin"
    ]


# What is made


def test_missing_runs_are_made_and_then_those_of_the_chosen_λ(
    stand_ins: StandIns,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar, bars = screen.bar, []

    def keep_bar(*arguments: Any, **more: Any) -> Any:
        bars.append(bar(*arguments, **more))
        return bars[-1]

    monkeypatch.setattr(screen, "bar", keep_bar)
    project = stand_ins()
    keep(results / "small", "finetune.py", 1, 0.9)
    whole = table(row("ewc", EWC), row("finetune", "finetune.py"))
    assert make(results, whole) == 0
    made = filled(results, whole)
    assert made.complete and made.rows[0].strengths == (1,)
    runs = begun(project)
    assert sorted(runs) == [
        ("ewc", "1.0", "0"),
        ("ewc", "1.0", "1"),
        ("ewc", "1.0", "100"),
        ("ewc", "3.0", "100"),
        ("finetune", "None", "0"),
    ]
    choice = [runs.index(("ewc", strength, "100")) for strength in ("1.0", "3.0")]
    assert max(choice) < min(runs.index(("ewc", "1.0", seed)) for seed in ("0", "1"))

    assert bars[0].finished and bars[0].tasks[0].total == 5
    *lines, last = capsys.readouterr().out.splitlines()
    for number, line in enumerate(lines):
        left = r"1 run left" if number == 3 else f"{4 - number} runs left"
        assert re.search(rf": done; {left}, about \d+:\d\d:\d\d$", line)
    assert last.endswith(": done; 0 runs left")

    assert make(results, whole) == 0
    assert begun(project) == runs  # nothing is left to do


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_than_so_many_run_at_once(stand_ins: StandIns, results: Path, at_once: int) -> None:
    # The first ones wait for each other, and can end only if all of them run.
    scripts = ("finetune", "sgd_freeze", "sgd_single_head", "joint")
    project = stand_ins(**dict.fromkeys(scripts, "meet"), number=at_once)
    rows = [row(script, f"{script}.py", seeds=(0,)) for script in scripts]
    assert make(results, table(*rows), at_once=at_once) == 0
    steps = [1 if what == "begin" else -1 for what, *_ in made_up.log(project)]
    assert max(itertools.accumulate(steps)) == at_once
    assert len(begun(project)) == 4


# What fails


def test_failing_and_diverging_commands_are_told_and_stop_no_other(
    stand_ins: StandIns, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = stand_ins(finetune="fail", ewc="fail", lwf="diverge")
    rows = (
        row("bad", "finetune.py", seeds=(0,)),
        row("also bad", EWC),
        row("diverges", "lwf.py --lambda 1", seeds=(0,)),
        row("good", "joint.py"),
    )
    assert make(results, table(*rows)) == 3  # two λ of ewc
    made = filled(results, table(*rows)).rows
    assert [each.row.label for each in made if not each.missing] == ["diverges", "good"]
    assert made[2].diverged(contents.ACC) == 1
    runs = begun(project)
    assert len(runs) == len(set(runs))
    out = capsys.readouterr().out
    lines = out.splitlines()
    command = commands.parse("finetune.py", made_up.FLAGS).arguments((), (0,))
    path = str(project / "finetune.py")
    words = [path, *command, "--results-dir", str(results / "small"), "--no-figures"]
    at = next(n for n, line in enumerate(lines) if line.startswith("small: bad, seed 0: "))
    assert "failed with status 1" in lines[at]
    assert lines[at + 1].endswith(f" {shlex.join(words)}") and lines[at + 2] == "  boom"
    assert "Traceback" not in out
    assert out.count("boom") == 3
    assert "small: also bad, λ 3, seed 100: failed" in out
    assert "small: diverges, λ 1, seed 0: done, 1 diverged" in out
    assert "\n  lwf: diverged\n" in out  # what the result says


def test_seeds_after_one_that_fails_are_tried_all_the_same(
    stand_ins: StandIns, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project, wanted = stand_ins(finetune="fail"), tuple(range(9))  # two or three a command
    assert make(results, table(row("bad", "finetune.py", seeds=wanted)), at_once=1) == 9
    tried_first = [seeds.split()[0] for _, _, seeds in begun(project)]
    assert sorted(map(int, tried_first)) == [*wanted]
    assert capsys.readouterr().out.splitlines()[-3].endswith("; 0 runs left")


def test_command_that_fails_before_its_first_step_stops_all(
    stand_ins: StandIns, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = stand_ins(finetune="refuse", joint="wait")
    rows = row("waits", "joint.py", seeds=(0,)), row("bad", "finetune.py"), row("good", EWC)
    with pytest.raises(jobs.CannotBegin):
        make(results, table(*rows))
    told = made_up.log(project)
    assert {script for _, _, script, *_ in told} <= {"joint", "finetune"} and len(told) <= 2
    assert not any(is_running(int(pid)) for _, pid, *_ in told)
    assert capsys.readouterr().out.count("boom") == 1


@pytest.mark.parametrize(("order", "status"), [("nothing", 0), ("lose", 3)])
def test_command_that_leaves_no_result_has_failed(
    stand_ins: StandIns,
    results: Path,
    capsys: pytest.CaptureFixture[str],
    order: str,
    status: int,
) -> None:
    stand_ins(finetune=order)
    with pytest.raises(jobs.CannotBegin):
        make(results, table(row("bad", "finetune.py", seeds=(0,))))
    out = capsys.readouterr().out
    assert f"small: bad, seed 0: failed with status {status}" in out
    assert "\n  it has left no result\n" in out


def test_damaged_file_ends_it_before_anything_is_made(stand_ins: StandIns, results: Path) -> None:
    project = stand_ins()
    path = keep(results / "small", "finetune.py", 0, 0.9)
    path.write_text("{")
    with pytest.raises(ResultError):
        make(results, table(row("joint", "joint.py"), row("finetune", "finetune.py")))
    assert begun(project) == []


# Processes

FATAL = "F0000 00:00:1795831616.538390 7647 env.cc:84] Check failed: ret == 0 (11 vs. 0)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, "")),
        (
            "import os, sys\n"
            "print(__name__, os.path.basename(__file__), sys.argv[1:], sys.stdin.closed, "
            "os.environ['TF_NUM_INTRAOP_THREADS'], os.environ['TF_NUM_INTEROP_THREADS'])",
            (0, "__main__ program.py ['--lambda', '1 2', 'λ'] False 1 1"),
        ),
        ("import sys; print('a'); print('b\\n\\n', file=sys.stderr); sys.exit(7)", (7, "b")),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", (0, "\ufffd")),
        ("1 / 0", (1, "ZeroDivisionError: division by zero")),
        ("print('x' * 200000)", (0, "x" * 200000)),  # more than a pipe holds
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", (-9, "")),
        (f"print('a\\n{FATAL}\\n*** Check failure stack trace: ***\\n  @ 0x7f')", (0, FATAL)),
        # As what keeps the last words of a process that has died.
        ("import os, time\nif os.fork(): os._exit(7)\ntime.sleep(0.3); print('late')", (7, "late")),
    ],
)
def test_script_runs_as_from_the_command_line_and_status_and_reason_are_told(
    tmp_path: Path, text: str, expected: tuple[int, str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(text)
    with jobs.processes(1) as start:
        ended = start([str(program), "--lambda", "1 2", "λ"]).result()
    assert (ended.returncode, jobs.reason(ended.stdout.decode(errors="replace"))) == expected


def is_running(pid: int) -> bool:
    """Return whether a process is there, and is not one that has ended and is not yet cleared."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    """Return as soon as a condition is true; fail if that takes too long."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


# The command that a user starts, with a table of stand-ins that never end.
PARENT = """
import sys
from pathlib import Path
import reproduce_tables
from harness import options
from tests.made_up import row, table
options.ROOT = Path(sys.argv[1])
rows = row("finetune", "finetune.py"), row("joint", "joint.py")
reproduce_tables.TABLES = (table(*rows),)
sys.argv = ["reproduce_tables.py", "--results-dir", sys.argv[2], "--jobs", "2"]
reproduce_tables.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_its_parent_however_that_ends(
    stand_ins: StandIns, results: Path, number: signal.Signals
) -> None:
    project = stand_ins(finetune="wait", joint="wait")
    # Ctrl-C is ignored by what is started in the background of a shell, and by its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(project), str(results)],
            cwd=made_up.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    pids: list[int] = []
    try:
        wait_for(lambda: len(made_up.log(project)) == 2 or parent.poll() is not None)
        pids = [int(pid) for _, pid, *_ in made_up.log(project)]
        assert len(pids) == 2 and all(map(is_running, pids))
        parent.send_signal(number)
        _, err = parent.communicate(timeout=60)
        wait_for(lambda: not any(map(is_running, pids)))
    finally:
        for pid in [*pids, parent.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if number == signal.SIGINT:
        assert parent.returncode == 130
        assert err == "\nreproduce_tables: interrupted; the same command goes on\n"
    else:
        assert parent.returncode == -number
