"""Importance measures against per-image loops in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from common import importance, network
from common.importance import (
    PathIntegral,
    entropy_importance,
    fisher_importance,
    mas_importance,
)
from common.network import MLP, Dropout
from tests import oracles
from tests.oracles import CLASSES, HIDDEN, PIXELS

N = 1203  # more than run together, and no multiple of any batch size below but 1 and 3
IMAGES = np.random.default_rng(5).integers(0, 256, (N, PIXELS)).astype(np.uint8)
FLOATS = (IMAGES / 255.0).astype(np.float32)
PERMUTATION = np.random.default_rng(6).permutation(PIXELS).astype(np.int32)
LABELS = np.random.default_rng(8).integers(0, CLASSES, N)
ORDER = np.random.default_rng(9).permutation(N)

FORMS = {"clipped": lambda t: np.maximum(t, 0), "absolute": np.abs, "signed": lambda t: t}


def tiny(scale: float = 20.0, dropout: Dropout | None = None) -> MLP:
    """Returns a network whose output varies, so that g θ is neither small nor of one sign."""
    net = MLP(HIDDEN, 2, CLASSES, PIXELS, seed=4, dropout=dropout)
    for weights in (net.trunk[0], net.trunk[2]):
        weights.assign(weights * 3)
    for head in net.heads:
        head[0].assign(head[0] * scale)
    return net


def batches(count: int, size: int) -> list[np.ndarray]:
    return [np.arange(first, min(first + size, count)) for first in range(0, count, size)]


def logits(parameters: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    return oracles.layers(parameters, x)[2]


def slow_entropy_importance(
    net: MLP,
    batch_size: int,
    form: str = "clipped",
    leave_out_last: bool = False,
    images: np.ndarray = IMAGES,
    factors: Sequence[oracles.Factors] | None = None,
) -> list[np.ndarray]:
    """Returns the mean over batches of ω_B for all six tensors of head 0."""
    theta = oracles.float64(net.parameters(0))
    groups = batches(len(images), batch_size)
    totals = [np.zeros_like(p) for p in theta]
    for group in groups:
        gradient = [np.zeros_like(p) for p in theta]
        for n in group[:-1] if leave_out_last else group:
            x, masks = images[n] / 255.0, factors[n] if factors else (None, None)
            delta = oracles.entropy_delta(oracles.layers(theta, x, masks)[2])
            of_image = oracles.image_gradients(theta, x, delta, masks)
            gradient = [total + g for total, g in zip(gradient, of_image, strict=True)]
        for total, g, p in zip(totals, gradient, theta, strict=True):
            total += FORMS[form](g * p + g**2 * p**2 / 2)
    return [total / len(groups) for total in totals]


def slow_mean(
    net: MLP, deltas: Sequence[np.ndarray], used: Sequence[int], function
) -> list[np.ndarray]:
    """Returns the mean over the used images of a function of each one's own gradient."""
    theta = oracles.float64(net.parameters(0))
    totals = [np.zeros_like(p) for p in theta]
    for n in used:
        of_image = oracles.image_gradients(theta, IMAGES[n] / 255.0, deltas[n])
        totals = [total + function(g) for total, g in zip(totals, of_image, strict=True)]
    return [total / len(used) for total in totals]


def deltas_of(net: MLP, function) -> list[np.ndarray]:
    theta = oracles.float64(net.parameters(0))
    return [function(logits(theta, image / 255.0)) for image in IMAGES]


def assert_close(found: Sequence[tf.Tensor], expected: Sequence[np.ndarray], rtol=1e-3) -> None:
    for left, right in zip(found, expected, strict=True):
        assert left.dtype == tf.float32
        assert np.any(right != 0)
        np.testing.assert_allclose(left, right, rtol=rtol, atol=rtol / 100 * np.abs(right).max())


def all_of(net: MLP) -> list[tf.Variable]:
    return net.parameters(0)


# The derivatives at the logits


@pytest.mark.parametrize(
    ("ours", "value", "delta"),
    [
        (importance._entropy_delta, oracles.entropy, oracles.entropy_delta),
        (importance._probability_delta, oracles.half_norm_of_p, oracles.half_norm_of_p_delta),
        (importance._logit_delta, oracles.norm_of_z, oracles.norm_of_z_delta),
    ],
)
def test_deltas_equal_finite_differences(ours, value, delta) -> None:
    z = np.array([0.3, -1.2, 2.0, 0.9])
    step = 1e-5
    expected = [
        (value(z + step * unit) - value(z - step * unit)) / (2 * step) for unit in np.eye(4)
    ]
    np.testing.assert_allclose(delta(z), expected, rtol=1e-7)
    found = ours(tf.constant(z[None], tf.float32), tf.zeros([1]))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_log_likelihood_delta_equals_finite_differences() -> None:
    z, step = np.array([0.3, -1.2, 2.0]), 1e-5
    for y in range(3):
        found = oracles.log_likelihood_delta(z, y)
        for k, unit in enumerate(np.eye(3)):
            up, down = (oracles.log_likelihood(z + s * unit, y) for s in (step, -step))
            assert found[k] == pytest.approx((up - down) / (2 * step), rel=1e-7)


def test_gradient_of_summed_entropy_equals_finite_differences() -> None:
    net = tiny()
    images = FLOATS[:30]
    inputs, z = network.forward(net.parameters(0), tf.constant(images))
    delta = importance._entropy_delta(z, tf.zeros([30]))
    found = network.gradients(inputs, network.backward(net.parameters(0), inputs, delta))
    theta = oracles.float64(net.parameters(0))

    def summed() -> float:
        return sum(oracles.entropy(logits(theta, image)) for image in images.astype(float))

    rng = np.random.default_rng(0)
    for tensor, gradient in zip(theta, found, strict=True):
        for _ in range(3):
            place = tuple(rng.integers(0, tensor.shape))
            value, step = tensor[place], 1e-5
            tensor[place] = value + step
            up = summed()
            tensor[place] = value - step
            down = summed()
            tensor[place] = value
            assert gradient.numpy()[place] == pytest.approx((up - down) / (2 * step), rel=1e-3)


# Entropy


@pytest.mark.parametrize(
    ("form", "batch_size"),
    [
        ("clipped", 1),
        ("clipped", 3),
        ("clipped", 100),  # the last batch has 3 images
        ("clipped", 2000),  # more than there are
        ("absolute", 500),
        ("signed", 500),
    ],
)
def test_entropy_importance_equals_the_oracle(form: str, batch_size: int) -> None:
    net = tiny()
    found = entropy_importance(net, 0, IMAGES, batch_size, form, all_of(net))
    assert_close(found, slow_entropy_importance(net, batch_size, form))


@pytest.mark.parametrize("leave_out_last", [False, True])
def test_entropy_importance_in_an_order_equals_the_oracle(leave_out_last: bool) -> None:
    net, used = tiny(), "all-but-last" if leave_out_last else "all"
    found = entropy_importance(net, 0, IMAGES, 3, parameters=all_of(net), used=used, order=ORDER)
    assert_close(found, slow_entropy_importance(net, 3, "clipped", leave_out_last, IMAGES[ORDER]))


def test_entropy_importance_defaults_are_batches_of_100_clipped_of_the_trunk() -> None:
    net = tiny()
    assert_close(entropy_importance(net, 0, IMAGES), slow_entropy_importance(net, 100)[:4])


def test_entropy_importance_leaves_out_each_batchs_last_image_on_request() -> None:
    net = tiny()
    found = entropy_importance(net, 0, IMAGES, 100, parameters=all_of(net), used="all-but-last")
    assert_close(found, slow_entropy_importance(net, 100, leave_out_last=True))


def test_entropy_importance_is_finite_where_p_underflows() -> None:
    net = tiny(scale=2000)  # most images' logits are hundreds apart, some are not
    theta = oracles.float64(net.parameters(0))
    p = np.array([oracles.softmax(logits(theta, image / 255.0)) for image in IMAGES])
    assert np.any(p.astype(np.float32) == 0)
    assert np.any((p > 0.2) & (p < 0.8))
    found = entropy_importance(net, 0, IMAGES, 100, parameters=all_of(net))
    assert_close(found, slow_entropy_importance(net, 100), rtol=1e-2)


def test_entropy_importance_of_a_certain_output_is_zero_not_nan() -> None:
    net = tiny()
    net.heads[0][1].assign([1000.0, 0.0, -1000.0])
    for tensor in entropy_importance(net, 0, IMAGES, 100, parameters=all_of(net)):
        np.testing.assert_array_equal(tensor, np.zeros(tensor.shape))


def test_entropy_importance_with_dropout_equals_the_oracle_with_the_same_masks(
    monkeypatch,
) -> None:
    net, drawn, factors = tiny(dropout=Dropout(0.5)), Dropout.draw, []

    def draw(self, seed, steps, batch, hidden):
        words = drawn(self, seed, steps, batch, hidden)
        masks = [mask.numpy() for mask in self.masks(words[0], batch, hidden)]
        factors.append(list(zip(*masks, strict=True)))
        return words

    monkeypatch.setattr(Dropout, "draw", draw)
    found = [
        entropy_importance(net, 0, IMAGES, 2000, parameters=all_of(net), dropout_seed=seed)
        for seed in ((4, 2), (4, 3))
    ]
    for values, masks in zip(found, factors, strict=True):
        assert_close(values, slow_entropy_importance(net, 2000, factors=masks))
    assert np.any(found[0][0].numpy() != found[1][0].numpy())


def test_dropout_is_off_unless_asked_for() -> None:
    with_dropout, without = tiny(dropout=Dropout(0.5)), tiny()
    for left, right in zip(
        entropy_importance(with_dropout, 0, IMAGES),
        entropy_importance(without, 0, IMAGES),
        strict=True,
    ):
        np.testing.assert_array_equal(left, right)


def test_importance_is_of_the_wanted_head() -> None:
    net = tiny()
    assert np.any(
        entropy_importance(net, 0, IMAGES)[0].numpy()
        != entropy_importance(net, 1, IMAGES)[0].numpy()
    )
    swapped = tiny()
    for ours, theirs in zip(swapped.heads[0], net.heads[1], strict=True):
        ours.assign(theirs)
    np.testing.assert_array_equal(
        entropy_importance(net, 1, IMAGES)[0], entropy_importance(swapped, 0, IMAGES)[0]
    )


# Fisher


def plan_labels(monkeypatch: pytest.MonkeyPatch, net: MLP) -> None:
    """Makes Fisher draw LABELS."""
    theta = oracles.float64(net.parameters(0))
    p = np.array([oracles.softmax(logits(theta, image / 255.0)) for image in IMAGES])
    # The middle of the label's part of [0, 1).
    middle = (p.cumsum(axis=1) - p / 2)[np.arange(N), LABELS].astype(np.float32)
    drawn = tf.random.stateless_uniform

    def uniform(shape, *arguments, **keywords):
        return tf.constant(middle) if shape == [N] else drawn(shape, *arguments, **keywords)

    monkeypatch.setattr(tf.random, "stateless_uniform", uniform)


def slow_fisher_importance(net: MLP, source: str, used: Sequence[int]) -> list[np.ndarray]:
    theta = oracles.float64(net.parameters(0))
    outputs = [logits(theta, image / 255.0) for image in IMAGES]
    if source == "exact":
        of_classes = zip(*[oracles.expectation_deltas(z) for z in outputs], strict=True)
        means = [slow_mean(net, deltas, used, np.square) for deltas in of_classes]
        return [sum(of_tensor) for of_tensor in zip(*means, strict=True)]
    deltas = [oracles.log_likelihood_delta(z, y) for z, y in zip(outputs, LABELS, strict=True)]
    return slow_mean(net, deltas, used, np.square)


@pytest.mark.parametrize("source", importance.SOURCES)
@pytest.mark.parametrize(
    ("arguments", "images"),
    [
        ({}, range(N)),
        ({"used": "first", "batch_size": 10}, range(0, N, 10)),
        ({"used": "first"}, [0, 1000]),
        ({"used": "all-but-last", "batch_size": 10}, [n for n in range(N - 1) if n % 10 != 9]),
        ({"used": "first", "batch_size": 10, "order": ORDER}, ORDER[::10]),
    ],
    ids=["all", "first of 10", "first of 1000", "all but last of 10", "first of 10 in an order"],
)
def test_fisher_importance_equals_the_oracle(monkeypatch, source, arguments, images) -> None:
    net = tiny()
    plan_labels(monkeypatch, net)
    known = {} if source == "sampled" else {"labels": LABELS, "source": source}
    found = fisher_importance(net, 0, IMAGES, 1, all_of(net), **known, **arguments)
    assert_close(found, slow_fisher_importance(net, source, images))


def test_sampled_fisher_importance_has_the_exact_one_as_its_mean() -> None:
    # Every image 20 times, with 25 seeds: 500 labels an image.
    net, images = tiny(), np.tile(IMAGES[:40], (20, 1))
    exact = fisher_importance(net, 0, IMAGES[:40], 0, all_of(net), source="exact")
    draws = [fisher_importance(net, 0, images, seed, all_of(net)) for seed in range(25)]
    for expected, *sampled in zip(exact, *draws, strict=True):
        error = np.std(sampled, axis=0, ddof=1) / np.sqrt(len(draws))
        assert np.all(np.abs(np.mean(sampled, axis=0) - expected) <= 5 * error + 1e-6)
        assert np.mean(error) < 0.1 * np.mean(expected)


def test_exact_fisher_importance_is_finite_where_p_underflows_and_draws_nothing() -> None:
    net = tiny(scale=2000)
    found = fisher_importance(net, 0, IMAGES, 0, all_of(net), source="exact")
    assert_close(found, slow_fisher_importance(net, "exact", range(N)), rtol=1e-2)
    for left, right in zip(
        found, fisher_importance(net, 0, IMAGES, 1, all_of(net), source="exact"), strict=True
    ):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("labels", [None, LABELS[1:]])
def test_fisher_importance_of_labels_needs_one_for_every_image(labels) -> None:
    with pytest.raises(ValueError, match="every image"):
        fisher_importance(tiny(), 0, IMAGES, 0, labels=labels, source="labels")


def test_fisher_labels_follow_the_models_own_output() -> None:
    # With V = 0 every image has the same p, and F of c_k tells how often k was drawn:
    # share (1 − p)² + (1 − share) p².
    net = tiny()
    p, count = np.array([0.1, 0.25, 0.65]), 4000
    net.heads[0][0].assign(tf.zeros_like(net.heads[0][0]))
    net.heads[0][1].assign(np.log(p).astype(np.float32))
    images = np.resize(IMAGES, (count, PIXELS))
    shares = []
    for seed in (1, (1, 1), 2):
        found = fisher_importance(net, 0, images, seed, [net.heads[0][1]])[0].numpy()
        share = (found - p**2) / (1 - 2 * p)
        np.testing.assert_allclose(share * count, np.round(share * count), atol=0.1)
        assert np.all(np.abs(share - p) < 4 * np.sqrt(p * (1 - p) / count))
        shares.append(tuple(np.round(share * count)))
    assert len(set(shares)) == 3


def test_fisher_importance_depends_on_its_seed_alone() -> None:
    net = tiny()
    first = fisher_importance(net, 0, IMAGES, (3, 1))
    for left, right in zip(first, fisher_importance(net, 0, IMAGES, (3, 1)), strict=True):
        np.testing.assert_array_equal(left, right)
    assert np.any(first[0].numpy() != fisher_importance(net, 0, IMAGES, (3, 2))[0].numpy())


@pytest.mark.parametrize("noise", [0.0, np.nextafter(np.float32(1), np.float32(0))])
def test_fisher_label_at_the_ends_of_the_unit_interval(noise: float) -> None:
    # Rounded sums of p may stay below the noise: there is no class after the last.
    z = tf.constant(np.random.default_rng(0).normal(0, 2, (50, 10)), tf.float32)
    delta = importance._sampled_delta(z, tf.fill([50], np.float32(noise)))
    label = 0 if noise == 0 else 9
    np.testing.assert_allclose(delta, np.eye(10)[label] - tf.nn.softmax(z), atol=1e-6)


# MAS

MAS_DELTAS = {"probabilities": oracles.half_norm_of_p_delta, "logits": oracles.norm_of_z_delta}


@pytest.mark.parametrize("output", MAS_DELTAS)
def test_mas_importance_equals_the_oracle(output: str) -> None:
    net = tiny()
    expected = slow_mean(net, deltas_of(net, MAS_DELTAS[output]), range(N), np.abs)
    assert_close(mas_importance(net, 0, IMAGES, all_of(net), output=output), expected)


def test_mas_importance_is_of_probabilities_and_the_trunk_by_default() -> None:
    net = tiny()
    deltas = deltas_of(net, oracles.half_norm_of_p_delta)
    assert_close(mas_importance(net, 0, IMAGES), slow_mean(net, deltas, range(N), np.abs)[:4])


def test_mas_importance_without_each_batchs_last_image() -> None:
    net = tiny()
    used = [n for n in range(N - 1) if n % 100 != 99]
    expected = slow_mean(net, deltas_of(net, oracles.half_norm_of_p_delta), used, np.abs)
    found = mas_importance(net, 0, IMAGES, all_of(net), batch_size=100, used="all-but-last")
    assert_close(found, expected)


@pytest.mark.parametrize("order", [None, ORDER], ids=["file order", "an order"])
@pytest.mark.parametrize("leave_out_last", [False, True])
def test_mas_importance_of_batch_sums_equals_the_oracle(leave_out_last: bool, order) -> None:
    net = tiny()
    deltas = deltas_of(net, oracles.half_norm_of_p_delta)
    totals = [np.zeros(p.shape) for p in net.parameters(0)]
    for group in batches(N, 500):
        used = (group if order is None else order[group])[: -1 if leave_out_last else None]
        for total, mean in zip(totals, slow_mean(net, deltas, used, lambda g: g), strict=True):
            total += np.abs(mean * len(used))
    found = mas_importance(
        net,
        0,
        IMAGES,
        all_of(net),
        per_image=False,
        batch_size=500,
        used="all-but-last" if leave_out_last else "all",
        order=order,
    )
    assert_close(found, [total / 3 for total in totals])


# What all of them have in common


def fisher(net: MLP, head: int, images, parameters=None, **details):
    return fisher_importance(net, head, images, 5, parameters, **details)


def exact_fisher(net: MLP, head: int, images, parameters=None, **details):
    return fisher_importance(net, head, images, 5, parameters, source="exact", **details)


def entropy(net: MLP, head: int, images, parameters=None, **details):
    return entropy_importance(net, head, images, 2000, parameters=parameters, **details)


measures = pytest.mark.parametrize("measure", [entropy, fisher, exact_fisher, mas_importance])


@measures
def test_permutation_is_as_good_as_permuted_images(measure) -> None:
    net = tiny()
    found = measure(net, 0, IMAGES, all_of(net), permutation=PERMUTATION)
    expected = measure(net, 0, IMAGES[:, PERMUTATION], all_of(net))
    assert_close(found, oracles.float64(expected), rtol=1e-4)
    unpermuted = measure(net, 0, IMAGES, all_of(net))
    assert np.abs(found[0] - unpermuted[0]).max() > 0.05 * np.abs(found[0]).max()


@measures
def test_images_may_be_uint8_or_float(measure) -> None:
    net = tiny()
    expected = oracles.float64(measure(net, 0, IMAGES, all_of(net)))
    assert_close(measure(net, 0, FLOATS, all_of(net)), expected, rtol=1e-4)
    assert_close(measure(net, 0, tf.constant(IMAGES), all_of(net)), expected, rtol=1e-6)


@measures
def test_parameters_choose_what_is_returned_and_its_order(measure) -> None:
    net = tiny()
    everything = measure(net, 0, IMAGES, all_of(net))
    assert [tuple(t.shape) for t in everything] == [tuple(p.shape) for p in net.parameters(0)]
    trunk = measure(net, 0, IMAGES)
    for left, right in zip(trunk, everything[:4], strict=True):
        np.testing.assert_array_equal(left, right)
    v, b1 = measure(net, 0, IMAGES, [net.heads[0][0], net.trunk[1]])
    np.testing.assert_array_equal(v, everything[4])
    np.testing.assert_array_equal(b1, everything[1])


@measures
def test_parameters_of_another_output_are_refused(measure) -> None:
    net = tiny()
    with pytest.raises(ValueError, match="head 0"):
        measure(net, 0, IMAGES, net.parameters(1))


@measures
def test_the_network_is_only_read(measure) -> None:
    net = tiny()
    before = [v.numpy() for v in net.variables]
    measure(net, 0, IMAGES)
    for left, right in zip(before, net.variables, strict=True):
        np.testing.assert_array_equal(left, right)


# The order of the images


def test_an_order_is_as_good_as_images_in_that_order() -> None:
    # Labels go with their images, dropout's masks with the place.
    net = tiny(dropout=Dropout(0.5))

    def measured(images: np.ndarray, labels: np.ndarray, **order) -> list[tf.Tensor]:
        some = {"batch_size": 10, "used": "first", **order}
        return [
            *entropy_importance(net, 0, images, dropout_seed=(4, 2), **order),
            *fisher_importance(net, 0, images, 5, None, labels, "labels", **some),
            *exact_fisher(net, 0, images, **some),
            *mas_importance(net, 0, images, **some),
            *mas_importance(net, 0, images, per_image=False, **order),
        ]

    found = measured(IMAGES, LABELS, order=ORDER)
    for left, right in zip(found, measured(IMAGES[ORDER], LABELS[ORDER]), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("measure", [fisher, exact_fisher, mas_importance])
def test_measures_per_image_over_all_images_do_not_depend_on_the_order(measure) -> None:
    net = tiny()
    in_order = measure(net, 0, IMAGES, order=ORDER)
    for left, right in zip(in_order, measure(net, 0, IMAGES), strict=True):
        np.testing.assert_array_equal(left, right)


def test_in_a_shuffled_order_a_file_sorted_by_class_measures_as_any_other() -> None:
    net = tiny()
    train = oracles.tiny_tasks(1, train=3000)[0].train
    images, labels = train.images.numpy(), train.labels.numpy()
    by_class = images[np.argsort(labels, kind="stable")]

    def total(images: np.ndarray, seed: int | None = None) -> float:
        order = None if seed is None else np.random.default_rng(seed).permutation(len(images))
        return sum(np.sum(t) for t in entropy_importance(net, 0, images, order=order))

    shuffled = [total(images, seed) for seed in range(10)]
    mean, noise = np.mean(shuffled), np.std(shuffled, ddof=1)
    for seed in range(10, 13):
        assert abs(total(by_class, seed) - mean) < 4 * noise
    assert abs(total(by_class) - mean) > 100 * noise


@pytest.mark.parametrize("order", [ORDER[1:], np.zeros(N, int), ORDER + 1])
def test_an_order_that_is_no_permutation_is_refused(order: np.ndarray) -> None:
    with pytest.raises(ValueError, match="permutation"):
        entropy_importance(tiny(), 0, IMAGES, order=order)


def test_unknown_words_are_refused() -> None:
    net = tiny()
    with pytest.raises(ValueError, match="positive"):
        entropy_importance(net, 0, IMAGES, form="positive")
    with pytest.raises(ValueError, match="last"):
        entropy_importance(net, 0, IMAGES, used="last")
    with pytest.raises(ValueError, match="last"):
        fisher_importance(net, 0, IMAGES, 0, used="last")
    with pytest.raises(ValueError, match="last"):
        mas_importance(net, 0, IMAGES, used="last")
    with pytest.raises(ValueError, match="true"):
        fisher_importance(net, 0, IMAGES, 0, source="true")
    with pytest.raises(ValueError, match="entropy"):
        mas_importance(net, 0, IMAGES, output="entropy")


# Path integral


def path_integral() -> tuple[MLP, PathIntegral]:
    net = tiny()
    path = PathIntegral(net.trunk)
    rng = np.random.default_rng(1)
    for variable, s in zip(net.trunk, path.path, strict=True):
        s.assign(rng.normal(size=s.shape))
        variable.assign_add(rng.normal(size=s.shape))
    return net, path


def test_path_integral_divides_by_the_squared_distance_from_the_start() -> None:
    net, path = path_integral()
    start = oracles.float64(tiny().trunk)
    for clip in (True, False):
        found = path.importance(0.1, clip)
        for value, s, end, begin in zip(found, path.path, net.trunk, start, strict=True):
            expected = s.numpy() / ((end.numpy() - begin) ** 2 + 0.1)
            assert np.any(expected < 0)
            expected = np.maximum(expected, 0) if clip else expected
            np.testing.assert_allclose(value, expected, rtol=1e-4)
    np.testing.assert_array_equal(path.importance(0.1)[0], path.importance(0.1, True)[0])


def test_path_integral_restarts_at_the_present_values() -> None:
    net, path = path_integral()
    path.restart()
    for s, start, variable in zip(path.path, path.start, net.trunk, strict=True):
        np.testing.assert_array_equal(s, np.zeros(s.shape))
        np.testing.assert_array_equal(start, variable)
    path.path[1].assign(tf.ones_like(path.path[1]))
    np.testing.assert_allclose(path.importance(0.5)[1], np.full(HIDDEN[0], 2.0))
