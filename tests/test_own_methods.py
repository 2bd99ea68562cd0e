"""Methods of one's own, written as README's "Add a method" says: what they need is the interface.

They are in tests/methods/: RWalk gathers something in the steps, L2 has an importance, replay has
batches of its own. None touches a file but its own.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from harness import experiment, run_files
from tests import oracles, runs
from tests.oracles import assert_close, float64, same_bits
from tests.runs import TASKS, run, settings_of

import numpy as np
import pytest

METHODS = ["tests.methods.l2", "tests.methods.rwalk", "tests.methods.replay"]
each_method = pytest.mark.parametrize("method", METHODS)


@pytest.mark.parametrize(
    "method",
    [*(pytest.param(method, marks=pytest.mark.slow) for method in METHODS[:2]), METHODS[2]],
)
def test_method_runs_from_the_command_line_and_is_not_repeated(
    method: str, tiny_data: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    module = importlib.import_module(method)
    small = "--tasks 2 --steps 30 --batch-size 20 --hidden 16 8 --train-examples 300 --device cpu"
    small += " --figures none"
    where = ["--data-dir", str(tiny_data), "--results-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [method, *small.split(), "--lambda", "0", "3", *where])
    for word in ("seed 0:", "all runs are done"):
        with pytest.raises(SystemExit) as ended:
            experiment.main(module.Settings, module.run, module.__file__, module.__doc__)
        assert not ended.value.code
        assert word in capsys.readouterr().out
    found = [json.loads(path.read_text()) for path in tmp_path.glob("*/*.json")]
    assert sorted(result["lambda"] for result in found) == [0, 3]
    assert all(np.shape(result["accuracy"][-1]) == (2,) for result in found)


@each_method
@pytest.mark.parametrize("stop", [2, 5])
def test_interrupted_method_ends_bit_for_bit_like_an_uninterrupted_one(
    method: str, stop: int, tmp_path: Path
) -> None:
    def stop_there(_, epoch: int) -> None:
        if epoch == stop:
            raise InterruptedError

    whole = run(method, strength=0.5)
    files = run_files.RunFiles(tmp_path, "seed0", {"script": method})
    with files.locked():
        with pytest.raises(InterruptedError):
            run(method, strength=0.5, files=files, watch=stop_there)
        resumed = run(method, strength=0.5, files=files)
    assert resumed.epochs == whole.epochs - stop
    assert same_bits(resumed.net.variables, whole.net.variables)
    np.testing.assert_array_equal(resumed.matrix, whole.matrix)


@pytest.mark.parametrize("method", METHODS[:2])
def test_method_without_strength_is_fine_tuning_bit_for_bit(method: str) -> None:
    same = {"init": "truncated-normal", "dropout_layers": "both"}
    ours, plain = run(method, strength=0, head="multi", **same), run("finetune", **same)
    held = run(method, strength=0.5, head="multi", **same)
    assert same_bits(ours.net.variables, plain.net.variables)
    assert not same_bits(held.net.variables, plain.net.variables)


def test_what_is_followed_equals_a_loop_over_the_steps() -> None:
    settings = {"dropout": 0.0, "lr_decay": 1.0}
    walked = run(METHODS[1], TASKS[:1], strength=0.5, **settings)
    own = settings_of(METHODS[1], **settings)
    slow = oracles.Training(float64(runs.initial(1).parameters(0)))
    fisher, score = ([np.zeros(p.shape) for p in slow.theta] for _ in range(2))
    for step in range(walked.progress.task_steps):
        before = list(slow.theta)
        slow.train(TASKS[0], 1, own, first=step)
        for k, (old, new) in enumerate(zip(before, slow.theta, strict=True)):
            g = (old - new) / own.learning_rate
            fisher[k] = own.alpha * fisher[k] + (1 - own.alpha) * g**2
            change = new - old
            score[k] += np.maximum(-g * change, 0) / (0.5 * fisher[k] * change**2 + own.xi)
    expected = [
        f / max(map(np.max, fisher)) + s / max(map(np.max, score))
        for f, s in zip(fisher, score, strict=True)
    ]
    assert_close(walked.consolidated[0][1], expected, rtol=1e-2)


@pytest.mark.parametrize("head", ["single", "multi"])
def test_replayed_batches_train_the_heads_of_earlier_tasks(head: str) -> None:
    heads: list[list[np.ndarray]] = []

    def watch(nets, epoch: int) -> None:
        heads.append(float64(tensor for pair in nets[0].heads for tensor in pair))

    run(METHODS[2], TASKS[:2], strength=0.1, watch=watch, head=head, memory=10)
    if head == "multi":  # in the last epoch, in task 1, the head of task 0 learns, too
        assert all(np.abs(heads[-1][k] - heads[-2][k]).max() > 0 for k in range(4))
        assert all(same_bits([heads[0][k]], [heads[1][k]]) for k in (2, 3))
