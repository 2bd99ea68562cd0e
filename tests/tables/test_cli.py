"""`reproduce_tables.py`: its tables as they are meant, its command line, one table from nothing."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import itertools
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import reproduce_tables
from benchmark import speed as benchmark
from harness import distribution, options, style
from reproduce_tables import TABLES
from tables import cli, commands, contents, drawings, figures, summaries
from tables.contents import ACC, Row, RowResults, TableResults
from tables.rows.equal_terms import SMALL
from tables.rows.release import FIRST_TASK, RELEASE, SHORT
from tests import made_up
from tests.conftest import Ended
from tests.made_up import filled, keep, keep_all, row, table

import pytest

BY_NAME = {one.name: one for one in TABLES}
METHODS = (
    *("finetune", "sgd_freeze", "lwf", "ewc", "mas", "si", "anpyc_wo_np", "anpyc_wi_np", "joint"),
    "sgd_single_head",
)
EPOCHS = {"equal-small": 15, "equal-large": 15, "long": 11}
GRIDS = {
    "anpyc_wo_np": (0.3, 1, 3, 10, 30),
    "anpyc_wi_np": (0.3, 1, 3, 10, 30),
    "ewc": (3, 10, 30, 100, 300),
    "mas": (1, 3, 10, 30, 100),
    "si": (0.1, 0.3, 1, 3, 10),
    "lwf": (0.01, 0.03, 0.1, 0.3, 1),
}
# Of the release, as D12 sets them.
D12_GRIDS = {
    script: options.options_of(importlib.import_module(script).Settings)["strength"].released["D12"]
    for script in ("anpyc_wo_np", "lwf")
}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TableResults]:
    """Return all tables where nothing is stored."""
    return contents.evaluate(
        TABLES, list(BY_NAME), commands.Store(tmp_path_factory.mktemp("empty"))
    )


def rows_of(filled: TableResults) -> list[tuple[RowResults, str, Any]]:
    """Return the rows of a table that have a command, each with its script and settings."""
    return [(one, one.command.script, one.command.settings) for one in filled.rows if one.command]


# The tables


def test_names_and_labels_are_unique_and_groups_together() -> None:
    assert len(BY_NAME) == len(TABLES)
    assert len({one.title for one in TABLES}) == len(TABLES)
    for one in TABLES:
        keys = [(found.group, found.label) for found in one.rows]
        assert len(set(keys)) == len(keys)
        groups = [found.group for found in one.rows]
        changes = sum(first != second for first, second in itertools.pairwise(groups))
        assert changes == len(set(groups)) - 1
        titles = [column.title for column in one.columns]
        assert len(set(titles)) == len(titles)


def test_every_row_has_what_it_refers_to(empty: dict[str, TableResults]) -> None:
    for one in empty.values():
        titles = {column.title for column in one.table.columns}
        for found in one.rows:
            reference = one.reference(found)  # raises where there is none
            assert reference is not found
            assert set(found.row.estimates) <= titles
            assert bool(found.row.estimates) != bool(found.command)


@pytest.mark.parametrize(
    ("name", "rows", "seeds", "tuning"),
    [
        ("equal-small", 22, 10, (100, 101, 102)),
        ("equal-large", 12, 5, (100,)),
        ("long", 20, 5, (100,)),
        ("ablation", 20, 10, (100, 101, 102)),
        ("fisher", 6, 10, (100, 101, 102)),
        ("update", 10, 3, ()),
        ("stability", 6, 5, ()),
        ("released", 10, 3, (100,)),
        ("release-short", 14, 3, ()),
        ("release-pruning", 4, 10, ()),
        ("importance", 9, 10, ()),
    ],
)
def test_rows_and_seeds(
    empty: dict[str, TableResults], name: str, rows: int, seeds: int, tuning: tuple[int, ...]
) -> None:
    assert len(BY_NAME[name].rows) == rows
    for found, script, _ in rows_of(empty[name]):
        wanted, choosing = seeds, tuning
        if name == "ablation" and found.row.group != "Equal terms":
            wanted = 5
        if found.row.group in ("Fifty tasks, single-head", "Large network"):
            choosing = (100,)
        if (name, script) == ("release-short", "anpyc_wi_np"):
            wanted = 10
        assert found.seeds == tuple(range(wanted))
        assert found.tuning_seeds == choosing
        assert not set(choosing) & set(found.seeds)


def test_only_tables_that_say_so_are_not_widened() -> None:
    assert [one.name for one in TABLES if not one.widen] == ["defects", "released"]


@pytest.mark.parametrize("name", EPOCHS)
def test_equal_terms_have_every_method_and_its_first_grid(
    empty: dict[str, TableResults], name: str
) -> None:
    groups = empty[name].groups()
    heads = {"Multi-head": METHODS[:-1]}
    large = name == "equal-large"
    if not large:
        heads["Single-head"] = ("sgd_single_head", *METHODS[3:-1])
    assert list(groups) == list(heads)
    for group, rows in groups.items():
        scripts = [found.command.script for found in rows]
        more = ["anpyc_wo_np", "ewc", "ewc"] if large else ["anpyc_wo_np", "ewc"]
        summed = [found for found in rows if found.row.label.startswith("anpyc_wo_np, sum")]
        more += [found.command.script for found in summed]
        assert sorted(scripts) == sorted([*heads[group], *more])
        of_each, online, *longer = (found for found in rows if found.command.script == "ewc")
        assert (of_each.row.label, online.row.label) == ("ewc", "ewc, online")
        assert online.command.settings == dataclasses.replace(of_each.command.settings, gamma=1)
        for found in longer:
            assert found.row.label == "ewc, online, 15 epochs"
            assert found.command.settings == dataclasses.replace(online.command.settings, epochs=15)
        maxima = [one for one in rows if one.command.script == "anpyc_wo_np" and one not in summed]
        first, second = maxima
        assert (first.row.label, second.row.label) == (
            "anpyc_wo_np",
            f"anpyc_wo_np, {EPOCHS[name]} epochs",
        )
        expected = dataclasses.replace(first.command.settings, epochs=EPOCHS[name])
        assert second.command.settings == expected
        if summed:
            assert (name, group) == ("equal-small", "Multi-head")
        for found, of_max in zip(summed, maxima, strict=False):
            expected = dataclasses.replace(of_max.command.settings, merge="sum")
            assert found.command.settings == expected
        assert all(found is first or empty[name].reference(found) is first for found in rows)
    for found, script, settings in rows_of(empty[name]):
        head = "multi" if found.row.group == "Multi-head" else "single"
        expected = {
            "strength": GRIDS.get(script),
            "head": "shared" if (script, head) == ("joint", "single") else head,
            "hidden": (512, 256) if large else (64, 32),
            "tasks": 50 if name == "long" else 10,
            "epochs": EPOCHS[name] if found.row.label.endswith(" epochs") else 10,
            "retrain_epochs": 2,
            **{"batch_size": 256, "learning_rate": 0.1, "lr_decay": 0.9, "lr_decay_epochs": 10},
            **{"init": "truncated-normal", "permutations": "per-seed"},
            "dropout": 0.5 if large else 0,
            **{"as_released": (), "steps": None, "evaluate_every": None},
        }
        if large:
            expected["dropout_layers"] = "h2" if script == "sgd_freeze" else "both"
        for key, value in expected.items():  # as far as the script has it
            assert getattr(settings, key, value) == value, key


def not_usual(filled: TableResults, flags: str = "--head multi") -> dict[str, dict[str, Any]]:
    """Return by label which settings a row has that its script with the "small" flags has not."""
    found = {}
    for one, script, settings in rows_of(filled):
        usual = commands.parse(f"{script}.py", f"{SMALL} {flags}").settings
        found[one.row.label] = {
            field.name: getattr(settings, field.name)
            for field in dataclasses.fields(usual)
            if getattr(settings, field.name) != getattr(usual, field.name)
        }
    return found


def test_ablation_changes_one_thing_at_a_time(empty: dict[str, TableResults]) -> None:
    ablation = empty["ablation"]
    grid = {"strength": GRIDS["anpyc_wi_np"]}
    equal = ablation.groups()["Equal terms"]
    assert not_usual(dataclasses.replace(ablation, rows=equal)) == {
        "no pruning, sum": {**grid, "merge": "sum"},
        "no pruning, max": grid,
        "no pruning, sum, 15 epochs": {**grid, "merge": "sum", "epochs": 15},
        "no pruning, max, 15 epochs": {**grid, "epochs": 15},
        "20 %, sum": {**grid, "prune_percent": 20},
        "50 %, sum": grid,
        "80 %, sum": {**grid, "prune_percent": 80},
        "50 %, max": {**grid, "merge": "max"},
        "50 %, sum, explicit step": {**grid, "update": "explicit"},
    }
    first, *others = equal
    assert first.row.label == "no pruning, sum"
    assert all(ablation.reference(found) is first for found in others)
    long = ablation.groups()["Fifty tasks, single-head"]
    assert not_usual(dataclasses.replace(ablation, rows=long), "--tasks 50 --head single") == {
        "no pruning, sum": {**grid, "merge": "sum"},
        "no pruning, max": grid,
        "no pruning, sum, 11 epochs": {**grid, "merge": "sum", "epochs": 11},
        "50 %, sum": grid,
    }
    assert [ablation.reference(found) for found in long] == [None, *[long[0]] * 3]
    large = ablation.groups()["Large network"]
    network = "--hidden 512 256 --dropout 0.5 --dropout-layers both --head multi"
    assert not_usual(dataclasses.replace(ablation, rows=large), network) == {
        "50 %, sum": grid,
        "no pruning, sum, 15 epochs": {**grid, "merge": "sum", "epochs": 15},
        "no pruning, max, 15 epochs": {**grid, "epochs": 15},
        "8 % in steps of 1 %, sum": {**grid, "prune_percent": 8, "prune_step": 1},
    }
    assert [ablation.reference(found) for found in large] == [None, *[large[0]] * 3]
    own = ablation.groups()["Settings of anpyc_wi_np.py, λ 3"]
    usual = importlib.import_module("anpyc_wi_np").Settings()
    assert [found.command.settings for found in own] == [
        usual,
        dataclasses.replace(usual, prune_percent=0),
        dataclasses.replace(usual, prune_percent=0, epochs=102),
    ]
    assert [ablation.reference(found) for found in own] == [None, own[0], own[0]]


def test_fisher_has_every_kind(empty: dict[str, TableResults]) -> None:
    grid = {"strength": GRIDS["ewc"]}
    assert not_usual(empty["fisher"]) == {
        "sampled": grid,
        "exact": {**grid, "fisher": "exact"},
        "labels": {**grid, "fisher": "labels"},
        "first of a batch": {**grid, "as_released": ("D4",)},
        "online, γ 1": {**grid, "gamma": 1},
        "online, γ 0.9": {**grid, "gamma": 0.9},
    }
    assert BY_NAME["fisher"].reference == "sampled"


def test_update_has_both_steps_and_seven_strengths(empty: dict[str, TableResults]) -> None:
    seven = (0.01, 0.1, 1, 10, 100, 1000, 10000)
    steps = []
    for found, script, settings in rows_of(empty["update"]):
        assert found.strengths == settings.strength == seven
        assert settings.update == found.row.label
        steps.append((script, settings.update))
    scripts = ("ewc", "mas", "si", "anpyc_wo_np", "anpyc_wi_np")
    assert sorted(steps) == sorted(itertools.product(scripts, ("proximal", "explicit")))
    assert tuple(column.strength for column in BY_NAME["update"].columns) == seven


def test_stability_reads_the_rows_of_equal_small(empty: dict[str, TableResults]) -> None:
    several = {one.label: one for one in BY_NAME["equal-small"].rows if one.group != "Single-head"}
    for found, _, settings in rows_of(empty["stability"]):
        of = several[found.row.label]
        expected = {"evaluate_every": 1}
        if found.row.label != "finetune":
            assert found.row.strength_of == ("equal-small", of.group, of.label)
            expected["strength"] = settings.strength
        theirs = commands.parse(of.command, of.flags).settings
        assert settings == dataclasses.replace(theirs, **expected)
    titles = [column.title for column in BY_NAME["stability"].columns]
    assert titles == ["ACC", "min-ACC", "WC-ACC", "F", "first epoch", "rest"]


def test_stability_shows_the_change_in_a_tasks_first_epoch_and_after_it() -> None:
    readings = [(0, [0.9]), (0, [1.0]), (1, [0.7, 0.5]), (1, [0.8, 0.9])]
    readings += [(2, [0.6, 0.5, 0.9]), (2, [0.1, 0.1, 0.9]), (2, [0.7, 0.6, 0.9])]
    result = {"trace": [{"task": task, "accuracy": accuracy} for task, accuracy in readings]}
    *_, first, rest = BY_NAME["stability"].columns
    assert first.value(result, "") == pytest.approx((-0.3 - (0.2 + 0.4) / 2) / 2)
    assert rest.value(result, "") == pytest.approx((0.1 + (0.1 + 0.1) / 2) / 2)


def test_released_settings_are_the_defaults_and_their_strength_is_the_one_chosen() -> None:
    published = contents.evaluate(TABLES, ["released"], commands.Store(options.ROOT / "results"))
    found = rows_of(published["released"])
    assert sorted(script for _, script, _ in found) == sorted(METHODS)
    for one, _, settings in found:
        usual = {"strength": one.strengths} if one.grid else {}
        assert dataclasses.replace(settings, **usual) == type(settings)()
    grids = {script: settings.strength for one, script, settings in found if one.grid}
    assert grids == {
        "anpyc_wo_np": D12_GRIDS["anpyc_wo_np"],
        "lwf": D12_GRIDS["lwf"],
        "ewc": (0.1, 1, 10),
        "mas": (1, 10, 100),
    }


def test_release_short_has_every_script_as_released(empty: dict[str, TableResults]) -> None:
    release = empty["release-short"]
    assert sorted(script for _, script, _ in rows_of(release)) == sorted(METHODS)
    for found, script, settings in rows_of(release):
        assert settings.as_released == settings.DEFECTS != ()
        reference = release.reference(found)
        theirs = RELEASE["short"].get(script)
        assert (reference is None) == (theirs is None)
        if theirs:
            expected = [one / 100 for one in theirs["ACC"]]
            assert reference.estimate(ACC).values == pytest.approx(expected)


def test_release_at_full_length_has_the_seeds_that_finish(empty: dict[str, TableResults]) -> None:
    release = empty["release-pruning"].row("Full length", "release")
    column = FIRST_TASK
    assert release.estimate(column).values == pytest.approx((0.848, 0.838))
    assert release.diverged(column) == 1


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


def test_defects_have_a_row_each(empty: dict[str, TableResults]) -> None:
    defects = empty["defects"]
    assert list(defects.groups()) == list(SHORT)
    for script, rows in defects.groups().items():
        cls = importlib.import_module(script).Settings
        alone = set()
        for found in rows:
            assert found.command.script == script
            assert found.seeds == (0, 1, 2, 3, 4)
            settings = found.command.settings
            released = settings.as_released
            reference = defects.reference(found)
            if not released and not found.row.by_test:
                assert reference is None
                continue
            if len(released) == 1 and found.row.label.startswith("D"):
                alone.update(released)
            if found.row.by_test:
                alone.add("D12")
                assert reference.command.settings == settings
                assert found.tuning_seeds == reference.tuning_seeds == found.seeds
                assert not reference.row.by_test and settings.strength == D12_GRIDS[script]
                continue
            # But for the defect, and what it brings with it, the reference is the same.
            brought = {
                name: getattr(reference.command.settings, name)
                for name in ("update", "strength")
                if hasattr(settings, name)
            }
            same = dataclasses.replace(settings, as_released=(), **brought)
            assert reference.command.settings == same
            if {"D9", "D10"} & set(released) and len(released) == 1:
                assert settings.lr_decay_epochs == 1
            if script in ("ewc", "mas"):
                strength = 15 if script == "ewc" else 0.1 if "D6" in released else 10
                assert settings.strength == (strength,)
        assert alone == set(cls.DEFECTS)
        every = [one.command.settings.as_released for one in rows]
        assert cls.DEFECTS in every
        assert len(set(every)) >= len([one for one in cls.DEFECTS if one != "D12"])
    assert "D13" not in str(BY_NAME["defects"].rows)


def test_authors_standard_deviations_are_of_a_sample() -> None:
    stored = json.loads(distribution.AUTHORS.read_text())
    for kind, of_kind in distribution.authors().items():
        for name, pairs in of_kind.items():
            for pair, (mean, std) in zip(pairs, stored[kind][name], strict=True):
                assert pair == pytest.approx((mean, std * math.sqrt(10 / 9)))


def test_importance_has_the_authors_values(empty: dict[str, TableResults]) -> None:
    published = distribution.authors()
    for group, (theirs, released, default) in empty["importance"].groups().items():
        for kind in ("kurtosis", "skewness"):
            for title, pair in zip((kind, f"{kind}, pruned"), published[kind][group], strict=True):
                estimate = theirs.row.estimates[title]
                assert (estimate.mean, estimate.std, estimate.n) == (*pair, 10)
        cls = importlib.import_module("cal_importance_distribution").Settings
        assert released.command.settings == cls(as_released=cls.DEFECTS)
        assert default.command.settings == cls()
    # All three measures come from the same ten runs.
    missing = contents.missing_runs({"importance": empty["importance"]})
    assert [len(one.seeds) for one in missing] == [10, 10]


def test_figures_of_importance_are_of_the_runs_that_finished(tmp_path: Path) -> None:
    home = tmp_path / "importance" / "cal_importance_distribution"
    shutil.copytree(options.ROOT / "results" / "importance", home.parent)
    nothing = dict.fromkeys(("accuracy", "validation_accuracy", "metrics"))
    diverged = {"status": "diverged", "diverged": "at its end", "importance": {}, **nothing}
    for path in home.glob("seed3*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **diverged}))

    def found() -> TableResults:
        return contents.evaluate(TABLES, ["importance"], commands.Store(tmp_path))["importance"]

    titles = {one.title for one in BY_NAME["importance"].drawings[0](found())}
    assert titles and all("9 seeds" in title for title in titles)
    for path in home.glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **diverged}))
    assert BY_NAME["importance"].drawings[0](found()) == []


def test_effects_of_defects(tmp_path: Path) -> None:
    row = made_up.row
    slow = "si.py --lr-decay-epochs 1"
    rows = (
        row("no defect", "si.py", "si"),
        row("D7", "si.py --as-released D7", "si"),
        row("slow", slow, "si", reference=""),
        row("D8, slow", f"{slow} --as-released D8", "si", reference="slow"),
        row("all defects", "si.py --as-released", "si"),
        row("no defect", "mas.py --lambda 1", "mas"),
        row("D6, λ 3", "mas.py --lambda 3 --as-released D6", "mas"),
    )
    defects = made_up.table(*rows, name="defects", reference="no defect", tuning=())
    assert summaries.defects(made_up.filled(tmp_path, defects)) is None
    accs = {
        "no defect": (0.9, 0.9),
        "D7": (0.6, 0.64),
        "slow": (0.8, 0.7),
        "D8, slow": (0.81, None),
        "all defects": (None, None),
        "D6, λ 3": (0.91, 0.93),
    }
    for one in rows:
        strength = float(one.command.split()[2]) if one.group == "mas" else 0.1
        made_up.keep_all(tmp_path / "defects", one.command, accs[one.label], strength=strength)
    text = summaries.defects(made_up.filled(tmp_path, defects))
    assert text and text.splitlines()[-4:] == [
        "| D6 | mas +2.00 ± 1.00 |",
        "| D7 | si −28.00 ± 2.00 |",
        "| D8 | si +1.00 (1 diverged) |",
        "| all | si (2 diverged) |",
    ]


def test_list_of_scripts_has_the_median_time_with_defaults(tmp_path: Path) -> None:
    rows = (
        row("tuned", "mas.py --lambda 1 10 100", flags=""),
        row("alone", "finetune.py", flags=""),
        row("other settings", "finetune.py --epochs 1", flags=""),
    )
    times = {
        "mas.py": {100: 10.0, 0: 89.6, 1: 89.8},  # of seed 100 a run for each λ
        "finetune.py": {0: 390.0, 1: 450.0},
        "finetune.py --epochs 1": {0: 1.0, 1: 1.0},
    }
    described = {"mas": ("one head", "MAS"), "finetune": ("several", "none"), "si": ("one", "SI")}
    whole = table(*rows, widen=False)
    for line, seconds in times.items():
        assert summaries.scripts(described, [filled(tmp_path, whole)]) is None
        strengths = (1.0, 10.0, 100.0) if line == "mas.py" else (None,)
        for strength in strengths:
            for seed, one in seconds.items():
                more = {"strength": strength, "flags": "", "seconds": one}
                keep(tmp_path / "small", line, seed, 0.9 if strength == 10 else 0.8, **more)
    block = summaries.scripts(described, [filled(tmp_path, whole)])
    assert block and block.splitlines()[1:] == [
        "| --- | --- | --- | --: |",
        "| `mas.py` | one head | MAS | 10 s |",
        "| `finetune.py` | several | none | 7 min |",
        "| `si.py` | one | SI | - |",
    ]


def shown(ratio: dict[str, float]) -> str:
    """Return median and quartiles as text."""
    return "{median:.2f} ({low:.2f} to {high:.2f})".format(**ratio)


def test_blocks_of_speed_hold_every_ratio_of_the_benchmark() -> None:
    measured = json.loads((options.ROOT / "results" / "benchmark.json").read_text())
    blocks = summaries.speed(measured)
    lines = blocks["speed of a step"].splitlines()
    assert len(lines) == 2 + len(measured["steps"])
    for script, one in measured["steps"].items():
        cells = [shown(one["ratios"][name]) for name in (*benchmark.RIVALS, "limit")]
        assert f"| `{script}` | {' | '.join(cells)} |" in lines
    lines = blocks["speed of the rest"].splitlines()[2:]
    expected = [
        (what, shown(one["ratio"]), one["to"])
        for part in benchmark.PARTS
        for what, one in measured[part].items()
        if what != one["to"]
    ]
    found = [tuple(line.strip("| ").split(" | ")) for line in lines]
    assert [(what.removeprefix("64-32: "), *rest) for what, *rest in found] == expected
    assert sum(what.startswith("64-32: ") for what, *_ in found) == 5


def test_block_of_avalanche_holds_every_ratio() -> None:
    measured = json.loads((options.ROOT / "results" / "avalanche.json").read_text())
    lines = summaries.avalanche(measured).splitlines()[2:]
    found = iter(lines)
    for network, methods in measured["networks"].items():
        for method, sides in methods.items():
            head, *cells = next(found).strip("| ").split(" | ")
            assert head == f"{network}, {method}"
            assert cells[:2] == [shown(sides[one]["ratio"]) for one in ("theirs", "batched")]
            assert cells[2:] == [f"{100 * sides[one]['kept']:.1f}" for one in ("ours", "theirs")]
    assert next(found, None) is None


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
    (found,) = filled(tmp_path, table(Row("", "anpyc_wi_np.py", flags=flags), seeds=(0,))).rows
    assert found.epochs is not None
    assert epochs in (None, found.epochs)
    assert round(found.epochs / tasks) == row_epochs


# The command line


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put two small tables and an empty folder in place of the real ones; return the folder."""
    folder = tmp_path / "results"
    rows = row("finetune", "finetune.py"), row("ewc", "ewc.py --lambda 1 3")
    both = (
        table(*rows, widen=False, columns=(ACC,), drawings=(drawings.final_accuracies,)),
        table(row("joint", "joint.py"), name="second", columns=(ACC,)),
    )
    document = tmp_path / "page.md"
    document.write_text("# Page\n\n<!-- generated: small -->\n<!-- end -->\nEnd.\n")
    monkeypatch.setattr(reproduce_tables, "TABLES", both)
    monkeypatch.setattr(reproduce_tables, "RESULTS", folder)
    monkeypatch.setattr(reproduce_tables, "DOCUMENTS", (document,))
    monkeypatch.setattr(reproduce_tables, "blocks", lambda _: {})
    return folder


def complete(folder: Path, *accs: float) -> None:
    """Store all runs of both tables."""
    keep_all(folder / "small", "finetune.py", accs or (0.5, 0.6))
    for strength in (1, 3):
        keep(folder / "small", "ewc.py", 100, 0.6 + strength / 100, strength)
    keep_all(folder / "small", "ewc.py", (0.7, 0.8), strength=3.0)
    keep_all(folder / "second", "joint.py", (0.9, 0.95))


Call = Callable[..., Ended]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return the function that runs the command line, and says how it ended."""

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["reproduce_tables.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            reproduce_tables.main()
        return Ended(ended.value.code or 0, *capsys.readouterr())

    return call


def test_list_has_a_line_for_every_missing_run(published: Path, call: Call) -> None:
    stored = keep(published / "small", "finetune.py", 1, 0.9)
    ended = call("--list", "--results-dir", published)
    runs = []
    for line in ended.out.splitlines():
        words = shlex.split(line)
        assert words[:3] == ["env", "TF_NUM_INTRAOP_THREADS=1", "TF_NUM_INTEROP_THREADS=1"]
        assert words[3] == sys.executable
        script = Path(words[4])
        assert script.parent == reproduce_tables.ROOT and script.exists()
        settings = options.parse(importlib.import_module(script.stem).Settings, "", words[5:])
        runs.append((script.stem, settings.seeds, getattr(settings, "strength", ())))
        assert settings.figures == "none"
    assert runs == [
        ("finetune", (0,), ()),
        ("ewc", (100,), (1,)),
        ("ewc", (100,), (3,)),
        ("joint", (0,), ()),
        ("joint", (1,), ()),
    ]
    assert ended.status == 0
    assert ended.err.count("\n") == 1 and "λ" in ended.err and "--list" in ended.err
    assert list(published.rglob("*.*")) == [stored]


def test_listed_commands_make_the_runs_that_the_plain_command_makes(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.setattr(options, "ROOT", made_up.project(tmp_path / "a project"))
    follows = row("ewc", "ewc.py --evaluate-every 1", strength_of=("small", "", "ewc"), seeds=(0,))
    third = table(follows, name="third", drawings=())
    monkeypatch.setattr(reproduce_tables, "TABLES", (*reproduce_tables.TABLES, third))
    folders = tmp_path / "my results", tmp_path / "other results"
    rounds = []
    while (listed := call("third", "--list", "--results-dir", folders[0])).out:
        rounds.append((listed.out.count("small"), listed.out.count("\n"), bool(listed.err)))
        subprocess.run(["sh", "-c", listed.out], check=True, cwd=tmp_path)
    assert listed == Ended(0, "", "")
    assert rounds == [(2, 2, True), (0, 1, False)]  # the runs that choose λ, then those that wait
    assert call("third", "--results-dir", folders[1]).status == 0
    made, same = (sorted(one.relative_to(f) for one in f.rglob("*.json")) for f in folders)
    assert made == same and len(made) == 3


def test_list_ends_well_when_nobody_reads_on(tmp_path: Path) -> None:
    program = reproduce_tables.ROOT / "reproduce_tables.py"
    line = [sys.executable, program, "--list", "--results-dir", tmp_path]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout and run.stderr
        run.stdout.readline()
        run.stdout.close()
        assert "choose λ from these runs" in run.stderr.read()
    assert run.returncode == 0


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("fisherman", "fisherman; there are small, second "),
        ("secnd", "there are small, second; did you mean second?"),
        ("--jobs 0", "--jobs"),
        ("--jobs -1", "--jobs"),
        ("--jobs one", "--jobs: 'one' is not a whole number from 1"),
        ("--list --check", "--check"),
        ("--no-such-flag", "--no-such-flag"),
        ("--result-dir mine", "did you mean --results-dir?"),
        ("--csv", "--csv"),
        ("--csv nowhere/runs.csv", "nowhere/runs.csv"),
        ("--results-dir file/mine", "file/mine"),
        ("--results-dir=", "--results-dir"),
        ("second --check", "--check"),
        ("--results-dir foreign", "foreign/README.md"),
    ],
)
def test_bad_command_line_is_one_line(
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
    line: str,
    part: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "README.md").write_text("Not ours.")
    ended = call(*line.split())
    ended.assert_refused("reproduce_tables", part)
    assert ended.out == ""
    assert not published.exists()


@pytest.mark.parametrize("line", ["", "--list", "--check", "--csv x.csv"])
def test_damaged_file_is_one_line(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    complete(published)
    path = next(published.glob("second/*/*.json"))
    path.write_text("{")
    ended = call(*line.split())
    ended.assert_refused("reproduce_tables", path)
    assert ended.out == ""
    assert not (published / "README.md").exists()


def test_csv_has_a_line_for_every_stored_run(published: Path, tmp_path: Path, call: Call) -> None:
    complete(published)
    path = tmp_path / "runs.csv"
    assert call("--csv", path).status == 0
    with path.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["use"] for line in lines].count("tuning") == 2
    assert len(lines) == 2 + 4 + 2
    assert {line["table"] for line in lines} == {"small", "second"}
    assert call("second", "--csv", path).status == 0
    assert path.read_text().count("\n") == 3
    assert call("--results-dir", tmp_path / "nowhere", "--csv", path).out.endswith(": 0 runs\n")
    assert path.read_text().startswith("table,group,row,") and path.read_text().count("\n") == 1
    assert not (published / "README.md").exists()


def test_published_files_are_written_and_checked(
    published: Path, tmp_path: Path, call: Call
) -> None:
    complete(published)
    readme, page = published / "README.md", tmp_path / "page.md"
    ended = call("--check")
    assert ended.status == 1
    assert f"{readme} is missing" in ended.out
    assert f"{page} is not what the results give" in ended.out
    assert not readme.exists()
    ended = call()
    assert ended.status == 0 and str(readme) in ended.out
    assert call("--check").status == 0
    body = "| finetune | - | 6 | 55.00 ± 7.07 (2) |\n"
    assert body in readme.read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    assert body in text and text.startswith("# Page\n") and text.endswith("<!-- end -->\nEnd.\n")
    names = ["figures/small-final.png", "tables/second.csv", "tables/small.csv"]
    assert sorted(published.glob("*/*.*")) == [published / name for name in names]

    keep(published / "small", "finetune.py", 0, 0.51)
    ended = call("--check")
    assert ended.status == 1
    assert sorted(ended.out.splitlines()) == sorted(
        [
            f"{published / names[0]} does not show what the results give",
            *(f"{path} is not what the results give" for path in (readme, page)),
            f"{published / names[2]} is not what the results give",
        ]
    )
    assert call().status == call("--check").status == 0


def test_own_results_are_compared_with_the_published(
    published: Path, tmp_path: Path, call: Call
) -> None:
    complete(published)
    assert call().status == 0
    before = {path: path.read_bytes() for path in (*published.rglob("*.*"), tmp_path / "page.md")}
    same, other = tmp_path / "same", tmp_path / "other"
    complete(same)
    complete(other, 0.8, 0.81)
    ended = call("--results-dir", same)
    assert ended.status == 0
    assert "small: 0 of 2 values differ by more than the noise" in ended.out
    assert "second: 0 of 1 values differ by more than the noise" in ended.out
    ended = call("small", "--results-dir", other)
    assert ended.status == 0
    assert "small: 1 of 2 values differ by more than the noise" in ended.out
    assert "second: " not in ended.out
    text = (other / "README.md").read_text(encoding="utf-8")
    assert "| finetune | - | - | ACC | 55.00 ± 7.07 (2) | 80.50 ± 0.71 (2) | yes |\n" in text
    assert "| ewc | 3 (edge) | 3 (edge) | ACC | 75.00 ± 7.07 (2) |" in text
    assert {path: path.read_bytes() for path in before} == before
    assert call("--check", "--results-dir", other).status == 0


@pytest.mark.parametrize("name", ["results", "results/", "elsewhere/../results"])
def test_folder_may_be_named_in_any_way(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call, name: str
) -> None:
    complete(published)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    ended = call("--results-dir", name)
    assert ended.status == 0
    assert "differ by" not in ended.out  # it is the published one
    assert ended.out.endswith("see results/README.md\n")
    assert call("--check").status == 0


def test_results_of_other_sources_are_told(published: Path, call: Call) -> None:
    complete(published)
    ended = call("second")
    assert ended.status == 0
    assert "2 stored results of other sources of their script; they stay valid" in ended.out
    assert "not complete" not in ended.out


def test_file_of_no_table_is_told_and_left(published: Path, call: Call) -> None:
    complete(published)
    assert call().status == 0
    gone = published / "tables" / "gone.csv"
    gone.write_text("a user's")
    assert f"{gone} is of no complete table; delete it\n" in call().out
    assert gone.read_text() == "a user's"


@pytest.mark.parametrize(("limit", "jobs"), [("150000 100000", 1), ("max 100000", 64), ("", 64)])
def test_as_many_jobs_as_cores_or_as_the_container_may_use(
    monkeypatch: pytest.MonkeyPatch, limit: str, jobs: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.setattr(Path, "read_text", lambda _: limit)
    assert cli.parse(reproduce_tables.publication(), "", []).jobs == jobs


def test_another_table_that_is_not_complete_is_told(published: Path, call: Call) -> None:
    complete(published)
    next(published.glob("small/ewc/*.json")).unlink()
    assert "not complete either, and not shown: small\n" in call("second").out
    own = published.parent / "own"
    shutil.copytree(published / "second", own / "second")
    assert "not complete either" not in call("second", "--results-dir", own).out


def test_table_that_is_not_published_yet_is_told(published: Path, call: Call) -> None:
    keep(published / "second", "joint.py", 0, 0.9)  # one of two runs
    own = published.parent / "own"
    complete(own)
    out = call("second", "--results-dir", own).out
    assert "second: not published yet, so there is nothing to compare with\n" in out
    assert "differ by" not in out


def test_failed_command_is_told_and_the_rest_is_published(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.setattr(options, "ROOT", made_up.project(tmp_path / "project", ewc="fail"))
    ended = call("--jobs", 2)
    assert ended.status == 1
    assert "2 commands failed" in ended.out and "small: not complete" in ended.out
    assert "not complete either" not in ended.out
    assert "Not complete yet: small." in (published / "README.md").read_text()
    assert [path.name for path in (published / "tables").iterdir()] == ["second.csv"]
    assert "<!-- generated: small -->\n<!-- end -->\n" in (tmp_path / "page.md").read_text()
    assert call("--check").status == 0


def test_failing_figure_is_told_and_the_rest_is_published(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    complete(published)
    own = tmp_path / "own"
    complete(own)

    def failing(**arguments: Any) -> None:
        raise RuntimeError("no fonts")

    with monkeypatch.context() as patch:
        patch.setattr(figures, "final_accuracy", failing)
        for folder in (published, own):
            ended = call("--results-dir", folder)
            assert ended.status == 1
            figure = folder / "figures" / "small-final.png"
            assert f"{figure} could not be drawn: RuntimeError: no fonts\n" in ended.out
            assert ended.out.endswith("1 figures failed; the same command tries them again\n")
            assert {path.stem for path in folder.glob("tables/*")} == {"second", "small"}
            assert (folder / "README.md").exists()
        assert "small: 0 of 2 values differ" in ended.out
    assert call("--check").status == 1
    assert call().status == call("--check").status == 0


def test_users_figure_settings_change_nothing(tmp_path: Path) -> None:
    # The figures of one table alone, in a process that has not loaded Matplotlib yet.
    program = (
        "import reproduce_tables as it; it.DOCUMENTS, it.blocks = (), lambda _: {}; "
        "it.TABLES = [one for one in it.TABLES if one.name == 'release-short']; it.main()"
    )
    command = [sys.executable, "-c", program, "--results-dir", str(tmp_path)]
    shutil.copytree(reproduce_tables.RESULTS / "release-short", tmp_path / "release-short")
    environment = {**os.environ, "MPLBACKEND": "module://not_there"}
    ended = subprocess.run(
        command, env=environment, cwd=reproduce_tables.ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(tmp_path.glob("figures/*.png"))


def test_bad_data_are_told_once(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.setattr(options, "ROOT", made_up.project(tmp_path / "project", finetune="refuse"))
    ended = call("--jobs", 1)
    assert ended.status == 1
    assert ended.out.count("boom") == 1 and "\nstopped: " in ended.out
    assert not (published / "README.md").exists()


def test_one_table_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    flags = "--hidden 8 4 --tasks 2 --epochs 1 --batch-size 50 --train-examples 300 --device cpu"
    rows = (
        Row("finetune", "finetune.py", flags=flags),
        Row("ewc", "ewc.py --lambda 1 10", flags=f"{flags} --head multi"),
    )
    tiny = table(
        *rows,
        name="tiny",
        widen=False,
        reference="finetune",
        drawings=(drawings.curves, drawings.strengths, drawings.means, drawings.differences),
    )
    folder = tmp_path / "results"
    monkeypatch.setattr(reproduce_tables, "TABLES", (tiny,))
    monkeypatch.setattr(reproduce_tables, "RESULTS", folder)
    monkeypatch.setattr(reproduce_tables, "DOCUMENTS", ())
    monkeypatch.setattr(reproduce_tables, "blocks", lambda _: {})
    # Programs that one process has compiled need not be compiled in the next.
    compiled = f"--tf_xla_persistent_cache_directory={tmp_path / 'compiled'}"
    monkeypatch.setenv("TF_XLA_FLAGS", compiled)
    ended = call("--jobs", 1)
    assert ended.status == 0, ended
    assert "failed" not in ended.out and "of other sources" not in ended.out
    found = filled(folder, tiny)
    assert found.complete
    assert [one["seed"] for one in found.rows[1].tuning] == [100, 100]
    assert "| ewc | " in (folder / "README.md").read_text(encoding="utf-8")
    assert (folder / "tables" / "tiny.csv").exists()
    figures = sorted((folder / "figures").iterdir())
    names = ("curves", "differences", "means", "strengths")
    assert [path.name for path in figures] == [f"tiny-{name}.png" for name in names]
    assert all(map(style.stored, figures))
    assert not list(folder.glob("tiny/*/*.png"))  # runs draw none of their own
    assert call("--check").status == 0
