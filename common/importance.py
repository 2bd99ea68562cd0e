"""How important each parameter is to the task just learned: entropy, Fisher, MAS, path integral.

Equations are those of docs/method.md.

All measures but the path integral pass once over the task's training images, with the task's own
head. They are exact and need one backward pass, because the gradient of one image with respect to
a weight matrix is an outer product a δᵀ of the layer's input and its delta: the gradient of a batch
sum is Aᵀ Δ, the sum of the squares of each image's own gradient (A∘A)ᵀ(Δ∘Δ), and the sum of their
absolute values |A|ᵀ|Δ|. The exact Fisher information alone takes one backward pass per class.

A measure that depends on how images are put into batches takes them in the `order` that its caller
gives, by default in file order. File order is not exchangeable: a file sorted by class would give
another measure. Measures per image over all images do not depend on it and take file order always,
so that a caller may give the same order to all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from common import data, streams
from common import network as networks

import numpy as np
import tensorflow as tf

FORMS = (
    *("released", "absolute", "signed"),
    *("taylor", "gradient", "square", "square-weighted", "uniform"),
)
OUTPUTS = ("probabilities", "logits")
SOURCES = ("sampled", "exact", "labels")
USED = ("all", "all-but-last", "first")
_GROUP = 1000  # images that are run forward and backward together


def entropy(
    network: networks.MLP,
    task: data.Task,
    form: str = "released",
    parameters: Sequence[tf.Variable] | None = None,
    *,
    order: np.ndarray | None = None,
    batch_size: int = 100,
    used: str = "all",
    dropout_seed: Sequence[int] | None = None,
) -> list[tf.Tensor]:
    """Structure-aware importance of ANPyC (equation 1): the mean over all batches of ω_B.

    For each batch B, with the output's entropy *summed* over its images and the classes,
    H_B = −Σ_n Σ_k p_nk log p_nk, and d = ∂H_B/∂θ,

        ω_B = max(0, d⊙θ + ½ d²⊙θ²)

    in the form of the second-order change of H_B when the parameter is removed, d² standing for the
    diagonal of the Hessian, and the first term with the release's sign (docs/method.md). Taken per
    batch, d of the batch's *sum*: the batch size and the order of the images are part of the
    definition. The ½ is the expansion's. No labels; dropout off unless asked for.

    Args:
        network: is read only.
        task: its training images and own head. A short last batch counts as a batch.
        form: ω_B. "released" as above; "absolute", |d⊙θ + ½d²⊙θ²|; "signed", without either.
            Ours, to compare with: "taylor", max(0, −d⊙θ + ½d²⊙θ²), whose first term has the sign
            of an expansion around the removal; "gradient", |d|; "square", d²; "square-weighted",
            d²⊙θ²; "uniform", 1 for every parameter.
        parameters: which of the network's variables; None for those that all tasks share.
        order: int [N], the images in the order in which they are put into batches
            (`training.Trainer.order`); None for file order.
        batch_size: images in a batch.
        used: "all" images; "all-but-last" leaves out the last one of each full batch (D3).
        dropout_seed: measures with the network's dropout on (D2), drawn from these numbers, each
            mask for a place in the order; None for dropout off.

    Returns:
        One float32 tensor per parameter.

    Raises:
        ValueError: unknown `form`, a parameter that the head's output does not have, or, but for
            "uniform", which has no batches, an unknown `used` or an `order` that is no permutation
            of the images.
    """
    _check(form, FORMS)
    if form == "uniform":
        ones = map(tf.ones_like, network.parameters(network.head_of(task.number)))
        return _select(network, task, parameters, list(ones))
    weights = _weights(task.examples, batch_size, used)
    measure = _Measure(_entropy_delta, batch_size, _ENTROPY[form])
    totals = _totals(network, task, weights, measure, order, dropout_seed=dropout_seed)
    batches = -(-task.examples // batch_size)
    return _select(network, task, parameters, [total / batches for total in totals])


def fisher(
    network: networks.MLP,
    task: data.Task,
    seed: int | Sequence[int],
    source: str = "sampled",
    parameters: Sequence[tf.Variable] | None = None,
    *,
    batch_size: int = 1000,
    used: str = "all",
    order: np.ndarray | None = None,
) -> list[tf.Tensor]:
    """Diagonal of the Fisher information (equation 4): mean over images of squares.

    F = mean_n (∂ log p_y(x_n)/∂θ)², squared per image, the label y of each image from the `source`.
    No ½; dropout off.

    Args:
        network: is read only.
        task: its training images, labels and own head.
        seed: of the drawn labels, one number or several; used where `source` is "sampled".
        source: where y comes from. "sampled": drawn from the model's own output p. "exact": no y is
            drawn, the expectation Σ_k p_k (∂ log p_k/∂θ)² over all classes is taken. "labels": the
            data's own label, which gives the empirical Fisher information.
        parameters: which of the network's variables; None for those that all tasks share.
        batch_size: matters only where `used` is not "all"; so does `order`.
        used: "all" images; "all-but-last" leaves out the last one of each full batch (D3); only the
            "first" of each batch (D4).
        order: int [N], the images in the order in which they are put into batches; None for file
            order. A label, drawn or given, belongs to the image and not to its place.

    Returns:
        One float32 tensor per parameter.

    Raises:
        ValueError: unknown `source` or `used`, an `order` that is no permutation of the images, or
            a parameter that the head's output does not have.
    """
    _check(source, SOURCES)
    weights = _weights(task.examples, batch_size, used)
    numbers = None
    if source == "sampled":
        key = streams.stateless_seed(*np.atleast_1d(seed), streams.LABELS)
        numbers = tf.random.stateless_uniform([task.examples], key)
    elif source == "labels":
        numbers = tf.cast(task.train.labels, tf.int32)
    order = None if used == "all" else order
    totals = _totals(network, task, weights, _FISHER[source], order, numbers)
    return _select(network, task, parameters, [total / weights.sum() for total in totals])


def mas(
    network: networks.MLP,
    task: data.Task,
    output: str = "probabilities",
    parameters: Sequence[tf.Variable] | None = None,
    *,
    per_image: bool = True,
    batch_size: int = 1000,
    used: str = "all",
    order: np.ndarray | None = None,
) -> list[tf.Tensor]:
    """Memory-aware synapses (equation 6): mean over images, absolute value per image.

    Ω = mean_n |∂(½‖p(x_n)‖²)/∂θ| of the softmax output p, with this ½. No labels; dropout off.

    Args:
        network: is read only.
        task: its training images and own head.
        output: "probabilities" as above; "logits" differentiates ‖z‖² of the logits, without ½.
        parameters: which of the network's variables; None for those that all tasks share.
        per_image: False for the absolute value of the gradient of each batch's sum, averaged over
            the batches (D6).
        batch_size: images in a batch. It matters only where batches do, `used` is not "all" or
            `per_image` is False; so does `order`.
        used: "all" images; "all-but-last" leaves out the last one of each full batch (D3).
        order: int [N], the images in the order in which they are put into batches; None for file
            order.

    Returns:
        One float32 tensor per parameter.

    Raises:
        ValueError: unknown `output` or `used`, an `order` that is no permutation of the images, or
            a parameter that the head's output does not have.
    """
    _check(output, OUTPUTS)
    weights = _weights(task.examples, batch_size, used)
    if per_image:
        measure, count = _Measure(_MAS_DELTA[output], None, tf.abs), int(weights.sum())
    else:
        measure = _Measure(_MAS_DELTA[output], batch_size, _magnitude)
        count = -(-task.examples // batch_size)
    order = None if per_image and used == "all" else order
    totals = _totals(network, task, weights, measure, order)
    return _select(network, task, parameters, [total / count for total in totals])


class PathIntegral:
    """Importance along the training path (SI; equation 7), from the steps' own gradients.

    `training.Trainer.train` follows it: at each step s −= Δθ ⊙ g, with Δθ the actual change and g
    the gradient of the loss without the penalty. Per batch, summed over the steps: g is of the
    batch's mean, with the head, the labels, the dropout and the order of the images as in training.
    No ½.

    Attributes:
        parameters: the variables that are followed.
        path: s, one variable per parameter.
        start: θ when the task began, likewise.
        state: [path], what is gathered in the steps.
    """

    def __init__(self, parameters: Sequence[tf.Variable], start_at_zero: bool = False) -> None:
        """Starts at s = 0, at the present values.

        Args:
            parameters: the variables to follow.
            start_at_zero: θ_start of the first task is 0 instead (D8).
        """
        self.parameters = list(parameters)
        self.path = [tf.Variable(tf.zeros_like(p)) for p in parameters]
        self.start = networks.copies(self.path if start_at_zero else parameters)
        self.state = [self.path]

    @staticmethod
    def follow(
        old: tf.Tensor, new: tf.Tensor, gradient: tf.Tensor, rate: tf.Tensor, path: tf.Tensor
    ) -> list[tf.Tensor]:
        """Returns [s − Δθ ⊙ g] of one parameter after a step (`training.Follower`)."""
        del rate
        return [path - (new - old) * gradient]

    def importance(self, xi: float, clip: bool = True) -> list[tf.Tensor]:
        """Returns s / ((θ − θ_start)² + ξ), one tensor per parameter.

        Args:
            xi: ξ > 0.
            clip: at 0 from below; the release does not (D8).
        """
        result = []
        for parameter, path, start in zip(self.parameters, self.path, self.start, strict=True):
            ratio = path / (tf.square(parameter - start) + xi)
            result.append(tf.maximum(ratio, 0.0) if clip else ratio)
        return result

    def restart(self) -> None:
        """Begins the next task's path: s = 0, θ_start = θ."""
        networks.assign(self.path, [tf.zeros_like(path) for path in self.path])
        networks.assign(self.start, self.parameters)


def _entropy_delta(logits: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """∂H/∂z_k = −p_k (log p_k + H), from logits, so that p = 0 gives 0."""
    del numbers
    log_p = tf.nn.log_softmax(logits)
    p = tf.exp(log_p)
    entropy = -tf.reduce_sum(p * log_p, axis=1, keepdims=True)
    return -p * (log_p + entropy)


def _label_delta(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """∂ log p_y/∂z = onehot(y) − p of the labels y."""
    return tf.one_hot(labels, logits.shape[1]) - tf.nn.softmax(logits)


def _sampled_delta(logits: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """The same, y the class in whose part of [0, 1) the noise falls."""
    p = tf.nn.softmax(logits)
    drawn = tf.reduce_sum(tf.cast(tf.cumsum(p, axis=1) <= noise[:, None], tf.int32), axis=1)
    return _label_delta(logits, tf.minimum(drawn, logits.shape[1] - 1))


def _expectation_delta(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """√p_y ∂ log p_y/∂z, whose squares add up over the classes y to the expectation."""
    p = tf.gather(tf.nn.softmax(logits), labels, batch_dims=1)
    return tf.sqrt(p)[:, None] * _label_delta(logits, labels)


def _probability_delta(logits: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """∂(½‖p‖²)/∂z_k = p_k (p_k − ‖p‖²)."""
    del numbers
    p = tf.nn.softmax(logits)
    return p * (p - tf.reduce_sum(tf.square(p), axis=1, keepdims=True))


def _logit_delta(logits: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """∂‖z‖²/∂z = 2z."""
    del numbers
    return 2.0 * logits


_MAS_DELTA = {"probabilities": _probability_delta, "logits": _logit_delta}


def _taylor(gradient: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    first = gradient * parameter
    return first + 0.5 * tf.square(first)


def _clipped(gradient: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    return tf.maximum(_taylor(gradient, parameter), 0.0)


def _absolute(gradient: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    return tf.abs(_taylor(gradient, parameter))


def _magnitude(gradient: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    del parameter
    return tf.abs(gradient)


def _clipped_towards_removal(gradient: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    return _clipped(-gradient, parameter)


def _square(gradient: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    del parameter
    return tf.square(gradient)


def _square_weighted(gradient: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    return tf.square(gradient * parameter)


_ENTROPY = {
    "released": _clipped,
    "absolute": _absolute,
    "signed": _taylor,
    "taylor": _clipped_towards_removal,
    "gradient": _magnitude,
    "square": _square,
    "square-weighted": _square_weighted,
}


class _Measure(NamedTuple):
    """A measure: the derivative at the logits, and what is summed over images or batches.

    Attributes:
        delta: logits [B, K], one number an image [B] (its label, or the noise that decides on it)
            -> [B, K], row by row.
        batch_size: images in a batch; None where every image counts on its own.
        each: what is done to the inputs and deltas of single images (the square, the magnitude),
            or, with batches, to a batch's summed gradient and the parameter.
        every_class: whether each image counts with every class as its label, summed.
    """

    delta: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    batch_size: int | None
    each: Callable[..., tf.Tensor]
    every_class: bool = False

    @property
    def group(self) -> int:
        """Images that are run forward and backward together, a multiple of the batch size."""
        if self.batch_size is None:
            return _GROUP
        return self.batch_size * max(1, min(10, _GROUP // self.batch_size))

    def of_images(self, layers: networks.Layers) -> networks.Layers:
        """Returns `each` of the inputs or deltas of single images."""
        return networks.Layers(*[self.each(layer) for layer in layers])


_FISHER = {
    "sampled": _Measure(_sampled_delta, None, tf.square),
    "exact": _Measure(_expectation_delta, None, tf.square, every_class=True),
    "labels": _Measure(_label_delta, None, tf.square),
}


def _totals(
    network: networks.MLP,
    task: data.Task,
    weights: np.ndarray,
    measure: _Measure,
    order: np.ndarray | None,
    numbers: tf.Tensor | None = None,
    dropout_seed: Sequence[int] | None = None,
) -> list[tf.Tensor]:
    """Returns the sums over all images or batches of a measure, for all six tensors.

    The weights and dropout's masks belong to places in the order, the numbers to images.
    """
    count = task.examples
    if order is None:
        order = np.arange(count)
    elif not np.array_equal(np.sort(order), np.arange(count)):
        raise ValueError(f"the order is no permutation of {count} images")
    groups = -(-count // measure.group)
    dropout = networks.Dropout() if dropout_seed is None else network.dropout
    seed = streams.stateless_seed(*(dropout_seed or ()), streams.MEASURING)
    random_words = dropout.draw(seed, groups, measure.group, network.hidden)
    return _compiled(measure, dropout)(
        [p.value() for p in network.parameters(network.head_of(task.number))],
        tf.convert_to_tensor(task.train.images),
        tf.constant(task.permutation, tf.int32),
        tf.constant(np.argsort(task.permutation), tf.int32),
        tf.constant(order, tf.int32),
        tf.constant(weights),
        tf.zeros([count]) if numbers is None else numbers,
        random_words,
    )


@functools.cache
def _compiled(measure: _Measure, dropout: networks.Dropout) -> Callable[..., list[tf.Tensor]]:
    """Returns the pass over all images as one compiled program."""
    group, size = measure.group, measure.batch_size

    @tf.function(jit_compile=True)
    def passes(
        parameters: list[tf.Tensor],
        images: tf.Tensor,
        permutation: tf.Tensor,
        inverse: tf.Tensor,
        order: tf.Tensor,
        weights: tf.Tensor,
        numbers: tf.Tensor,
        random_words: tf.Tensor,
    ) -> list[tf.Tensor]:
        # Permuting the rows of W1 instead of the pixels of every image gives the same products.
        parameters = [tf.gather(parameters[0], inverse), *parameters[1:]]
        hidden = (parameters[1].shape[0], parameters[3].shape[0])
        count = images.shape[0]
        totals = [tf.zeros_like(p) for p in parameters]
        for index in tf.range(random_words.shape[0]):
            places = index * group + tf.range(group)
            inside = tf.minimum(places, count - 1)
            weight = tf.where(places < count, tf.gather(weights, inside), 0.0)
            rows = tf.gather(order, inside)
            pixels = networks.to_pixels(tf.gather(images, rows))
            masks = dropout.masks(tf.gather(random_words, index), group, hidden)
            inputs, logits = networks.forward(parameters, pixels, masks)
            back = functools.partial(
                _deltas, measure, parameters, inputs, logits, weight, dropout.scales()
            )
            if size is None:
                if measure.every_class:
                    each_delta = _sum_over_classes(measure, back, tf.shape(logits))
                else:
                    each_delta = measure.of_images(back(tf.gather(numbers, rows)))
                sums = networks.gradients(measure.of_images(inputs), each_delta)
                totals = [total + new for total, new in zip(totals, sums, strict=True)]
            else:
                deltas = back(tf.gather(numbers, rows))
                for first in range(0, group, size):
                    batch = slice(first, first + size)
                    sums = networks.gradients(
                        networks.Layers(*[layer[batch] for layer in inputs]),
                        networks.Layers(*[layer[batch] for layer in deltas]),
                    )
                    totals = [
                        total + measure.each(gradient, parameter)
                        for total, gradient, parameter in zip(totals, sums, parameters, strict=True)
                    ]
        return [tf.gather(totals[0], permutation), *totals[1:]]

    return passes


def _deltas(
    measure: _Measure,
    parameters: Sequence[tf.Tensor],
    inputs: networks.Layers,
    logits: tf.Tensor,
    weight: tf.Tensor,
    scales: tuple[float, float],
    numbers: tf.Tensor,
) -> networks.Layers:
    """Returns the deltas of every layer, times each image's weight."""
    delta = measure.delta(logits, numbers) * weight[:, None]
    return networks.backward(parameters, inputs, delta, scales)


def _sum_over_classes(
    measure: _Measure, back: Callable[[tf.Tensor], networks.Layers], shape: tf.Tensor
) -> networks.Layers:
    """Returns Σ_k `each` of every layer's deltas, where class k is the label of every image.

    Summed here, one product per weight is enough: products are what costs. The loop is one of the
    compiled program, whose size so does not grow with the number of classes.

    Args:
        measure: of single images.
        back: labels [B] -> the deltas of every layer.
        shape: of the logits, [B, K].
    """
    images, classes = shape[0], shape[1]
    sums = measure.of_images(back(tf.zeros([images], tf.int32)))
    for label in tf.range(1, classes):
        new = measure.of_images(back(tf.fill([images], label)))
        sums = networks.Layers(*[total + layer for total, layer in zip(sums, new, strict=True)])
    return sums


def _weights(count: int, batch_size: int, used: str) -> np.ndarray:
    """Returns 1 for every image that is used, 0 for the others, float32 [N]."""
    _check(used, USED)
    place = np.arange(count) % batch_size
    if used == "first":
        return (place == 0).astype(np.float32)
    weights = np.ones(count, np.float32)
    if used == "all-but-last":
        weights[place == batch_size - 1] = 0
    return weights


def _select(
    network: networks.MLP,
    task: data.Task,
    parameters: Sequence[tf.Variable] | None,
    values: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """Returns the values of the wanted parameters, in their order."""
    head = network.head_of(task.number)
    by_parameter = {
        parameter.ref(): value
        for parameter, value in zip(network.parameters(head), values, strict=True)
    }
    wanted = network.shared if parameters is None else parameters
    if any(parameter.ref() not in by_parameter for parameter in wanted):
        raise ValueError(f"a parameter does not belong to the output of head {head}")
    return [by_parameter[parameter.ref()] for parameter in wanted]


def _check(value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
