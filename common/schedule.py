"""Steps of an epoch, learning rates, and the order of the images.

All are functions of their arguments (`common.streams`), none of what was drawn before.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from common import data, streams

import numpy as np


def epoch_steps(examples: int, batch_size: int) -> int:
    """Returns the steps of one "epoch": ⌊N/batch⌋ + 1 (docs/method.md, "Data").

    Raises:
        ValueError: the training set is smaller than one batch.
    """
    if examples < batch_size:
        raise ValueError(f"{examples} training images do not fill one batch of {batch_size}")
    return examples // batch_size + 1


def budget(settings: Any, tasks: Sequence[data.Task]) -> list[int]:
    """Returns the steps of training of each task, without those after pruning.

    Args:
        settings: epochs or steps, the other one None; batch_size.
        tasks: for the number of their training images.

    Raises:
        ValueError: a training set is smaller than one batch.
    """
    epochs = [epoch_steps(task.examples, settings.batch_size) for task in tasks]
    if settings.steps is not None:
        return [int(settings.steps)] * len(tasks)
    return [int(settings.epochs) * epoch for epoch in epochs]


def learning_rates(first: int, count: int, rate: float, decay: float, period: float) -> np.ndarray:
    """Returns rate · decay^⌊s/period⌋ for the steps s = first … first + count − 1, float32.

    Args:
        first: s of the first step, counted within the task.
        count: number of steps.
        rate: of the first step of all.
        decay: factor after each period.
        period: S in steps, E_d · N / batch, not rounded.
    """
    step = np.arange(first, first + count)
    return (rate * decay ** np.floor(step / period)).astype(np.float32)


@functools.lru_cache(maxsize=2)
def _shuffled(seed: int, task: int, number: int, examples: int) -> np.ndarray:
    generator = np.random.default_rng([seed, task, number, streams.SHUFFLE])
    order = generator.permutation(examples).astype(np.int32)
    order.setflags(write=False)  # it is kept
    return order


def batches(
    seed: int,
    task: int,
    examples: int,
    batch_size: int,
    first: int,
    count: int,
    complete: bool = False,
) -> np.ndarray:
    """Returns the images of `count` batches of a task's stream, [count, batch] int32.

    The stream runs through one shuffled pass over the examples after another. A batch that reaches
    the end of a pass is completed from the start of the next, so that no image is left out.

    Args:
        seed: of the run.
        task: each task has a stream of its own.
        examples: N.
        batch_size: images in a batch, at most N.
        first: the first batch's place in the stream.
        count: number of batches.
        complete: every pass ends with its last complete batch instead; the rest is left out.
    """
    length = examples // batch_size * batch_size if complete else examples
    start, stop = first * batch_size, (first + count) * batch_size
    passes = [
        _shuffled(seed, task, number, examples)[:length]
        for number in range(start // length, -(-stop // length))
    ]
    offset = start // length * length
    return np.concatenate(passes)[start - offset : stop - offset].reshape(count, batch_size)


def stream_order(seed: int, task: int, examples: int, batch_size: int, steps: int) -> np.ndarray:
    """Returns the images in the order of a task's stream, [N] int32, read-only.

    It is the shuffled pass that the last of the steps has reached, number ⌊(steps·batch − 1)/N⌋:
    of two passes that share a batch the later one; before the first step the first pass. Importance
    measures that depend on batches read the images in this order (docs/method.md, equation 1).

    Args:
        seed: of the run.
        task: each task has a stream of its own.
        examples: N.
        batch_size: images in a batch.
        steps: of the task so far.
    """
    return _shuffled(seed, task, max(0, steps * batch_size - 1) // examples, examples)
