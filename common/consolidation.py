"""Synaptic consolidation: hold every parameter near its anchor, in proportion to its importance.

One quadratic penalty serves every method; methods differ in the importance that they feed to it.
Equations are those of docs/method.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common import metrics
from common import network as networks

import numpy as np
import tensorflow as tf

MERGES = ("sum", "max", "quadratics", "latest")
UPDATES = ("proximal", "explicit")


class Diverged(ArithmeticError):
    """Loss, parameters or importance are no longer finite."""


def consolidated_step(
    parameter: tf.Tensor,
    gradient: tf.Tensor,
    learning_rate: tf.Tensor,
    curvature: tf.Tensor | None = None,
    anchor: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    update: str = "proximal",
) -> tf.Tensor:
    """Returns θ after one step of consolidated, masked SGD (equation 3).

    With h the penalty's curvature, proximal, stable for every h ≥ 0 (forward-backward splitting):

        θ ← (θ − lr·g + lr·h·θ*) / (1 + lr·h)

    Explicit, unstable where lr·h > 2: θ ← θ − lr·(g + h·(θ − θ*)). Where the mask is 0, θ stays as
    it is. With h = 0 both are plain SGD, bit for bit. Where lr·h overflows float32, θ becomes NaN,
    which ends a run as `Diverged`.

    Args:
        parameter: θ, any shape; so are the others.
        gradient: g of the loss without the penalty.
        learning_rate: lr, a scalar.
        curvature: h = 2λΩ for the penalty λ Σ Ω(θ − θ*)², λΩ where it has a ½; None for no penalty.
        anchor: θ*.
        mask: 1 train, 0 pruned; None for all 1.
        update: "proximal" or "explicit".
    """
    if curvature is None:
        stepped = parameter - learning_rate * gradient
    elif update == "proximal":
        weight = learning_rate * curvature
        stepped = (parameter - learning_rate * gradient + weight * anchor) / (1.0 + weight)
    else:
        stepped = parameter - learning_rate * (gradient + curvature * (parameter - anchor))
    return stepped if mask is None else tf.where(mask > 0, stepped, parameter)


class Consolidation:
    """The penalty strength · Σ Ω(θ − θ*)², or half of it; Ω is 0 before `consolidate`.

    Attributes:
        parameters: the variables θ that are held.
        omega: importance Ω ≥ 0 (with D8 also below), one variable of the same shape for each.
        anchor: θ*, likewise.
        update: how a step takes the penalty, "proximal" or "explicit".
    """

    def __init__(
        self,
        parameters: Sequence[tf.Variable],
        strength: float,
        merge: str = "sum",
        half: bool = False,
        update: str = "proximal",
        decay: float = 1.0,
    ) -> None:
        """Starts with Ω = 0.

        Args:
            parameters: the variables to hold.
            strength: λ ≥ 0.
            merge: how `consolidate` combines tasks: "sum" or "max" of the importances with the
                newest anchor; "quadratics", one quadratic per task, each with its own anchor;
                "latest", the newest task's importance alone.
            half: whether the penalty has a factor ½.
            update: of `consolidated_step`.
            decay: γ in (0, 1], by which `consolidate` multiplies Ω before it merges. With "sum",
                Ω ← γΩ + F: online EWC (Schwarz et al. 2018, whose penalty has γ as a factor once
                more; here λ contains it). "latest" keeps no earlier Ω, and takes 1 alone.

        Raises:
            ValueError: unknown `merge` or `update`, or a `decay` that is out of range or that
                `merge` does not take.
        """
        if merge not in MERGES:
            raise ValueError(f"merge {merge!r} is none of {', '.join(MERGES)}")
        if update not in UPDATES:
            raise ValueError(f"update {update!r} is none of {', '.join(UPDATES)}")
        if not 0 < decay <= 1:
            raise ValueError(f"decay {decay} is not in (0, 1]")
        if decay != 1 and merge == "latest":
            raise ValueError(f"merge {merge!r} takes no decay")
        self.update = update
        self.parameters = list(parameters)
        self.omega = [tf.Variable(tf.zeros_like(p)) for p in parameters]
        self.anchor = networks.copies(parameters)
        self._coefficient = strength if half else 2.0 * strength
        self._merge = merge
        self._decay = decay

    def curvature(self) -> list[tf.Tensor]:
        """Returns the penalty's second derivative 2λΩ (λΩ with ½), one tensor per parameter."""
        return [self._coefficient * omega for omega in self.omega]

    def consolidate(self, importance: Sequence[tf.Tensor]) -> None:
        """Merges the importance of the task just learned into Ω, and moves the anchor to θ.

        The sum of the quadratics F_k(θ − θ*_k)² of all tasks is, but for a constant, one quadratic
        with Ω = Σ F_k and anchor Σ F_k θ*_k / Σ F_k (the present value where Σ F_k is 0), so that
        memory does not grow with the number of tasks. With a decay, each later task multiplies F_k
        by γ.

        Args:
            importance: one array per parameter.

        Raises:
            Diverged: an importance, or its merged value, is not finite.
        """
        for parameter, omega, anchor, new in zip(
            self.parameters, self.omega, self.anchor, importance, strict=True
        ):
            new = tf.convert_to_tensor(new)
            target = parameter.value()
            old = self._decay * omega  # exact for 1
            if self._merge == "max":
                merged = tf.maximum(old, new)
            elif self._merge == "latest":
                merged = new
            else:
                merged = old + new
            if self._merge == "quadratics":
                mean = tf.math.divide_no_nan(old * anchor + new * target, merged)
                target = tf.where(merged > 0, mean, target)
            if not bool(tf.reduce_all(tf.math.is_finite(merged))):
                raise Diverged("the importance is not finite")
            omega.assign(merged)
            anchor.assign(target)

    def histograms(self) -> dict[str, dict[str, Any]]:
        """Returns `metrics.histogram` of Ω: of "all" entries, and of each tensor (W1, b1, ...)."""
        arrays = [omega.numpy() for omega in self.omega]
        together = np.concatenate([array.ravel() for array in arrays])
        named = {"all": together, **dict(zip(networks.NAMES, arrays, strict=False))}
        return {name: metrics.histogram(array) for name, array in named.items()}
