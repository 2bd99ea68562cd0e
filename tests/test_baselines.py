"""The baselines and bounds: each script against a slow form of its method, and against the others.

`run` runs a script on data so small that it takes no time once its loop is compiled.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import ewc
import finetune
import joint
import lwf
import mas
import sgd_freeze
import sgd_single_head
import si
from common import data, metrics, network, report, results, training
from common import progress as progresses
from common.consolidation import Consolidation
from common.importance import PathIntegral
from common.network import MLP, Dropout
from tests import oracles
from tests.conftest import SCRIPTS
from tests.oracles import CLASSES, HIDDEN, PIXELS
from tests.test_training import Slow

SEED = 5
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

CONSOLIDATION = ["anpyc_wi_np", "anpyc_wo_np", "ewc", "mas", "si"]
BOUNDS = [
    *((name, head) for name in CONSOLIDATION for head in ("multi", "single")),
    ("lwf", "multi"),
]


@dataclasses.dataclass
class Run:
    """What a run left: R, the parameters, the network, and at each `absorb` θ [6] and Ω."""

    matrix: np.ndarray
    values: list[np.ndarray]
    net: MLP
    progress: progresses.Progress
    absorbed: list[tuple[list[np.ndarray], list[np.ndarray]]]
    penalty: Consolidation | None
    epochs: int


def enlarge(net: MLP) -> MLP:
    """Returns a network with larger weights; so few units would learn nothing with theirs."""
    for weights in [net.trunk[0], net.trunk[2], *(v for v, _ in net.heads)]:
        weights.assign(4 * weights)
    return net


def initial(heads: int = 3, classes: int = CLASSES) -> MLP:
    """Returns the network with which `run` starts."""
    return enlarge(MLP(HIDDEN, heads, classes, PIXELS, SEED))


def settings_of(module: ModuleType, **changes: Any) -> Any:
    """Returns a script's settings: of `TINY` those that it has, and `changes`."""
    known = {field.name for field in dataclasses.fields(module.Settings)}
    return module.Settings(**{**{k: v for k, v in TINY.items() if k in known}, **changes})


def run(
    module: ModuleType | str,
    tasks: Sequence[data.Task] = TASKS,
    strength: float | None = None,
    files: results.RunFiles | None = None,
    watch: Callable[[list[MLP], int], None] | None = None,
    **changes: Any,
) -> Run:
    """Runs a script; `watch` is called after each epoch with the networks and its number."""
    module = importlib.import_module(module) if isinstance(module, str) else module
    settings = settings_of(module, **changes)
    nets: list[MLP] = []
    absorbed, penalties = [], []
    make, absorb = MLP.__init__, Consolidation.absorb

    def note_network(self, *arguments, **keywords):
        make(self, *arguments, **keywords)
        nets.append(enlarge(self))

    def note_importance(self, importance):
        head = nets[0].head_of(len(absorbed))
        absorbed.append((oracles.float64(nets[0].parameters(head)), oracles.float64(importance)))
        penalties.append(self)
        absorb(self, importance)

    class Watched(progresses.Progress):
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
        patch.setattr(Consolidation, "absorb", note_importance)
        matrix = module.run(settings, tasks, **more, seed=SEED, progress=progress)
    values = [variable.numpy() for variable in nets[0].variables]
    penalty = penalties[0] if penalties else None
    return Run(matrix, values, nets[0], progress, absorbed, penalty, progress.done)


def assert_same_bits(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> None:
    assert [one.shape for one in left] == [one.shape for one in right]
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one.view(np.uint8), other.view(np.uint8))


def same_bits(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True))


def assert_close(found: Sequence[Any], expected: Sequence[Any], rtol: float = 1e-3) -> None:
    for one, other in zip(found, expected, strict=True):
        assert np.any(np.asarray(other) != 0)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol / 100 * np.abs(other).max())


def train_by_hand(slow: Slow, task: data.Task, steps: int, delta_h2: Any = None) -> None:
    """Takes the first steps of a task, without dropout, image by image."""
    pixels, labels = oracles.pixels_of(task), task.train.labels.numpy()
    batches = training.batches(SEED, task.number, TRAIN, BATCH, 0, steps)
    for step, rows in enumerate(batches):
        rate = TINY["learning_rate"] * 0.7 ** (step // (0.7 * TRAIN / BATCH))
        extra = [delta_h2(row) for row in rows] if delta_h2 else None
        slow.step([(pixels[row], labels[row]) for row in rows], rate, extra=extra)


def by_finite_differences(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    """Returns the gradient of a function of an array, in float64."""
    gradient = np.zeros(at.shape)
    for place in np.ndindex(at.shape):
        step = np.zeros(at.shape)
        step[place] = 1e-5
        gradient[place] = (function(at + step) - function(at - step)) / 2e-5
    return gradient


# Bounds agree

# The same for all scripts; with each update the other settings are others, too.
EQUAL_TERMS = {
    "proximal": {"epochs": 2, "steps": None},
    "explicit": {
        "epochs": None,
        "steps": 27,
        "init": "fan-in-uniform",
        "learning_rate": 0.1,
        "lr_decay": 1.0,
    },
}


@functools.cache
def bound(head: str, update: str) -> Run:
    script = finetune if head == "multi" else sgd_single_head
    return run(script, **EQUAL_TERMS[update])


def on_equal_terms(name: str, head: str, update: str, strength: float) -> Run:
    own = {} if name == "lwf" else {"head": head, "update": update}
    if name == "anpyc_wi_np":
        own["prune_percent"] = 0
    return run(name, strength=strength, **EQUAL_TERMS[update], **own)


@pytest.mark.parametrize("update", list(EQUAL_TERMS))
@pytest.mark.parametrize(("name", "head"), BOUNDS)
def test_zero_strength_is_the_bound_number_for_number(name: str, head: str, update: str) -> None:
    found, expected = on_equal_terms(name, head, update, 0.0), bound(head, update)
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    assert found.progress.validation_accuracy == expected.progress.validation_accuracy
    assert_same_bits(found.values, expected.values)


@pytest.mark.parametrize(("name", "head"), BOUNDS)
def test_strength_leads_away_from_the_bound(name: str, head: str) -> None:
    found, expected = on_equal_terms(name, head, "proximal", 1e3), bound(head, "proximal")
    assert np.abs(found.net.trunk[0] - expected.net.trunk[0]).max() > 1e-2


@pytest.mark.parametrize("name", CONSOLIDATION)
def test_update_makes_a_difference(name: str) -> None:
    ends = [run(name, strength=0.1, update=u) for u in ("proximal", "explicit")]
    assert not same_bits(ends[0].values, ends[1].values)
    assert_same_bits(*(ended.absorbed[0][0] for ended in ends))


def test_bounds_learn_and_forget_so_that_agreement_says_something() -> None:
    for head in ("multi", "single"):
        matrix = bound(head, "proximal").matrix
        assert len(np.unique(matrix[~np.isnan(matrix)])) >= 4
        assert not same_bits(bound(head, "proximal").values[:1], bound(head, "explicit").values[:1])


# EWC and MAS against loops over single images


def in_stream_order(task: data.Task, steps: int) -> np.ndarray:
    """Returns the images in the order of the pass in which the last of the steps ends."""
    running = (steps * BATCH - 1) // TRAIN
    stream = training.batches(SEED, task.number, TRAIN, BATCH, 0, (running + 2) * EPOCH)
    return stream.ravel()[running * TRAIN : (running + 1) * TRAIN]


def used_places(defects: Sequence[str], batch: int) -> np.ndarray:
    place = np.arange(TRAIN)
    if "D4" in defects:
        return place[place % batch == 0]
    if "D3" in defects:
        return place[(place % batch != batch - 1) & (place != TRAIN - 1)]
    return place


def drawn_labels(theta: Sequence[np.ndarray], task: data.Task, key: Sequence[int]) -> list[int]:
    """Returns a label for each image, drawn from the model's own output."""
    noise = tf.random.stateless_uniform(
        [TRAIN], network.stateless_seed(*key, network.LABELS)
    ).numpy()
    drawn = []
    for x, u in zip(oracles.pixels_of(task), noise, strict=True):
        p = oracles.softmax(oracles.layers(theta, x)[2])
        drawn.append(min(int(np.searchsorted(np.cumsum(p), u, side="right")), CLASSES - 1))
    return drawn


def gradients_of(
    theta: Sequence[np.ndarray], task: data.Task, numbers: Sequence[int], delta: Callable[..., Any]
) -> list[list[np.ndarray]]:
    """Returns each image's own gradient [6], delta a function of its logits and its number."""
    pixels = oracles.pixels_of(task)
    return [
        oracles.image_gradients(theta, pixels[n], delta(oracles.layers(theta, pixels[n])[2], n))
        for n in numbers
    ]


def slow_fisher(
    theta: Sequence[np.ndarray],
    task: data.Task,
    defects: Sequence[str],
    key: Sequence[int],
    steps: int,
    batch: int = 1000,
) -> list[np.ndarray]:
    labels = drawn_labels(theta, task, key)
    each = gradients_of(
        theta,
        task,
        in_stream_order(task, steps)[used_places(defects, batch)],
        lambda z, n: oracles.log_likelihood_delta(z, labels[n]),
    )
    return [np.mean([gradient[k] ** 2 for gradient in each], axis=0) for k in range(6)]


def slow_mas(
    theta: Sequence[np.ndarray],
    task: data.Task,
    defects: Sequence[str],
    steps: int,
    output: str = "probabilities",
    batch: int = 1000,
) -> list[np.ndarray]:
    delta = oracles.half_norm_of_p_delta if output == "probabilities" else oracles.norm_of_z_delta
    used = used_places(defects, batch)
    images = in_stream_order(task, steps)[used]
    each = gradients_of(theta, task, images, lambda z, n: delta(z))
    if "D6" not in defects:
        return [np.mean([np.abs(gradient[k]) for gradient in each], axis=0) for k in range(6)]
    sums = [[np.zeros_like(p) for p in theta] for _ in range(-(-TRAIN // batch))]
    for place, gradient in zip(used, each, strict=True):
        for total, g in zip(sums[place // batch], gradient, strict=True):
            total += g
    return [np.mean([np.abs(total[k]) for total in sums], axis=0) for k in range(6)]


@pytest.mark.parametrize(
    ("head", "defects"),
    [("single", ()), ("multi", ()), ("single", ("D3",)), ("multi", ("D4",)), ("single", ("D5",))],
)
def test_ewc_penalty_is_half_the_sum_of_each_tasks_own_quadratic(head, defects) -> None:
    strength = 1.7
    ended = run(ewc, TASKS[:2], strength, head=head, as_released=defects)
    held = 6 if head == "single" else 4
    fishers = [
        slow_fisher(theta, task, defects, (SEED, task.number), 2 * EPOCH)[:held]
        for (theta, _), task in zip(ended.absorbed, TASKS[:2], strict=True)
    ]
    assert_close(ended.absorbed[1][1], fishers[1])
    rng = np.random.default_rng(0)
    pulls, anchors = oracles.float64(ended.penalty.pull()), oracles.float64(ended.penalty.anchor)
    tasks = [1] if "D5" in defects else [0, 1]
    for k in range(held):
        theta = rng.normal(size=anchors[k].shape)
        # The gradient of (λ/2) Σ_t F_t (θ − θ*_t)².
        literal = sum(strength * fishers[t][k] * (theta - ended.absorbed[t][0][k]) for t in tasks)
        assert_close([pulls[k] * (theta - anchors[k])], [literal], rtol=2e-3)
    moved = [np.abs(ended.absorbed[0][0][k] - ended.absorbed[1][0][k]).max() for k in range(held)]
    assert min(moved) > 1e-2, "anchors are too near each other to tell"


@pytest.mark.parametrize("source", ["exact", "labels"])
def test_ewc_takes_the_labels_that_are_asked_for(source: str) -> None:
    ended = run(ewc, TASKS[:1], 1.0, head="single", fisher=source)
    theta, found = ended.absorbed[0]
    labels = TASKS[0].train.labels.numpy()
    expected = [np.zeros_like(p) for p in theta]
    for y in range(CLASSES):
        each = gradients_of(
            theta, TASKS[0], range(TRAIN), lambda z, n, y=y: oracles.log_likelihood_delta(z, y)
        )
        for x, label, gradient in zip(oracles.pixels_of(TASKS[0]), labels, each, strict=True):
            p = oracles.softmax(oracles.layers(theta, x)[2])[y]
            weight = p if source == "exact" else label == y
            for total, g in zip(expected, gradient, strict=True):
                total += weight * g**2 / TRAIN
    assert_close(found, expected)


@pytest.mark.parametrize("gamma", [1.0, 0.6])
def test_online_ewc_decays_what_came_before_and_keeps_the_newest_anchor(gamma: float) -> None:
    strength = 1.7
    ended = run(ewc, TASKS, strength, gamma=gamma)
    omega = [np.zeros_like(f) for f in ended.absorbed[0][1]]
    for _, fisher in ended.absorbed:
        omega = [gamma * old + new for old, new in zip(omega, fisher, strict=True)]
    assert_close(ended.penalty.pull(), [strength * each for each in omega], rtol=1e-5)
    newest = [p.astype(np.float32) for p in ended.absorbed[-1][0]]
    assert_same_bits([anchor.numpy() for anchor in ended.penalty.anchor], newest)


def test_online_ewc_is_plain_ewc_while_there_is_one_past_task() -> None:
    plain, online = (run(ewc, TASKS[:2], 1.7, gamma=gamma) for gamma in (None, 1.0))
    for one, other in zip(plain.absorbed[1][0], online.absorbed[1][0], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    later = (run(ewc, TASKS, 1.7, gamma=gamma).values[0] for gamma in (None, 1.0))
    assert np.abs(np.subtract(*later)).max() > 1e-4


@pytest.mark.parametrize(
    ("head", "output", "defects"),
    [
        ("single", "probabilities", ()),
        ("multi", "logits", ()),
        ("single", "probabilities", ("D6",)),
        ("multi", "probabilities", ("D3",)),
        ("single", "logits", ("D3", "D6")),
    ],
)
def test_mas_penalty_is_half_the_summed_sensitivity_at_the_newest_anchor(
    head: str, output: str, defects: Sequence[str]
) -> None:
    strength = 0.02  # small: the sensitivity of logits is large
    changes = {"head": head, "output": output, "as_released": defects}
    ended = run(mas, TASKS[:2], strength, **changes)
    held = 6 if head == "single" else 4
    each = [
        slow_mas(theta, task, defects, 2 * EPOCH, output)[:held]
        for (theta, _), task in zip(ended.absorbed, TASKS[:2], strict=True)
    ]
    expected = [strength * (first + second) for first, second in zip(*each, strict=True)]
    assert_close(ended.penalty.pull(), expected)
    last = [p.astype(np.float32) for p in ended.absorbed[1][0][:held]]
    assert_same_bits([anchor.numpy() for anchor in ended.penalty.anchor], last)


@pytest.mark.parametrize("module", [ewc, mas], ids=["ewc", "mas"])
def test_a_huge_strength_holds_what_is_important_in_place(module: ModuleType) -> None:
    free, held = (run(module, TASKS[:2], strength) for strength in (0.0, 1e8))
    for k in range(6):
        (theta, omega), end = held.absorbed[0], held.absorbed[1][0]
        important = omega[k] > 1e-4
        assert important.any()
        assert np.abs(end[k] - theta[k])[important].max() < 1e-3
    assert np.abs(free.absorbed[1][0][0] - free.absorbed[0][0][0]).max() > 0.1


# SI


def softmax_twice_delta(z: np.ndarray, y: int) -> np.ndarray:
    """Returns ∂ log softmax(softmax(z))_y / ∂z by finite differences."""
    return by_finite_differences(lambda at: oracles.log_softmax(oracles.softmax(at))[y], z)


@pytest.mark.parametrize(
    ("update", "defects"),
    [("proximal", ()), ("explicit", ()), ("proximal", ("D7",)), ("proximal", ("D8",))],
)
def test_si_equals_the_path_integrated_by_hand(update: str, defects, monkeypatch) -> None:
    strength, xi, steps = 0.5, 0.05, 16
    changes = {"update": update, "xi": xi, "epochs": None, "steps": steps, "dropout": 0.0}
    ended = run(si, strength=strength, **changes, as_released=defects)

    if "D7" in defects:
        monkeypatch.setattr(oracles, "log_likelihood_delta", softmax_twice_delta)
    theta = oracles.float64(initial(1).parameters(0))
    zeros = [np.zeros(p.shape) for p in theta]
    slow = Slow(list(theta), zeros, theta, update=update)
    total = zeros
    for number, task in enumerate(TASKS):
        start = zeros if "D8" in defects and number == 0 else list(slow.theta)
        slow.path = [np.zeros(p.shape) for p in theta]
        train_by_hand(slow, task, steps)
        omega = [
            s / ((theta - before) ** 2 + xi)
            for s, theta, before in zip(slow.path, slow.theta, start, strict=True)
        ]
        if "D8" not in defects:
            omega = [np.maximum(value, 0) for value in omega]
        assert_close(ended.absorbed[number][1], omega, rtol=5e-3)
        assert_close(ended.absorbed[number][0], slow.theta, rtol=5e-3)
        total = [old + new for old, new in zip(total, omega, strict=True)]
        slow.pull = [2 * strength * value for value in total]
        slow.anchor = list(slow.theta)
    assert_close(ended.penalty.pull(), slow.pull, rtol=5e-3)


def test_si_clips_importance_at_zero_and_as_released_does_not(monkeypatch) -> None:
    real = PathIntegral.importance

    def uphill(self, *arguments, **more):
        for path in self.path:
            path.assign(-path)
        return real(self, *arguments, **more)

    monkeypatch.setattr(PathIntegral, "importance", uphill)
    clipped, released = (run(si, strength=1e-4, as_released=d) for d in ((), ("D8",)))
    assert all(np.all(omega == 0) for _, omegas in clipped.absorbed for omega in omegas)
    assert all(np.any(omega < 0) for _, omegas in released.absorbed for omega in omegas)


def test_softmax_twice_equals_finite_differences() -> None:
    rng = np.random.default_rng(2)
    z, labels = rng.normal(0, 2, (4, 5)), [0, 2, 4, 4]
    losses, delta = training.softmax_twice(tf.constant(z, tf.float32), tf.constant(labels))
    for n, y in enumerate(labels):
        expected = -oracles.log_softmax(oracles.softmax(z[n]))[y]
        assert float(losses[n]) == pytest.approx(expected, rel=1e-6)
        np.testing.assert_allclose(delta[n], -softmax_twice_delta(z[n], y), rtol=1e-4, atol=1e-7)


# LwF

RNG = np.random.default_rng(3)
STUDENT, TEACHER = RNG.normal(0, 1.5, (2, 4, 6))
OLD_V, OLD_C = RNG.normal(0, 1, (6, 9)), RNG.normal(0, 1, 9)
WEIGHTS = np.array([0.7, 0.4, 0.0])  # of two old heads and the present one


def slow_distillation(student: np.ndarray, epsilon: float, temperature: float = 2.0) -> float:
    """Returns Σ_s weight_s · mean_n D_ns, image by image and head by head."""
    total = 0.0
    for s, weight in enumerate(WEIGHTS):
        own = slice(3 * s, 3 * s + 3)
        for n in range(len(student)):
            p = oracles.softmax((TEACHER[n] @ OLD_V[:, own] + OLD_C[own]) / temperature)
            q = oracles.softmax((student[n] @ OLD_V[:, own] + OLD_C[own]) / temperature)
            for k in range(3):
                total -= weight * p[k] * np.log(q[k] + epsilon) / len(student)
    return total


def distil(
    student=STUDENT, v=OLD_V, c=OLD_C, weights=WEIGHTS, temperature=2.0, epsilon=0.0
) -> tuple[tf.Tensor, tf.Tensor]:
    heads = [tf.constant(v), tf.constant(c)]
    weights = tf.constant(weights)
    return lwf.distil(
        tf.convert_to_tensor(student), tf.constant(TEACHER), heads, weights, temperature, epsilon
    )


@pytest.mark.parametrize("epsilon", [0.0, 1e-5, 0.05])
def test_distillation_loss_and_derivative_equal_the_slow_loop(epsilon: float) -> None:
    loss, delta = distil(epsilon=epsilon)
    assert float(loss) == pytest.approx(slow_distillation(STUDENT, epsilon), rel=1e-9)
    expected = by_finite_differences(lambda at: slow_distillation(at, epsilon), STUDENT)
    np.testing.assert_allclose(delta, expected, rtol=1e-5, atol=1e-8)
    if epsilon == 1e-5:
        assert np.abs(delta - distil()[1]).max() > 1e-7, "epsilon cannot be seen"


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("epsilon", [0.0, 1e-5])
def test_distillation_derivative_equals_automatic_differentiation(epsilon, temperature) -> None:
    student = tf.constant(STUDENT)
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss, delta = distil(student, epsilon=epsilon, temperature=temperature)
    np.testing.assert_allclose(delta, tape.gradient(loss, student), rtol=1e-9, atol=1e-12)
    expected = slow_distillation(STUDENT, epsilon, temperature)
    assert float(loss) == pytest.approx(expected, rel=1e-9)


def test_present_and_future_heads_have_no_part_in_distillation() -> None:
    v, c = OLD_V.copy(), OLD_C.copy()
    v[:, 6:], c[6:] = 5, -3
    for found, expected in zip(distil(v=v, c=c), distil(), strict=True):
        np.testing.assert_array_equal(found, expected)
    v[:, 0] = 0
    assert np.abs(distil(v=v, c=c)[1] - distil()[1]).max() > 1e-3


def test_distillation_stays_finite_where_the_student_gives_a_class_no_chance() -> None:
    loss, delta = lwf.distil(
        *(tf.constant(h, tf.float32) for h in (100 * STUDENT, 100 * TEACHER)),
        [tf.constant(OLD_V, tf.float32), tf.constant(OLD_C, tf.float32)],
        tf.constant(WEIGHTS, tf.float32),
        np.float32(2),
    )
    assert np.isfinite(float(loss))
    assert np.isfinite(delta.numpy()).all()


@pytest.mark.parametrize("temperature", [2.0, 0.8])
def test_lwf_equals_the_slow_loop(temperature: float) -> None:
    strength, steps = 1.5, 16
    changes = {"temperature": temperature, "epochs": None, "steps": steps, "dropout": 0.0}
    ended = run(lwf, strength=strength, **changes)
    net = initial()
    trunk, heads = oracles.float64(net.trunk), [oracles.float64(head) for head in net.heads]
    for task in TASKS:
        teacher, pixels = list(trunk), oracles.pixels_of(task)
        old = heads[: task.number]

        def delta_h2(row: int, teacher=teacher, pixels=pixels, old=old):
            def derivative(h2: np.ndarray) -> np.ndarray:
                total = np.zeros_like(h2)
                for v, c in old:
                    z = oracles.layers([*teacher, v, c], pixels[row])[2]
                    p = oracles.softmax(z / temperature)
                    q = oracles.softmax((h2 @ v + c) / temperature)
                    total += strength * v @ (q - p) / temperature
                return total

            return derivative

        slow = Slow([*trunk, *heads[task.number]])
        train_by_hand(slow, task, steps, delta_h2)
        trunk, heads[task.number] = slow.theta[:4], slow.theta[4:]
    assert_close(ended.net.trunk, trunk, rtol=5e-3)
    for found, expected in zip(ended.net.heads, heads, strict=True):
        assert_close(found, expected, rtol=5e-3)
    plain = run(lwf, strength=0.0, **changes)
    assert np.abs(plain.net.trunk[0] - ended.net.trunk[0]).max() > 1e-2


@pytest.mark.parametrize("defects", [(), ("D11",)])
def test_teacher_and_old_heads_stand_still_while_a_task_trains(defects: Sequence[str]) -> None:
    seen = []

    def watch(nets: list[MLP], epoch: int) -> None:
        student, teacher = nets
        heads = [[p.numpy() for p in head] for head in student.heads]
        trunks = [[p.numpy() for p in net.trunk] for net in (student, teacher)]
        seen.append((*trunks, heads))

    ended = run(lwf, strength=1.0, watch=watch, epochs=3, as_released=defects)
    assert ended.epochs == len(seen) == 9
    net = initial()
    trunk = [p.numpy() for p in net.trunk]
    heads = [[p.numpy() for p in head] for head in net.heads]
    for task in range(3):
        for student, teacher, now in seen[3 * task : 3 * task + 3]:
            assert_same_bits(teacher, trunk)
            assert not same_bits(student, trunk)
            for number, head in enumerate(heads):
                assert same_bits(now[number], head) == (number != task)
        trunk, heads = student, now


def test_distilling_the_stored_features_is_running_the_teacher() -> None:
    student, teacher = (enlarge(MLP(HIDDEN, 3, CLASSES, PIXELS, seed)) for seed in (1, 2))
    task, rows = TASKS[2], np.array([3, 1012, 0, 7, 3])
    heads = network.stacked(student.heads)
    pixels = tf.constant(oracles.pixels_of(task)[rows], tf.float32)
    inputs, _ = network.forward(student.parameters(2), pixels)
    weights = tf.constant([1.5, 1.5, 0.0])
    arguments = (inputs, tf.constant(rows), tf.constant(0), heads, weights, np.float32(2))
    found = lwf.distillation(*arguments, training.features(teacher.trunk, task))
    layers, _ = network.forward(teacher.parameters(0), pixels)
    expected = lwf.distil(inputs.head, layers.head, heads, weights, 2.0)
    assert_close(found, expected, rtol=1e-5)
    # The teacher that runs along (D11), its dropout set to 0.
    found = lwf.noisy_distillation(*arguments, teacher.trunk, Dropout(), np.int32(7))
    assert_close(found, lwf.distil(inputs.head, layers.head, heads, weights, 2.0, 1e-5), rtol=1e-5)


def test_noisy_teacher_drops_other_units_at_every_step_and_key() -> None:
    net = enlarge(MLP(HIDDEN, 3, CLASSES, PIXELS, 1, dropout=Dropout(0.5)))
    pixels = tf.constant(oracles.pixels_of(TASKS[0])[:20], tf.float32)
    inputs, _ = network.forward(net.parameters(2), pixels)
    weights = tf.constant([1.0, 1.0, 0.0])

    def loss(step: int, key: int) -> float:
        rest = (network.stacked(net.heads), weights, np.float32(2), net.trunk, net.dropout)
        return float(lwf.noisy_distillation(inputs, None, tf.constant(step), *rest, key)[0])

    assert len({loss(step, key) for step in range(3) for key in range(3)}) == 9


def test_noisy_teacher_leads_elsewhere() -> None:
    plain, noisy = (run(lwf, strength=1.0, as_released=d) for d in ((), ("D11",)))
    assert np.abs(plain.net.trunk[0] - noisy.net.trunk[0]).max() > 1e-2


# sgd_freeze


def test_head_on_stored_features_equals_training_through_the_frozen_trunk() -> None:
    changes = {"dropout": 0.5, "epochs": None, "steps": 207}
    fast = run(sgd_freeze, **changes)

    def through_trunk(self, task, features, steps):
        self.train(task, steps, masks=[tf.Variable(tf.zeros_like(p)) for p in self.network.trunk])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "train_head", through_trunk)
        slow = run(sgd_freeze, **changes)
    start = initial()
    assert_same_bits([p.numpy() for p in fast.net.trunk], [p.numpy() for p in slow.net.trunk])
    for head in range(3):
        assert_close(fast.net.heads[head], slow.net.heads[head], rtol=1e-5)
        assert np.abs(fast.net.heads[head][0] - start.heads[head][0]).max() > 0.05
    np.testing.assert_array_equal(fast.matrix, slow.matrix)


def test_trunk_is_frozen_after_the_first_task_and_nothing_is_forgotten() -> None:
    seen = []
    watch = lambda nets, epoch: seen.append([p.numpy() for p in nets[0].trunk])  # noqa: E731
    ended = run(sgd_freeze, watch=watch)
    assert len(seen) == 6
    assert not same_bits(seen[0], seen[1])
    for trunk in seen[2:]:
        assert_same_bits(trunk, seen[1])
    assert metrics.forgetting(ended.matrix) == 0.0
    assert metrics.max_forgetting(ended.matrix) == 0.0
    assert len(set(ended.matrix[2])) > 1


def test_head_alone_cannot_be_trained_with_dropout_on_h1() -> None:
    net = MLP(HIDDEN, 2, CLASSES, PIXELS, dropout=Dropout(0.5, "both"))
    progress = progresses.Progress()
    trainer = training.Trainer(net, settings_of(finetune), progress)
    with pytest.raises(ValueError, match="dropout on h1"):
        trainer.train_head(TASKS[1], training.features(net.trunk, TASKS[1]), 5)


# joint


def test_own_head_cross_entropy_equals_a_loop_and_finite_differences() -> None:
    rng = np.random.default_rng(4)
    z, labels = rng.normal(0, 2, (5, 12)), [0, 3, 4, 11, 7]

    def slow(at: np.ndarray, n: int) -> float:
        task, y = divmod(labels[n], 4)
        return -oracles.log_likelihood(at[4 * task : 4 * task + 4], y)

    losses, delta = joint.own_head_cross_entropy(3)(tf.constant(z, tf.float32), tf.constant(labels))
    for n in range(5):
        assert float(losses[n]) == pytest.approx(slow(z[n], n), rel=1e-6)
        expected = by_finite_differences(functools.partial(slow, n=n), z[n])
        np.testing.assert_allclose(delta[n], expected, rtol=1e-4, atol=1e-6)
        assert np.count_nonzero(delta[n]) == 4


@pytest.mark.parametrize("head", ["single", "multi", "shared"])
def test_joint_accuracy_counts_the_class_among_the_right_outputs(head: str) -> None:
    ended = run(joint, head=head)
    theta = oracles.float64(ended.net.parameters(0))
    assert ended.net.heads[0][1].shape == (CLASSES if head == "shared" else 3 * CLASSES,)
    rows = {"single": [], "multi": []}
    for task in TASKS:
        right = {"single": 0, "multi": 0}
        for image, label in zip(task.test.images.numpy(), task.test.labels.numpy(), strict=True):
            z = oracles.layers(theta, image[task.permutation] / 255.0)[2]
            first = 0 if head == "shared" else CLASSES * task.number
            right["single"] += int(np.argmax(z) == first + label)
            right["multi"] += int(np.argmax(z[first : first + CLASSES]) == label)
        for kind, row in rows.items():
            row.append(right[kind] / len(task.test.labels))
    assert ended.matrix.tolist() == [rows["multi" if head == "multi" else "single"]]
    assert (rows["single"] == rows["multi"]) == (head == "shared")


def test_joint_with_a_shared_head_learns_all_tasks_on_the_same_outputs() -> None:
    ended = run(joint, head="shared", epochs=20, lr_decay=1.0, dropout=0.0)
    assert ended.matrix.min() > 0.8  # chance is a third


def test_joint_head_setting_chooses_the_loss() -> None:
    ends = {head: run(joint, head=head) for head in ("single", "multi")}
    assert ends["single"].net.heads[0][0].shape == ends["multi"].net.heads[0][0].shape == (5, 9)
    # Within own outputs the biases of each task's are only moved against each other.
    starts = initial(1, 3 * CLASSES).heads[0][1].numpy()
    sums = {
        head: np.sum((ended.net.heads[0][1].numpy() - starts).reshape(3, 3), axis=1)
        for head, ended in ends.items()
    }
    np.testing.assert_allclose(sums["multi"], 0, atol=1e-5)
    assert np.abs(sums["single"]).max() > 1e-3


def test_joint_epoch_is_the_complete_batches_of_all_pairs() -> None:
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        real = training.batches

        def note(*arguments):
            seen.append((arguments, real(*arguments)))
            return seen[-1][1]

        patch.setattr(training, "batches", note)
        ended = run(joint)
    assert ended.epochs == 2
    assert [call[4:] for call, _ in seen] == [(0, 58, True), (58, 58, True)]  # 3 · 1013 // 52
    for _, batches in seen:
        assert len(set(batches.ravel())) == 58 * BATCH


def test_joint_never_holds_permuted_images(monkeypatch) -> None:
    train, compiled, seen, largest = training.Trainer.train, training._compiled_steps, [], []

    def note_task(self, task, steps, **more):
        seen.append(task)
        train(self, task, steps, **more)

    def note_arguments(*how):
        def steps(*arguments):
            flat = tf.nest.flatten(arguments)
            largest.append(max(tf.size(a).numpy() for a in flat if a is not None))
            return compiled(*how)(*arguments)

        return steps

    monkeypatch.setattr(training.Trainer, "train", note_task)
    monkeypatch.setattr(training, "_compiled_steps", note_arguments)
    run(joint)
    (mixture,) = seen
    assert mixture.examples == 3 * TRAIN
    assert mixture.train is TASKS[0].dataset.train
    assert [field.name for field in dataclasses.fields(mixture)] == [
        "dataset",
        "permutation",
        "label_step",
        "number",
    ]
    assert mixture.permutation.shape == (3, PIXELS)
    assert set(largest) == {TRAIN * PIXELS}, "something is larger than the images"


# Defects of the release

WITH_D1 = [name for name in SCRIPTS if "D1" in importlib.import_module(name).Settings.DEFECTS]


def test_dropout_in_evaluation_is_a_defect_of_six_scripts() -> None:
    expected = {"anpyc_wo_np", "lwf", "finetune", "sgd_single_head", "joint", "si"}
    assert set(WITH_D1) == expected


@pytest.mark.parametrize("name", WITH_D1)
def test_dropout_in_evaluation_changes_accuracies_and_nothing_else(name: str) -> None:
    plain, noisy = (run(name, strength=0.5, as_released=d) for d in ((), ("D1",)))
    assert_same_bits(plain.values, noisy.values)
    assert not np.array_equal(plain.matrix, noisy.matrix, equal_nan=True)
    assert plain.progress.validation_accuracy != noisy.progress.validation_accuracy


def test_learning_rate_never_decays_where_its_step_is_reset_every_epoch() -> None:
    decaying, constant, released = (
        run(sgd_single_head, lr_decay=decay, as_released=defects)
        for decay, defects in ((0.7, ()), (1.0, ()), (0.7, ("D9",)))
    )
    assert_same_bits(released.values, constant.values)
    np.testing.assert_array_equal(released.matrix, constant.matrix)
    assert not same_bits(released.values, decaying.values)


@pytest.mark.parametrize(
    ("steps", "read"), [(10_000, 9800), (1000, 800), (1001, 1000), (201, 200), (200, 0), (1, 0)]
)
def test_release_reads_before_every_200th_step(steps: int, read: int) -> None:
    assert training.released_reading(steps) == read


@pytest.mark.parametrize("name", ["ewc", "mas", "sgd_freeze"])
def test_released_reading_is_taken_at_its_step_while_training_goes_on(name: str) -> None:
    # 203 steps are 10 epochs of 20 steps and a last one of 3; the reading is before step 200.
    changes = {"epochs": None, "steps": 203, "lr_decay": 1.0, "learning_rate": 0.8}
    rows: list[tuple[list[float], list[float]]] = []

    def read(nets: list[MLP], epoch: int) -> None:
        if epoch % 11 == 10:
            reader = training.Trainer(nets[0], settings_of(finetune), progresses.Progress(), SEED)
            rows.append(reader.evaluate(TASKS[: epoch // 11 + 1]))

    plain = run(name, strength=0.1, watch=read, **changes)
    released = run(name, strength=0.1, as_released=("D14",), **changes)
    assert plain.epochs == released.epochs == 33
    assert released.progress.accuracy == [test for test, _ in rows]
    assert released.progress.validation_accuracy == [validation for _, validation in rows]
    assert released.progress.accuracy != plain.progress.accuracy
    assert_same_bits(released.values, plain.values)
    # Importance is that of the end of training, too.
    for one, other in zip(released.absorbed, plain.absorbed, strict=True):
        assert_same_bits([*one[0], *one[1]], [*other[0], *other[1]])


def result(strength: float, validation: float, test: float, **more: Any) -> dict[str, Any]:
    row = {"ACC": test, "F": None, "BWT": None, "F_max": None, "LA": test}
    return {
        "script": "lwf",
        "status": "finished",
        "lambda": strength,
        "seed": 0,
        "accuracy": [[test]],
        "validation_accuracy": [[validation]],
        "metrics": row,
        "seconds": 1.0,
        **more,
    }


@pytest.mark.parametrize("name", ["anpyc_wo_np", "lwf"])
@pytest.mark.parametrize(("defects", "best"), [((), "1"), (("D12",), "4")])
def test_strength_is_chosen_by_validation_and_as_released_by_test(
    name: str, defects: Sequence[str], best: str, tmp_path: Path, monkeypatch
) -> None:
    runs = [result(0.5, 0.7, 0.6), result(1, 0.9, 0.7), result(4, 0.8, 0.8)]
    shown: list[Sequence[Sequence[str]]] = []
    display = progresses.Display()
    monkeypatch.setattr(display, "table", lambda title, header, rows: shown.append(rows))
    monkeypatch.setattr(report, "_figures", lambda stem, *rest: [stem])
    settings = settings_of(importlib.import_module(name), as_released=defects)
    report.accuracy_report(settings, runs, tmp_path, "", display)
    assert [row[0] for row in shown[0] if "*" in row[0]] == [f"{best} *"]


def test_strength_with_a_diverged_run_is_not_chosen() -> None:
    broken = result(1, 0.0, 0.0, seed=1, status="diverged", accuracy=None, validation_accuracy=None)
    runs = [result(0.5, 0.7, 0.6), result(1, 0.9, 0.7), broken]
    assert report.choose_strength(runs) == 0.5
    assert report.choose_strength([broken]) is None


# What the test and the validation set may not touch


@pytest.mark.parametrize("name", SCRIPTS)
def test_only_evaluation_sees_the_test_and_the_validation_images(name: str) -> None:
    rng = np.random.default_rng(6)
    dataset = TASKS[0].dataset

    def garbage(split: data.Split) -> data.Split:
        images = tf.constant(rng.integers(0, 256, split.images.shape), tf.uint8)
        return data.Split(images, tf.constant(rng.integers(0, CLASSES, len(images)), tf.uint8))

    spoilt = dataclasses.replace(
        dataset, test=garbage(dataset.test), validation=garbage(dataset.validation)
    )
    clean = run(name, strength=0.5)
    other = run(name, data.permuted_tasks(spoilt, 3), strength=0.5)
    assert_same_bits(clean.values, other.values)
    assert not np.array_equal(clean.matrix, other.matrix, equal_nan=True)
    assert clean.progress.validation_accuracy != other.progress.validation_accuracy
    assert sorted(clean.progress.arrays) == sorted(other.progress.arrays)
    for key, array in clean.progress.arrays.items():
        np.testing.assert_array_equal(array, other.progress.arrays[key])


# Going on after an interrupt


class Killed(Exception):
    """Stands for a machine that goes down."""


@pytest.mark.parametrize("released", [False, True], ids=["default", "as released"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_run_killed_twice_ends_like_one_that_never_was(
    name: str, released: bool, tmp_path: Path
) -> None:
    module = importlib.import_module(name)
    changes: dict[str, Any] = {}
    if released:
        changes["as_released"] = module.Settings.DEFECTS
        if "D14" in module.Settings.DEFECTS:
            changes.update(epochs=None, steps=207, lr_decay=1.0)
        if "D16" in module.Settings.DEFECTS:
            changes["update"] = "explicit"
    whole = run(module, strength=0.1, **changes)

    rng = np.random.default_rng(zlib.crc32(f"{name} {released}".encode()))
    first = int(rng.integers(1, whole.epochs))
    second = int(rng.integers(1, whole.epochs - first + 1))
    files = results.RunFiles(tmp_path, "seed", {"script": name})
    done = []
    with files.hold() as held:
        assert held
        for stop in (first, second):

            def kill(nets: list[MLP], epoch: int, stop: int = stop) -> None:
                if epoch == stop:
                    raise Killed

            with pytest.raises(Killed):
                run(module, strength=0.1, files=files, watch=kill, **changes)
        again = run(module, strength=0.1, files=files, **changes)
        done.append(again.epochs)
    assert done == [whole.epochs - first - second], "it started again"
    assert again.progress.accuracy == whole.progress.accuracy
    assert again.progress.validation_accuracy == whole.progress.validation_accuracy
    assert again.progress.details == whole.progress.details
    assert_same_bits(again.values, whole.values)
    assert sorted(again.progress.arrays) == sorted(whole.progress.arrays)
    for key, array in whole.progress.arrays.items():
        np.testing.assert_array_equal(again.progress.arrays[key], array)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_seed_that_the_command_line_takes_can_be_run(name: str) -> None:
    module = importlib.import_module(name)
    defects = module.Settings.DEFECTS
    update = {"update": "explicit"} if "D16" in defects else {}
    settings = settings_of(module, as_released=defects, **update, seeds=(2**31 - 1,))
    matrix = module.run(settings, TASKS[:2], seed=settings.seeds[0])
    assert np.isfinite(matrix[-1]).all()
