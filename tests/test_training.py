"""The training loop, batches and learning rates, evaluation, going on after an interrupt."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import anpyc_wi_np
from common import data, pruning, results, training
from common import progress as progresses
from common.consolidation import Consolidation, Diverged
from common.importance import PathIntegral
from common.network import EVALUATION, MLP, Dropout, stateless_seed
from tests import oracles
from tests.oracles import BATCH, CLASSES, HIDDEN, PIXELS, TRAIN

SEED = 5
TASKS = oracles.tiny_tasks(3)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `training.Settings` asks for; the rate decays every 3.22 steps."""

    batch_size: int = BATCH
    learning_rate: float = 0.4
    lr_decay: float = 0.7
    lr_decay_epochs: float = 0.7


class Recorder(progresses.Progress):
    """Keeps the mean loss of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def epoch_done(self, loss: float) -> None:
        self.losses.append(loss)
        super().epoch_done(loss)


def tiny(heads: int = 3, dropout: Dropout | None = None, classes: int = CLASSES) -> MLP:
    return MLP(HIDDEN, heads, classes, PIXELS, seed=3, dropout=dropout)


def train(
    net: MLP,
    tasks: Sequence,
    steps: int = 13,
    how: Settings | None = None,
    auxiliary=None,
    **arguments,
) -> Recorder:
    """Trains on one task after another; 13 steps are two epochs and a part, and two passes."""
    progress = Recorder()
    trainer = training.Trainer(net, how or Settings(), progress, SEED, auxiliary=auxiliary)
    for task in progress.tasks(tasks):
        trainer.train(task, steps, **arguments)
    return progress


def held(net: MLP, strength: float = 0.25, update: str = "proximal") -> Consolidation:
    """Returns a penalty with importances, a part of them 0, and anchors off the parameters."""
    penalty = Consolidation(net.shared, strength, update=update)
    rng = np.random.default_rng(11)
    for omega, anchor in zip(penalty.omega, penalty.anchor, strict=True):
        omega.assign(rng.gamma(1, 1, omega.shape) * rng.integers(0, 2, omega.shape))
        anchor.assign(anchor + rng.normal(0, 0.3, omega.shape))
    return penalty


def some_masks(net: MLP) -> list[tf.Variable]:
    rng = np.random.default_rng(12)
    return [tf.Variable(rng.integers(0, 2, p.shape).astype(np.float32)) for p in net.trunk]


def ones(net: MLP) -> list[tf.Variable]:
    return [tf.Variable(tf.ones_like(p)) for p in net.trunk]


def values(net: MLP) -> list[np.ndarray]:
    return [variable.numpy() for variable in net.variables]


def assert_same(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> None:
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_near(found, expected: Sequence[np.ndarray], start=None) -> None:
    for place, (one, other) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-6)
        if start is not None:
            assert np.abs(other - start[place]).max() > 1e-3, "nothing moved"


# Training against a slow loop


@dataclasses.dataclass
class Slow:
    """Training in float64, image by image; holds what the compiled loop holds."""

    theta: list[np.ndarray]
    pull: Sequence[np.ndarray] = ()
    anchor: Sequence[np.ndarray] = ()
    masks: Sequence[np.ndarray] = ()
    path: list[np.ndarray] = dataclasses.field(default_factory=list)
    update: str = "proximal"
    losses: list[float] = dataclasses.field(default_factory=list)

    def train(self, task: data.Task, steps: int, how: Settings, factors=None, delta_h2=None):
        """Takes the first steps of a task."""
        images, labels = oracles.pixels_of(task), task.train.labels.numpy()
        order = training.batches(SEED, task.number, len(images), BATCH, 0, steps)
        for step, rows in enumerate(order):
            batch = [(images[row], labels[row]) for row in rows]
            extra = [delta_h2(row, step) for row in rows] if delta_h2 else None
            self.step(batch, rate_of(step, how), factors and factors[step], extra)

    def step(self, batch, rate: float, factors=None, extra=None) -> None:
        """Takes one step on a batch of (image, label)."""
        total, loss = [np.zeros_like(p) for p in self.theta], 0.0
        for n, (x, y) in enumerate(batch):
            masks = (factors[0][n], factors[1][n]) if factors else (None, None)
            _, h2, z = oracles.layers(self.theta, x, masks)
            loss -= oracles.log_likelihood(z, y) / len(batch)
            d_h2 = extra[n](h2) if extra else None
            of_image = oracles.image_gradients(
                self.theta, x, -oracles.log_likelihood_delta(z, y), masks, d_h2
            )
            total = [t + g / len(batch) for t, g in zip(total, of_image, strict=True)]
        for k, g in enumerate(total):
            old = self.theta[k]
            if k < len(self.pull) and self.update == "proximal":
                weight = rate * self.pull[k]
                new = (old - rate * g + weight * self.anchor[k]) / (1 + weight)
            elif k < len(self.pull):
                new = old - rate * (g + self.pull[k] * (old - self.anchor[k]))
            else:
                new = old - rate * g
            if k < len(self.masks):
                new = np.where(self.masks[k] == 1, new, old)
            if k < len(self.path):
                self.path[k] -= (new - old) * g
            self.theta[k] = new
        self.losses.append(loss)


def rate_of(step: int, how: Settings) -> float:
    period = how.lr_decay_epochs * TRAIN / BATCH
    return how.learning_rate * how.lr_decay ** (step // period)


def mean_by_epoch(losses: Sequence[float]) -> list[float]:
    return [float(np.mean(losses[first : first + 5])) for first in range(0, len(losses), 5)]


@pytest.mark.parametrize("task", TASKS[:2], ids=["task 0", "task 1"])
def test_plain_training_equals_the_slow_loop(task: data.Task) -> None:
    net = tiny()
    start = oracles.float64(net.parameters(task.number))
    slow = Slow(list(start))
    slow.train(task, 13, Settings())
    progress = train(net, [task])
    assert_near(net.parameters(task.number), slow.theta, start)
    np.testing.assert_allclose(progress.losses, mean_by_epoch(slow.losses), rtol=1e-4)


@pytest.mark.parametrize(("update", "heads"), [("proximal", 3), ("explicit", 3), ("proximal", 1)])
def test_consolidated_masked_training_equals_the_slow_loop(update: str, heads: int) -> None:
    task, net = TASKS[1], tiny(heads)
    penalty, masks, path = held(net, update=update), some_masks(net), PathIntegral(net.shared)
    theta = net.parameters(net.head_of(1))
    start = oracles.float64(theta)
    slow = Slow(
        list(start),
        oracles.float64(penalty.pull()),
        oracles.float64(penalty.anchor),
        oracles.float64(masks),
        [np.zeros(p.shape) for p in net.shared],
        update,
    )
    slow.train(task, 13, Settings())
    train(net, [task], consolidation=penalty, masks=masks, path=path)
    assert_near(theta, slow.theta, start)
    assert_near(path.path, slow.path)
    assert all(np.any(s.numpy() != 0) for s in path.path)
    for variable, before, mask in zip(net.trunk, start[:4], masks, strict=True):
        stays = mask.numpy() == 0
        np.testing.assert_array_equal(variable.numpy()[stays], before.astype(np.float32)[stays])


def test_path_integral_of_plain_sgd_sums_rate_times_squared_gradient() -> None:
    net, how = tiny(), Settings(lr_decay=1.0)
    path = PathIntegral(net.trunk)
    slow = Slow(oracles.float64(net.parameters(0)))
    by_hand = [np.zeros(p.shape) for p in net.trunk]
    for step in range(13):
        before = list(slow.theta)
        rows = training.batches(SEED, 0, TRAIN, BATCH, step, 1)[0]
        images, labels = oracles.pixels_of(TASKS[0]), TASKS[0].train.labels.numpy()
        slow.step([(images[row], labels[row]) for row in rows], 0.4)
        for s, old, new in zip(by_hand, before, slow.theta, strict=False):
            s += 0.4 * ((old - new) / 0.4) ** 2
    zero = Consolidation(net.trunk, 0.0)
    train(net, TASKS[:1], how=how, path=path, consolidation=zero, masks=ones(net))
    assert_near(path.path, by_hand)


def test_dropout_in_training_equals_the_slow_loop_with_the_same_masks(monkeypatch) -> None:
    net = tiny(dropout=Dropout(0.5))
    drawn, factors = Dropout.draw, []

    def draw(self, seed, steps, batch, hidden):
        words = drawn(self, seed, steps, batch, hidden)
        factors.extend(self.masks(row, batch, hidden) for row in words)
        return words

    monkeypatch.setattr(Dropout, "draw", draw)
    start = oracles.float64(net.parameters(0))
    train(net, TASKS[:1])
    seen = np.array([mask1.numpy() for mask1, _ in factors])
    assert len({mask.tobytes() for mask in seen[:13]}) == 13, "a mask is used twice"
    slow = Slow(list(start))
    slow.train(TASKS[0], 13, Settings(), [(m1.numpy(), m2.numpy()) for m1, m2 in factors[:13]])
    assert_near(net.parameters(0), slow.theta, start)


def test_phases_of_a_task_run_on_through_its_stream_and_its_learning_rates() -> None:
    net = tiny()
    progress = Recorder()
    trainer = training.Trainer(net, Settings(), progress, SEED)
    slow = Slow(oracles.float64(net.parameters(0)))
    for task in progress.tasks(TASKS[:1]):
        for steps in progress.phases([7, 6], ["", "again"]):
            trainer.train(task, steps)
    slow.train(TASKS[0], 13, Settings())
    assert_near(net.parameters(0), slow.theta)
    assert len(progress.losses) == 4  # 5 + 2, 5 + 1


def test_each_task_starts_its_stream_and_its_learning_rates_anew() -> None:
    net = tiny(heads=1)
    slow = Slow(oracles.float64(net.parameters(0)))
    for task in TASKS[:2]:
        slow.train(task, 7, Settings())
    train(net, TASKS[:2], steps=7)
    assert_near(net.parameters(0), slow.theta)


def test_learning_rate_decay_can_be_overridden() -> None:
    net = tiny()
    slow = Slow(oracles.float64(net.parameters(0)))
    slow.train(TASKS[0], 13, Settings(lr_decay=1.0))
    train(net, TASKS[:1], lr_decay=1.0)
    assert_near(net.parameters(0), slow.theta)


def test_long_epochs_are_cut_into_calls_without_a_seam(monkeypatch) -> None:
    whole, cut = tiny(), tiny()
    train(whole, TASKS[1:2])
    monkeypatch.setattr(training, "_CHUNK", 3)
    train(cut, TASKS[1:2])
    assert_near(values(cut), values(whole))


@pytest.mark.parametrize("label_step", [CLASSES, 0], ids=["own outputs", "shared outputs"])
def test_mixture_gives_every_image_its_own_permutation_and_label(label_step: int) -> None:
    count = 3
    permutations = [task.permutation for task in TASKS]
    mixture = data.Mixture(TASKS[0].dataset, np.stack(permutations), label_step)
    net = tiny(1, classes=CLASSES + label_step * (count - 1))
    how = Settings(lr_decay_epochs=0.2)  # 0.2 · 69 / 5 = 2.76 steps
    start = oracles.float64(net.parameters(0))
    slow = Slow(list(start))
    order = training.batches(SEED, 0, count * TRAIN, BATCH, 0, 16, complete=True)
    assert len(set((order // TRAIN).ravel())) == count
    images, labels = TASKS[0].train.images.numpy() / 255.0, TASKS[0].train.labels.numpy()
    for step, chosen in enumerate(order):
        batch = []
        for example in chosen:
            number, row = divmod(int(example), TRAIN)
            x = images[row][TASKS[number].permutation]
            batch.append((x, labels[row] + label_step * number))
        slow.step(batch, 0.4 * 0.7 ** (step // 2.76))
    progress = train(net, [mixture], 16, how)
    assert_near(net.parameters(0), slow.theta, start)
    assert len(progress.losses) == 2  # an epoch is ⌊69 / 5⌋ = 13 complete batches


def to_targets(inputs, rows, step, targets, weights):
    """An auxiliary loss: weight of the step · mean over the batch of ½ ‖h2 − target‖²."""
    weight = tf.gather(weights, step)
    gap = inputs.head - tf.gather(targets, rows)
    batch = tf.cast(tf.shape(gap)[0], tf.float32)
    return weight * tf.reduce_sum(gap**2) / 2 / batch, weight * gap / batch


def test_auxiliary_loss_adds_its_gradient_at_h2() -> None:
    rng = np.random.default_rng(13)
    targets, weights = rng.random((TRAIN, HIDDEN[1])), rng.random(10)
    net, plain = tiny(), tiny()

    def delta_h2(row: int, step: int):
        return lambda h2: weights[step] * (h2 - targets[row])

    start = oracles.float64(net.parameters(1))
    slow = Slow(list(start))
    slow.train(TASKS[1], 10, Settings(), delta_h2=delta_h2)
    extras = (tf.constant(targets, tf.float32), tf.constant(weights, tf.float32))
    progress = train(net, TASKS[1:2], 10, auxiliary=to_targets, extras=extras)
    assert_near(net.parameters(1), slow.theta, start)
    without = train(plain, TASKS[1:2], 10)
    assert progress.losses[0] > without.losses[0] + 0.01
    assert np.abs(plain.trunk[0] - net.trunk[0]).max() > 1e-2


# What must not make a difference


@pytest.mark.parametrize("update", ["proximal", "explicit"])
def test_zero_strength_is_plain_sgd_bit_for_bit(update: str) -> None:
    ends = []
    for penalised in (False, True):
        net = tiny(dropout=Dropout(0.5))
        train(net, TASKS, consolidation=held(net, 0.0, update) if penalised else None)
        ends.append(values(net))
    assert_same(*ends)


@pytest.mark.parametrize("strength", [None, 0.0])
def test_masks_of_ones_are_no_masks_bit_for_bit(strength: float | None) -> None:
    plain, masked = tiny(dropout=Dropout(0.5)), tiny(dropout=Dropout(0.5))
    train(plain, TASKS)
    penalty = None if strength is None else held(masked, strength)
    train(masked, TASKS, masks=ones(masked), consolidation=penalty)
    assert_same(values(plain), values(masked))


def test_zero_importance_is_plain_sgd_bit_for_bit_whatever_the_strength() -> None:
    plain, penalised = tiny(dropout=Dropout(0.5)), tiny(dropout=Dropout(0.5))
    train(plain, TASKS)
    train(penalised, TASKS, consolidation=Consolidation(penalised.trunk, 1e6))
    assert_same(values(plain), values(penalised))


def test_strength_makes_a_difference() -> None:
    plain, penalised = tiny(dropout=Dropout(0.5)), tiny(dropout=Dropout(0.5))
    train(plain, TASKS)
    train(penalised, TASKS, consolidation=held(penalised, 0.1))
    assert np.abs(plain.trunk[0] - penalised.trunk[0]).max() > 1e-2


def test_same_seed_gives_the_same_network_and_another_seed_another() -> None:
    nets = [tiny(dropout=Dropout(0.5)) for _ in range(3)]
    for net, seed in zip(nets, (SEED, SEED, SEED + 1), strict=True):
        progress = progresses.Progress()
        trainer = training.Trainer(net, Settings(), progress, seed)
        for task in progress.tasks(TASKS[:1]):
            trainer.train(task, 13)
    assert_same(values(nets[0]), values(nets[1]))
    assert np.any(nets[0].trunk[0].numpy() != nets[2].trunk[0].numpy())


def test_validation_and_test_images_are_never_trained_on() -> None:
    rng = np.random.default_rng(14)
    dataset = TASKS[0].dataset
    garbage = dataclasses.replace(
        dataset,
        **{
            name: data.Split(
                tf.constant(rng.integers(0, 256, split.images.shape), tf.uint8),
                tf.constant(rng.integers(0, CLASSES, split.labels.shape), tf.uint8),
            )
            for name, split in (("validation", dataset.validation), ("test", dataset.test))
        },
    )
    ends, rows = [], []
    for tasks in (TASKS, data.permuted_tasks(garbage, 3)):
        net = tiny(dropout=Dropout(0.5))
        progress = progresses.Progress()
        trainer = training.Trainer(net, Settings(), progress, SEED)
        for task in progress.tasks(tasks):
            trainer.train(task, 13)
            rows.append(trainer.evaluate(tasks[: task.number + 1]))
        ends.append(values(net))
    assert_same(*ends)
    assert rows[0] != rows[3]


def test_other_heads_do_not_move() -> None:
    net = tiny()
    before = [(v.numpy(), c.numpy()) for v, c in net.heads]
    train(net, TASKS[1:2])
    for head in (0, 2):
        assert_same([p.numpy() for p in net.heads[head]], before[head])
    assert np.all(net.heads[1][1].numpy() != before[1][1])


def test_trunk_masks_of_zeros_leave_the_trunk_and_train_the_head() -> None:
    net = tiny(dropout=Dropout(0.5))
    before, head = [p.numpy() for p in net.trunk], net.heads[0][0].numpy()
    train(net, TASKS[:1], masks=[tf.Variable(tf.zeros_like(p)) for p in net.trunk])
    assert_same(before, [p.numpy() for p in net.trunk])
    assert np.all(net.heads[0][0].numpy() != head)


def test_pruned_weights_stay_zero_and_grow_again_when_they_are_free() -> None:
    net = tiny(dropout=Dropout(0.5))
    masks = pruning.Masks(net.trunk)
    masks.prune([mask.numpy() for mask in some_masks(net)])
    pruned = [mask.numpy() == 0 for mask in masks.now]
    penalty = held(net)  # pulls the pruned weights too, towards anchors that are not 0
    train(net, TASKS[:1], consolidation=penalty, masks=masks.now)
    for variable, zero in zip(net.trunk, pruned, strict=True):
        np.testing.assert_array_equal(variable.numpy()[zero], 0)
        assert np.all(variable.numpy()[~zero] != 0)
    masks.free()
    train(net, TASKS[1:2], consolidation=penalty, masks=masks.now)
    grown = [variable.numpy()[zero] != 0 for variable, zero in zip(net.trunk, pruned, strict=True)]
    assert np.mean(np.concatenate(grown)) > 0.5


def test_nothing_is_traced_again_for_tasks_heads_strengths_masks_or_phases() -> None:
    def counts() -> tuple[int, int]:
        dropout = Dropout(0.5)
        steps = training._compiled_steps(dropout, "proximal", training.cross_entropy, None)
        correct = training._compiled_correct(Dropout())
        return (
            steps.experimental_get_tracing_count(),
            correct.experimental_get_tracing_count(),
        )

    net = tiny(dropout=Dropout(0.5))
    train(net, TASKS[:1], consolidation=held(net), masks=ones(net))
    evaluator(net).evaluate(TASKS[:1])
    before = counts()
    assert min(before) >= 1
    for seed_of_network in (1, 2):
        other = MLP(HIDDEN, 3, CLASSES, PIXELS, seed_of_network, dropout=Dropout(0.5))
        for strength in (0.0, 0.5, 7.0):
            how = Settings(learning_rate=0.01 * (1 + strength), lr_decay=0.5)
            for steps in (3, 5, 13):  # shorter than an epoch, one, and more
                train(
                    other, TASKS, steps, how, None, consolidation=held(other, strength),
                    masks=some_masks(other),
                )  # fmt: skip
        for tasks in (1, 3, 8, 9):
            other.heads = [other.heads[0]]
            evaluator(other).evaluate(oracles.tiny_tasks(9)[:tasks])
    assert counts() == before


def test_number_of_steps_or_tasks_is_no_constant_of_a_program() -> None:
    # tf.range with a number that is known in the call only: XLA would compile for each number.
    net = tiny(dropout=Dropout(0.5, "h2"))
    train(net, TASKS[:1])
    evaluator(net).train_head(TASKS[0], training.features(net.trunk, TASKS[0]), 5)
    evaluator(net).evaluate(TASKS)
    loss = training.cross_entropy
    for program in (
        training._compiled_steps(net.dropout, "proximal", loss, None),
        training._compiled_head_steps(net.dropout, loss),
        training._compiled_correct(Dropout()),
    ):
        (concrete, *_) = program._list_all_concrete_functions()
        graph = concrete.graph.as_graph_def()
        for nodes in (graph.node, *(inner.node_def for inner in graph.library.function)):
            kinds = {node.name: node.op for node in nodes}
            for node in nodes:
                if node.op == "Range":
                    limits = {kinds.get(name.split(":")[0]) for name in node.input}
                    assert limits == {"Const"}, program


# Errors


def test_divergence_ends_the_training() -> None:
    with pytest.raises(Diverged):
        train(tiny(), TASKS, how=Settings(learning_rate=1e30))


def test_training_set_smaller_than_a_batch_is_refused() -> None:
    net = tiny()
    with pytest.raises(ValueError, match="23 training images do not fill one batch of 24"):
        train(net, TASKS, how=Settings(batch_size=TRAIN + 1))
    assert_same(values(net), values(tiny()))


# Batches and learning rates


@given(
    examples=st.integers(1, 40),
    batch=st.integers(1, 40),
    task=st.integers(0, 9),
    first=st.integers(0, 15),
    count=st.integers(1, 15),
    complete=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_batches_are_one_stream_of_whole_passes(
    examples: int, batch: int, task: int, first: int, count: int, complete: bool
) -> None:
    batch = min(batch, examples)
    stream = training.batches(0, task, examples, batch, 0, 30, complete)
    assert stream.shape == (30, batch)
    part = training.batches(0, task, examples, batch, first, count, complete)
    np.testing.assert_array_equal(part, stream[first : first + count])
    length = examples // batch * batch if complete else examples
    flat = stream.ravel()
    for start in range(0, len(flat) - length + 1, length):
        one_pass = flat[start : start + length]
        assert len(set(one_pass)) == length
        assert one_pass.min() >= 0
        assert one_pass.max() < examples


@given(examples=st.integers(1, 40), batch=st.integers(1, 40), steps=st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_stream_order_is_the_pass_of_the_last_image_used(
    examples: int, batch: int, steps: int
) -> None:
    batch = min(batch, examples)
    order = training.stream_order(SEED, 2, examples, batch, steps)
    passes = training.batches(SEED, 2, examples, 1, 0, (steps * batch // examples + 1) * examples)
    passes = passes.reshape(-1, examples)
    np.testing.assert_array_equal(order, passes[(steps * batch - 1) // examples])
    last = training.batches(SEED, 2, examples, batch, steps - 1, 1)[0, -1]
    assert order[(steps * batch - 1) % examples] == last
    np.testing.assert_array_equal(training.stream_order(SEED, 2, examples, batch, 0), passes[0])
    assert order.dtype == np.int32


def test_trainer_reads_the_stream_as_far_as_the_task_has_come() -> None:
    progress, orders = progresses.Progress(), []
    trainer = training.Trainer(tiny(), Settings(), progress, SEED)
    for task in progress.tasks(TASKS[:2]):
        for steps in progress.phases([4, 1, 9], ["", "", ""]):  # 20, 25 and 70 images
            trainer.train(task, steps)
            orders.append(trainer.stream_order(task))
    expected = [
        training.batches(SEED, task, TRAIN, TRAIN, number, 1)[0]
        for task in (0, 1)
        for number in (0, 1, 3)
    ]
    assert_same(orders, expected)


def test_batches_differ_between_seeds_tasks_and_passes() -> None:
    streams = [
        training.batches(seed, task, 100, 100, number, 1).tobytes()
        for seed in (0, 1)
        for task in (0, 1)
        for number in (0, 1)
    ]
    assert len(set(streams)) == 8


def test_what_complete_batches_leave_out_differs_from_pass_to_pass() -> None:
    missing = [
        frozenset(range(23)) - frozenset(training.batches(0, 0, 23, 5, 4 * k, 4, True).ravel())
        for k in range(20)
    ]
    assert {len(rest) for rest in missing} == {3}
    assert len(set(missing)) > 10


def test_epoch_is_one_step_longer_than_the_whole_batches() -> None:
    assert [training.epoch_steps(55000, batch) for batch in (256, 64, 128)] == [215, 860, 430]
    assert training.epoch_steps(10, 5) == 3


@given(first=st.integers(0, 500), count=st.integers(1, 60), period=st.floats(2, 80))
@settings(max_examples=60, deadline=None)
def test_learning_rates_follow_the_formula(first: int, count: int, period: float) -> None:
    found = training.learning_rates(first, count, 0.1, 0.9, period)
    assert found.dtype == np.float32
    expected = [0.1 * 0.9 ** int(s / period) for s in range(first, first + count)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_decay_period_is_not_rounded_to_steps() -> None:
    # Batch 256, 10 epochs of 55,000 / 256 steps: 2,148.4375, not 2,148 nor 2,150.
    rates = training.learning_rates(0, 13000, 1.0, 0.5, 10 * 55000 / 256)
    changes = np.flatnonzero(np.diff(rates)) + 1
    np.testing.assert_array_equal(changes, [2149, 4297, 6446, 8594, 10743, 12891])


def test_trainer_decays_by_the_unrounded_period(monkeypatch) -> None:
    seen = []
    real = training.learning_rates

    def spy(*arguments):
        seen.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(training, "learning_rates", spy)
    train(tiny(), TASKS[:1])
    assert [call[0] for call in seen] == [0, 5, 10]
    assert all(call[2:] == (0.4, 0.7, pytest.approx(0.7 * 23 / 5)) for call in seen)


def test_cross_entropy_equals_the_oracle_even_where_p_underflows() -> None:
    z = np.array([[1.0, -2, 0.5], [300, 0, -300], [0, 0, 0]])
    labels = [2, 1, 0]
    loss, delta = training.cross_entropy(tf.constant(z, tf.float32), tf.constant(labels))
    for n, y in enumerate(labels):
        assert float(loss[n]) == pytest.approx(-oracles.log_likelihood(z[n], y), rel=1e-6)
        np.testing.assert_allclose(
            delta[n], -oracles.log_likelihood_delta(z[n], y), rtol=1e-5, atol=1e-7
        )


def test_softmax_twice_equals_finite_differences() -> None:
    z, step = np.array([0.4, -1.0, 2.0, 0.1]), 1e-5
    for y in range(4):
        loss, delta = training.softmax_twice(tf.constant(z[None], tf.float32), tf.constant([y]))
        assert float(loss[0]) == pytest.approx(-oracles.log_likelihood(oracles.softmax(z), y))
        expected = [
            -(
                oracles.log_likelihood(oracles.softmax(z + step * unit), y)
                - oracles.log_likelihood(oracles.softmax(z - step * unit), y)
            )
            / (2 * step)
            for unit in np.eye(4)
        ]
        np.testing.assert_allclose(delta[0], expected, rtol=1e-4, atol=1e-7)


# The head alone


def test_features_are_h2_of_the_permuted_training_images() -> None:
    net = tiny(dropout=Dropout(0.5, "h2"))
    found = training.features(net.trunk, TASKS[1])
    theta = oracles.float64(net.parameters(0))
    expected = [oracles.layers(theta, x)[1] for x in oracles.pixels_of(TASKS[1])]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_training_the_head_alone_equals_training_with_a_masked_trunk() -> None:
    short, long = (tiny(dropout=Dropout(0.5, "h2")) for _ in range(2))
    before = values(short)
    train(long, TASKS[1:2], masks=[tf.Variable(tf.zeros_like(p)) for p in long.trunk])
    progress = Recorder()
    trainer = training.Trainer(short, Settings(), progress, SEED)
    for task in progress.tasks(TASKS[1:2]):
        trainer.train_head(task, training.features(short.trunk, task), 13)
    assert_near(short.heads[1], [p.numpy() for p in long.heads[1]])
    assert np.all(short.heads[1][0].numpy() != tiny().heads[1][0].numpy())
    short.heads[1][0].assign(tiny().heads[1][0])
    short.heads[1][1].assign(tiny().heads[1][1])
    assert_same(values(short), before)


def test_training_the_head_alone_is_refused_where_dropout_changes_h1() -> None:
    net = tiny(dropout=Dropout(0.5))
    with pytest.raises(ValueError, match="dropout on h1"):
        evaluator(net).train_head(TASKS[0], training.features(net.trunk, TASKS[0]), 5)


# Evaluation


def slow_accuracy(
    net: MLP,
    head: Sequence[np.ndarray],
    split: data.Split,
    permutation: np.ndarray,
    first_class: int = 0,
    factors: Sequence[np.ndarray] | None = None,
) -> float:
    theta = oracles.float64([*net.trunk, *head])
    right = 0
    for n, image in enumerate(split.images.numpy()):
        masks = (factors[0][n], factors[1][n]) if factors else (None, None)
        z = oracles.layers(theta, image[permutation] / 255.0, masks)[2]
        right += int(np.argmax(z) == int(split.labels[n]) + first_class)
    return right / len(split.labels)


def of_task(net: MLP, task: data.Task, split: data.Split) -> float:
    return slow_accuracy(net, net.heads[net.head_of(task.number)], split, task.permutation)


@pytest.fixture(scope="module")
def learned() -> MLP:
    """Returns a network that has learned the three tasks, and forgotten a part of them."""
    net = tiny()
    train(net, TASKS, 150, Settings(lr_decay=1.0))
    net.dropout = Dropout(0.5)
    return net


@pytest.fixture
def compute_together(monkeypatch):
    """Returns the function that sets how many images and tasks are evaluated together."""

    def change(images: int, tasks: int) -> None:
        monkeypatch.setattr(training, "_IMAGES", images)
        monkeypatch.setattr(training, "_TASKS", tasks)
        training._compiled_correct.cache_clear()

    yield change
    training._compiled_correct.cache_clear()


def evaluator(net: MLP, seed: int = SEED, noisy: bool = False) -> training.Trainer:
    return training.Trainer(net, Settings(), progresses.Progress(), seed, noisy=noisy)


def test_evaluation_equals_the_slow_loop(learned: MLP) -> None:
    test, validation = evaluator(learned).evaluate(TASKS)
    assert test == [of_task(learned, task, task.test) for task in TASKS]
    assert validation == [of_task(learned, task, task.validation) for task in TASKS]
    assert len({*test, *validation}) > 3
    assert test[-1] > 0.9


@pytest.mark.parametrize("together", [(7, 2), (20, 3), (60, 4), (1000, 8)])
def test_accuracies_are_exact_whatever_is_computed_together(
    together: tuple[int, int], learned: MLP, compute_together
) -> None:
    compute_together(*together)
    rng = np.random.default_rng(15)
    tasks = oracles.tiny_tasks(5)
    # The last head's outputs twice side by side, the second time larger or smaller.
    v, c = (p.numpy() for p in learned.heads[2])
    shifts = rng.choice([-9, 9], (len(tasks), CLASSES)).astype(np.float32)
    heads = [(np.hstack([v, v]), np.hstack([c, c + shift])) for shift in shifts]
    firsts = [0, CLASSES, 0, CLASSES, CLASSES]
    permutations = [task.permutation for task in [TASKS[2], *tasks[:2], TASKS[2], tasks[3]]]
    split = TASKS[0].test
    for images in (1, 19, 60):
        part = data.Split(split.images[:images], split.labels[:images])
        found = training.accuracies(learned, heads, part, permutations, firsts)
        assert found == [
            slow_accuracy(learned, head, part, permutation, first)
            for head, permutation, first in zip(heads, permutations, firsts, strict=True)
        ]
    assert len(set(found)) > 3


@pytest.mark.parametrize("rate", [0.5, 0.3])
def test_evaluation_under_noise_drops_each_image_by_its_place_in_the_split(
    rate: float, learned: MLP, compute_together, monkeypatch
) -> None:
    monkeypatch.setattr(learned, "dropout", Dropout(rate))
    compute_together(17, 2)
    found = evaluator(learned, noisy=True).evaluate(TASKS)
    for number, name in enumerate(("test", "validation")):
        for task in TASKS:
            split = getattr(task, name)
            seed = stateless_seed(SEED, 2, task.number, number, EVALUATION)
            words = learned.dropout.draw(seed, 1, len(split.images), HIDDEN)[0]
            masks = learned.dropout.masks(words, len(split.images), HIDDEN)
            head = learned.heads[task.number]
            expected = slow_accuracy(
                learned, head, split, task.permutation, factors=[mask.numpy() for mask in masks]
            )
            assert found[number][task.number] == expected


def test_evaluation_with_dropout_differs_and_is_reproducible(learned: MLP) -> None:
    plain = evaluator(learned).evaluate(TASKS)
    noisy = evaluator(learned, noisy=True).evaluate(TASKS)
    assert noisy != plain
    assert evaluator(learned, noisy=True).evaluate(TASKS) == noisy
    assert evaluator(learned, SEED + 1, noisy=True).evaluate(TASKS) != noisy
    # After another task the draw is a fresh one.
    assert evaluator(learned, noisy=True).evaluate(TASKS[:2])[0] != noisy[0][:2]


# Readings in the course of training


@dataclasses.dataclass(frozen=True)
class Read(Settings):
    """With readings."""

    evaluate_every: int | None = 2


class Reader:
    """The least that `training.Steps` asks for: phases of epochs, and what was read when.

    Attributes:
        log: (phase, steps of the task) of every finished epoch and, with accuracies, reading.
    """

    def __init__(self, tasks: Sequence[data.Task]) -> None:
        self.learned = tasks
        self.task_steps = self.phase = 0
        self.log: list[tuple] = []
        self._due: list[int] = []

    @property
    def reading_key(self) -> tuple[int, int]:
        return self.phase, self.task_steps

    def epochs(self, steps: int, epoch_steps: int):
        for self._epoch in range(1, -(-steps // epoch_steps) + 1):
            first, self._last = self.task_steps, self._epoch * epoch_steps >= steps
            count = steps - (self._epoch - 1) * epoch_steps if self._last else epoch_steps
            self.task_steps += count
            yield first, count
        self.phase += 1

    def epoch_done(self, loss: float) -> None:
        self.log.append((self.phase, self.task_steps))

    def reading_due(self, every: int) -> bool:
        return self._epoch % every == 0 or self._last

    def keep_reading(self, accuracy: list[float]) -> None:
        self.log.append((self.phase, self.task_steps, accuracy))


def test_readings_come_before_the_epoch_is_done_and_change_nothing() -> None:
    ends = []
    for every in (2, None):
        net, steps = tiny(dropout=Dropout(0.5)), Reader(TASKS[:2])
        trainer = training.Trainer(net, Read(evaluate_every=every), steps, SEED)
        trainer.train(TASKS[1], 13)  # three epochs
        trainer.read()
        last = [of_task(net, task, task.test) for task in TASKS[:2]]
        trainer.train(TASKS[1], 5)
        ends.append(values(net))
        done = [(0, 5), (0, 10), (0, 13), (1, 18)]
        if every is None:
            assert steps.log == done
            continue
        assert [entry[:2] for entry in steps.log if len(entry) == 2] == done
        assert [entry[:2] for entry in steps.log] == [
            (0, 5), (0, 10), (0, 10), (0, 13), (0, 13), (1, 13), (1, 18), (1, 18)
        ]  # fmt: skip
        assert [len(entry) for entry in steps.log] == [2, 3, 2, 3, 2, 3, 3, 2]
        assert steps.log[3][2] == steps.log[5][2] == last
    assert_same(*ends)


def test_readings_while_the_head_alone_is_trained() -> None:
    net, steps = tiny(dropout=Dropout(0.5, "h2")), Reader(TASKS[:2])
    trainer = training.Trainer(net, Read(), steps, SEED)
    trainer.train_head(TASKS[1], training.features(net.trunk, TASKS[1]), 13)
    assert steps.log[-2][2] == [of_task(net, task, task.test) for task in TASKS[:2]]
    assert [len(entry) for entry in steps.log] == [2, 3, 2, 3, 2]


def test_readings_under_noise_draw_afresh_at_every_place(
    learned: MLP, compute_together, monkeypatch
) -> None:
    drawn, seeds = Dropout.draw, []

    def draw(self, seed, *arguments):
        seeds.append(tuple(seed))
        return drawn(self, seed, *arguments)

    monkeypatch.setattr(Dropout, "draw", draw)
    compute_together(17, 1)  # nothing is drawn for tasks that fill a group up
    steps = Reader(TASKS)
    trainer = training.Trainer(learned, Read(), steps, SEED, noisy=True)
    for steps.phase, steps.task_steps in ((0, 0), (0, 1), (0, 13), (1, 0), (1, 13), (2, 0)):
        trainer.read()
    trainer.evaluate(TASKS)
    assert len(set(seeds)) == len(seeds) == 6 * 3 + 2 * 3
    readings = [entry[2] for entry in steps.log]
    assert len({tuple(reading) for reading in readings}) > 3
    trainer.read()
    assert steps.log[-1][2] == readings[-1]


# Going on after an interrupt

PRUNED = anpyc_wi_np.Settings(
    tasks=3,
    hidden=HIDDEN,
    epochs=2,
    batch_size=BATCH,
    learning_rate=0.2,
    prune_percent=20,
    retrain_epochs=1,
    evaluate_every=2,
)
LABEL = {"script": "anpyc_wi_np"}
EPOCHS = 2 + 2 + 2 + 2 + 2  # two phases of pruning in each task but the last


class Interrupt(Exception):
    """Stands for Ctrl-C, or a machine that goes down."""


def pruned_run(folder: Path) -> tuple[np.ndarray, dict[str, np.ndarray], list]:
    """Runs, or goes on with, a folder's run; returns its matrix, its state, its details."""
    files = results.RunFiles(folder, "seed0", LABEL)
    with files.hold() as held_here:
        assert held_here
        progress = progresses.Progress(files)
        matrix = anpyc_wi_np.run(PRUNED, TASKS, 0.5, 0, progress)
        state = {name: variable.numpy() for name, variable in progress._state.items()}
        return matrix, state, [progress.details, progress.validation_accuracy, progress.trace]


def interrupt(monkeypatch, owner, name: str, call: int, before: bool) -> None:
    """Makes the given call of a method raise, before or after it has done its work."""
    real, calls = getattr(owner, name), []

    def method(*arguments, **keywords):
        calls.append(name)
        if before and len(calls) == call:
            raise Interrupt
        result = real(*arguments, **keywords)
        if not before and len(calls) == call:
            raise Interrupt
        return result

    monkeypatch.setattr(owner, name, method)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = pruned_run(tmp_path_factory.mktemp("uninterrupted"))
    # A reading at the end of each phase, and one directly after each pruning.
    places = [(task, phase) for task in (0, 1) for phase in (0, 1, 1, 2, 2)]
    assert [(one["task"], one["phase"]) for one in run[2][2]] == [*places, (2, 0)]
    return run


def assert_same_run(found, expected) -> None:
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1].keys() == expected[1].keys()
    for name, value in expected[1].items():
        np.testing.assert_array_equal(found[1][name], value, err_msg=name)
    assert found[2] == expected[2]


STOPS = [
    *((results.RunFiles, "save_checkpoint", call, False) for call in range(1, EPOCHS + 1)),
    *((results.RunFiles, "save_checkpoint", call, True) for call in (1, 3, 6, EPOCHS)),
    *((pruning.Masks, "prune", call, before) for call in (1, 4) for before in (True, False)),
    *((pruning.Masks, "free", call, False) for call in (1, 3)),
    *((Consolidation, "absorb", call, False) for call in (1, 3)),
    *((progresses.Progress, "record", call, False) for call in (1, 3)),
]


@pytest.mark.parametrize(
    "stop", STOPS, ids=[f"{'before' if s[3] else 'after'} {s[1]} {s[2]}" for s in STOPS]
)
def test_interrupted_run_ends_bit_for_bit_like_an_uninterrupted_one(
    stop, uninterrupted, tmp_path, monkeypatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, *stop)
        with pytest.raises(Interrupt):
            pruned_run(tmp_path)
    assert_same_run(pruned_run(tmp_path), uninterrupted)


def test_run_interrupted_after_every_single_epoch_ends_like_an_uninterrupted_one(
    uninterrupted, tmp_path, monkeypatch
) -> None:
    for _ in range(EPOCHS):
        with monkeypatch.context() as patch:
            interrupt(patch, results.RunFiles, "save_checkpoint", 1, False)
            with pytest.raises(Interrupt):
                pruned_run(tmp_path)
    assert_same_run(pruned_run(tmp_path), uninterrupted)


def test_run_goes_on_instead_of_starting_again(tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, results.RunFiles, "save_checkpoint", 7, False)
        with pytest.raises(Interrupt):
            pruned_run(tmp_path)
    saved = []
    monkeypatch.setattr(results.RunFiles, "save_checkpoint", lambda *_: saved.append(1))
    pruned_run(tmp_path)
    assert len(saved) == EPOCHS - 7
