"""The trainer takes a network through its tasks: epochs, learning rates, readings, accuracies.

The steps themselves are compiled programs (`common.loop`) over images that already lie on the
device. Per call of some hundred steps the host hands over the order of the images, the learning
rate of every step and random words for dropout; nothing is fed batch by batch.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from common import consolidation as consolidations
from common import data, evaluation, loop, losses, schedule, streams
from common import network as networks

import numpy as np
import tensorflow as tf

_CHUNK = 256  # most steps in one call of the compiled program: bounds the random words' memory

# (first, count) -> the examples of batches first … first + count − 1 of a task, int32 [count, B].
Batches = Callable[[int, int], np.ndarray]


class Settings(Protocol):
    """What training needs to know; every script's settings have it.

    Most have `evaluate_every` and `evaluate_steps`, too: where the first is not None, the test
    accuracy on all tasks so far is read after every so many epochs of a phase and at its end;
    where both are not, also after every so many steps of a task's first epoch.
    """

    @property
    def batch_size(self) -> int:
        """Images in a batch."""

    @property
    def learning_rate(self) -> float:
        """Of the first step of a task."""

    @property
    def lr_decay(self) -> float:
        """Factor on the learning rate after each period."""

    @property
    def lr_decay_epochs(self) -> float:
        """The period, in epochs of N/batch steps."""


class Progress(Protocol):
    """Deals out the steps and takes note of them (`harness.progress.Progress`)."""

    learned: Sequence[data.Task]  # the tasks so far, the present one included

    @property
    def task_steps(self) -> int:
        """Steps of the present task that are done."""

    @property
    def in_first_epoch(self) -> bool:
        """Whether the epoch in hand is the task's first."""

    def reading_key(self, left: int) -> tuple[int, int]:
        """What tells this place from others of the task, for a reading's random numbers."""

    def phases(self, values: Sequence[Any], names: Sequence[str]) -> Iterator[Any]:
        """Yields one value for each phase of the task that is still to do."""

    def epochs(self, steps: int, epoch_steps: int) -> Iterator[tuple[int, int]]:
        """Yields (first step, steps) of each epoch that is still to do; counts within the task."""

    def epoch_done(self, loss: float) -> None:
        """Takes note of a finished epoch and its mean loss."""

    def reading_due(self, every: int) -> bool:
        """Whether the epoch in hand, just trained, is an `every`-th of its phase, or its last."""

    def keep_reading(self, accuracy: list[float], left: int) -> None:
        """Takes a reading of each task so far, with so many steps of the epoch still to take."""

    def record(self, accuracy: list[float], validation_accuracy: list[float]) -> None:
        """Takes the accuracies on the tasks so far after the present one."""


class Follower(Protocol):
    """What is gathered along the steps, parameter by parameter (`importance.PathIntegral`)."""

    @property
    def state(self) -> Sequence[Sequence[tf.Variable]]:
        """For each quantity a list of variables, one for each parameter that is followed.

        In the order of `network.parameters`, and of their shapes.
        """

    @property
    def follow(self) -> Callable[..., Sequence[tf.Tensor]]:
        """What a step does to the state of one parameter, entry by entry.

        (old, new, gradient, rate, *state) -> new state: the parameter before and after the step,
        the gradient of the batch's mean loss without the penalty, the learning rate, and the
        parameter's own state, one tensor a quantity. It becomes part of a compiled program, which
        is compiled once per function: not a lambda, nor a bound method.
        """


class Trainer:
    """Trains and evaluates one network through a run, on one task after another."""

    def __init__(
        self,
        network: networks.MLP,
        settings: Settings,
        progress: Progress,
        seed: int = 0,
        loss: losses.Loss = losses.cross_entropy,
        auxiliary: losses.Auxiliary | None = None,
        dropout_in_evaluation: bool = False,
        decay_anew: bool = False,
        record_at: Callable[[int], int] | None = None,
    ) -> None:
        """Settles what stays the same for the whole run.

        Args:
            network: is changed by `train`.
            settings: batch size, learning rate and its decay, and how often to read.
            progress: deals out the epochs and takes note of them.
            seed: of the shuffling and of dropout.
            loss: (logits [B, K], labels [B]) -> loss [B], and its derivative [B, K]. An image's
                loss depends on its own logits alone.
            auxiliary: a further loss on h2: (inputs of the layers, rows [B] of the batch's images,
                step within the task, *auxiliary_inputs) -> its mean over the batch, and the
                derivative of that with respect to h2 [B, H2].
            dropout_in_evaluation: dropout stays on when accuracy is measured, a fresh draw for
                every image, unit and measurement (D1).
            decay_anew: the learning rate starts anew in every epoch of a phase (D9).
            record_at: steps of a task -> after which of them `record` measures (D14); None for
                where it is called.
        """
        self.network = network
        self._settings = settings
        self._progress = progress
        self._seed = seed
        self._loss = loss
        self._auxiliary = auxiliary
        self._dropout_in_evaluation = dropout_in_evaluation
        self._decay_anew = decay_anew
        self._record_at = record_at
        self._evaluate_every: int | None = getattr(settings, "evaluate_every", None)
        self._evaluate_steps: int | None = getattr(settings, "evaluate_steps", None)

    def train(
        self,
        task: data.Task | data.Mixture,
        steps: int,
        consolidation: consolidations.Consolidation | None = None,
        masks: Sequence[tf.Variable] = (),
        *,
        follow: Follower | None = None,
        auxiliary_inputs: Sequence[Any] = (),
        batches: Batches | None = None,
        lr_decay: float | None = None,
    ) -> None:
        """Takes the steps of a phase that are still to be taken.

        On a task its own head is trained; on a mixture of all tasks every head, as one with T·K
        outputs (`losses.own_head_cross_entropy`).

        Args:
            task: one task, or several mixed.
            steps: of the phase.
            consolidation: penalty on the parameters; None for none.
            masks: of the trunk, 1 train, 0 leave as it is; empty for all 1.
            follow: gathers something in every step; None for nothing.
            auxiliary_inputs: further arguments of the auxiliary loss.
            batches: the examples of the batches; an epoch is then as long as for one task. None for
                those of `schedule.batches`.
            lr_decay: instead of the settings'.

        Raises:
            Diverged: the loss or a parameter is not finite after some hundred steps.
            ValueError: the training set is smaller than one batch.
        """
        network = self.network
        mixed = isinstance(task, data.Mixture)
        # Of each tensor the variables whose columns it has side by side.
        variables = [[p] for p in network.parameters(network.head_of(task.number))]
        if mixed and len(network.heads) > 1:
            variables[4:] = [list(of_heads) for of_heads in zip(*network.heads, strict=True)]
        permutation = tf.constant(task.permutation, tf.int32)
        inverse = None if mixed else tf.constant(np.argsort(task.permutation), tf.int32)
        label_step = tf.constant(task.label_step if isinstance(task, data.Mixture) else 0)
        run_steps = loop.compiled_steps(
            network.dropout,
            consolidation.update if consolidation else "proximal",
            self._loss,
            self._auxiliary,
            follow.follow if follow else None,
        )
        curvature = consolidation.curvature() if consolidation else []
        anchor = [a.value() for a in consolidation.anchor] if consolidation else []
        state = follow.state if follow else []

        def chunk(*batches_and_rates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            new, new_state, loss, finite = run_steps(
                *batches_and_rates,
                [
                    tf.concat(columns, axis=-1) if len(columns) > 1 else columns[0].value()
                    for columns in variables
                ],
                task.train.images,
                task.train.labels,
                permutation,
                inverse,
                label_step,
                curvature,
                anchor,
                [m.value() for m in masks],
                [[s.value() for s in quantity] for quantity in state],
                list(auxiliary_inputs),
            )
            for columns, value in zip(variables, new, strict=True):
                is_whole = len(columns) == 1
                networks.assign(
                    columns, [value] if is_whole else tf.split(value, len(columns), axis=-1)
                )
            for quantity, values in zip(state, new_state, strict=True):
                networks.assign(quantity, values)
            return loss, finite

        self._take(task, steps, chunk, batches, lr_decay)

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
        run_steps = loop.compiled_head_steps(network.dropout, self._loss)

        def chunk(*batches_and_rates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            new, loss, finite = run_steps(
                *batches_and_rates, [p.value() for p in head], features, task.train.labels
            )
            networks.assign(head, new)
            return loss, finite

        self._take(task, steps, chunk)

    def _take(
        self,
        task: data.Task | data.Mixture,
        steps: int,
        chunk: Callable[..., tuple[tf.Tensor, tf.Tensor]],
        batches: Batches | None = None,
        lr_decay: float | None = None,
    ) -> None:
        """Takes the steps of a phase; with `record_at` in two phases, and records between them."""
        if self._record_at is None:
            self._take_epochs(task, steps, chunk, batches, lr_decay)
            return
        before = self._record_at(steps)
        portions = {"": before, "after the reading": steps - before}
        for name in self._progress.phases(list(portions), list(portions)):
            self._take_epochs(task, portions[name], chunk, batches, lr_decay)
            if not name:
                self._record()

    def _take_epochs(
        self,
        task: data.Task | data.Mixture,
        steps: int,
        chunk: Callable[..., tuple[tf.Tensor, tf.Tensor]],
        batches: Batches | None,
        lr_decay: float | None,
    ) -> None:
        """Goes through the epochs that are still to do, with a few calls of `chunk` each.

        Args:
            task: the examples.
            steps: of the phase.
            chunk: (steps to take, first step, images of each step, random words of each, learning
                rate of each) -> summed loss, whether all is finite.
            batches: as for `train`.
            lr_decay: likewise.
        """
        settings, dropout, hidden = self._settings, self.network.dropout, self.network.hidden
        batch = settings.batch_size
        mixed = isinstance(task, data.Mixture) and batches is None
        examples = task.examples if batches is None else len(task.train.labels)
        if batches is None:
            batches = functools.partial(
                schedule.batches, self._seed, task.number, examples, batch, complete=mixed
            )
        length = schedule.epoch_steps(examples, batch) - mixed
        size = min(_CHUNK, length)  # arrays keep their shape, whatever is left to do
        period = settings.lr_decay_epochs * examples / batch
        decay = settings.lr_decay if lr_decay is None else lr_decay
        for start, epoch in self._progress.epochs(steps, length):
            total = 0.0
            stop = start + epoch
            every = (self._evaluate_steps if self._progress.in_first_epoch else None) or epoch
            cuts = sorted({*range(start, stop, size), *range(start, stop, every), stop})
            for first, until in itertools.pairwise(cuts):
                begin = first - (first - start) % size  # readings change no random word
                seed = streams.stateless_seed(self._seed, task.number, begin, streams.DROPOUT)
                random_words = dropout.draw(seed, size, batch, hidden)
                counted = first - start if self._decay_anew else first
                rates = schedule.learning_rates(
                    counted, size, settings.learning_rate, decay, period
                )
                loss, finite = chunk(
                    tf.constant(until - first),
                    tf.constant(first),
                    tf.constant(batches(first, size), tf.int32),
                    tf.roll(random_words, begin - first, 0) if first > begin else random_words,
                    tf.constant(rates),
                )
                if not bool(finite):
                    raise consolidations.Diverged("the loss or a parameter is not finite")
                total += float(loss)
                if (until - start) % every == 0 and until < stop:
                    self.read(left=stop - until)
            # Before the epoch is done, so that its checkpoint has the reading.
            if self._evaluate_every and self._progress.reading_due(self._evaluate_every):
                self.read()
            self._progress.epoch_done(total / epoch)

    def order(self, task: data.Task) -> np.ndarray:
        """Returns the training images in the order of the task's stream now, int32 [N].

        Importance measures that depend on batches read the images in it (`schedule.stream_order`).
        """
        return schedule.stream_order(
            self._seed,
            task.number,
            task.examples,
            self._settings.batch_size,
            self._progress.task_steps,
        )

    def read(self, left: int = 0) -> None:
        """Takes a reading: the test accuracy on all tasks so far. Without evaluate_every nothing.

        `train` and `train_head` do so by themselves; a script calls it where it changes the
        network by other means.

        Args:
            left: steps of the epoch in hand that are still to take.
        """
        if self._evaluate_every:
            learned = self._progress.learned
            accuracy = self._accuracies(learned, "test", *self._progress.reading_key(left))
            self._progress.keep_reading(accuracy, left)

    def record(self) -> None:
        """Measures the accuracy on all tasks so far, at the end of the present one.

        With `record_at`, that was done while the task was trained.
        """
        if self._record_at is None:
            self._record()

    def _record(self) -> None:
        self._progress.record(*self.evaluate(self._progress.learned))

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
        result = [0.0] * len(tasks)
        for places in sharing.values():
            group = [tasks[place] for place in places]
            accuracies = evaluation.accuracies(
                network,
                [network.heads[network.head_of(task.number)] for task in group],
                splits[places[0]],
                [task.permutation for task in group],
                dropout_seeds=[(self._seed, last, task.number, *keys) for task in group]
                if self._dropout_in_evaluation
                else None,
            )
            for place, accuracy in zip(places, accuracies, strict=True):
                result[place] = accuracy
        return result
