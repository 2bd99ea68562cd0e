"""Losses of the logits, and their derivatives.

A loss returns the loss of each image alone, and is differentiated, or a tuple of that and its
derivative, written out. It becomes part of a compiled program: TensorFlow operations on its
arguments, no Python branch on their values. It is compiled once per function, so not a lambda.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

# (logits [B, K], labels [B]) -> loss of each image [B]; or that and its derivative [B, K].
Loss = Callable[[tf.Tensor, tf.Tensor], Any]
# (inputs of the layers, rows [B] of the images, step within the task, *auxiliary_inputs)
# -> mean loss over the batch; or that and its derivative with respect to h2 [B, H2].
Auxiliary = Callable[..., Any]


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns −log p_y [B] and its derivative p − onehot(y) [B, K]."""
    log_p = tf.nn.log_softmax(logits)
    wanted = tf.one_hot(labels, logits.shape[1])
    return -tf.reduce_sum(wanted * log_p, axis=1), tf.exp(log_p) - wanted


@functools.cache
def own_head_cross_entropy(heads: int) -> Loss:
    """Returns the cross-entropy within the K outputs of each image's own head.

    Args:
        heads: T; the loss's logits are [B, T·K], head by head, and its labels K·head + class.
    """

    def loss(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = [-1, heads, logits.shape[1] // heads]
        log_p = tf.nn.log_softmax(tf.reshape(logits, shape))
        wanted = tf.reshape(tf.one_hot(labels, logits.shape[1]), shape)
        own = tf.reduce_sum(wanted, axis=2, keepdims=True)
        delta = own * tf.exp(log_p) - wanted
        return -tf.reduce_sum(wanted * log_p, axis=[1, 2]), tf.reshape(delta, logits.shape)

    return loss


def with_derivative(
    loss: Callable[..., Any], at: tf.Tensor, *arguments: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a loss and its derivative at a tensor: as it gives it, else by differentiation."""
    with tf.GradientTape() as tape:
        tape.watch(at)
        result = loss(*arguments)
    if isinstance(result, tuple):
        return result
    return result, tape.gradient(result, at, unconnected_gradients="zero")
