"""The benchmark's rivals do the scripts' own update, and its check would tell if they did not.

The comparison with Avalanche says what it lacks. Where it lacks nothing these tests cannot run:
avalanche-lib 0.6 installs a package `tests` of its own, which hides this one.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmark import beside_avalanche
from benchmark import speed as benchmark
from common import data

import pytest
import tensorflow as tf


def tasks(method: str) -> list[data.Task]:
    dataset = data.load_mnist().first(benchmark.FEW).convert(tf.constant)
    return data.permuted_tasks(dataset, 2 if method == "joint" else benchmark.TASKS)


@pytest.mark.slow
@pytest.mark.parametrize("method", benchmark.METHODS)
def test_rivals_end_at_the_same_weights(method: str) -> None:
    benchmark.check(method, tasks(method))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "forgotten"),
    [
        ("anpyc_wo_np", "omega anchor"),
        ("anpyc_wi_np", "omega anchor"),
        ("anpyc_wi_np", "masks"),
        ("ewc", "omega anchor"),
        ("mas", "omega anchor"),
        ("si", "omega anchor"),
        ("lwf", "teacher"),
    ],
)
def test_check_notices_what_a_rival_forgets(
    method: str, forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = benchmark.Step.__init__

    def incomplete(self: Any, *arguments: Any) -> None:
        complete(self, *arguments)
        for attribute in forgotten.split():
            setattr(self, attribute, [])

    monkeypatch.setattr(benchmark.Step, "__init__", incomplete)
    with pytest.raises(AssertionError):
        benchmark.check(method, tasks(method))


def test_without_avalanche_the_comparison_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "avalanche", None)
    monkeypatch.setattr(sys, "argv", ["beside_avalanche.py"])
    with pytest.raises(SystemExit) as ended:
        beside_avalanche.main()
    printed = capsys.readouterr()
    assert ended.value.code == 2 and not printed.out
    (line,) = printed.err.splitlines()
    assert "avalanche" in line and "pip install" in line
