"""Comparison: our scripts beside Avalanche 0.6 (PyTorch), seconds a task on one thread of a CPU.

    pip install torch==2.14.1 torchvision==0.29.1
    pip install -r requirements.txt avalanche-lib==0.6.0
    python benchmark/beside_avalanche.py --output results/avalanche.json  # 6 minutes

Avalanche is no requirement of this project; give it an environment of its own. That takes 8 GB on
Linux, where PyPI's torch comes with CUDA, and pytest does not work there: avalanche-lib installs a
package `tests`, which hides ours.

The same on all sides: permuted MNIST, the network (two hidden ReLU layers, one head, no dropout),
batches of 256, an epoch's steps, the epochs, SGD with a constant rate, float32, one thread, no GPU.
What is timed is a task, from its first batch to the end of its importance pass. That leaves out,
on all sides, evaluation, checkpoints, logs, imports, reading and permuting images, and the first
task: there programs are compiled and there is no penalty yet. Every side has a process of its own
and waits while another has its turn. A round is the next task of one run on every side, who begins
changes from round to round, and ratios are within a round: a busy machine slows both sides of
them. `cores` in the JSON file is a side's processor time per second: 1, or less where it was busy.

Avalanche takes part twice. `theirs` is its documented way to bring tensors, `AvalancheDataset` over
`TensorDataset`, with `evaluator=None`: neither metrics nor loggers. From that, its loader fetches
one image at a time and stacks them. `batched` gives the dataset `__getitems__`, which PyTorch's
loader calls once a batch, and has it gather the batch at once: what its users seldom write, and the
fastest that we found without a change to Avalanche. More workers for the loader would be more
cores. Both have their images as float32 and permuted, where our scripts do that on the way.

What differs:

* Importance. Ours is exact per image. Avalanche's EWC and MAS take the square, or the absolute
  value, of a batch's mean gradient: less work, and other, smaller numbers. λ is not comparable;
  each side has one at which it is stable.
* EWC (`ewc`) is both sides' default: for every earlier task a quadratic with its own anchor. Ours
  adds them up to one; Avalanche (mode "separate") goes through all of them in every step, so that
  its cost grows from task to task, here from one to --rounds of them. `ewc-online` (if asked for)
  has one quadratic, by --gamma 1 here and by mode "online" with decay 1 there.
* MAS is of the squared logits. Ours sums the importances up, Avalanche averages them.
* SI of Avalanche 0.6 protects nothing on a CPU. The weights that it notes before and after a step
  are views of the same memory, so that they never differ and the importance stays 0: accuracies of
  `theirs` are those of `naive`. Its arithmetic is timed as it is, without the copies it lacks.
* Update. Ours is proximal, Avalanche differentiates the penalty. Its biases do not start at 0.

Accuracies stand beside the times: `learned`, on each task right after it, and `kept`, on all tasks
in the end. Where `learned` differs by more than ten points, there is no result.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

INSTALL = "pip install torch==2.14.1 torchvision==0.29.1 avalanche-lib==0.6.0 (see the file's head)"
# What each side imports, in its own process, before anything is timed.
SIDES = {"ours": "tensorflow", **dict.fromkeys(("theirs", "batched"), "avalanche.training")}
ONE_THREAD = (
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
)
NETWORKS = {"512-256": (512, 256), "64-32": (64, 32)}
BATCH, RATE = 256, 0.1
ALIKE = 0.1  # most that `learned` may differ


class Method(NamedTuple):
    """Our script, its settings beside the defaults, its λ; Avalanche's class, its arguments."""

    script: str
    settings: dict[str, Any]
    strength: dict[str, float]
    strategy: str
    options: dict[str, Any]


ONLINE = {"mode": "online", "decay_factor": 1.0}
METHODS = {
    "naive": Method("sgd_single_head", {}, {}, "Naive", {}),
    "ewc": Method("ewc", {}, {"strength": 10}, "EWC", {"ewc_lambda": 10}),
    "mas": Method("mas", {"output": "logits"}, {"strength": 0.03}, "MAS", {"lambda_reg": 0.03}),
    "si": Method("si", {}, {"strength": 0.1}, "SynapticIntelligence", {"si_lambda": 0.1}),
    "ewc-online": Method(
        "ewc", {"gamma": 1}, {"strength": 10}, "EWC", {"ewc_lambda": 10, **ONLINE}
    ),
}
DEFAULT = ("naive", "ewc", "mas", "si")


class Job(NamedTuple):
    """A run: name in METHODS, units of the hidden layers, tasks, epochs a task, images."""

    method: str
    hidden: tuple[int, int]
    tasks: int
    epochs: int
    images: int


def clocks() -> np.ndarray:
    """Returns seconds on the wall and of this process on processors, [2]."""
    return np.array([time.perf_counter(), time.process_time()])


def train_ours(job: Job, pipe: Connection) -> list[list[float]]:
    """Lets a script's own `run` train a task a turn, and sends the seconds of each (`clocks`).

    Returns:
        Test accuracy after each task on the tasks so far.
    """
    from common import data, training
    from harness import progress

    import tensorflow as tf

    evaluation = np.zeros(2)
    evaluate = training.Trainer.evaluate

    class Turns(progress.Progress):
        """Deals out the tasks."""

        def tasks(self, tasks: Sequence[Any]) -> Iterator[Any]:
            for task in super().tasks(tasks):
                pipe.recv()
                evaluation[:], began = 0, clocks()
                yield task
                pipe.send(clocks() - began - evaluation)
            pipe.recv()

    def timed(*arguments: Any) -> Any:
        began = clocks()
        accuracies = evaluate(*arguments)
        evaluation[:] += clocks() - began
        return accuracies

    method = METHODS[job.method]
    script = importlib.import_module(method.script)
    own: dict[str, Any] = {"tasks": job.tasks, "hidden": job.hidden}
    own.update(epochs=job.epochs, steps=None)
    own.update(batch_size=BATCH, learning_rate=RATE, lr_decay=1, dropout=0, init="fan-in-uniform")
    dataset = data.load_mnist().first(job.images).convert(tf.constant)
    settings, turns = script.Settings(**own, **method.settings), Turns()
    tasks = data.permuted_tasks(dataset, job.tasks)
    with mock.patch.object(training.Trainer, "evaluate", timed):
        script.run(settings, tasks, **method.strength, seed=0, progress=turns)
    return turns.accuracy


def train_theirs(job: Job, pipe: Connection, batched: bool) -> list[list[float]]:
    """Lets Avalanche do the same; with `batched`, its dataset hands out whole batches."""
    from common import data

    import torch
    from avalanche.benchmarks import benchmark_from_datasets
    from avalanche.benchmarks.utils import AvalancheDataset
    from avalanche.training import supervised
    from torch import nn
    from torch.utils.data._utils.collate import default_collate_fn_map

    torch.set_num_threads(1)
    torch.manual_seed(0)

    class Batch(tuple):
        """Images and labels that need no collating."""

    class Batches(AvalancheDataset):
        """Has the method that PyTorch's loader looks for."""

        def __getitems__(self, rows: list[int]) -> list[Batch]:
            return [Batch(tensor[rows] for tensor in self.tensors)]

    default_collate_fn_map[Batch] = lambda batches, *, collate_fn_map: list(batches[0])

    def tensors(split: Any, permutation: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        images = np.asarray(split.images)[:, permutation] / np.float32(255)
        return torch.from_numpy(images), torch.from_numpy(split.labels.astype(np.int64))

    def accuracy(task: data.Task) -> float:
        images, labels = tensors(task.test, task.permutation)
        with torch.no_grad():
            return float((model(images).argmax(dim=1) == labels).float().mean())

    tasks = data.permuted_tasks(data.load_mnist().first(job.images), job.tasks)
    first, second = job.hidden
    layers = [nn.Linear(784, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(second, 10))
    method = METHODS[job.method]
    strategy = getattr(supervised, method.strategy)(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=RATE),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=BATCH,
        train_epochs=job.epochs,
        evaluator=None,
        **method.options,
    )
    accuracies = []
    for task in tasks:
        pipe.recv()
        chosen = tensors(task.train, task.permutation)
        kind = Batches if batched else AvalancheDataset
        dataset = kind(torch.utils.data.TensorDataset(*chosen))
        dataset.tensors = chosen
        experience = benchmark_from_datasets(train=[dataset]).streams["train"][0]
        began = clocks()
        strategy.train(experience)
        seconds = clocks() - began
        accuracies.append([accuracy(one) for one in tasks[: task.number + 1]])
        pipe.send(seconds)
    pipe.recv()
    return accuracies


def serve(side: str, pipe: Connection) -> None:
    """Does the jobs of one side, in a process of its own, until the pipe ends."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"), CUDA_VISIBLE_DEVICES="-1")
    warnings.simplefilter("ignore")
    try:
        importlib.import_module("common")  # sets what TensorFlow reads when it is imported
        importlib.import_module(SIDES[side])
    except Exception as error:  # whatever versions raise that do not go together
        pipe.send(f"{SIDES[side]} cannot be imported: {' '.join(str(error).split())}")
        return
    pipe.send("")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while job := pipe.recv():
            ours = side == "ours"
            pipe.send(train_ours(job, pipe) if ours else train_theirs(job, pipe, side == "batched"))


def workers() -> dict[str, Connection]:
    """Starts a process for every side; returns the pipes to them.

    Raises:
        ImportError: one of them lacks what it needs.
    """
    context = multiprocessing.get_context("spawn")
    pipes = {}
    for side in SIDES:
        pipes[side], other_end = context.Pipe()
        context.Process(target=serve, args=(side, other_end), daemon=True).start()
        other_end.close()  # so that the pipe ends with the process
    faults = [pipe.recv() for pipe in pipes.values()]
    if any(faults):
        raise ImportError(max(faults))
    return pipes


def contest(job: Job, pipes: dict[str, Connection]) -> dict[str, dict[str, Any]]:
    """Returns by side `each`, seconds of all tasks but the first, and `cores`, `learned`, `kept`.

    Raises:
        AssertionError: one side did not learn what another did.
    """
    taken: dict[str, list[np.ndarray]] = {side: [] for side in pipes}
    for pipe in pipes.values():
        pipe.send(job)
    sides = list(pipes)
    for _ in range(job.tasks):
        for side in sides:
            pipes[side].send("go")
            taken[side].append(pipes[side].recv())
        sides.append(sides.pop(0))
    found = {}
    for side, pipe in pipes.items():
        pipe.send("end")
        accuracy = pipe.recv()
        wall, processor = np.transpose(taken[side][1:]).tolist()
        found[side] = {
            "each": wall,
            "cores": round(sum(processor) / sum(wall), 2),
            "learned": round(statistics.mean(row[-1] for row in accuracy), 4),
            "kept": round(statistics.mean(accuracy[-1]), 4),
        }
    learned = [one["learned"] for one in found.values()]
    assert max(learned) - min(learned) < ALIKE, (job, found)
    return found


def main() -> None:
    """Measures, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4, help="tasks after the first one [4]")
    parser.add_argument("--epochs", type=int, default=1, help="a task [1]")
    parser.add_argument("--images", type=int, default=55_000, help="for training [55000]")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=DEFAULT)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--output", type=Path, help="JSON file [none]")
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.epochs) < 1 or not BATCH <= arguments.images <= 55_000:
        parser.error(f"--rounds and --epochs start at 1, --images at {BATCH} (up to 55000)")
    if arguments.output and not arguments.output.absolute().parent.is_dir():
        parser.error(f"no folder {arguments.output.parent}")
    missing = [name for name in ("torch", "avalanche") if not importlib.util.find_spec(name)]
    if missing:
        parser.exit(2, f"{parser.prog}: error: no {' and no '.join(missing)} here: {INSTALL}\n")
    try:
        pipes = workers()
    except ImportError as error:
        parser.exit(2, f"{parser.prog}: error: {error}: {INSTALL}\n")
    importlib.import_module("common")  # as in `serve`
    benchmark = importlib.import_module("speed")  # not from `tests`, which may be Avalanche's
    report: dict[str, Any] = {"platform": platform.platform(), "threads": 1}
    for package in ("tensorflow", "torch", "avalanche-lib"):
        report[package] = importlib.metadata.version(package)
    report.update(epochs=arguments.epochs, batch=BATCH, images=arguments.images, networks={})
    header = ["one thread each", "ours, s", "theirs / ours", "batched / ours", "kept, %"]
    title = "seconds a task; ratios: median (quartiles); accuracies: ours, theirs"
    table = benchmark.rich.table.Table(*header, title=title, title_justify="left")
    console = benchmark.rich.console.Console(soft_wrap=True, highlight=False)
    for network in arguments.networks:
        report["networks"][network] = {}
        for method in arguments.methods:
            hidden, count = NETWORKS[network], arguments.rounds + 1
            row = contest(Job(method, hidden, count, arguments.epochs, arguments.images), pipes)
            ours = row["ours"]["each"]
            for side, one in row.items():
                each = one.pop("each")
                one["seconds"] = round(statistics.median(each), 3)
                if side != "ours":
                    one["ratio"] = benchmark.ratio(each, ours)
            report["networks"][network][method] = row
            shown = [benchmark.summaries.spread(row[one]["ratio"]) for one in ("theirs", "batched")]
            kept = ", ".join(f"{100 * row[side]['kept']:.1f}" for side in ("ours", "theirs"))
            table.add_row(f"{network} {method}", f"{row['ours']['seconds']:.2f}", *shown, kept)
            console.print(f"{network} {method}: {row}", markup=False)
            if arguments.output:
                arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print(table)


if __name__ == "__main__":
    main()
