"""The consolidated step and the merging of importances."""

from __future__ import annotations

from common.consolidation import MERGES, Consolidation, Diverged, consolidated_step

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

UPDATES = pytest.mark.parametrize("update", ["proximal", "explicit"])

values = st.floats(-3, 3)
rates = st.floats(1e-3, 1)
curvatures = st.one_of(st.just(0.0), st.floats(1e-3, 1e4))


def draw(seed: int = 0, shape: tuple[int, ...] = (4, 5)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "parameter": rng.normal(size=shape),
        "gradient": rng.normal(size=shape),
        "curvature": rng.gamma(0.5, 2, shape) * rng.integers(0, 2, shape),
        "anchor": rng.normal(size=shape),
        "mask": rng.integers(0, 2, shape).astype(float),
    }


def step(update: str = "proximal", learning_rate: float = 0.1, **tensors) -> np.ndarray:
    """Returns what `consolidated_step` does in float64."""
    tensors = {
        name: None if value is None else tf.constant(value, tf.float64)
        for name, value in tensors.items()
    }
    rate = tf.constant(learning_rate, tf.float64)
    return consolidated_step(learning_rate=rate, update=update, **tensors).numpy()


# The step


@UPDATES
def test_masked_entries_stay_and_others_move_as_without_a_mask_bit_for_bit(update: str) -> None:
    tensors = draw()
    found, free = step(update, **tensors), step(update, **{**tensors, "mask": None})
    pruned = tensors["mask"] == 0
    np.testing.assert_array_equal(found[pruned], tensors["parameter"][pruned])
    np.testing.assert_array_equal(found[~pruned], free[~pruned])
    assert np.any(free[pruned] != tensors["parameter"][pruned])


@UPDATES
def test_without_a_penalty_the_step_is_plain_sgd_bit_for_bit(update: str) -> None:
    rng = np.random.default_rng(3)
    theta, g, anchor = rng.normal(size=(3, 1000)).astype(np.float32)
    plain = theta - np.float32(0.1) * g
    arguments = (tf.constant(theta), tf.constant(g), tf.constant(0.1))
    zero = tf.zeros(1000)
    for found in (
        consolidated_step(*arguments),
        consolidated_step(*arguments, zero, tf.constant(anchor), update=update),
        consolidated_step(*arguments, zero, tf.constant(anchor), tf.ones(1000), update),
    ):
        np.testing.assert_array_equal(found, plain)


@given(theta=values, g=values, anchor=values, rate=rates, curvature=curvatures)
@settings(max_examples=40)
def test_proximal_step_minimises_its_objective(theta, g, anchor, rate, curvature) -> None:
    # ‖θ − (θ0 − lr g)‖² / (2 lr) + λ Ω (θ − θ*)², with curvature = 2λΩ.
    def objective(x: float) -> float:
        return (x - (theta - rate * g)) ** 2 / (2 * rate) + curvature / 2 * (x - anchor) ** 2

    found = step("proximal", rate, parameter=theta, gradient=g, curvature=curvature, anchor=anchor)
    best = scipy.optimize.minimize_scalar(objective, bracket=(-1, 1), options={"xtol": 1e-10})
    assert float(found) == pytest.approx(best.x, rel=1e-5, abs=1e-6)


@UPDATES
@given(theta=values, anchor=values, rate=rates, curvature=curvatures)
@settings(max_examples=25)
def test_step_rests_where_gradient_and_pull_balance(update, theta, anchor, rate, curvature) -> None:
    g = -curvature * (theta - anchor)
    found = step(update, rate, parameter=theta, gradient=g, curvature=curvature, anchor=anchor)
    assert float(found) == pytest.approx(theta, rel=1e-9, abs=1e-9)


def test_both_updates_agree_to_first_order() -> None:
    tensors = {**draw(), "mask": None, "curvature": np.full((4, 5), 2.0)}
    errors = [
        np.abs(step("proximal", rate, **tensors) - step("explicit", rate, **tensors)).max()
        for rate in (4e-4, 2e-4, 1e-4)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.01)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("curvature", [25.0, 1e6, 1e30])  # the explicit step's limit is 2 / 0.1
def test_proximal_step_is_stable_for_every_pull_and_explicit_is_not(curvature: float) -> None:
    tensors = {**draw(), "mask": None, "curvature": np.full((4, 5), curvature)}
    start = tensors.pop("parameter")

    def distance_after_60_steps(update: str) -> float:
        theta = start
        for _ in range(60):
            theta = step(update, parameter=theta, **tensors)
        return np.abs(theta - tensors["anchor"]).max()

    rest = np.abs(tensors["gradient"]).max() / curvature
    assert distance_after_60_steps("proximal") <= 1.001 * rest + 1e-12
    assert not distance_after_60_steps("explicit") < 1e3


# Merging


def penalty_of(
    merge: str, tasks, strength: float = 1.5, half: bool = False, decay: float = 1.0
) -> tuple[Consolidation, tf.Variable]:
    """Returns what is left after tasks that ended at the given values with the given Ω."""
    theta = tf.Variable(tf.zeros([len(tasks[0][0])]))
    penalty = Consolidation([theta], strength, merge, half, decay=decay)
    for end, omega in tasks:
        theta.assign(end)
        penalty.consolidate([np.array(omega, np.float32)])
    return penalty, theta


TASKS = [([1.0, 2, 3], [0.5, 0, 4]), ([2.0, 4, 6], [1.5, 0, 1]), ([0.0, 1, 2], [1, 0, 2])]


@pytest.mark.parametrize(
    ("merge", "decay", "omega", "anchor"),
    [
        ("sum", 1.0, [3, 0, 7], [0, 1, 2]),
        ("sum", 0.75, [2.40625, 0, 5], [0, 1, 2]),
        ("max", 1.0, [1.5, 0, 4], [0, 1, 2]),
        ("max", 0.75, [1.125, 0, 2.25], [0, 1, 2]),
        ("latest", 1.0, [1, 0, 2], [0, 1, 2]),
        # No importance at all: the present value.
        ("quadratics", 1.0, [3, 0, 7], [3.5 / 3, 1, 22 / 7]),
    ],
)
def test_merges(merge: str, decay: float, omega: list[float], anchor: list[float]) -> None:
    penalty, _ = penalty_of(merge, TASKS, decay=decay)
    np.testing.assert_allclose(penalty.omega[0], omega, rtol=1e-6)
    np.testing.assert_allclose(penalty.anchor[0], anchor, rtol=1e-6)
    np.testing.assert_allclose(penalty.curvature()[0], 3.0 * np.array(omega), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        *(({"decay": decay}, "decay") for decay in (0.0, -0.5, 1.5, np.nan)),
        ({"merge": "latest", "decay": 0.9}, "latest"),
        ({"merge": "mean"}, "mean"),
        ({"update": "implicit"}, "implicit"),
    ],
)
def test_unknown_words_and_decays_out_of_range_are_refused(settings, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Consolidation([tf.Variable([1.0])], 1.0, **settings)


entry = st.tuples(values, st.one_of(st.just(0.0), st.floats(0.01, 10)))


@given(
    tasks=st.lists(st.tuples(entry, entry, entry), min_size=1, max_size=5),
    points=st.tuples(*[st.tuples(values, values, values)] * 2),
    half=st.booleans(),
    decay=st.sampled_from([1.0, 0.9, 0.25]),
)
@settings(max_examples=60)
def test_merged_quadratics_are_the_sum_of_each_tasks_own(
    tasks, points, half: bool, decay: float
) -> None:
    ends = [([end for end, _ in task], [omega for _, omega in task]) for task in tasks]
    strength = 0.7
    penalty, _ = penalty_of("quadratics", ends, strength, half, decay)

    def literal(theta: np.ndarray) -> float:
        each = [np.sum(np.array(omega) * (theta - end) ** 2) for end, omega in ends]
        decayed = [decay ** (len(each) - 1 - k) * one for k, one in enumerate(each)]
        return (strength / 2 if half else strength) * sum(decayed)

    def merged(theta: np.ndarray) -> float:
        curvature, anchor = (
            t[0].numpy().astype(float) for t in (penalty.curvature(), penalty.anchor)
        )
        return np.sum(curvature / 2 * (theta - anchor) ** 2)

    first, second = np.array(points)
    expected = literal(first) - literal(second)  # the constant drops out
    scale = 1 + literal(first) + literal(second)
    assert merged(first) - merged(second) == pytest.approx(expected, abs=1e-5 * scale)


def test_nothing_pulls_before_the_first_task_ends() -> None:
    penalty = Consolidation([tf.Variable([1.0, 2.0]), tf.Variable([3.0])], 5.0)
    assert [p.numpy().tolist() for p in penalty.curvature()] == [[0, 0], [0]]
    assert [a.numpy().tolist() for a in penalty.anchor] == [[1, 2], [3]]


def test_anchor_does_not_follow_the_parameter() -> None:
    penalty, theta = penalty_of("sum", TASKS)
    theta.assign([9.0, 9, 9])
    np.testing.assert_array_equal(penalty.anchor[0], [0, 1, 2])


@pytest.mark.parametrize(
    ("merge", "last"),
    [
        *((merge, bad) for merge in MERGES for bad in (np.nan, np.inf)),
        *((merge, 3e38) for merge in ("sum", "quadratics")),  # overflows in the sum
    ],
)
def test_importance_that_is_not_finite_ends_the_run(merge: str, last: float) -> None:
    with pytest.raises(Diverged):
        penalty_of(merge, [([1.0, 1], [1, 3e38]), ([1.0, 1], [1, last])])


def test_importance_has_to_fit_the_parameters() -> None:
    penalty = Consolidation([tf.Variable([1.0]), tf.Variable([2.0])], 1.0)
    with pytest.raises(ValueError, match="zip"):
        penalty.consolidate([np.ones(1, np.float32)])
