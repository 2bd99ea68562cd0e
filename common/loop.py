"""The loop over training steps, as compiled programs.

Nothing is traced or compiled again for a new task, head, λ, pruning round or number of steps,
because all of them are arguments.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from common import consolidation as consolidations
from common import losses
from common import network as networks

import tensorflow as tf


@functools.cache
def compiled_steps(
    dropout: networks.Dropout,
    update: str,
    loss: losses.Loss,
    auxiliary: losses.Auxiliary | None,
    follow: Callable[..., Sequence[tf.Tensor]] | None,
) -> Callable[..., Any]:
    """Returns the loop over steps as one compiled program."""

    @tf.function(jit_compile=True)
    def run_steps(
        count: tf.Tensor,
        first_step: tf.Tensor,
        batch_indices: tf.Tensor,
        random_words: tf.Tensor,
        rates: tf.Tensor,
        parameters: list[tf.Tensor],
        images: tf.Tensor,
        labels: tf.Tensor,
        permutation: tf.Tensor,
        inverse: tf.Tensor | None,
        label_step: tf.Tensor,
        curvature: list[tf.Tensor],
        anchor: list[tf.Tensor],
        masks: list[tf.Tensor],
        state: list[list[tf.Tensor]],
        auxiliary_inputs: Any,
    ) -> tuple[list[tf.Tensor], list[list[tf.Tensor]], tf.Tensor, tf.Tensor]:
        def with_rows(tensors: list[tf.Tensor], rows: tf.Tensor | None) -> list[tf.Tensor]:
            # Permuting the rows of W1, once a call, instead of the pixels of every image.
            if rows is None or not tensors:
                return list(tensors)
            return [tf.gather(tensors[0], rows), *tensors[1:]]

        parameters, masks = with_rows(parameters, inverse), with_rows(masks, inverse)
        curvature, anchor = with_rows(curvature, inverse), with_rows(anchor, inverse)
        state = [with_rows(quantity, inverse) for quantity in state]
        hidden = (parameters[1].shape[0], parameters[3].shape[0])
        batch = batch_indices.shape[1]
        total = tf.constant(0.0)
        step = tf.constant(0)
        while step < count:  # not tf.range, for which XLA compiles anew for every count
            rate = tf.gather(rates, step)
            chosen = tf.gather(batch_indices, step)
            rows = chosen % images.shape[0]
            pixels = tf.gather(images, rows)
            wanted = tf.cast(tf.gather(labels, rows), tf.int32)
            if inverse is None:  # tasks are mixed: each image has its own permutation and labels
                task = chosen // images.shape[0]
                pixels = tf.gather(pixels, tf.gather(permutation, task), batch_dims=1)
                wanted += task * label_step
            factors = dropout.masks(tf.gather(random_words, step), batch, hidden)
            inputs, logits = networks.forward(parameters, networks.to_pixels(pixels), factors)
            each_loss, delta = losses.with_derivative(loss, logits, logits, wanted)
            mean_loss, delta_h2 = tf.reduce_mean(each_loss), None
            if auxiliary is not None:
                place = inputs, rows, first_step + step
                auxiliary_loss, delta_h2 = losses.with_derivative(
                    auxiliary, inputs.head, *place, *auxiliary_inputs
                )
                mean_loss += auxiliary_loss
            total += mean_loss
            deltas = networks.backward(
                parameters, inputs, delta / batch, dropout.scales(), delta_h2
            )
            # Columns of a mixture are gathered pixel by pixel, which costs more than it saves.
            columns = None if inverse is None else networks.to_columns(pixels)
            gradients = networks.gradients(inputs, deltas, columns)
            stepped: list[tf.Tensor] = []
            followed: list[list[tf.Tensor]] = [[] for _ in state]
            for index, (old, gradient) in enumerate(zip(parameters, gradients, strict=True)):
                held = index < len(curvature)
                new = consolidations.consolidated_step(
                    old,
                    gradient,
                    rate,
                    curvature[index] if held else None,
                    anchor[index] if held else None,
                    masks[index] if index < len(masks) else None,
                    update,
                )
                if follow is not None and index < len(state[0]):
                    own = [quantity[index] for quantity in state]
                    for quantity, value in zip(
                        followed, follow(old, new, gradient, rate, *own), strict=True
                    ):
                        quantity.append(value)
                stepped.append(new)
            parameters, state = stepped, followed
            step += 1
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(p)) for p in parameters])
        finite = finite & tf.math.is_finite(total)
        rows_back = None if inverse is None else permutation
        state = [with_rows(quantity, rows_back) for quantity in state]
        return with_rows(parameters, rows_back), state, total, finite

    return run_steps


@functools.cache
def compiled_head_steps(dropout: networks.Dropout, loss: losses.Loss) -> Callable[..., Any]:
    """Returns the loop over steps on the head alone as one compiled program."""

    @tf.function(jit_compile=True)
    def run_steps(
        count: tf.Tensor,
        first_step: tf.Tensor,
        batch_indices: tf.Tensor,
        random_words: tf.Tensor,
        rates: tf.Tensor,
        head: list[tf.Tensor],
        features: tf.Tensor,
        labels: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        del first_step
        v, c = head
        batch, units = batch_indices.shape[1], features.shape[1]
        total = tf.constant(0.0)
        step = tf.constant(0)
        while step < count:  # not tf.range, for which XLA compiles anew for every count
            rate, rows = tf.gather(rates, step), tf.gather(batch_indices, step)
            h2, wanted = tf.gather(features, rows), tf.cast(tf.gather(labels, rows), tf.int32)
            factors = dropout.masks(tf.gather(random_words, step), batch, (0, units))[1]
            if factors is not None:
                h2 = h2 * factors
            logits = h2 @ v + c
            each_loss, delta = losses.with_derivative(loss, logits, logits, wanted)
            delta /= batch
            v -= rate * tf.matmul(h2, delta, transpose_a=True)
            c -= rate * tf.reduce_sum(delta, axis=0)
            total += tf.reduce_mean(each_loss)
            step += 1
        finite = tf.reduce_all(tf.math.is_finite(v)) & tf.reduce_all(tf.math.is_finite(c))
        return [v, c], total, finite & tf.math.is_finite(total)

    return run_steps
