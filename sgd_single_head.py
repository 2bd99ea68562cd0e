"""SGD with a single head: all tasks share every weight, and nothing protects the old ones.

The lower bound of the single-head methods.

    python sgd_single_head.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from common import data, network, schedule, training
from harness import experiment, options
from harness.progress import Progress

import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """The released settings."""

    tasks: int = 10
    hidden: tuple[int, int] = (512, 256)
    head: ClassVar[str] = "single"
    epochs: int | None = 50
    steps: int | None = None
    batch_size: int = 256
    learning_rate: float = 0.1
    lr_decay: float = 0.9
    lr_decay_epochs: float = 10
    dropout: float = 0.5
    dropout_layers: str = "both"
    init: str = "truncated-normal"
    evaluate_every: int | None = None
    evaluate_steps: int | None = None

    DEFECTS: ClassVar = ("D1", "D9")


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    trainer = training.Trainer(
        net,
        settings,
        progress,
        seed,
        dropout_in_evaluation=settings.released("D1"),
        decay_anew=settings.released("D9"),
    )
    steps = schedule.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables)
    for task in progress.tasks(tasks):
        trainer.train(task, steps[task.number])
        trainer.record()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
