"""What a grid of runs shows at its end: the rows of its table, and the data of its figures."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import figures, report, style
from tests import made_up

import numpy as np
import pytest

Result = dict[str, Any]


class Screen:
    """Keeps what is shown, and the figures by name, in place of `screen.Display` and of files."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.figures: dict[str, style.Drawing] = {}

    def say(self, text: str) -> None:
        self.said.append(text)

    def table(self, title: str, header: list[str], rows: list[list[str]]) -> None:
        self.title, self.header, self.rows = title, header, rows

    def write_all(self, drawings: Sequence[style.Drawing], stem: Path, kind: str) -> Iterator[str]:
        for one in drawings:
            self.figures[one.name] = one
            yield f"{stem}.{one.name}.{kind}"


def shown(runs: Sequence[Result], **changes: Any) -> Screen:
    """Return what is shown of runs, with changes of their settings."""
    screen, settings = Screen(), importlib.import_module(runs[0]["script"]).Settings(**changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "write_all", screen.write_all)
        report.accuracy_report(settings, runs, Path("home"), "-0123abcd", screen)
    return screen


def run(
    script: str, strength: float | None, seed: int, *accuracies: Any, tasks: int = 3, **more: Any
) -> Result:
    """Return a result; `accuracies` as for `made_up.result`."""
    label = {"script": script, "lambda": strength, "seed": seed}
    return {**label, **made_up.result(script, tasks, *accuracies), **more}


def details(seed: int, counts: list[int], zeros: float) -> dict[str, Any]:
    """Return what a method with pruning adds to a result; words will do where nothing is drawn."""
    omega = {"all": {"decades": counts, "zeros": zeros}}
    return {"sparsity": f"sparsity of {seed}", "trace": f"trace of {seed}", "omega": omega}


# λ 10 would be the best, but for the runs that diverged.
CHOSEN = [
    run("ewc", 3.0, 0, 0.8, 0.81, 0.1, **details(0, [1, 2], 0.5)),
    run("ewc", 3.0, 1, 0.6, 0.62, 0.3, **details(1, [3, 4], 0.25)),
    run("ewc", 3.0, 2, 0.7, 0.79, 0.0, **details(2, [5, 6], 0.0)),
]
GRID = [
    run("ewc", 1.0, 0, 0.5, 0.51, 0.2),
    run("ewc", 1.0, 1, 0.4, 0.44, 0.4),
    run("ewc", 1.0, 2, None),
    *CHOSEN,
    run("ewc", 10.0, 0, 0.9, 0.92, 0.06),
    run("ewc", 10.0, 1, None),
    run("ewc", 10.0, 2, None),
]


def mean(*values: float) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def test_table_has_every_run_and_the_mean_of_those_that_finished() -> None:
    screen = shown(GRID)
    assert screen.header == ["λ", "seed", "validation ACC", "ACC", "F", "F_max", "LA", "seconds"]
    lost = ["diverged", "", "", "", "", "36"]
    of_1 = [mean(51, 44), mean(50, 40), mean(20, 40), mean(20, 40), mean(190 / 3, 200 / 3)]
    of_3 = [mean(81, 62, 79), mean(80, 60, 70), *2 * [mean(10, 30, 0)], mean(260 / 3, 80, 70)]
    assert screen.rows == [
        ["1", "0", "51.00", "50.00", "20.00", "20.00", "63.33", "36"],
        ["1", "1", "44.00", "40.00", "40.00", "40.00", "66.67", "36"],
        ["1", "2", *lost],
        ["1", "mean of 2", *of_1, ""],
        ["3 *", "0", "81.00", "80.00", "10.00", "10.00", "86.67", "36"],
        ["3 *", "1", "62.00", "60.00", "30.00", "30.00", "80.00", "36"],
        ["3 *", "2", "79.00", "70.00", "0.00", "0.00", "70.00", "36"],
        ["3 *", "mean of 3", *of_3, ""],
        ["10", "0", "92.00", "90.00", "6.00", "6.00", "94.00", "36"],
        ["10", "1", *lost],
        ["10", "2", *lost],
        ["10", "mean of 1", "92.00", "90.00", "6.00", "6.00", "94.00", ""],
    ]


def test_single_task_has_no_forgetting_and_no_figures() -> None:
    screen = shown(
        [run("finetune", None, seed, acc, tasks=1) for seed, acc in ((0, 0.9), (4, 0.8))]
    )
    assert screen.rows == [
        ["-", "0", "90.00", "90.00", "-", "-", "-", "36"],
        ["-", "4", "80.00", "80.00", "-", "-", "-", "36"],
        ["-", "mean of 2", mean(90, 80), mean(90, 80), "-", "-", "-", ""],
    ]
    assert screen.figures == {}


def test_figures_are_of_the_chosen_strength_and_over_the_grid() -> None:
    screen = shown(GRID)
    assert {name: one.draw for name, one in screen.figures.items()} == {
        "tasks": figures.accuracy_over_sequence,
        "average": figures.average_accuracy,
        "matrix": figures.accuracy_matrix,
        "sparsity": figures.sparsity,
        "trace": figures.accuracy_trace,
        "omega": figures.omega_histogram,
        "strength": figures.strength_curve,
    }
    assert {one.title for one in screen.figures.values()} == {"ewc, λ 3"}
    names = [f"  home/lambda3-0123abcd.{name}.png" for name in screen.figures]
    assert screen.said == names

    drawn = {name: one.arguments for name, one in screen.figures.items()}
    for name in ("tasks", "matrix"):
        assert drawn[name] == {"matrices": [result["accuracy"] for result in CHOSEN]}
    curves = {
        "λ 1": [(0.7, 0.6, 0.5), (0.8, 0.6, 0.4)],
        "λ 3": [(0.9, 0.85, 0.8), (0.9, 0.75, 0.6), (0.7, 0.7, 0.7)],
        "λ 10": [(0.96, 0.93, 0.9)],
    }
    assert list(drawn["average"]["curves"]) == list(curves)
    for label, expected in curves.items():
        np.testing.assert_allclose(drawn["average"]["curves"][label], expected)
    points = {
        1: ([(0.51, 0.5), (0.44, 0.4)], 1),
        3: ([(0.81, 0.8), (0.62, 0.6), (0.79, 0.7)], 0),
        10: ([(0.92, 0.9)], 2),
    }
    assert drawn["strength"]["best"] == 3
    assert drawn["strength"]["points"] == {
        strength: ([pytest.approx(pair) for pair in pairs], diverged)
        for strength, (pairs, diverged) in points.items()
    }
    assert drawn["sparsity"] == {"records": "sparsity of 0"}
    assert drawn["trace"] == {"traces": [f"trace of {seed}" for seed in range(3)]}
    assert list(drawn["omega"]["histograms"]) == ["all"]
    histogram = drawn["omega"]["histograms"]["all"]
    assert (list(histogram["counts"]), histogram["zeros"]) == ([9, 12], 0.25)


def test_figure_of_joint_training_has_a_bar_for_each_task() -> None:
    runs = [
        run("joint", None, 0, 0.85, tasks=2, accuracy=[[0.9, 0.8]]),
        run("joint", None, 1, 0.77, tasks=2, accuracy=[[0.7, 0.84]]),
        run("joint", None, 2, None),
    ]
    screen = shown(runs)
    (bars,) = screen.figures.values()
    assert (bars.name, bars.title, bars.draw) == ("tasks", "joint", figures.bars)
    assert bars.arguments["groups"] == {
        "task 0": {"joint": pytest.approx(80)},
        "task 1": {"joint": pytest.approx(82)},
    }
    assert bars.arguments["errors"] == {
        "task 0": {"joint": pytest.approx(statistics.stdev([90, 70]))},
        "task 1": {"joint": pytest.approx(statistics.stdev([80, 84]))},
    }


def outcome(strength: float | None, seed: int, test: Any, validation: Any) -> dict[str, Any]:
    """Return as much of a result as the choice of λ looks at; test None: diverged."""
    status = "diverged" if test is None else "finished"
    both = {"accuracy": test, "validation_accuracy": validation}
    return {"status": status, "lambda": strength, "seed": seed, **both}


def test_choice_of_strength() -> None:
    choose = report.choose_strength
    rows = [
        outcome(1, 0, [[0.9], [0.5, 0.9]], [[0.9], [0.5, 0.5]]),
        outcome(1, 1, [[0.9], [0.5, 0.9]], [[0.9], [0.5, 0.5]]),
        outcome(2, 0, [[0.1], [0.3, 0.3]], [[0.1], [0.4, 0.4]]),  # best on validation, in the mean
        outcome(2, 1, [[0.1], [0.3, 0.3]], [[0.1], [0.7, 0.9]]),
        outcome(3, 0, [[1.0], [0.8, 0.8]], [[1.0], [0.4, 0.4]]),  # best on test
        outcome(3, 1, [[1.0], [0.8, 0.6]], [[1.0], [0.6, 0.4]]),
    ]
    assert choose(rows) == choose(rows[::-1]) == 2
    assert choose(rows, by_test=True) == 3
    # One diverged seed rules a λ out.
    diverged = [outcome(2, 2, None, None), outcome(3, 2, None, None)]
    assert choose([*rows, diverged[0]]) == 1
    assert choose([*rows, diverged[1]], by_test=True) == 1
    assert choose(diverged) is None
    assert choose([outcome(None, 0, [[0.5]], [[0.5]])]) is None
    assert choose([outcome(7, 0, [[0.5]], [[0.5]])]) == 7
    # Of equal ones the smallest, also where the order changes the last bits of the mean.
    equal = [outcome(1, 0, [], [[0.3, 0.2, 0.1]]), outcome(3, 0, [], [[0.1, 0.2, 0.3]])]
    assert np.mean([0.3, 0.2, 0.1]) < np.mean([0.1, 0.2, 0.3])
    assert choose(equal) == choose(equal[::-1]) == 1


def test_strength_at_the_end_of_its_grid_is_told() -> None:
    for best, grid in (3, [1, 3, 10]), (3, [3]), (0, [0, 1]):  # there is nothing below 0
        assert not report.at_end(best, grid)
    for best, grid, end, more in (
        (10, [10, 1, 3], "largest", "larger"),
        (0.5, [1, 0.5], "smallest", "smaller"),
    ):
        assert report.at_end(best, grid)
        text = report.advice(best, grid)
        assert f"λ {best} is the {end}" in text and f"add {more} values to --lambda" in text


def test_strength_is_chosen_by_validation_accuracy_or_as_released_by_test_accuracy() -> None:
    runs = [run("lwf", 1.0, 0, 0.9, 0.6, 0.1), run("lwf", 3.0, 0, 0.8, 0.7, 0.1)]
    for defects, starred in ((), "3 *"), (("D12",), "1 *"):
        screen = shown(runs, as_released=defects)
        assert [cells[0] for cells in screen.rows if "*" in cells[0]] == [starred]
        assert ("by test accuracy" in screen.title) == bool(defects)


def test_where_every_run_diverged_no_strength_is_chosen() -> None:
    screen = shown([run("ewc", 1.0, 0, None), run("ewc", 3.0, 0, None)])
    assert not any("*" in cells[0] for cells in screen.rows)
    assert (len(screen.said), screen.figures) == (1, {})
    assert "no figures" in screen.said[0]
