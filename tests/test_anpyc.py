"""ANPyC without and with pruning: the loops over tasks, and each defect of the release."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import anpyc_wi_np
import anpyc_wo_np
from common import consolidation, data, network, options, pruning, training
from common import progress as progresses
from common.importance import entropy_importance
from tests import oracles
from tests.oracles import BATCH, HIDDEN, TRAIN

TASKS = oracles.tiny_tasks(3)
STEPS = TRAIN // BATCH + 1  # of an epoch
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
        absorbed: of each task: task and its steps, omega (measured), parameters (all, at that
            time), merged, anchor.
        update: of the penalty.
        parameters: all, at the end.
        matrix: what `run` returned.
        details: of the result.
        trace: readings of the accuracy.
    """

    phases: list[SimpleNamespace] = dataclasses.field(default_factory=list)
    rounds: list[SimpleNamespace] = dataclasses.field(default_factory=list)
    absorbed: list[SimpleNamespace] = dataclasses.field(default_factory=list)
    update: str = ""
    parameters: Sequence[np.ndarray] = ()
    matrix: np.ndarray | None = None
    details: dict = dataclasses.field(default_factory=dict)
    trace: list[dict] = dataclasses.field(default_factory=list)


def arrays(tensors: Sequence) -> list[np.ndarray]:
    return [tf.convert_to_tensor(tensor).numpy() for tensor in tensors]


def run(script, *defects: str, strength: float = 1.0, seed: int = 0, tasks=TASKS, **changes):
    """Runs a script on the tiny tasks and returns what it did."""
    settings = dataclasses.replace(SETTINGS[script], as_released=defects, **changes)
    seen, progress = Seen(), progresses.Progress()
    train, absorb = training.Trainer.train, consolidation.Consolidation.absorb
    prune = pruning.Masks.prune

    def seen_train(self, task, steps, penalty=None, masks=(), **details) -> None:
        train(self, task, steps, penalty, masks, **details)
        phase = SimpleNamespace(task=task, steps=steps, lr_decay=details.get("lr_decay"))
        phase.trunk, phase.masks = arrays(self.network.trunk), arrays(masks)
        phase.network = self.network
        seen.phases.append(phase)

    def here() -> SimpleNamespace:
        task, net = seen.phases[-1].task, seen.phases[-1].network
        steps = sum(phase.steps for phase in seen.phases if phase.task is task)
        return SimpleNamespace(task=task, steps=steps, parameters=arrays(net.variables))

    def seen_prune(self, masks) -> None:
        before = here()
        before.now, before.previous, before.new = map(arrays, (self.now, self.previous, masks))
        seen.rounds.append(before)
        prune(self, masks)

    def seen_absorb(self, omega) -> None:
        absorb(self, omega)
        state = here()
        state.omega = arrays(omega)
        state.merged, state.anchor = arrays(self.omega), arrays(self.anchor)
        seen.absorbed.append(state)
        seen.update = self.update

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "train", seen_train)
        patch.setattr(consolidation.Consolidation, "absorb", seen_absorb)
        patch.setattr(pruning.Masks, "prune", seen_prune)
        seen.matrix = script.run(settings, tasks, strength, seed, progress)
    seen.parameters = arrays(seen.phases[-1].network.variables)
    seen.details, seen.trace = progress.details, progress.trace
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
    number, images = state.task.number, state.task.train.images
    details["order"] = training.stream_order(0, number, len(images), BATCH, state.steps)
    details["permutation"] = state.task.permutation
    return arrays(entropy_importance(net, number, images, **details))


def assert_same(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> None:
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)


def differ(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> bool:
    return any(np.any(one != other) for one, other in zip(left, right, strict=True))


# Both scripts


@both
def test_run_returns_the_lower_triangle_of_accuracies(script, default) -> None:
    matrix = script.run(SETTINGS[script], TASKS, 1.0, 0)
    assert matrix.shape == (3, 3)
    np.testing.assert_array_equal(np.isnan(matrix), np.triu(np.ones((3, 3)), 1) == 1)
    known = matrix[~np.isnan(matrix)]
    assert np.all((known >= 0) & (known <= 1))
    np.testing.assert_allclose(known * 60, np.round(known * 60), atol=1e-9)  # of 60 test images
    np.testing.assert_array_equal(matrix, default[script].matrix)


@both
def test_run_learns_every_task(script) -> None:
    seen = run(script, strength=0.1, epochs=60, learning_rate=0.3, lr_decay=1.0, dropout=0.2)
    assert np.all(np.diag(seen.matrix) > 0.6)  # chance is a third
    assert np.mean(np.diag(seen.matrix)) > 0.8


@both
def test_run_of_a_single_task(script) -> None:
    assert script.run(SETTINGS[script], TASKS[:1], 1.0, 0).shape == (1, 1)


@both
def test_run_repeats_itself_and_depends_on_its_seed(script, default) -> None:
    assert_same(run(script).parameters, default[script].parameters)
    assert differ(run(script, seed=1).parameters, default[script].parameters)


@both
def test_zero_strength_goes_the_way_of_no_consolidation(script, monkeypatch) -> None:
    zero = run(script, strength=0.0)
    assert np.any(zero.absorbed[0].omega[0] > 0)
    train = training.Trainer.train

    def unprotected(self, task, steps, penalty=None, masks=(), **details) -> None:
        train(self, task, steps, None, masks, **details)

    monkeypatch.setattr(training.Trainer, "train", unprotected)
    free = run(script)
    for one, other in zip(zero.phases, free.phases, strict=True):
        assert_same(one.trunk, other.trunk)
    assert_same(zero.parameters, free.parameters)
    np.testing.assert_array_equal(zero.matrix, free.matrix)


@both
def test_great_strength_holds_what_is_important(script) -> None:
    seen = run(script, strength=1e6)
    first, last = seen.absorbed[0], seen.phases[-1].trunk
    for omega, anchor, end in zip(first.omega, first.anchor, last, strict=True):
        held = omega > 1e-3
        assert np.all(np.abs(end - anchor)[held] < 1e-2)
    assert sum(np.sum(omega > 1e-3) for omega in first.omega) > 5


@both
def test_importance_is_measured_after_the_task_on_all_its_images(script, default) -> None:
    for task, state in zip(TASKS, default[script].absorbed, strict=True):
        assert state.task is task
        assert_same(state.omega, measured(script, state))
        phases = [phase for phase in default[script].phases if phase.task is task]
        assert_same(state.anchor, phases[-1].trunk)


@both
@pytest.mark.parametrize("merge", [None, "max", "sum"])
def test_importances_are_merged_by_maximum_or_sum(script, merge, default) -> None:
    seen = default[script] if merge is None else run(script, merge=merge)
    if merge is None:
        merge = "max" if script is anpyc_wo_np else "sum"
    combine = {"max": np.maximum, "sum": np.add}[merge]
    merged = [np.zeros_like(omega) for omega in seen.absorbed[0].omega]
    for state in seen.absorbed:
        merged = [combine(old, new) for old, new in zip(merged, state.omega, strict=True)]
        assert_same(state.merged, merged)


@both
def test_histogram_of_the_final_importance_is_kept(script, default) -> None:
    merged = dict(zip(network.NAMES, default[script].absorbed[-1].merged, strict=False))
    merged["all"] = np.concatenate([omega.ravel() for omega in merged.values()])
    found = default[script].details["omega"]
    assert found.keys() == {"all", "W1", "b1", "W2", "b2"}
    for name, values in merged.items():
        assert found[name]["zeros"] == np.mean(values == 0)
        tens = np.log10(values[values > 0].astype(np.float64))
        expected = np.zeros(125, int)
        for place in np.clip(np.floor(5 * (tens + 20)).astype(int), 0, 124):
            expected[place] += 1
        assert found[name]["decades"] == expected.tolist()


@both
def test_validation_and_test_sets_do_not_influence_training(script, default) -> None:
    rng = np.random.default_rng(0)

    def garbage(split: data.Split) -> data.Split:
        images = rng.integers(0, 256, split.images.shape).astype(np.uint8)
        labels = rng.integers(0, 3, split.labels.shape).astype(np.uint8)
        return data.Split(tf.constant(images), tf.constant(labels))

    dataset = TASKS[0].dataset
    spoilt = dataclasses.replace(
        dataset, validation=garbage(dataset.validation), test=garbage(dataset.test)
    )
    seen = run(script, tasks=data.permuted_tasks(spoilt, 3))
    assert_same(seen.parameters, default[script].parameters)
    assert_same(seen.absorbed[-1].merged, default[script].absorbed[-1].merged)
    assert np.any(seen.matrix[2] != default[script].matrix[2])


def test_with_a_single_head_the_head_is_consolidated_too() -> None:
    seen = run(anpyc_wo_np, head="single")
    assert [omega.shape for omega in seen.absorbed[0].omega[4:]] == [(HIDDEN[1], 3), (3,)]
    assert len(seen.parameters) == 6
    assert seen.matrix.shape == (3, 3)


@both
def test_no_two_random_draws_of_a_run_share_a_seed(script, monkeypatch) -> None:
    seed_of, keys = network.stateless_seed, []

    def stateless_seed(*key: int) -> np.ndarray:
        keys.append(tuple(key))
        return seed_of(*key)

    monkeypatch.setattr(network, "stateless_seed", stateless_seed)
    run(script, *{"D1", "D2"}.intersection(script.Settings.DEFECTS))
    used = [tuple(seed_of(*key)) for key in keys if len(key) > 1]  # with one key nothing is drawn
    assert len(used) > 20
    assert len(set(used)) == len(used)


# With pruning


def test_without_pruning_and_strength_both_scripts_are_the_same() -> None:
    wo = run(anpyc_wo_np, strength=0.0)
    wi = run(anpyc_wi_np, strength=0.0, prune_percent=0)
    assert_same(wo.parameters, wi.parameters)
    np.testing.assert_array_equal(wo.matrix, wi.matrix)
    assert wi.rounds == []
    assert "sparsity" not in wi.details


def test_phases_follow_the_schedule(default, monkeypatch) -> None:
    seen = default[anpyc_wi_np]
    assert [(p.task.number, p.steps) for p in seen.phases] == [
        (task, epochs * STEPS) for task, epochs in PHASES
    ]
    calls = []
    rates = training.learning_rates

    def spy(*arguments):
        calls.append(arguments)
        return rates(*arguments)

    monkeypatch.setattr(training, "learning_rates", spy)
    run(anpyc_wi_np)
    # The step of the learning rate runs on through a task's rounds, and starts anew with a task.
    firsts = [[STEPS * epoch for epoch in range(count)] for count in (7, 7, 3)]
    assert [call[0] for call in calls] == [first for of_task in firsts for first in of_task]
    assert {call[3] for call in calls} == {0.9}


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
    assert [(r.task.number, p) for r, p in zip(rounds, (10, 20) * 2, strict=True)] == [
        (0, 10),
        (0, 20),
        (1, 10),
        (1, 20),
    ]
    for index, (seen, percent) in enumerate(zip(rounds, (10, 20) * 2, strict=True)):
        candidates = [before == 0 for before in seen.previous]
        if index < 2:
            assert all(np.all(may) for may in candidates)
        else:
            assert_same(seen.previous, rounds[1].new)
        values = measured(anpyc_wi_np, seen, form="absolute")
        assert_same(seen.new, pruning.rank_masks(values, percent, candidates, seen.now))
        for mask, may in zip(seen.new, candidates, strict=True):
            assert np.sum(mask == 0) == math.floor(percent * np.sum(may) / 100)


def test_sparsity_of_every_round_is_reported(default) -> None:
    seen = default[anpyc_wi_np]
    rows = seen.details["sparsity"]
    assert [(row["task"], row["percent"]) for row in rows] == [(0, 10), (0, 20), (1, 10), (1, 20)]
    for row, of_round in zip(rows, seen.rounds, strict=True):
        zeros = [mask == 0 for mask in of_round.new]
        assert row["W1"] == np.mean(zeros[0])
        assert row["b2"] == np.mean(zeros[3])
        assert row["overall"] == pytest.approx(np.mean(np.concatenate([z.ravel() for z in zeros])))


# Readings of the accuracy during training


def accuracy_by_hand(values: Sequence[np.ndarray], task: data.Task) -> float:
    """Returns the test accuracy on a task, image by image, of heads and then trunk."""
    *heads, w1, b1, w2, b2 = map(np.float64, values)
    theta = [w1, b1, w2, b2, *heads[2 * task.number : 2 * task.number + 2]]
    images = task.test.images.numpy()[:, task.permutation] / 255.0
    chosen = [np.argmax(oracles.layers(theta, image)[2]) for image in images]
    return float(np.mean(chosen == task.test.labels.numpy()))


def test_readings_are_the_accuracies_then_directly_after_a_pruning_too(monkeypatch) -> None:
    after_epoch, epoch_done = [], progresses.Progress.epoch_done

    def watched_epoch(self, loss: float) -> None:
        after_epoch.append(arrays(self._state.values()))
        epoch_done(self, loss)

    monkeypatch.setattr(progresses.Progress, "epoch_done", watched_epoch)
    learns = {"epochs": 20, "learning_rate": 0.3, "lr_decay": 1.0, "dropout": 0.2}
    prunes = {"prune_percent": 90, "prune_step": 45, "retrain_epochs": 2}
    seen = run(anpyc_wi_np, strength=0.1, evaluate_every=1, **learns, **prunes)
    networks, pruned = iter(after_epoch), iter(seen.rounds)
    size = len(seen.parameters)
    for reading in seen.trace:
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
        (seen.trace[place - 1]["accuracy"], reading["accuracy"])
        for place, reading in enumerate(seen.trace)
        if not reading["epoch"]
    ]
    assert any(before != after for before, after in dips)


# Defects of the release


@both
def test_no_defect_is_in_force_by_default(script, default) -> None:
    settings = script.Settings()
    assert settings.as_released == ()
    assert settings.update == "proximal"
    assert default[script].update == "proximal"
    assert all(phase.lr_decay is None for phase in default[script].phases)
    assert options.parse(script.Settings, "", []) == settings


@both
def test_as_released_alone_is_every_defect(script) -> None:
    settings = options.parse(script.Settings, "", ["--as-released"])
    assert settings.as_released == script.Settings.DEFECTS
    assert settings.update == "explicit"


def test_d1_changes_the_accuracies_and_nothing_else(default) -> None:
    seen = run(anpyc_wo_np, "D1")
    assert_same(seen.parameters, default[anpyc_wo_np].parameters)
    assert np.any(seen.matrix[2] != default[anpyc_wo_np].matrix[2])


def test_d2_measures_the_importance_with_dropout(default) -> None:
    seen = run(anpyc_wo_np, "D2")
    first, plain = seen.absorbed[0], default[anpyc_wo_np].absorbed[0]
    assert_same(first.parameters, plain.parameters)
    assert differ(first.omega, plain.omega)
    for state in seen.absorbed:
        expected = measured(anpyc_wo_np, state, dropout_seed=(0, state.task.number))
        assert_same(state.omega, expected)


@both
def test_d3_leaves_out_the_last_image_of_each_batch(script, default) -> None:
    seen = run(script, "D3")
    for state in seen.absorbed:
        assert_same(state.omega, measured(script, state, used="all-but-last"))
        assert differ(state.omega, measured(script, state))
    if script is anpyc_wi_np:
        for of_round in seen.rounds[:2]:
            values = measured(script, of_round, form="absolute", used="all-but-last")
            percent = 10 if of_round is seen.rounds[0] else 20
            assert_same(of_round.new, pruning.rank_masks(values, percent, None, of_round.now))


def test_d10_decays_more_slowly_in_the_first_phase_of_all(default) -> None:
    seen = run(anpyc_wi_np, "D10", lr_decay_epochs=0.5)
    assert [phase.lr_decay for phase in seen.phases] == [0.99, *[None] * 6]
    assert differ(seen.phases[0].trunk, run(anpyc_wi_np, lr_decay_epochs=0.5).phases[0].trunk)


def test_d15_prunes_more_than_half_in_the_first_round(default) -> None:
    rows = run(anpyc_wi_np, "D15").details["sparsity"]
    assert rows[0]["overall"] > 0.5
    assert default[anpyc_wi_np].details["sparsity"][0]["overall"] <= 0.1


def test_d15_takes_the_masks_of_the_release() -> None:
    for of_round, percent in zip(run(anpyc_wi_np, "D15").rounds, (10, 20) * 2, strict=True):
        omega = measured(anpyc_wi_np, of_round)
        if of_round.task.number == 0:
            expected = pruning.released_first_masks(omega, percent)
        else:
            expected = pruning.released_later_masks(of_round.previous, omega, percent)
        assert_same(of_round.new, expected)


@both
def test_d16_takes_the_explicit_step(script, default) -> None:
    assert options.parse(script.Settings, "", ["--as-released", "D16"]).update == "explicit"
    assert options.parse(script.Settings, "", ["--as-released", "D3"]).update == "proximal"
    with pytest.raises(options.UsageError, match="D16"):
        dataclasses.replace(SETTINGS[script], as_released=("D16",), update="proximal")
    seen = run(script, "D16", update="explicit")
    assert seen.update == "explicit"
    assert_same(seen.absorbed[0].omega, default[script].absorbed[0].omega)
    assert differ(seen.parameters, default[script].parameters)
