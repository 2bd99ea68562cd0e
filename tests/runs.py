"""Scripts run on data so small that it takes no time once their loops are compiled."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from common import data, schedule
from common.consolidation import Consolidation
from common.network import MLP
from harness import run_files
from harness.progress import Progress
from tests import oracles
from tests.oracles import CLASSES, HIDDEN, PIXELS, SEED

import numpy as np
import pytest

TRAIN, BATCH = 1013, 52  # more than one of the importances' batches of 1,000; 20 steps an epoch
EPOCH = TRAIN // BATCH + 1  # steps
TASKS = oracles.tiny_tasks(3, TRAIN)

TINY = {
    "hidden": HIDDEN,
    "epochs": 2,
    "steps": None,
    "batch_size": BATCH,
    "learning_rate": 0.3,
    "lr_decay": 0.7,
    "lr_decay_epochs": 0.7,
    "dropout": 0.5,
    "dropout_layers": "both",
    "init": "truncated-normal",
    "prune_percent": 20,
    "retrain_epochs": 1,
}


@dataclasses.dataclass
class Run:
    """What a run left.

    Attributes:
        matrix: R.
        net: the network.
        progress: accuracies, details, arrays.
        consolidated: θ and Ω at the end of each task, where there is a penalty.
        penalty: on the parameters, likewise.
        epochs: how many were trained.
    """

    matrix: np.ndarray
    net: MLP
    progress: Progress
    consolidated: list[tuple[list[np.ndarray], list[np.ndarray]]]
    penalty: Consolidation | None
    epochs: int

    @property
    def learned(self) -> list[Any]:
        """All tensors that training left: the parameters, each task's θ and Ω, the arrays."""
        consolidated = [
            tensor for pair in self.consolidated for tensors in pair for tensor in tensors
        ]
        return [*self.net.variables, *consolidated, *self.progress.arrays.values()]


def enlarge(net: MLP) -> MLP:
    """Returns a network with larger weights; so few units would learn nothing with theirs."""
    for weights in [net.trunk[0], net.trunk[2], *(v for v, _ in net.heads)]:
        weights.assign(4 * weights)
    return net


def initial(heads: int = 3, classes: int = CLASSES) -> MLP:
    """Returns the network with which `run` starts."""
    return enlarge(MLP(HIDDEN, heads, classes, PIXELS, SEED))


def settings_of(script: str, **changes: Any) -> Any:
    """Returns a script's settings: of `TINY` those that it has, and `changes`."""
    cls = importlib.import_module(script).Settings
    known = {field.name for field in dataclasses.fields(cls)}
    return cls(**{**{k: v for k, v in TINY.items() if k in known}, **changes})


def run(
    script: str,
    tasks: Sequence[data.Task] = TASKS,
    strength: float | None = None,
    files: run_files.RunFiles | None = None,
    watch: Callable[[list[MLP], int], None] | None = None,
    **changes: Any,
) -> Run:
    """Runs a script.

    Args:
        script: its name.
        tasks: to be learned.
        strength: λ, where the script has one.
        files: with the checkpoint.
        watch: is called after each epoch with the networks and the number of epochs so far.
        **changes: of the settings.
    """
    settings = settings_of(script, **changes)
    nets: list[MLP] = []
    consolidated, penalties = [], []
    make, consolidate = MLP.__init__, Consolidation.consolidate

    def note_network(self, *arguments, **keywords):
        make(self, *arguments, **keywords)
        nets.append(enlarge(self))

    def note_importance(self, importance):
        head = nets[0].head_of(len(consolidated))
        consolidated.append(
            (oracles.float64(nets[0].parameters(head)), oracles.float64(importance))
        )
        penalties.append(self)
        consolidate(self, importance)

    class Watched(Progress):
        done = 0

        def epoch_done(self, loss: float) -> None:
            super().epoch_done(loss)
            self.done += 1
            if watch:
                watch(nets, self.done)

    progress = Watched(files)
    more = {} if strength is None or not hasattr(settings, "strength") else {"strength": strength}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MLP, "__init__", note_network)
        patch.setattr(Consolidation, "consolidate", note_importance)
        function = importlib.import_module(script).run
        matrix = function(settings, tasks, **more, seed=SEED, progress=progress)
    penalty = penalties[0] if penalties else None
    return Run(matrix, nets[0], progress, consolidated, penalty, progress.done)


def in_stream_order(task: data.Task, steps: int) -> np.ndarray:
    """Returns the images in the order of the pass in which the last of the steps ends."""
    running = (steps * BATCH - 1) // TRAIN
    stream = schedule.batches(SEED, task.number, TRAIN, BATCH, 0, (running + 2) * EPOCH)
    return stream.ravel()[running * TRAIN : (running + 1) * TRAIN]


def batches_of(task: data.Task, steps: int, size: int, used: str = "all") -> list[np.ndarray]:
    """Returns the numbers of the images that a measure uses of each batch, after so many steps."""
    return oracles.in_batches(in_stream_order(task, steps), size, used)


def sampled_fisher(
    theta: oracles.Theta,
    task: data.Task,
    key: Sequence[int],
    batches: Sequence[np.ndarray],
) -> list[np.ndarray]:
    """Returns the Fisher importance of the images in some batches, with labels drawn from a key."""
    pixels, numbers = oracles.pixels_of(task), np.concatenate(batches)
    labels = oracles.drawn_labels(theta, pixels, *key)
    return oracles.fisher_importance(theta, pixels[numbers], labels[numbers])


def all_defects(script: str) -> dict[str, Any]:
    """Returns the settings that switch on every defect of the release."""
    defects = importlib.import_module(script).Settings.DEFECTS
    update = {"update": "explicit"} if "D16" in defects else {}
    return {"as_released": defects, **update}
