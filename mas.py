"""MAS: memory-aware synapses (Aljundi et al. 2018).

After each task the sensitivity Ω of the output's squared norm to every weight is measured and added
to that of earlier tasks (equation 6); the penalty is (λ/2) Σ Ω (θ − θ*)².

    python mas.py

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
    strength: tuple[float, ...] = options.strength((10,), released={"D6": (0.1,)})
    output: str = options.option(
        "probabilities", "what is squared: softmax or logits", choices=("probabilities", "logits")
    )

    DEFECTS: ClassVar = ("D3", "D6", "D14", "D16")


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], strength: float, seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    penalty = consolidation.Consolidation(
        net.shared, strength, merge="sum", half=True, update=settings.update
    )
    record_at = released.last_reading if settings.released("D14") else None
    trainer = training.Trainer(net, settings, progress, seed, record_at=record_at)
    steps = schedule.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables, omega=penalty.omega, anchor=penalty.anchor)
    for task in progress.tasks(tasks):
        trainer.train(task, steps[task.number], penalty)  # equations 2 and 3
        trainer.record()
        omega = importance.mas(  # equation 6
            net,
            task,
            settings.output,
            order=trainer.order(task),
            per_image=not settings.released("D6"),
            used=released.used(settings),  # D3
        )
        penalty.consolidate(omega)
    progress.details["omega"] = penalty.histograms()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
