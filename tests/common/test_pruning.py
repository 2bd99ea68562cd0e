"""The pruning schedule and the masks."""

from __future__ import annotations

import math
from fractions import Fraction

from common.pruning import (
    Masks,
    pruning_schedule,
    rank_masks,
    released_first_masks,
    released_later_masks,
    sparsity,
)

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# The schedule


def test_schedule_of_ten_tasks_is_the_papers() -> None:
    assert pruning_schedule(10) == [
        [10, 20, 30, 40, 50],
        [10, 20, 30, 40],
        [10, 20, 30, 40],
        [10, 20, 30],
        [10, 20],
        [10, 20],
        [10, 20],
        [10],
        [10],
        [],
    ]


def test_schedule_targets_are_50_40_32_25_20_16_12_9_7_5() -> None:
    # In steps of 1 the last round is the target itself; an eleventh task makes the tenth prune.
    rounds = pruning_schedule(11, step=1)
    assert [r[-1] for r in rounds[:-1]] == [50, 40, 32, 25, 20, 16, 12, 9, 7, 5]
    assert all(r == list(range(1, r[-1] + 1)) for r in rounds[:-1])


def test_only_the_last_of_several_tasks_is_not_pruned() -> None:
    assert pruning_schedule(1) == [[10, 20, 30, 40, 50]]
    assert pruning_schedule(2) == [[10, 20, 30, 40, 50], []]


def test_schedule_at_the_ends_of_its_range() -> None:
    assert pruning_schedule(3, initial=0) == [[], [], []]
    assert pruning_schedule(3, decay=0) == [[10, 20, 30, 40, 50], [], []]
    assert pruning_schedule(3, initial=100, decay=1, step=50) == [[50, 100], [50, 100], []]
    assert pruning_schedule(1, initial=100, step=30) == [[30, 60, 90, 100]]
    assert pruning_schedule(1, initial=5, step=10) == [[10]]


def test_targets_are_rounded_down_as_the_numbers_are_written() -> None:
    # 0.7 · 90 is 63, although the product of the two floating-point numbers is below that.
    for hundredths in range(101):
        for initial in range(101):
            target = math.floor(Fraction(hundredths, 100) * initial)
            rounds = pruning_schedule(3, initial, hundredths / 100, step=1)[1]
            assert len(rounds) == target, (initial, hundredths / 100)


# Masks by rank


def slow_rank_masks(importance, percent, candidates, masks) -> list[np.ndarray]:
    result = []
    for values, may, before in zip(importance, candidates, masks, strict=True):
        mask = np.ones(values.size)
        places = [i for i in range(values.size) if may.ravel()[i]]
        # False sorts before True: what is pruned already comes first.
        places.sort(key=lambda i: (before.ravel()[i] != 0, values.ravel()[i], i))
        for i in places[: math.floor(Fraction(percent) * len(places) / 100)]:
            mask[i] = 0
        result.append(mask.reshape(values.shape))
    return result


@st.composite
def tensors(draw):
    """Draws importances with many ties and zeros, candidates, and masks within these."""
    importance, candidates, masks = [], [], []
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=8))
        few = st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0])
        importance.append(draw(hnp.arrays(np.float32, shape, elements=few)))
        may = draw(hnp.arrays(np.bool_, shape))
        pruned = draw(hnp.arrays(np.bool_, shape)) & may
        candidates.append(may)
        masks.append((~pruned).astype(np.float32))
    return importance, candidates, masks


@given(tensors=tensors(), percent=st.integers(0, 100))
@settings(max_examples=150)
def test_rank_masks_equal_the_sorted_loop(tensors, percent: int) -> None:
    importance, candidates, masks = tensors
    found = rank_masks(importance, percent, candidates, masks)
    expected = slow_rank_masks(importance, percent, candidates, masks)
    for new, right in zip(found, expected, strict=True):
        assert new.dtype == np.float32
        np.testing.assert_array_equal(new, right)


@given(data=tensors(), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_rounds_are_nested_even_if_the_importance_changes(data, seed: int) -> None:
    importance, candidates, _ = data
    rng = np.random.default_rng(seed)
    masks = None
    for percent in (10, 20, 30, 50, 100):
        new = rank_masks(importance, percent, candidates, masks)
        if masks is not None:
            for before, after in zip(masks, new, strict=True):
                assert np.all(after[before == 0] == 0)
        masks = new
        importance = [rng.random(values.shape).astype(np.float32) for values in importance]


@pytest.mark.parametrize("size", [1, 3, 7, 10, 30, 99, 100, 1000, 50176])
def test_share_pruned_is_rounded_down_exactly(size: int) -> None:
    values = np.random.default_rng(0).random(size).astype(np.float32)
    for percent in range(101):
        (mask,) = rank_masks([values], percent)
        assert np.sum(mask == 0) == percent * size // 100


def test_rank_masks_changes_none_of_its_arguments_and_takes_tensors() -> None:
    values, may, before = np.arange(6.0), np.array([True] * 4 + [False] * 2), np.ones(6)
    rank_masks([values], 50, [may], [before])
    assert before.tolist() == [1] * 6
    assert may.tolist() == [True] * 4 + [False] * 2
    (mask,) = rank_masks([tf.constant(values)], 50, [may], [tf.Variable(before)])
    np.testing.assert_array_equal(mask, [0, 0, 1, 1, 1, 1])


# Masks as released


@given(tensors=tensors(), percent=st.integers(0, 100))
@settings(max_examples=60)
def test_released_first_masks_equal_the_literal_loop(tensors, percent: int) -> None:
    omegas = tensors[0]
    for mask, omega in zip(released_first_masks(omegas, percent), omegas, strict=True):
        limit = np.percentile(omega, percent)
        for at in np.ndindex(omega.shape):
            assert mask[at] == (0 if omega[at] == 0 or omega[at] < limit else 1)


@given(tensors=tensors(), percent=st.integers(0, 100))
@settings(max_examples=60)
def test_released_later_masks_equal_the_literal_loop(tensors, percent: int) -> None:
    omegas, _, previous = tensors
    found = released_later_masks(previous, omegas, percent)
    for mask, omega, before in zip(found, omegas, previous, strict=True):
        of_candidates = [omega[at] for at in np.ndindex(omega.shape) if before[at] == 0]
        limit = np.percentile(of_candidates, percent) if of_candidates else -1
        for at in np.ndindex(omega.shape):
            assert mask[at] == (0 if before[at] == 0 and omega[at] <= limit else 1)


# Sparsity, and the masks of a run


def test_sparsity_counts_zeros_of_each_tensor_and_of_all() -> None:
    masks = [np.array([[0, 1], [1, 1]], np.float32), np.array([0, 0], np.float32)]
    assert sparsity(masks) == {"overall": 0.5, "W1": 0.25, "b1": 1.0}


def run_masks() -> tuple[Masks, list[tf.Variable]]:
    parameters = [tf.Variable([[1.0, -2.0], [3.0, 4.0]]), tf.Variable([5.0, 6.0])]
    return Masks(parameters), parameters


NEW = [np.array([[1, 0], [1, 1]], np.float32), np.array([0, 1], np.float32)]


def test_prune_sets_weights_to_exact_zeros_anywhere_in_the_first_task() -> None:
    masks, parameters = run_masks()
    assert all(np.all(mask == 1) for mask in masks.now)
    masks.prune(NEW)
    np.testing.assert_array_equal(parameters[0], [[1, 0], [3, 4]])
    np.testing.assert_array_equal(parameters[1], [0, 6])
    np.testing.assert_array_equal(masks.now[0], NEW[0])
    assert all(np.all(may) for may in masks.candidates())


def test_after_free_the_pruned_are_the_candidates_and_everything_is_trained() -> None:
    masks, parameters = run_masks()
    masks.prune(NEW)
    masks.free()
    for may, now, new in zip(masks.candidates(), masks.now, NEW, strict=True):
        assert may.dtype == bool
        np.testing.assert_array_equal(may, new == 0)
        np.testing.assert_array_equal(now, np.ones(new.shape))
    np.testing.assert_array_equal(parameters[1], [0, 6])
    masks.free()  # a task without pruning leaves nothing to the next
    assert not any(np.any(may) for may in masks.candidates())
