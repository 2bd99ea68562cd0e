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
from collections.abc import Callable, Iterator
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
    names = [one.name for one in all_tables]
    return jobs.make(all_tables, names, commands.Store(results), at_once)


def begun(project: Path) -> list[tuple[str, str, str]]:
    """Return script, λ and seed of every run that was begun, in order."""
    return [
        (script, strength, seed)
        for what, _, script, strength, seeds in made_up.log(project)
        if what == "begin"
        for seed in seeds.split()
    ]


# What is made


def test_missing_runs_are_made_and_then_those_of_the_chosen_λ(
    stand_ins: StandIns, results: Path
) -> None:
    project = stand_ins()
    keep(results / "small", "finetune.py", 1, 0.9)
    whole = table(row("ewc", EWC), row("finetune", "finetune.py"))
    assert make(results, whole) == 0
    found = filled(results, whole)
    assert found.complete and found.rows[0].strengths == (1,)
    places = begun(project)
    assert sorted(places) == [
        ("ewc", "1.0", "0"),
        ("ewc", "1.0", "1"),
        ("ewc", "1.0", "100"),
        ("ewc", "3.0", "100"),
        ("finetune", "None", "0"),
    ]
    choice = [places.index(("ewc", strength, "100")) for strength in ("1.0", "3.0")]
    assert max(choice) < min(places.index(("ewc", "1.0", seed)) for seed in ("0", "1"))
    assert make(results, whole) == 0
    assert begun(project) == places  # nothing is left to do


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_no_more_than_so_many_run_at_once(stand_ins: StandIns, results: Path, at_once: int) -> None:
    # The first ones wait for each other, and can end only if all of them run.
    scripts = ("finetune", "sgd_freeze", "sgd_single_head", "joint")
    project = stand_ins(**dict.fromkeys(scripts, "meet"), number=at_once)
    rows = [row(script, f"{script}.py", seeds=(0,)) for script in scripts]
    assert make(results, table(*rows), at_once=at_once) == 0
    steps = [1 if what == "begin" else -1 for what, *_ in made_up.log(project)]
    assert max(itertools.accumulate(steps)) == at_once
    assert len(begun(project)) == 4


def test_portions_of_one_λ_go_to_one_command(stand_ins: StandIns, results: Path) -> None:
    project = stand_ins()
    assert make(results, table(row("", "finetune.py"), seeds=tuple(range(8))), at_once=1) == 0
    seeds = [one[-1] for one in made_up.log(project) if one[0] == "begin"]
    assert seeds == ["0 1 2 3", "4 5", "6", "7"]


def test_time_left_is_told_from_the_second_run_on(
    stand_ins: StandIns,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_ins()
    bar, bars = screen.bar, []

    def keep_bar(*arguments: Any, **more: Any) -> Any:
        bars.append(bar(*arguments, **more))
        return bars[-1]

    monkeypatch.setattr(screen, "bar", keep_bar)
    look, left = jobs._Overall.look, []

    def look_and_note(*arguments: Any) -> None:
        look(*arguments)
        left.append(bars[0].tasks[0].time_remaining)

    monkeypatch.setattr(jobs._Overall, "look", look_and_note)
    hidden = ["64 32", "100 30", "77 13", "19 7"]
    rows = [row(one, "finetune.py", flags=f"--tasks 3 --hidden {one}") for one in hidden]
    assert make(results, table(*rows), at_once=1) == 0
    assert None not in left[-len(hidden) :]
    assert bars[0].finished
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3 and all(re.search(r" left, about \d+:\d\d:\d\d$", one) for one in lines)
    assert last.endswith("; 0 runs left")


def test_run_that_ends_between_two_looks_is_counted_once(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = table(row("", "finetune.py"), seeds=(0, 1, 2))
    store = commands.Store(results)

    def plan() -> list[commands.MissingRuns]:
        filled = contents.evaluate([whole], ["small"], store)
        known = contents.missing_runs({"small": filled["small"]})
        shown.plan(filled, known)
        return known

    with jobs._Overall(store) as shown:
        (part,) = plan()
        keep(results / "small", "finetune.py", 0, 0.9)
        plan()
        keep(results / "small", "finetune.py", 1, 0.9)
        shown._began -= 3600
        assert shown.ended(part, 1, "boom")
    # Half the time that two have taken.
    assert "failed with status 1; 1 run left, about 0:30:0" in capsys.readouterr().out


# What fails


def test_failing_command_is_told_and_stops_no_other(
    stand_ins: StandIns, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = stand_ins(finetune="fail", ewc="fail")
    rows = (
        row("bad", "finetune.py", seeds=(0,)),
        row("also bad", EWC),
        row("good", "joint.py"),
    )
    assert make(results, table(*rows)) == 3  # two λ of ewc
    complete = [one.row.label for one in filled(results, table(*rows)).rows if not one.missing]
    assert complete == ["good"]
    places = begun(project)
    assert len(places) == len(set(places))
    out = capsys.readouterr().out
    command = commands.parse("finetune.py", made_up.FLAGS).arguments((), (0,))
    path = str(project / "finetune.py")
    words = [path, *command, "--results-dir", str(results / "small"), "--no-figures"]
    lines = out.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("small: bad, seeds 0: "))
    assert "failed" in lines[at] and "1" in lines[at]
    assert lines[at + 1].endswith(f" {shlex.join(words)}") and lines[at + 2] == "  boom"
    assert "Traceback" not in out
    assert out.count("boom") == 3
    assert "small: also bad, λ 3, seeds 100: failed" in out


def test_command_that_fails_before_its_first_step_stops_all(
    stand_ins: StandIns, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = stand_ins(finetune="refuse", joint="wait")
    rows = row("waits", "joint.py", seeds=(0,)), row("bad", "finetune.py"), row("good", EWC)
    with pytest.raises(jobs.CannotBegin):
        make(results, table(*rows))
    told = made_up.log(project)
    assert {one[2] for one in told} <= {"joint", "finetune"} and len(told) <= 2
    assert not any(is_running(int(one[1])) for one in told)
    assert capsys.readouterr().out.count("boom") == 1


def test_diverged_run_is_no_failure(
    stand_ins: StandIns, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_ins(finetune="diverge")
    whole = table(row("bad", "finetune.py", seeds=(0,)), row("good", "joint.py", seeds=(0,)))
    assert make(results, whole) == 0
    found = filled(results, whole)
    assert found.complete and found.rows[0].diverged(contents.ACC) == 1
    out = capsys.readouterr().out
    assert "small: bad, seeds 0: diverged" in out
    assert "\n  finetune: diverged\n" in out  # what the result says
    assert "small: good, seeds 0: done" in out and "failed" not in out


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
    assert f"small: bad, seeds 0: failed with status {status}" in out
    assert "\n  it has left no result\n" in out


def test_damaged_file_ends_it_before_anything_is_made(stand_ins: StandIns, results: Path) -> None:
    project = stand_ins()
    path = keep(results / "small", "finetune.py", 0, 0.9)
    path.write_text("{")
    with pytest.raises(ResultError):
        make(results, table(row("joint", "joint.py"), row("finetune", "finetune.py")))
    assert begun(project) == []


# Processes


def is_running(pid: int) -> bool:
    """Return whether a process is there, and is not one that has ended and is not yet cleared."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Return what a condition gives as soon as it is true; fail if that takes too long."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def ended(running: jobs.Jobs) -> tuple[int, str]:
    """Return exit status and reason of the next job that ends."""
    return next(iter(wait_for(lambda: running.ended(1)).values()))


KEY: Any = "a key"


def program(folder: Path, text: str) -> str:
    """Write a script and return its path."""
    path = folder / "program.py"
    path.write_text(text)
    return str(path)


def test_script_runs_as_from_the_command_line(tmp_path: Path) -> None:
    text = (
        "import os, sys\n"
        "print(__name__, os.path.basename(__file__), sys.argv[1:], len(sys.argv[0]) > 9, "
        "os.environ['TF_NUM_INTRAOP_THREADS'], os.environ['TF_NUM_INTEROP_THREADS'])\n"
        "sys.exit(7)"
    )
    with jobs.Jobs() as running:
        running.start(KEY, [program(tmp_path, text), "--lambda", "1 2", "λ"])
        assert ended(running) == (7, "__main__ program.py ['--lambda', '1 2', 'λ'] True 1 1")
        assert running.running == {}


FATAL = "F0000 00:00:1795831616.538390 7647 env.cc:84] Check failed: ret == 0 (11 vs. 0)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, "")),
        ("print('a\\nb\\n\\n')", (0, "b")),
        ("import sys; print('a'); print('b', file=sys.stderr)", (0, "b")),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", (0, "\ufffd")),
        ("1 / 0", (1, "ZeroDivisionError: division by zero")),
        ("import sys; print(sys.stdin.closed)", (0, "False")),
        ("print('x' * 200000)", (0, "x" * 200000)),  # more than a pipe holds
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", (-9, "")),
        (f"print('a\\n{FATAL}\\n*** Check failure stack trace: ***\\n  @ 0x7f')", (0, FATAL)),
        # As what keeps the last words of a process that has died.
        ("import os, time\nif os.fork(): os._exit(7)\ntime.sleep(0.3); print('late')", (7, "late")),
    ],
)
def test_status_and_reason_are_told(tmp_path: Path, text: str, expected: tuple[int, str]) -> None:
    with jobs.Jobs() as running:
        running.start(KEY, [program(tmp_path, text)])
        assert ended(running) == expected


@pytest.mark.parametrize("order", ["wait", "ignore"])
def test_error_ends_what_is_running(
    stand_ins: StandIns,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    order: str,
) -> None:
    project = stand_ins(finetune=order, joint=order)
    monkeypatch.setattr(jobs, "_STOP_SECONDS", 0.5 if order == "ignore" else 60)
    whole = table(row("", "finetune.py"), row("joint", "joint.py"))
    parts = [part for one in filled(results, whole).rows for part in one.missing]
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, usual))
    with pytest.raises(KeyError), jobs.Jobs() as running:
        for part in parts:
            running.start(part, part.arguments(results))
        wait_for(lambda: len(made_up.log(project)) == 2)
        assert list(running.running) == parts and running.ended(0) == {}
        processes = list(running.running.values())
        raise KeyError
    assert running.running == {}
    expected = 130 if order == "wait" else -signal.SIGKILL
    assert [process.returncode for process in processes] == [expected] * 2


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


@contextlib.contextmanager
def parent(project: Path, results: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Start `reproduce_tables.py`; yield it and its children's pids, once both are at work."""
    # Ctrl-C is ignored by what is started in the background of a shell, and by its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
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
        wait_for(lambda: len(made_up.log(project)) == 2 or process.poll() is not None)
        pids = [int(one[1]) for one in made_up.log(project)]
        assert len(pids) == 2 and all(map(is_running, pids))
        yield process, pids
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def test_interruption_ends_the_children(stand_ins: StandIns, results: Path) -> None:
    project = stand_ins(finetune="wait", joint="wait")
    with parent(project, results) as (process, pids):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "interrupted; the same command goes on" in err and "Traceback" not in err
        assert not any(map(is_running, pids))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_outlives_its_parent(
    stand_ins: StandIns, results: Path, number: signal.Signals
) -> None:
    project = stand_ins(finetune="wait", joint="ignore")
    with parent(project, results) as (process, pids):
        process.send_signal(number)
        process.wait(60)
        wait_for(lambda: not any(map(is_running, pids)), seconds=10)
