"""Slow, obvious forms of what `common` computes fast: NumPy float64, one image at a time.

And the tiny data that they can cope with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from common import data

PIXELS, HIDDEN, CLASSES = 12, (7, 5), 3
TRAIN, BATCH = 23, 5  # an epoch has 5 steps, a pass 4.6

Factors = tuple[np.ndarray | None, np.ndarray | None]


def tiny_tasks(count: int, train: int = TRAIN, seed: int = 0) -> list[data.Task]:
    """Returns tasks of 12 pixels and 3 classes that a tiny network learns in a few steps."""
    rng = np.random.default_rng(seed)
    prototypes = rng.integers(0, 220, (CLASSES, PIXELS))
    splits = []
    for images in (train, 31, 60):
        labels = rng.permutation(np.arange(images) % CLASSES).astype(np.uint8)
        noise = rng.normal(0, 25, (images, PIXELS))
        pixels = np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8)
        splits.append(data.Split(pixels, labels))
    dataset = data.Dataset(*splits, classes=CLASSES, pixels=PIXELS, checksum="tiny")
    return data.permuted_tasks(dataset.convert(tf.constant), count)


def pixels_of(task: data.Task) -> np.ndarray:
    """Returns the training images of a task as the network sees them: permuted, 0-1, float64."""
    return task.train.images.numpy()[:, task.permutation] / 255.0


def float64(tensors: Sequence[tf.Tensor]) -> list[np.ndarray]:
    """Returns tensors as NumPy float64."""
    return [tf.convert_to_tensor(tensor).numpy().astype(np.float64) for tensor in tensors]


def layers(
    parameters: Sequence[np.ndarray], x: np.ndarray, factors: Factors = (None, None)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns h1, h2 (each after dropout) and the logits of one image."""
    w1, b1, w2, b2, v, c = parameters
    h1 = np.maximum(x @ w1 + b1, 0) * (1 if factors[0] is None else factors[0])
    h2 = np.maximum(h1 @ w2 + b2, 0) * (1 if factors[1] is None else factors[1])
    return h1, h2, h2 @ v + c


def image_gradients(
    parameters: Sequence[np.ndarray],
    x: np.ndarray,
    delta: np.ndarray,
    factors: Factors = (None, None),
    delta_h2: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Returns one image's gradient of all six tensors by the chain rule.

    Args:
        parameters: W1, b1, W2, b2, V, c.
        x: [P].
        delta: derivative with respect to the logits [K].
        factors: of dropout on h1, h2.
        delta_h2: a further derivative with respect to h2 after dropout.
    """
    w1, b1, w2, b2, v, _ = parameters
    h1, h2, _ = layers(parameters, x, factors)
    d_h2 = v @ delta + (0 if delta_h2 is None else delta_h2)
    d_a2 = d_h2 * (1 if factors[1] is None else factors[1]) * (h1 @ w2 + b2 > 0)
    d_h1 = w2 @ d_a2
    d_a1 = d_h1 * (1 if factors[0] is None else factors[0]) * (x @ w1 + b1 > 0)
    return [np.outer(x, d_a1), d_a1, np.outer(h1, d_a2), d_a2, np.outer(h2, delta), delta]


# Functions of one image's logits, and their derivatives by way of ∂p_j/∂z_k = p_j (δ_jk − p_k).


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - z.max() - np.log(np.exp(z - z.max()).sum())


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(z))


def _jacobian(p: np.ndarray) -> np.ndarray:
    return np.diag(p) - np.outer(p, p)


def entropy(z: np.ndarray) -> float:
    return float(-np.sum(softmax(z) * log_softmax(z)))


def entropy_delta(z: np.ndarray) -> np.ndarray:
    return -_jacobian(softmax(z)) @ (log_softmax(z) + 1)


def log_likelihood(z: np.ndarray, y: int) -> float:
    return float(log_softmax(z)[y])


def log_likelihood_delta(z: np.ndarray, y: int) -> np.ndarray:
    return np.eye(len(z))[y] - softmax(z)


def expectation_deltas(z: np.ndarray) -> list[np.ndarray]:
    """Returns √p_k ∂ log p_k/∂z of every class k: squares of these sum to an expectation over k."""
    return [np.sqrt(p) * log_likelihood_delta(z, k) for k, p in enumerate(softmax(z))]


def half_norm_of_p(z: np.ndarray) -> float:
    return float(np.sum(softmax(z) ** 2) / 2)


def half_norm_of_p_delta(z: np.ndarray) -> np.ndarray:
    return _jacobian(softmax(z)) @ softmax(z)


def norm_of_z(z: np.ndarray) -> float:
    return float(np.sum(z**2))


def norm_of_z_delta(z: np.ndarray) -> np.ndarray:
    return 2 * z
