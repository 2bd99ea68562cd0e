"""EWC with replay: half of each batch comes from the first images of earlier tasks.

python replay.py --memory 100 --lambda 0 10
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from common import (
    consolidation,
    data,
    importance,
    losses,
    network,
    schedule,
    streams,
    training,
)
from harness import experiment, options
from harness.progress import Progress

import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """Those of ewc.py, where this has them."""

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
    strength: tuple[float, ...] = (10.0,)
    memory: int = options.option(100, "images kept of each task", **options.COUNT)


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], strength: float, seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    penalty = consolidation.Consolidation(
        net.shared, strength, "quadratics", half=True, update=settings.update
    )
    own_outputs = settings.head == "multi"
    loss = losses.own_head_cross_entropy(len(tasks)) if own_outputs else losses.cross_entropy
    trainer = training.Trainer(net, settings, progress, seed, loss=loss)
    steps = schedule.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables, omega=penalty.omega, anchor=penalty.anchor)
    for task in progress.tasks(tasks):
        mixture = data.mixed(tasks, own_outputs, task.number)
        batches = Batches(task, seed, settings.batch_size, min(settings.memory, task.examples))
        trainer.train(mixture, steps[task.number], penalty, batches=batches)
        penalty.consolidate(importance.fisher(net, task, (seed, task.number)))
        trainer.record()
    progress.details["omega"] = penalty.histograms()
    return progress.matrix()


@dataclasses.dataclass(frozen=True)
class Batches:
    """Batches of a mixture, in which example e is image e % N of task e // N."""

    task: data.Task
    seed: int
    size: int
    memory: int

    def __call__(self, first: int, count: int) -> np.ndarray:
        """Returns the examples of batches first … first + count − 1, [count, size]."""
        number, images = self.task.number, self.task.examples
        batches = schedule.batches(self.seed, number, images, self.size, first, count)
        batches = batches + number * images
        if number:
            random = np.random.default_rng([self.seed, number, first, streams.OWN])
            shape = count, self.size // 2
            old = random.integers(number, size=shape) * images
            batches[:, : self.size // 2] = old + random.integers(self.memory, size=shape)
        return batches


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
