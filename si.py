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

from common import consolidation, data, importance, network, training
from harness import experiment, options
from harness import progress as progresses

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
    update: str = "proximal"
    strength: tuple[float, ...] = options.strength((0.1,), text="c, consolidation strength")
    xi: float = options.option(0.1, "ξ, damping of the importance", **options.POSITIVE)

    DEFECTS: ClassVar = ("D1", "D7", "D8", "D16")


def run(
    settings: Settings,
    tasks: Sequence[data.Task],
    strength: float = 0.1,
    seed: int = 0,
    progress: progresses.Progress | None = None,
) -> np.ndarray:
    """Learns the tasks one after another; arguments and result as in `experiment.Run`."""
    progress = progress or progresses.Progress()
    net = network.for_tasks(settings, tasks, seed)
    penalty = consolidation.Consolidation(net.shared, strength, merge="sum", update=settings.update)
    path = importance.PathIntegral(net.shared)
    loss = training.softmax_twice if settings.released("D7") else training.cross_entropy
    trainer = training.Trainer(
        net, settings, progress, seed, loss=loss, noisy=settings.released("D1")
    )
    steps = training.budget(settings, tasks)  # of each task
    if settings.released("D8"):
        for start in path.start:
            start.assign(0 * start)
    progress.start(
        sum(steps),
        network=net.variables,
        omega=penalty.omega,
        anchor=penalty.anchor,
        path=path.path,
        path_start=path.start,
    )
    for task in progress.tasks(tasks):
        trainer.train(task, steps[task.number], penalty, path=path)
        penalty.absorb(path.importance(settings.xi, clip=not settings.released("D8")))
        path.restart()
        progress.record(*trainer.evaluate(progress.learned))
    progress.details["omega"] = penalty.histograms()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
