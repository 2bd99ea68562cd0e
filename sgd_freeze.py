"""SGD with a frozen trunk: learned on task 0, then every task trains its own head alone.

With dropout on h2 alone the trunk's output is fixed, so it is computed once a task and the head is
trained on it.

    python sgd_freeze.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from common import data, evaluation, network, released, schedule, training
from harness import experiment, options
from harness.progress import Progress

import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """The released settings."""

    tasks: int = 10
    hidden: tuple[int, int] = (512, 256)
    head: ClassVar[str] = "multi"
    epochs: int | None = None
    steps: int | None = 10_000
    batch_size: int = 256
    learning_rate: float = 0.001
    lr_decay: float = 1
    lr_decay_epochs: float = 10
    dropout: float = 0.5
    dropout_layers: ClassVar[str] = "h2"
    init: str = "truncated-normal"
    evaluate_every: int | None = None
    evaluate_steps: int | None = None

    DEFECTS: ClassVar = ("D14",)


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    record_at = released.last_reading if settings.released("D14") else None
    trainer = training.Trainer(net, settings, progress, seed, record_at=record_at)
    steps = schedule.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables)
    for task in progress.tasks(tasks):
        if task.number == 0:
            trainer.train(task, steps[0])
        else:
            features = evaluation.features(net.trunk, task)
            trainer.train_head(task, features, steps[task.number])
        trainer.record()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
