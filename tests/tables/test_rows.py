"""What is published: the rows of tables, what their columns read, how they differ."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import shutil
from pathlib import Path

from harness import distribution, options
from reproduce_tables import TABLES
from tables import commands, contents, drawings, pages
from tables.contents import ACC, Row, TableResults
from tables.rows.equal_terms import SMALL
from tables.rows.release import FIRST_TASK, RELEASE, SCRIPTS
from tests.made_up import filled, keep, table

import pytest

BY_NAME = {table.name: table for table in TABLES}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TableResults]:
    """Return all tables where nothing is stored."""
    return contents.evaluate(
        TABLES, list(BY_NAME), commands.Store(tmp_path_factory.mktemp("empty"))
    )


def test_rows_are_commands_and_refer_to_what_there_is(empty: dict[str, TableResults]) -> None:
    assert len(BY_NAME) == len({table.title for table in TABLES}) == len(TABLES)
    for name, evaluated in empty.items():  # its commands are parsed, its references are there
        pages.note(evaluated)  # raises where a cell is not there
        titles = {column.title for column in BY_NAME[name].columns}
        for row in evaluated.rows:
            assert set(row.row.estimates) <= titles
            assert bool(row.row.estimates) != bool(row.command)


def test_seeds_that_choose_λ_are_not_in_the_table(empty: dict[str, TableResults]) -> None:
    for name, evaluated in empty.items():
        for row in evaluated.rows:
            shared = set(row.tuning_seeds) & set(row.seeds) if row.grid else set()
            # As in the release, whose D12 chooses by the test accuracy that it then shows.
            assert not shared or (name == "defects" and row.row.group in ("lwf", "anpyc_wo_np"))


@pytest.mark.parametrize(
    "name", ["equal-small", "measures", "rates", "fashion", "equal-large", "long"]
)
def test_equal_terms_are_equal(empty: dict[str, TableResults], name: str) -> None:
    of_a_method = {"strength", "update", "merge", "measure", "as_released", "steps", "epochs"}
    for rows in empty[name].groups().values():
        terms: dict[str, set[object]] = {}
        for row in rows:
            assert row.command
            settings = row.command.settings
            longer = row.row.label.endswith(" epochs")  # and says so
            assert (settings.epochs == 10) != longer and settings.as_released == ()
            for field in dataclasses.fields(settings):
                if field.name in options.SHARED and field.name not in of_a_method:
                    terms.setdefault(field.name, set()).add(getattr(settings, field.name))
        different = {field for field, values in terms.items() if len(values) > 1}
        assert different <= {"head", "dropout_layers"}  # joint's heads; of the frozen trunk alone
        assert {"hidden", "tasks", "batch_size", "learning_rate", "permutations"} <= set(terms)


def test_stability_shows_the_change_in_a_tasks_first_epoch_and_after_it() -> None:
    readings = [(0, 1, 15, [0.9]), (0, 2, 30, [1.0])]
    readings += [(1, 1, 35, [0.4, 0.3]), (1, 1, 45, [0.7, 0.5]), (1, 2, 60, [0.8, 0.9])]
    readings += [(2, 1, 65, [0.7, 0.8, 0.2]), (2, 1, 75, [0.6, 0.5, 0.9])]
    readings += [(2, 2, 90, [0.1, 0.1, 0.9]), (2, 3, 105, [0.7, 0.6, 0.9])]
    trace = [
        {"task": task, "phase": 0, "epoch": epoch, "step": step, "accuracy": accuracy}
        for task, epoch, step, accuracy in readings
    ]
    *_, lowest, first, rest = BY_NAME["stability"].columns
    values = [column.value({"trace": trace}, "") for column in (lowest, first, rest)]
    after = {5: (-0.6 - (0.1 + 0.1) / 2) / 2, 15: (-0.3 - (0.2 + 0.4) / 2) / 2}
    assert values == pytest.approx([after[5], after[15], (0.1 + (0.1 + 0.1) / 2) / 2])
    assert drawings.changes_within(trace) == pytest.approx({0: 0.0, **after})


def test_released_settings_are_the_defaults_and_their_strength_is_the_one_chosen() -> None:
    published = contents.evaluate(TABLES, ["released"], commands.Store(options.ROOT / "results"))
    rows = [row for row in published["released"].rows if row.row.label in SCRIPTS]
    assert len(rows) == len(SCRIPTS) - 1  # the study of importance has a table of its own
    for row in rows:
        assert row.command
        settings = row.command.settings
        chosen = {"strength": row.strengths} if row.grid else {}
        assert dataclasses.replace(settings, **chosen) == type(settings)()


def test_every_script_stands_beside_the_release(empty: dict[str, TableResults]) -> None:
    ours = [row for row in empty["release-short"].rows if row.command]
    assert {row.command.script for row in ours} == set(SCRIPTS) - {"cal_importance_distribution"}
    for row in ours:
        reference = empty["release-short"].reference(row)
        measured = RELEASE["short"][row.command.script]
        assert reference.estimate(ACC).values == pytest.approx(
            [acc / 100 for acc in measured["ACC"]]
        )
        assert reference.diverged(ACC) == measured.get("diverged", 0)


def test_estimates_of_the_release_in_detail_are_of_the_runs_named(
    empty: dict[str, TableResults],
) -> None:
    at_full_length = empty["release-pruning"].row("Full length", "release")
    assert at_full_length.estimate(FIRST_TASK).values == pytest.approx((0.848, 0.838))
    assert at_full_length.diverged(FIRST_TASK) == 1  # its accuracy is not among them
    runs = RELEASE["short"]["anpyc_wi_np"]["task 0"]
    for label, which in (("release", "as it is"), ("release, no race", "no race")):
        row = empty["release-pruning"].row("Short protocol", label)
        values = {title: estimate.values for title, estimate in row.row.estimates.items()}
        expected = [run["accuracy"] / 100 for run in runs[which]]
        assert values["task 0 after pruning"] == pytest.approx(expected)
        for title, place, entry in (("W1 pruned, round 20", 1, 0), ("b2 pruned, round 50", 4, 3)):
            assert values[title] == tuple(run["zeros"][place][entry] for run in runs[which])


def test_pruning_of_the_release_is_of_task_0_by_tensor_and_round() -> None:
    sparsity = [
        {"task": 0, "percent": 20, "W1": 0.1, "W2": 0.2},
        {"task": 0, "percent": 50, "W1": 0.3, "W2": 0.4},
        {"task": 1, "percent": 20, "W1": 0.5, "W2": 0.6},
        {"task": 1, "percent": 50, "W1": 0.7, "W2": 0.8},
    ]
    result = {"accuracy": [[0.9], [0.8, 0.7]], "sparsity": sparsity}
    pruning = BY_NAME["release-pruning"]
    columns = {column.title: column for column in pruning.columns}
    assert columns.keys() == pruning.rows[0].estimates.keys()
    expected = {
        "task 0 after pruning": 0.9,
        "W1 pruned, round 20": 0.1,
        "W1 pruned, round 50": 0.3,
        "W2 pruned, round 50": 0.4,
    }
    assert {title: columns[title].value(result, "") for title in expected} == expected


def test_row_of_a_defect_differs_from_its_reference_by_that_alone(
    empty: dict[str, TableResults],
) -> None:
    defects = empty["defects"]
    for script, rows in defects.groups().items():
        alone = set()
        for row in rows:
            assert row.command and row.command.script == script
            reference = defects.reference(row)
            if reference is None:
                continue
            assert reference.command
            settings, usual = row.command.settings, reference.command.settings
            if row.row.by_test:
                assert settings == usual and not reference.row.by_test
                alone.add("D12")
                continue
            # The step comes with D16; where λ is another, the label says so.
            brought = {"as_released": usual.as_released}
            if "D16" in settings.as_released:
                brought["update"] = usual.update
            if "λ" in row.row.label:
                brought["strength"] = usual.strength
            assert dataclasses.replace(settings, **brought) == usual
            if row.row.label.startswith("D"):
                (defect,) = settings.as_released
                assert row.row.label.startswith(defect)
                alone.add(defect)
            else:
                assert settings.as_released == settings.DEFECTS
        assert alone == set(importlib.import_module(script).Settings.DEFECTS)


def test_authors_standard_deviations_are_of_a_sample() -> None:
    stored = json.loads(distribution.AUTHORS.read_text())
    for kind, of_kind in distribution.authors().items():
        for name, pairs in of_kind.items():
            for pair, (mean, std) in zip(pairs, stored[kind][name], strict=True):
                assert pair == pytest.approx((mean, std * math.sqrt(10 / 9)))


def test_figures_of_importance_are_of_the_runs_that_finished(tmp_path: Path) -> None:
    home = tmp_path / "importance" / "cal_importance_distribution"
    shutil.copytree(options.ROOT / "results" / "importance", home.parent)
    nothing = dict.fromkeys(("accuracy", "validation_accuracy", "metrics"))
    diverged = {"status": "diverged", "diverged": "at its end", "importance": {}, **nothing}
    for path in home.glob("seed3*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **diverged}))

    def importance() -> TableResults:
        return contents.evaluate(TABLES, ["importance"], commands.Store(tmp_path))["importance"]

    titles = {drawing.title for drawing in BY_NAME["importance"].drawings[0](importance())}
    assert titles and all("9 seeds" in title for title in titles)
    for path in home.glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **diverged}))
    assert BY_NAME["importance"].drawings[0](importance()) == []


@pytest.mark.parametrize(
    ("tasks", "own", "epochs", "row_epochs"),
    [(10, False, 148, 15), (50, False, None, 11), (10, True, 1020, 102)],
)
def test_epochs_of_pruning_are_those_of_the_row_beside_it(
    tmp_path: Path, tasks: int, own: bool, epochs: int | None, row_epochs: int
) -> None:
    from common import pruning  # needs TensorFlow

    flags = f"--tasks {tasks}" if own else f"{SMALL} --head multi --tasks {tasks}"
    schedule = pruning.pruning_schedule(tasks, 50, 0.8, 10)
    sparsity = [
        {"task": task, "percent": percent, "overall": 0.1}
        for task, percents in enumerate(schedule)
        for percent in percents
    ]
    place = tmp_path / "small"
    keep(place, "anpyc_wi_np.py", 0, 0.9, 3.0, flags=flags, sparsity=sparsity)
    (pruned,) = filled(tmp_path, table(Row("", "anpyc_wi_np.py", flags=flags), seeds=(0,))).rows
    assert pruned.epochs is not None
    assert epochs in (None, pruned.epochs)
    assert round(pruned.epochs / tasks) == row_epochs
