"""Rows of tables: their commands, their choice of λ, the runs that they lack, their numbers."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
import statistics
from pathlib import Path
from typing import Any
from unittest import mock

from common import data
from harness import options, run_files
from harness.results import ResultError
from tables import commands, contents
from tables.contents import ACC, Column, Estimate, Row, RowResults, Table, metric
from tests import made_up
from tests.made_up import FLAGS, filled, keep, keep_all, row, table

import numpy as np
import pytest
from scipy import stats

EWC = "ewc.py --lambda 1 3 10"


def missing(*tables: contents.TableResults) -> list[tuple[str, float | None, tuple[int, ...]]]:
    """Return table, λ and seeds of the runs to be made."""
    runs = contents.missing_runs({table.table.name: table for table in tables})
    return [(run.table, run.strength, run.seeds) for run in runs]


# Command lines


def test_shared_flags_are_dropped_where_the_script_has_none() -> None:
    flags = "--hidden 8 4 --head multi --update explicit --dropout 0"
    finetune = commands.parse("finetune.py", flags)
    assert finetune.flags == {"--hidden": ("8", "4"), "--dropout": ("0",)}
    ewc = commands.parse("ewc.py", flags).settings
    assert (ewc.hidden, ewc.head, ewc.update, ewc.dropout) == ((8, 4), "multi", "explicit", 0)


def test_flags_of_the_command_win() -> None:
    command = commands.parse(
        "joint.py --head shared --tasks 5", "--head single --tasks 3 --epochs 4"
    )
    assert command.settings == importlib.import_module("joint").Settings(
        head="shared", tasks=5, epochs=4
    )
    assert command.arguments((), (0,)).count("--head") == 1


@pytest.mark.parametrize("line", ["finetune.py --lambda 3", "ewc.py --update no", "joint.py --x 1"])
def test_flags_of_the_command_are_not_dropped(line: str) -> None:
    with pytest.raises(options.UsageError):
        commands.parse(line)


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("ewc.py --lambda 1 3 10 --gamma 0.9", f"{FLAGS} --head multi"),
        ("ewc.py --lambda 1 3 --as-released D4 D3", FLAGS),
        ("ewc.py", "--steps 5"),
        ("mas.py --as-released --steps 10 --lambda 0.1", ""),
        ("anpyc_wi_np.py --seeds 5 6 --prune-percent 0", "--dropout-layers h2"),
        ("sgd_freeze.py", "--dropout-layers both --lr-decay 0.5"),
        ("cal_importance_distribution.py --as-released", ""),
    ],
)
def test_printed_command_gives_the_same_settings(line: str, flags: str) -> None:
    command = commands.parse(line, flags)
    expected = {"seeds": (3, 14)}
    strengths: tuple[float, ...] = ()
    if hasattr(command.settings, "strength"):
        strengths = (0.1, 1e-5, 300)
        expected["strength"] = strengths
    words = command.arguments(strengths, (3, 14))
    assert len([word for word in words if word in ("--lambda", "--seeds")]) == 1 + bool(strengths)
    again = options.parse(type(command.settings), "", words)
    assert again == dataclasses.replace(command.settings, **expected)


# The choice of λ


def tuned(folder: Path, accuracies: dict[float, Any], line: str = EWC, **more: Any) -> None:
    """Store runs that choose λ: by λ the validation accuracy of seed 100, 101, …"""
    for strength, values in accuracies.items():
        for seed, validation in enumerate(values, 100):
            acc = None if validation is None else 0.5
            keep(folder, line, seed, acc, strength, validation, **more)


def choice(
    folder: Path, *seeds: int, line: str = EWC, by_test: bool = False, **more: Any
) -> RowResults:
    """Return the row of a table that chooses λ with some seeds."""
    only = table(row("ewc", line, by_test=by_test), tuning=seeds, **more)
    return filled(folder, only).rows[0]


def asks_for(result: RowResults) -> list[tuple[float | None, tuple[int, ...]]]:
    """Return λ and seeds of the runs that a row asks for."""
    return [(run.strength, run.seeds) for run in result.missing]


def test_highest_mean_validation_accuracy_chooses(tmp_path: Path) -> None:
    tuned(tmp_path / "small", {1: (0.8, 0.8), 3: (0.95, 0.7), 10: (0.9, 0.6)})
    result = choice(tmp_path, 100, 101)
    assert result.grid == (1, 3, 10)
    assert result.strengths == (3,)
    assert not result.edge and not result.waits
    assert asks_for(result) == [(3, (0, 1))]


def test_test_accuracy_chooses_where_the_row_says_so(tmp_path: Path) -> None:
    for strength, acc in {1: 0.8, 3: 0.9, 10: 0.7}.items():
        keep(tmp_path / "small", EWC, 100, acc, strength, validation=1 - acc)
    assert choice(tmp_path, 100, by_test=True).strengths == (3,)
    assert choice(tmp_path, 100).strengths == (10,)


def test_tuning_seeds_do_not_enter_the_cells(tmp_path: Path) -> None:
    tuned(tmp_path / "small", {1: (0.1,), 3: (0.2,), 10: (0.1,)})
    keep_all(tmp_path / "small", EWC, (0.8, 0.9), strength=3.0)
    result = choice(tmp_path, 100)
    assert result.values(ACC) == pytest.approx({0: 0.8, 1: 0.9})
    assert [run["seed"] for run in result.runs] == [0, 1]
    assert [(run["lambda"], run["seed"]) for run in result.tuning] == [
        (1, 100),
        (3, 100),
        (10, 100),
    ]


def test_runs_that_chose_may_be_those_of_the_table(tmp_path: Path) -> None:
    tuned(tmp_path / "small", {1: (0.1,), 3: (0.2,), 10: (0.1,)})
    only = table(row("ewc", EWC), seeds=(100,))
    evaluated = filled(tmp_path, only)
    assert evaluated.complete
    assert [use for _, use, _ in contents.all_runs(evaluated)] == ["table", "tuning", "tuning"]
    assert [run["lambda"] for _, _, run in contents.all_runs(evaluated)] == [3, 1, 10]


@pytest.mark.parametrize("line", [EWC, "ewc.py --lambda 10 3 1", "ewc.py --lambda 3 10 1"])
@pytest.mark.parametrize("equal", [(3, 10), (1, 3, 10)])
def test_smaller_of_equal_strengths_is_chosen(
    tmp_path: Path, line: str, equal: tuple[int, ...]
) -> None:
    accuracies = {
        strength: (0.9, 0.8) if strength in equal else (0.5, 0.5) for strength in (1, 3, 10)
    }
    tuned(tmp_path / "small", accuracies)
    result = choice(tmp_path, 100, 101, line=line)
    assert (result.grid, result.strengths) == ((1, 3, 10), (min(equal),))


def test_row_waits_until_all_that_choose_are_stored(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", EWC, (0.8, 0.9), strength=3.0)
    places = [(strength, seed) for strength in (1, 3, 10) for seed in (100, 101)]
    for done in range(len(places)):
        result = choice(tmp_path, 100, 101)
        assert result.waits and result.strengths == result.runs == ()
        lacking = [(run.strength, seed) for run in result.missing for seed in run.seeds]
        assert lacking == places[done:]
        strength, seed = places[done]
        keep(tmp_path / "small", EWC, seed, 0.5, strength, 0.9 if strength == 3 else 0.8)
    result = choice(tmp_path, 100, 101)
    assert not result.waits and len(result.runs) == 2 and not result.missing


def test_every_strength_enters_a_table_that_chooses_none(tmp_path: Path) -> None:
    columns = tuple(Column(f"{strength}", ACC.value, strength=strength) for strength in (1, 3, 10))
    every = table(row("ewc", EWC), tuning=(), columns=columns)
    assert missing(filled(tmp_path, every)) == [
        ("small", strength, (0, 1)) for strength in (1.0, 3.0, 10.0)
    ]
    for strength in (1, 3):
        keep(tmp_path / "small", EWC, 0, strength / 10, strength)
        keep(tmp_path / "small", EWC, 1, None, strength)
    (result,) = filled(tmp_path, every).rows
    assert (result.grid, result.tuning, result.edge) == ((), (), False)
    estimates = [result.estimate(column) for column in columns]
    assert [mean and (mean.mean, mean.n) for mean in estimates] == [
        (pytest.approx(0.1), 1),
        (pytest.approx(0.3), 1),
        None,
    ]
    assert [result.diverged(column) for column in columns] == [1, 1, 0]
    assert result.diverged(ACC) == 2


@pytest.mark.parametrize(
    ("line", "best", "edge"),
    [(EWC, 1, True), (EWC, 3, False), (EWC, 10, True), ("ewc.py --lambda 0 3 10", 0, False)],
)
def test_λ_at_an_end_of_its_grid_is_marked(
    tmp_path: Path, line: str, best: float, edge: bool
) -> None:
    grid = commands.parse(line).settings.strength
    tuned(tmp_path / "small", {value: (0.9 if value == best else 0.8,) for value in grid})
    result = choice(tmp_path, 100, line=line)
    assert (result.strengths, result.edge) == ((best,), edge)
    assert asks_for(result) == [(best, (0, 1))]


def test_no_λ_is_chosen_where_every_one_diverged(tmp_path: Path) -> None:
    tuned(tmp_path / "small", {1: (None,), 3: (None,), 10: (None,)})
    result = choice(tmp_path, 100)
    assert (result.strengths, result.waits, result.missing) == ((), False, ())


# The λ of another row


@pytest.fixture
def follows() -> tuple[Table, Table]:
    """Return a table that chooses λ, and one that takes it."""
    other = row("ewc", f"{EWC} --evaluate-every 1", strength_of=("small", "a group", "ewc"))
    return (
        table(row("ewc", EWC, "a group"), row("mas", "mas.py --lambda 1 3 10", "a group")),
        table(other, row("finetune", "finetune.py"), name="second"),
    )


def test_row_that_takes_another_λ_asks_for_the_runs_that_choose_it(
    tmp_path: Path, follows: tuple[Table, Table]
) -> None:
    second = filled(tmp_path, *follows, name="second")
    assert second.rows[0].waits and second.rows[0].strengths == ()
    assert missing(second) == [
        *(("small", strength, (100,)) for strength in (1.0, 3.0, 10.0)),
        ("second", None, (0, 1)),
    ]


def test_row_takes_with_the_λ_how_it_was_chosen(
    tmp_path: Path, follows: tuple[Table, Table]
) -> None:
    for last, best, edge in (0.1, 3, False), (0.3, 10, True):
        tuned(tmp_path / "small", {1: (0.1,), 3: (0.2,), 10: (last,)})
        (taker, _) = filled(tmp_path, *follows, name="second").rows
        assert (taker.strengths, taker.edge, taker.chosen_by) == ((best,), edge, 1)


def test_row_takes_the_λ_that_another_chose(tmp_path: Path, follows: tuple[Table, Table]) -> None:
    tuned(tmp_path / "small", {1: (0.1,), 3: (0.2,), 10: (0.1,)})
    second = filled(tmp_path, *follows, name="second")
    (result, _) = second.rows
    assert (result.strengths, result.waits, result.grid, result.tuning) == ((3,), False, (), ())
    # But none of the other row's own.
    assert missing(second) == [("second", 3, (0, 1)), ("second", None, (0, 1))]
    trace = [{"task": 0, "phase": 0, "epoch": 1, "step": 9, "accuracy": [0.5]}]
    often = f"{EWC} --evaluate-every 1"
    keep_all(tmp_path / "second", often, (0.8, 0.9), strength=3.0, trace=trace)
    (result, _) = filled(tmp_path, *follows, name="second").rows
    assert result.values(ACC) == pytest.approx({0: 0.8, 1: 0.9})


def test_row_has_no_runs_where_the_other_one_has_no_λ(
    tmp_path: Path, follows: tuple[Table, Table]
) -> None:
    tuned(tmp_path / "small", {1: (None,), 3: (None,), 10: (None,)})
    second = filled(tmp_path, *follows, name="second")
    assert (second.rows[0].strengths, second.rows[0].waits) == ((), False)
    assert missing(second) == [("second", None, (0, 1))]


def test_flags_may_be_joined_to_their_values() -> None:
    joined = commands.parse("ewc.py --lambda=3 --gamma=0.5", "--hidden 8 4 --tasks=3 --merge=sum")
    assert joined == commands.parse("ewc.py --lambda 3 --gamma 0.5", "--hidden 8 4 --tasks 3")


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"command": "ewcc.py"}, "there is no script ewcc; did you mean ewc?"),
        ({"command": "tests.py"}, "there is no script tests"),
        ({"command": "reproduce_tables.py"}, "there is no script reproduce_tables"),
        ({"command": "ewc.py --gama 1"}, "--gama 1; did you mean --gamma?"),
        ({"command": "ewc.py gamma 1"}, "gamma stands where a flag should; did you mean --gamma?"),
        ({"command": "ewc.py --fisher exat"}, "did you mean exact?"),
        ({"command": "ewc.py --as-released d4"}, "did you mean D4?"),
        ({"command": "ewc.py '--gamma 1"}, "No closing quotation"),
        ({"flags": "--hiden 8 4"}, "no script has --hiden; did you mean --hidden?"),
        (
            {"strength_of": ("smal", "a group", "one")},
            "no row smal: a group: one to take λ from; did you mean small: a group: one?",
        ),
        ({"reference": "onne"}, "table small has no row 'onne' under 'a group'; did you mean one?"),
    ],
)
def test_misspelt_name_in_a_row_is_refused_before_its_runs_are_made(
    tmp_path: Path, wrong: dict[str, Any], line: str
) -> None:
    fields = {"label": "two", "command": "ewc.py", "group": "a group", **wrong}
    with pytest.raises(options.UsageError) as refused:
        filled(tmp_path, table(row("one", "finetune.py", "a group"), row(**fields)))
    places = ("table small, row 'a group: two': ", "table small has no row 'onne'")
    assert str(refused.value).startswith(places) and line in str(refused.value)


# Missing and stored runs


def test_run_of_two_rows_is_missing_once(tmp_path: Path) -> None:
    first = table(row("one", "finetune.py"), row("the same", "finetune.py --epochs 2"))
    second = table(row("three", "finetune.py", seeds=(1, 2)), name="second")
    assert missing(filled(tmp_path, first), filled(tmp_path, second)) == [
        ("small", None, (0, 1)),
        ("second", None, (2,)),
    ]


def test_run_that_two_rows_wait_for_is_counted_once(tmp_path: Path) -> None:
    evaluated = filled(
        tmp_path, table(row("one", EWC), row("other", EWC), row("third", "finetune.py"))
    )
    waits = contents.waiting_runs({"small": evaluated})
    assert [command.script for command in waits] == ["ewc", "ewc"]  # of the seeds 0 and 1


def test_run_of_other_settings_is_another_run(tmp_path: Path) -> None:
    whole = table(
        row("one", "finetune.py"), row("two", "finetune.py --epochs 3"), row("three", "joint.py")
    )
    assert len(missing(filled(tmp_path, whole))) == 3


def test_run_on_other_data_is_another_run_and_found_without_the_data(
    tmp_path: Path, tiny_data: Path
) -> None:
    keep_all(tmp_path / "small", f"finetune.py --data-dir {tiny_data}", (0.8, 0.9))
    lines = ["finetune.py", f"finetune.py --data-dir {tiny_data}", "finetune.py --data-dir nowhere"]
    checksums = (None, None, data.load_mnist(tiny_data).checksum)
    whole = table(*(row(line, line, checksum=c) for line, c in zip(lines, checksums, strict=True)))
    mnist, read, known = filled(tmp_path, whole).rows
    assert [bool(row.missing) for row in (mnist, read, known)] == [True, False, False]
    assert read.values(ACC) == known.values(ACC) == pytest.approx({0: 0.8, 1: 0.9})
    with pytest.raises(options.UsageError, match="nowhere/train-images-idx3-ubyte"):
        filled(tmp_path, table(row("unknown", "finetune.py --data-dir nowhere")))


def test_relative_data_folder_is_one_of_the_project(tmp_path: Path) -> None:
    (only,) = filled(tmp_path, table(row("", "finetune.py --data-dir mine", checksum="0"))).rows
    arguments = only.missing[0].arguments(tmp_path)
    assert arguments[arguments.index("--data-dir") + 1] == str(made_up.ROOT / "mine")


def test_row_has_its_own_seeds(tmp_path: Path) -> None:
    whole = table(
        row("one", "finetune.py", seeds=(7,)),
        row("two", EWC, tuning=(8,)),
        row("three", "joint.py"),
    )
    assert missing(filled(tmp_path, whole)) == [
        ("small", None, (7,)),
        *(("small", strength, (8,)) for strength in (1.0, 3.0, 10.0)),
        ("small", None, (0, 1)),
    ]


def test_row_of_other_peoples_figures_needs_no_run(tmp_path: Path) -> None:
    estimates = {"ACC": Estimate(0.9, 0.1, 3)}
    evaluated = filled(tmp_path, table(Row("theirs", estimates=estimates, lost={"ACC": 2})))
    assert [evaluated.rows[0].diverged(column) for column in (ACC, metric("F"))] == [2, 0]
    assert evaluated.complete and evaluated.rows[0].estimate(ACC) == estimates["ACC"]
    assert evaluated.rows[0].estimate(metric("F")) is None
    assert evaluated.rows[0].epochs is None


def test_missing_run_becomes_the_file_that_is_looked_for(tmp_path: Path) -> None:
    only = table(row("ewc", "ewc.py --lambda 3"), seeds=(0, 1, 2))
    keep(tmp_path / "small", "ewc.py", 1, 0.9, 3.0)
    (missing_runs,) = filled(tmp_path, only).rows[0].missing
    assert (missing_runs.seeds, missing_runs.strength) == ((0, 2), 3)
    for seed in missing_runs.seeds:
        path = keep(tmp_path / "small", "ewc.py", seed, 0.9, 3.0)
        assert path == missing_runs.path(tmp_path, seed)
    assert filled(tmp_path, only).complete


def test_arguments_of_missing_runs_are_those_of_the_script(tmp_path: Path) -> None:
    of_ewc, of_finetune = (
        filled(tmp_path, table(row("", line))).rows[0].missing[0]
        for line in ("ewc.py --lambda 0.5 --gamma 0.9", "finetune.py")
    )
    more = ["--seeds", "0", "1", "--results-dir", f"{tmp_path / 'small'}", "--no-figures"]
    words = [*FLAGS.split(), "--gamma", "0.9", "--lambda", "0.5", *more]
    assert of_ewc.arguments(tmp_path) == [str(made_up.ROOT / "ewc.py"), *words]
    assert of_finetune.arguments(tmp_path) == [
        str(made_up.ROOT / "finetune.py"),
        *(*FLAGS.split(), *more),
    ]


def test_run_is_found_in_the_folder_of_another_table(tmp_path: Path) -> None:
    keep_all(tmp_path / "another", "finetune.py", (0.8, 0.9))
    keep(tmp_path / "another", "joint.py", 0, 0.9)
    evaluated = filled(tmp_path, table(row("finetune", "finetune.py")))
    assert evaluated.complete
    assert evaluated.rows[0].values(ACC) == pytest.approx({0: 0.8, 1: 0.9})
    # A file name is the same for several scripts.
    assert missing(filled(tmp_path, table(row("sgd_freeze", "sgd_freeze.py")))) == [
        ("small", None, (0, 1))
    ]


def test_run_that_two_tables_have_made_is_the_same_in_both(tmp_path: Path) -> None:
    both = [table(row("finetune", "finetune.py"), name=name) for name in ("small", "second")]
    keep_all(tmp_path / "small", "finetune.py", (0.8, 0.9))
    keep_all(tmp_path / "second", "finetune.py", (0.7, 0.6))
    evaluated = contents.evaluate(both, ["small", "second"], commands.Store(tmp_path)).values()
    assert [each.rows[0].values(ACC) for each in evaluated] == [pytest.approx({0: 0.8, 1: 0.9})] * 2


def test_run_that_is_made_for_one_table_is_found_by_the_others_at_once(tmp_path: Path) -> None:
    both = [table(row("ewc", EWC), name=name) for name in ("small", "second")]
    store = commands.Store(tmp_path)
    assert len(contents.missing_runs(contents.evaluate(both, ["small", "second"], store))) == 3
    tuned(tmp_path / "small", {1: (0.1,), 3: (0.2,), 10: (0.1,)})
    keep_all(tmp_path / "small", EWC, (0.8, 0.9), strength=3.0)
    evaluated = contents.evaluate(both, ["small", "second"], store)
    assert all(each.complete for each in evaluated.values())


@pytest.mark.parametrize("name", ["small", "another"])
def test_file_of_another_run_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    path = keep(tmp_path / name, "finetune.py", 0, 0.9)
    shutil.copy(keep(tmp_path / "elsewhere", "finetune.py --as-released", 0, 0.9), path)
    with pytest.raises(ResultError) as caught:
        filled(tmp_path, table(row("finetune", "finetune.py")))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_all(tmp_path / "small", "finetune.py", (0.8, 0.9))
    read = mock.Mock(wraps=run_files.RunFiles.read)
    monkeypatch.setattr(run_files.RunFiles, "read", lambda files: read(files))
    store, only = commands.Store(tmp_path), table(row("finetune", "finetune.py"))
    for _ in range(3):
        assert contents.evaluate([only], ["small"], store)["small"].complete
    assert read.call_count == 2


# Numbers

ACCURACIES = (0.8712, 0.9034, 0.8555, 0.9101)
OTHERS = (0.8811, 0.8903, 0.8699, 0.9001)


def both(folder: Path, ours: Any, theirs: Any, **more: Any) -> tuple[RowResults, RowResults]:
    """Return rows of stored runs: one that is compared, and the one with which it is."""
    keep_all(folder / "small", "finetune.py", ours)
    keep_all(folder / "small", "sgd_freeze.py", theirs)
    rows = row("ours", "finetune.py"), row("theirs", "sgd_freeze.py")
    evaluated = filled(folder, table(*rows, seeds=tuple(range(len(ours))), **more))
    return evaluated.rows[0], evaluated.rows[1]


def test_estimate_is_mean_and_sample_deviation(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", ACCURACIES, lost=0.05)
    (result,) = filled(tmp_path, table(row("", "finetune.py"), seeds=(0, 1, 2, 3))).rows
    accuracy, forgetting = result.estimate(ACC), result.estimate(metric("F"))
    assert accuracy.mean == pytest.approx(statistics.mean(ACCURACIES), rel=1e-12)
    assert accuracy.std == pytest.approx(statistics.stdev(ACCURACIES), rel=1e-12)
    assert accuracy.n == 4 and accuracy.values == pytest.approx(ACCURACIES)
    assert (forgetting.mean, forgetting.std) == pytest.approx((0.05, 0), abs=1e-12)


def test_column_is_given_the_group_of_the_row(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", (0.8, 0.9))
    column = Column("", lambda result, group: result["metrics"][group])
    rows = [row("finetune", "finetune.py", group) for group in ("ACC", "LA")]
    first, second = filled(tmp_path, table(*rows)).rows
    assert first.values(column) == pytest.approx({0: 0.8, 1: 0.9})
    assert second.values(column) == pytest.approx({0: 0.8 + 0.2 / 3, 1: 0.9 + 0.2 / 3})


def test_difference_is_paired_by_seed(tmp_path: Path) -> None:
    ours, theirs = both(tmp_path, ACCURACIES, OTHERS)
    difference = contents.difference(ours, theirs)
    expected = stats.ttest_rel(ACCURACIES, OTHERS)
    assert difference.mean == pytest.approx(np.mean(ACCURACIES) - np.mean(OTHERS))
    assert difference.mean / difference.std == pytest.approx(expected.statistic)
    assert difference.n == 4
    back = contents.difference(theirs, ours)
    assert (back.mean, back.std) == pytest.approx((-difference.mean, difference.std))


def test_difference_counts_the_seeds_that_finished_in_both(tmp_path: Path) -> None:
    ours, theirs = both(tmp_path, (0.5, *ACCURACIES[1:]), (None, *OTHERS[1:3], None))
    difference = contents.difference(ours, theirs)
    assert difference.n == 2
    expected = stats.ttest_rel(ACCURACIES[1:3], OTHERS[1:3])
    assert difference.mean / difference.std == pytest.approx(expected.statistic)
    assert difference.values == pytest.approx(np.subtract(ACCURACIES, OTHERS)[1:3])


def test_difference_of_one_pair_has_no_error(tmp_path: Path) -> None:
    ours, theirs = both(tmp_path, (0.9, None, 0.7), (0.8, 0.7, None))
    difference = contents.difference(ours, theirs)
    assert (difference.mean, difference.std, difference.n) == (pytest.approx(0.1), None, 1)
    ours, theirs = both(tmp_path / "no pair", (0.9, None), (None, 0.7))
    assert contents.difference(ours, theirs) is None


def test_difference_is_of_the_column_that_is_asked_for(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", (0.6, 0.6), lost=0.3)
    keep_all(tmp_path / "small", "sgd_freeze.py", (0.9, 0.9), lost=0.1)
    rows = filled(tmp_path, table(row("", "finetune.py"), row("other", "sgd_freeze.py"))).rows
    assert contents.difference(*rows, metric("F")).mean == pytest.approx(0.2)


def test_difference_to_other_peoples_figures_is_not_paired(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", ACCURACIES)
    theirs = Row("theirs", estimates={"ACC": Estimate.of(OTHERS[:3])})
    ours, others = filled(
        tmp_path, table(row("ours", "finetune.py"), theirs, seeds=(0, 1, 2, 3))
    ).rows
    difference = contents.difference(ours, others)
    assert difference.n == 3
    expected = stats.ttest_ind(ACCURACIES, OTHERS[:3], equal_var=False)
    assert difference.mean == pytest.approx(np.mean(ACCURACIES) - np.mean(OTHERS[:3]))
    assert difference.mean / difference.std == pytest.approx(expected.statistic)
    assert contents.difference(ours, others, metric("F")) is None
    alone = RowResults(Row("alone", estimates={"ACC": Estimate.of((0.5,))}))
    difference = contents.difference(ours, alone)
    assert (difference.std, difference.n) == (None, 1)


PLAIN = Column("plain", ACC.value, 1.0)


@pytest.mark.parametrize(
    ("difference", "std", "n", "column", "expected"),
    [
        # The standard error of two times n values is std times the root of 2 / n.
        (0.0260, 0.02, 8, ACC, True),
        (0.0240, 0.02, 8, ACC, False),
        (-0.0260, 0.02, 8, ACC, True),
        (-0.0240, 0.02, 8, ACC, False),
        (0.0049, 0.0001, 8, ACC, False),
        (0.0051, 0.0001, 8, ACC, True),
        (-0.0049, 0.0001, 8, ACC, False),
        (0.0049, 0.0001, 8, PLAIN, True),
        (0.0240, 0.02, 8, PLAIN, False),
        (0.0260, 0.02, 8, PLAIN, True),
        (0.0, 0.0, 8, PLAIN, False),
        (0.5, None, 1, ACC, None),
    ],
)
def test_means_differ_by_more_than_the_noise(
    difference: float, std: float | None, n: int, column: Column, expected: bool | None
) -> None:
    first, second = Estimate(0.8 + difference, std, n), Estimate(0.8, std, n)
    assert contents.differs(first, second, column) is expected
    assert contents.differs(second, first, column) is expected


def test_verdict_needs_both_deviations() -> None:
    of_one, many = Estimate(0.5, None, 1), Estimate(0.9, 0.01, 5)
    assert contents.differs(of_one, many, ACC) is contents.differs(many, of_one, ACC) is None


# Epochs and time


def test_epochs_are_counted_over_tasks_and_rounds(tmp_path: Path) -> None:
    pruned = "anpyc_wi_np.py --retrain-epochs 3"
    sparsity = [{"task": 0, "percent": 10 * number, "overall": 0.1} for number in range(1, 5)]
    keep(tmp_path / "small", pruned, 0, None, 3.0, sparsity=sparsity[:2])  # stopped on the way
    keep(tmp_path / "small", pruned, 1, 0.9, 3.0, sparsity=sparsity)
    keep(tmp_path / "small", "anpyc_wi_np.py --prune-percent 0", 0, 0.9, 3.0)
    study = "cal_importance_distribution.py --retrain-epochs 3 --prune-percent 5"
    keep(tmp_path / "small", study, 0, 0.9)
    rows = filled(
        tmp_path,
        table(
            row("pruned", pruned),
            row("not pruned", "anpyc_wi_np.py --prune-percent 0"),
            row("joint", "joint.py"),
            row("steps", "ewc.py --steps 5 --lambda 3", flags="--tasks 3"),
            row("study", study),
        ),
    ).rows
    assert [each.epochs for each in rows] == [3 * 2 + 4 * 3, 3 * 2, 3 * 2, None, 2 + 2 * 3]
