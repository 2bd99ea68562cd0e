"""A hundred tasks: memory does not grow with their number."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SCRIPTS

pytestmark = pytest.mark.slow

OTHERS = ("joint", "cal_importance_distribution")
SEQUENTIAL = [script for script in SCRIPTS if script not in OTHERS]


def peak_memory(start_script: Callable[..., Any], script: str, folder: Path, tasks: int) -> int:
    """Return the peak memory of a run with so many tasks, as the system counts it."""
    flags = ["--tasks", tasks, "--epochs", 1, "--results-dir", folder / str(tasks)]
    with start_script(script, folder, *flags) as process, process.stdout, process.stderr:
        process.stdout.read()  # it prints nothing to standard error
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


@pytest.mark.parametrize("script", SEQUENTIAL)
def test_memory_is_that_of_ten_tasks(
    script: str, start_script: Callable[..., Any], tmp_path: Path
) -> None:
    ten, hundred = (peak_memory(start_script, script, tmp_path, tasks) for tasks in (10, 100))
    assert hundred < 1.1 * ten
