"""EWC: elastic weight consolidation (Kirkpatrick et al. 2017).

After each task the diagonal F of its Fisher information is measured, and a quadratic with its own
anchor is added to the penalty, (λ/2) Σ_k F_k (θ − θ*_k)² (README, "Baselines").

    python ewc.py

README.md, "Scripts", has the result and the time to expect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from common import consolidation, data, experiment, importance, network, options, training


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
    update: str = "proximal"
    strength: tuple[float, ...] = options.strength((0.1, 1, 10), released={"D4": (15,)})

    DEFECTS: ClassVar = ("D3", "D4", "D5", "D14", "D16")


def run(
    settings: Settings,
    tasks: Sequence[data.Task],
    strength: float = 15.0,
    seed: int = 0,
    progress: experiment.Progress | None = None,
) -> np.ndarray:
    """Learns the tasks one after another.

    Args:
        settings: of the script; their lists of λ and seeds are not used.
        tasks: in order.
        strength: λ.
        seed: of initial weights, shuffling and dropout.
        progress: of a run that is shown, saved and resumed; None for none of that.

    Returns:
        The accuracy matrix R [T, T], fractions, NaN above the diagonal.
    """
    progress = progress or experiment.Progress()
    net = network.for_tasks(settings, tasks, seed)
    penalty = consolidation.Consolidation(
        net.shared,
        strength,
        merge="latest" if settings.released("D5") else "quadratics",
        half=True,
        update=settings.update,
    )
    trainer = training.Trainer(net, settings, progress, seed)
    steps = settings.budget(tasks[0].examples)
    progress.start(
        steps * len(tasks), network=net.variables, omega=penalty.omega, anchor=penalty.anchor
    )
    used = "all-but-last" if settings.released("D3") else "all"
    if settings.released("D4"):
        used = "first"
    for task in progress.tasks(tasks):
        before = training.released_reading(steps) if settings.released("D14") else steps
        for is_read, portion in progress.phases([(True, before), (False, steps - before)]):
            trainer.train(task, portion, penalty)
            if is_read:
                progress.record(*trainer.evaluate(tasks[: task.number + 1]))
        fisher = importance.fisher_importance(
            net,
            net.head_of(task.number),
            task.train.images,
            seed=(seed, task.number),
            parameters=net.shared,
            permutation=task.permutation,
            used=used,
        )
        penalty.absorb(fisher)
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
