"""L2: every weight is held near its value after the last task, all alike.

python l2.py --lambda 0.001 0.01
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from common import consolidation, data, network, schedule, training
from harness import experiment, options
from harness.progress import Progress

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """Those of mas.py, where L2 has them."""

    tasks: int = 10
    hidden: tuple[int, int] = (512, 256)
    head: str = "single"
    epochs: int | None = None
    steps: int | None = 10_000
    batch_size: int = 256
    learning_rate: float = 0.001
    lr_decay: float = 1
    lr_decay_epochs: float = 10
    dropout: float = 0.5
    dropout_layers: str = "h2"
    init: str = "truncated-normal"
    evaluate_every: int | None = None
    evaluate_steps: int | None = None
    update: str = "proximal"
    strength: tuple[float, ...] = (0.01,)


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], strength: float, seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    penalty = consolidation.Consolidation(net.shared, strength, "latest", update=settings.update)
    trainer = training.Trainer(net, settings, progress, seed)
    steps = schedule.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables, omega=penalty.omega, anchor=penalty.anchor)
    for task in progress.tasks(tasks):
        trainer.train(task, steps[task.number], penalty)
        penalty.consolidate([tf.ones_like(weights) for weights in net.shared])
        trainer.record()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
