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
    update: str = "proximal"
    strength: tuple[float, ...] = options.strength((10,), released={"D6": (0.1,)})
    output: str = options.option(
        "probabilities", "what is squared: softmax or logits", choices=("probabilities", "logits")
    )

    DEFECTS: ClassVar = ("D3", "D6", "D14", "D16")


def run(
    settings: Settings,
    tasks: Sequence[data.Task],
    strength: float = 10.0,
    seed: int = 0,
    progress: progresses.Progress | None = None,
) -> np.ndarray:
    """Learns the tasks one after another; arguments and result as in `experiment.Run`."""
    progress = progress or progresses.Progress()
    net = network.for_tasks(settings, tasks, seed)
    penalty = consolidation.Consolidation(
        net.shared, strength, merge="sum", half=True, update=settings.update
    )
    trainer = training.Trainer(net, settings, progress, seed)
    steps = training.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables, omega=penalty.omega, anchor=penalty.anchor)
    for task in progress.tasks(tasks):
        own = steps[task.number]
        before = training.released_reading(own) if settings.released("D14") else own
        portions = [(True, before), (False, own - before)]
        for is_read, portion in progress.phases(portions, ["", "after the reading"]):
            trainer.train(task, portion, penalty)
            if is_read:
                progress.record(*trainer.evaluate(progress.learned))
        omega = importance.mas_importance(
            net,
            net.head_of(task.number),
            task.train.images,
            parameters=net.shared,
            output=settings.output,
            permutation=task.permutation,
            order=trainer.stream_order(task),
            per_image=not settings.released("D6"),
            used="all-but-last" if settings.released("D3") else "all",
        )
        penalty.absorb(omega)
    progress.details["omega"] = penalty.histograms()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
