"""LwF: learning without forgetting (Li and Hoiem 2016).

While a task is learned, the old heads' outputs on its images are held near those of the network as
it was when the task began, the teacher: λ Σ_s D_s, D_s the cross-entropy between the teacher's and
the student's softmax of head s at temperature τ (equation 8).

    python lwf.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
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
    head: ClassVar[str] = "multi"
    epochs: int | None = 50
    steps: int | None = None
    batch_size: int = 256
    learning_rate: float = 0.1
    lr_decay: float = 0.9
    lr_decay_epochs: float = 10
    dropout: float = 0.5
    dropout_layers: str = "both"
    init: str = "truncated-normal"
    evaluate_every: int | None = None
    strength: tuple[float, ...] = options.strength(
        (0.01,), released={"D12": (0.01, 0.1, 0.5, 1, 2, 4, 6, 8)}
    )
    temperature: float = options.option(2, "of both softmaxes", **options.POSITIVE)

    DEFECTS: ClassVar = ("D1", "D11", "D12")


def run(
    settings: Settings,
    tasks: Sequence[data.Task],
    strength: float = 0.01,
    seed: int = 0,
    progress: progresses.Progress | None = None,
) -> np.ndarray:
    """Learns the tasks one after another; arguments and result as in `experiment.Run`."""
    progress = progress or progresses.Progress()
    net = network.for_tasks(settings, tasks, seed)
    teacher = network.for_tasks(settings, tasks, seed).trunk
    noisy = settings.released("D11")
    auxiliary = noisy_distillation if noisy else distillation
    trainer = training.Trainer(
        net, settings, progress, seed, noisy=settings.released("D1"), auxiliary=auxiliary
    )
    steps = training.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables, teacher=teacher)
    for task in progress.tasks(tasks):
        if progress.at_phase_start:
            for kept, weights in zip(teacher, net.trunk, strict=True):
                kept.assign(weights)
        # Old heads do not move, so that teacher and student have them in common.
        weights = np.where(np.arange(len(tasks)) < task.number, strength, 0).astype(np.float32)
        heads = [network.stacked(net.heads), weights, np.float32(settings.temperature)]
        if noisy:
            key = network.stateless_seed(seed, task.number, network.TEACHER)[0]
            known = [network.permuted(teacher, task.permutation), net.dropout, key]
        else:
            known = [training.features(teacher, task)]
        trainer.train(task, steps[task.number], extras=[*heads, *known])
        progress.record(*trainer.evaluate(progress.learned))
    return progress.matrix()


def distillation(inputs, rows, step, heads, weights, temperature, features):
    """`distil` with the teacher's h2 of all images, features [N, H2]; the batch has rows [B]."""
    import tensorflow as tf  # here, so that --help need not wait for it

    return distil(inputs.head, tf.gather(features, rows), heads, weights, temperature)


def noisy_distillation(inputs, rows, step, heads, weights, temperature, teacher, dropout, key):
    """`distil` as released (D11): a teacher with dropout of its own, W1's rows in pixel order."""
    pixels = inputs.hidden1
    batch, hidden = pixels.shape[0], (teacher[1].shape[0], teacher[3].shape[0])
    words = dropout.draw([key, step], 1, batch, hidden)[0]
    layers, _ = network.forward([*teacher, *heads], pixels, dropout.masks(words, batch, hidden))
    return distil(inputs.head, layers.head, heads, weights, temperature, epsilon=1e-5)


def distil(student_h2, teacher_h2, heads, weights, temperature, epsilon=0.0):
    """Returns Σ_s weight_s · mean_n −Σ_k p_nsk log(q_nsk + ε), and its derivative [B, H2].

    p and q are the softmax at temperature τ of the teacher's and the student's logits of head s;
    heads are V [H2, T·K] and c [T·K] of all tasks, weights λ for old tasks and 0 for others [T].
    """
    import tensorflow as tf

    v, c = heads
    shape = [student_h2.shape[0], weights.shape[0], -1]
    p = tf.nn.softmax(tf.reshape(teacher_h2 @ v + c, shape) / temperature)
    log_q = tf.nn.log_softmax(tf.reshape(student_h2 @ v + c, shape) / temperature)
    q = tf.exp(log_q)
    p_held = p
    if epsilon:
        log_q, p_held = tf.math.log(q + epsilon), p * q / (q + epsilon)
    losses = -tf.reduce_sum(p * log_q, axis=2) @ weights[:, None]
    delta = q * tf.reduce_sum(p_held, axis=2, keepdims=True) - p_held
    delta *= weights[None, :, None] / (temperature * shape[0])
    return tf.reduce_mean(losses), tf.matmul(tf.reshape(delta, [shape[0], -1]), v, transpose_b=True)


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
