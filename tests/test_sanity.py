"""On real MNIST, on equal terms: methods forget less than fine-tuning, and joint is above them.

A small form of the comparison: four tasks of 20,000 images, two epochs each. Without dropout: with
it, so short a training forgets next to nothing even unprotected (half a point on validation data).

When this was written, fine-tuning forgot 1.84 points, the methods 1.2 to 1.5. EWC is not among
them: its margin is lost in the noise of the one seed.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from common import data, metrics
from harness.progress import Progress

import numpy as np
import pytest
import tensorflow as tf

pytestmark = pytest.mark.slow

EQUAL_TERMS = {
    "tasks": 4,
    "hidden": (256, 128),
    "epochs": 2,
    "batch_size": 256,
    "learning_rate": 0.1,
    "lr_decay": 0.9,
    "lr_decay_epochs": 10,
    "dropout": 0.0,
    "dropout_layers": "both",
    "init": "truncated-normal",
    "train_examples": 20_000,
}
# Around what validation data prefer; 0 is not among them.
GRIDS = {
    "anpyc_wo_np": (0.1, 1.0, 10.0),
    "mas": (1.0, 10.0, 100.0),
    "si": (1.0, 10.0, 100.0),
}


@functools.cache
def tasks() -> list[data.Task]:
    dataset = data.load_mnist().first(EQUAL_TERMS["train_examples"])
    return data.permuted_tasks(dataset.convert(tf.constant), EQUAL_TERMS["tasks"])


def train(name: str, strength: float | None = None, **changes: Any) -> Progress:
    """Returns the accuracies of a run of a script on equal terms."""
    module, progress = importlib.import_module(name), Progress()
    terms = {**EQUAL_TERMS, **changes}
    if hasattr(module.Settings, "steps"):
        terms["steps"] = None
    arguments = {} if strength is None else {"strength": strength}
    module.run(module.Settings(**terms), tasks(), **arguments, progress=progress)
    return progress


@functools.cache
def fine_tuned() -> list[list[float]]:
    return train("finetune").accuracy


@functools.cache
def best(name: str) -> tuple[float, list[list[float]]]:
    """Returns the λ that validation chooses, and its test accuracies."""
    runs = {strength: train(name, strength, head="multi") for strength in GRIDS[name]}
    validation = {
        strength: np.mean(progress.validation_accuracy[-1]) for strength, progress in runs.items()
    }
    print(name, {s: round(100 * float(v), 2) for s, v in validation.items()})
    chosen = max(validation, key=validation.__getitem__)
    return chosen, runs[chosen].accuracy


@pytest.mark.parametrize("name", list(GRIDS))
def test_method_forgets_less_than_fine_tuning(name: str) -> None:
    strength, accuracy = best(name)
    plain = fine_tuned()
    print(name, strength, metrics.summary(accuracy), "finetune", metrics.summary(plain))
    assert metrics.forgetting(accuracy) < metrics.forgetting(plain)


def test_joint_training_is_above_all_methods() -> None:
    (row,) = train("joint", head="multi").accuracy
    print("joint", row)
    for name in GRIDS:
        assert np.mean(row) > metrics.average_accuracy(best(name)[1]), name
