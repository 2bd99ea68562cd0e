"""Joint training: all tasks at once. The upper bound.

Every batch mixes images of all tasks. As released one output of 10·T classes tells task and class
apart; --head multi gives every task its own ten outputs, the bound of the task-aware methods
(README, "Baselines").

    python joint.py

README.md, "Scripts", has the result and the time to expect.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from common import data, experiment, network, options, training


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """The released settings."""

    tasks: int = 10
    hidden: tuple[int, int] = (512, 256)
    head: str = options.option(
        "single", "one 10·T-way output (single) or one per task (multi)", choices=options.HEADS
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
    progress: experiment.Progress | None = None,
) -> np.ndarray:
    """Learns all tasks together.

    Args:
        settings: of the script; their list of seeds is not used.
        tasks: in order.
        seed: of initial weights, shuffling and dropout.
        progress: of a run that is shown, saved and resumed; None for none of that.

    Returns:
        The accuracies [1, T], fractions. With the single output task and class have to be right.
    """
    progress = progress or experiment.Progress()
    dataset, own = tasks[0].dataset, settings.head == "multi"
    net = network.MLP(
        settings.hidden,
        1,
        len(tasks) * dataset.classes,
        dataset.pixels,
        seed,
        settings.init,
        network.Dropout(settings.dropout, settings.dropout_layers),
    )
    loss = own_head_cross_entropy(len(tasks)) if own else training.cross_entropy
    trainer = training.Trainer(net, settings, progress, seed, loss=loss)
    mixture = data.Mixture(dataset, np.stack([task.permutation for task in tasks]))
    steps = settings.epochs * (mixture.examples // settings.batch_size)
    progress.start(steps, network=net.variables)
    trainer.train(mixture, steps)
    rows = ([], [])
    for task in tasks:
        *trunk, v, c = net.parameters(0)
        first = task.number * dataset.classes
        block = slice(first, first + dataset.classes)
        head = (v[:, block], c[block]) if own else (v, c)
        for row, split in zip(rows, (task.test, task.validation), strict=True):
            key = (seed, task.number, len(split.labels)) if settings.released("D1") else None
            row.append(
                training.accuracy(
                    net,
                    [*trunk, *head],
                    split,
                    task.permutation,
                    first_class=0 if own else first,
                    dropout_seed=key,
                )
            )
    progress.record(*rows)
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
