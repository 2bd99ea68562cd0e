"""ANPyC without neural pruning: consolidation by structure-aware importance.

After each task the importance Ω of every trunk weight is measured (equation 1) and merged with that
of earlier tasks, by the element-wise maximum or (--merge) as a sum; while a later task is learned,
every weight is held near its old value in proportion to Ω (equations 2 and 3).

    python anpyc_wo_np.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from common import consolidation, data, importance, network, released, schedule, training
from harness import experiment, options
from harness.progress import Progress

import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """The released settings."""

    tasks: int = 10
    hidden: tuple[int, int] = (512, 256)
    head: str = "multi"
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
    update: str = "proximal"
    merge: str = "max"
    measure: str = "released"
    strength: tuple[float, ...] = options.strength(
        (1.5,), released={"D12": (0.5, 1.5, 2, 2.5, 3, 4, 6, 7, 8, 10, 12, 15)}
    )

    DEFECTS: ClassVar = ("D1", "D2", "D3", "D12", "D16")


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], strength: float, seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    penalty = consolidation.Consolidation(
        net.shared, strength, settings.merge, update=settings.update
    )
    trainer = training.Trainer(
        net, settings, progress, seed, dropout_in_evaluation=settings.released("D1")
    )
    steps = schedule.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables, omega=penalty.omega, anchor=penalty.anchor)
    for task in progress.tasks(tasks):
        trainer.train(task, steps[task.number], penalty)  # equations 2 and 3
        omega = importance.entropy(  # equation 1
            net,
            task,
            settings.measure,
            order=trainer.order(task),
            used=released.used(settings),  # D3
            dropout_seed=(seed, task.number) if settings.released("D2") else None,
        )
        penalty.consolidate(omega)
        trainer.record()
    progress.details["omega"] = penalty.histograms()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
