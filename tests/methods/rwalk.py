"""RWalk: Riemannian walk (Chaudhry et al. 2018).

In every step a running Fisher information F ← α F + (1 − α) g² is kept, and a score gathered: how
much the loss fell, per length of the way, s += max(0, −g Δθ) / (½ F Δθ² + ξ). After a task both are
scaled to at most 1, and the score is averaged with that of earlier tasks; then F + s holds the
weights.

    python rwalk.py --lambda 0.1 1
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from common import consolidation, data, network, schedule, training
from harness import experiment, options
from harness.progress import Progress

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """Those of si.py, where RWalk has them."""

    tasks: int = 10
    hidden: tuple[int, int] = (512, 256)
    head: str = "single"
    epochs: int | None = 50
    steps: int | None = None
    batch_size: int = 64
    learning_rate: float = 0.01
    lr_decay: float = 1
    lr_decay_epochs: float = 10
    dropout: float = 0.5
    dropout_layers: str = "both"
    init: str = "fan-in-uniform"
    evaluate_every: int | None = None
    evaluate_steps: int | None = None
    update: str = "proximal"
    strength: tuple[float, ...] = (1.0,)
    alpha: float = options.option(0.9, "of the running Fisher information", **options.SHARE)
    xi: float = options.option(0.01, "ξ, damping of the score", **options.POSITIVE)


class Walk:
    """The running Fisher information and the score, gathered in the steps."""

    def __init__(self, parameters: Sequence[tf.Variable], alpha: float, xi: float) -> None:
        """Starts at 0."""
        self.fisher, self.score, self.mean_score = (
            [tf.Variable(tf.zeros_like(p)) for p in parameters] for _ in range(3)
        )
        self.state = [self.fisher, self.score]
        self.follow = walk(alpha, xi)

    def importance(self, task: int) -> list[tf.Tensor]:
        """Returns F + s, both scaled, and begins the next task's score."""
        scores = scaled(self.score)
        if task:
            scores = [(old + new) / 2 for old, new in zip(self.mean_score, scores, strict=True)]
        network.assign(self.mean_score, scores)
        network.assign(self.score, [tf.zeros_like(score) for score in self.score])
        return [f + s for f, s in zip(scaled(self.fisher), scores, strict=True)]


@functools.cache
def walk(alpha: float, xi: float) -> Callable[..., Any]:
    """Returns what a step does to F and s; the same function for the same α and ξ."""

    def follow(old, new, gradient, rate, fisher, score):
        fisher = alpha * fisher + (1 - alpha) * gradient**2
        step = new - old
        score += tf.maximum(-gradient * step, 0.0) / (0.5 * fisher * step**2 + xi)
        return fisher, score

    return follow


def scaled(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Returns values ≥ 0 divided by the largest of all."""
    largest = tf.reduce_max([tf.reduce_max(value) for value in values])
    return [tf.math.divide_no_nan(value, largest) for value in values]


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], strength: float, seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    penalty = consolidation.Consolidation(net.shared, strength, "latest", update=settings.update)
    walked = Walk(net.shared, settings.alpha, settings.xi)
    trainer = training.Trainer(net, settings, progress, seed)
    steps = schedule.budget(settings, tasks)  # of each task
    progress.start(
        sum(steps),
        network=net.variables,
        omega=penalty.omega,
        anchor=penalty.anchor,
        fisher=walked.fisher,
        score=walked.score,
        mean_score=walked.mean_score,
    )
    for task in progress.tasks(tasks):
        trainer.train(task, steps[task.number], penalty, follow=walked)
        penalty.consolidate(walked.importance(task.number))
        trainer.record()
    progress.details["omega"] = penalty.histograms()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
