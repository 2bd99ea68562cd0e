"""EWC: elastic weight consolidation (Kirkpatrick et al. 2017).

After each task the diagonal F of its Fisher information is measured (equation 4), and a quadratic
with its own anchor is added to the penalty, (λ/2) Σ_k F_k (θ − θ*_k)² (equation 5). With --gamma
there is one quadratic, Ω ← γ Ω + F around the newest weights (online EWC, Schwarz et al. 2018).

    python ewc.py

docs/method.md has the equations, README.md the time to expect, results/README.md the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from common import consolidation, data, importance, network, released, schedule, training
from harness import experiment, options
from harness.progress import Progress

import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings(options.Settings):
    """The released settings."""

    tasks: int = 10
    hidden: tuple[int, int] = (512, 256)
    head: str = "single"
    epochs: int | None = None
    steps: int | None = 10_000
    batch_size: int = 256
    learning_rate: float = 0.001
    lr_decay: float = 1
    lr_decay_epochs: float = 10
    dropout: float = 0.5
    dropout_layers: str = "h2"
    init: str = "truncated-normal"
    evaluate_every: int | None = None
    evaluate_steps: int | None = None
    update: str = "proximal"
    strength: tuple[float, ...] = options.strength((10,), released={"D4": (15,)})
    fisher: str = options.option(
        "sampled",
        "labels of the Fisher information: drawn from the output, all in expectation, the data's",
        choices=("sampled", "exact", "labels"),
    )
    gamma: float | None = options.option(
        None,
        "online EWC: factor on the importance of earlier tasks, with the newest anchor for all",
        check=lambda value: 0 < value <= 1,
        allowed="a number above 0, up to 1",
    )

    DEFECTS: ClassVar = ("D3", "D4", "D5", "D14", "D16")

    def __post_init__(self) -> None:
        """Refuses settings that contradict a defect."""
        super().__post_init__()
        if self.released("D4") and self.fisher != "sampled":
            raise options.UsageError(f"--as-released D4 contradicts --fisher {self.fisher}")
        if self.released("D5") and self.gamma is not None:
            raise options.UsageError("--as-released D5 contradicts --gamma")


@experiment.method
def run(
    settings: Settings, tasks: Sequence[data.Task], strength: float, seed: int, progress: Progress
) -> np.ndarray:
    """Learns the tasks one after another."""
    net = network.for_tasks(settings, tasks, seed)
    merge = "quadratics" if settings.gamma is None else "sum"
    penalty = consolidation.Consolidation(
        net.shared,
        strength,
        merge="latest" if settings.released("D5") else merge,
        half=True,
        update=settings.update,
        decay=1.0 if settings.gamma is None else settings.gamma,
    )
    record_at = released.last_reading if settings.released("D14") else None
    trainer = training.Trainer(net, settings, progress, seed, record_at=record_at)
    steps = schedule.budget(settings, tasks)  # of each task
    progress.start(sum(steps), network=net.variables, omega=penalty.omega, anchor=penalty.anchor)
    for task in progress.tasks(tasks):
        trainer.train(task, steps[task.number], penalty)  # equations 3 and 5
        trainer.record()
        fisher = importance.fisher(  # equation 4
            net,
            task,
            (seed, task.number),
            settings.fisher,
            order=trainer.order(task),
            used=released.used(settings),  # D3, D4
        )
        penalty.consolidate(fisher)
    progress.details["omega"] = penalty.histograms()
    return progress.matrix()


if __name__ == "__main__":
    experiment.main(Settings, run, __file__, __doc__)
