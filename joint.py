"""Joint training: all tasks at once. The reference that forgets nothing.

Every batch mixes images of all tasks. As released one output of 10·T classes tells task and class
apart. With --head multi every task has ten outputs of its own, as the methods with many
heads; with --head shared all tasks have the same ten, as the methods with one head.

    python joint.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from common import data, evaluation, losses, network, training
from harness import experiment, options
from harness.progress import Progress

import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """The released settings."""

    tasks: int = 10
    hidden: tuple[int, int] = (512, 256)
    head: str = options.option(
        "single",
        "one 10·T-way output (single), one 10-way output per task (multi) or for all (shared)",
        choices=("single", "multi", "shared"),
    )
    epochs: int = options.option(50, "epochs over all tasks mixed", **options.COUNT)
    batch_size: int = 256
    learning_rate: float = 0.1
    lr_decay: float = 0.9
    lr_decay_epochs: float = 10
    dropout: float = 0.5
    dropout_layers: str = "both"
    init: str = "truncated-normal"

    DEFECTS: ClassVar = ("D1",)


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], seed: int, progress: Progress
) -> np.ndarray:
    """Learns all tasks together; the result is [1, T]."""
    data.check_tasks(tasks)
    dataset, head = tasks[0].dataset, settings.head
    classes = dataset.classes
    own_outputs = head != "shared"
    net = network.MLP(
        settings.hidden,
        1,
        classes * len(tasks) if own_outputs else classes,
        dataset.pixels,
        seed,
        settings.init,
        network.Dropout(settings.dropout, settings.dropout_layers),
    )
    own = losses.own_head_cross_entropy(len(tasks))
    loss = own if head == "multi" else losses.cross_entropy
    trainer = training.Trainer(net, settings, progress, seed, loss=loss)
    mixture = data.mixed(tasks, own_outputs)
    steps = settings.epochs * (mixture.examples // settings.batch_size)
    progress.start(steps, network=net.variables)
    trainer.train(mixture, steps)
    v, c = (variable.value() for variable in net.heads[0])
    firsts = [classes * task.number if own_outputs else 0 for task in tasks]
    heads = [(v, c)] * len(tasks)
    if head == "multi":
        heads = [(v[:, first : first + classes], c[first : first + classes]) for first in firsts]
        firsts = [0] * len(tasks)
    permutations = [task.permutation for task in tasks]
    accuracies = []
    for split in (dataset.test, dataset.validation):
        keys = [(seed, task.number, len(split.labels)) for task in tasks]
        noise = keys if settings.released("D1") else None
        accuracies.append(evaluation.accuracies(net, heads, split, permutations, firsts, noise))
    progress.record(*accuracies)
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
