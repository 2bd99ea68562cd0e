"""The importance distribution: its statistics, its table and figures, and the script."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import cal_importance_distribution as script
from common import canvas, distribution, importance, metrics, plots, training
from common.network import MLP
from tests import oracles
from tests.conftest import ROOT
from tests.test_baselines import (
    EPOCH,
    SEED,
    TASKS,
    Run,
    assert_close,
    assert_same_bits,
    in_stream_order,
    run,
    slow_fisher,
    slow_mas,
)

# Skewness and kurtosis

NUMBERS = st_numpy.arrays(
    st.sampled_from([np.float32, np.float64, np.int32]),
    st_numpy.array_shapes(max_dims=2, min_side=1, max_side=30),
    elements=st.integers(-1000, 1000),
)


@given(values=NUMBERS, scale=st.sampled_from([1e-12, 1.0, 3e4]))
@settings(max_examples=150, deadline=None)
def test_moments_equal_those_of_scipy(values: np.ndarray, scale: float) -> None:
    scaled = values * np.asarray(scale, np.float32 if values.dtype == np.float32 else float)
    assume(np.ptp(scaled) > 0)
    flat = scaled.astype(np.float64).ravel()
    expected = scipy.stats.skew(flat), scipy.stats.kurtosis(flat)
    assert metrics.skewness(scaled) == pytest.approx(expected[0], rel=1e-9, abs=1e-9)
    assert metrics.excess_kurtosis(scaled) == pytest.approx(expected[1], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1.0, 1e9])
def test_moments_of_extremely_skewed_float32_lose_nothing(scale: float) -> None:
    rng = np.random.default_rng(1)
    values = (scale * rng.lognormal(0, 3, 52_320)).astype(np.float32)
    values[rng.random(52_320) < 0.6] = 0
    values[7] = 400 * values.max()
    flat = values.astype(np.float64)
    assert scipy.stats.skew(flat) > 200
    assert metrics.skewness(values) == pytest.approx(scipy.stats.skew(flat), rel=1e-9)
    assert metrics.excess_kurtosis(values) == pytest.approx(scipy.stats.kurtosis(flat), rel=1e-9)


def test_kurtosis_of_a_normal_sample_is_near_zero_and_biased() -> None:
    sample = np.random.default_rng(2).normal(5, 3, 20)
    assert metrics.excess_kurtosis(np.random.default_rng(2).normal(size=400_000)) == pytest.approx(
        0, abs=0.03
    )
    assert metrics.excess_kurtosis(sample) != pytest.approx(
        scipy.stats.kurtosis(sample, bias=False), abs=1e-3
    )
    assert metrics.skewness(sample) != pytest.approx(scipy.stats.skew(sample, bias=False), abs=1e-3)


@pytest.mark.parametrize("function", [metrics.skewness, metrics.excess_kurtosis])
@pytest.mark.parametrize("values", [[], [1.0, np.nan], [1.0, np.inf], [2.0, 2.0]])
def test_moments_of_nonsense_are_refused(function, values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"values|constant"):
        function(values)


@pytest.mark.parametrize("function", [metrics.skewness, metrics.excess_kurtosis])
@pytest.mark.parametrize(
    "value",
    [
        0.0,
        0.5,
        0.1,
    ],
)
def test_moments_of_a_constant_are_refused(function, value: float) -> None:
    with pytest.raises(ValueError, match="constant"):
        function(np.full(3, value))


# What is stored

IMPORTANCES = st_numpy.arrays(
    np.float32,
    st.integers(2, 200),
    elements=st.one_of(st.just(0.0), st.floats(2.0**-66, 2.0**16, width=32)),
)


@given(values=IMPORTANCES)
@settings(max_examples=100, deadline=None)
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
    values = np.array([0, 0, 3e-3, 0.5, 2, 2, 8], np.float32)
    described = distribution.describe({"any": values})["any"]
    unit = {k: count for k, count in enumerate(described["unit"]) if count}
    assert unit == {0: 3, 62: 1, 250: 2, 999: 1}
    decades = {k: count for k, count in enumerate(described["decades"]) if count}
    places = [int((np.log10(value) + 20) * 5) for value in (3e-3, 0.5, 2, 8)]
    assert decades == dict(zip(places, (1, 1, 2, 1), strict=True))
    assert described["zeros"] == 2 / 7


def test_measures_are_described_each_on_its_own_and_left_as_they_are() -> None:
    rng = np.random.default_rng(3)
    values = {name: rng.gamma(shape, size=50) for name, shape in (("a", 0.1), ("b", 5))}
    copies = {name: array.copy() for name, array in values.items()}
    described = distribution.describe(values)
    assert list(described) == ["a", "b"]
    for name in values:
        assert described[name] == distribution.describe({name: values[name]})[name]
        np.testing.assert_array_equal(values[name], copies[name])


# Table and figures, from results made by hand

PUBLISHED = {
    "kurtosis": {"A": ((11.0, 1.0), (12.0, 2.0)), "B": ((13.0, 3.0), (14.0, 4.0))},
    "skewness": {"A": ((15.0, 5.0), (16.0, 6.0)), "B": ((17.0, 7.0), (18.0, 8.0))},
}


def made_up(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    importances = {}
    for stage in distribution.STAGES:
        values = {name: rng.gamma(0.1, 1e-3, 300) * (rng.random(300) < 0.7) for name in "AB"}
        importances[stage] = distribution.describe(values)
    path = [
        {"percent": percent, "accuracy": rng.random(), "validation_accuracy": rng.random()}
        for percent in (0, 5, 10)
    ]
    return {"seed": seed, "accuracy": [[rng.random()]], "importance": importances, "path": path}


MADE_UP = [made_up(seed) for seed in range(3)]


def of(kind: str, stage: str, name: str) -> list[float]:
    return [result["importance"][stage][name][kind] for result in MADE_UP]


@pytest.mark.parametrize("kind", ["kurtosis", "skewness", "zeros"])
def test_statistics_are_mean_and_sample_deviation_over_the_seeds(kind: str) -> None:
    found = distribution.statistics(MADE_UP, kind)
    assert list(found) == ["A", "B"]
    for name in "AB":
        for (mean, std), stage in zip(found[name], distribution.STAGES, strict=True):
            values = of(kind, stage, name)
            assert mean == pytest.approx(sum(values) / 3)
            assert std == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)
    assert [std for _, std in distribution.statistics(MADE_UP[:1], kind)["A"]] == [None, None]


def test_table_holds_the_statistics_beside_the_published_ones() -> None:
    header, rows = distribution.table(MADE_UP, PUBLISHED)
    assert len(header) == 5
    assert {len(row) for row in rows} == {5}
    cells = {row[0]: row[1:] for row in rows}
    assert list(cells) == [
        *(f"{kind} {name}" for kind in ("kurtosis", "skewness", "zeros") for name in "AB"),
        "accuracy, %",
    ]

    def text(values: Sequence[float]) -> str:
        return f"{np.mean(values):.4g} ± {np.std(values, ddof=1):.4g}"

    for kind in ("kurtosis", "skewness", "zeros"):
        for name in "AB":
            ours = [text(of(kind, stage, name)) for stage in distribution.STAGES]
            assert cells[f"{kind} {name}"][:2] == ours
    assert cells["kurtosis B"][2:] == ["13 ± 3", "14 ± 4"]
    assert cells["skewness A"][2:] == ["15 ± 5", "16 ± 6"]
    assert cells["zeros A"][2:] == ["-", "-"]
    first = [100 * result["accuracy"][0][0] for result in MADE_UP]
    last = [100 * result["path"][-1]["accuracy"] for result in MADE_UP]
    assert cells["accuracy, %"] == [text(first), text(last), "-", "-"]


def test_table_of_one_seed_has_no_deviation_of_ours() -> None:
    _, rows = distribution.table(MADE_UP[:1], PUBLISHED)
    assert not any("±" in cell for row in rows for cell in row[1:3])


def test_figures_are_drawn_from_the_numbers_in_the_results() -> None:
    drawings = distribution.drawings(MADE_UP, PUBLISHED)
    drawn = {drawing.name: drawing.arguments for drawing in drawings}
    assert len(drawn) == len(drawings) == 2 + 2 * 2 + 2 + 1

    for kind in ("kurtosis", "skewness"):
        heights, errors, reference = (drawn[kind][n] for n in ("groups", "errors", "reference"))
        for name in "AB":
            for k, stage in enumerate(distribution.STAGES):
                values, label = of(kind, stage, name), f"{stage} pruning"
                assert heights[name][label] == pytest.approx(np.mean(values))
                assert errors[name][label] == pytest.approx(np.std(values, ddof=1))
                assert reference[name][label] == PUBLISHED[kind][name][k]

    def check_histogram(histogram: plots.Histogram, stage: str, name: str) -> None:
        expected = np.sum(of("decades", stage, name), axis=0)
        np.testing.assert_array_equal(histogram["counts"], expected)
        assert histogram["zeros"] == pytest.approx(np.mean(of("zeros", stage, name)))
        assert len(histogram["edges"]) == len(expected) + 1

    def check_density(pair: tuple[np.ndarray, np.ndarray], stage: str, name: str) -> None:
        grid, height = pair
        expected = plots.gaussian_density(
            np.sum(of("unit", stage, name), axis=0), np.linspace(0, 1, 1001), grid, 0.01
        )
        np.testing.assert_array_equal(height, expected)
        assert np.sum(height) * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-3)

    for name in "AB":
        check_density(drawn["density"]["values"][name], "before", name)
        check_histogram(drawn["histogram"]["histograms"][name], "before", name)
        for stage in distribution.STAGES:
            label = f"{stage} pruning"
            check_density(drawn[f"density_{name}"]["values"][label], stage, name)
            check_histogram(drawn[f"histogram_{name}"]["histograms"][label], stage, name)

    assert list(drawn["path"]["percents"]) == [0, 5, 10]
    for label, key in (("test", "accuracy"), ("validation", "validation_accuracy")):
        expected = [[step[key] for step in result["path"]] for result in MADE_UP]
        assert drawn["path"]["curves"][label] == expected


@pytest.mark.parametrize("seeds", [1, 3])
def test_figures_are_written(seeds: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(canvas, "DPI", 40)
    for drawing in distribution.drawings(MADE_UP[:seeds], PUBLISHED):
        path = tmp_path / drawing.name
        drawing.write(path)
        assert canvas.stamped(path) == drawing.digest


# The script's run

PATH = {"prune_percent": 60, "prune_step": 20, "retrain_epochs": 1}
EPOCHS = 2
NAMES = ("W1", "b1", "W2", "b2")


@dataclasses.dataclass
class Watched:
    """A run of the script, and the network's parameters after every epoch."""

    run: Run
    seen: list[list[np.ndarray]]
    accuracy: list[tuple[float, float]]


def watched(**changes: Any) -> Watched:
    seen, accuracy = [], []

    def watch(nets: list[MLP], epoch: int) -> None:
        (net,) = nets
        seen.append([p.numpy() for p in net.parameters(0)])
        accuracy.append(
            tuple(
                training.accuracies(net, net.heads, split, [TASKS[0].permutation])[0]
                for split in (TASKS[0].test, TASKS[0].validation)
            )
        )

    return Watched(run(script, watch=watch, **{**PATH, **changes}), seen, accuracy)


@pytest.fixture(scope="module")
def plain() -> Watched:
    return watched()


def signed(ran: Watched) -> list[np.ndarray]:
    return [ran.run.progress.arrays[f"signed_{name}"] for name in NAMES]


def network_of(values: Sequence[np.ndarray]) -> MLP:
    net = MLP((values[1].size, values[3].size), 1, values[5].size, len(values[0]))
    for variable, value in zip(net.parameters(0), values, strict=True):
        variable.assign(value)
    return net


def flat(values: Sequence[Any]) -> np.ndarray:
    return np.concatenate([np.ravel(value) for value in values])


@pytest.mark.parametrize(
    ("changes", "percents"),
    [
        ({}, [0, 20, 40, 60]),
        ({"prune_percent": 50}, [0, 20, 40]),
        ({"prune_percent": 0}, [0]),
    ],
)
def test_path_goes_from_zero_to_the_last_percentile(changes, percents: list[int]) -> None:
    ran = watched(**changes)
    assert [step["percent"] for step in ran.run.progress.details["path"]] == percents
    assert ran.run.epochs == EPOCHS + len(percents)


def test_defaults_are_the_path_of_the_release() -> None:
    defaults = script.Settings()
    path = range(0, defaults.prune_percent + 1, defaults.prune_step)
    assert list(path) == [5 * k for k in range(18)]
    assert defaults.seeds == tuple(range(10))


def test_sparsity_grows_along_the_path(plain: Watched) -> None:
    path = plain.run.progress.details["path"]
    for key in ("overall", *NAMES):
        shares = [step[key] for step in path]
        assert shares == sorted(shares)
    overall = [step["overall"] for step in path]
    zeros = flat(signed(plain)) == 0
    assert overall[0] == pytest.approx(np.mean(zeros))
    assert overall[-1] > overall[1] > overall[0]
    assert path[-1]["W1"] == pytest.approx(0.6, abs=0.02)


def test_signed_importance_before_pruning_decides_all_along_the_path(plain: Watched) -> None:
    values = signed(plain)
    expected = importance.entropy_importance(
        network_of(plain.seen[EPOCHS - 1]),
        0,
        TASKS[0].train.images,
        form="signed",
        permutation=TASKS[0].permutation,
        order=in_stream_order(TASKS[0], EPOCHS * EPOCH),
    )
    assert_close(values, expected, rtol=1e-5)
    assert any(np.any(value < 0) for value in values)
    for step, after in zip(plain.run.progress.details["path"], plain.seen[EPOCHS:], strict=True):
        for name, value, parameter in zip(NAMES, values, after[:4], strict=True):
            pruned = (value == 0) | (value < np.percentile(value, step["percent"]))
            np.testing.assert_array_equal(parameter == 0, pruned)
            assert step[name] == np.mean(pruned)


def test_pruned_weights_stay_zero_through_every_epoch_and_the_others_train() -> None:
    ran = watched(retrain_epochs=3)
    rounds = ran.seen[EPOCHS:]
    assert len(rounds) == 4 * 3
    for before, after in itertools.pairwise(rounds):
        for old, new in zip(before[:4], after[:4], strict=True):
            assert np.all(new[old == 0] == 0)
    # Where an image never lights a pixel nothing moves; elsewhere all that is not pruned does.
    for old, new in zip(rounds[0][:4], rounds[1][:4], strict=True):
        assert np.mean(old[old != 0] != new[old != 0]) > 0.5


def test_accuracies_before_pruning_and_along_the_path_are_recorded(plain: Watched) -> None:
    test, validation = plain.accuracy[EPOCHS - 1]
    assert plain.run.matrix.tolist() == [[test]]
    assert plain.run.progress.validation_accuracy == [[validation]]
    path = plain.run.progress.details["path"]
    found = [(step["accuracy"], step["validation_accuracy"]) for step in path]
    assert found == plain.accuracy[EPOCHS:]
    assert len({*plain.accuracy}) > 2


def test_statistics_are_of_the_whole_trunk_before_and_after(plain: Watched) -> None:
    arrays = plain.run.progress.arrays
    stages = {"before": EPOCHS, "after": len(plain.seen)}
    for stage, epochs in stages.items():
        values, steps = plain.seen[epochs - 1], epochs * EPOCH
        stored = {name: arrays[f"{stage}_{name}"] for name in script.MEASURES}
        described = distribution.describe(stored)
        assert plain.run.progress.details["importance"][stage] == described
        theta = oracles.float64(values)
        size = sum(value.size for value in values[:4])
        assert {array.shape for array in stored.values()} == {(size,)}
        assert_close(
            [stored["EWC"]], [flat(slow_fisher(theta, TASKS[0], (), (SEED, 0), steps)[:4])]
        )
        assert_close([stored["MAS"]], [flat(slow_mas(theta, TASKS[0], (), steps)[:4])])
        again = importance.entropy_importance(
            network_of(values),
            0,
            TASKS[0].train.images,
            100,
            "signed",
            permutation=TASKS[0].permutation,
            order=in_stream_order(TASKS[0], steps),
        )
        assert_close([stored["ANPyC"]], [np.maximum(flat(again), 0)], rtol=1e-5)
    pruned = flat([value == 0 for value in plain.seen[-1][:4]])
    assert np.all(arrays["after_ANPyC"][pruned] == 0)


def test_anpyc_is_clipped_after_averaging_over_the_batches(plain: Watched) -> None:
    found = plain.run.progress.arrays["before_ANPyC"]
    np.testing.assert_array_equal(found, np.maximum(flat(signed(plain)), 0))
    each_batch = importance.entropy_importance(
        network_of(plain.seen[EPOCHS - 1]),
        0,
        TASKS[0].train.images,
        permutation=TASKS[0].permutation,
    )
    assert np.abs(found - flat(each_batch)).max() > 0.01 * found.max()


def test_details_can_be_stored_as_json(plain: Watched) -> None:
    details = plain.run.progress.details
    assert json.loads(json.dumps(details, allow_nan=False)) == details
    assert set(details) == {"importance", "path"}


def before(ran: Watched, name: str) -> np.ndarray:
    return ran.run.progress.arrays[f"before_{name}"]


@pytest.mark.parametrize(
    ("defect", "changed"),
    [("D3", {"EWC", "MAS", "ANPyC"}), ("D4", {"EWC"}), ("D6", {"MAS"})],
)
def test_defect_changes_its_measures_and_no_other(defect: str, changed, plain: Watched) -> None:
    released = watched(as_released=(defect,))
    assert_same_bits(released.seen[EPOCHS - 1], plain.seen[EPOCHS - 1])
    for name in script.MEASURES:
        one, other = before(released, name), before(plain, name)
        assert np.array_equal(one, other) == (name not in changed)


def test_defects_measure_what_the_release_measures(plain: Watched) -> None:
    steps = EPOCHS * EPOCH
    theta = oracles.float64(plain.seen[EPOCHS - 1])
    released = {d: watched(as_released=(d,)) for d in ("D3", "D4", "D6")}
    expected = slow_fisher(theta, TASKS[0], ("D3",), (SEED, 0), steps, batch=100)[:4]
    assert_close([before(released["D3"], "EWC")], [flat(expected)])
    expected = slow_mas(theta, TASKS[0], ("D3",), steps, batch=100)[:4]
    assert_close([before(released["D3"], "MAS")], [flat(expected)])
    expected = slow_mas(theta, TASKS[0], ("D6",), steps, batch=100)[:4]
    assert_close([before(released["D6"], "MAS")], [flat(expected)])
    # Every tensor draws its own labels.
    each = [
        slow_fisher(theta, TASKS[0], ("D4",), (SEED, place), steps, batch=100)[place]
        for place in range(4)
    ]
    assert_close([before(released["D4"], "EWC")], [flat(each)])


# From the command line


@dataclasses.dataclass
class Ended:
    status: int
    out: str
    err: str


@pytest.fixture
def command(tiny_arguments, monkeypatch) -> Callable[..., Ended]:
    """Returns the function that runs the script file as the command line does."""

    def run_file(folder: Path, *arguments: object) -> Ended:
        flags = [*tiny_arguments["cal_importance_distribution"], "--results-dir", str(folder)]
        name = ROOT / "cal_importance_distribution.py"
        monkeypatch.setattr(sys, "argv", [str(name), *flags, *map(str, arguments)])
        monkeypatch.setattr(canvas, "DPI", 40)
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            runpy.run_path(str(name), run_name="__main__")
        return Ended(ended.value.code or 0, out.getvalue(), err.getvalue())

    return run_file


def contents(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in sorted(folder.rglob(pattern)) if path.is_file()
    }


def test_plot_only_draws_the_stored_results_again_and_computes_nothing(
    command, tmp_path: Path, monkeypatch
) -> None:
    first = command(tmp_path, "--seeds", 0, 1)
    assert first.status == 0, first.err
    figures = contents(tmp_path, "*.png")
    assert len(figures) == 2 + 3 * 2 + 2 + 1
    rest = {name: data for name, data in contents(tmp_path).items() if name not in figures}
    assert sum(name.endswith(".json") for name in rest) == 2
    for path in tmp_path.rglob("*.png"):
        path.unlink()

    def no_training(*arguments, **more):
        raise AssertionError("it trains")

    monkeypatch.setattr(training.Trainer, "train", no_training)
    again = command(tmp_path, "--seeds", 0, 1, "--plot-only")
    assert again.status == 0, again.err
    assert contents(tmp_path) == {**rest, **figures}
    for text in ("kurtosis EWC", "skewness ANPyC", "zeros MAS", "352 ± 211.4"):
        assert text in again.out

    missing = command(tmp_path, "--seeds", 0, 1, 2, "--plot-only")
    assert missing.status == 2
    assert len(missing.err.strip().splitlines()) == 1
    assert "seed2" in missing.err
    assert "--plot-only" in missing.err
    assert {k: v for k, v in contents(tmp_path).items() if k in rest} == rest
    assert not list(tmp_path.rglob("*.ckpt"))


def test_plot_only_without_any_result_fails_with_one_line(command, tmp_path: Path) -> None:
    ended = command(tmp_path, "--plot-only")
    assert ended.status == 2
    (line,) = ended.err.strip().splitlines()
    assert "missing" in line
    assert not contents(tmp_path)


def test_plot_only_never_deletes_a_result(command, tmp_path: Path) -> None:
    flags = ("--prune-percent", 0)
    first = command(tmp_path, *flags)
    assert first.status == 0, first.err
    stored = contents(tmp_path, "*.json")
    command(tmp_path, *flags, "--plot-only", "--fresh")
    assert contents(tmp_path, "*.json") == stored


def test_network_that_died_ends_without_a_traceback(command, tmp_path: Path) -> None:
    ended = command(tmp_path, "--learning-rate", 30)  # no unit is left on; nothing is important
    assert ended.status in (2, 3)
