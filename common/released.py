"""The defects of the authors' release that `--as-released` repeats, and the variants they need.

A script names its own in `Settings.DEFECTS`, and asks `settings.released("D3")` where one matters;
docs/release.md says what each does to the results. Variants that another module computes anyway
are arguments there: D1, D9 and D14 of `training.Trainer`, D2, D3, D4 and D6 of
`common.importance`, D5 and D16 of `common.consolidation`, D8 of `importance.PathIntegral`, D10 of
`training.Trainer.train`, D15 of `common.pruning`; D12 is the choice of λ in `harness.report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common import losses, network

if TYPE_CHECKING:
    import tensorflow as tf

DEFECTS = {
    "D1": "dropout is on while accuracy is measured",
    "D2": "dropout is on while the importance is measured",
    "D3": "every full batch of an importance pass loses its last image",
    "D4": "the Fisher information comes from the first image of each batch alone",
    "D5": "the newest task's quadratic replaces that of the earlier tasks",
    "D6": "absolute value of the gradient of a batch's sum, not of each image",
    "D7": "softmax is applied twice",
    "D8": "the first task's path starts at 0, and negative importance is not clipped",
    "D9": "the learning rate starts anew in every epoch",
    "D10": "the learning rate decays by 0.99 while task 0 is first learned",
    "D11": "the teacher has dropout, and 1e-5 is added to the student's probabilities",
    "D12": "λ is chosen from a grid by test accuracy",
    "D14": "accuracy is read up to 200 steps before a task's end",
    "D15": "weights are pruned by the percentiles of the clipped importance",
    "D16": "explicit consolidation step",
}


def used(settings: Any, defects: Sequence[str] = ("D4", "D3")) -> str:
    """Returns which images of a batch an importance pass uses, as `common.importance` names them.

    Args:
        settings: of the script.
        defects: those that count here, the first in force wins.
    """
    images = {"D3": "all-but-last", "D4": "first"}
    return next((images[defect] for defect in defects if settings.released(defect)), "all")


def softmax_twice(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns cross-entropy with the softmax taken for logits (D7), and its derivative."""
    import tensorflow as tf

    p = tf.nn.softmax(logits)
    each_loss, delta = losses.cross_entropy(p, labels)
    return each_loss, p * (delta - tf.reduce_sum(p * delta, axis=1, keepdims=True))


def teacher_h2(teacher: Sequence[Any], step: tf.Tensor, inputs: network.Layers) -> tf.Tensor:
    """Returns h2 [B, H2] of a teacher that has dropout (D11).

    Args:
        teacher: its trunk, W1's rows in the order of the task's pixels; the network's dropout; the
            key of its draw, with the step.
        step: within the task.
        inputs: of the student's layers; the teacher sees the same pixels.
    """
    import tensorflow as tf

    trunk, dropout, key = teacher
    pixels, (_, b1, _, b2) = inputs.hidden1, trunk
    batch, hidden = pixels.shape[0], (b1.shape[0], b2.shape[0])
    random_words = dropout.draw(tf.stack([key, step]), 1, batch, hidden)[0]
    masks = dropout.masks(random_words, batch, hidden)
    return network.hidden_layers(trunk, pixels, masks).head


def last_reading(steps: int) -> int:
    """Returns the step of a task before which the release last reads the accuracy (D14).

    It reads every 200 steps, before the step is taken, and trains on to the end afterwards.

    Args:
        steps: of the task.
    """
    return (steps - 1) // 200 * 200
