"""The scripts: each baseline against a slow form of its method, and what all have in common."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lwf
from common import data, importance, loop, losses, metrics, network, released, training
from common.importance import PathIntegral
from common.network import MLP, Dropout
from harness import run_files
from harness.progress import Progress
from tests import oracles, runs
from tests.conftest import SCRIPTS
from tests.oracles import CLASSES, HIDDEN, PIXELS, SEED, arrays, assert_close, float64, same_bits
from tests.runs import EPOCH, TASKS, TRAIN, Run, initial, run, settings_of

import numpy as np
import pytest
import tensorflow as tf

CONSOLIDATION = ["anpyc_wi_np", "anpyc_wo_np", "ewc", "mas", "si"]


# Bounds agree

# The same for all scripts; with each update the other settings are others, too.
EQUAL_TERMS = {
    "proximal": {"epochs": 2, "steps": None},
    "explicit": {
        "epochs": None,
        "steps": 27,
        "init": "fan-in-uniform",
        "learning_rate": 0.1,
        "lr_decay": 1.0,
    },
}


@functools.cache
def bound(head: str, update: str) -> Run:
    script = "finetune" if head == "multi" else "sgd_single_head"
    return run(script, **EQUAL_TERMS[update])


@pytest.mark.parametrize("update", ["proximal", pytest.param("explicit", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "head"),
    [
        *((name, "multi") for name in [*CONSOLIDATION, "lwf"]),
        *((name, "single") for name in ("anpyc_wo_np", "ewc", "mas")),
        *(pytest.param(name, "single", marks=pytest.mark.slow) for name in ("anpyc_wi_np", "si")),
    ],
)
def test_zero_strength_is_the_bound_number_for_number(name: str, head: str, update: str) -> None:
    own = {} if name == "lwf" else {"head": head, "update": update}
    if name == "anpyc_wi_np":
        own["prune_percent"] = 0
    found, expected = run(name, strength=0.0, **EQUAL_TERMS[update], **own), bound(head, update)
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    assert found.progress.validation_accuracy == expected.progress.validation_accuracy
    assert same_bits(found.net.variables, expected.net.variables)


@pytest.mark.parametrize("update", ["proximal", pytest.param("explicit", marks=pytest.mark.slow)])
@pytest.mark.parametrize("head", ["multi", "single"])
def test_bounds_learn_and_forget_so_that_agreement_says_something(head: str, update: str) -> None:
    matrix = bound(head, update).matrix
    assert metrics.learning_accuracy(matrix) > 0.6  # chance is a third
    assert metrics.forgetting(matrix) > 0


# What consolidation methods have in common


@pytest.mark.parametrize("name", [name for name in CONSOLIDATION if name != "si"])
def test_update_makes_a_difference(name: str) -> None:
    proximal, explicit = (run(name, strength=0.1, update=u) for u in ("proximal", "explicit"))
    assert not same_bits(proximal.net.variables, explicit.net.variables)
    assert same_bits(proximal.consolidated[0][0], explicit.consolidated[0][0])


@pytest.mark.parametrize("name", [name for name in CONSOLIDATION if name != "si"])
def test_a_huge_strength_holds_what_is_important_in_place(name: str) -> None:
    free, held = (run(name, TASKS[:2], strength) for strength in (0.0, 1e8))
    (theta, omegas), (end, _) = held.consolidated
    for omega, before, after in zip(omegas, theta, end, strict=False):
        important = omega > 1e-4
        assert important.any()
        assert np.abs(after - before)[important].max() < 1e-3
    assert np.abs(free.consolidated[1][0][0] - free.consolidated[0][0][0]).max() > 0.1


@pytest.mark.parametrize("name", CONSOLIDATION)
def test_histogram_of_the_final_importance_is_kept(name: str) -> None:
    ended = run(name, strength=0.1)
    omega = dict(zip(network.NAMES, float64(ended.penalty.omega), strict=False))
    omega["all"] = np.concatenate([np.ravel(values) for values in omega.values()])
    expected = {of: metrics.histogram(values) for of, values in omega.items()}
    assert ended.progress.details["omega"] == expected


# EWC and MAS against loops over single images


@pytest.mark.parametrize(
    ("head", "defects", "used"),
    [
        ("single", (), "all"),
        ("multi", (), "all"),
        ("single", ("D3",), "all-but-last"),
        ("multi", ("D4",), "first"),
        ("single", ("D5",), "all"),
    ],
)
def test_ewc_penalty_is_half_the_sum_of_each_tasks_own_quadratic(
    head: str, defects: Sequence[str], used: str
) -> None:
    strength = 1.7
    ended = run("ewc", TASKS[:2], strength, head=head, as_released=defects)
    fishers = []
    for (theta, found), task in zip(ended.consolidated, TASKS[:2], strict=True):
        batches = runs.batches_of(task, 2 * EPOCH, 1000, used)
        fisher = runs.sampled_fisher(theta, task, (SEED, task.number), batches)
        assert_close(found, fisher[: len(found)])
        fishers.append(fisher)
    rng = np.random.default_rng(0)
    curvatures, anchors = float64(ended.penalty.curvature()), float64(ended.penalty.anchor)
    for k, (curvature, anchor) in enumerate(zip(curvatures, anchors, strict=True)):
        theta = rng.normal(size=anchor.shape)
        ends = [theta_of_task[k] for theta_of_task, _ in ended.consolidated]
        assert np.abs(ends[0] - ends[1]).max() > 1e-2, "anchors are too near each other to tell"
        # The gradient of (λ/2) Σ_t F_t (θ − θ*_t)².
        each = [strength * fishers[t][k] * (theta - ends[t]) for t in (0, 1)]
        literal = each[1] if "D5" in defects else sum(each)
        assert_close([curvature * (theta - anchor)], [literal], rtol=2e-3)


def test_ewc_takes_the_labels_that_are_asked_for() -> None:
    ended = run("ewc", TASKS[:1], 1.0, head="single", fisher="labels")
    [(theta, found)], pixels = ended.consolidated, oracles.pixels_of(TASKS[0])
    labels = TASKS[0].train.labels.numpy()
    assert_close(found, oracles.fisher_importance(theta, pixels, labels))


@pytest.mark.parametrize("gamma", [1.0, 0.6])
def test_online_ewc_decays_what_came_before_and_keeps_the_newest_anchor(gamma: float) -> None:
    strength = 1.7
    ended = run("ewc", TASKS, strength, gamma=gamma)
    fishers = [fisher for _, fisher in ended.consolidated]
    omega = [gamma**2 * a + gamma * b + c for a, b, c in zip(*fishers, strict=True)]
    assert_close(ended.penalty.curvature(), [strength * each for each in omega], rtol=1e-5)
    assert same_bits(float64(ended.penalty.anchor), ended.consolidated[-1][0])


@pytest.mark.parametrize(
    ("head", "output", "defects", "used"),
    [
        ("single", "probabilities", (), "all"),
        ("multi", "logits", (), "all"),
        ("single", "probabilities", ("D6",), "all"),
        ("multi", "probabilities", ("D3",), "all-but-last"),
    ],
)
def test_mas_penalty_is_half_the_summed_sensitivity_at_the_newest_anchor(
    head: str, output: str, defects: Sequence[str], used: str
) -> None:
    strength = 0.02  # small: the sensitivity of logits is large
    ended = run("mas", TASKS[:2], strength, head=head, output=output, as_released=defects)
    each = []
    for (theta, _), task in zip(ended.consolidated, TASKS[:2], strict=True):
        pixels = oracles.pixels_of(task)
        batches = [pixels[numbers] for numbers in runs.batches_of(task, 2 * EPOCH, 1000, used)]
        if "D6" in defects:
            each.append(oracles.mas_of_batches(theta, batches, output))
        else:
            each.append(oracles.mas_importance(theta, np.concatenate(batches), output))
    expected = [strength * (first + second) for first, second in zip(*each, strict=True)]
    held = len(ended.penalty.anchor)
    assert held == (6 if head == "single" else 4)
    assert_close(ended.penalty.curvature(), expected[:held])
    assert same_bits(float64(ended.penalty.anchor), ended.consolidated[1][0][:held])


# SI


def twice(z: np.ndarray, y: int) -> float:
    return oracles.log_likelihood(oracles.softmax(z), y)


@pytest.mark.parametrize("defects", [(), ("D7", "D8")])
def test_si_equals_the_path_integrated_by_hand(defects: Sequence[str]) -> None:
    strength, xi, steps = 0.5, 0.05, 16
    changes = {"xi": xi, "epochs": None, "steps": steps, "dropout": 0.0}
    ended = run("si", strength=strength, **changes, as_released=defects)

    settings = settings_of("si", **changes)
    theta = float64(initial(1).parameters(0))
    zeros = [np.zeros(p.shape) for p in theta]
    slow = oracles.Training(list(theta), zeros, theta)
    slow.likelihood = twice if "D7" in defects else oracles.log_likelihood
    total = zeros
    for number, task in enumerate(TASKS):
        start = zeros if "D8" in defects and number == 0 else list(slow.theta)
        slow.path = [np.zeros(p.shape) for p in theta]
        slow.train(task, steps, settings)
        omega = [
            s / ((theta - before) ** 2 + xi)
            for s, theta, before in zip(slow.path, slow.theta, start, strict=True)
        ]
        if "D8" not in defects:
            omega = [np.maximum(value, 0) for value in omega]
        assert_close(ended.consolidated[number][1], omega, rtol=5e-3)
        assert_close(ended.consolidated[number][0], slow.theta, rtol=5e-3)
        total = [old + new for old, new in zip(total, omega, strict=True)]
        slow.curvature = [2 * strength * value for value in total]
        slow.anchor = list(slow.theta)
    assert_close(ended.penalty.curvature(), slow.curvature, rtol=5e-3)


def test_si_clips_importance_at_zero_and_as_released_does_not(monkeypatch) -> None:
    importance = PathIntegral.importance

    def of_the_way_back(self, *arguments, **more):
        for path in self.path:
            path.assign(-path)
        return importance(self, *arguments, **more)

    monkeypatch.setattr(PathIntegral, "importance", of_the_way_back)
    clipped, released = (run("si", strength=1e-4, as_released=d) for d in ((), ("D8",)))
    assert all(np.all(omega == 0) for _, omegas in clipped.consolidated for omega in omegas)
    assert all(np.any(omega < 0) for _, omegas in released.consolidated for omega in omegas)


# LwF

RNG = np.random.default_rng(3)
STUDENT, TEACHER = RNG.normal(0, 1.5, (2, 4, 6))
OLD_V, OLD_C = RNG.normal(0, 1, (6, 9)), RNG.normal(0, 1, 9)
OLD_HEADS = [(OLD_V[:, own], OLD_C[own]) for own in (slice(0, 3), slice(3, 6), slice(6, 9))]
WEIGHTS = np.array([0.7, 0.4, 0.0])  # of two old heads and the present one


def slow_distillation(student, teacher, heads, weights, temperature, epsilon) -> float:
    """Returns Σ_s weight_s D_s of one image's h2, head by head."""
    total = 0.0
    for (v, c), weight in zip(heads, weights, strict=True):
        p = oracles.softmax((teacher @ v + c) / temperature)
        q = oracles.softmax((student @ v + c) / temperature)
        total -= weight * np.sum(p * np.log(q + epsilon))
    return total


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("epsilon", [0.0, 1e-5, 0.05])
def test_distillation_loss_and_derivative_equal_the_slow_loop(epsilon, temperature) -> None:
    def slow(student: np.ndarray) -> float:
        rest = (OLD_HEADS, WEIGHTS, temperature, epsilon)
        each = [slow_distillation(*pair, *rest) for pair in zip(student, TEACHER, strict=True)]
        return np.mean(each)

    arguments = map(tf.constant, (STUDENT, TEACHER))
    heads, weights = [tf.constant(OLD_V), tf.constant(OLD_C)], tf.constant(WEIGHTS)
    loss, delta = lwf.distil(*arguments, heads, weights, temperature, epsilon=epsilon)
    assert float(loss) == pytest.approx(slow(STUDENT), rel=1e-9)
    expected = oracles.finite_differences(slow, STUDENT)
    np.testing.assert_allclose(delta, expected, rtol=1e-5, atol=1e-8)


def test_distillation_stays_finite_where_the_student_gives_a_class_no_chance() -> None:
    student, teacher, v, c, weights = (
        tf.constant(array, tf.float32)
        for array in (100 * STUDENT, 100 * TEACHER, OLD_V, OLD_C, WEIGHTS)
    )
    loss, delta = lwf.distil(student, teacher, [v, c], weights, np.float32(2))
    assert np.isfinite(float(loss))
    assert np.isfinite(delta.numpy()).all()


@pytest.mark.parametrize(
    ("temperature", "distillation", "defects", "epsilon"),
    [(0.8, "mean", (), 0.0), (2.0, "sum", ("D11",), 1e-5)],
)
def test_lwf_equals_the_slow_loop(temperature, distillation, defects, epsilon) -> None:
    strength, steps = 1.5, 16
    changes = {"temperature": temperature, "distillation": distillation}
    changes |= {"epochs": None, "steps": steps, "dropout": 0.0}
    ended = run("lwf", strength=strength, **changes, as_released=defects)
    settings, net = settings_of("lwf", **changes), initial()
    trunk, heads = float64(net.trunk), [float64(head) for head in net.heads]
    for task in TASKS:
        theta, old = [*trunk, *heads[task.number]], heads[: task.number]
        teacher = [oracles.layers(theta, x)[1] for x in oracles.pixels_of(task)]

        def delta_h2(step: int, row: int, h2: np.ndarray, teacher=teacher, old=old):
            each = strength / len(old) if distillation == "mean" and old else strength
            rest = (teacher[row], old, [each] * len(old), temperature, epsilon)
            return oracles.finite_differences(lambda at: slow_distillation(at, *rest), h2)

        slow = oracles.Training(theta)
        slow.train(task, steps, settings, delta_h2=delta_h2)
        trunk, heads[task.number] = slow.theta[:4], slow.theta[4:]
    assert_close(ended.net.trunk, trunk, rtol=5e-3)
    for found, expected in zip(ended.net.heads, heads, strict=True):
        assert_close(found, expected, rtol=5e-3)


@pytest.mark.parametrize("defects", [(), ("D11",)])
def test_teacher_and_old_heads_stand_still_while_a_task_trains(
    defects: Sequence[str], monkeypatch
) -> None:
    def parts(net: MLP) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
        return arrays(net.trunk), [arrays(head) for head in net.heads]

    seen, teachers, copies = [], [], network.copies

    def note_teacher(variables):
        teachers.append(copies(variables))
        return teachers[-1]

    def watch(nets: list[MLP], epoch: int) -> None:
        seen.append((*parts(nets[0]), arrays(teachers[0])))

    monkeypatch.setattr(network, "copies", note_teacher)
    run("lwf", strength=1.0, watch=watch, epochs=3, as_released=defects)
    assert len(seen) == 9
    trunk, heads = parts(initial())
    for task in range(3):
        for student, now, teacher in seen[3 * task : 3 * task + 3]:
            assert same_bits(teacher, trunk)
            assert not same_bits(student, trunk)
            for number, head in enumerate(heads):
                assert same_bits(now[number], head) == (number != task)
        trunk, heads = student, now


def test_noisy_teacher_adds_its_epsilon() -> None:
    net, teacher = initial(), runs.enlarge(MLP(HIDDEN, 3, CLASSES, PIXELS, SEED + 1))
    pixels = oracles.pixels_of(TASKS[0])[:20]
    inputs, _ = network.forward(net.parameters(2), tf.constant(pixels, tf.float32))
    weights = np.array([1.5, 1.5, 0], np.float32)
    rest = ((teacher.trunk, Dropout(), 7), network.stacked(net.heads), weights, np.float32(2))
    loss, _ = lwf.noisy_distillation(inputs, None, tf.constant(0), *rest)
    h2s = [
        [oracles.layers(float64(each.parameters(0)), x)[1] for x in pixels]
        for each in (net, teacher)
    ]
    slow = (list(map(float64, net.heads)), weights, 2, 1e-5)
    expected = np.mean([slow_distillation(*pair, *slow) for pair in zip(*h2s, strict=True)])
    assert float(loss) == pytest.approx(expected, rel=2e-6)


def test_noisy_teacher_drops_other_units_at_every_step_and_key() -> None:
    net = initial()
    pixels = tf.constant(oracles.pixels_of(TASKS[0])[:20], tf.float32)
    inputs, _ = network.forward(net.parameters(2), pixels)
    held = (network.stacked(net.heads), tf.ones(3), np.float32(2))

    def loss(step: int, key: int) -> float:
        teacher = net.trunk, Dropout(0.5), key
        return float(lwf.noisy_distillation(inputs, None, tf.constant(step), teacher, *held)[0])

    assert len({loss(step, key) for step in range(3) for key in range(3)}) == 9


def test_noisy_teacher_leads_elsewhere() -> None:
    plain, noisy = (run("lwf", strength=1.0, as_released=d) for d in ((), ("D11",)))
    assert np.abs(plain.net.trunk[0] - noisy.net.trunk[0]).max() > 1e-2


# sgd_freeze


def test_head_on_stored_features_equals_training_through_the_frozen_trunk() -> None:
    changes = {"epochs": None, "steps": 207}
    fast = run("sgd_freeze", **changes)

    def through_trunk(self, task, features, steps):
        self.train(task, steps, masks=[tf.Variable(tf.zeros_like(p)) for p in self.network.trunk])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "train_head", through_trunk)
        slow = run("sgd_freeze", **changes)
    assert same_bits(fast.net.trunk, slow.net.trunk)
    for found, expected, start in zip(fast.net.heads, slow.net.heads, initial().heads, strict=True):
        assert_close(found, expected, rtol=1e-5)
        assert np.abs(found[0] - start[0]).max() > 0.05
    np.testing.assert_array_equal(fast.matrix, slow.matrix)


def test_trunk_is_frozen_after_the_first_task_and_nothing_is_forgotten() -> None:
    seen: list[list[np.ndarray]] = []

    def watch(nets: list[MLP], epoch: int) -> None:
        seen.append(arrays(nets[0].trunk))

    ended = run("sgd_freeze", watch=watch)
    assert len(seen) == 6
    assert not same_bits(seen[0], seen[1])
    for trunk in seen[2:]:
        assert same_bits(trunk, seen[1])
    assert metrics.max_forgetting(ended.matrix) == 0.0
    assert len(set(ended.matrix[2])) > 1


# joint


def test_own_head_cross_entropy_equals_a_loop_and_finite_differences() -> None:
    rng = np.random.default_rng(4)
    z, labels = rng.normal(0, 2, (5, 12)), [0, 3, 4, 11, 7]

    def slow(at: np.ndarray, label: int) -> float:
        task, y = divmod(label, 4)
        return -oracles.log_likelihood(at[4 * task : 4 * task + 4], y)

    loss = losses.own_head_cross_entropy(3)
    found, delta = loss(tf.constant(z, tf.float32), tf.constant(labels))
    for n, label in enumerate(labels):
        assert float(found[n]) == pytest.approx(slow(z[n], label), rel=1e-6)
        expected = oracles.finite_differences(functools.partial(slow, label=label), z[n])
        np.testing.assert_allclose(delta[n], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("head", ["single", "multi", "shared"])
def test_joint_accuracy_counts_the_class_among_the_right_outputs(head: str) -> None:
    ended = run("joint", head=head)
    *trunk, v, c = float64(ended.net.parameters(0))
    assert c.shape == (CLASSES if head == "shared" else 3 * CLASSES,)
    expected = []
    for task in TASKS:
        first = 0 if head == "shared" else CLASSES * task.number
        if head == "multi":
            own = [*trunk, v[:, first : first + CLASSES], c[first : first + CLASSES]]
            expected.append(oracles.accuracy(own, task.test, task.permutation))
        else:
            expected.append(oracles.accuracy([*trunk, v, c], task.test, task.permutation, first))
    assert ended.matrix.tolist() == [expected]


def test_joint_with_a_shared_head_learns_all_tasks_on_the_same_outputs() -> None:
    ended = run("joint", head="shared", epochs=20, lr_decay=1.0, dropout=0.0)
    assert ended.matrix.min() > 0.8  # chance is a third


def test_joint_head_setting_chooses_the_loss() -> None:
    # Within own outputs the biases of each task's are only moved against each other.
    start = initial(1, 3 * CLASSES).heads[0][1].numpy()
    single, multi = (
        np.sum((run("joint", head=head).net.heads[0][1].numpy() - start).reshape(3, 3), axis=1)
        for head in ("single", "multi")
    )
    np.testing.assert_allclose(multi, 0, atol=1e-5)
    assert np.abs(single).max() > 1e-3


def test_joint_never_holds_permuted_images(monkeypatch) -> None:
    compiled, sizes = loop.compiled_steps, []

    def note_arguments(*how):
        def steps(*arguments):
            sizes.extend(int(tf.size(a)) for a in tf.nest.flatten(arguments) if a is not None)
            return compiled(*how)(*arguments)

        return steps

    monkeypatch.setattr(loop, "compiled_steps", note_arguments)
    run("joint")
    assert max(sizes) == TRAIN * PIXELS, "something is larger than the images"


# Defects of the release


@pytest.mark.parametrize(
    "name", [name for name in SCRIPTS if "D1" in runs.all_defects(name)["as_released"]]
)
def test_dropout_in_evaluation_changes_accuracies_and_nothing_else(name: str) -> None:
    plain, noisy = (run(name, strength=0.5, as_released=d) for d in ((), ("D1",)))
    assert same_bits(plain.learned, noisy.learned)
    assert not np.array_equal(plain.matrix, noisy.matrix, equal_nan=True)
    assert plain.progress.validation_accuracy != noisy.progress.validation_accuracy


def test_learning_rate_as_released_starts_anew_in_every_epoch(monkeypatch) -> None:
    # A period is 0.7 of an epoch, which takes three calls; the last epoch is one of 7 steps.
    monkeypatch.setattr(training, "_CHUNK", 8)
    changes = {"epochs": None, "steps": EPOCH + 7, "dropout": 0.0}
    ended = run("sgd_single_head", as_released=("D9",), **changes)
    slow = oracles.Training(float64(initial(1).parameters(0)))
    for task in TASKS:
        for first, steps in ((0, EPOCH), (EPOCH, 7)):
            slow.train(task, steps, settings_of("sgd_single_head", **changes), first=first)
    assert_close(ended.net.parameters(0), slow.theta, rtol=5e-3)


def test_learning_rate_as_released_never_decays_with_a_period_of_an_epoch() -> None:
    decaying, constant, released = (
        run("sgd_single_head", lr_decay=decay, lr_decay_epochs=1, as_released=defects)
        for decay, defects in ((0.7, ()), (1.0, ()), (0.7, ("D9",)))
    )
    assert same_bits(released.net.variables, constant.net.variables)
    assert not same_bits(released.net.variables, decaying.net.variables)


@pytest.mark.parametrize(
    ("steps", "read"), [(10_000, 9800), (1000, 800), (1001, 1000), (201, 200), (200, 0), (1, 0)]
)
def test_release_reads_before_every_200th_step(steps: int, read: int) -> None:
    assert released.last_reading(steps) == read


@pytest.mark.parametrize("name", ["ewc", "mas", "sgd_freeze"])
def test_released_reading_is_taken_at_its_step_while_training_goes_on(name: str) -> None:
    # 203 steps are 10 epochs of 20 steps and a last one of 3; the reading is before step 200.
    changes = {"epochs": None, "steps": 203, "lr_decay": 1.0, "learning_rate": 0.8}
    rows: list[tuple[list[float], list[float]]] = []

    def read(nets: list[MLP], epoch: int) -> None:
        if epoch % 11 == 10:
            reader = training.Trainer(nets[0], settings_of(name), Progress(), SEED)
            rows.append(reader.evaluate(TASKS[: epoch // 11 + 1]))

    plain = run(name, strength=0.1, watch=read, **changes)
    early = run(name, strength=0.1, as_released=("D14",), **changes)
    assert plain.epochs == early.epochs == 33
    assert early.progress.accuracy == [test for test, _ in rows]
    assert early.progress.validation_accuracy == [validation for _, validation in rows]
    assert early.progress.accuracy != plain.progress.accuracy
    assert same_bits(early.learned, plain.learned)


# What all scripts have in common


def test_only_evaluation_sees_the_test_and_the_validation_images(script: str) -> None:
    rng = np.random.default_rng(6)

    def garbage(split: data.Split) -> data.Split:
        images = tf.constant(rng.integers(0, 256, split.images.shape), tf.uint8)
        return data.Split(images, tf.constant(rng.integers(0, CLASSES, len(images)), tf.uint8))

    clean = TASKS[0].dataset
    spoilt = dataclasses.replace(
        clean, test=garbage(clean.test), validation=garbage(clean.validation)
    )
    one = run(script, strength=0.5)
    other = run(script, data.permuted_tasks(spoilt, 3), strength=0.5)
    assert same_bits(one.learned, other.learned)
    assert not np.array_equal(one.matrix, other.matrix, equal_nan=True)
    assert one.progress.validation_accuracy != other.progress.validation_accuracy


IN_SEQUENCE = [one for one in SCRIPTS if one not in ("joint", "cal_importance_distribution")]
# Of another data set than the others', with as many training images: nothing is compiled anew.
OTHER = dataclasses.replace(
    oracles.tiny_tasks(1, TRAIN, seed=7, test=45)[0],
    number=1,
    permutation=TASKS[1].permutation,
)
SEVERAL = [TASKS[0], OTHER, TASKS[2]]


@pytest.mark.parametrize("name", IN_SEQUENCE)
def test_tasks_of_several_data_sets_are_each_evaluated_on_their_own(name: str) -> None:
    ended = run(name, SEVERAL, strength=0.1)
    rows = zip(ended.matrix[2], ended.progress.validation_accuracy[2], SEVERAL, strict=True)
    for test, validation, task in rows:
        theta = float64(ended.net.parameters(ended.net.head_of(task.number)))
        assert test == oracles.accuracy(theta, task.test, task.permutation)
        assert validation == oracles.accuracy(theta, task.validation, task.permutation)


@pytest.mark.parametrize("name", IN_SEQUENCE)
def test_tasks_of_several_sizes_each_train_for_epochs_of_their_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = dataclasses.replace(
        OTHER.dataset, train=data.Split(*(part[:407] for part in OTHER.train))
    )
    tasks = [TASKS[0], dataclasses.replace(OTHER, dataset=small), TASKS[2]]
    start, planned, trained = Progress.start, [], [0, 0, 0]

    def note_plan(self, total_steps: int, **state) -> None:
        planned.append(total_steps)
        start(self, total_steps, **state)

    def note_steps(self, task: data.Task, steps: int, *_) -> None:
        trained[task.number] += steps

    def nothing(net: MLP, task: data.Task, *_, **__) -> list[tf.Tensor]:
        return [tf.zeros_like(p) for p in net.parameters(net.head_of(task.number))]

    # Only counted: to train and to measure so many images would be compiled for every script.
    monkeypatch.setattr(Progress, "start", note_plan)
    monkeypatch.setattr(training.Trainer, "_take", note_steps)
    monkeypatch.setattr(importance, "_totals", nothing)
    run(name, tasks, strength=0.1)
    epochs = [4, 4, 2] if name == "anpyc_wi_np" else [2, 2, 2]  # pruned twice, but for the last
    assert trained == [count * epoch for count, epoch in zip(epochs, (20, 8, 20), strict=True)]
    assert planned == [sum(trained)]


def second(permutation: np.ndarray = TASKS[1].permutation, **changes) -> data.Task:
    """Returns task 1 with another permutation, or with changes of its data set."""
    dataset = dataclasses.replace(TASKS[1].dataset, **changes)
    return data.Task(1, dataset, permutation)


REFUSED = {
    "no task": [],
    "of 9 and of 12 pixels": [TASKS[0], second(np.arange(9), pixels=9)],
    "of 3 and of 4 classes": [TASKS[0], second(classes=4)],
    "permutation of task 1": [TASKS[0], second(np.arange(9))],
    "numbered 0, 1, 0, 1": [*TASKS[:2], *TASKS[:2]],
    "numbered 1, 2": TASKS[1:],
    "51 training images do not fill one batch of 52": [
        TASKS[0],
        second(train=data.Split(*(part[:51] for part in TASKS[1].train))),
    ],
}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((name, reason) for name in IN_SEQUENCE for reason in REFUSED),
        *(("joint", reason) for reason in list(REFUSED)[:-1]),
    ],
)
def test_tasks_that_cannot_be_learned_are_refused_before_any_is(name: str, reason: str) -> None:
    epochs: list[int] = []
    with pytest.raises(ValueError, match=reason):
        run(name, REFUSED[reason], strength=0.1, watch=lambda _, epoch: epochs.append(epoch))
    assert epochs == []


def test_joint_refuses_tasks_of_several_data_sets() -> None:
    with pytest.raises(ValueError, match="one data set"):
        run("joint", SEVERAL)


class Interrupted(Exception):
    """Stands for Ctrl-C, or a machine that goes down."""


def left_by(ended: Run) -> dict[str, Any]:
    """Returns all that a run leaves, arrays as bytes."""
    progress = ended.progress
    arrays = {"R": ended.matrix, **progress.arrays}
    for name, variables in progress.state.items():
        arrays |= {f"{name} {number}": variable for number, variable in enumerate(variables)}
    return {
        **{name: np.asarray(array).tobytes() for name, array in arrays.items()},
        "accuracy": progress.accuracy,
        "validation_accuracy": progress.validation_accuracy,
        "details": progress.details,
        "trace": progress.trace,
    }


# All is saved after every epoch, and nothing else in between. So a run that is interrupted where it
# would save its first epoch, and from then on where it would save another one, has been interrupted
# in every state that there is: before and after each epoch, pruning and task.
@pytest.mark.parametrize("released", [False, True], ids=["corrected", "as released"])
def test_run_interrupted_in_every_epoch_ends_bit_for_bit_like_a_whole_one(
    script: str, released: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"strength": 0.1, **(runs.all_defects(script) if released else {})}
    if "D14" in changes.get("as_released", ()):  # in two portions, the second of a part of an epoch
        changes.update(epochs=None, steps=EPOCH + 7, lr_decay=1.0)
    if hasattr(settings_of(script), "evaluate_every"):
        changes["evaluate_every"] = 1
    whole = run(script, **changes)

    save, saves = run_files.RunFiles.save_checkpoint, iter(())

    def save_or_stop(*arguments: Any) -> None:
        if not next(saves):
            raise Interrupted
        save(*arguments)

    monkeypatch.setattr(run_files.RunFiles, "save_checkpoint", save_or_stop)
    files = run_files.RunFiles(tmp_path, "a_run", {})
    saves = iter([False])
    for epoch in range(whole.epochs):
        with pytest.raises(Interrupted):
            run(script, files=files, **changes)
        assert files.has_begun == (epoch > 0)
        saves = iter([True, False])
    ended = run(script, files=files, **changes)
    assert ended.epochs == 1
    assert left_by(ended) == left_by(whole)


def test_every_seed_that_the_command_line_takes_can_be_run(script: str) -> None:
    settings = settings_of(script, **runs.all_defects(script), seeds=(2**31 - 1,))
    matrix = importlib.import_module(script).run(settings, TASKS, seed=settings.seeds[0])
    assert np.isfinite(matrix[-1]).all()
