"""Benchmark: the scripts' training step against other ways to write it, and against its limit.

    .venv/bin/python benchmark/speed.py --output results/benchmark.json   # 20 minutes on 2 cores
    .venv/bin/python benchmark/speed.py --only ewc passes                 # parts of it

Every script's own `run` is timed from within: `Contest` takes the place of its `Progress`, lets it
train an epoch at a time in the second task, where the penalty is on, and lets the rivals take a
few steps in between. The rivals start from the script's own state and do the same update, written
with `GradientTape` as a user would write it, with the penalty in the loss (the explicit step):

    session   the TensorFlow 1 way: a graph session, one NumPy batch a step through feed_dict
    fit       a Keras model with its own train_step, `fit` on a tf.data pipeline
    eager     a loop over NumPy batches with GradientTape, not compiled

Before anything is timed, all of them take the same steps without dropout and have to end at the
same weights. The limit is the step's eight matrix products alone, same shapes and threads, the
faster of XLA and oneDNN. All figures are medians over rounds of ratios within a round, with the
lower and the upper quartile; a machine that is busy slows both sides of a ratio.

Where the time of a step of 512-256 goes, by a profile: 87 % into the matrix products, 5 % into the
update with the penalty, 3 % into dropout and the activations, 3 % into the sums for the biases, 2 %
into gathering and transposing the batch. XLA's products are some 20 % slower than oneDNN's on two
threads, most of all those whose left factor is transposed (the gradients of W1 and W2).

Beside its steps, a task of 64-32 with ten epochs pays for the importance pass (8 % of the task in
`anpyc_wo_np`, 17 % in `anpyc_wi_np`, which measures in every pruning round), for the evaluation of
a few tasks (3 %), for a checkpoint after every epoch (2 %) and for drawing batches and dropout's
random words (2 %).

What was tried, and stayed or went:

* XLA for the whole epoch: stays. Without it every operation costs its dispatch, and the
  element-wise ones are not fused.
* Dropout from random 32-bit words, one bit a unit, drawn before the loop for all of its steps:
  stays. Drawn inside the XLA loop they cost 1.4 ms a step more.
* Images as uint8, scaled after the gather: stays. A quarter of the memory, no slower.
* Permuting the rows of W1 once a call instead of the pixels of every image: stays.
* The backward pass and the penalty's gradient written out, the update fused to one expression:
  stays. Differentiated, every mask and every intermediate value goes through memory once more.
* The batch's images transposed in memory as well, as the left factor of W1's gradient: stays. 7 %
  faster on two threads, no slower on one; an optimisation barrier keeps XLA from folding the
  transposition back. The same for h1, or in the importance passes, gained nothing: went.
* Leaving out the 69 pixels that are 0 in all training images: went. 3 to 4 % faster, for 80 lines.
* `V[head]` of one stacked tensor inside the program: went. XLA compiled anew for every head.
* `while step < count` in place of `tf.range(count)`: stays. With the latter XLA compiles anew, for
  most of a second, for every number of steps: the last steps of a long epoch, the end of a phase.
* Evaluation of eight tasks in turn on each thousand images: stays. With a task at a time the images
  became floats for every task, which on 64-32 took twice as long as the products. The tasks' W1
  side by side, as one wide product, is no faster, and most numbers of tasks leave a part unused.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # before TensorFlow is imported
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # its own default, by which the rivals gain
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from common import data, importance, network, schedule, training
from harness.progress import Progress
from tables import summaries

import keras
import numpy as np
import rich.console
import rich.table
import tensorflow as tf

RIVALS = ("session", "fit", "eager")
STEPS = 40  # that a rival takes a round
FEW = 3000  # images for the check: trained longer, a unit at the edge of its ReLU may tell sides
CHECKED = 10  # steps after which all have to have the same weights, to this tolerance
TOLERANCE = 1e-6
# λ: large enough to matter within a few steps, small enough for the explicit step.
STRENGTHS = {
    "anpyc_wo_np": 0.1,
    "anpyc_wi_np": 1.0,
    "lwf": 1.0,
    "ewc": 100.0,
    "mas": 100.0,
    "si": 100.0,
}
HALF = ("ewc", "mas")
# What makes a method comparable, and the way to its second task short.
METHODS: dict[str, dict[str, Any]] = {
    "anpyc_wo_np": {"update": "explicit"},
    "anpyc_wi_np": {"update": "explicit", "prune_percent": 10, "retrain_epochs": 1},
    "lwf": {},
    "ewc": {"update": "explicit"},
    "mas": {"update": "explicit"},
    "si": {"update": "explicit"},
    "finetune": {},
    "sgd_single_head": {},
    "sgd_freeze": {},
    "joint": {},
}
TASKS = 3


class Step:
    """A method's training step as a user would write it, on variables of its own.

    Attributes:
        trained: the trunk and one head, in the order of `network.Parameters`.
    """

    def __init__(self, method: str, settings: Any, state: dict[str, list[Any]], task: int) -> None:
        """Copies the script's state.

        Args:
            method: name of the script.
            settings: of the script.
            state: its variables' values by name, as it gave them to `Progress.start`.
            task: the task in hand.
        """
        heads, trunk = state["network"][:-4], state["network"][-4:]
        own = task if len(heads) > 2 else 0
        self.trained = [tf.Variable(p) for p in [*trunk, *heads[2 * own : 2 * own + 2]]]
        frozen = 4 if method == "sgd_freeze" else 0
        self.moving = self.trained[frozen:]
        self.omega = [tf.Variable(omega) for omega in state.get("omega", [])]
        self.anchor = [tf.Variable(anchor) for anchor in state.get("anchor", [])]
        self.masks = [tf.Variable(mask) for mask in state.get("masks", [])]
        self.path = [tf.Variable(path) for path in state.get("path", [])]
        self.teacher = [tf.Variable(weights) for weights in state.get("teacher", [])]
        self.old = [tf.Variable(p) for p in heads[: 2 * own]] if self.teacher else []
        self.strength = STRENGTHS.get(method, 0.0) / (2 if method in HALF else 1)
        self.dropout, self.both = settings.dropout, settings.dropout_layers == "both"

    def hidden(self, trunk: Sequence[tf.Variable], x: tf.Tensor, dropout: float) -> tf.Tensor:
        """Returns h2."""
        w1, b1, w2, b2 = trunk
        h1 = tf.nn.relu(x @ w1 + b1)
        if dropout and self.both:
            h1 = tf.nn.dropout(h1, dropout)
        h2 = tf.nn.relu(h1 @ w2 + b2)
        return tf.nn.dropout(h2, dropout) if dropout else h2

    def __call__(self, x: tf.Tensor, y: tf.Tensor, rate: Any) -> tuple[tf.Tensor, list[Any]]:
        """Takes a step; returns the loss, and the assignments for a graph to depend on."""
        *trunk, v, c = self.trained
        with tf.GradientTape(persistent=bool(self.path)) as tape:
            h2 = self.hidden(trunk, x, self.dropout)
            loss = cross_entropy = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=h2 @ v + c)
            )
            if self.teacher:
                taught = self.hidden(self.teacher, x, 0.0)
                for v_old, c_old in zip(self.old[::2], self.old[1::2], strict=True):
                    loss += self.strength * tf.reduce_mean(
                        tf.nn.softmax_cross_entropy_with_logits(
                            labels=tf.nn.softmax((taught @ v_old + c_old) / 2.0),
                            logits=(h2 @ v_old + c_old) / 2.0,
                        )
                    )
            held = self.trained[: len(self.omega)]  # without the head, if there are several
            for p, omega, anchor in zip(held, self.omega, self.anchor, strict=True):
                loss += self.strength * tf.reduce_sum(omega * tf.square(p - anchor))
        gradients = tape.gradient(loss, self.moving)
        changes = [-rate * gradient for gradient in gradients]
        for index, mask in enumerate(self.masks):
            changes[index] *= mask
        done = []
        if self.path:
            plain = tape.gradient(cross_entropy, self.trained)
            done += [
                path.assign_sub(change * gradient)
                for path, change, gradient in zip(self.path, changes, plain, strict=True)
            ]
        done += [p.assign_add(change) for p, change in zip(self.moving, changes, strict=True)]
        return loss, done


class KerasStep(keras.Model):
    """The step as a Keras model."""

    def __init__(self, step: Step, rate: float) -> None:
        super().__init__()
        self.step, self.rate = step, rate
        self.built = True

    def train_step(self, batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Takes a step."""
        return {"loss": self.step(*batch, self.rate)[0]}


class Clock(keras.callbacks.Callback):
    """Notes when batches end."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Notes it."""
        del batch, logs
        self.ends.append(time.perf_counter())


class Rivals:
    """A method's step, driven in three ways over the same images."""

    def __init__(
        self, make: Callable[[], Step], images: np.ndarray, labels: np.ndarray, rate: float
    ) -> None:
        """Builds and compiles them.

        Args:
            make: a new step from the script's state; called within a graph for the session.
            images: [N, P] float32 of the task, permuted.
            labels: [N] int32.
            rate: learning rate.
        """
        self._images, self._labels, self._rate = images, labels, rate
        with tf.Graph().as_default():
            step = make()
            self._feeds = [
                tf.compat.v1.placeholder(tf.float32, [None, images.shape[1]]),
                tf.compat.v1.placeholder(tf.int32, [None]),
                tf.compat.v1.placeholder(tf.float32, []),
            ]
            loss, done = step(*self._feeds)
            self._fetches = [loss, tf.group(*done)]
            self._session = tf.compat.v1.Session()
            self._session.run(tf.compat.v1.global_variables_initializer())
            self._trained = step.trained
        self._eager = make()
        self._keras = KerasStep(make(), rate)
        self._keras.compile()
        self._pipeline = tf.data.Dataset.from_tensor_slices((images, labels))

    def session(self, rows: np.ndarray) -> float:
        """Takes a step for every row of image numbers [steps, batch]; returns the seconds."""
        began = time.perf_counter()
        for batch in rows:
            feeds = (self._images[batch], self._labels[batch], self._rate)
            self._session.run(self._fetches, dict(zip(self._feeds, feeds, strict=True)))
        return time.perf_counter() - began

    def eager(self, rows: np.ndarray) -> float:
        """Likewise."""
        began = time.perf_counter()
        for batch in rows:
            images, labels = tf.constant(self._images[batch]), tf.constant(self._labels[batch])
            self._eager(images, labels, self._rate)
        return time.perf_counter() - began

    def fit(self, rows: np.ndarray) -> float:
        """Takes as many steps as there are rows, on images of its own choice.

        The first batches, while the pipeline is set up, are not timed.
        """
        steps, batch = rows.shape
        clock, first = Clock(), 5
        shuffled = self._pipeline.shuffle(10 * batch).repeat().batch(batch)
        self._fit(shuffled, steps + first, clock)
        return clock.ends[-1] - clock.ends[first - 1]

    def fit_to(self, rows: np.ndarray) -> None:
        """Takes a step for every row."""
        chosen = (self._images[rows.ravel()], self._labels[rows.ravel()])
        batches = tf.data.Dataset.from_tensor_slices(chosen).batch(rows.shape[1])
        self._fit(batches, len(rows))

    def _fit(self, batches: tf.data.Dataset, steps: int, *callbacks: Clock) -> None:
        batches = batches.prefetch(tf.data.AUTOTUNE)
        self._keras.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=list(callbacks))

    def weights(self, rival: str) -> list[np.ndarray]:
        """Returns a rival's trunk and head."""
        if rival == "session":
            return self._session.run(self._trained)
        step = self._eager if rival == "eager" else self._keras.step
        return [p.numpy() for p in step.trained]


class Over(Exception):
    """A script's run has served its purpose."""


class Contest(Progress):
    """Lets a script train the phase in question an epoch at a time, and the rivals in between.

    Attributes:
        taken: seconds a step, of every round, by name.
        differences: of a rival's weights from the script's, largest of all, by name.
        moved: the largest change of a weight.
    """

    def __init__(self, method: str, settings: Any, tasks: Sequence[data.Task], rounds: int) -> None:
        """Takes part in a run.

        Args:
            method: name of the script.
            settings: of the script.
            tasks: of the run.
            rounds: of timing; 0 to compare the weights after a few steps instead.
        """
        super().__init__()
        self.taken: dict[str, list[float]] = {}
        self.differences: dict[str, float] = {}
        self.moved = 0.0
        self._method, self._settings, self._tasks = method, settings, tasks
        self._rounds = rounds
        self._phase_in_question = {"joint": (0, 0), "anpyc_wi_np": (1, 1)}.get(method, (1, 0))
        self._variables: dict[str, Sequence[Any]] = {}

    def start(self, total_steps: int, **state: Sequence[Any]) -> None:
        """Notes the script's variables."""
        self._variables = state
        super().start(total_steps, **state)

    def epochs(self, steps: int, epoch_steps: int) -> Iterator[tuple[int, int]]:
        """Yields as always, until the phase in question begins.

        Raises:
            Over: when that is done.
        """
        if (self._task, self._phase) != self._phase_in_question:
            yield from super().epochs(steps, epoch_steps)
            return
        values = {name: [v.numpy() for v in given] for name, given in self._variables.items()}

        def step() -> Step:
            return Step(self._method, self._settings, values, self._task)

        rivals = Rivals(step, *self._examples(), self._settings.learning_rate)
        if self._rounds:
            limit = products(self._settings.batch_size, self._settings.hidden)
            for turn in range(self._rounds + 2):
                began = time.perf_counter()
                self._epoch_steps, first = epoch_steps, self._task_steps
                yield first, epoch_steps
                seconds = {"ours": (time.perf_counter() - began) / epoch_steps}
                rows = self._rows(first, STEPS)
                for rival in RIVALS:
                    seconds[rival] = getattr(rivals, rival)(rows) / STEPS
                seconds.update({name: run() for name, run in limit.items()})
                if turn > 1:  # the first rounds compile
                    for name, each in seconds.items():
                        self.taken.setdefault(name, []).append(each)
        else:
            self._epoch_steps, first = CHECKED, self._task_steps
            yield first, CHECKED
            rows = self._rows(first, CHECKED)
            before = step().trained
            values["network"] = [v.numpy() for v in self._variables["network"]]
            ours = step().trained
            self.moved = largest_difference(ours, before)
            rivals.session(rows)
            rivals.fit_to(rows)
            rivals.eager(rows)
            for rival in RIVALS:
                self.differences[rival] = largest_difference(ours, rivals.weights(rival))
        raise Over

    def _rows(self, first: int, count: int) -> np.ndarray:
        """Returns the images of the same batches as the script's, [count, batch]."""
        tasks = len(self._tasks) if self._method == "joint" else 1
        return schedule.batches(
            0,
            self._task,
            self._tasks[0].examples * tasks,
            self._settings.batch_size,
            first,
            count,
            complete=tasks > 1,
        )

    def _examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns permuted images, float32, and labels, as the release holds them."""
        chosen = self._tasks if self._method == "joint" else [self._tasks[self._task]]
        labels = [
            np.asarray(task.train.labels, np.int32) + 10 * place
            for place, task in enumerate(chosen)
        ]
        images = [
            (np.asarray(task.train.images)[:, task.permutation] / np.float32(255))
            for task in chosen
        ]
        return np.concatenate(images), np.concatenate(labels)


def largest_difference(ones: Sequence[Any], others: Sequence[Any]) -> float:
    """Returns the largest absolute difference of any two entries."""
    pairs = zip(ones, others, strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def products(batch: int, hidden: Sequence[int]) -> dict[str, Callable[[], float]]:
    """Returns by name what takes the matrix products of some steps and returns seconds a step."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> tf.Tensor:
        return tf.constant(generator.normal(size=shape).astype(np.float32))

    xs, w1, w2, v = (
        normal(8, batch, 784),
        normal(784, hidden[0]),
        normal(*hidden),
        normal(hidden[1], 10),
    )

    def steps(count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        last = tf.zeros([784, hidden[0]]), tf.zeros([*hidden]), tf.zeros([hidden[1], 10])
        for step in tf.range(count):
            x = tf.gather(xs, step % 8)
            h1 = x @ w1
            h2 = h1 @ w2
            delta = h2 @ v
            delta2 = tf.matmul(delta, v, transpose_b=True)
            delta1 = tf.matmul(delta2, w2, transpose_b=True)
            pairs = ((x, delta1), (h1, delta2), (h2, delta))
            last = tuple(tf.matmul(layer, d, transpose_a=True) for layer, d in pairs)
        return last

    def timed(compiled: Any) -> Callable[[], float]:
        def run() -> float:
            began = time.perf_counter()
            compiled(tf.constant(STEPS))[0].numpy()
            return (time.perf_counter() - began) / STEPS

        return run

    return {
        "products, XLA": timed(tf.function(steps, jit_compile=True)),
        "products, oneDNN": timed(tf.function(steps)),
    }


def contest(method: str, tasks: Sequence[data.Task], rounds: int, **changes: Any) -> Contest:
    """Runs a script up to the phase in question, and through it."""
    module = importlib.import_module(method)
    own: dict[str, Any] = {"tasks": len(tasks), "epochs": 1, "batch_size": 256}
    if hasattr(module.Settings, "steps"):
        own["steps"] = None
    settings = module.Settings(**{**own, **METHODS[method], **changes})
    progress = Contest(method, settings, tasks, rounds)
    strength = {"strength": STRENGTHS[method]} if method in STRENGTHS else {}
    try:
        module.run(settings, tasks, **strength, seed=0, progress=progress)
    except Over:
        return progress
    raise AssertionError(f"{method} never came to the phase in question")


def check(method: str, tasks: Sequence[data.Task]) -> float:
    """Returns the largest difference of the weights of the script and its rivals after some steps.

    Raises:
        AssertionError: they are not the same, or nothing moved.
    """
    done = contest(method, tasks, 0, dropout=0.0)
    worst = max(done.differences.values())
    assert worst < TOLERANCE < 1000 * TOLERANCE < done.moved, (method, done.differences, done.moved)
    return worst


def passes(tasks: Sequence[data.Task], rounds: int, method: str) -> dict[str, list[float]]:
    """Returns the seconds of an epoch, the importance passes, and evaluation of twenty tasks.

    Args:
        tasks: for their data set.
        rounds: of timing.
        method: the script whose network and batch size it is.
    """
    settings = importlib.import_module(method).Settings(tasks=20)
    twenty = data.permuted_tasks(tasks[0].dataset, settings.tasks)
    net = network.for_tasks(settings, twenty, 0)
    task = twenty[0]
    w1, w2, v = net.trunk[0].value(), net.trunk[2].value(), net.heads[0][0].value()
    pixels = [network.to_pixels(split.images) for split in (task.test, task.validation)]

    def forward_products(xs: list[tf.Tensor]) -> list[tf.Tensor]:
        return [x @ w1 @ w2 @ v for x in xs]

    def evaluated(compiled: Callable[..., list[tf.Tensor]]) -> None:
        for _ in twenty:
            compiled(pixels)[-1].numpy()

    def trainer() -> training.Trainer:
        return training.Trainer(net, settings, Progress(), 0)

    steps = schedule.epoch_steps(task.examples, settings.batch_size)
    order = schedule.stream_order(0, 0, task.examples, settings.batch_size, steps)

    def measured(measure: Callable[..., list[tf.Tensor]], *arguments: Any) -> None:
        measure(net, task, *arguments, order=order)[0].numpy()

    with_xla = tf.function(forward_products, jit_compile=True)
    with_onednn = tf.function(forward_products)
    timed: dict[str, Callable[[], Any]] = {
        "epoch": lambda: trainer().train(task, steps),
        "entropy importance": lambda: measured(importance.entropy),
        "Fisher importance": lambda: measured(importance.fisher, 0),
        "MAS importance": lambda: measured(importance.mas),
        "evaluation of 20 tasks": lambda: trainer().evaluate(twenty),
        "products, XLA": lambda: evaluated(with_xla),
        "products, oneDNN": lambda: evaluated(with_onednn),
    }
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(rounds + 1):
        for name, run in timed.items():
            began = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    limits = seconds.pop("products, XLA"), seconds.pop("products, oneDNN")
    return {**seconds, "its matrix products": min(limits, key=sum)}


def command(*arguments: str, threads: int | None = None) -> subprocess.Popen[bytes]:
    """Starts a Python process in the repository's root."""
    environment = dict(os.environ)
    environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
    if threads:
        environment["TF_NUM_INTRAOP_THREADS"] = str(threads)
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wall_seconds(*commands: Sequence[str], threads: int | None = None) -> float:
    """Returns how long Python processes take that are started together.

    Raises:
        AssertionError: one of them failed.
    """
    began = time.perf_counter()
    processes = [command(*arguments, threads=threads) for arguments in commands]
    statuses = [process.wait() for process in processes]
    assert not any(statuses), statuses
    return time.perf_counter() - began


FIRST_STEP = """
import os, runpy, sys
from harness import progress
progress.Progress.epoch_done = lambda *_: os._exit(0)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start_up(rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of importing TensorFlow, of a run's way to its first step, of --help."""
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            run = ["anpyc_wo_np.py", "--steps", "1", "--lambda", "3", "--results-dir", folder]
            timed = {
                "import tensorflow": ["-c", "import tensorflow"],
                "start-up to the first step": ["-c", FIRST_STEP, *run],
                "--help": ["anpyc_wo_np.py", "--help"],
            }
            for name, arguments in timed.items():
                seconds.setdefault(name, []).append(wall_seconds(arguments))
    return seconds


def throughput(rounds: int) -> dict[str, list[float]]:
    """Returns the seconds a run, of one run alone and of two at once, by threads for each run."""
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for count, threads in ((1, None), (1, 1), (2, None), (2, 1)):
            name = f"{count} at once, {'1 thread' if threads else 'all threads'}"
            with tempfile.TemporaryDirectory() as folder:
                run = ["finetune.py", "--tasks", "1", "--epochs", "20", "--results-dir", folder]
                runs = [[*run, "--seeds", str(seed)] for seed in range(count)]
                taken = wall_seconds(*runs, threads=threads) / count
                seconds.setdefault(name, []).append(taken)
    return seconds


def ratio(over: Sequence[float], under: Sequence[float]) -> dict[str, float]:
    """Returns median and quartiles of the ratios within each round."""
    each = [a / b for a, b in zip(over, under, strict=True)]
    low, middle, high = statistics.quantiles(each, n=4) if len(each) > 1 else each * 3
    values = {"median": middle, "low": low, "high": high}
    return {**{name: round(value, 3) for name, value in values.items()}, "rounds": len(each)}


def milliseconds(seconds: Sequence[float]) -> float:
    """Returns the median in milliseconds."""
    return round(1000 * statistics.median(seconds), 3)


# Everything but steps: how it is measured, and what its figures are compared with.
PARTS: dict[str, tuple[Callable[[Sequence[data.Task], int], dict[str, list[float]]], str]] = {
    "passes": (functools.partial(passes, method="anpyc_wo_np"), "epoch"),
    "passes-small": (functools.partial(passes, method="anpyc_wi_np"), "epoch"),
    "start-up": (lambda _, rounds: start_up(min(rounds, 5)), "import tensorflow"),
    "throughput": (lambda _, rounds: throughput(min(rounds, 3)), "1 at once, all threads"),
}


def main() -> None:
    """Measures, prints tables and writes JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="of every measurement [9]")
    parser.add_argument("--only", nargs="+", choices=[*METHODS, *PARTS], help="these, not all")
    parser.add_argument("--output", type=Path, help="JSON file; with --only it is updated [none]")
    arguments = parser.parse_args()
    wanted = arguments.only or [*METHODS, *PARTS]
    console = rich.console.Console(soft_wrap=True, highlight=False)
    tf.config.set_visible_devices([], "GPU")
    dataset = data.load_mnist()
    tasks = data.permuted_tasks(dataset.convert(tf.constant), TASKS)
    few = data.permuted_tasks(dataset.first(FEW).convert(tf.constant), TASKS)
    report: dict[str, Any] = {"steps": {}}
    if arguments.only and arguments.output and arguments.output.exists():
        report = json.loads(arguments.output.read_text(encoding="utf-8"))
    report["platform"] = platform.platform()
    report["cores"] = len(os.sched_getaffinity(0))
    report["tensorflow"] = tf.__version__
    header = ["step", "same weights to", *(f"{rival} / ours" for rival in RIVALS), "limit / ours"]
    table = rich.table.Table(*header, title="ratios: median (quartiles)", title_justify="left")
    for method in [name for name in METHODS if name in wanted]:
        count = 2 if method == "joint" else TASKS
        worst = check(method, few[:count])
        seconds = contest(method, tasks[:count], arguments.rounds).taken
        best = min(("products, XLA", "products, oneDNN"), key=lambda k: sum(seconds[k]))
        row = {rival: ratio(seconds[rival], seconds["ours"]) for rival in RIVALS}
        row["limit"] = ratio(seconds[best], seconds["ours"])
        milli = {name: milliseconds(values) for name, values in seconds.items()}
        report["steps"][method] = {"difference": worst, "ratios": row, "milliseconds": milli}
        table.add_row(method, f"{worst:.0e}", *(summaries.spread(one) for one in row.values()))
        console.print(f"{method}: milliseconds a step {milli}", markup=False)
    console.print(table)
    table = rich.table.Table("what", "milliseconds", "ratio", "to")
    for part in [name for name in PARTS if name in wanted]:
        measure, base = PARTS[part]
        seconds = measure(tasks, arguments.rounds)
        report[part] = {}
        for name, values in seconds.items():
            to = "its matrix products" if name.startswith("evaluation") else base
            one = {"milliseconds": milliseconds(values), "ratio": ratio(values, seconds[to])}
            report[part][name] = {**one, "to": to}
            table.add_row(name, f"{one['milliseconds']:.0f}", summaries.spread(one["ratio"]), to)
    console.print(table)
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
