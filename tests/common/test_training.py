"""The training loop, batches and learning rates, evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import anpyc_wi_np
from common import data, evaluation, loop, losses, network, released, schedule, streams, training
from common.consolidation import Consolidation
from common.importance import PathIntegral
from common.network import MLP, Dropout
from common.streams import EVALUATION, stateless_seed
from harness.progress import Progress
from tests import oracles
from tests.oracles import BATCH, CLASSES, HIDDEN, PIXELS, SEED, TRAIN, assert_close, same_bits

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

TASKS = oracles.tiny_tasks(3)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `training.Settings` asks for; the rate decays every 3.22 steps."""

    batch_size: int = BATCH
    learning_rate: float = 0.4
    lr_decay: float = 0.7
    lr_decay_epochs: float = 0.7
    evaluate_every: int | None = None
    evaluate_steps: int | None = None


SETTINGS = Settings()


class Recorder(Progress):
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
    *phases: int,
    settings: Settings = SETTINGS,
    auxiliary=None,
    loss=losses.cross_entropy,
    **arguments,
) -> Recorder:
    """Trains on one task after another, for so many steps in each phase.

    By default for 13 in one phase: two epochs and a part, and two passes.
    """
    progress = Recorder()
    trainer = training.Trainer(net, settings, progress, SEED, loss, auxiliary)
    for task in progress.tasks(tasks):
        for steps in progress.phases(phases or [13], ["", "again"]):
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


# Training against a slow loop


def slow(net: MLP, head: int = 0, **more) -> oracles.Training:
    """Returns a slow training that begins with the network's present parameters."""
    return oracles.Training(oracles.float64(net.parameters(head)), **more)


@pytest.mark.parametrize(("phases", "epochs"), [([13], [5, 5, 3]), ([7, 6], [5, 2, 5, 1])])
def test_training_in_phases_equals_one_slow_loop(phases: list[int], epochs: list[int]) -> None:
    net = tiny()
    by_hand = slow(net)
    by_hand.train(TASKS[0], 13, SETTINGS)
    progress = train(net, TASKS[:1], *phases)
    assert_close(net.parameters(0), by_hand.theta, rtol=2e-4)
    of_epochs = np.split(by_hand.losses, np.cumsum(epochs)[:-1])
    np.testing.assert_allclose(progress.losses, [np.mean(each) for each in of_epochs], rtol=1e-4)


def test_each_task_starts_its_stream_and_its_learning_rates_anew() -> None:
    net = tiny(heads=1)
    by_hand = slow(net)
    for task in TASKS[:2]:
        by_hand.train(task, 7, SETTINGS)
    train(net, TASKS[:2], 7)
    assert_close(net.parameters(0), by_hand.theta, rtol=2e-4)


def test_learning_rate_decay_can_be_overridden() -> None:
    net = tiny()
    by_hand = slow(net)
    by_hand.train(TASKS[0], 13, Settings(lr_decay=1.0))
    train(net, TASKS[:1], lr_decay=1.0)
    assert_close(net.parameters(0), by_hand.theta, rtol=2e-4)


@pytest.mark.parametrize(("update", "heads"), [("proximal", 3), ("explicit", 3), ("proximal", 1)])
def test_consolidated_masked_training_equals_the_slow_loop(update: str, heads: int) -> None:
    net = tiny(heads)
    penalty, masks, path = held(net, update=update), some_masks(net), PathIntegral(net.shared)
    before, head = oracles.arrays(net.trunk), net.head_of(1)
    by_hand = slow(
        net,
        head,
        curvature=oracles.float64(penalty.curvature()),
        anchor=oracles.float64(penalty.anchor),
        masks=oracles.float64(masks),
        path=[np.zeros(p.shape) for p in net.shared],
        update=update,
    )
    by_hand.train(TASKS[1], 13, SETTINGS)
    train(net, TASKS[1:2], consolidation=penalty, masks=masks, follow=path)
    assert_close(net.parameters(head), by_hand.theta, rtol=2e-4)
    assert_close(path.path, by_hand.path, rtol=2e-4)
    for variable, old, mask in zip(net.trunk, before, masks, strict=True):
        frozen = mask.numpy() == 0
        np.testing.assert_array_equal(variable.numpy()[frozen], old[frozen])


def test_dropout_in_training_equals_the_slow_loop_with_the_same_masks(monkeypatch) -> None:
    net, factors = tiny(dropout=Dropout(0.5)), oracles.dropped_factors(monkeypatch)
    by_hand = slow(net)
    train(net, TASKS[:1])
    by_hand.train(TASKS[0], 13, SETTINGS, factors)
    assert_close(net.parameters(0), by_hand.theta, rtol=2e-4)


def test_long_epochs_are_cut_into_calls_without_a_seam(monkeypatch) -> None:
    whole, cut = tiny(), tiny()
    train(whole, TASKS[1:2])
    monkeypatch.setattr(training, "_CHUNK", 3)
    train(cut, TASKS[1:2])
    assert_close(cut.parameters(1), whole.parameters(1), rtol=1e-4)


@pytest.mark.parametrize("label_step", [CLASSES, 0], ids=["own outputs", "shared outputs"])
def test_mixture_gives_every_image_its_own_permutation_and_label(label_step: int) -> None:
    count = 3
    mixture = data.mixed(TASKS, own_outputs=label_step > 0)
    net = tiny(1, classes=CLASSES + label_step * (count - 1))
    settings = Settings(lr_decay_epochs=0.2)  # 0.2 · 69 / 5 = 2.76 steps
    by_hand = slow(net)
    order = schedule.batches(SEED, 0, count * TRAIN, BATCH, 0, 16, complete=True)
    assert len(set((order // TRAIN).ravel())) == count
    labels = TASKS[0].train.labels.numpy()
    for step, chosen in enumerate(order):
        batch = []
        for example in chosen:
            number, row = divmod(int(example), TRAIN)
            batch.append((oracles.pixels_of(TASKS[number])[row], labels[row] + label_step * number))
        by_hand.step(batch, oracles.rate_of(step, settings, count * TRAIN))
    progress = train(net, [mixture], 16, settings=settings)
    assert_close(net.parameters(0), by_hand.theta, rtol=2e-4)
    assert len(progress.losses) == 2  # an epoch is ⌊69 / 5⌋ = 13 complete batches


def to_targets(inputs, rows, step, targets, weights):
    """An auxiliary loss: weight of the step · mean over the batch of ½ ‖h2 − target‖²."""
    weight = tf.gather(weights, step)
    gap = inputs.head - tf.gather(targets, rows)
    batch = tf.cast(tf.shape(gap)[0], tf.float32)
    return weight * tf.reduce_sum(gap**2) / 2 / batch, weight * gap / batch


def test_auxiliary_loss_is_added_with_its_gradient_at_h2() -> None:
    rng = np.random.default_rng(13)
    targets, weights = rng.random((TRAIN, HIDDEN[1])), rng.random(13)
    net, added = tiny(), np.zeros(10)

    def delta_h2(step: int, row: int, h2: np.ndarray) -> np.ndarray:
        added[step] += weights[step] * np.sum((h2 - targets[row]) ** 2) / 2 / BATCH
        return weights[step] * (h2 - targets[row])

    by_hand = slow(net, 1)
    by_hand.train(TASKS[1], 10, SETTINGS, delta_h2=delta_h2)
    inputs = (tf.constant(targets, tf.float32), tf.constant(weights, tf.float32))
    progress = train(net, TASKS[1:2], 10, auxiliary=to_targets, auxiliary_inputs=inputs)
    assert_close(net.parameters(1), by_hand.theta, rtol=2e-4)
    losses = np.mean(np.reshape(by_hand.losses + added, (2, 5)), axis=1)
    np.testing.assert_allclose(progress.losses, losses, rtol=1e-4)


def plain_cross_entropy(logits, labels):
    return losses.cross_entropy(logits, labels)[0]


def plain_to_targets(*arguments):
    return to_targets(*arguments)[0]


def test_losses_without_a_derivative_are_differentiated() -> None:
    rng = np.random.default_rng(13)
    inputs = [tf.constant(rng.random(shape), tf.float32) for shape in ((TRAIN, HIDDEN[1]), (13,))]
    by_hand, by_tape = tiny(), tiny()
    train(by_hand, TASKS[:1], auxiliary=to_targets, auxiliary_inputs=inputs)
    how = {"auxiliary": plain_to_targets, "auxiliary_inputs": inputs}
    train(by_tape, TASKS[:1], loss=plain_cross_entropy, **how)
    assert_close(by_tape.parameters(0), oracles.float64(by_hand.parameters(0)), rtol=1e-4)


def test_batches_of_ones_own_take_the_place_of_the_streams() -> None:
    def every_fourth(first: int, count: int) -> np.ndarray:
        return (np.arange(first * BATCH, (first + count) * BATCH) * 4 % TRAIN).reshape(count, -1)

    net = tiny()
    by_hand = slow(net)
    train(net, TASKS[:1], batches=every_fourth)
    pixels, labels = oracles.pixels_of(TASKS[0]), TASKS[0].train.labels.numpy()
    for step, rows in enumerate(every_fourth(0, 13)):
        rate = oracles.rate_of(step, SETTINGS, TRAIN)
        by_hand.step([(pixels[row], labels[row]) for row in rows], rate)
    assert_close(net.parameters(0), by_hand.theta, rtol=2e-4)


def test_mixture_trains_all_heads_as_one_wide_head() -> None:
    net, wide = tiny(3), tiny(1, classes=3 * CLASSES)
    network.assign(wide.heads[0], network.stacked(net.heads))
    for each in (net, wide):
        mixture = data.mixed(TASKS, own_outputs=True)
        train(each, [mixture], 16, loss=losses.own_head_cross_entropy(3))
    assert same_bits([*net.trunk, *network.stacked(net.heads)], wide.parameters(0))


# What must not make a difference


def test_masks_of_ones_are_no_masks_bit_for_bit() -> None:
    plain, masked = tiny(dropout=Dropout(0.5)), tiny(dropout=Dropout(0.5))
    train(plain, TASKS)
    train(masked, TASKS, masks=ones(masked))
    assert same_bits(plain.variables, masked.variables)


def test_nothing_is_traced_again_for_tasks_heads_strengths_masks_or_steps() -> None:
    dropout = Dropout(0.5)
    programs = [
        loop.compiled_steps(dropout, "proximal", losses.cross_entropy, None, None),
        evaluation._compiled_correct(Dropout()),
    ]

    def counts() -> list[int]:
        return [program.experimental_get_tracing_count() for program in programs]

    net = tiny(dropout=dropout)
    train(net, TASKS[:1], consolidation=held(net), masks=ones(net))
    evaluator(net).evaluate(TASKS[:1])
    before = counts()
    assert min(before) >= 1
    for strength, steps in ((0.0, 3), (0.5, 5), (7.0, 13)):  # less than an epoch, one, and more
        other = tiny(dropout=dropout)
        penalty, masks = held(other, strength), some_masks(other)
        how = Settings(learning_rate=0.01 * (1 + strength), lr_decay=0.5)
        train(other, TASKS, steps, settings=how, consolidation=penalty, masks=masks)
    for tasks in (3, 8, 9):
        evaluator(tiny(heads=1)).evaluate(oracles.tiny_tasks(tasks))
    assert counts() == before


def test_number_of_steps_or_tasks_is_no_constant_of_a_program() -> None:
    # For a tf.range up to a number that only the call knows XLA would compile for each number.
    net = tiny(dropout=Dropout(0.5, "h2"))
    train(net, TASKS[:1])
    evaluator(net).train_head(TASKS[0], evaluation.features(net.trunk, TASKS[0]), 5)
    evaluator(net).evaluate(TASKS)
    loss = losses.cross_entropy
    for program in (
        loop.compiled_steps(net.dropout, "proximal", loss, None, None),
        loop.compiled_head_steps(net.dropout, loss),
        evaluation._compiled_correct(Dropout()),
    ):
        (concrete, *_) = program._list_all_concrete_functions()
        graph = concrete.graph.as_graph_def()
        for nodes in (graph.node, *(inner.node_def for inner in graph.library.function)):
            kinds = {node.name: node.op for node in nodes}
            for node in nodes:
                if node.op == "Range":
                    limits = {kinds.get(name.split(":")[0]) for name in node.input}
                    assert limits == {"Const"}, program


# Batches and learning rates


@given(
    examples=st.integers(1, 40),
    batch=st.integers(1, 40),
    task=st.integers(0, 9),
    first=st.integers(0, 15),
    count=st.integers(1, 15),
    complete=st.booleans(),
)
@settings(max_examples=100)
def test_batches_are_one_stream_of_whole_passes(
    examples: int, batch: int, task: int, first: int, count: int, complete: bool
) -> None:
    batch = min(batch, examples)
    stream = schedule.batches(0, task, examples, batch, 0, 30, complete)
    assert stream.shape == (30, batch)
    part = schedule.batches(0, task, examples, batch, first, count, complete)
    np.testing.assert_array_equal(part, stream[first : first + count])
    length = examples // batch * batch if complete else examples
    flat = stream.ravel()
    for start in range(0, len(flat) - length + 1, length):
        one_pass = flat[start : start + length]
        assert len(set(one_pass)) == length
        assert one_pass.min() >= 0
        assert one_pass.max() < examples


@given(examples=st.integers(1, 40), batch=st.integers(1, 40), steps=st.integers(1, 30))
@settings(max_examples=100)
def test_stream_order_is_the_pass_of_the_last_image_used(
    examples: int, batch: int, steps: int
) -> None:
    batch = min(batch, examples)
    order = schedule.stream_order(SEED, 2, examples, batch, steps)
    passes = schedule.batches(SEED, 2, examples, 1, 0, (steps * batch // examples + 1) * examples)
    passes = passes.reshape(-1, examples)
    np.testing.assert_array_equal(order, passes[(steps * batch - 1) // examples])
    last = schedule.batches(SEED, 2, examples, batch, steps - 1, 1)[0, -1]
    assert order[(steps * batch - 1) % examples] == last
    np.testing.assert_array_equal(schedule.stream_order(SEED, 2, examples, batch, 0), passes[0])
    assert order.dtype == np.int32


def test_batches_differ_between_seeds_tasks_and_passes() -> None:
    streams = [
        schedule.batches(seed, task, 100, 100, number, 1).tobytes()
        for seed in (0, 1)
        for task in (0, 1)
        for number in (0, 1)
    ]
    assert len(set(streams)) == 8


def test_what_complete_batches_leave_out_differs_from_pass_to_pass() -> None:
    missing = [
        frozenset(range(23)) - frozenset(schedule.batches(0, 0, 23, 5, 4 * k, 4, True).ravel())
        for k in range(20)
    ]
    assert {len(rest) for rest in missing} == {3}
    assert len(set(missing)) > 10


def test_epoch_is_one_step_longer_than_the_whole_batches() -> None:
    assert [schedule.epoch_steps(55000, batch) for batch in (256, 64, 128)] == [215, 860, 430]
    assert schedule.epoch_steps(10, 5) == 3


@pytest.mark.parametrize(
    ("epochs", "steps", "batch", "examples", "expected"),
    [
        (50, None, 256, 55000, 50 * 215),
        (1, None, 64, 55000, 860),
        (3, None, 50, 300, 21),
        (3, None, 50, 299, 18),
        (None, 10000, 256, 55000, 10000),
        (None, 1, 50, 300, 1),
    ],
)
def test_budget(
    epochs: int | None, steps: int | None, batch: int, examples: int, expected: int
) -> None:
    settings = anpyc_wi_np.Settings(epochs=epochs, steps=steps, batch_size=batch)
    tasks = [*oracles.tiny_tasks(1, examples), *oracles.tiny_tasks(1, 2 * batch)]
    of_other = 3 * epochs if steps is None else steps
    assert schedule.budget(settings, tasks) == [expected, of_other]


@pytest.mark.parametrize(
    ("first", "period", "expected"),
    [
        (0, 3.22, [0.4, 0.4, 0.4, 0.4, 0.28, 0.28, 0.28, 0.196]),
        (6, 3.22, [0.28, 0.196, 0.196, 0.196, 0.1372]),
        (9, 5.0, [0.28, 0.196, 0.196]),  # step 10 begins the third period
    ],
)
def test_learning_rate_falls_with_every_whole_period(
    first: int, period: float, expected: list[float]
) -> None:
    found = schedule.learning_rates(first, len(expected), 0.4, 0.7, period)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "likelihood"),
    [
        (losses.cross_entropy, oracles.log_likelihood),
        (released.softmax_twice, lambda z, y: oracles.log_likelihood(oracles.softmax(z), y)),
    ],
)
def test_losses_equal_the_oracle_even_where_p_underflows(loss, likelihood) -> None:
    z, labels = np.array([[0.4, -1, 2], [300, 0, -300], [0, 0, 0]]), [2, 1, 0]
    losses, deltas = loss(tf.constant(z, tf.float32), tf.constant(labels))
    for n, y in enumerate(labels):
        assert float(losses[n]) == pytest.approx(-likelihood(z[n], y), rel=1e-6)
        expected = oracles.finite_differences(lambda at, y=y: -likelihood(at, y), z[n])
        np.testing.assert_allclose(deltas[n], expected, rtol=1e-4, atol=1e-6)


# The head alone


def test_features_are_h2_of_the_permuted_training_images() -> None:
    (task,) = oracles.tiny_tasks(1, train=5003)  # more than are run together
    net = tiny(dropout=Dropout(0.5, "h2"))
    theta = oracles.float64(net.parameters(0))
    expected = [oracles.layers(theta, x)[1] for x in oracles.pixels_of(task)]
    np.testing.assert_allclose(evaluation.features(net.trunk, task), expected, rtol=1e-4, atol=1e-6)


def test_training_the_head_alone_is_refused_where_dropout_changes_h1() -> None:
    net = tiny(dropout=Dropout(0.5))
    with pytest.raises(ValueError, match="dropout on h1"):
        evaluator(net).train_head(TASKS[0], evaluation.features(net.trunk, TASKS[0]), 5)


# Evaluation


def of_task(net: MLP, task: data.Task, split: data.Split, factors=None) -> float:
    theta = oracles.float64(net.parameters(net.head_of(task.number)))
    return oracles.accuracy(theta, split, task.permutation, factors=factors)


@pytest.fixture(scope="module")
def learned() -> MLP:
    """Returns a network that has learned the three tasks, and forgotten a part of them."""
    net = tiny()
    train(net, TASKS, 150, settings=Settings(lr_decay=1.0))
    net.dropout = Dropout(0.5)
    return net


@pytest.fixture
def compute_together(monkeypatch):
    """Returns the function that sets how many images and tasks are evaluated together."""

    def change(images: int, tasks: int) -> None:
        monkeypatch.setattr(evaluation, "_IMAGES", images)
        monkeypatch.setattr(evaluation, "_TASKS", tasks)
        evaluation._compiled_correct.cache_clear()

    yield change
    evaluation._compiled_correct.cache_clear()


def evaluator(net: MLP, noisy: bool = False) -> training.Trainer:
    return training.Trainer(net, SETTINGS, Progress(), SEED, dropout_in_evaluation=noisy)


def test_evaluation_equals_the_slow_loop(learned: MLP) -> None:
    test, validation = evaluator(learned).evaluate(TASKS)
    assert test == [of_task(learned, task, task.test) for task in TASKS]
    assert validation == [of_task(learned, task, task.validation) for task in TASKS]
    assert len({*test, *validation}) > 3
    assert test[-1] > 0.9


@pytest.mark.parametrize("noisy", [False, True])
def test_each_task_is_evaluated_on_its_own_images_those_that_share_them_together(
    noisy: bool, learned: MLP, monkeypatch
) -> None:
    (other,) = oracles.tiny_tasks(1, seed=1, test=50)
    larger = dataclasses.replace(TASKS[0].dataset, train=other.train)  # the same images to test on
    tasks = [
        TASKS[0],
        dataclasses.replace(other, number=1),
        dataclasses.replace(TASKS[2], dataset=larger),
    ]
    accuracies, together = evaluation.accuracies, []

    def note(net, heads, *arguments, **more) -> list[float]:
        together.append(len(heads))
        return accuracies(net, heads, *arguments, **more)

    monkeypatch.setattr(evaluation, "accuracies", note)
    found = evaluator(learned, noisy).evaluate(tasks)
    assert together == [2, 1] * 2
    monkeypatch.undo()
    if noisy:  # what is drawn for a task does not depend on the others
        same = evaluator(learned, noisy).evaluate(TASKS)
        assert [each[::2] for each in found] == [each[::2] for each in same]
        return
    for name, each in zip(("test", "validation"), found, strict=True):
        assert each == [of_task(learned, task, getattr(task, name)) for task in tasks]
        (of_first,) = accuracies(
            learned, [learned.heads[1]], getattr(TASKS[0], name), [other.permutation]
        )
        assert each[1] != of_first


def test_readings_under_noise_draw_afresh_at_every_place(monkeypatch) -> None:
    net, progress, seeds = tiny(dropout=Dropout(0.5)), Progress(), []

    def noting(*key: int) -> np.ndarray:
        seed = stateless_seed(*key)
        if key[-1] == EVALUATION:
            seeds.append(tuple(seed))
        return seed

    monkeypatch.setattr(streams, "stateless_seed", noting)
    trainer = training.Trainer(
        net,
        Settings(evaluate_every=1, evaluate_steps=2),
        progress,
        SEED,
        dropout_in_evaluation=True,
    )
    for task in progress.tasks(TASKS):
        for steps in progress.phases([5, 5], ["", "pruned"]):
            trainer.read()  # as directly after a pruning
            trainer.train(task, steps)
        trainer.evaluate(progress.learned)
    assert len(set(seeds)) == len(seeds) == (2 + 4 + 2) * (1 + 2 + 3)


@pytest.mark.parametrize("together", [(7, 2), (20, 3)])
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
        found = evaluation.accuracies(learned, heads, part, permutations, firsts)
        assert found == [
            oracles.accuracy(oracles.float64([*learned.trunk, *head]), part, permutation, first)
            for head, permutation, first in zip(heads, permutations, firsts, strict=True)
        ]
    assert len(set(found)) > 3


def test_evaluation_under_noise_drops_each_image_by_its_place_in_the_split(
    learned: MLP, compute_together
) -> None:
    compute_together(17, 2)
    found = evaluator(learned, noisy=True).evaluate(TASKS)
    for number, name in enumerate(("test", "validation")):
        for task in TASKS:
            split = getattr(task, name)
            seed = stateless_seed(SEED, 2, task.number, number, EVALUATION)
            words = learned.dropout.draw(seed, 1, len(split.images), HIDDEN)[0]
            h1, h2 = learned.dropout.masks(words, len(split.images), HIDDEN)
            factors = list(zip(h1.numpy(), h2.numpy(), strict=True))
            assert found[number][task.number] == of_task(learned, task, split, factors)
