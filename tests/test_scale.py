"""A hundred tasks: memory does not grow with their number.

Networks and images are large enough for a copy of either with every task to show.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import SCRIPTS
from tests.idx import write_idx_dataset

import pytest

pytestmark = pytest.mark.slow

OTHERS = ("joint", "cal_importance_distribution")
SEQUENTIAL = [script for script in SCRIPTS if script not in OTHERS]
IMAGES = 10_000
LARGE = f"--train-examples {IMAGES} --batch-size 256 --hidden 512 256 --learning-rate 0.1".split()


@pytest.fixture(scope="session")
def many_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set of few test images, which every evaluation goes through."""
    return write_idx_dataset(tmp_path_factory.mktemp("many"), train=5000 + IMAGES, test=100)


def peak_memory(start_script: Callable[..., Any], script: str, *flags: Any) -> int:
    """Return the peak memory of a run, as the system counts it."""
    with start_script(script, Path.cwd(), *LARGE, *flags) as process:
        process.stdout.read()  # it prints nothing to standard error
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


@pytest.mark.parametrize("script", SEQUENTIAL)
def test_memory_is_that_of_ten_tasks(
    script: str, start_script: Callable[..., Any], many_images: Path, tmp_path: Path
) -> None:
    folders = ["--data-dir", many_images, "--results-dir", tmp_path]
    ten, hundred = (
        peak_memory(start_script, script, *folders, "--tasks", tasks, "--epochs", 1)
        for tasks in (10, 100)
    )
    assert hundred < 1.1 * ten
