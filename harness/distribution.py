"""Statistics, histograms and figures of importance values, before and after pruning.

All statistics are of all entries of the measured parameters together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import consolidation, metrics
from harness import figures, screen, style
from harness import report as reports
from harness.progress import Progress

import numpy as np
import numpy.typing as npt

AUTHORS = Path(__file__).resolve().parents[1] / "results" / "authors.json"
AUTHORS_RUNS = 10
STAGES = ("before", "after")
LABELS = ("before pruning", "after pruning")
UNIT_EDGES = np.linspace(0, 1, 1001)

Array = npt.NDArray[Any]
Published = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]


def describe(values: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """Returns statistics and histograms of each measure, JSON.

    Args:
        values: name of the measure -> values ≥ 0, of any shape.

    Returns:
        Of each measure: kurtosis (excess, biased), skewness (biased), zeros (share of exact
        zeros), highest value, unit (counts of the min-max normalised values in 1,000 bins of
        [0, 1]) and decades (counts of the values above 0 in five bins a decade from 1e-20 to 1e5;
        what is beyond counts in the outermost bins).

    Raises:
        ValueError: the values of a measure are all the same.
    """
    return {
        name: {
            "kurtosis": metrics.excess_kurtosis(array),
            "skewness": metrics.skewness(array),
            "highest": float(array.max()),
            "unit": np.histogram(_normalised(array), UNIT_EDGES)[0].tolist(),
            **metrics.histogram(array),
        }
        for name, array in values.items()
    }


def summed(
    histograms: Sequence[Mapping[str, Mapping[str, Any]]],
) -> dict[str, figures.Histogram]:
    """Returns histograms of several seeds as one: summed counts, mean share of zeros.

    Args:
        histograms: of each seed, by name, what `metrics.histogram` returned.
    """
    return {
        name: {
            "edges": metrics.DECADE_EDGES,
            "counts": np.sum([seed[name]["decades"] for seed in histograms], axis=0),
            "zeros": float(np.mean([seed[name]["zeros"] for seed in histograms])),
        }
        for name in histograms[0]
    }


def keep(progress: Progress, stage: str, values: Mapping[str, Array]) -> None:
    """Stores a stage's values, and in the details' "importance" what `describe` returns for them.

    Args:
        progress: of the run.
        stage: one of `STAGES`.
        values: as for `describe`.

    Raises:
        Diverged: the values of a measure are not finite, or all the same, as in a network that has
            died.
    """
    if not all(np.isfinite(array).all() for array in values.values()):
        raise consolidation.Diverged("an importance is not finite")
    try:
        progress.details["importance"][stage] = describe(values)
    except ValueError as error:
        raise consolidation.Diverged(f"an importance is 0 everywhere ({error})") from error
    progress.arrays.update({f"{stage}_{name}": array for name, array in values.items()})


def statistics(
    results: Sequence[Mapping[str, Any]], kind: str
) -> dict[str, list[tuple[float, float | None]]]:
    """Returns (mean, sample std) over the seeds, of each measure before and after pruning.

    Args:
        results: of the runs; "importance" holds what `describe` returned for each stage.
        kind: "kurtosis", "skewness" or "zeros".
    """
    return {
        name: [
            metrics.mean_std([result["importance"][stage][name][kind] for result in results])[:2]
            for stage in STAGES
        ]
        for name in results[0]["importance"]["before"]
    }


def authors() -> Published:
    """Returns the authors' means and sample standard deviations over their ten runs, by kind.

    The file has standard deviations with divisor n, as they printed them.
    """
    stored: Published = json.loads(AUTHORS.read_text(encoding="utf-8"))
    return {
        kind: {
            name: [(mean, std * (AUTHORS_RUNS / (AUTHORS_RUNS - 1)) ** 0.5) for mean, std in pairs]
            for name, pairs in measures.items()
        }
        for kind, measures in stored.items()
    }


def table(
    results: Sequence[Mapping[str, Any]], published: Published
) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of a table of all statistics, beside published ones.

    Args:
        results: as for `statistics`.
        published: kind -> measure -> (mean, std) before and after pruning.
    """
    rows = []
    for kind in (*published, "zeros"):
        for name, ours in statistics(results, kind).items():
            theirs = published.get(kind, {}).get(name, ())
            cells = [_plus_minus(*pair) for pair in (*ours, *theirs)]
            rows.append([f"{kind} {name}", *cells, *["-"] * (4 - len(cells))])
    first = [100 * result["accuracy"][0][0] for result in results]
    last = [100 * result["path"][-1]["accuracy"] for result in results]
    cells = [_plus_minus(*metrics.mean_std(values)[:2]) for values in (first, last)]
    rows.append(["accuracy, %", *cells, "-", "-"])
    header = ["", *LABELS, "authors, before", "authors, after"]
    return header, rows


def gaussian_density(
    counts: npt.ArrayLike, edges: npt.ArrayLike, grid: npt.ArrayLike, bandwidth: float = 0.01
) -> Array:
    """Returns the Gaussian kernel density estimate of a fine histogram on a grid, [G].

    A sum of normal densities of standard deviation `bandwidth` at the bin centres, weighted with
    counts / total. It is not reflected at the ends of the values' range: over the whole line it
    integrates to 1, over [0, 1] to less where much lies near 0.

    Args:
        counts: values per bin, [B]; bins should be narrow against the bandwidth.
        edges: the bins' edges, [B+1].
        grid: where to evaluate, [G].
        bandwidth: standard deviation of the kernel, in the unit of the edges.

    Raises:
        ValueError: the shapes don't fit, or all counts are zero.
    """
    weights = np.asarray(counts, dtype=np.float64)
    bounds = np.asarray(edges, dtype=np.float64)
    if weights.ndim != 1 or bounds.shape != (weights.size + 1,):
        raise ValueError(
            f"expected counts [B] and edges [B+1], got {weights.shape}, {bounds.shape}"
        )
    if not weights.sum() > 0:
        raise ValueError("an empty histogram has no density")
    filled = weights > 0
    weights = weights[filled] / weights.sum()
    centres = (bounds[:-1] + bounds[1:])[filled] / 2
    # Point by point: a matrix [G, B] of a fine histogram would fill the memory.
    sums = [
        weights @ np.exp(-0.5 * ((point - centres) / bandwidth) ** 2)
        for point in np.asarray(grid, dtype=np.float64)
    ]
    return np.array(sums) / (bandwidth * math.sqrt(2 * math.pi))


def drawings(results: Sequence[Mapping[str, Any]], published: Published) -> list[style.Drawing]:
    """Returns all figures of stored results; histograms are summed over the seeds.

    Args:
        results: as for `statistics`; "path" holds percent and accuracies along the pruning path.
        published: as for `table`.
    """
    before = [result["importance"]["before"] for result in results]
    after = [result["importance"]["after"] for result in results]
    names = list(before[0])
    methods = {name: name.lower() for name in names}
    seeds = f"{len(results)} seeds" if len(results) > 1 else f"seed {results[0]['seed']}"
    title = f"Importance of the trunk's weights after task 0, {seeds}"
    kinds: list[tuple[str, Callable[..., Any], str, list[dict[str, Any]]]] = [
        ("density", figures.density, "values", [_densities(before), _densities(after)]),
        ("histogram", figures.log_histogram, "histograms", [summed(before), summed(after)]),
    ]
    drawn = [
        style.Drawing(
            kind, draw, f"{title}, before pruning", {argument: stages[0], "methods": methods}
        )
        for kind, draw, argument, stages in kinds
    ]
    for name in names:
        for kind, draw, argument, stages in kinds:
            data = {label: stage[name] for label, stage in zip(LABELS, stages, strict=True)}
            drawn.append(
                style.Drawing(f"{kind}_{name}", draw, f"{name}: {title}", {argument: data})
            )
    for kind, theirs in published.items():
        ours = {
            name: dict(zip(LABELS, stages, strict=True))
            for name, stages in statistics(results, kind).items()
        }
        arguments = {
            "groups": {
                name: {label: mean for label, (mean, _) in stages.items()}
                for name, stages in ours.items()
            },
            "errors": {
                name: {label: std for label, (_, std) in stages.items()}
                for name, stages in ours.items()
            },
            "ylabel": kind.capitalize(),
            "reference": {name: dict(zip(LABELS, theirs[name], strict=True)) for name in names},
            "log_y": True,
        }
        title = f"{kind.capitalize()} of the importance, {seeds}"
        drawn.append(style.Drawing(kind, figures.bars, title, arguments))
    percents = [step["percent"] for step in results[0]["path"]]
    curves = {
        label: [[result[key][0][0], *(step[key] for step in result["path"])] for result in results]
        for label, key in (("test", "accuracy"), ("validation", "validation_accuracy"))
    }
    arguments = {"percents": percents, "curves": curves}
    drawn.append(style.Drawing("path", figures.pruning_path, f"Pruning path, {seeds}", arguments))
    return drawn


def _densities(seeds: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Array, Array]]:
    """Returns grid and density of each measure's normalised values, all seeds together."""
    grid = np.linspace(-0.05, 1.05, 1101)
    counts = {name: np.sum([seed[name]["unit"] for seed in seeds], axis=0) for name in seeds[0]}
    return {name: (grid, gaussian_density(counts[name], UNIT_EDGES, grid)) for name in counts}


def report(
    settings: Any,
    runs: Sequence[Mapping[str, Any]],
    folder: Path,
    suffix: str,
    display: screen.Display,
) -> None:
    """Prints the statistics over the seeds beside the authors', and draws the figures.

    Args:
        settings: of the script.
        runs: results, as for `statistics`; those that diverged are left out.
        folder: of the figures.
        suffix: of the figures' names.
        display: shows the table and the paths.
    """
    finished = [result for result in runs if result["status"] == "finished"]
    if finished:
        published = authors()
        header, rows = table(finished, published)
        display.table(
            "mean ± sample std over the seeds, the authors' over their ten runs", header, rows
        )
        stem = folder / f"distribution{suffix}"
        reports.draw(lambda: drawings(finished, published), stem, settings.figures, display)


def _normalised(array: Array) -> Array:
    """Min-max normalises values to [0, 1]."""
    lowest, highest = array.min(), array.max()
    return np.asarray((array - lowest) / (highest - lowest))


def _plus_minus(mean: float, std: float | None) -> str:
    return f"{mean:.4g}" + ("" if std is None else f" ± {std:.4g}")
