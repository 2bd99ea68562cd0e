"""Figures: every function writes a readable PNG for few and many seeds and tasks."""

import sys

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from scipy import stats

from common import plots

GENERATOR = np.random.default_rng(0)


def matrices(seeds, tasks):
    """Return one random ragged accuracy matrix per seed."""
    return [
        [GENERATOR.uniform(0.7, 1.0, i + 1).tolist() for i in range(tasks)] for _ in range(seeds)
    ]


def check(returned, path):
    """Assert that `path` was returned and holds a picture that is neither tiny nor blank."""
    assert returned == path
    assert path.read_bytes().startswith(b"\x89PNG")
    height, width, _ = matplotlib.image.imread(path).shape
    assert 600 <= height <= 1500
    assert 1000 <= width <= 2000
    assert matplotlib.image.imread(path)[..., :3].std() > 0.01
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.fixture
def path(tmp_path):
    """Return a file name in an otherwise empty folder."""
    return tmp_path / "figure.png"


sizes = pytest.mark.parametrize(
    ("seeds", "tasks"), [(1, 1), (3, 1), (1, 10), (3, 10), (1, 100), (3, 100)]
)


@sizes
def test_accuracy_over_sequence(path, seeds, tasks):
    check(plots.accuracy_over_sequence(matrices(seeds, tasks), path, "title"), path)


@sizes
def test_accuracy_matrix(path, seeds, tasks):
    check(plots.accuracy_matrix(matrices(seeds, tasks), path, "title"), path)


@sizes
@pytest.mark.parametrize("labels", [1, 12])
def test_average_accuracy(path, seeds, tasks, labels):
    curves = {f"λ = {k}": GENERATOR.uniform(0.8, 1.0, (seeds, tasks)) for k in range(labels)}
    check(plots.average_accuracy(curves, path, "title"), path)


def test_square_matrices_are_drawn_like_ragged_ones(path):
    ragged = matrices(2, 4)
    padded = np.full((2, 4, 4), np.nan)
    for matrix, rows in zip(padded, ragged, strict=True):
        for i, row in enumerate(rows):
            matrix[i, : i + 1] = row
    for draw in (plots.accuracy_over_sequence, plots.accuracy_matrix):
        expected = draw(ragged, path, "title").read_bytes()
        assert draw(padded, path, "title").read_bytes() == expected


@pytest.mark.parametrize("percents", [[[10]], [[10, 20, 30, 40, 50], [10, 20], [10]], [[10]] * 100])
def test_sparsity(path, percents):
    records = [
        {"task": task, "percent": percent}
        | dict.fromkeys(("overall", "W1", "b1", "W2", "b2"), percent / 100 * 0.9**task)
        for task, rounds in enumerate(percents)
        for percent in rounds
    ]
    check(plots.sparsity(records, path, "title"), path)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(
    ("strengths", "diverged", "best"),
    [
        ([3.0], [], 3.0),
        ([0.0, 1.0, 20.0], [], 1.0),
        ([0.5, 1.5, 2.0, 3.0, 10.0], [12.0, 15.0], 3.0),
        ([], [3.0, 4.0], None),
        (np.geomspace(1e-4, 1e4, 40).tolist(), [], 1e-4),
    ],
)
def test_strength_curve(path, seeds, strengths, diverged, best):
    points = {strength: GENERATOR.uniform(0.8, 1.0, (seeds, 2)).tolist() for strength in strengths}
    points |= {strength: [] for strength in diverged}
    check(plots.strength_curve(points, best, path, "title"), path)


@pytest.mark.parametrize("log_y", [False, True])
def test_density(path, log_y):
    grid = np.linspace(-0.05, 1.05, 200)
    values = {name: (grid, stats.norm.pdf(grid, mean, 0.1)) for name, mean in (("a", 0), ("b", 1))}
    check(plots.density(values, path, "title", log_y=log_y), path)


def test_log_histogram(path):
    counts, edges = np.histogram(GENERATOR.lognormal(size=1000), np.geomspace(1e-3, 1e3, 31))
    histograms = {
        "ANPyC": {"edges": edges, "counts": counts, "zeros": 0.5},
        "nothing but zeros": {"edges": edges, "counts": 0 * counts, "zeros": 1.0},
    }
    check(plots.log_histogram(histograms, path, "title"), path)


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("with_reference", [False, True])
def test_bars(path, log_y, with_reference):
    groups = {"EWC": {"before": 300.0, "after": 800.0}, "MAS": {"before": 12.0, "after": 50.0}}
    errors = {"EWC": {"before": 200.0, "after": None}, "MAS": {"before": 6.0, "after": 60.0}}
    reference = {
        name: {key: (1.1 * x, x) for key, x in bar.items()} for name, bar in groups.items()
    }
    returned = plots.bars(
        groups, errors, path, "title", "Kurtosis", reference if with_reference else None, log_y
    )
    check(returned, path)


@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_pruning_path(path, seeds):
    percents = np.arange(0, 90, 5)
    curves = {"test": GENERATOR.uniform(0.9, 1.0, (seeds, 18)), "training": [np.ones(18)]}
    check(plots.pruning_path(percents, curves, path, "title"), path)


def test_nothing_is_cut_off(path):
    """A long title and long labels leave the picture's margin white."""
    curves = {f"a rather long label of a method, number {k}": [[0.9, 0.8]] for k in range(25)}
    plots.average_accuracy(curves, path, "a long title " * 20)
    picture = matplotlib.image.imread(path)[..., :3]
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert edge.min() == 1.0


def test_arguments_are_not_modified_and_pictures_are_the_same(path):
    curves = {"a": GENERATOR.uniform(0.8, 1.0, (3, 10))}
    before = curves["a"].copy()
    first = plots.average_accuracy(curves, path, "title").read_bytes()
    np.testing.assert_array_equal(curves["a"], before)
    assert plots.average_accuracy(curves, str(path), "title").read_bytes() == first


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: plots.accuracy_over_sequence([], path, "title"),
        lambda path: plots.accuracy_over_sequence([[[0.9]], [[0.9], [0.8, 0.9]]], path, "title"),
        lambda path: plots.accuracy_matrix([[]], path, "title"),
        lambda path: plots.average_accuracy({}, path, "title"),
        lambda path: plots.average_accuracy({"a": []}, path, "title"),
        lambda path: plots.average_accuracy({"a": [[0.9], [0.9, 0.8]]}, path, "title"),
        lambda path: plots.sparsity([], path, "title"),
        lambda path: plots.strength_curve({}, None, path, "title"),
        lambda path: plots.density({}, path, "title"),
        lambda path: plots.log_histogram({}, path, "title"),
        lambda path: plots.bars({}, {}, path, "title", "Kurtosis"),
        lambda path: plots.pruning_path([0, 5], {}, path, "title"),
        lambda path: plots.pruning_path([0, 5], {"a": [[0.9]]}, path, "title"),
    ],
)
def test_no_or_uneven_data(path, draw):
    with pytest.raises(ValueError, match=r"nothing to draw|expected|dimension"):
        draw(path)
    assert not any(path.parent.iterdir())


def test_a_failed_write_leaves_the_old_file_and_no_other(path, monkeypatch):
    plots.accuracy_matrix([[[0.9]]], path, "title")
    old = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(plots.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.accuracy_matrix([[[0.5]]], path, "title")
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        plots.accuracy_matrix([[[0.9]]], tmp_path / "missing" / "figure.png", "title")


def test_pyplot_and_global_settings_are_left_alone(path):
    settings = dict(matplotlib.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    plots.accuracy_matrix(matrices(1, 3), path, "title")
    assert dict(matplotlib.rcParams) == settings
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_gaussian_density_integrates_to_one():
    counts, edges = np.histogram(GENERATOR.uniform(0, 1, 5000) ** 4, 2000, (0, 1))
    grid = np.linspace(-0.1, 1.1, 2401)
    density = plots.gaussian_density(counts, edges, grid)
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-6)


def test_gaussian_density_of_one_value_is_the_kernel():
    grid = np.linspace(0, 1, 11)
    density = plots.gaussian_density([0, 3, 0], [0.0, 0.4, 0.6, 1.0], grid, bandwidth=0.2)
    np.testing.assert_allclose(density, stats.norm.pdf(grid, 0.5, 0.2))


def test_gaussian_density_agrees_with_scipy():
    values = GENERATOR.beta(1, 8, 3000)
    values = (values - values.min()) / (values.max() - values.min())
    counts, edges = np.histogram(values, 5000, (0, 1))
    grid = np.linspace(-0.05, 1.05, 301)
    # scipy's bandwidth is a factor of the sample standard deviation.
    expected = stats.gaussian_kde(values, bw_method=0.01 / values.std(ddof=1))(grid)
    density = plots.gaussian_density(counts, edges, grid)
    np.testing.assert_allclose(density, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("counts", "edges"), [([1, 2], [0.0, 1.0]), ([], [0.0]), ([0, 0], [0, 1, 2]), ([[1]], [0, 1])]
)
def test_gaussian_density_of_nonsense(counts, edges):
    with pytest.raises(ValueError, match=r"counts|empty"):
        plots.gaussian_density(counts, edges, [0.5])
