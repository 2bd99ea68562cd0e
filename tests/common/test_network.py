"""Forward and backward pass, initial parameters, dropout."""

from __future__ import annotations

from common import network, streams
from common.network import MLP, Dropout
from tests import oracles
from tests.oracles import CLASSES, HIDDEN, PIXELS

import numpy as np
import pytest
import tensorflow as tf

B = 9
DROPOUTS = [None, Dropout(0.5, "both"), Dropout(0.3, "both"), Dropout(0.5, "h2")]
dropouts = pytest.mark.parametrize("dropout", DROPOUTS, ids=["none", "both.5", "both.3", "h2"])


def tiny(**settings) -> MLP:
    return MLP(HIDDEN, settings.pop("heads", 2), CLASSES, PIXELS, **{"seed": 3, **settings})


def pixels(count: int = B) -> np.ndarray:
    return np.random.default_rng(1).random((count, PIXELS)).astype(np.float32)


def factors_of(dropout: Dropout | None, batch: int = B, seed: int = 7):
    if dropout is None:
        return (None, None)
    words = dropout.draw(streams.stateless_seed(seed), 1, batch, HIDDEN)[0]
    return dropout.masks(words, batch, HIDDEN)


def row(factors, n: int):
    return tuple(None if factor is None else factor.numpy()[n] for factor in factors)


def kept(dropout: Dropout, steps: int, batch: int, hidden: tuple[int, int], seed: int = 0):
    """Returns which units are kept, [steps, batch, units], boolean."""
    words = dropout.draw(streams.stateless_seed(seed), steps, batch, hidden)
    factors = [[f for f in dropout.masks(w, batch, hidden) if f is not None] for w in words]
    return np.array([np.concatenate([f.numpy() for f in step], axis=1) > 0 for step in factors])


# Forward and backward pass


@dropouts
def test_forward_equals_the_oracle(dropout: Dropout | None) -> None:
    net, x, factors = tiny(), pixels(), factors_of(dropout)
    inputs, logits = network.forward(net.parameters(1), tf.constant(x), factors)
    np.testing.assert_array_equal(inputs.hidden1, x)
    for n in range(B):
        h1, h2, z = oracles.layers(oracles.float64(net.parameters(1)), x[n], row(factors, n))
        np.testing.assert_allclose(inputs.hidden2[n], h1, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(inputs.head[n], h2, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(logits[n], z, rtol=1e-5, atol=1e-6)


@dropouts
def test_gradients_equal_gradient_tape(dropout: Dropout | None) -> None:
    net, factors = tiny(), factors_of(dropout)
    rng = np.random.default_rng(2)
    delta = tf.constant(rng.normal(size=(B, CLASSES)), tf.float32)
    delta_h2 = tf.constant(rng.normal(size=(B, HIDDEN[1])), tf.float32)
    parameters = net.parameters(0)
    with tf.GradientTape(persistent=True) as tape:
        inputs, logits = network.forward(parameters, tf.constant(pixels()), factors)
        from_head = tf.reduce_sum(delta * logits)
        from_both = from_head + tf.reduce_sum(delta_h2 * inputs.head)
    scales = (dropout or Dropout()).scales()
    for extra, loss in ((None, from_head), (delta_h2, from_both)):
        deltas = network.backward(parameters, inputs, delta, scales, extra)
        found = network.gradients(inputs, deltas)
        for ours, tapes in zip(found, tape.gradient(loss, parameters), strict=True):
            np.testing.assert_allclose(ours, tapes, rtol=1e-5, atol=1e-6)


# The network


def test_uint8_images_are_scaled_and_floats_are_not() -> None:
    images = np.random.default_rng(0).integers(0, 256, (B, PIXELS)).astype(np.uint8)
    scaled = (images / np.float32(255)).astype(np.float32)
    np.testing.assert_array_equal(network.to_pixels(tf.constant(images)), scaled)
    np.testing.assert_array_equal(network.to_pixels(tf.constant(scaled)), scaled)


def test_shared_is_the_trunk_and_the_head_where_there_is_one() -> None:
    multi, single = tiny(heads=3), tiny(heads=1)
    assert [v.ref() for v in multi.shared] == [v.ref() for v in multi.trunk]
    assert [v.ref() for v in single.shared] == [v.ref() for v in [*single.trunk, *single.heads[0]]]
    assert [multi.head_of(task) for task in range(3)] == [0, 1, 2]
    assert [single.head_of(task) for task in range(3)] == [0, 0, 0]


def test_permuted_parameters_are_as_good_as_permuted_images() -> None:
    net, order = tiny(), np.random.default_rng(4).permutation(PIXELS)
    moved = network.permuted(net.parameters(0), order)
    found = network.forward(moved, tf.constant(pixels()))[1]
    expected = network.forward(net.parameters(0), tf.constant(pixels()[:, order]))[1]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_stacked_heads_give_all_outputs_side_by_side() -> None:
    net = tiny(heads=3)
    images = tf.constant(pixels())
    found = network.forward([*net.trunk, *network.stacked(net.heads)], images)[1]
    each = [network.forward(net.parameters(head), images)[1] for head in range(3)]
    expected = np.concatenate(each, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_shapes_and_variables() -> None:
    net = tiny(heads=3)
    shapes = [(12, 7), (7,), (7, 5), (5,), (5, 3), (3,)]
    for head in range(3):
        assert [tuple(p.shape) for p in net.parameters(head)] == shapes
    assert len(net.variables) == 4 + 2 * 3  # what a checkpoint holds


# Initial parameters


def test_truncated_normal_has_sigma_within_its_bound_and_biases_a_tenth() -> None:
    net = MLP((200, 100), 2)
    for weights in (net.trunk[0], net.trunk[2], net.heads[0][0], net.heads[1][0]):
        values = weights.numpy()
        assert np.abs(values).max() <= 0.2
        # A normal of σ 0.1 cut at 2σ has the standard deviation 0.0880.
        assert abs(values.std() - 0.0880) < 6 * 0.088 / np.sqrt(values.size)
        assert abs(values.mean()) < 6 * 0.088 / np.sqrt(values.size)
    assert np.abs(net.trunk[0].numpy()).max() > 0.195
    for bias in (net.trunk[1], net.trunk[3], net.heads[0][1]):
        np.testing.assert_array_equal(bias, np.full(bias.shape, 0.1, np.float32))


def test_fan_in_uniform_fills_its_bounds_and_has_no_biases() -> None:
    net = MLP((200, 100), 2, init="fan-in-uniform")
    for weights, fan_in in ((net.trunk[0], 784), (net.trunk[2], 200), (net.heads[1][0], 100)):
        values, bound = weights.numpy(), fan_in**-0.5
        assert np.abs(values).max() <= bound
        assert values.max() > 0.98 * bound
        assert values.min() < -0.98 * bound
        assert abs(values.std() - bound / 3**0.5) < 6 * bound / np.sqrt(values.size)
    for bias in (net.trunk[1], net.trunk[3], net.heads[0][1]):
        np.testing.assert_array_equal(bias, np.zeros(bias.shape))


def test_initial_parameters_depend_on_the_seed_and_their_place_alone() -> None:
    one, many, other = tiny(heads=1), tiny(heads=4), tiny(heads=4, seed=4)
    for left, right in zip(one.parameters(0), many.parameters(0), strict=True):
        np.testing.assert_array_equal(left, right)
    for place in (0, 2, 4):
        assert np.all(many.parameters(0)[place].numpy() != other.parameters(0)[place].numpy())
    assert np.all(many.heads[0][0].numpy() != many.heads[1][0].numpy())


def test_layers_start_from_unrelated_draws() -> None:
    net = MLP((20, 20), 2, classes=20, pixels=20)
    weights = [net.trunk[0], net.trunk[2], net.heads[0][0], net.heads[1][0]]
    correlations = np.corrcoef([w.numpy().ravel() for w in weights])
    assert np.abs(correlations - np.eye(4)).max() < 6 / 20


def test_unknown_initialiser_is_refused() -> None:
    with pytest.raises(ValueError, match="zeros"):
        tiny(init="zeros")


def test_seeds_of_different_keys_differ() -> None:
    keys = [(), (1,), (0, 1), (1, 1), (0, 0, 1), (1, 0, 1), (1, 2), (2**31 - 1, 1), (1, 1, 1)]
    assert len({tuple(streams.stateless_seed(*key)) for key in keys}) == len(keys)


# Dropout


@pytest.mark.parametrize("layers", ["both", "h2"])
@pytest.mark.parametrize("rate", [0.5, 0.2, 0.9])
def test_dropout_drops_its_share_of_the_units(rate: float, layers: str) -> None:
    drawn = kept(Dropout(rate, layers), 60, 31, HIDDEN)  # 31·12 and 31·5: no multiples of 32
    assert drawn.shape == (60, 31, 12 if layers == "both" else 5)
    for share, count in (
        (drawn.mean(), drawn.size),
        *((s, 60 * 31) for s in drawn.mean(axis=(0, 1))),  # each unit
        *((s, 60 * drawn.shape[2]) for s in drawn.mean(axis=(0, 2))),  # each image's place
    ):
        assert abs(share - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / count)


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.9])
def test_dropout_scales_what_it_keeps(rate: float) -> None:
    dropout = Dropout(rate)
    expected = {np.float32(0), np.float32(1 / (1 - rate))}
    for factor in factors_of(dropout, batch=30):
        assert set(factor.numpy().ravel()) == expected
    assert np.float32(dropout.scales()).tolist() == [np.float32(1 / (1 - rate))] * 2


@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_dropout_is_independent_between_units_images_and_steps(rate: float) -> None:
    drawn = kept(Dropout(rate), 250, 4, HIDDEN).reshape(250, -1)
    correlations = np.corrcoef(drawn.T)  # every unit of every image against every other
    assert np.abs(correlations - np.eye(len(correlations))).max() < 5.5 / np.sqrt(250)
    steps = np.corrcoef(drawn)
    assert np.abs(steps - np.eye(250)).max() < 6 / np.sqrt(48)


def test_dropout_of_rate_zero_is_none() -> None:
    for layers in network.DROPOUT_LAYERS:
        assert factors_of(Dropout(0.0, layers)) == (None, None)
        assert Dropout(0.0, layers).scales() == (1.0, 1.0)


def test_dropout_on_h2_alone_leaves_h1() -> None:
    mask1, mask2 = factors_of(Dropout(0.5, "h2"))
    assert mask1 is None
    assert mask2.shape == (B, HIDDEN[1])
    assert Dropout(0.5, "h2").scales() == (1.0, 2.0)


@pytest.mark.parametrize(("rate", "units_a_word"), [(0.5, 32), (0.2, 2)])
def test_dropout_draws_no_more_words_than_it_needs(rate: float, units_a_word: int) -> None:
    assert Dropout(rate).words_per_batch(31, HIDDEN) == -(-31 * 12 // units_a_word)
    assert Dropout(rate, "h2").words_per_batch(31, HIDDEN) == -(-31 * 5 // units_a_word)
    assert Dropout(0).words_per_batch(31, HIDDEN) == 0
