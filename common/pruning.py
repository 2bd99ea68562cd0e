"""Neural pruning: which weights a task gives up, and when.

What is pruned is decided by pure functions on NumPy arrays; `Masks` holds the state of a run.

Masks are float32, 1 keep and train, 0 pruned, one array per parameter tensor.
"""

from __future__ import annotations

import fractions
import math
from collections.abc import Sequence

from common import network as networks

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Array = npt.NDArray[np.float32]
Boolean = npt.NDArray[np.bool_]


def pruning_schedule(
    tasks: int, initial: int = 50, decay: float = 0.8, step: int = 10
) -> list[list[int]]:
    """Returns the percents q of every task's pruning rounds.

    Task t has the target P_0 = initial, P_t = ⌊decay · P_{t−1}⌋, and the rounds step, 2·step, …
    up to P_t rounded up to a multiple of step (never above 100). The last task of several is not
    pruned; a task alone is pruned like a first one. A target of 0 has no rounds.

    Args:
        tasks: T ≥ 1.
        initial: P_0, percent.
        decay: of the target from task to task.
        step: percent from round to round.
    """
    schedule = []
    target = initial
    for task in range(tasks):
        last = task == tasks - 1 and tasks > 1
        highest = 0 if last else math.ceil(target / step) * step
        schedule.append([min(percent, 100) for percent in range(step, highest + 1, step)])
        target = math.floor(fractions.Fraction(str(decay)) * target)  # decay as it is written
    return schedule


def rank_masks(
    importance: Sequence[Array],
    percent: float,
    candidates: Sequence[Boolean] | None = None,
    masks: Sequence[Array] | None = None,
) -> list[Array]:
    """Prunes the `percent` % least important candidates of each tensor.

    Exactly ⌊percent/100 · |C|⌋ entries of each tensor get 0. What `masks` has pruned already ranks
    lowest, so that rounds of growing percent are nested; ties go by flat index, lower first.

    Args:
        importance: absolute importance, one array per tensor.
        percent: share of the candidates to prune, 0 to 100.
        candidates: True where an entry may be pruned; None for everywhere.
        masks: this task's masks so far; None for all 1.

    Returns:
        The new masks, float32, 1 outside the candidates.
    """
    result = []
    for index, values in enumerate(importance):
        values = np.asarray(values)
        mask = np.ones(values.size, np.float32)
        chosen = (
            np.arange(values.size)
            if candidates is None
            else np.flatnonzero(np.asarray(candidates[index]))
        )
        kept = np.ones(chosen.size) if masks is None else np.asarray(masks[index]).ravel()[chosen]
        # lexsort is stable and sorts by its last key first: pruned before kept, then by value.
        order = np.lexsort((values.ravel()[chosen], kept))
        mask[chosen[order[: int(percent * chosen.size // 100)]]] = 0
        result.append(mask.reshape(values.shape))
    return result


def released_first_masks(omega: Sequence[Array], percent: float) -> list[Array]:
    """Masks of a first task as released (D15): 0 where Ω is 0 or below its percentile.

    Args:
        omega: importance, one array per tensor: clipped Ω ≥ 0, or signed as in the study of its
            distribution.
        percent: q of `numpy.percentile` (linear interpolation) over the whole tensor.
    """
    masks = []
    for values in omega:
        values = np.asarray(values)
        pruned = (values == 0) | (values < np.percentile(values, percent))
        masks.append((~pruned).astype(np.float32))
    return masks


def released_later_masks(
    previous_masks: Sequence[Array], omega: Sequence[Array], percent: float
) -> list[Array]:
    """Masks of a later task as released (D15): 0 where C and Ω ≤ the percentile of Ω over C.

    Args:
        previous_masks: the previous task's final masks; C is where they are 0.
        omega: clipped importance Ω ≥ 0, one array per tensor.
        percent: q of `numpy.percentile` over C. Where C is empty nothing is pruned.
    """
    masks = []
    for previous, values in zip(previous_masks, omega, strict=True):
        values = np.asarray(values)
        candidates = np.asarray(previous) == 0
        mask = np.ones(values.shape, np.float32)
        if candidates.any():
            limit = np.percentile(values[candidates], percent)
            mask[candidates & (values <= limit)] = 0
        masks.append(mask)
    return masks


def sparsity(masks: Sequence[Array]) -> dict[str, float]:
    """Returns the share of zeros of each tensor (W1, b1, ...), and of all entries as "overall"."""
    zeros = [int(np.count_nonzero(np.asarray(mask) == 0)) for mask in masks]
    sizes = [int(np.asarray(mask).size) for mask in masks]
    shares = {
        name: zero / size for name, zero, size in zip(networks.NAMES, zeros, sizes, strict=False)
    }
    return {"overall": sum(zeros) / sum(sizes), **shares}


class Masks:
    """The masks of a run: those of the present task and the final ones of the task before.

    Attributes:
        now: variables, one per parameter, all 1 when a task begins.
        previous: likewise, all 0 in the first task: there every weight may be pruned.
    """

    def __init__(self, parameters: Sequence[tf.Variable]) -> None:
        """Prunes nothing yet.

        Args:
            parameters: the variables that are masked.
        """
        self._parameters = list(parameters)
        self.now = [tf.Variable(tf.ones_like(p)) for p in parameters]
        self.previous = [tf.Variable(tf.zeros_like(p)) for p in parameters]

    def candidates(self) -> list[Boolean]:
        """Returns where this task may prune: where the task before did."""
        return [mask.numpy() == 0 for mask in self.previous]

    def lowest(self, importance: Sequence[Array], percent: float) -> list[Array]:
        """Returns the masks of a round: `rank_masks` of what this task may prune, and has pruned.

        Args:
            importance: absolute importance, one array per tensor.
            percent: q of the round.
        """
        return rank_masks(importance, percent, self.candidates(), self.now)

    def as_released(self, task: int, omega: Sequence[Array], percent: float) -> list[Array]:
        """Returns the masks of a round from clipped Ω, as released (D15).

        Args:
            task: number of the present task.
            omega: clipped importance Ω ≥ 0, one array per tensor.
            percent: q of the round.
        """
        if task == 0:
            return released_first_masks(omega, percent)
        return released_later_masks(self.previous, omega, percent)

    def prune(self, masks: Sequence[Array]) -> None:
        """Takes new masks and sets the pruned weights to 0."""
        for parameter, mask, new in zip(self._parameters, self.now, masks, strict=True):
            mask.assign(new)
            parameter.assign(parameter * mask)

    def free(self) -> None:
        """Ends a task: its masks become the previous ones, and every weight is free again."""
        for mask, previous in zip(self.now, self.previous, strict=True):
            previous.assign(mask)
            mask.assign(tf.ones_like(mask))
