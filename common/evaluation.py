"""The accuracy of a network on its tasks, and the output of its trunk.

Compiled programs over images that already lie on the device, not permuted: the rows of W1 are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from common import data, streams
from common import network as networks

import numpy as np
import tensorflow as tf

_IMAGES = 1000  # that are evaluated together
_TASKS = 8  # that are evaluated in one call: bounds the memory, whatever T is


def accuracies(
    network: networks.MLP,
    heads: Sequence[Sequence[tf.Tensor]],
    split: data.Split,
    permutations: Sequence[np.ndarray],
    first_classes: Sequence[int] | None = None,
    dropout_seeds: Sequence[Sequence[int]] | None = None,
) -> list[float]:
    """Returns for each task the share of a split's images whose largest output is the right one.

    Of several outputs that are largest the first one counts.

    Args:
        network: for its trunk and its dropout.
        heads: V [H2, K] and c [K] of each task.
        split: images [N, P], not permuted, and labels [N].
        permutations: of the pixels [P], one a task; the rows of W1 are permuted instead of the
            images.
        first_classes: the output that stands for class 0, one a task; None for 0.
        dropout_seeds: leave dropout on, drawn from these numbers, one sequence a task; None for
            off.
    """
    dropout = networks.Dropout() if dropout_seeds is None else network.dropout
    correct, images, tasks = _compiled_correct(dropout), len(split.images), len(heads)
    firsts = first_classes or [0] * tasks
    result: list[float] = []
    for first in range(0, tasks, _TASKS):
        # The last group is filled up, for one program for any number; only `count` are evaluated.
        places = np.minimum(np.arange(first, first + _TASKS), tasks - 1)
        count = min(_TASKS, tasks - first)
        random_words = tf.zeros(
            [_TASKS, dropout.words_per_batch(images, network.hidden)], tf.uint32
        )
        if dropout_seeds is not None:
            drawn = [
                dropout.draw(
                    streams.stateless_seed(*keys, streams.EVALUATION), 1, images, network.hidden
                )
                for keys in dropout_seeds[first : first + count]
            ]
            random_words = tf.concat([*drawn, random_words[count:]], axis=0)
        right = correct(
            tf.constant(count),
            [p.value() for p in network.trunk],
            tf.stack([heads[place][0] for place in places]),
            tf.stack([heads[place][1] for place in places]),
            tf.constant(np.argsort([permutations[place] for place in places]), tf.int32),
            tf.constant([firsts[place] for place in places]),
            split.images,
            split.labels,
            random_words,
        )
        result += [int(number) / images for number in right[:count]]
    return result


@functools.cache
def _compiled_correct(dropout: networks.Dropout) -> Callable[..., tf.Tensor]:
    """Returns the number of right outputs of each task, as one compiled program."""

    @tf.function(jit_compile=True)
    def correct(
        count: tf.Tensor,
        trunk: list[tf.Tensor],
        v: tf.Tensor,
        c: tf.Tensor,
        inverses: tf.Tensor,
        first_classes: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        random_words: tf.Tensor,
    ) -> tf.Tensor:
        w1 = tf.gather(trunk[0], inverses)  # [tasks, P, H1]
        hidden = (trunk[1].shape[0], trunk[3].shape[0])
        total = images.shape[0]
        size = min(_IMAGES, total)
        right = tf.zeros([_TASKS], tf.int32)
        # Images outside, tasks inside: pixels become floats once for all tasks.
        for group in tf.range(-(-total // size)):
            first = tf.minimum(group * size, total - size)
            rows = first + tf.range(size)
            pixels = networks.to_pixels(tf.slice(images, [first, 0], [size, images.shape[1]]))
            wanted = tf.cast(tf.slice(labels, [first], [size]), tf.int32)
            fresh = rows >= group * size  # the last images may have had a part counted before
            task = tf.constant(0)
            while task < count:
                mask1, mask2 = dropout.masks(tf.gather(random_words, task), total, hidden)
                masks = (
                    None if mask1 is None else tf.gather(mask1, rows),
                    None if mask2 is None else tf.gather(mask2, rows),
                )
                head = tf.gather(v, task), tf.gather(c, task)
                parameters = [tf.gather(w1, task), *trunk[1:], *head]
                logits = networks.forward(parameters, pixels, masks)[1]
                chosen = tf.argmax(logits, axis=1, output_type=tf.int32)
                hits = fresh & (chosen == wanted + tf.gather(first_classes, task))
                count_right = tf.reduce_sum(tf.cast(hits, tf.int32))
                right += tf.one_hot(task, _TASKS, dtype=tf.int32) * count_right
                task += 1
        return right

    return correct


def features(trunk: Sequence[tf.Variable], task: data.Task) -> tf.Tensor:
    """Returns h2 [N, H2] of a task's training images, without dropout."""
    trunk = networks.permuted(trunk, task.permutation)
    images, group = task.train.images, 5000
    parts = [
        _compiled_features()(trunk, images[first : first + group])
        for first in range(0, len(images), group)
    ]
    return tf.concat(parts, axis=0)


@functools.cache
def _compiled_features() -> Callable[..., tf.Tensor]:
    @tf.function(jit_compile=True)
    def h2(trunk: list[tf.Tensor], images: tf.Tensor) -> tf.Tensor:
        return networks.hidden_layers(trunk, networks.to_pixels(images)).head

    return h2
