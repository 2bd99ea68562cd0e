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

from common import data, network, training
from harness import experiment, options
from harness import progress as progresses

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

    DEFECTS: ClassVar = ("D14",)


def run(
    settings: Settings,
    tasks: Sequence[data.Task],
    seed: int = 0,
    progress: progresses.Progress | None = None,
) -> np.ndarray:
    """Learns the tasks one after another; arguments and result as in `experiment.Run`."""
    progress = progress or progresses.Progress()
    net = network.for_tasks(settings, tasks, seed)
    trainer = training.Trainer(net, settings, progress, seed)
    steps = training.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables)
    for task in progress.tasks(tasks):
        fixed = training.features(net.trunk, task) if task.number else None
        own = steps[task.number]
        before = training.released_reading(own) if settings.released("D14") else own
        portions = [(True, before), (False, own - before)]
        for is_read, portion in progress.phases(portions, ["", "after the reading"]):
            if fixed is None:
                trainer.train(task, portion)
            else:
                trainer.train_head(task, fixed, portion)
            if is_read:
                progress.record(*trainer.evaluate(progress.learned))
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
