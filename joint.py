"""Joint training: all tasks at once. The reference that forgets nothing.

Every batch mixes images of all tasks. As released one output of 10·T classes tells task and class
apart. With --head multi every task has ten outputs of its own, as the methods with many
heads; with --head shared all tasks have the same ten, as the methods with one head.

    python joint.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

from common import data, network, training
from harness import experiment, options
from harness import progress as progresses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """The released settings."""

    tasks: int = 10
    hidden: tuple[int, int] = (512, 256)
    head: str = options.option(
        "single",
        "one 10·T-way output (single), one 10-way output per task (multi) or for all (shared)",
        choices=("single", "multi", "shared"),
    )
    epochs: int = options.option(50, "epochs over all tasks mixed", **options.COUNT)
    batch_size: int = 256
    learning_rate: float = 0.1
    lr_decay: float = 0.9
    lr_decay_epochs: float = 10
    dropout: float = 0.5
    dropout_layers: str = "both"
    init: str = "truncated-normal"

    DEFECTS: ClassVar = ("D1",)


def run(
    settings: Settings,
    tasks: Sequence[data.Task],
    seed: int = 0,
    progress: progresses.Progress | None = None,
) -> np.ndarray:
    """Learns all tasks together; arguments and result [1, T] as in `experiment.Run`."""
    progress = progress or progresses.Progress()
    data.check_tasks(tasks)
    dataset, head = tasks[0].dataset, settings.head
    if any(task.dataset is not dataset for task in tasks):
        raise ValueError("joint training mixes tasks of one data set; theirs are several")
    classes = dataset.classes
    net = network.MLP(
        settings.hidden,
        1,
        classes if head == "shared" else classes * len(tasks),
        dataset.pixels,
        seed,
        settings.init,
        network.Dropout(settings.dropout, settings.dropout_layers),
    )
    loss = own_head_cross_entropy(len(tasks)) if head == "multi" else training.cross_entropy
    trainer = training.Trainer(net, settings, progress, seed, loss=loss)
    permutations = [task.permutation for task in tasks]
    mixture = data.Mixture(dataset, np.stack(permutations), 0 if head == "shared" else classes)
    steps = settings.epochs * (mixture.examples // settings.batch_size)
    progress.start(steps, network=net.variables)
    trainer.train(mixture, steps)
    v, c = (variable.value() for variable in net.heads[0])
    firsts = [0 if head == "shared" else classes * task.number for task in tasks]
    heads = [(v, c)] * len(tasks)
    if head == "multi":
        heads = [(v[:, first : first + classes], c[first : first + classes]) for first in firsts]
        firsts = [0] * len(tasks)
    accuracies = []
    for split in (dataset.test, dataset.validation):
        keys = [(seed, task.number, len(split.labels)) for task in tasks]
        noise = keys if settings.released("D1") else None
        accuracies.append(training.accuracies(net, heads, split, permutations, firsts, noise))
    progress.record(*accuracies)
    return progress.matrix()


@functools.cache
def own_head_cross_entropy(tasks: int) -> training.Loss:
    """Returns the cross-entropy within the ten outputs of each image's own task.

    Args:
        tasks: T; the labels are 10·task + class.
    """
    import tensorflow as tf  # here, so that --help need not wait for it

    def loss(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = [-1, tasks, logits.shape[1] // tasks]
        log_p = tf.nn.log_softmax(tf.reshape(logits, shape))
        wanted = tf.reshape(tf.one_hot(labels, logits.shape[1]), shape)
        own = tf.reduce_sum(wanted, axis=2, keepdims=True)
        delta = own * tf.exp(log_p) - wanted
        return -tf.reduce_sum(wanted * log_p, axis=[1, 2]), tf.reshape(delta, logits.shape)

    return loss


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
