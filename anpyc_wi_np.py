"""ANPyC: adversarial neural pruning and synaptic consolidation.

Each task is learned with all weights free, then in rounds: the weights whose removal changes the
output entropy least are set to 0 and the others trained again. Afterwards the structure-aware
importance Ω is measured and added to that of earlier tasks (equation 1), which holds every weight
in place, in proportion, while later tasks are learned (equations 2 and 3). At the start of the next
task the pruned weights are free to grow again.

    python anpyc_wi_np.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from common import consolidation, data, importance, network, pruning, released, schedule, training
from harness import experiment, options
from harness.progress import Progress

import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """The released settings."""

    tasks: int = 10
    hidden: tuple[int, int] = (64, 32)
    head: str = "multi"
    epochs: int | None = 30
    steps: int | None = None
    batch_size: int = 256
    learning_rate: float = 0.02
    lr_decay: float = 0.9
    lr_decay_epochs: float = 5
    dropout: float = 0.5
    dropout_layers: str = "both"
    init: str = "truncated-normal"
    evaluate_every: int | None = None
    evaluate_steps: int | None = None
    update: str = "proximal"
    merge: str = "sum"
    measure: str = "released"
    strength: tuple[float, ...] = (3,)
    prune_percent: int = options.option(50, "target of the first task", **options.PERCENT)
    prune_decay: float = options.option(0.8, "of the target, task by task", **options.SHARE)
    prune_step: int = options.option(10, "percent from one round to the next", **options.STEP)
    retrain_epochs: int = options.option(30, "epochs after each pruning round", **options.COUNT)

    DEFECTS: ClassVar = ("D3", "D10", "D15", "D16")


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], strength: float, seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    penalty = consolidation.Consolidation(
        net.shared, strength, settings.merge, update=settings.update
    )
    masks = pruning.Masks(net.trunk)
    trainer = training.Trainer(net, settings, progress, seed)
    percents = pruning.pruning_schedule(
        len(tasks), settings.prune_percent, settings.prune_decay, settings.prune_step
    )
    steps = schedule.budget(settings, tasks)  # of each task
    retrain = [
        settings.retrain_epochs * schedule.epoch_steps(task.examples, settings.batch_size)
        for task in tasks
    ]
    progress.start(
        sum(steps) + sum(retrain[t] * len(rounds) for t, rounds in enumerate(percents)),
        network=net.variables,
        omega=penalty.omega,
        anchor=penalty.anchor,
        masks=masks.now,
        previous_masks=masks.previous,
    )
    used = released.used(settings)  # D3
    for task in progress.tasks(tasks):
        rounds = [0, *percents[task.number]]
        names = ["", *(f"pruned to {percent} %" for percent in rounds[1:])]
        for percent in progress.phases(rounds, names):
            if percent and progress.at_phase_start:
                # Pruning ranks by the absolute form of equation 1.
                form = "released" if settings.released("D15") else "absolute"
                omega = importance.entropy(
                    net, task, form, net.trunk, order=trainer.order(task), used=used
                )
                if settings.released("D15"):
                    new = masks.as_released(task.number, omega, percent)
                else:
                    new = masks.lowest(omega, percent)
                masks.prune(new)
                trainer.read()
                entry = {"task": task.number, "percent": percent, **pruning.sparsity(new)}
                progress.details.setdefault("sparsity", []).append(entry)
            first_phase = task.number == 0 and percent == 0
            decay = 0.99 if first_phase and settings.released("D10") else None
            own = (retrain if percent else steps)[task.number]
            trainer.train(task, own, penalty, masks.now, lr_decay=decay)  # equations 2 and 3
        # Consolidation takes equation 1 as it is.
        omega = importance.entropy(
            net, task, settings.measure, order=trainer.order(task), used=used
        )
        penalty.consolidate(omega)
        masks.free()
        trainer.record()
    progress.details["omega"] = penalty.histograms()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
