"""SI: synaptic intelligence (Zenke et al. 2017).

While a task is learned, every weight's share in the fall of the loss is summed up along the path;
at the task's end that gives its importance, which is added to that of earlier tasks (equation 7).
The penalty is c Σ Ω (θ − θ*)²; c is --lambda.

    python si.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from common import consolidation, data, importance, losses, network, released, schedule, training
from harness import experiment, options
from harness.progress import Progress

import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """The released settings."""

    tasks: int = 10
    hidden: tuple[int, int] = (512, 256)
    head: str = "single"
    epochs: int | None = 50
    steps: int | None = None
    batch_size: int = 64
    learning_rate: float = 0.01
    lr_decay: float = 1
    lr_decay_epochs: float = 10
    dropout: float = 0.5
    dropout_layers: str = "both"
    init: str = "fan-in-uniform"
    evaluate_every: int | None = None
    evaluate_steps: int | None = None
    update: str = "proximal"
    strength: tuple[float, ...] = options.strength((0.1,), text="c, consolidation strength")
    xi: float = options.option(0.1, "ξ, damping of the importance", **options.POSITIVE)

    DEFECTS: ClassVar = ("D1", "D7", "D8", "D16")


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], strength: float, seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    penalty = consolidation.Consolidation(net.shared, strength, merge="sum", update=settings.update)
    path = importance.PathIntegral(net.shared, start_at_zero=settings.released("D8"))
    trainer = training.Trainer(
        net,
        settings,
        progress,
        seed,
        loss=released.softmax_twice if settings.released("D7") else losses.cross_entropy,
        dropout_in_evaluation=settings.released("D1"),
    )
    steps = schedule.budget(settings, tasks)  # of each task
    progress.start(
        sum(steps),
        network=net.variables,
        omega=penalty.omega,
        anchor=penalty.anchor,
        path=path.path,
        path_start=path.start,
    )
    for task in progress.tasks(tasks):
        # In every step s −= Δθ ⊙ g, `PathIntegral.follow`: the sum in equation 7.
        trainer.train(task, steps[task.number], penalty, follow=path)
        penalty.consolidate(path.importance(settings.xi, clip=not settings.released("D8")))
        path.restart()
        trainer.record()
    progress.details["omega"] = penalty.histograms()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
