"""Importance measures against per-image loops in float64."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from common import data, importance
from common.network import MLP, Dropout
from tests import oracles
from tests.oracles import CLASSES, HIDDEN, PIXELS, assert_close, in_batches, same_bits

import numpy as np
import pytest
import tensorflow as tf

N = 1203  # more than run together, and no multiple of any batch size below but 1 and 3
IMAGES = np.random.default_rng(5).integers(0, 256, (N, PIXELS)).astype(np.uint8)
FLOATS = IMAGES / 255.0
PERMUTATION = np.random.default_rng(6).permutation(PIXELS).astype(np.int32)
LABELS = np.random.default_rng(8).integers(0, CLASSES, N)
ORDER = np.random.default_rng(9).permutation(N)


def task(
    images: Any = IMAGES,
    labels: np.ndarray = LABELS,
    number: int = 0,
    permutation: np.ndarray | None = None,
) -> data.Task:
    """Returns a task with these training images, not permuted by default."""
    split = data.Split(images, labels)
    dataset = data.Dataset(split, split, split, CLASSES, PIXELS, "made up")
    return data.Task(number, dataset, np.arange(PIXELS) if permutation is None else permutation)


def tiny(scale: float = 20.0, dropout: Dropout | None = None) -> MLP:
    """Returns a network whose output varies, so that g θ is neither small nor of one sign."""
    net = MLP(HIDDEN, 2, CLASSES, PIXELS, seed=4, dropout=dropout)
    for weights in (net.trunk[0], net.trunk[2]):
        weights.assign(weights * 3)
    for head in net.heads:
        head[0].assign(head[0] * scale)
    return net


def theta_of(net: MLP, head: int = 0) -> list[np.ndarray]:
    return oracles.float64(net.parameters(head))


# Entropy


@pytest.mark.parametrize(
    ("form", "batch_size", "used"),
    [
        ("released", 100, "all-but-last"),  # the last batch has 3 images
        ("released", 2000, "all"),  # more than there are
        *((form, 500, "all") for form in importance.FORMS[1:]),
    ],
)
def test_entropy_equals_the_oracle(form: str, batch_size: int, used: str) -> None:
    net = tiny()
    found = importance.entropy(
        net, task(), form, net.parameters(0), batch_size=batch_size, used=used
    )
    batches = in_batches(FLOATS, batch_size, used)
    assert_close(found, oracles.entropy_importance(theta_of(net), batches, form))


def test_entropy_defaults_are_batches_of_100_as_released_of_the_trunk() -> None:
    net = tiny(dropout=Dropout(0.5))  # which is off
    expected = oracles.entropy_importance(theta_of(net, 1), in_batches(FLOATS, 100))
    assert_close(importance.entropy(net, task(number=1)), expected[:4])


def test_entropy_is_finite_where_p_underflows() -> None:
    net = tiny(scale=2000)  # most images' logits are hundreds apart, some are not
    theta = theta_of(net)
    p = np.array([oracles.softmax(oracles.layers(theta, x)[2]) for x in FLOATS])
    assert np.any(p.astype(np.float32) == 0)
    assert np.any((p > 0.2) & (p < 0.8))
    found = importance.entropy(net, task(), parameters=net.parameters(0))
    assert_close(found, oracles.entropy_importance(theta, in_batches(FLOATS, 100)), rtol=1e-2)


def test_entropy_of_a_certain_output_is_zero_not_nan() -> None:
    net = tiny()
    net.heads[0][1].assign([1000.0, 0.0, -1000.0])
    for tensor in importance.entropy(net, task(), parameters=net.parameters(0)):
        np.testing.assert_array_equal(tensor, np.zeros(tensor.shape))


def test_entropy_with_dropout_equals_the_oracle_with_the_same_masks(
    monkeypatch,
) -> None:
    net, factors = tiny(dropout=Dropout(0.5)), oracles.dropped_factors(monkeypatch)
    found = [
        importance.entropy(net, task(), batch_size=2000, dropout_seed=seed)
        for seed in ((4, 2), (4, 3))
    ]
    for values, masks in zip(found, factors, strict=True):
        expected = oracles.entropy_importance(theta_of(net), [FLOATS], factors=masks)
        assert_close(values, expected[:4])
    assert not same_bits(*found)


# Fisher


@pytest.mark.parametrize("source", importance.SOURCES)
@pytest.mark.parametrize(
    ("batch_size", "used"),
    [(1000, "all"), (10, "first"), (1000, "first"), (10, "all-but-last")],
)
def test_fisher_equals_the_oracle(source: str, batch_size: int, used: str) -> None:
    net = tiny()
    theta, numbers = theta_of(net), np.concatenate(in_batches(np.arange(N), batch_size, used))
    if source == "exact":
        expected = oracles.exact_fisher_importance(theta, FLOATS[numbers])
    else:
        drawn = oracles.drawn_labels(theta, FLOATS, 1, 7)
        labels = drawn if source == "sampled" else LABELS
        expected = oracles.fisher_importance(theta, FLOATS[numbers], labels[numbers])
    found = importance.fisher(
        net, task(), (1, 7), source, net.parameters(0), batch_size=batch_size, used=used
    )
    assert_close(found, expected)


def test_sampled_fisher_importance_has_the_exact_one_as_its_mean() -> None:
    # Every image 20 times, with 25 seeds: 500 labels an image.
    net = tiny()
    repeated = task(np.tile(IMAGES[:40], (20, 1)), np.tile(LABELS[:40], 20))
    exact = oracles.exact_fisher_importance(theta_of(net), FLOATS[:40])[:4]
    draws = [importance.fisher(net, repeated, seed) for seed in range(25)]
    for expected, *sampled in zip(exact, *draws, strict=True):
        error = np.std(sampled, axis=0, ddof=1) / np.sqrt(len(draws))
        assert np.all(np.abs(np.mean(sampled, axis=0) - expected) <= 5 * error + 1e-6)
        assert np.mean(error) < 0.1 * np.mean(expected)


def test_exact_fisher_importance_is_finite_where_p_underflows() -> None:
    net = tiny(scale=2000)
    found = importance.fisher(net, task(), 0, "exact", net.parameters(0))
    assert_close(found, oracles.exact_fisher_importance(theta_of(net), FLOATS), rtol=1e-2)


@pytest.mark.parametrize("noise", [0.0, np.nextafter(np.float32(1), np.float32(0))])
def test_fisher_label_at_the_ends_of_the_unit_interval(noise: float) -> None:
    # Rounded sums of p may stay below the noise: there is no class after the last.
    z = tf.constant(np.random.default_rng(0).normal(0, 2, (50, 10)), tf.float32)
    delta = importance._sampled_delta(z, tf.fill([50], np.float32(noise)))
    label = 0 if noise == 0 else 9
    np.testing.assert_allclose(delta, np.eye(10)[label] - tf.nn.softmax(z), atol=1e-6)


# MAS


@pytest.mark.parametrize(
    ("output", "used"),
    [("probabilities", "all"), ("logits", "all"), ("probabilities", "all-but-last")],
)
def test_mas_equals_the_oracle(output: str, used: str) -> None:
    net, pixels = tiny(), np.concatenate(in_batches(FLOATS, 100, used))
    found = importance.mas(net, task(), output, net.parameters(0), batch_size=100, used=used)
    assert_close(found, oracles.mas_importance(theta_of(net), pixels, output))


def test_mas_is_of_probabilities_and_the_trunk_by_default() -> None:
    net = tiny()
    expected = oracles.mas_importance(theta_of(net), FLOATS, "probabilities")
    assert_close(importance.mas(net, task()), expected[:4])


@pytest.mark.parametrize("used", ["all", "all-but-last"])
def test_mas_of_batch_sums_equals_the_oracle(used: str) -> None:
    net = tiny()
    found = importance.mas(
        net, task(), parameters=net.parameters(0), per_image=False, batch_size=500, used=used
    )
    batches = in_batches(FLOATS, 500, used)
    assert_close(found, oracles.mas_of_batches(theta_of(net), batches, "probabilities"))


# What all of them have in common


entropy = functools.partial(importance.entropy, batch_size=2000)
fisher = functools.partial(importance.fisher, seed=5)
exact_fisher = functools.partial(fisher, source="exact")

measures = pytest.mark.parametrize(
    "measure",
    [entropy, fisher, exact_fisher, importance.mas],
    ids=["entropy", "fisher", "exact fisher", "mas"],
)


@measures
def test_permutation_is_as_good_as_permuted_images(measure) -> None:
    net = tiny()
    found = measure(net, task(permutation=PERMUTATION))
    expected = measure(net, task(IMAGES[:, PERMUTATION]))
    assert_close(found, expected, rtol=1e-4)
    unpermuted = measure(net, task())
    assert np.abs(found[0] - unpermuted[0]).max() > 0.05 * np.abs(found[0]).max()


def test_images_may_be_uint8_or_float() -> None:
    net = tiny()
    expected = importance.mas(net, task())
    assert_close(importance.mas(net, task(FLOATS.astype(np.float32))), expected, rtol=1e-4)
    assert_close(importance.mas(net, task(tf.constant(IMAGES))), expected, rtol=1e-6)


@measures
def test_parameters_choose_what_is_returned_and_its_order(measure) -> None:
    net = tiny()
    everything = measure(net, task(), parameters=net.parameters(0))
    for tensor, parameter in zip(everything, net.parameters(0), strict=True):
        assert (tensor.dtype, tensor.shape) == (tf.float32, parameter.shape)
    assert same_bits(measure(net, task()), everything[:4])
    found = measure(net, task(), parameters=[net.heads[0][0], net.trunk[1]])
    assert same_bits(found, [everything[4], everything[1]])


@measures
def test_parameters_of_another_output_are_refused(measure) -> None:
    net = tiny()
    with pytest.raises(ValueError, match="head 0"):
        measure(net, task(), parameters=net.parameters(1))


@measures
def test_the_network_is_only_read(measure) -> None:
    net = tiny()
    measure(net, task())
    assert same_bits(net.variables, tiny().variables)


# The order of the images


def test_an_order_is_as_good_as_images_in_that_order() -> None:
    # Labels go with their images, dropout's masks with the place.
    net = tiny(dropout=Dropout(0.5))

    def measured(some: data.Task, **order: Any) -> Sequence[tf.Tensor]:
        of_batches = {"batch_size": 10, "used": "first", **order}
        return [
            *importance.entropy(net, some, dropout_seed=(4, 2), **order),
            *fisher(net, some, source="labels", **of_batches),
            *exact_fisher(net, some, **of_batches),
            *importance.mas(net, some, **of_batches),
            *importance.mas(net, some, per_image=False, batch_size=500, **order),
        ]

    found = measured(task(), order=ORDER)
    assert same_bits(found, measured(task(IMAGES[ORDER], LABELS[ORDER])))


@pytest.mark.parametrize("measure", [fisher, exact_fisher, importance.mas])
def test_measures_per_image_over_all_images_do_not_depend_on_the_order(measure) -> None:
    net = tiny()
    assert same_bits(measure(net, task(), order=ORDER), measure(net, task()))


@pytest.mark.parametrize("order", [ORDER[1:], np.zeros(N, int), ORDER + 1])
def test_an_order_that_is_no_permutation_is_refused(order: np.ndarray) -> None:
    with pytest.raises(ValueError, match="permutation"):
        importance.entropy(tiny(), task(), order=order)


@pytest.mark.parametrize(
    ("measure", "word"),
    [
        (entropy, {"form": "positive"}),
        (entropy, {"used": "last"}),
        (fisher, {"used": "last"}),
        (fisher, {"source": "true"}),
        (importance.mas, {"used": "last"}),
        (importance.mas, {"output": "entropy"}),
    ],
)
def test_unknown_words_are_refused(measure, word: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(word.values()))):
        measure(tiny(), task(), **word)
