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
from typing import ClassVar

from common import data, importance, network, pruning, training
from harness import distribution, experiment, options
from harness import progress as progresses

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


def run(
    settings: Settings,
    tasks: Sequence[data.Task],
    seed: int = 0,
    progress: progresses.Progress | None = None,
) -> np.ndarray:
    """Learns task 0, measures, prunes and measures again; see `experiment.Run`.

    Returns:
        The accuracy [1, 1] on task 0 before pruning. `progress.details` has the statistics.
    """
    progress = progress or progresses.Progress()
    task = tasks[0]
    net = network.for_tasks(settings, [task], seed)
    masks = pruning.Masks(net.trunk)
    trainer = training.Trainer(net, settings, progress, seed)
    path = list(range(0, settings.prune_percent + 1, settings.prune_step))
    epoch = training.epoch_steps(task.examples, settings.batch_size)
    phases = [settings.epochs, *[settings.retrain_epochs] * len(path)]
    progress.start(epoch * sum(phases), network=net.variables, masks=masks.now)
    names = ["", *(f"pruned to percentile {percent}" for percent in path)]
    for number, epochs in progress.phases(list(enumerate(phases)), names):
        if number and progress.at_phase_start:
            signed = [progress.arrays[f"signed_{name}"] for name in network.NAMES[:4]]
            masks.prune(pruning.released_first_masks(signed, path[number - 1]))
        trainer.train(task, epoch * epochs, masks=masks.now)
        (test,), (validation,) = trainer.evaluate([task])
        if number == 0:
            progress.record([test], [validation])
            progress.details.update(importance={}, path=[])
            values, signed = measure(settings, net, task, seed, trainer.stream_order(task))
            distribution.keep(progress, "before", values)
            progress.arrays.update({f"signed_{name}": array for name, array in signed.items()})
        else:
            accuracy = {"accuracy": test, "validation_accuracy": validation}
            step = {"percent": path[number - 1], **accuracy, **pruning.sparsity(masks.now)}
            progress.details["path"] = [*progress.details["path"][: number - 1], step]
    values, _ = measure(settings, net, task, seed, trainer.stream_order(task))
    distribution.keep(progress, "after", values)
    return progress.matrix()


def measure(
    settings: Settings, net: network.MLP, task: data.Task, seed: int, order: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Measures the three importances of all trunk entries together, in batches of 100 in order.

    Returns:
        EWC, MAS and ANPyC's clipped importance, each [entries]; ANPyC's signed one per tensor.
    """
    known = {"permutation": task.permutation, "batch_size": 100, "order": order}
    used = "all-but-last" if settings.released("D3") else "all"
    images = task.train.images
    if settings.released("D4"):  # one image a batch, and every tensor draws its own labels
        fisher = [
            importance.fisher_importance(net, 0, images, (seed, k), [w], used="first", **known)[0]
            for k, w in enumerate(net.trunk)
        ]
    else:
        fisher = importance.fisher_importance(net, 0, images, (seed, 0), used=used, **known)
    per_image = not settings.released("D6")
    mas = importance.mas_importance(net, 0, images, per_image=per_image, used=used, **known)
    signed = importance.entropy_importance(net, 0, images, form="signed", used=used, **known)
    signed = [values.numpy() for values in signed]
    clipped = [np.maximum(values, 0) for values in signed]
    flat = [np.concatenate([np.ravel(one) for one in values]) for values in (fisher, mas, clipped)]
    return dict(zip(MEASURES, flat, strict=True)), dict(zip(network.NAMES[:4], signed, strict=True))


report = distribution.report

if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__, report)
