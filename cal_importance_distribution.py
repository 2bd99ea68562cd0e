"""How importance is distributed over the weights, before and after pruning: EWC, MAS and ANPyC.

Task 0 is learned, the three importances are measured, the network is pruned along a path of rising
percentiles of its signed structure-aware importance with a little training after each step, and
they are measured again.

    python cal_importance_distribution.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from common import data, importance, network, pruning, released, schedule, training
from harness import distribution, experiment, options
from harness.progress import Progress

import numpy as np

MEASURES = ("EWC", "MAS", "ANPyC")


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """The released settings."""

    tasks: ClassVar[int] = 1
    hidden: tuple[int, int] = (64, 32)
    head: ClassVar[str] = "multi"
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 0.1
    lr_decay: float = 0.9
    lr_decay_epochs: float = 10
    dropout: float = 0.0
    dropout_layers: str = "both"
    init: str = "truncated-normal"
    prune_percent: int = options.option(85, "last percentile of the path", **options.PERCENT)
    prune_step: int = options.option(5, "from one percentile to the next", **options.STEP)
    retrain_epochs: int = options.option(2, "epochs after each step of the path", **options.COUNT)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    plot_only: bool = options.option(False, "draw the figures again from the stored results")

    DEFECTS: ClassVar = ("D3", "D4", "D6")


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], seed: int, progress: Progress
) -> np.ndarray:
    """Learns task 0, measures, prunes and measures again.

    Returns:
        The accuracy [1, 1] on task 0 before pruning. `progress.details` has the statistics.
    """
    task = tasks[0]
    net = network.for_tasks(settings, [task], seed)
    masks = pruning.Masks(net.trunk)
    trainer = training.Trainer(net, settings, progress, seed)
    path = list(range(0, settings.prune_percent + 1, settings.prune_step))
    epoch = schedule.epoch_steps(task.examples, settings.batch_size)
    phases = [settings.epochs, *[settings.retrain_epochs] * len(path)]
    progress.start(epoch * sum(phases), network=net.variables, masks=masks.now)
    names = ["", *(f"pruned to percentile {percent}" for percent in path)]
    for number, epochs in progress.phases(list(enumerate(phases)), names):
        if number and progress.at_phase_start:
            omega = [progress.arrays[f"signed_{name}"] for name in network.NAMES[:4]]
            masks.prune(pruning.released_first_masks(omega, path[number - 1]))
        trainer.train(task, epoch * epochs, masks=masks.now)
        (test,), (validation,) = trainer.evaluate([task])
        if number == 0:
            progress.record([test], [validation])
            progress.details.update(importance={}, path=[])
            values, signed = measure(settings, net, task, seed, trainer.order(task))
            distribution.keep(progress, "before", values)
            progress.arrays.update({f"signed_{name}": array for name, array in signed.items()})
        else:
            accuracy = {"accuracy": test, "validation_accuracy": validation}
            step = {"percent": path[number - 1], **accuracy, **pruning.sparsity(masks.now)}
            progress.details["path"] = [*progress.details["path"][: number - 1], step]
    values, _ = measure(settings, net, task, seed, trainer.order(task))
    distribution.keep(progress, "after", values)
    return progress.matrix()


def measure(
    settings: Settings, net: network.MLP, task: data.Task, seed: int, order: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Measures the three importances of all trunk entries together, in batches of 100 in order.

    Returns:
        EWC, MAS and ANPyC's clipped importance, each [entries]; ANPyC's signed one per tensor.
    """
    read: Any = {"batch_size": 100, "order": order, "used": released.used(settings, ["D3"])}
    if settings.released("D4"):  # one image a batch, and every tensor draws its own labels
        first: Any = {**read, "used": released.used(settings)}
        fisher = [
            importance.fisher(net, task, (seed, place), parameters=[weights], **first)[0]
            for place, weights in enumerate(net.trunk)
        ]
    else:
        fisher = importance.fisher(net, task, (seed, 0), parameters=net.trunk, **read)
    per_image = not settings.released("D6")
    mas = importance.mas(net, task, parameters=net.trunk, per_image=per_image, **read)
    entropy = importance.entropy(net, task, "signed", net.trunk, **read)
    signed = [omega.numpy() for omega in entropy]
    clipped = [np.maximum(omega, 0) for omega in signed]
    flat = [np.concatenate([np.ravel(omega) for omega in each]) for each in (fisher, mas, clipped)]
    return dict(zip(MEASURES, flat, strict=True)), dict(zip(network.NAMES[:4], signed, strict=True))


report = distribution.report

if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__, report)
