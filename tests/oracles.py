"""Slow, obvious forms of what `common` computes fast: NumPy float64, one image at a time.

And the tiny data that they can cope with. θ is the six tensors W1, b1, W2, b2, V, c; pixels are
images as the network sees them, permuted, 0-1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from common import data, network, schedule, streams, training

import numpy as np
import pytest
import tensorflow as tf

SEED = 5  # of runs
PIXELS, HIDDEN, CLASSES = 12, (7, 5), 3
TRAIN, BATCH = 23, 5  # an epoch has 5 steps, a pass 4.6

Theta = Sequence[np.ndarray]
Factors = tuple[np.ndarray | None, np.ndarray | None]  # of dropout on h1, h2


def tiny_tasks(count: int, train: int = TRAIN, seed: int = 0, test: int = 60) -> list[data.Task]:
    """Returns tasks of 12 pixels and 3 classes that a tiny network learns in a few steps.

    Args:
        count: of the tasks.
        train: training images.
        seed: of the images.
        test: images, and as many of validation: one program computes the accuracy on both.
    """
    rng = np.random.default_rng(seed)
    prototypes = rng.integers(0, 220, (CLASSES, PIXELS))
    splits = []
    for images in (train, test, test):
        labels = rng.permutation(np.arange(images) % CLASSES).astype(np.uint8)
        noise = rng.normal(0, 25, (images, PIXELS))
        pixels = np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8)
        splits.append(data.Split(pixels, labels))
    dataset = data.Dataset(*splits, classes=CLASSES, pixels=PIXELS, checksum="tiny")
    return data.permuted_tasks(dataset.convert(tf.constant), count)


def pixels_of(task: data.Task) -> np.ndarray:
    """Returns the training images of a task."""
    return task.train.images.numpy()[:, task.permutation] / 255.0


def arrays(tensors: Iterable[Any]) -> list[np.ndarray]:
    """Returns tensors, variables or arrays as NumPy arrays, as they are now."""
    return [tf.convert_to_tensor(tensor).numpy() for tensor in tensors]


def float64(tensors: Iterable[Any]) -> list[np.ndarray]:
    """Returns the same in float64."""
    return [array.astype(np.float64) for array in arrays(tensors)]


# Comparing


def same_bits(left: Iterable[Any], right: Iterable[Any]) -> bool:
    """Returns whether tensors are the same bit for bit."""
    pairs = zip(arrays(left), arrays(right), strict=True)
    return all(one.tobytes() == other.tobytes() for one, other in pairs)


def assert_close(found: Iterable[Any], expected: Iterable[Any], rtol: float = 1e-3) -> None:
    """Asserts that tensors are equal but for rounding, and not just 0."""
    for one, other in zip(arrays(found), arrays(expected), strict=True):
        assert np.any(other != 0)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol / 100 * np.abs(other).max())


def finite_differences(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    """Returns the gradient of a function of an array."""
    gradient = np.zeros(at.shape)
    for place in np.ndindex(at.shape):
        step = np.zeros(at.shape)
        step[place] = 1e-5
        gradient[place] = (function(at + step) - function(at - step)) / 2e-5
    return gradient


# The network


def layers(
    theta: Theta, x: np.ndarray, factors: Factors = (None, None)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns h1, h2 (each after dropout) and the logits of one image."""
    w1, b1, w2, b2, v, c = theta
    h1 = np.maximum(x @ w1 + b1, 0) * (1 if factors[0] is None else factors[0])
    h2 = np.maximum(h1 @ w2 + b2, 0) * (1 if factors[1] is None else factors[1])
    return h1, h2, h2 @ v + c


def dropped_factors(monkeypatch: pytest.MonkeyPatch) -> list[list[Factors]]:
    """Returns a list to which every batch that is drawn from now on adds its images' factors."""
    draw, factors = network.Dropout.draw, []

    def draw_and_note(
        self: network.Dropout, seed: np.ndarray, steps: int, batch: int, hidden: tuple[int, int]
    ) -> tf.Tensor:
        words = draw(self, seed, steps, batch, hidden)
        for row in words:
            masks = [mask.numpy() for mask in self.masks(row, batch, hidden)]
            factors.append(list(zip(*masks, strict=True)))
        return words

    monkeypatch.setattr(network.Dropout, "draw", draw_and_note)
    return factors


def image_gradients(
    theta: Theta,
    x: np.ndarray,
    delta: np.ndarray,
    factors: Factors = (None, None),
    delta_h2: np.ndarray | float = 0.0,
) -> list[np.ndarray]:
    """Returns one image's gradient of all six tensors by the chain rule.

    Args:
        theta: θ.
        x: [P].
        delta: derivative with respect to the logits [K].
        factors: of dropout.
        delta_h2: a further derivative with respect to h2 after dropout.
    """
    w1, b1, w2, b2, v, _ = theta
    h1, h2, _ = layers(theta, x, factors)
    d_h2 = v @ delta + delta_h2
    d_a2 = d_h2 * (1 if factors[1] is None else factors[1]) * (h1 @ w2 + b2 > 0)
    d_h1 = w2 @ d_a2
    d_a1 = d_h1 * (1 if factors[0] is None else factors[0]) * (x @ w1 + b1 > 0)
    return [np.outer(x, d_a1), d_a1, np.outer(h1, d_a2), d_a2, np.outer(h2, delta), delta]


def accuracy(
    theta: Theta,
    split: data.Split,
    permutation: np.ndarray,
    first_class: int = 0,
    factors: Sequence[Factors] | None = None,
) -> float:
    """Returns the share of a split's images whose largest output is the right one."""
    right = 0
    for n, image in enumerate(split.images.numpy()):
        z = layers(theta, image[permutation] / 255.0, factors[n] if factors else (None, None))[2]
        right += int(np.argmax(z) == int(split.labels[n]) + first_class)
    return right / len(split.labels)


# Functions of one image's logits


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - z.max() - np.log(np.exp(z - z.max()).sum())


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(z))


def log_likelihood(z: np.ndarray, y: int) -> float:
    return float(log_softmax(z)[y])


def entropy(z: np.ndarray) -> float:
    return float(-np.sum(softmax(z) * log_softmax(z)))


MAS = {
    "probabilities": lambda z: float(np.sum(softmax(z) ** 2) / 2),
    "logits": lambda z: float(np.sum(z**2)),
}


# Importance


def in_batches(array: np.ndarray, size: int, used: str = "all") -> list[np.ndarray]:
    """Cuts an array into batches, and returns the part of each that is used."""
    # The release takes the first size − 1 of a batch: of a shorter one all.
    part = {"all": slice(None), "all-but-last": slice(size - 1), "first": slice(1)}[used]
    return [array[first : first + size][part] for first in range(0, len(array), size)]


def gradients(
    theta: Theta,
    pixels: np.ndarray,
    function: Callable[[np.ndarray, int], float],
    factors: Sequence[Factors] | None = None,
) -> list[list[np.ndarray]]:
    """Returns each image's own gradient of a function of its logits and its number."""
    each = []
    for n, x in enumerate(pixels):
        dropped = factors[n] if factors else (None, None)
        delta = finite_differences(lambda z, n=n: function(z, n), layers(theta, x, dropped)[2])
        each.append(image_gradients(theta, x, delta, dropped))
    return each


def batch_gradients(
    theta: Theta,
    batches: Sequence[np.ndarray],
    function: Callable[[np.ndarray], float],
    factors: Sequence[Factors] | None = None,
) -> list[list[np.ndarray]]:
    """Returns each batch's summed gradient of a function of the logits."""
    sums = []
    for pixels in batches:
        each = gradients(theta, pixels, lambda z, n: function(z), factors)
        sums.append([sum((one[k] for one in each), np.zeros_like(p)) for k, p in enumerate(theta)])
    return sums


def mean(function: Callable[[Any], Any], each: Sequence[Theta]) -> list[np.ndarray]:
    """Returns for each tensor the mean over images (or batches) of a function of it."""
    return [np.mean([function(one[k]) for one in each], axis=0) for k in range(len(each[0]))]


FORMS = {
    "released": lambda g, p: np.maximum(g * p + g**2 * p**2 / 2, 0),
    "absolute": lambda g, p: np.abs(g * p + g**2 * p**2 / 2),
    "signed": lambda g, p: g * p + g**2 * p**2 / 2,
    "taylor": lambda g, p: np.maximum(g**2 * p**2 / 2 - g * p, 0),
    "gradient": lambda g, p: np.abs(g),
    "square": lambda g, p: g**2,
    "square-weighted": lambda g, p: g**2 * p**2,
    "uniform": lambda g, p: np.ones_like(p),
}


def entropy_importance(
    theta: Theta,
    batches: Sequence[np.ndarray],
    form: str = "released",
    factors: Sequence[Factors] | None = None,
) -> list[np.ndarray]:
    """Returns the mean over batches of ω_B."""
    of_batches = [
        [FORMS[form](g, p) for g, p in zip(gradients, theta, strict=True)]
        for gradients in batch_gradients(theta, batches, entropy, factors)
    ]
    return mean(np.asarray, of_batches)


def drawn_labels(theta: Theta, pixels: np.ndarray, *key: int) -> np.ndarray:
    """Returns a label for each image, drawn from the model's own output."""
    seed = streams.stateless_seed(*key, streams.LABELS)
    noise = tf.random.stateless_uniform([len(pixels)], seed).numpy()
    cumulated = [np.cumsum(softmax(layers(theta, x)[2])) for x in pixels]
    drawn = [np.searchsorted(p, u, side="right") for p, u in zip(cumulated, noise, strict=True)]
    return np.minimum(drawn, len(theta[5]) - 1)


def fisher_importance(theta: Theta, pixels: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Returns the mean over images of the squared gradient of a label's log-likelihood."""
    return mean(np.square, gradients(theta, pixels, lambda z, n: log_likelihood(z, labels[n])))


def exact_fisher_importance(theta: Theta, pixels: np.ndarray) -> list[np.ndarray]:
    """Returns the same in expectation over the model's own output."""
    total = [np.zeros_like(p) for p in theta]
    for y in range(len(theta[5])):
        each = gradients(theta, pixels, lambda z, n, y=y: log_likelihood(z, y))
        for x, gradient in zip(pixels, each, strict=True):
            p = softmax(layers(theta, x)[2])[y]
            total = [t + p * g**2 / len(pixels) for t, g in zip(total, gradient, strict=True)]
    return total


def mas_importance(theta: Theta, pixels: np.ndarray, output: str) -> list[np.ndarray]:
    """Returns the mean over images of the sensitivity of ½‖p‖² or ‖z‖²."""
    return mean(np.abs, gradients(theta, pixels, lambda z, n: MAS[output](z)))


def mas_of_batches(theta: Theta, batches: Sequence[np.ndarray], output: str) -> list[np.ndarray]:
    """Returns the mean over batches of the sensitivity of the batch's sum."""
    return mean(np.abs, batch_gradients(theta, batches, MAS[output]))


# Training


@dataclasses.dataclass
class Training:
    """A run of training: holds what the compiled loop holds.

    Attributes:
        theta: θ, which `step` changes.
        curvature: of a penalty on the first parameters; none by default.
        anchor: of the penalty.
        masks: of the first parameters; none by default.
        path: the path integral of the first parameters; none by default.
        update: how a step takes the penalty.
        likelihood: whose negative is the loss, a function of an image's logits and label.
        losses: of each step, without the penalty and what `delta_h2` belongs to.
    """

    theta: list[np.ndarray]
    curvature: Sequence[np.ndarray] = ()
    anchor: Sequence[np.ndarray] = ()
    masks: Sequence[np.ndarray] = ()
    path: list[np.ndarray] = dataclasses.field(default_factory=list)
    update: str = "proximal"
    likelihood: Callable[[np.ndarray, int], float] = log_likelihood
    losses: list[float] = dataclasses.field(default_factory=list)

    def train(
        self,
        task: data.Task,
        steps: int,
        settings: training.Settings,
        factors: Sequence[Sequence[Factors]] | None = None,
        delta_h2: Callable[[int, int, np.ndarray], np.ndarray] | None = None,
        first: int = 0,
    ) -> None:
        """Takes steps of a task, with the learning rates of its first ones.

        Args:
            task: what to learn.
            steps: how many.
            settings: batch size, learning rate and its decay.
            factors: of dropout, for each step and image of the batch.
            delta_h2: a further derivative with respect to h2: (step, image, h2) -> [H2].
            first: where they begin in the task's stream.
        """
        pixels, labels = pixels_of(task), task.train.labels.numpy()
        order = schedule.batches(SEED, task.number, len(pixels), settings.batch_size, first, steps)
        for step, rows in enumerate(order):
            batch = [(pixels[row], labels[row]) for row in rows]
            rate = rate_of(step, settings, len(pixels))
            further = delta_h2 and (lambda n, h2, s=step, rows=rows: delta_h2(s, rows[n], h2))
            self.step(batch, rate, factors and factors[step], further)

    def step(
        self,
        batch: Sequence[tuple[np.ndarray, int]],
        rate: float,
        factors: Sequence[Factors] | None = None,
        delta_h2: Callable[[int, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        """Takes one step on a batch of (pixels, label); delta_h2 of the place in it and h2."""
        total, loss = [np.zeros_like(p) for p in self.theta], 0.0
        for n, (x, y) in enumerate(batch):
            dropped = factors[n] if factors else (None, None)
            _, h2, z = layers(self.theta, x, dropped)
            loss -= self.likelihood(z, y) / len(batch)
            delta = -finite_differences(lambda z, y=y: self.likelihood(z, y), z)
            further = delta_h2(n, h2) if delta_h2 else 0.0
            of_image = image_gradients(self.theta, x, delta, dropped, further)
            total = [t + g / len(batch) for t, g in zip(total, of_image, strict=True)]
        for k, g in enumerate(total):
            old = self.theta[k]
            new = old - rate * g
            if k < len(self.curvature) and self.update == "proximal":
                weight = rate * self.curvature[k]
                new = (new + weight * self.anchor[k]) / (1 + weight)
            elif k < len(self.curvature):
                new -= rate * self.curvature[k] * (old - self.anchor[k])
            if k < len(self.masks):
                new = np.where(self.masks[k] == 1, new, old)
            if k < len(self.path):
                self.path[k] -= (new - old) * g
            self.theta[k] = new
        self.losses.append(loss)


def rate_of(step: int, settings: training.Settings, examples: int) -> float:
    period = settings.lr_decay_epochs * examples / settings.batch_size
    return settings.learning_rate * settings.lr_decay ** (step // period)
