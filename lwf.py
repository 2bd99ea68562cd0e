"""LwF: learning without forgetting (Li and Hoiem 2016).

While a task is learned, the old heads' outputs on its images are held near those of the network as
it was when the task began, the teacher: λ Σ_s D_s, D_s the cross-entropy between the teacher's and
the student's softmax of head s at temperature τ (equation 8). As in the release, and unlike in the
paper, old heads stay as they are and a new head is not warmed up.

    python lwf.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from common import data, evaluation, network, released, schedule, streams, training
from harness import experiment, options
from harness.progress import Progress

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
    evaluate_steps: int | None = None
    strength: tuple[float, ...] = options.strength(
        (0.01,), released={"D12": (0.01, 0.1, 0.5, 1, 2, 4, 6, 8)}
    )
    temperature: float = options.option(2, "of both softmaxes", **options.POSITIVE)
    distillation: str = options.option(
        "sum", "how the old tasks' terms are combined", choices=("sum", "mean")
    )

    DEFECTS: ClassVar = ("D1", "D11", "D12")


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], strength: float, seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    teacher = network.copies(net.trunk)
    noisy = settings.released("D11")
    trainer = training.Trainer(
        net,
        settings,
        progress,
        seed,
        auxiliary=noisy_distillation if noisy else distillation,
        dropout_in_evaluation=settings.released("D1"),
    )
    steps = schedule.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables, teacher=teacher)
    for task in progress.tasks(tasks):
        if progress.at_phase_start:
            network.assign(teacher, net.trunk)
        if noisy:
            key = streams.stateless_seed(seed, task.number, streams.TEACHER)[0]
            knows: Any = [network.permuted(teacher, task.permutation), net.dropout, key]
        else:
            knows = evaluation.features(teacher, task)
        # Old heads do not move, so that teacher and student have them in common.
        weight = strength if settings.distillation == "sum" else strength / max(1, task.number)
        weights = np.where(np.arange(len(tasks)) < task.number, weight, 0).astype(np.float32)
        inputs = [knows, network.stacked(net.heads), weights, np.float32(settings.temperature)]
        trainer.train(task, steps[task.number], auxiliary_inputs=inputs)  # λ Σ_s D_s, below
        trainer.record()
    return progress.matrix()


def distillation(inputs: network.Layers, rows: Any, step: Any, features: Any, *held: Any) -> Any:
    """`distil` with the teacher's h2 of all images, features [N, H2]; the batch has rows [B]."""
    import tensorflow as tf  # here, so that --help need not wait for it

    return distil(inputs.head, tf.gather(features, rows), *held)


def noisy_distillation(inputs: Any, rows: Any, step: Any, teacher: Any, *held: Any) -> Any:
    """`distil` as released (D11): the teacher has dropout of its own."""
    return distil(inputs.head, released.teacher_h2(teacher, step, inputs), *held, epsilon=1e-5)


def distil(
    student_h2: Any, teacher_h2: Any, heads: Any, weights: Any, tau: Any, *, epsilon: float = 0.0
) -> Any:
    """Returns Σ_s weight_s · mean_n −Σ_k p_nsk log(q_nsk + ε) and its derivative [B, H2] (eq. 8).

    p and q are the softmax at temperature τ of the teacher's and the student's logits of head s;
    heads are V [H2, T·K] and c [T·K] of all tasks, weights λ for old tasks and 0 for others [T].
    """
    import tensorflow as tf

    v, c = heads
    shape = [student_h2.shape[0], weights.shape[0], -1]
    p = tf.nn.softmax(tf.reshape(teacher_h2 @ v + c, shape) / tau)
    log_q = tf.nn.log_softmax(tf.reshape(student_h2 @ v + c, shape) / tau)
    q = tf.exp(log_q)
    p_held = p
    if epsilon:
        log_q, p_held = tf.math.log(q + epsilon), p * q / (q + epsilon)
    losses = -tf.reduce_sum(p * log_q, axis=2) @ weights[:, None]
    delta = q * tf.reduce_sum(p_held, axis=2, keepdims=True) - p_held
    delta *= weights[None, :, None] / (tau * shape[0])
    return tf.reduce_mean(losses), tf.matmul(tf.reshape(delta, [shape[0], -1]), v, transpose_b=True)


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
