"""`reproduce_tables.py`: its tables as they are meant, its command line, one table from nothing."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import itertools
import json
import math
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import reproduce_tables
from common import canvas, distribution, drawings, options, tables
from common.tables import ACC, Filled, FilledRow, Row
from reproduce_tables import SMALL, TABLES
from tests import benchmark, made_up
from tests.made_up import filled, keep, keep_all, row, table

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


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Filled]:
    """Return all tables where nothing is stored."""
    return tables.fill(TABLES, list(BY_NAME), tables.Store(tmp_path_factory.mktemp("empty")))


def script_of(found: FilledRow) -> str:
    return found.command.script if found.command else ""


def rows_of(empty: dict[str, Filled], name: str) -> Iterator[tuple[FilledRow, tuple[float, ...]]]:
    """Yield the rows of a table that have a command, with the λ that it names."""
    for found in empty[name].rows:
        if found.command:
            yield found, getattr(found.command.settings, "strength", ())


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


def test_every_row_has_what_it_refers_to(empty: dict[str, Filled]) -> None:
    for one in empty.values():
        titles = {column.title for column in one.table.columns}
        for found in one.rows:
            reference = one.reference(found)  # raises where there is none
            assert reference is not found
            assert set(found.row.figures) <= titles
            assert bool(found.row.figures) != bool(found.command)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_command_is_that_of_the_script(empty: dict[str, Filled], name: str) -> None:
    for found, strengths in rows_of(empty, name):
        assert found.command
        words = found.command.arguments(strengths, found.seeds)
        again = options.parse(type(found.command.settings), "", words)
        expected = dataclasses.replace(found.command.settings, seeds=found.seeds)
        assert again == expected


@pytest.mark.parametrize(
    ("name", "rows", "seeds", "tuning"),
    [
        ("equal-small", 18, 10, (100, 101, 102)),
        ("equal-large", 10, 5, (100,)),
        ("long", 18, 5, (100,)),
        ("ablation", 11, 10, (100, 101, 102)),
        ("fisher", 6, 10, (100, 101, 102)),
        ("update", 10, 3, ()),
        ("stability", 6, 5, ()),
        ("released", 10, 3, (100,)),
        ("release-short", 14, 3, ()),
        ("release-pruning", 3, 10, ()),
        ("importance", 9, 10, ()),
    ],
)
def test_rows_and_seeds(
    empty: dict[str, Filled], name: str, rows: int, seeds: int, tuning: tuple[int, ...]
) -> None:
    assert len(BY_NAME[name].rows) == rows
    for found, _ in rows_of(empty, name):
        wanted = seeds
        if (name, found.row.group[:8]) == ("ablation", "Settings"):
            wanted = 5
        if name == "release-short" and script_of(found) == "anpyc_wi_np":
            wanted = 10
        assert found.seeds == tuple(range(wanted))
        assert found.tuning_seeds == tuning
        assert not set(tuning) & set(found.seeds)


def test_only_tables_that_say_so_are_not_widened() -> None:
    assert [one.name for one in TABLES if not one.widen] == ["defects", "released"]


@pytest.mark.parametrize("name", EPOCHS)
def test_equal_terms_have_every_method_and_its_first_grid(
    empty: dict[str, Filled], name: str
) -> None:
    groups = empty[name].groups()
    heads = {"Several heads": METHODS[:-1]}
    if name != "equal-large":
        heads["One head"] = ("sgd_single_head", *METHODS[3:-1])
    assert list(groups) == list(heads)
    for group, rows in groups.items():
        assert sorted(set(map(script_of, rows))) == sorted(heads[group])
        assert len(rows) == len(heads[group]) + 1
        twice = [found for found in rows if script_of(found) == "anpyc_wo_np"]
        assert twice[0].command and twice[1].command
        first, second = twice[0].command.settings, twice[1].command.settings
        assert twice[1].row.label == f"anpyc_wo_np, {EPOCHS[name]} epochs"
        assert second == dataclasses.replace(first, epochs=EPOCHS[name])
        for found in rows:
            reference = empty[name].reference(found)
            assert found.row.label == "anpyc_wo_np" or reference is twice[0]
    for found, strengths in rows_of(empty, name):
        assert found.command
        settings, script = found.command.settings, script_of(found)
        assert strengths == GRIDS.get(script, ())
        head = "multi" if found.row.group == "Several heads" else "single"
        if script == "joint" and head == "single":
            head = "shared"
        assert settings.head == head
        assert settings.hidden == ((512, 256) if name == "equal-large" else (64, 32))
        assert settings.tasks == (50 if name == "long" else 10)
        more = found.row.label.endswith(" epochs")
        assert settings.epochs == (EPOCHS[name] if more else 10)
        assert getattr(settings, "steps", None) is None
        assert (settings.batch_size, settings.learning_rate) == (256, 0.1)
        assert (settings.lr_decay, settings.lr_decay_epochs) == (0.9, 10)
        assert (settings.init, settings.permutations) == ("truncated-normal", "per-seed")
        assert settings.dropout == (0.5 if name == "equal-large" else 0)
        if name == "equal-large":
            assert settings.dropout_layers == ("h2" if script == "sgd_freeze" else "both")
        assert getattr(settings, "retrain_epochs", 2) == 2
        assert settings.as_released == ()
        assert getattr(settings, "evaluate_every", None) is None


def settings_of(empty: dict[str, Filled], name: str) -> dict[str, object]:
    """Return what a row's settings have that the script's with the "small" flags have not."""
    found = {}
    for one, _ in rows_of(empty, name):
        assert one.command
        usual = tables.command_of(f"{script_of(one)}.py", f"{SMALL} --head multi").settings
        found[one.row.label] = {
            field.name: getattr(one.command.settings, field.name)
            for field in dataclasses.fields(usual)
            if getattr(one.command.settings, field.name) != getattr(usual, field.name)
        }
    return found  # type: ignore[return-value]


def test_ablation_changes_one_thing_at_a_time(empty: dict[str, Filled]) -> None:
    ablation = empty["ablation"]
    grid = {"strength": GRIDS["anpyc_wi_np"]}
    equal = dataclasses.replace(ablation, rows=ablation.groups()["Equal terms"])
    assert settings_of({"": equal}, "") == {
        "no pruning, sum": {**grid, "merge": "sum"},
        "no pruning, max": grid,
        "no pruning, sum, 15 epochs": {**grid, "merge": "sum", "epochs": 15},
        "20 %, sum": {**grid, "prune_percent": 20},
        "50 %, sum": grid,
        "80 %, sum": {**grid, "prune_percent": 80},
        "50 %, max": {**grid, "merge": "max"},
        "50 %, sum, explicit step": {**grid, "update": "explicit"},
    }
    assert all(
        found.row.label == "no pruning, sum"
        or getattr(ablation.reference(found), "row", None) == ablation.rows[0].row
        for found in equal.rows
    )
    own = ablation.groups()["Settings of anpyc_wi_np.py, λ 3"]
    usual = importlib.import_module("anpyc_wi_np").Settings()
    assert [found.command and found.command.settings for found in own] == [
        usual,
        dataclasses.replace(usual, prune_percent=0),
        dataclasses.replace(usual, prune_percent=0, epochs=102),
    ]
    assert [ablation.reference(found) for found in own] == [None, own[0], own[0]]


def test_fisher_has_every_kind(empty: dict[str, Filled]) -> None:
    grid = {"strength": GRIDS["ewc"]}
    assert settings_of(empty, "fisher") == {
        "sampled": grid,
        "exact": {**grid, "fisher": "exact"},
        "labels": {**grid, "fisher": "labels"},
        "first of a batch": {**grid, "as_released": ("D4",)},
        "online, γ 1": {**grid, "gamma": 1},
        "online, γ 0.9": {**grid, "gamma": 0.9},
    }
    assert BY_NAME["fisher"].reference == "sampled"


def test_update_has_both_steps_and_seven_strengths(empty: dict[str, Filled]) -> None:
    seven = (0.01, 0.1, 1, 10, 100, 1000, 10000)
    steps = set()
    for found, strengths in rows_of(empty, "update"):
        assert found.command and found.strengths == strengths == seven
        assert found.command.settings.update == found.row.label
        steps.add((script_of(found), found.row.label))
    scripts = ("ewc", "mas", "si", "anpyc_wo_np", "anpyc_wi_np")
    assert steps == {(script, step) for script in scripts for step in ("proximal", "explicit")}
    assert tuple(column.strength for column in BY_NAME["update"].columns) == seven


def test_stability_reads_the_rows_of_equal_small(empty: dict[str, Filled]) -> None:
    several = {one.label: one for one in BY_NAME["equal-small"].rows if one.group != "One head"}
    for found, _ in rows_of(empty, "stability"):
        of = several[found.row.label]
        assert found.command
        settings = tables.command_of(of.command, of.flags).settings
        strength = {}
        if found.row.label != "finetune":
            assert found.row.strength_of == ("equal-small", of.group, of.label)
            strength = {"strength": found.command.settings.strength}
        assert found.command.settings == dataclasses.replace(settings, evaluate_every=1, **strength)
    titles = [column.title for column in BY_NAME["stability"].columns]
    assert titles == ["ACC", "min-ACC", "WC-ACC", "F"]


def test_released_settings_are_the_defaults(empty: dict[str, Filled]) -> None:
    found = {script_of(one): one for one in empty["released"].rows}
    assert sorted(found) == sorted(METHODS)
    for one in found.values():
        assert one.command and one.command.settings == type(one.command.settings)()


def test_release_short_has_every_script_as_released(empty: dict[str, Filled]) -> None:
    release = empty["release-short"]
    for found, _ in rows_of(empty, "release-short"):
        assert found.command
        cls = type(found.command.settings)
        assert found.command.settings.as_released == cls.DEFECTS != ()
        reference = release.reference(found)
        theirs = reproduce_tables.RELEASE["short"].get(script_of(found))
        assert (reference is None) == (theirs is None)
        if reference and theirs:
            figure = reference.figure(ACC)
            assert figure and figure.values == pytest.approx([one / 100 for one in theirs["ACC"]])
    assert sorted(script_of(one) for one in release.rows if one.command) == sorted(METHODS)


def test_defects_have_a_row_each(empty: dict[str, Filled]) -> None:
    defects = empty["defects"]
    assert list(defects.groups()) == list(reproduce_tables.SHORT)
    for script, rows in defects.groups().items():
        cls = importlib.import_module(script).Settings
        alone = set()
        for found in rows:
            assert found.command and script_of(found) == script
            assert found.seeds == (0, 1, 2, 3, 4)
            settings = found.command.settings
            released = settings.as_released
            reference = defects.reference(found)
            if not released and not found.row.by_test:
                assert reference is None
                continue
            assert reference and reference.command
            if len(released) == 1 and found.row.label.startswith("D"):
                alone.update(released)
            if found.row.by_test:
                alone.add("D12")
                assert reference.command.settings == settings
                assert found.tuning_seeds == reference.tuning_seeds == found.seeds
                assert not reference.row.by_test and settings.strength == cls().strength
                continue
            # But for the defect, and what it brings with it, the reference is the same.
            same = dataclasses.replace(settings, as_released=())
            for name in ("update", "strength"):
                if hasattr(same, name):
                    same = dataclasses.replace(
                        same, **{name: getattr(reference.command.settings, name)}
                    )
            assert reference.command.settings == same
            if {"D9", "D10"} & set(released) and len(released) == 1:
                assert settings.lr_decay_epochs == 1
            if script == "ewc":
                assert settings.strength == (15,)
            if script == "mas":
                small = "D6" in released
                assert settings.strength == ((0.1,) if small else (10,))
        assert alone == set(cls.DEFECTS)
        every = [one.command.settings.as_released for one in rows if one.command]
        assert cls.DEFECTS in every
        assert len(set(every)) >= len([one for one in cls.DEFECTS if one != "D12"])
    assert "D13" not in str(BY_NAME["defects"].rows)


def test_importance_has_the_authors_values(empty: dict[str, Filled]) -> None:
    published = distribution.authors()
    for group, (theirs, released, default) in empty["importance"].groups().items():
        for kind in ("kurtosis", "skewness"):
            for title, pair in zip((kind, f"{kind}, pruned"), published[kind][group], strict=True):
                figure = theirs.row.figures[title]
                assert figure.std is not None
                assert (figure.mean, figure.n) == (pair[0], 10)
                assert figure.std == pytest.approx(pair[1] * math.sqrt(10 / 9))
        cls = importlib.import_module("cal_importance_distribution").Settings
        assert released.command and released.command.settings.as_released == cls.DEFECTS
        assert default.command and default.command.settings == cls()
        assert released.row.select == default.row.select == group
    # All three measures come from the same ten runs.
    missing = tables.missing_runs({"importance": empty["importance"]})
    assert [len(one.seeds) for one in missing] == [10, 10]


def test_blocks_of_speed_hold_every_ratio_of_the_benchmark() -> None:
    def shown(ratio: dict[str, float]) -> str:
        return "{median:.2f} ({low:.2f} to {high:.2f})".format(**ratio)

    blocks = reproduce_tables.speed()
    measured = json.loads((options.ROOT / "results" / "benchmark.json").read_text())
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


def test_runs_of_two_tables_are_made_once(empty: dict[str, Filled]) -> None:
    runs = [run for one in tables.missing_runs(empty) for run in one.runs()]
    assert len(set(runs)) == len(runs)
    named = [run for one in empty.values() for r in one.rows for m in r.missing for run in m.runs()]
    assert len(named) > len(runs)
    assert set(named) == set(runs)
    files = {
        one.path(Path(), seed).name for one in tables.missing_runs(empty) for seed in one.seeds
    }
    assert all(name.endswith(".json") for name in files)


@pytest.mark.parametrize(
    ("name", "tasks", "own", "epochs", "row_epochs"),
    [
        ("small", 10, False, 148, 15),
        ("small", 50, False, None, 11),
        ("own", 10, True, 1020, 102),
    ],
)
def test_epochs_of_pruning_are_those_of_the_row_beside_it(
    tmp_path: Path, name: str, tasks: int, own: bool, epochs: int | None, row_epochs: int
) -> None:
    from common import pruning  # needs TensorFlow

    flags = f"--tasks {tasks}" if own else f"{SMALL} --head multi --tasks {tasks}"
    schedule = pruning.pruning_schedule(tasks, 50, 0.8, 10)
    sparsity = [
        {"task": task, "percent": percent}
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
    return folder


def complete(folder: Path, *accs: float) -> None:
    """Store all runs of both tables."""
    keep_all(folder / "small", "finetune.py", accs or (0.5, 0.6))
    for strength in (1, 3):
        keep(folder / "small", "ewc.py", 100, 0.6 + strength / 100, strength)
    keep_all(folder / "small", "ewc.py", (0.7, 0.8), strength=3.0)
    keep_all(folder / "second", "joint.py", (0.9, 0.95))


def call(*arguments: object) -> int:
    """Run the command line, and return its exit status."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["reproduce_tables.py", *map(str, arguments)])
        reproduce_tables.main()
    return int(ended.value.code or 0)


def assert_one_line(capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    """Assert that a command printed one line, an error with certain parts."""
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert all(part in err for part in ("reproduce_tables", "error: ", *parts))


def test_list_has_a_line_for_every_missing_run(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(published / "small", "finetune.py", 1, 0.9)
    assert call("--list", "--results-dir", published) == 0
    out, err = capsys.readouterr()
    runs = []
    for line in out.splitlines():
        words = shlex.split(line)
        assert words[:3] == ["env", "TF_NUM_INTRAOP_THREADS=1", "TF_NUM_INTEROP_THREADS=1"]
        assert words[3] == sys.executable
        script = Path(words[4])
        assert script.parent == reproduce_tables.ROOT and script.exists()
        settings = options.parse(importlib.import_module(script.stem).Settings, "", words[5:])
        runs.append((script.stem, settings.seeds, getattr(settings, "strength", ())))
        assert settings.no_figures
    assert runs == [
        ("finetune", (0,), ()),
        ("ewc", (100,), (1,)),
        ("ewc", (100,), (3,)),
        ("joint", (0,), ()),
        ("joint", (1,), ()),
    ]
    assert err.count("\n") == 1 and "λ" in err and "--list" in err
    assert {path.name for path in published.rglob("*.*")} == {next(published.rglob("*.json")).name}


def test_list_of_one_table_and_of_nothing(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("second", "--list") == 0
    out, err = capsys.readouterr()
    assert (out.count("joint.py"), out.count("\n"), err) == (2, 2, "")
    complete(published)
    assert call("--list") == 0
    assert capsys.readouterr() == ("", "")


def test_listed_command_makes_the_run(
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(options, "ROOT", made_up.project(tmp_path / "a project"))
    folder = tmp_path / "my results"
    assert call("second", "--list", "--results-dir", folder) == 0
    out, _ = capsys.readouterr()
    subprocess.run(["sh", "-c", out], check=True, cwd=tmp_path)
    assert call("second", "--list", "--results-dir", folder) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["fisherman"], "fisherman"),
        (["--jobs", "0"], "--jobs"),
        (["--jobs", "-1"], "--jobs"),
        (["--jobs", "one"], "--jobs"),
        (["--list", "--check"], "--check"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--csv"], "--csv"),
    ],
)
def test_bad_command_line_is_one_line(
    published: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    assert call(*arguments) == 2
    assert_one_line(capsys, part)
    assert not published.exists()


def test_folder_that_cannot_be_written_is_one_line(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_text("")
    assert call("--results-dir", tmp_path / "a file" / "mine") == 2
    assert_one_line(capsys, str(tmp_path / "a file" / "mine"), "--results-dir")
    complete(published)
    assert call("--csv", tmp_path / "no folder" / "runs.csv") == 2
    assert_one_line(capsys, str(tmp_path / "no folder" / "runs.csv"))


@pytest.mark.parametrize("arguments", [[], ["--list"], ["--check"], ["second"], ["--csv", "x.csv"]])
def test_damaged_file_is_one_line(
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    complete(published)
    path = keep(published / "second", "joint.py", 0, 0.9)
    path.write_text("{")
    assert call(*arguments) == 2
    assert_one_line(capsys, str(path))
    assert not (published / "README.md").exists()


def test_table_in_the_way_of_a_figure_is_one_line(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complete(published)
    (published / "figures").write_text("")
    assert call() == 2
    out, err = capsys.readouterr()
    assert str(published / "figures") in err and err.count("\n") == 1 and "Traceback" not in out


def test_csv_has_a_line_for_every_stored_run(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complete(published)
    path = tmp_path / "runs.csv"
    assert call("--csv", path) == 0
    with path.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["use"] for line in lines].count("tuning") == 2
    assert len(lines) == 2 + 4 + 2
    assert {line["table"] for line in lines} == {"small", "second"}
    assert call("second", "--csv", path) == 0
    assert path.read_text().count("\n") == 3
    assert not (published / "README.md").exists()


def test_published_files_are_written_and_checked(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complete(published)
    assert call("--check") == 1
    out = capsys.readouterr().out
    assert f"{published / 'README.md'} is missing" in out
    assert f"{tmp_path / 'page.md'} is not what the results give" in out
    assert not (published / "README.md").exists()
    assert call() == 0
    assert str(published / "README.md") in capsys.readouterr().out
    assert call("--check") == 0
    body = "| finetune | - | 6 | 55.00 ± 7.07 (2) |\n"
    assert body in (published / "README.md").read_text(encoding="utf-8")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert body in page and page.startswith("# Page\n") and page.endswith("<!-- end -->\nEnd.\n")
    assert sorted(path.name for path in published.glob("*/*.*")) == [
        *("second.csv", "small-final.png", "small.csv")
    ]
    changed = {
        published / "README.md": "is not what the results give",
        published / "tables" / "small.csv": "is not what the results give",
        tmp_path / "page.md": "is not what the results give",
        published / "figures" / "small-final.png": "does not show what the results give",
    }
    capsys.readouterr()
    for path in list(changed)[:3]:
        path.write_text(path.read_text(encoding="utf-8").replace("5", "6"), encoding="utf-8")
    Image.new("RGB", (2, 2)).save(list(changed)[3])
    assert call("--check") == 1
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(f"{path} {why}" for path, why in changed.items())
    assert call() == 0 and call("--check") == 0


def test_check_finds_changed_results(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    complete(published)
    assert call() == 0
    keep(published / "small", "finetune.py", 0, 0.51)
    capsys.readouterr()
    assert call("--check") == 1
    out = capsys.readouterr().out
    names = ("README.md", "page.md", "tables/small.csv", "figures/small-final.png")
    assert len(out.splitlines()) == 4 and all(name in out for name in names)


def test_own_results_are_compared_with_the_published(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complete(published)
    assert call() == 0
    page = (tmp_path / "page.md").read_text()
    before = {path: path.read_bytes() for path in published.rglob("*.*")}
    same, other = tmp_path / "same", tmp_path / "other"
    complete(same)
    complete(other, 0.8, 0.81)
    capsys.readouterr()
    assert call("--results-dir", same) == 0
    out = capsys.readouterr().out
    assert "small: 0 of 2 values differ by more than the noise" in out
    assert "second: 0 of 1 values differ by more than the noise" in out
    assert call("small", "--results-dir", other) == 0
    out = capsys.readouterr().out
    assert "small: 1 of 2 values differ by more than the noise" in out and "second: " not in out
    text = (other / "README.md").read_text(encoding="utf-8")
    assert "| finetune | - | - | ACC | 55.00 ± 7.07 (2) | 80.50 ± 0.71 (2) | yes |\n" in text
    assert "| ewc | 3 (edge) | 3 (edge) | ACC | 75.00 ± 7.07 (2) |" in text
    assert {path: path.read_bytes() for path in published.rglob("*.*")} == before
    assert (tmp_path / "page.md").read_text() == page
    assert call("--check", "--results-dir", other) == 0


def test_folder_may_be_named_in_any_way(
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    complete(published)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    for name in ("results", "results/", "elsewhere/../results"):
        assert call("--results-dir", name) == 0
        assert "differ by" not in capsys.readouterr().out  # it is the published one
        assert call("--check") == 0


def test_results_of_other_sources_are_told(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complete(published)
    assert call("second") == 0
    out = capsys.readouterr().out
    assert "2 stored results of other sources of their script; they stay valid" in out


def test_failed_command_is_told_and_the_rest_is_published(
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = made_up.project(tmp_path / "project", ewc="fail")
    monkeypatch.setattr(options, "ROOT", project)
    assert call("--jobs", 2) == 1
    out = capsys.readouterr().out
    assert "2 commands failed" in out and "small: not complete" in out
    assert "Not complete yet: small." in (published / "README.md").read_text()
    assert (published / "tables" / "second.csv").exists()
    assert not (published / "tables" / "small.csv").exists()
    assert "<!-- generated: small -->\n<!-- end -->\n" in (tmp_path / "page.md").read_text()
    assert call("--check") == 0


def test_interrupted_command_says_how_to_go_on(
    published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduce_tables.jobs, "make", interrupt)
    assert call() == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_one_table_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
        drawings=(drawings.curves, drawings.strengths, drawings.bars, drawings.differences),
    )
    folder, mine = tmp_path / "results", tmp_path / "mine"
    monkeypatch.setattr(reproduce_tables, "TABLES", (tiny,))
    monkeypatch.setattr(reproduce_tables, "RESULTS", folder)
    monkeypatch.setattr(reproduce_tables, "DOCUMENTS", ())
    # Programs that one process has compiled need not be compiled in the next.
    compiled = f"--tf_xla_persistent_cache_directory={tmp_path / 'compiled'}"
    monkeypatch.setenv("TF_XLA_FLAGS", compiled)

    def run(*arguments: object) -> int:
        return reproduce_tables.run(reproduce_tables.parse([*map(str, arguments)]))

    assert run("--jobs", 1) == 0
    out = capsys.readouterr().out
    assert "failed" not in out and "of other sources" not in out
    found = filled(folder, tiny)
    assert found.complete
    assert [one["seed"] for one in found.rows[1].tuning] == [100, 100]
    assert "| ewc | " in (folder / "README.md").read_text(encoding="utf-8")
    assert (folder / "tables" / "tiny.csv").exists()
    figures = sorted((folder / "figures").iterdir())
    names = ("bars", "curves", "differences", "strengths")
    assert [path.name for path in figures] == [f"tiny-{name}.png" for name in names]
    assert all(map(canvas.stamped, figures))
    assert not list(folder.glob("tiny/*/*.png"))  # runs draw none of their own
    assert run("--check") == 0

    def start(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(reproduce_tables.jobs.Jobs, "start", start)
    assert run("--jobs", 1) == 0
    shutil.copytree(folder, mine)
    capsys.readouterr()
    assert run("--results-dir", mine) == 0
    assert "tiny: 0 of 6 values differ by more than the noise" in capsys.readouterr().out
    assert "Published and own" in (mine / "README.md").read_text(encoding="utf-8")
