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
        for drawing in drawings:
            self.figures[drawing.name] = drawing
            yield f"{stem}.{drawing.name}.{kind}"


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


# λ 10 would be the best, but for the run that diverged.
CHOSEN = [
    run("ewc", 3.0, 0, 0.75, 0.8125, 0.125, **details(0, [1, 2], 0.5)),
    run("ewc", 3.0, 1, 0.5, 0.5625, 0.25, **details(1, [3, 4], 0.25)),
]
GRID = [
    run("ewc", 1.0, 0, 0.5, 0.5625, 0.25),
    run("ewc", 1.0, 1, None),
    *CHOSEN,
    run("ewc", 10.0, 0, 0.875, 0.9375, 0.125),
    run("ewc", 10.0, 1, None),
]


def mean(*values: float) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def test_table_has_every_run_and_the_mean_of_those_that_finished() -> None:
    screen = shown(GRID)
    assert screen.header == ["λ", "seed", "validation ACC", "ACC", "F", "F_max", "LA", "seconds"]
    lost = ["diverged", "", "", "", "", "36"]
    weak = ["56.25", "50.00", "25.00", "25.00", "66.67"]
    strong = ["93.75", "87.50", "12.50", "12.50", "95.83"]
    forgotten = [mean(12.5, 25)] * 2
    means = [mean(81.25, 56.25), mean(75, 50), *forgotten, mean(250 / 3, 200 / 3)]
    assert screen.rows == [
        ["1", "0", *weak, "36"],
        ["1", "1", *lost],
        ["1", "mean of 1", *weak, ""],
        ["3 *", "0", "81.25", "75.00", "12.50", "12.50", "83.33", "36"],
        ["3 *", "1", *weak, "36"],
        ["3 *", "mean of 2", *means, ""],
        ["10", "0", *strong, "36"],
        ["10", "1", *lost],
        ["10", "mean of 1", *strong, ""],
    ]


def test_single_task_has_no_forgetting_and_no_figures() -> None:
    screen = shown([run("finetune", None, seed, 0.5 + seed / 4, tasks=1) for seed in (0, 1)])
    assert screen.rows == [
        ["-", "0", "50.00", "50.00", "-", "-", "-", "36"],
        ["-", "1", "75.00", "75.00", "-", "-", "-", "36"],
        ["-", "mean of 2", mean(50, 75), mean(50, 75), "-", "-", "-", ""],
    ]
    assert screen.figures == {}


def test_figures_are_of_the_chosen_strength_and_over_the_grid() -> None:
    screen = shown(GRID)
    matrices = [result["accuracy"] for result in CHOSEN]
    curves = {
        "λ 1": [[0.75, 0.625, 0.5]],
        "λ 3": [[0.875, 0.8125, 0.75], [0.75, 0.625, 0.5]],
        "λ 10": [[1.0, 0.9375, 0.875]],
    }
    points = {
        1: ([(0.5625, 0.5)], 1),
        3: ([(0.8125, 0.75), (0.5625, 0.5)], 0),
        10: ([(0.9375, 0.875)], 1),
    }
    assert {name: drawing.draw for name, drawing in screen.figures.items()} == {
        "tasks": figures.accuracy_over_sequence,
        "average": figures.average_accuracy,
        "matrix": figures.accuracy_matrix,
        "sparsity": figures.sparsity,
        "trace": figures.accuracy_trace,
        "omega": figures.omega_histogram,
        "strength": figures.strength_curve,
    }
    assert {drawing.title for drawing in screen.figures.values()} == {"ewc, λ 3"}
    assert screen.said == [f"  home/lambda3-0123abcd.{name}.png" for name in screen.figures]
    drawn = {name: dict(drawing.arguments) for name, drawing in screen.figures.items()}
    histogram = drawn.pop("omega")["histograms"]["all"]
    assert (list(histogram["counts"]), histogram["zeros"]) == ([4, 6], 0.375)
    drawn["average"]["curves"] = {
        label: np.array(seeds).tolist() for label, seeds in drawn["average"]["curves"].items()
    }
    assert drawn == {
        "tasks": {"matrices": matrices},
        "average": {"curves": curves, "methods": None},
        "matrix": {"matrices": matrices},
        "sparsity": {"records": "sparsity of 0"},
        "trace": {"traces": ["trace of 0", "trace of 1"]},
        "strength": {"points": points, "best": 3, "method": "ewc"},
    }


def test_figure_of_joint_training_has_a_bar_for_each_task() -> None:
    screen = shown(
        [
            run("joint", None, 0, 0.75, tasks=2, accuracy=[[1.0, 0.5]]),
            run("joint", None, 1, 0.5, tasks=2, accuracy=[[0.5, 0.5]]),
            run("joint", None, 2, None),
        ]
    )
    (bars,) = screen.figures.values()
    assert (bars.name, bars.title, bars.draw) == ("tasks", "joint", figures.bars)
    assert bars.arguments["groups"] == {"task 0": {"joint": 75}, "task 1": {"joint": 50}}
    deviation = pytest.approx(statistics.stdev([100, 50]))
    assert bars.arguments["errors"] == {"task 0": {"joint": deviation}, "task 1": {"joint": 0}}


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
