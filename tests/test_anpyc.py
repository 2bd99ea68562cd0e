"""ANPyC without and with pruning: the loops over tasks, and each defect of the release."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from types import SimpleNamespace

import anpyc_wi_np
import anpyc_wo_np
from common import consolidation, data, importance, network, pruning, schedule, streams, training
from harness.progress import Progress
from tests import oracles
from tests.oracles import HIDDEN, arrays, same_bits
from tests.runs import BATCH, EPOCH, TASKS

import numpy as np
import pytest

SHORT = {"tasks": 3, "hidden": HIDDEN, "epochs": 3, "batch_size": BATCH, "learning_rate": 0.2}
# With pruning: rounds of 10 and 20 % in the tasks 0 and 1, none in the last.
SETTINGS = {
    anpyc_wo_np: anpyc_wo_np.Settings(**SHORT),
    anpyc_wi_np: anpyc_wi_np.Settings(**SHORT, prune_percent=20, retrain_epochs=2),
}
PHASES = [(0, 3), (0, 2), (0, 2), (1, 3), (1, 2), (1, 2), (2, 3)]  # (task, epochs)

both = pytest.mark.parametrize("script", SETTINGS, ids=lambda script: script.__name__)


@dataclasses.dataclass
class Seen:
    """What a run did.

    Attributes:
        phases: of each phase: task, steps, lr_decay, masks, trunk (both afterwards), network.
        rounds: of each pruning round: task, its steps so far, parameters and masks before, previous
            and new masks.
        consolidated: of each task: task and its steps, omega (measured), parameters (all, at that
            time), merged, anchor.
        matrix: what `run` returned.
        progress: accuracies, details, trace.
    """

    phases: list[SimpleNamespace] = dataclasses.field(default_factory=list)
    rounds: list[SimpleNamespace] = dataclasses.field(default_factory=list)
    consolidated: list[SimpleNamespace] = dataclasses.field(default_factory=list)
    matrix: np.ndarray | None = None
    progress: Progress = dataclasses.field(default_factory=Progress)

    @property
    def parameters(self) -> list[np.ndarray]:
        """All, at the end."""
        return arrays(self.phases[-1].network.variables)


def run(script, *defects: str, strength: float = 1.0, **changes) -> Seen:
    """Runs a script on the tiny tasks and returns what it did."""
    settings = dataclasses.replace(SETTINGS[script], as_released=defects, **changes)
    seen = Seen()
    train, consolidate = training.Trainer.train, consolidation.Consolidation.consolidate
    prune = pruning.Masks.prune

    def seen_train(self, task, steps, penalty=None, masks=(), **details) -> None:
        train(self, task, steps, penalty, masks, **details)
        phase = SimpleNamespace(task=task, steps=steps, network=self.network)
        phase.trunk, phase.masks = arrays(self.network.trunk), arrays(masks)
        phase.lr_decay = details.get("lr_decay")
        seen.phases.append(phase)

    def here() -> SimpleNamespace:
        task, net = seen.phases[-1].task, seen.phases[-1].network
        steps = sum(phase.steps for phase in seen.phases if phase.task is task)
        return SimpleNamespace(task=task, steps=steps, parameters=arrays(net.variables))

    def seen_prune(self, masks) -> None:
        state = here()
        state.now, state.previous, state.new = map(arrays, (self.now, self.previous, masks))
        seen.rounds.append(state)
        prune(self, masks)

    def seen_consolidate(self, omega) -> None:
        consolidate(self, omega)
        state = here()
        state.omega, state.merged, state.anchor = map(arrays, (omega, self.omega, self.anchor))
        seen.consolidated.append(state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "train", seen_train)
        patch.setattr(consolidation.Consolidation, "consolidate", seen_consolidate)
        patch.setattr(pruning.Masks, "prune", seen_prune)
        seen.matrix = script.run(settings, TASKS, strength, 0, seen.progress)
    return seen


@pytest.fixture(scope="module")
def default() -> dict:
    """Returns what each script does with nothing as released."""
    return {script: run(script) for script in SETTINGS}


def measured(script, state: SimpleNamespace, **details):
    """Returns the importance that a network has at a place: its task, steps and parameters."""
    net = network.for_tasks(SETTINGS[script], TASKS, 0)
    for variable, value in zip(net.variables, state.parameters, strict=True):
        variable.assign(value)
    task = state.task
    order = schedule.stream_order(0, task.number, task.examples, BATCH, state.steps)
    return arrays(importance.entropy(net, task, order=order, **details))


# Both scripts


@both
def test_run_returns_the_accuracies_as_a_lower_triangle(script, default) -> None:
    matrix = default[script].matrix
    np.testing.assert_array_equal(np.isnan(matrix), np.triu(np.ones((3, 3)), 1) == 1)
    rows = [[*row[: task + 1]] for task, row in enumerate(matrix)]
    assert rows == default[script].progress.accuracy


def test_run_of_a_single_task() -> None:
    assert anpyc_wo_np.run(SETTINGS[anpyc_wo_np], TASKS[:1], 1.0, 0).shape == (1, 1)


@both
def test_importance_is_measured_after_the_task_on_all_its_images(script, default) -> None:
    for task, state in zip(TASKS, default[script].consolidated, strict=True):
        assert state.task is task
        assert same_bits(state.omega, measured(script, state))
        last = [phase for phase in default[script].phases if phase.task is task][-1]
        assert same_bits(state.anchor, last.trunk)


@both
@pytest.mark.parametrize("merge", [None, "max", "sum"])
def test_importances_are_merged_by_maximum_or_sum(script, merge, default) -> None:
    seen = default[script] if merge is None else run(script, merge=merge)
    if merge is None:
        merge = "max" if script is anpyc_wo_np else "sum"
    combine = {"max": np.maximum, "sum": np.add}[merge]
    merged = [np.zeros_like(omega) for omega in seen.consolidated[0].omega]
    for state in seen.consolidated:
        merged = [combine(old, new) for old, new in zip(merged, state.omega, strict=True)]
        assert same_bits(state.merged, merged)


@both
def test_measure_consolidates_another_importance_and_prunes_by_the_same(script) -> None:
    # λ 0, so that what is learned does not depend on what is consolidated.
    square, released = (run(script, strength=0, measure=name) for name in ("square", "released"))
    assert same_bits(square.parameters, released.parameters)
    for state in square.consolidated:
        assert same_bits(state.omega, measured(script, state, form="square"))


def test_with_a_single_head_the_head_is_consolidated_too() -> None:
    seen = run(anpyc_wo_np, head="single")
    assert [omega.shape for omega in seen.consolidated[0].omega[4:]] == [(HIDDEN[1], 3), (3,)]
    assert len(seen.parameters) == 6


@both
def test_no_two_random_draws_of_a_run_share_a_seed(script, monkeypatch) -> None:
    seed_of, keys = streams.stateless_seed, []

    def stateless_seed(*key: int) -> np.ndarray:
        keys.append(tuple(key))
        return seed_of(*key)

    monkeypatch.setattr(streams, "stateless_seed", stateless_seed)
    run(script, *{"D1", "D2"}.intersection(script.Settings.DEFECTS), evaluate_every=1)
    used = [tuple(seed_of(*key)) for key in keys if len(key) > 1]  # with one key nothing is drawn
    assert len(used) > 20
    assert len(set(used)) == len(used)


# With pruning


def test_without_pruning_there_are_no_rounds() -> None:
    seen = run(anpyc_wi_np, prune_percent=0)
    assert seen.rounds == []
    assert "sparsity" not in seen.progress.details


def test_phases_follow_the_schedule(default) -> None:
    assert [(phase.task.number, phase.steps) for phase in default[anpyc_wi_np].phases] == [
        (task, epochs * EPOCH) for task, epochs in PHASES
    ]


def test_pruned_weights_are_zero_after_the_last_round_and_grow_again(default) -> None:
    seen = default[anpyc_wi_np]
    for task in (0, 1):
        of_task = [phase for phase in seen.phases if phase.task.number == task]
        assert all(np.all(mask == 1) for mask in of_task[0].masks)
        for weights, mask in zip(of_task[-1].trunk, of_task[-1].masks, strict=True):
            assert np.all(weights[mask == 0] == 0)
            assert np.all(weights[mask == 1] != 0)
        following = next(phase for phase in seen.phases if phase.task.number == task + 1)
        grown = [
            weights[mask == 0] != 0
            for weights, mask in zip(following.trunk, of_task[-1].masks, strict=True)
        ]
        assert np.mean(np.concatenate(grown)) > 0.5
    assert all(np.all(mask == 1) for mask in seen.phases[-1].masks)


def test_rounds_prune_the_least_important_candidates_in_absolute_value(default) -> None:
    rounds = default[anpyc_wi_np].rounds
    assert [seen.task.number for seen in rounds] == [0, 0, 1, 1]
    for seen, percent in zip(rounds, (10, 20, 10, 20), strict=True):
        final = rounds[1].new if seen.task.number else [np.zeros_like(new) for new in seen.new]
        assert same_bits(seen.previous, final)
        candidates = [before == 0 for before in final]
        values = measured(anpyc_wi_np, seen, form="absolute")
        assert same_bits(seen.new, pruning.rank_masks(values, percent, candidates, seen.now))


def test_sparsity_of_every_round_is_reported(default) -> None:
    seen = default[anpyc_wi_np]
    assert seen.progress.details["sparsity"] == [
        {"task": one.task.number, "percent": percent, **pruning.sparsity(one.new)}
        for one, percent in zip(seen.rounds, (10, 20, 10, 20), strict=True)
    ]


# Readings of the accuracy during training


def accuracy_by_hand(values: Sequence[np.ndarray], task: data.Task) -> float:
    """Returns the test accuracy on a task of a network's heads and then trunk."""
    *heads, w1, b1, w2, b2 = map(np.float64, values)
    theta = [w1, b1, w2, b2, *heads[2 * task.number : 2 * task.number + 2]]
    return oracles.accuracy(theta, task.test, task.permutation)


def test_readings_are_the_accuracies_then_directly_after_a_pruning_too(monkeypatch) -> None:
    after_epoch, epoch_done = [], Progress.epoch_done

    def watched_epoch(self, loss: float) -> None:
        after_epoch.append(arrays(itertools.chain(*self.state.values())))
        epoch_done(self, loss)

    monkeypatch.setattr(Progress, "epoch_done", watched_epoch)
    learns = {"epochs": 20, "learning_rate": 0.3, "lr_decay": 1.0}
    prunes = {"prune_percent": 90, "prune_step": 45, "retrain_epochs": 2}
    seen = run(anpyc_wi_np, strength=0.1, evaluate_every=1, **learns, **prunes)
    networks, pruned = iter(after_epoch), iter(seen.rounds)
    size = len(seen.parameters)
    for reading in seen.progress.trace:
        if reading["epoch"]:
            values = next(networks)[:size]
        else:
            before = next(pruned)
            *heads, w1, b1, w2, b2 = before.parameters
            kept = [weights * m for weights, m in zip((w1, b1, w2, b2), before.new, strict=True)]
            values = [*heads, *kept]
        learned = TASKS[: reading["task"] + 1]
        assert reading["accuracy"] == [accuracy_by_hand(values, task) for task in learned]
    assert [*networks, *pruned] == []
    dips = [
        (seen.progress.trace[place - 1]["accuracy"], reading["accuracy"])
        for place, reading in enumerate(seen.progress.trace)
        if not reading["epoch"]
    ]
    assert any(before != after for before, after in dips)


# Defects of the release


def test_d2_measures_the_importance_with_dropout(default) -> None:
    seen = run(anpyc_wo_np, "D2")
    first, plain = seen.consolidated[0], default[anpyc_wo_np].consolidated[0]
    assert same_bits(first.parameters, plain.parameters)
    assert not same_bits(first.omega, plain.omega)
    for state in seen.consolidated:
        expected = measured(anpyc_wo_np, state, dropout_seed=(0, state.task.number))
        assert same_bits(state.omega, expected)


@both
def test_d3_leaves_out_the_last_image_of_each_full_batch(script) -> None:
    seen = run(script, "D3")
    for state in seen.consolidated:
        assert same_bits(state.omega, measured(script, state, used="all-but-last"))
        assert not same_bits(state.omega, measured(script, state))
    for of_round, percent in zip(seen.rounds[:2], (10, 20), strict=False):
        values = measured(script, of_round, form="absolute", used="all-but-last")
        expected = pruning.rank_masks(values, percent, None, of_round.now)
        assert same_bits(of_round.new, expected)


def test_d10_decays_more_slowly_in_the_first_phase_of_all(default) -> None:
    assert all(phase.lr_decay is None for phase in default[anpyc_wi_np].phases)
    seen = run(anpyc_wi_np, "D10")
    assert [phase.lr_decay for phase in seen.phases] == [0.99, *[None] * 6]


def test_d15_takes_the_masks_of_the_release() -> None:
    for of_round, percent in zip(run(anpyc_wi_np, "D15").rounds, (10, 20, 10, 20), strict=True):
        omega = measured(anpyc_wi_np, of_round)
        if of_round.task.number == 0:
            expected = pruning.released_first_masks(omega, percent)
        else:
            expected = pruning.released_later_masks(of_round.previous, omega, percent)
        assert same_bits(of_round.new, expected)
