"""The compiled training loop, its batches and learning rates, and evaluation.

Hundreds of steps run inside one XLA program over images that already lie on the device. Per call
the host hands over the order of the images, the learning rate of every step and a seed; nothing is
fed batch by batch, and nothing is traced or compiled again for a new task, head, λ, pruning round
or number of steps, because all of them are arguments.

Every draw is a function of (seed, task, pass or step), so that an interrupted run that continues
from a finished epoch computes the same numbers as one that was never interrupted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from common import consolidation as consolidations
from common import data, importance
from common import network as networks

import numpy as np
import tensorflow as tf

_CHUNK = 256  # most steps in one call of the compiled program: bounds the random words' memory
_IMAGES = 1000  # that are evaluated together
_TASKS = 8  # that are evaluated in one call: bounds the memory, whatever T is

Loss = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
Auxiliary = Callable[..., tuple[tf.Tensor, tf.Tensor]]


class Settings(Protocol):
    """What training needs to know; every script's settings have it.

    Most have `evaluate_every`, too: where it is not None, the test accuracy on all tasks so far is
    read after every so many epochs of a phase and at its end.
    """

    batch_size: int
    learning_rate: float
    lr_decay: float
    lr_decay_epochs: float


class Steps(Protocol):
    """Deals out the steps of a phase epoch by epoch (`progress.Progress`)."""

    learned: Sequence[data.Task]  # the tasks so far, the present one included

    @property
    def task_steps(self) -> int:
        """Steps of the present task that are done."""

    @property
    def reading_key(self) -> tuple[int, int]:
        """What tells this place from others of the task, for a reading's random numbers."""

    def epochs(self, steps: int, epoch_steps: int) -> Any:
        """Yields (first step, steps) of each epoch that is still to do; counts within the task."""

    def epoch_done(self, loss: float) -> None:
        """Takes note of a finished epoch and its mean loss."""

    def reading_due(self, every: int) -> bool:
        """Whether the epoch in hand, just trained, is an `every`-th of its phase, or its last."""

    def keep_reading(self, accuracy: list[float]) -> None:
        """Takes a reading of the test accuracy on each task so far."""


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns −log p_y [B] and its derivative p − onehot(y) [B, K]."""
    log_p = tf.nn.log_softmax(logits)
    wanted = tf.one_hot(labels, logits.shape[1])
    return -tf.reduce_sum(wanted * log_p, axis=1), tf.exp(log_p) - wanted


def softmax_twice(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns cross-entropy with the softmax taken for logits (D7), and its derivative."""
    p = tf.nn.softmax(logits)
    losses, delta = cross_entropy(p, labels)
    return losses, p * (delta - tf.reduce_sum(p * delta, axis=1, keepdims=True))


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
    generator = np.random.default_rng([seed, task, number, networks.SHUFFLE])
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


@functools.cache
def _compiled_steps(
    dropout: networks.Dropout, update: str, loss: Loss, auxiliary: Auxiliary | None
) -> Callable[..., Any]:
    """Returns the loop over steps as one compiled program."""

    @tf.function(jit_compile=True)
    def run_steps(
        count: tf.Tensor,
        first_step: tf.Tensor,
        batch_indices: tf.Tensor,
        words: tf.Tensor,
        rates: tf.Tensor,
        parameters: list[tf.Tensor],
        images: tf.Tensor,
        labels: tf.Tensor,
        order: tf.Tensor,
        inverse: tf.Tensor | None,
        label_step: tf.Tensor,
        pull: list[tf.Tensor],
        anchor: list[tf.Tensor],
        masks: list[tf.Tensor],
        path: list[tf.Tensor],
        extras: Any,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor], tf.Tensor, tf.Tensor]:
        def moved(tensors: list[tf.Tensor], rows: tf.Tensor | None) -> list[tf.Tensor]:
            # Permuting the rows of W1, once a call, instead of the pixels of every image.
            if rows is None or not tensors:
                return list(tensors)
            return [tf.gather(tensors[0], rows), *tensors[1:]]

        parameters, path = moved(parameters, inverse), moved(path, inverse)
        pull, anchor, masks = moved(pull, inverse), moved(anchor, inverse), moved(masks, inverse)
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
                pixels = tf.gather(pixels, tf.gather(order, task), batch_dims=1)
                wanted += task * label_step
            factors = dropout.masks(tf.gather(words, step), batch, hidden)
            inputs, logits = networks.forward(parameters, networks.to_pixels(pixels), factors)
            losses, delta = loss(logits, wanted)
            mean_loss, delta_h2 = tf.reduce_mean(losses), None
            if auxiliary is not None:
                extra_loss, delta_h2 = auxiliary(inputs, rows, first_step + step, *extras)
                mean_loss += extra_loss
            total += mean_loss
            deltas = networks.backward(
                parameters, inputs, delta / batch, dropout.scales(), delta_h2
            )
            # Columns of a mixture are gathered pixel by pixel, which costs more than it saves.
            columns = None if inverse is None else networks.to_columns(pixels)
            gradients = networks.gradients(inputs, deltas, columns)
            stepped, walked = [], []
            for index, gradient in enumerate(gradients):
                held = index < len(pull)
                new = consolidations.consolidated_step(
                    parameters[index],
                    gradient,
                    rate,
                    pull[index] if held else None,
                    anchor[index] if held else None,
                    masks[index] if index < len(masks) else None,
                    update,
                )
                if index < len(path):
                    walked.append(path[index] - (new - parameters[index]) * gradient)
                stepped.append(new)
            parameters, path = stepped, walked
            step += 1
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(p)) for p in parameters])
        finite = finite & tf.math.is_finite(total)
        rows_back = None if inverse is None else order
        return moved(parameters, rows_back), moved(path, rows_back), total, finite

    return run_steps


@functools.cache
def _compiled_head_steps(dropout: networks.Dropout, loss: Loss) -> Callable[..., Any]:
    """Returns the loop over steps on the head alone as one compiled program."""

    @tf.function(jit_compile=True)
    def run_steps(
        count: tf.Tensor,
        first_step: tf.Tensor,
        batch_indices: tf.Tensor,
        words: tf.Tensor,
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
            factors = dropout.masks(tf.gather(words, step), batch, (0, units))[1]
            if factors is not None:
                h2 = h2 * factors
            losses, delta = loss(h2 @ v + c, wanted)
            delta /= batch
            v -= rate * tf.matmul(h2, delta, transpose_a=True)
            c -= rate * tf.reduce_sum(delta, axis=0)
            total += tf.reduce_mean(losses)
            step += 1
        finite = tf.reduce_all(tf.math.is_finite(v)) & tf.reduce_all(tf.math.is_finite(c))
        return [v, c], total, finite & tf.math.is_finite(total)

    return run_steps


class Trainer:
    """Trains one network through a run, on one task after another."""

    def __init__(
        self,
        network: networks.MLP,
        settings: Settings,
        steps: Steps,
        seed: int = 0,
        loss: Loss = cross_entropy,
        auxiliary: Auxiliary | None = None,
        noisy: bool = False,
        decay_anew: bool = False,
    ) -> None:
        """Settles what stays the same for the whole run.

        Args:
            network: is changed by `train`.
            settings: batch size, learning rate and its decay, and how often to read.
            steps: deals out the epochs and takes note of them.
            seed: of the shuffling and of dropout.
            loss: (logits [B, K], labels [B]) -> loss [B] and its derivative [B, K].
            auxiliary: a further loss on h2: (inputs of the layers, rows [B] of the batch's images,
                step within the task, *extras) -> its mean over the batch, and the derivative of
                that with respect to h2 [B, H2]. Compiled once per function, so not a lambda.
            noisy: dropout stays on when accuracy is measured, a fresh draw for every image, unit
                and measurement (D1).
            decay_anew: the learning rate starts anew in every epoch of a phase (D9).
        """
        self.network = network
        self._settings = settings
        self._steps = steps
        self._seed = seed
        self._loss = loss
        self._auxiliary = auxiliary
        self._noisy = noisy
        self._decay_anew = decay_anew
        self._evaluate_every: int | None = getattr(settings, "evaluate_every", None)

    def train(
        self,
        task: data.Task | data.Mixture,
        steps: int,
        consolidation: consolidations.Consolidation | None = None,
        masks: Sequence[tf.Variable] = (),
        path: importance.PathIntegral | None = None,
        extras: Sequence[tf.Tensor] = (),
        lr_decay: float | None = None,
    ) -> None:
        """Takes the steps of a phase that are still to be taken, on the task's own head.

        Args:
            task: one task, or several mixed.
            steps: of the phase.
            consolidation: penalty on the parameters; None for none.
            masks: of the trunk, 1 train, 0 leave as it is; empty for all 1.
            path: accumulates the path integral; None for none.
            extras: tensors for the auxiliary loss.
            lr_decay: instead of the settings'.

        Raises:
            Diverged: the loss or a parameter is not finite after some hundred steps.
            ValueError: the training set is smaller than one batch.
        """
        network = self.network
        parameters = network.parameters(network.head_of(task.number))
        mixed = isinstance(task, data.Mixture)
        order = tf.constant(task.permutation, tf.int32)
        inverse = None if mixed else tf.constant(np.argsort(task.permutation), tf.int32)
        label_step = tf.constant(task.label_step if isinstance(task, data.Mixture) else 0)
        update = consolidation.update if consolidation else "proximal"
        run_steps = _compiled_steps(network.dropout, update, self._loss, self._auxiliary)
        pull = consolidation.pull() if consolidation else []
        anchor = [a.value() for a in consolidation.anchor] if consolidation else []
        walked = path.path if path else []

        def chunk(*batches_and_rates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            new, new_path, loss, finite = run_steps(
                *batches_and_rates,
                [p.value() for p in parameters],
                task.train.images,
                task.train.labels,
                order,
                inverse,
                label_step,
                pull,
                anchor,
                [m.value() for m in masks],
                [s.value() for s in walked],
                list(extras),
            )
            for variable, value in zip([*parameters, *walked], [*new, *new_path], strict=True):
                variable.assign(value)
            return loss, finite

        self._run(task, steps, lr_decay, chunk)

    def train_head(self, task: data.Task, features: tf.Tensor, steps: int) -> None:
        """Trains the task's head alone, on the fixed output of the trunk.

        The same as `train` with all masks 0, if dropout leaves h1 alone.

        Args:
            task: for its labels.
            features: h2 [N, H2] of the training images, without dropout.
            steps: of the phase.

        Raises:
            Diverged: the loss or a parameter is not finite after some hundred steps.
            ValueError: the training set is smaller than one batch, or dropout is on h1, too.
        """
        network = self.network
        if network.dropout.rate and network.dropout.layers != "h2":
            raise ValueError("with dropout on h1 the output of the trunk is not fixed")
        head = network.heads[network.head_of(task.number)]
        run_steps = _compiled_head_steps(network.dropout, self._loss)

        def chunk(*batches_and_rates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            new, loss, finite = run_steps(
                *batches_and_rates, [p.value() for p in head], features, task.train.labels
            )
            for variable, value in zip(head, new, strict=True):
                variable.assign(value)
            return loss, finite

        self._run(task, steps, None, chunk)

    def _run(
        self,
        task: data.Task | data.Mixture,
        steps: int,
        lr_decay: float | None,
        chunk: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    ) -> None:
        """Goes through the epochs that are still to do, with a few calls of `chunk` each.

        Args:
            task: the examples.
            steps: of the phase.
            lr_decay: instead of the settings'.
            chunk: (steps to take, first step, images of each step, random words of each, learning
                rate of each) -> summed loss, whether all is finite.
        """
        settings, dropout, hidden = self._settings, self.network.dropout, self.network.hidden
        batch, examples = settings.batch_size, task.examples
        mixed = isinstance(task, data.Mixture)
        length = epoch_steps(examples, batch) - mixed
        size = min(_CHUNK, length)  # arrays keep their shape, whatever is left to do
        period = settings.lr_decay_epochs * examples / batch
        decay = settings.lr_decay if lr_decay is None else lr_decay
        for start, epoch in self._steps.epochs(steps, length):
            total = 0.0
            for first in range(start, start + epoch, size):
                seed = networks.stateless_seed(self._seed, task.number, first, networks.DROPOUT)
                counted = first - start if self._decay_anew else first
                rates = learning_rates(counted, size, settings.learning_rate, decay, period)
                loss, finite = chunk(
                    tf.constant(min(size, start + epoch - first)),
                    tf.constant(first),
                    tf.constant(
                        batches(self._seed, task.number, examples, batch, first, size, mixed)
                    ),
                    dropout.draw(seed, size, batch, hidden),
                    tf.constant(rates),
                )
                if not bool(finite):
                    raise consolidations.Diverged("the loss or a parameter is not finite")
                total += float(loss)
            # Before the epoch is done, so that its checkpoint has the reading.
            if self._evaluate_every and self._steps.reading_due(self._evaluate_every):
                self.read()
            self._steps.epoch_done(total / epoch)

    def stream_order(self, task: data.Task) -> np.ndarray:
        """Returns the training images in the order of the task's stream now (`stream_order`)."""
        return stream_order(
            self._seed,
            task.number,
            task.examples,
            self._settings.batch_size,
            self._steps.task_steps,
        )

    def read(self) -> None:
        """Takes a reading: the test accuracy on all tasks so far. Without evaluate_every nothing.

        `train` and `train_head` do so by themselves; a script calls it where it changes the
        network by other means.
        """
        if self._evaluate_every:
            tasks = self._steps.learned
            self._steps.keep_reading(self._accuracies(tasks, "test", *self._steps.reading_key))

    def evaluate(self, tasks: Sequence[data.Task]) -> tuple[list[float], list[float]]:
        """Returns the test and the validation accuracy on each task with its own head, fractions.

        Tasks that share their images are evaluated together.

        Args:
            tasks: those learned so far.
        """
        return self._accuracies(tasks, "test", 0), self._accuracies(tasks, "validation", 1)

    def _accuracies(self, tasks: Sequence[data.Task], split: str, *keys: int) -> list[float]:
        """Returns the accuracy on each task; the keys tell the measurements after a task apart.

        `evaluate` has one key and a reading two, so that no draw of dropout is used twice.
        """
        network, last = self.network, tasks[-1].number
        splits: list[data.Split] = [getattr(task, split) for task in tasks]
        sharing: dict[tuple[int, int], list[int]] = {}  # places of the tasks with the same arrays
        for place, own in enumerate(splits):
            sharing.setdefault((id(own.images), id(own.labels)), []).append(place)
        found = [0.0] * len(tasks)
        for places in sharing.values():
            group = [tasks[place] for place in places]
            of_group = accuracies(
                network,
                [network.heads[network.head_of(task.number)] for task in group],
                splits[places[0]],
                [task.permutation for task in group],
                dropout_seeds=[(self._seed, last, task.number, *keys) for task in group]
                if self._noisy
                else None,
            )
            for place, accuracy in zip(places, of_group, strict=True):
                found[place] = accuracy
        return found


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
        words = tf.zeros([_TASKS, dropout.words(images, network.hidden)], tf.uint32)
        if dropout_seeds is not None:
            drawn = [
                dropout.draw(
                    networks.stateless_seed(*keys, networks.EVALUATION), 1, images, network.hidden
                )
                for keys in dropout_seeds[first : first + count]
            ]
            words = tf.concat([*drawn, words[count:]], axis=0)
        right = correct(
            tf.constant(count),
            [p.value() for p in network.trunk],
            tf.stack([heads[place][0] for place in places]),
            tf.stack([heads[place][1] for place in places]),
            tf.constant(np.argsort([permutations[place] for place in places]), tf.int32),
            tf.constant([firsts[place] for place in places]),
            split.images,
            split.labels,
            words,
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
        words: tf.Tensor,
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
                mask1, mask2 = dropout.masks(tf.gather(words, task), total, hidden)
                masks = (
                    None if mask1 is None else tf.gather(mask1, rows),
                    None if mask2 is None else tf.gather(mask2, rows),
                )
                head = tf.gather(v, task), tf.gather(c, task)
                parameters = [tf.gather(w1, task), *trunk[1:], *head]
                logits = networks.forward(parameters, pixels, masks)[1]
                chosen = tf.argmax(logits, axis=1, output_type=tf.int32)
                hits = fresh & (chosen == wanted + tf.gather(first_classes, task))
                found = tf.reduce_sum(tf.cast(hits, tf.int32))
                right += tf.one_hot(task, _TASKS, dtype=tf.int32) * found
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
        nothing = [tf.zeros([trunk[3].shape[0], 0]), tf.zeros([0])]
        return networks.forward([*trunk, *nothing], networks.to_pixels(images))[0].head

    return h2


def released_reading(steps: int) -> int:
    """Returns the step before which the release last reads the test accuracy (D14).

    It reads every 200 steps, before the step is taken, and trains on to the end afterwards.

    Args:
        steps: of a task.
    """
    return (steps - 1) // 200 * 200
