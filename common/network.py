"""The network of every script: a multi-layer perceptron with two hidden layers and T heads.

Forward and backward pass are written out as plain functions of six tensors. Training, the
importance measures and evaluation all run through these few lines; the tests hold them against
`tf.GradientTape`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from common import data, streams

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

DROPOUT_LAYERS = ("both", "h2")
INITIALISERS = ("truncated-normal", "fan-in-uniform")


class Parameters(NamedTuple):
    """The tensors that one task's output depends on; the first four are the trunk."""

    w1: tf.Tensor  # [P, H1]
    b1: tf.Tensor  # [H1]
    w2: tf.Tensor  # [H1, H2]
    b2: tf.Tensor  # [H2]
    v: tf.Tensor  # [H2, K]
    c: tf.Tensor  # [K]


NAMES = ("W1", "b1", "W2", "b2", "V", "c")  # in the same order, as in results and figures


class Layers(NamedTuple):
    """One tensor per layer: its inputs [B, fan-in], or the deltas of its outputs [B, units]."""

    hidden1: tf.Tensor
    hidden2: tf.Tensor
    head: tf.Tensor


def to_pixels(images: tf.Tensor) -> tf.Tensor:
    """Returns images as float32 in [0, 1]; uint8 0-255 is scaled, floats are taken as they are."""
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 255.0
    return tf.cast(images, tf.float32)


def to_columns(images: tf.Tensor) -> tf.Tensor:
    """Returns `to_pixels` of images [B, P] as [P, B], in memory as such; in compiled programs only.

    Without the barrier XLA folds the transposition into the product, which is slower.
    """
    [columns] = xla.optimization_barrier(tf.transpose(images))
    return to_pixels(columns)


class Dropout(NamedTuple):
    """Inverted dropout on h1 and h2 (`layers` "both") or on h2 alone ("h2").

    Masks are cut from random 32-bit words, which are drawn for many steps at once: one bit a unit
    at rate 0.5, otherwise 16 bits a unit (the rate is rounded to a multiple of 2^-16).

    Attributes:
        rate: share of the units that is dropped, in [0, 1).
        layers: "both" or "h2".
    """

    rate: float = 0.0
    layers: str = "both"

    def words_per_batch(self, batch: int, hidden: tuple[int, int]) -> int:
        """Returns how many 32-bit words the masks of one batch take."""
        if self.rate == 0:
            return 0
        units = batch * (sum(hidden) if self.layers == "both" else hidden[1])
        return -(-units // (32 if self.rate == 0.5 else 2))

    def draw(
        self, seed: np.ndarray | tf.Tensor, steps: int, batch: int, hidden: tuple[int, int]
    ) -> tf.Tensor:
        """Returns the random words of `steps` batches, uint32 [steps, words_per_batch]."""
        shape = [steps, self.words_per_batch(batch, hidden)]
        return tf.random.stateless_uniform(
            shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
        )

    def masks(
        self, random_words: tf.Tensor, batch: int, hidden: tuple[int, int]
    ) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """Returns the factors of h1 [B, H1] and h2 [B, H2], 0 or 1/(1-rate); None where all are 1.

        Args:
            random_words: one row of `draw`.
            batch: B.
            hidden: (H1, H2).
        """
        if self.rate == 0:
            return None, None
        if self.rate == 0.5:
            bits = tf.bitwise.right_shift(random_words[:, None], tf.cast(tf.range(32), tf.uint32))
            kept = tf.bitwise.bitwise_and(bits, tf.constant(1, tf.uint32)) > 0
        else:
            kept = tf.cast(tf.bitcast(random_words, tf.uint16), tf.int32) >= round(
                self.rate * 2**16
            )
        factors = tf.where(tf.reshape(kept, [-1]), self.scales()[1], 0.0)
        first = batch * hidden[0] if self.layers == "both" else 0
        mask2 = tf.reshape(factors[first : first + batch * hidden[1]], [batch, hidden[1]])
        mask1 = tf.reshape(factors[:first], [batch, hidden[0]]) if first else None
        return mask1, mask2

    def scales(self) -> tuple[float, float]:
        """Returns the factor that a kept unit of h1, h2 is multiplied with."""
        scale = 1 / (1 - self.rate)
        return (scale if self.layers == "both" else 1.0), scale


def hidden_layers(
    trunk: Sequence[tf.Tensor],
    pixels: tf.Tensor,
    masks: tuple[tf.Tensor | None, tf.Tensor | None] = (None, None),
) -> Layers:
    """Runs the trunk, and returns the input of each layer: pixels, h1, and h2 for the head.

    Args:
        trunk: the first four tensors of `Parameters`.
        pixels: [B, P] float32.
        masks: dropout's factors of h1 and h2, None for no dropout.
    """
    w1, b1, w2, b2 = trunk
    h1 = tf.nn.relu(pixels @ w1 + b1)
    if masks[0] is not None:
        h1 = h1 * masks[0]
    h2 = tf.nn.relu(h1 @ w2 + b2)
    if masks[1] is not None:
        h2 = h2 * masks[1]
    return Layers(pixels, h1, h2)


def forward(
    parameters: Sequence[tf.Tensor],
    pixels: tf.Tensor,
    masks: tuple[tf.Tensor | None, tf.Tensor | None] = (None, None),
) -> tuple[Layers, tf.Tensor]:
    """Runs the network.

    Args:
        parameters: the six tensors of `Parameters`.
        pixels: as for `hidden_layers`.
        masks: likewise.

    Returns:
        The input of each layer (`hidden_layers`), and the logits [B, K].
    """
    *trunk, v, c = parameters
    inputs = hidden_layers(trunk, pixels, masks)
    return inputs, inputs.head @ v + c


def backward(
    parameters: Sequence[tf.Tensor],
    inputs: Layers,
    delta: tf.Tensor,
    scales: tuple[float, float] = (1.0, 1.0),
    delta_h2: tf.Tensor | None = None,
) -> Layers:
    """Propagates the derivative of a loss with respect to the logits back to every layer.

    Args:
        parameters: the six tensors of `Parameters`.
        inputs: what `forward` returned.
        delta: [B, K], one row an image; rows are not mixed.
        scales: dropout's factor of the kept units (`Dropout.scales`). A dropped unit has output 0,
            as has one that ReLU cuts off, so that no mask is needed here.
        delta_h2: [B, H2], a further derivative with respect to h2, added to that from the head.

    Returns:
        The derivatives [B, H1], [B, H2], [B, K] before each layer's activation.
    """
    w2, v = parameters[2], parameters[4]
    from_head = tf.matmul(delta, v, transpose_b=True)
    if delta_h2 is not None:
        from_head += delta_h2
    delta2 = tf.where(inputs.head > 0, from_head * scales[1], 0.0)
    delta1 = tf.where(inputs.hidden2 > 0, tf.matmul(delta2, w2, transpose_b=True) * scales[0], 0.0)
    return Layers(delta1, delta2, delta)


def gradients(inputs: Layers, deltas: Layers, columns: tf.Tensor | None = None) -> list[tf.Tensor]:
    """Returns Σ_n input_n ⊗ delta_n of every weight, Σ_n delta_n of every bias, in order.

    Args:
        inputs: of the layers.
        deltas: of the layers.
        columns: the first layer's inputs as [P, B], where they are at hand (`to_columns`).
    """
    transposed = [tf.transpose(layer) for layer in inputs]  # XLA folds these into the products
    if columns is not None:
        transposed[0] = columns
    sums = []
    for layer, delta in zip(transposed, deltas, strict=True):
        sums += [layer @ delta, tf.reduce_sum(delta, axis=0)]
    return sums


class MLP(tf.Module):
    """784 - H1 - H2 - head, ReLU, one head per task (or a single one for all).

    Attributes:
        trunk: variables [W1, b1, W2, b2] of shapes [P, H1], [H1], [H1, H2], [H2].
        heads: one (V, c) per head, variables of shapes [H2, K], [K].
        dropout: dropout while training.
        hidden: (H1, H2).
    """

    def __init__(
        self,
        hidden: Sequence[int],
        heads: int,
        classes: int = 10,
        pixels: int = 784,
        seed: int = 0,
        init: str = "truncated-normal",
        dropout: Dropout | None = None,
    ) -> None:
        """Draws the initial parameters; each tensor's depend on `seed` and its place alone.

        Args:
            hidden: (H1, H2).
            heads: number of heads.
            classes: K, outputs of a head.
            pixels: P.
            seed: of the initial weights.
            init: "truncated-normal" (σ 0.1, cut at 2σ, biases 0.1) or "fan-in-uniform" (uniform in
                ±1/√fan_in, biases 0).
            dropout: while training; None for none.

        Raises:
            ValueError: unknown `init`.
        """
        super().__init__()
        if init not in INITIALISERS:
            raise ValueError(f"init {init!r} is none of {', '.join(INITIALISERS)}")
        self.hidden = (int(hidden[0]), int(hidden[1]))
        self.dropout = dropout or Dropout()

        def layer(place: int, fan_in: int, units: int) -> tuple[tf.Variable, tf.Variable]:
            key = streams.stateless_seed(seed, place)
            if init == "truncated-normal":
                weights = tf.random.stateless_truncated_normal([fan_in, units], key, stddev=0.1)
                return tf.Variable(weights), tf.Variable(tf.fill([units], 0.1))
            bound = fan_in**-0.5
            weights = tf.random.stateless_uniform([fan_in, units], key, -bound, bound)
            return tf.Variable(weights), tf.Variable(tf.zeros([units]))

        h1, h2 = self.hidden
        self.trunk = [*layer(0, pixels, h1), *layer(1, h1, h2)]
        self.heads = [layer(2 + head, h2, classes) for head in range(heads)]

    @property
    def shared(self) -> list[tf.Variable]:
        """The variables that every task uses: the trunk, and the head where there is but one."""
        return self.parameters(0) if len(self.heads) == 1 else self.trunk

    def head_of(self, task: int) -> int:
        """Returns the head of a task: its own, or the only one."""
        return task if len(self.heads) > 1 else 0

    def parameters(self, head: int) -> list[tf.Variable]:
        """Returns the six variables of a head's output, in the order of `Parameters`."""
        return [*self.trunk, *self.heads[head]]


def copies(variables: Sequence[tf.Variable]) -> list[tf.Variable]:
    """Returns new variables with the same values."""
    return [tf.Variable(variable.value()) for variable in variables]


def assign(variables: Sequence[tf.Variable], values: Sequence[tf.Tensor]) -> None:
    """Gives each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def permuted(parameters: Sequence[tf.Tensor], permutation: np.ndarray) -> list[tf.Tensor]:
    """Returns parameters whose output for images is the given ones' for images[:, permutation].

    Args:
        parameters: W1 [P, H1] and any others.
        permutation: [P], new pixel j is old pixel permutation[j].
    """
    return [tf.gather(parameters[0], np.argsort(permutation)), *parameters[1:]]


def stacked(heads: Sequence[Sequence[tf.Tensor]]) -> list[tf.Tensor]:
    """Returns several heads as one with the outputs side by side: V [H2, T·K], c [T·K]."""
    return [tf.concat([v for v, _ in heads], axis=1), tf.concat([c for _, c in heads], axis=0)]


def for_tasks(settings: Any, tasks: Sequence[data.Task], seed: int) -> MLP:
    """Returns the network that a script's settings ask for.

    Args:
        settings: hidden, head ("multi" or "single"), init, dropout, dropout_layers.
        tasks: for the number of heads, of classes and of pixels.
        seed: of the initial weights.

    Raises:
        DataError: one network cannot learn these tasks (`data.check_tasks`).
    """
    data.check_tasks(tasks)
    return MLP(
        settings.hidden,
        len(tasks) if settings.head == "multi" else 1,
        tasks[0].dataset.classes,
        tasks[0].dataset.pixels,
        seed,
        settings.init,
        Dropout(settings.dropout, settings.dropout_layers),
    )
