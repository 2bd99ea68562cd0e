"""The importance distribution: its statistics, its table and figures, and the script."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cal_importance_distribution as script
from common import consolidation, metrics, training
from common.network import MLP
from harness import distribution, options, progress, style
from tests import made_up, oracles, runs
from tests.oracles import SEED, assert_close, same_bits
from tests.runs import EPOCH

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

# Skewness and kurtosis

NUMBERS = st_numpy.arrays(
    st.sampled_from([np.float32, np.float64, np.int32]),
    st_numpy.array_shapes(max_dims=2, min_side=1, max_side=30),
    elements=st.integers(-1000, 1000),
)


@given(values=NUMBERS, scale=st.sampled_from([1e-12, 1.0, 3e4]))
@settings(max_examples=150)
def test_moments_equal_those_of_scipy(values: np.ndarray, scale: float) -> None:
    scaled = values * np.asarray(scale, np.float32 if values.dtype == np.float32 else float)
    assume(np.ptp(scaled) > 0)
    flat = scaled.astype(np.float64).ravel()
    expected = scipy.stats.skew(flat), scipy.stats.kurtosis(flat)
    assert metrics.skewness(scaled) == pytest.approx(expected[0], rel=1e-9, abs=1e-9)
    assert metrics.excess_kurtosis(scaled) == pytest.approx(expected[1], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("function", [metrics.skewness, metrics.excess_kurtosis])
@pytest.mark.parametrize(
    "values", [[], [1.0, np.nan], [1.0, np.inf], [2.0, 2.0], [0.0] * 3, [0.1] * 3]
)
def test_moments_of_nonsense_and_of_constants_are_refused(function, values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"values|constant"):
        function(values)


# What is stored

IMPORTANCES = st_numpy.arrays(
    np.float32,
    st.integers(2, 200),
    elements=st.one_of(st.just(0.0), st.floats(2.0**-66, 2.0**16, width=32)),
)


@given(values=IMPORTANCES)
@settings(max_examples=100)
def test_histograms_count_every_value_once(values: np.ndarray) -> None:
    assume(np.ptp(values) > 0)
    described = distribution.describe({"any": values})["any"]
    assert sum(described["unit"]) == values.size
    zeros = int(np.sum(values == 0))
    assert described["zeros"] == zeros / values.size
    assert sum(described["decades"]) + zeros == values.size
    assert described["highest"] == values.max()
    assert described["skewness"] == metrics.skewness(values)
    assert described["kurtosis"] == metrics.excess_kurtosis(values)
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_no_positive_float32_falls_out_of_the_histogram() -> None:
    values = np.array([2e-38, 1e-30, 1e-22, 1.0, 1e7, 3e38], np.float32)  # EWC has some 1e-22
    assert sum(distribution.describe({"any": values})["any"]["decades"]) == values.size


def test_histograms_put_values_into_the_right_bins() -> None:
    values = {"a": np.array([0, 0, 3e-3, 0.5, 2, 2, 8], np.float32), "b": np.arange(3.0)}
    described = distribution.describe(values)
    assert described["b"] == distribution.describe({"b": values["b"]})["b"]  # each on its own
    unit = {k: count for k, count in enumerate(described["a"]["unit"]) if count}
    assert unit == {0: 3, 62: 1, 250: 2, 999: 1}
    decades = {k: count for k, count in enumerate(described["a"]["decades"]) if count}
    places = [int((np.log10(value) + 20) * 5) for value in (3e-3, 0.5, 2, 8)]
    assert decades == dict(zip(places, (1, 1, 2, 1), strict=True))
    assert described["a"]["zeros"] == 2 / 7


@pytest.mark.parametrize(
    ("value", "reason"), [(0.0, "0 everywhere"), (np.nan, "not finite"), (np.inf, "not finite")]
)
def test_network_that_died_diverged(value: float, reason: str) -> None:
    kept = progress.Progress()
    kept.details["importance"] = {}
    values = {"a": np.arange(3.0), "b": np.full(3, value)}
    with pytest.raises(consolidation.Diverged, match=reason):
        distribution.keep(kept, "before", values)


# Densities


def test_gaussian_density_agrees_with_scipy() -> None:
    values = np.random.default_rng(SEED).beta(1, 8, 3000)
    values = (values - values.min()) / (values.max() - values.min())
    counts, edges = np.histogram(values, 5000, (0, 1))
    grid = np.linspace(-0.05, 1.05, 301)
    # scipy's bandwidth is a factor of the sample standard deviation.
    expected = scipy.stats.gaussian_kde(values, bw_method=0.01 / values.std(ddof=1))(grid)
    density = distribution.gaussian_density(counts, edges, grid)
    np.testing.assert_allclose(density, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("counts", "edges"), [([1, 2], [0.0, 1.0]), ([], [0.0]), ([0, 0], [0, 1, 2]), ([[1]], [0, 1])]
)
def test_gaussian_density_of_nonsense(counts: Any, edges: Any) -> None:
    with pytest.raises(ValueError, match=r"counts|empty"):
        distribution.gaussian_density(counts, edges, [0.5])


# Table and figures, from results made by hand

PUBLISHED = {
    "kurtosis": {"A": ((11.0, 1.0), (12.0, 2.0)), "B": ((13.0, 3.0), (14.0, 4.0))},
    "skewness": {"A": ((15.0, 5.0), (16.0, 6.0)), "B": ((17.0, 7.0), (18.0, 8.0))},
}


def result_of(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    importances = {}
    for stage in distribution.STAGES:
        values = {name: rng.gamma(0.1, 1e-3, 300) * (rng.random(300) < 0.7) for name in "AB"}
        importances[stage] = distribution.describe(values)
    path = [
        {"percent": percent, "accuracy": rng.random(), "validation_accuracy": rng.random()}
        for percent in (0, 5, 10)
    ]
    before = {key: [[rng.random()]] for key in ("accuracy", "validation_accuracy")}
    return {"seed": seed, **before, "importance": importances, "path": path}


MADE_UP = [result_of(seed) for seed in range(3)]


def seeds_of(kind: str, stage: str, name: str) -> list[float]:
    return [result["importance"][stage][name][kind] for result in MADE_UP]


def test_table_holds_mean_and_sample_deviation_over_seeds_beside_the_published_ones() -> None:
    header, rows = distribution.table(MADE_UP, PUBLISHED)
    assert {len(row) for row in [header, *rows]} == {5}

    def text(values: Sequence[float]) -> str:
        return f"{np.mean(values):.4g} ± {np.std(values, ddof=1):.4g}"

    theirs = {
        "kurtosis": {"A": ["11 ± 1", "12 ± 2"], "B": ["13 ± 3", "14 ± 4"]},
        "skewness": {"A": ["15 ± 5", "16 ± 6"], "B": ["17 ± 7", "18 ± 8"]},
        "zeros": {"A": ["-", "-"], "B": ["-", "-"]},
    }
    expected = [
        [f"{kind} {name}", *(text(seeds_of(kind, s, name)) for s in distribution.STAGES), *cells]
        for kind, measures in theirs.items()
        for name, cells in measures.items()
    ]
    first = [100 * result["accuracy"][0][0] for result in MADE_UP]
    last = [100 * result["path"][-1]["accuracy"] for result in MADE_UP]
    assert rows == [*expected, ["accuracy, %", text(first), text(last), "-", "-"]]
    _, rows = distribution.table(MADE_UP[:1], PUBLISHED)  # one seed has no deviation
    assert not any("±" in cell for row in rows for cell in row[1:3])


def test_figures_are_drawn_from_the_numbers_in_the_results() -> None:
    drawings = distribution.drawings(MADE_UP, PUBLISHED)
    drawn = {drawing.name: drawing.arguments for drawing in drawings}
    assert len(drawn) == len(drawings) == 2 + 2 * 2 + 2 + 1

    for kind in ("kurtosis", "skewness"):
        heights, errors, reference = (drawn[kind][n] for n in ("groups", "errors", "reference"))
        for name in "AB":
            for k, stage in enumerate(distribution.STAGES):
                values, label = seeds_of(kind, stage, name), f"{stage} pruning"
                assert heights[name][label] == pytest.approx(np.mean(values))
                assert errors[name][label] == pytest.approx(np.std(values, ddof=1))
                assert reference[name][label] == PUBLISHED[kind][name][k]
    for name, stage in itertools.product("AB", distribution.STAGES):
        label = f"{stage} pruning"
        density = drawn[f"density_{name}"]["values"][label]
        histogram = drawn[f"histogram_{name}"]["histograms"][label]
        counts = np.sum(seeds_of("unit", stage, name), axis=0)
        expected = distribution.gaussian_density(counts, np.linspace(0, 1, 1001), density[0], 0.01)
        np.testing.assert_array_equal(density[1], expected)
        counts = np.sum(seeds_of("decades", stage, name), axis=0)
        np.testing.assert_array_equal(histogram["counts"], counts)
        assert histogram["zeros"] == pytest.approx(np.mean(seeds_of("zeros", stage, name)))
        if stage == "before":
            assert drawn["density"]["values"][name] == density
            assert drawn["histogram"]["histograms"][name] == histogram
    assert list(drawn["path"]["percents"]) == [0, 5, 10]
    for label, key in (("test", "accuracy"), ("validation", "validation_accuracy")):
        expected = [
            [result[key][0][0], *(step[key] for step in result["path"])] for result in MADE_UP
        ]
        assert drawn["path"]["curves"][label] == expected


# The script's run

PATH = {"prune_percent": 60, "prune_step": 20, "retrain_epochs": 1}
EPOCHS = 2
TASK = runs.TASKS[0]
NAMES = ("W1", "b1", "W2", "b2")


@dataclasses.dataclass
class Watched:
    """A run of the script, and the network after every epoch: θ, test and validation accuracy."""

    run: runs.Run
    thetas: list[list[np.ndarray]]
    accuracy: list[tuple[float, ...]]

    @property
    def path(self) -> list[dict[str, Any]]:
        """What is stored of each step of the pruning path."""
        return self.run.progress.details["path"]

    def stored(self, name: str) -> np.ndarray:
        return self.run.progress.arrays[name]


def watched(**changes: Any) -> Watched:
    thetas, accuracy = [], []

    def watch(nets: list[MLP], epoch: int) -> None:
        theta = oracles.float64(nets[0].parameters(0))
        thetas.append(theta)
        splits = (TASK.test, TASK.validation)
        accuracy.append(tuple(oracles.accuracy(theta, s, TASK.permutation) for s in splits))

    run = runs.run("cal_importance_distribution", watch=watch, **{**PATH, **changes})
    return Watched(run, thetas, accuracy)


@pytest.fixture(scope="module")
def plain() -> Watched:
    return watched()


def flat(values: Sequence[Any]) -> np.ndarray:
    """Returns all entries of the trunk together, of a value for each tensor."""
    return np.concatenate([np.ravel(value) for value in values[:4]])


def measured(
    name: str, theta: Sequence[np.ndarray], epochs: int, used: str = "all"
) -> list[np.ndarray]:
    """Returns an importance after so many epochs, image by image, in batches of 100."""
    batches = runs.batches_of(TASK, epochs * EPOCH, 100, used)
    if name == "EWC":
        return runs.sampled_fisher(theta, TASK, (SEED, 0), batches)
    pixels = [oracles.pixels_of(TASK)[numbers] for numbers in batches]
    if name == "MAS":
        return oracles.mas_importance(theta, np.concatenate(pixels), "probabilities")
    signed = oracles.entropy_importance(theta, pixels, "signed")
    return signed if name == "signed" else [np.maximum(values, 0) for values in signed]


@pytest.mark.parametrize(("percent", "percents"), [(50, [0, 20, 40]), (0, [0])])
def test_path_goes_from_zero_to_the_last_percentile(percent: int, percents: list[int]) -> None:
    ran = watched(prune_percent=percent)
    assert [step["percent"] for step in ran.path] == percents
    assert ran.run.epochs == EPOCHS + len(percents)


def test_signed_importance_before_pruning_decides_all_along_the_path(plain: Watched) -> None:
    values = [plain.stored(f"signed_{name}") for name in NAMES]
    assert_close(values, measured("signed", plain.thetas[EPOCHS - 1], EPOCHS)[:4])
    assert any(np.any(value < 0) for value in values)
    assert [step["percent"] for step in plain.path] == [0, 20, 40, 60]
    for step, theta in zip(plain.path, plain.thetas[EPOCHS:], strict=True):
        for name, value, parameter in zip(NAMES, values, theta, strict=False):
            pruned = (value == 0) | (value < np.percentile(value, step["percent"]))
            np.testing.assert_array_equal(parameter == 0, pruned)
            assert step[name] == np.mean(pruned)
        assert step["overall"] == pytest.approx(np.mean(flat(theta) == 0))


def test_accuracies_before_pruning_and_along_the_path_are_recorded(plain: Watched) -> None:
    test, validation = plain.accuracy[EPOCHS - 1]
    assert plain.run.matrix.tolist() == [[test]]
    assert plain.run.progress.validation_accuracy == [[validation]]
    along_path = [(step["accuracy"], step["validation_accuracy"]) for step in plain.path]
    assert along_path == plain.accuracy[EPOCHS:]
    assert len({*plain.accuracy}) > 2


@pytest.mark.parametrize("stage", distribution.STAGES)
def test_importances_are_those_of_the_whole_trunk(stage: str, plain: Watched) -> None:
    epochs = EPOCHS if stage == "before" else len(plain.thetas)
    theta = plain.thetas[epochs - 1]
    stored = {name: plain.stored(f"{stage}_{name}") for name in script.MEASURES}
    assert plain.run.progress.details["importance"][stage] == distribution.describe(stored)
    expected = [flat(measured(name, theta, epochs)) for name in script.MEASURES]
    assert_close(stored.values(), expected)
    np.testing.assert_array_equal(stored["ANPyC"][flat(theta) == 0], 0)


@pytest.mark.parametrize("defect", ["D3", "D4", "D6"])
def test_defect_changes_its_measures_and_no_other(defect: str, plain: Watched) -> None:
    theta, steps = plain.thetas[EPOCHS - 1], EPOCHS * EPOCH
    if defect == "D3":
        changed = {name: measured(name, theta, EPOCHS, "all-but-last") for name in script.MEASURES}
    elif defect == "D4":  # every tensor draws its own labels
        firsts = runs.batches_of(TASK, steps, 100, "first")
        each = [runs.sampled_fisher(theta, TASK, (SEED, k), firsts)[k] for k in range(4)]
        changed = {"EWC": each}
    else:
        pixels = oracles.pixels_of(TASK)
        batches = [pixels[numbers] for numbers in runs.batches_of(TASK, steps, 100)]
        changed = {"MAS": oracles.mas_of_batches(theta, batches, "probabilities")}
    released = watched(as_released=(defect,))
    assert same_bits(released.thetas[EPOCHS - 1], theta)
    for name in script.MEASURES:
        values = released.stored(f"before_{name}")
        if name in changed:
            assert_close([values], [flat(changed[name])])
        else:
            np.testing.assert_array_equal(values, plain.stored(f"before_{name}"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_plot_only_draws_the_stored_results_again_and_computes_nothing(
    call_script: Callable[..., Any],
    tiny_arguments: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = [*tiny_arguments[script.__name__], "--data-dir", str(options.ROOT / "data")]
    made_up.keep_all(tmp_path, shlex.join([script.__name__, *flags]), (0.9, 0.8), flags="")
    stored = files(tmp_path)

    def no_training(*arguments: Any, **more: Any) -> None:
        raise AssertionError("it trains")

    monkeypatch.setattr(training.Trainer, "train", no_training)
    monkeypatch.setattr(style, "DPI", 60)
    flags += ["--results-dir", str(tmp_path), "--plot-only", "--figures", "png"]
    ended = call_script(script.__name__, *flags, "--seeds", 0, 1, "--fresh")  # deletes nothing then
    assert ended.status == 0, ended.err
    figures = {name for name in files(tmp_path) if name.endswith(".png")}
    assert len(figures) == 2 + 3 * 2 + 2 + 1
    for text in ("kurtosis EWC", "skewness ANPyC", "zeros MAS", "352 ± 222.9"):
        assert text in ended.out

    ended = call_script(script.__name__, *flags, "--seeds", 0, 1, 2)
    ended.assert_refused("seed2", "missing", "--plot-only")
    assert {name: data for name, data in files(tmp_path).items() if name not in figures} == stored
