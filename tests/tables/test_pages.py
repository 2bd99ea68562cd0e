"""What is published: cells, Markdown, commands, notes, CSV, comparisons, blocks, figures' data."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import metrics
from harness import figures as run_figures
from harness import style
from harness.options import UsageError
from harness.results import ResultError
from harness.style import Drawing
from tables import commands, contents, csv_files, drawings, figures, generated, pages
from tables.contents import ACC, Column, Estimate, Row, TableResults, metric
from tests.made_up import FLAGS, filled, keep, keep_all, row, table

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats

EWC = "ewc.py --lambda 1 3 10"
ACCURACIES = (0.8712, 0.9034)


def cells(found: TableResults, number: int) -> dict[str, str]:
    """Return the cells of a row."""
    return pages.cells(found, found.rows[number])


def lines_of(text: str) -> list[list[str]]:
    """Return the cells of all lines of Markdown tables."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture
def tuned(tmp_path: Path) -> TableResults:
    """Return a table of two groups: no λ, a chosen one at an edge, a diverged run, a reference."""
    folder = tmp_path / "small"
    keep_all(folder, "finetune.py", (0.5, 0.6), lost=0.4)
    for strength, validation in {1: 0.6, 3: 0.7, 10: 0.8}.items():
        keep(folder, EWC, 100, 0.1, strength, validation)
    keep_all(folder, EWC, (0.8, None), strength=10.0)
    keep_all(folder, "joint.py", ACCURACIES)
    rows = (
        row("finetune", "finetune.py", "Some"),
        row("ewc", EWC, "Some"),
        row("joint", "joint.py", "Others", reference=""),
    )
    return filled(tmp_path, table(*rows, reference="finetune"))


# Cells


def test_cell_is_mean_deviation_and_number(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "joint.py", (0.9, 0.95, 0.85))
    found = filled(tmp_path, table(row("joint", "joint.py"), seeds=(0, 1, 2)))
    assert cells(found, 0) == {
        "": "joint",
        "total epochs": "6",
        "ACC": "90.00 ± 5.00 (3)",
        "F": "-",
        "LA": "-",
    }


@pytest.mark.parametrize(
    ("accs", "expected"),
    [
        ((0.9,), "90.00 (1)"),
        ((0.9, None), "90.00 (1; 1 diverged)"),
        ((0.9, 0.8, None, None), "85.00 ± 7.07 (2; 2 diverged)"),
        ((None, None), "2 diverged"),
    ],
)
def test_cell_counts_diverged_runs(
    tmp_path: Path, accs: tuple[float | None, ...], expected: str
) -> None:
    keep_all(tmp_path / "small", "finetune.py", accs)
    only = table(row("", "finetune.py"), seeds=tuple(range(len(accs))), columns=(ACC,))
    assert cells(filled(tmp_path, only), 0)["ACC"] == expected


def shown(value: float, column: Column = ACC, sign: str = "") -> str:
    return pages.plus_minus(Estimate(value, None, 1), column, sign)


def test_last_bits_do_not_change_what_is_printed() -> None:
    for value in (*np.arange(0.00005, 1, 0.00370).tolist(), 0.87125, 0.00005, 0.12345):
        near = (value + 5e-14, value - 5e-14, *map(float, np.nextafter(value, (0, 1))))
        (text,) = set(map(shown, (value, *near)))
        assert abs(float(text) - 100 * value) < 0.005 + 1e-9


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.87124, "87.12"),
        (0.87126, "87.13"),
        (0.8, "80.00"),
        (1.0, "100.00"),
        (-0.05, "−5.00"),
        (0.0, "0.00"),
        (-0.0, "0.00"),
        (-1e-17, "0.00"),
        (1e-17, "0.00"),
        (-0.00004, "0.00"),
        (-0.00006, "−0.01"),
    ],
)
def test_number_has_two_digits_and_a_minus_sign(value: float, text: str) -> None:
    assert shown(value) == text


def test_column_says_scale() -> None:
    column = Column("", ACC.value, 1.0)
    assert shown(-1234.56789, column) == "−1234.57"
    assert pages.plus_minus(Estimate(0.5, 0.25, 3), column) == "0.50 ± 0.25"


def test_difference_has_a_sign() -> None:
    assert [shown(value, sign="+") for value in (0.01, -0.01)] == ["+1.00", "−1.00"]
    assert pages.plus_minus(Estimate(0.01, 0.002, 3), ACC, "+") == "+1.00 ± 0.20"


def test_rows_say_their_λ_and_their_difference(tuned: TableResults) -> None:
    finetune, ewc, joint = (cells(tuned, number) for number in range(3))
    assert (finetune["λ"], ewc["λ"], joint["λ"]) == ("-", "10 (edge)", "-")
    assert (finetune["difference"], joint["difference"]) == ("reference", "-")
    assert ewc["difference"] == "+30.00 (1)"
    assert ewc["ACC"] == "80.00 (1; 1 diverged)"
    assert finetune["F"] == "40.00 ± 0.00 (2)"


def test_table_without_a_choice_has_no_λ(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", ACCURACIES)
    found = filled(tmp_path, table(row("finetune", "finetune.py"), epochs=False))
    assert list(cells(found, 0)) == ["", "ACC", "F", "LA"]


def test_row_of_which_every_λ_diverged_says_so(tmp_path: Path) -> None:
    for strength in (1, 3, 10):
        keep(tmp_path / "small", EWC, 100, None, strength)
    keep_all(tmp_path / "small", "mas.py", ACCURACIES, strength=3.0)
    rows = row("ewc", EWC), row("mas", "mas.py --lambda 3")
    found = filled(tmp_path, table(*rows))
    assert found.complete
    assert (cells(found, 0)["λ"], cells(found, 0)["ACC"]) == ("every one diverged", "-")
    assert cells(found, 1)["λ"] == "3"


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_cell_says_how_far_other_peoples_figure_is(tmp_path: Path, shift: float) -> None:
    ours, theirs = (0.5, 0.6, 0.7), (0.55 + shift, 0.6 + shift, 0.65 + shift)
    keep_all(tmp_path / "small", "joint.py", ours)
    rows = Row("theirs", estimates={"ACC": Estimate.of(theirs)}), row("ours", "joint.py")
    found = filled(tmp_path, table(*rows, reference="theirs", seeds=(0, 1, 2)))
    text = f"{abs(stats.ttest_ind(ours, theirs, equal_var=False).statistic):.1f} SE apart"
    assert cells(found, 1)["ACC"] == f"60.00 ± 10.00 (3), {f'**{text}**' if shift else text}"
    assert "difference" not in cells(found, 1)  # other columns have it, too
    assert cells(found, 0)["ACC"] == f"{60 + 100 * shift:.2f} ± 5.00 (3)"
    assert cells(found, 1)["F"] == "-"


def test_values_without_spread_are_compared(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "joint.py", (0.5, 0.5))
    for theirs, apart in ((0.5, 0.5), "0.0 SE apart"), ((0.9, 0.9), "**inf SE apart**"):
        rows = Row("theirs", estimates={"ACC": Estimate.of(theirs)}), row("ours", "joint.py")
        found = filled(tmp_path, table(*rows, reference="theirs"))
        assert cells(found, 1)["ACC"] == f"50.00 ± 0.00 (2), {apart}"


def test_other_peoples_single_value_is_not_compared(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "joint.py", (0.5, 0.6))
    rows = Row("theirs", estimates={"ACC": Estimate.of((0.9,))}), row("ours", "joint.py")
    found = filled(tmp_path, table(*rows, reference="theirs"))
    assert cells(found, 1)["ACC"] == "55.00 ± 7.07 (2)"


# Markdown


def test_body_has_a_table_under_each_heading(tuned: TableResults) -> None:
    text = pages.body(tuned)
    lines = lines_of(text)
    assert {len(line) for line in lines} == {7}
    assert lines[0] == ["", "λ", "total epochs", "ACC", "F", "LA", "difference"]
    assert lines[1] == ["---", *["--:"] * 6]
    assert [line[0] for line in lines] == ["", "---", "finetune", "ewc", "", "---", "joint"]
    assert lines[3] == list(cells(tuned, 1).values())
    assert re.findall(r"^\*\*(.*)\*\*\n$", text, re.MULTILINE) == ["Some", "Others"]
    assert "\n\n**Others**\n\n|" in text  # else it is no heading, and no table


def test_group_without_a_name_has_no_heading(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", ACCURACIES)
    assert pages.body(filled(tmp_path, table(row("a", "finetune.py")))).startswith("| ")


# Commands


def command_lines(found: TableResults) -> list[str]:
    return pages.shell_commands(found).splitlines()


def test_commands_are_those_of_the_choice_and_of_the_table(tuned: TableResults) -> None:
    start = ".venv/bin/python"
    assert command_lines(tuned) == [
        "# Some: finetune",
        f"{start} finetune.py {FLAGS} --seeds 0 1",
        "# Some: ewc: choose λ",
        f"{start} ewc.py {FLAGS} --lambda 1 3 10 --seeds 100",
        f"{start} ewc.py {FLAGS} --lambda 10 --seeds 0 1",
        "# Others: joint",
        f"{start} joint.py {FLAGS} --seeds 0 1",
    ]


def test_choice_by_the_seeds_of_the_table_needs_one_command(tmp_path: Path) -> None:
    for strength, acc in {1: 0.1, 3: 0.2, 10: 0.1}.items():
        keep(tmp_path / "small", EWC, 0, acc, strength)
    for by_test, title in ((False, "# ewc: choose λ"), (True, "# ewc: choose λ by test accuracy")):
        only = row("ewc", EWC, by_test=by_test)
        found = filled(tmp_path, table(only, seeds=(0,), tuning=(0,)))
        assert found.complete
        assert command_lines(found)[0] == title and len(command_lines(found)) == 2
        assert command_lines(found)[1].endswith("--lambda 1 3 10 --seeds 0")


def test_command_with_the_λ_of_another_row_says_whose(tmp_path: Path) -> None:
    for strength, acc in {1: 0.1, 3: 0.2, 10: 0.1}.items():
        keep(tmp_path / "first", EWC, 100, acc, strength)
    first = table(row("ewc", EWC), name="first")
    rows = row("ewc", "ewc.py", strength_of=("first", "", "ewc")), Row("theirs")
    found = filled(tmp_path, first, table(*rows), name="small")
    assert command_lines(found) == [
        "# ewc: λ as in the table first",
        f".venv/bin/python ewc.py {FLAGS} --lambda 3 --seeds 0 1",
    ]


# Notes


def noted(found: TableResults, text: str) -> str:
    return pages.note(dataclasses.replace(found, table=dataclasses.replace(found.table, note=text)))


def test_note_shows_cells(tuned: TableResults) -> None:
    text = "λ {Some: ewc: λ}: {Some: ewc: ACC}, {Some: ewc: difference}; {Others: joint: ACC} %."
    joint = pages.plus_minus(Estimate.of(ACCURACIES), ACC)
    assert noted(tuned, text) == f"λ 10: 80.00, +30.00; {joint} %."
    assert noted(tuned, "nothing") == "nothing"
    assert noted(tuned, "{Some: ewc less Some: finetune}") == "+30.00"
    assert noted(tuned, "{Others: joint less Some: finetune}") == "+33.73 ± 3.39"


@pytest.mark.parametrize("label", ["20 %, sum", "D12: by test accuracy"])
@pytest.mark.parametrize("group", ["", "Some"])
def test_note_may_name_any_row(tmp_path: Path, label: str, group: str) -> None:
    keep_all(tmp_path / "small", "finetune.py", ACCURACIES, lost=0.05)
    found = filled(tmp_path, table(row(label, "finetune.py", group)))
    place = f"{group}: {label}" if group else label
    assert noted(found, f"{{{place}: F}}") == "5.00 ± 0.00"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("{Some: ecw: ACC}", "Some: ecw; did you mean Some: ewc?"),
        ("{ewc: ACC}", "ewc"),
        ("{Some: ewc: acc}", "acc; did you mean ACC?"),
        ("{Some: ewc less Some: finetun}", "Some: finetun; did you mean Some: finetune?"),
    ],
)
def test_note_names_no_cell_that_is_not_there(tuned: TableResults, text: str, meant: str) -> None:
    with pytest.raises(UsageError) as refused:
        noted(tuned, text)
    assert str(refused.value) == f"the note of small names no cell: {meant}"


# CSV


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_of_a_table_has_its_figures(tuned: TableResults) -> None:
    finetune, ewc, joint = read(csv_files.of_table(tuned))
    assert ewc == {
        **{"group": "Some", "row": "ewc", "script": "ewc"},
        **{"lambda": "10", "edge": "1", "grid": "1 3 10", "epochs": "6"},
        **{"ACC": "0.8", "ACC std": "", "ACC n": "1", "ACC diverged": "1"},
        **{"F": "0.1", "F std": "", "F n": "1", "F diverged": "1"},
        **{"LA": "0.866666667", "LA std": "", "LA n": "1", "LA diverged": "1"},
        **{"reference": "finetune", "difference": "0.3"},
        **{"difference standard error": "", "difference n": "1"},
    }
    assert (finetune["reference"], finetune["difference"], finetune["lambda"]) == ("", "", "")
    assert (finetune["ACC std"], finetune["ACC n"]) == (f"{0.1 / 2**0.5:.9g}", "2")
    assert [joint[name] for name in ("grid", "F", "F std", "F n")] == [""] * 4


def test_csv_does_not_depend_on_last_bits(tmp_path: Path) -> None:
    texts = []
    for folder, acc in (("one", 0.1 + 0.2), ("two", 0.3)):
        keep_all(tmp_path / folder / "small", "joint.py", (acc, 0.7))
        found = filled(tmp_path / folder, table(row('a, "b"', "joint.py")))
        texts.append(csv_files.of_table(found))
    text, other = texts
    assert text == other
    assert read(text)[0]["row"] == 'a, "b"'
    assert float(read(text)[0]["ACC"]) == pytest.approx(0.5)


def test_csv_of_runs_has_a_line_for_each(tuned: TableResults) -> None:
    lines = read(csv_files.of_runs([tuned]))
    places = [(line["row"], line["use"], line["lambda"], line["seed"]) for line in lines]
    assert places == [
        ("finetune", "table", "", "0"),
        ("finetune", "table", "", "1"),
        ("ewc", "table", "10.0", "0"),
        ("ewc", "table", "10.0", "1"),
        ("ewc", "tuning", "1.0", "100"),
        ("ewc", "tuning", "3.0", "100"),
        ("ewc", "tuning", "10.0", "100"),
        ("joint", "table", "", "0"),
        ("joint", "table", "", "1"),
    ]
    assert {(line["hidden"], line["tasks"], line["epochs"]) for line in lines} == {
        ("8 4", "3", "2")
    }
    assert [line["status"] for line in lines].count("diverged") == 1
    diverged, tuning = lines[3], lines[6]
    assert (diverged["status"], diverged["ACC"], diverged["validation_ACC"]) == ("diverged", "", "")
    assert float(tuning["ACC"]) == pytest.approx(0.1)
    assert float(tuning["validation_ACC"]) == pytest.approx(0.8)
    assert float(lines[0]["F"]) == pytest.approx(0.4) and lines[7]["F"] == ""
    assert {(line["table"], line["script"] == line["row"]) for line in lines} == {("small", True)}


def test_csv_of_runs_has_a_column_for_every_setting_and_metric_that_a_run_has(
    tmp_path: Path,
) -> None:
    commands = {
        "finetune.py": FLAGS,
        "ewc.py --lambda 3 --gamma 0.5": "--hidden 8 4 --tasks 3 --steps 7",
        "anpyc_wi_np.py --lambda 3 --as-released": FLAGS,
        "joint.py --head shared": FLAGS,
    }
    for command, flags in commands.items():
        strength = 3.0 if "--lambda" in command else None
        keep(tmp_path / "small", command, 0, 0.5, strength, lost=0.25, flags=flags)
    traced = "finetune.py --evaluate-every 1"
    keep(tmp_path / "small", traced, 0, 0.75, lost=0.25)
    rows = [row(command, command, flags=flags) for command, flags in commands.items()]
    found = filled(tmp_path, table(*rows, row(traced, traced), seeds=(0,)))
    lines = read(csv_files.of_runs([found]))
    heads = "tasks epochs steps hidden head update merge gamma lambda as_released F min_ACC"
    assert [[line[head] for head in heads.split()] for line in lines] == [
        ["3", "2", "", "8 4", "multi", *[""] * 5, "0.25", ""],
        ["3", "", "7", "8 4", "single", "proximal", "", "0.5", "3.0", "", "0.25", ""],
        ["3", "2", "", "8 4", "multi", "explicit", "sum", "", "3.0", "D3 D10 D15 D16", "0.25", ""],
        ["3", "2", "", "8 4", "shared", *[""] * 7],
        ["3", "2", "", "8 4", "multi", *[""] * 5, "0.25", "0.75"],
    ]
    # What none of the runs has would only be in the way.
    assert not lines[0].keys() & {"temperature", "train_examples", "seeds", "device", "results_dir"}
    (line,) = read(csv_files.of_runs([dataclasses.replace(found, rows=found.rows[:1])]))
    assert {head for head, cell in line.items() if not cell} == {"group", "lambda"}


# Comparison with the published


def test_comparison_shows_both_and_whether_they_differ(tmp_path: Path) -> None:
    rows = (
        row("near", "finetune.py", "Some"),
        row("far", "sgd_freeze.py", "Some"),
        row("lost", "sgd_single_head.py"),
        row("one", "joint.py", seeds=(0,)),
        row("ewc", EWC),
        Row("theirs", estimates={"ACC": Estimate(0.9, 0.1, 3)}),
    )
    whole = table(*rows, columns=(ACC, metric("F")))
    for folder, far, lost, best in (
        ("published", 0.5, (0.8, 0.9), 1),
        ("own", 0.7, (None,) * 2, 3),
    ):
        place = tmp_path / folder / "small"
        keep_all(place, "finetune.py", (0.8, 0.9))
        keep_all(place, "sgd_freeze.py", (far, far + 0.01))
        keep_all(place, "sgd_single_head.py", lost)
        keep(place, "joint.py", 0, far)
        for strength in (1, 3, 10):
            keep(place, EWC, 100, 0.9 if strength == best else 0.8, strength)
        keep_all(place, EWC, (0.8, 0.9), strength=float(best))
    published, own = (filled(tmp_path / folder, whole) for folder in ("published", "own"))
    header, compared = pages.comparison(published, own)
    assert {len(line) for line in compared} == {len(header)}
    found = {(line[0], line[3]): line for line in compared}
    assert len(found) == len(compared) == 9  # no F of joint
    near, far_ = found["Some: near", "ACC"], found["Some: far", "ACC"]
    assert near[-3:] == ["85.00 ± 7.07 (2)", "85.00 ± 7.07 (2)", "no"]
    assert far_[-3:] == ["50.50 ± 0.71 (2)", "70.50 ± 0.71 (2)", "yes"]
    assert found["Some: far", "F"][-1] == "no"
    assert found["lost", "ACC"][-3:] == ["85.00 ± 7.07 (2)", "2 diverged", "yes"]
    assert found["one", "ACC"][-3:] == ["50.00 (1)", "70.00 (1)", "-"]
    assert found["ewc", "ACC"][1:3] == ["1 (edge)", "3"]
    assert near[1:3] == ["-", "-"]


def test_comparison_with_nothing_that_finished(tmp_path: Path) -> None:
    whole = table(row("lost", "finetune.py"), row("ewc", EWC), columns=(ACC,))
    for folder in ("published", "own"):
        keep_all(tmp_path / folder / "small", "finetune.py", (None, None))
    keep_all(tmp_path / "published" / "small", EWC, (0.8, 0.9), strength=1.0)
    for strength in (1, 3, 10):
        keep(tmp_path / "published" / "small", EWC, 100, 0.9 - strength / 100, strength)
        keep(tmp_path / "own" / "small", EWC, 100, None, strength)
    _, (lost, ewc) = pages.comparison(
        *(filled(tmp_path / folder, whole) for folder in ("published", "own"))
    )
    assert lost[-3:] == ["2 diverged", "2 diverged", "no"]
    assert ewc[1:3] == ["1 (edge)", "every one diverged"]
    assert ewc[-3:] == ["85.00 ± 7.07 (2)", "-", "yes"]


def test_comparison_measures_the_noise_in_units_of_the_column(tmp_path: Path) -> None:
    for folder, shift in (("published", 0.0), ("own", 0.3)):
        for seed, value in enumerate((0.51, 0.53)):
            keep(tmp_path / folder / "small", "finetune.py", seed, 0.5, seconds=value + shift)
    seconds = Column("seconds", lambda result, _: result["seconds"], scale=1.0)
    whole = table(row("", "finetune.py"), columns=(seconds,))
    _, (line,) = pages.comparison(
        *(filled(tmp_path / folder, whole) for folder in ("published", "own"))
    )
    assert line[-3:] == ["0.52 ± 0.01 (2)", "0.82 ± 0.01 (2)", "yes"]  # 0.5 points is of percent


# Documents


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("λ of EWC and MAS", "λ-of-ewc-and-mas"),
        ("Long, with `--lambda 1` (64-32)", "long-with---lambda-1-64-32"),
        ("anpyc_wi_np: what it prunes", "anpyc_wi_np-what-it-prunes"),
    ],
)
def test_anchor_is_the_one_that_github_gives(title: str, anchor: str) -> None:
    assert pages.anchor(title) == anchor


def test_section_has_all_parts_in_order(tuned: TableResults) -> None:
    tuned.table = dataclasses.replace(
        tuned.table, note="So {Some: ewc: λ}.", drawings=(drawings.final_accuracies,)
    )
    text = pages.section(tuned)
    parts = (
        "## A small table\n",
        "`small`. What it shows.\n",
        "**Some**",
        "\nSo 10.\n",
        "(figures/small-final-some.png)\n",
        "(figures/small-final-others.png)",
        "<details><summary>Commands</summary>\n\n```bash\n# Some: finetune\n",
        "```\n\n</details>\n",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "Published and own" not in text
    compared = pages.section(tuned, tuned)
    assert "So 10." not in compared  # which is said of the published ones
    header, rows = pages.comparison(tuned, tuned)
    assert pages.markdown(header, rows) in compared


def test_document_has_the_complete_tables(tuned: TableResults, tmp_path: Path) -> None:
    lacking = table(row("finetune", "finetune.py --epochs 9"), name="lacking")
    found = {"small": tuned, "lacking": filled(tmp_path, lacking)}
    text = pages.document(found)
    assert "* `small`: [A small table](#a-small-table)\n" in text
    assert "Not complete yet: lacking.\n" in text and "A lacking table" not in text
    # Nine runs of 36 seconds.
    assert "9 runs (1 diverged), 0.1 hours in all, one thread a run, 2025-11-25." in text
    assert "TensorFlow 2.21.0, NumPy 2.1.0, Python 3.12.1, cpu; Linux." in text
    assert pages.section(tuned) in text
    assert "Not complete yet" not in pages.document({"small": tuned})
    nothing = pages.document({"lacking": found["lacking"]})
    assert "No table is complete.\n" in nothing
    tuned.rows[0].runs[0]["versions"] = {"threads": "all"}
    assert "0.1 hours in all, 2025-11-25." in pages.document({"small": tuned})


def test_document_compares_with_complete_tables_alone(tuned: TableResults, tmp_path: Path) -> None:
    lacking = filled(tmp_path / "empty", tuned.table)
    assert "Published and own" in pages.document({"small": tuned}, {"small": tuned})
    assert "Published and own" not in pages.document({"small": tuned}, {"small": lacking})


def test_run_of_two_tables_is_counted_once(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", ACCURACIES)
    both = [table(row("a", "finetune.py"), name=name) for name in ("small", "second")]
    text = pages.document(contents.evaluate(both, ["small", "second"], commands.Store(tmp_path)))
    assert "\n2 runs (0 diverged)" in text


BLOCKS = """# Head

before <!-- a comment -->
<!-- generated: small -->
| old |
<!-- end --> behind

<!-- generated: second -->
<!-- end -->
| not generated |
<!-- end -->
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Return a document with two blocks."""
    path = tmp_path / "page.md"
    path.write_text(BLOCKS)
    return path


def of_two_tables(folder: Path) -> dict[str, TableResults]:
    """Return the tables whose blocks the document has, filled in as far as they are."""
    both = [table(row(name, "finetune.py"), name=name) for name in ("small", "second")]
    return contents.evaluate(both, ["small", "second"], commands.Store(folder))


def test_blocks_are_replaced_and_all_else_is_kept(tmp_path: Path, page: Path) -> None:
    assert generated.with_blocks(page, of_two_tables(tmp_path)) == BLOCKS  # they are not complete
    keep_all(tmp_path / "small", "finetune.py", ACCURACIES)
    found = of_two_tables(tmp_path)
    text = generated.with_blocks(page, found)
    small, second = (pages.body(one) for one in found.values())
    assert "| second |" in second
    assert text == BLOCKS.replace("| old |\n", small).replace(
        "second -->\n", f"second -->\n{second}"
    )
    page.write_text(text)
    assert generated.with_blocks(page, found) == text  # and done once for all


def test_block_may_be_another_text(tmp_path: Path, page: Path) -> None:
    found = {"second": of_two_tables(tmp_path)["second"]}
    text = generated.with_blocks(page, found, {"small": "a text\n"})
    assert text == BLOCKS.replace("| old |\n", "a text\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<!-- end --> behind", "behind"),
        ("generated: small -->\n", "generated: small -->\r\n"),
        ("generated: small", "generated:small"),
    ],
)
def test_block_that_is_not_closed_or_marked_is_refused(
    tmp_path: Path, page: Path, old: str, new: str
) -> None:
    page.write_bytes(BLOCKS.replace(old, new).encode())
    with pytest.raises(ResultError, match="a generated block has no end"):
        generated.with_blocks(page, of_two_tables(tmp_path))


def test_block_of_no_table_is_refused(page: Path) -> None:
    with pytest.raises(ResultError, match="there is no table small"):
        generated.with_blocks(page, {})


# Writing and checking


def draw_nothing(**_: Any) -> Figure:
    """Return an empty figure."""
    return style.figure("", 1, 1)


def write_dot(path: Path) -> None:
    """Write a picture that was drawn from nothing."""
    Image.new("RGB", (2, 2)).save(path)


@pytest.fixture
def made(tmp_path: Path) -> tuple[dict[Path, str], dict[Path, Drawing], Path]:
    """Return what there is to write into a folder: texts and figures."""
    folder = tmp_path / "results"
    files = {folder / "README.md": "λ ± 1\n", folder / "tables" / "small.csv": "a,b\n1,2\n"}
    drawn = {
        folder / "figures" / f"small-{name}.png": Drawing(
            name, draw_nothing, "A title", {"data": [1]}
        )
        for name in ("one", "two")
    }
    return files, drawn, folder


Made = tuple[dict[Path, str], dict[Path, Drawing], Path]


def test_written_files_are_as_they_should_be_and_not_written_again(made: Made) -> None:
    files, drawn, folder = made
    assert sorted(generated.check(*made)) == sorted(f"{path} is missing" for path in files | drawn)
    generated.write(files, drawn)
    assert generated.check(*made) == []
    written = {path: path.stat().st_ino for path in folder.rglob("*") if path.is_file()}
    assert written.keys() == files.keys() | drawn.keys()
    assert (folder / "README.md").read_text(encoding="utf-8") == "λ ± 1\n"
    generated.write(files, drawn)
    assert {path: path.stat().st_ino for path in written} == written


def test_check_names_every_file_that_is_wrong(made: Made) -> None:
    files, drawn, folder = made
    generated.write(files, drawn)
    one, two = drawn
    (folder / "README.md").write_text("λ ± 1")
    (folder / "tables" / "small.csv").unlink()
    (folder / "tables" / "gone.csv").write_text("")
    (folder / "tables" / "notes.txt").write_text("of no interest")
    drawn[one] = dataclasses.replace(drawn[one], arguments={"data": [2]})
    two.unlink()
    write_dot(folder / "figures" / "gone.png")
    left = [f"{path} is of no complete table" for path in folder.rglob("gone.*")]
    expected = [
        f"{folder / 'README.md'} is not what the results give",
        f"{folder / 'tables' / 'small.csv'} is missing",
        f"{one} does not show what the results give",
        f"{two} is missing",
    ]
    assert len(left) == 2  # they may be the user's
    assert sorted(generated.check(*made)) == sorted([*expected, *left])
    generated.write(files, drawn)
    assert sorted(generated.check(*made)) == sorted(left)


@pytest.mark.parametrize("name", ["README.md", "tables/small.csv"])
def test_text_is_compared_byte_for_byte(made: Made, name: str) -> None:
    files, drawn, folder = made
    generated.write(files, drawn)
    path = folder / name
    whole = path.read_bytes()
    for changed in (b"", b"\xff\xfe", whole.replace(b"\n", b"\r\n")):
        path.write_bytes(changed)
        assert generated.check(*made) == [f"{path} is not what the results give"]
        generated.write(files, drawn)
        assert path.read_bytes() == whole


@pytest.mark.parametrize("spoil", [write_dot, lambda path: path.write_bytes(b"no picture")])
def test_picture_of_other_data_is_found_and_drawn_again(
    made: Made, spoil: Callable[[Path], Any]
) -> None:
    files, drawn, _ = made
    generated.write(files, drawn)
    path = next(iter(drawn))
    spoil(path)
    assert generated.check(*made) == [f"{path} does not show what the results give"]
    generated.write(files, drawn)
    assert generated.check(*made) == []


def test_texts_and_figures_are_those_of_complete_tables(
    tuned: TableResults, tmp_path: Path
) -> None:
    tuned.table = dataclasses.replace(tuned.table, drawings=(drawings.final_accuracies,))
    lacking = table(
        row("finetune", "finetune.py --epochs 9"), name="lacking", drawings=(drawings.means,)
    )
    found = {"small": tuned, "lacking": filled(tmp_path, lacking)}
    assert generated.texts(tmp_path, found) == {
        tmp_path / "README.md": pages.document(found),
        tmp_path / "tables" / "small.csv": csv_files.of_table(tuned),
    }
    assert list(generated.figures(tmp_path, found)) == [
        tmp_path / "figures" / f"small-final-{group}.png" for group in ("some", "others")
    ]


# What figures draw

DRAWN: dict[str, tuple[Callable[[TableResults], list[Drawing]], Callable[..., Figure]]] = {
    "curves": (drawings.curves, run_figures.average_accuracy),
    "final": (drawings.final_accuracies, figures.final_accuracy),
    "strengths": (drawings.strengths, figures.over_strengths),
    "means": (drawings.means, figures.means),
    "differences": (drawings.differences, figures.differences),
    "agreement": (drawings.agreement, figures.agreement),
    "trace": (drawings.along_training, figures.along_training),
}
TRACE = [
    {"task": 0, "phase": 0, "epoch": 1, "step": 9, "accuracy": [0.5]},
    {"task": 1, "phase": 0, "epoch": 1, "step": 18, "accuracy": [0.4, 0.6]},
    {"task": 2, "phase": 0, "epoch": 1, "step": 27, "accuracy": [0.3, 0.5, 0.7]},
]


def whole(folder: Path, group: str = "", **changed: Any) -> TableResults:
    """Return a table of all that figures show; `changed` are accuracies of seed 0, by script."""
    accs = {"finetune": 0.5, "ewc": 0.8, "joint": 0.95, "validation": 0.7, **changed}
    place = folder / "small"
    keep_all(place, "finetune.py", (accs["finetune"], 0.6), trace=TRACE)
    for strength, validation in {1: 0.6, 3: accs["validation"], 10: 0.65}.items():
        keep(place, EWC, 100, 0.1, strength, validation)
    keep(place, EWC, 101, 0.1, 1.0)
    keep(place, EWC, 101, 0.1, 3.0)
    keep(place, EWC, 101, None, 10.0)
    keep_all(place, EWC, (accs["ewc"], None), strength=3.0, trace=TRACE)
    keep_all(place, "joint.py", (accs["joint"], 0.96), trace=TRACE)
    rows = (
        row("finetune", "finetune.py", group),
        row("ewc", EWC, group),
        row("joint", "joint.py", group),
    )
    return filled(folder, table(*rows, reference="finetune", tuning=(100, 101)))


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_can_be_drawn(tmp_path: Path, name: str) -> None:
    function, draw = DRAWN[name]
    (one,) = function(whole(tmp_path))
    assert (one.name, one.draw) == (name, draw)
    assert one.title.startswith("A small table")
    path = tmp_path / "figure.png"
    one.write(path)
    assert style.stored(path) == one.digest


def test_digest_changes_with_the_data_that_are_drawn(tmp_path: Path) -> None:
    def digests(folder: str, **changed: float) -> dict[str, str]:
        found = whole(tmp_path / folder, **changed)
        return {name: function(found)[0].digest for name, (function, _) in DRAWN.items()}

    before = digests("before")
    assert digests("again") == before
    assert len(set(before.values())) == len(before)
    of_acc = {"curves", "final", "means", "differences", "agreement"}
    for key, value, which in (
        ("finetune", 0.51, of_acc),
        ("ewc", 0.81, of_acc),
        ("joint", 0.951, of_acc),
        ("validation", 0.71, {"strengths"}),
    ):
        after = digests(key, **{key: value})
        assert {name for name in before if after[name] != before[name]} == which


def test_curves_have_lines_and_the_level_of_joint_training(tmp_path: Path) -> None:
    (one,) = drawings.curves(whole(tmp_path))
    assert {label: len(seeds) for label, seeds in one.arguments["curves"].items()} == {
        "finetune": 2,
        "ewc": 1,
    }
    expected = metrics.average_accuracy_curve([[0.9], [0.8, 0.9], [0.8, 0.8, 0.8]])
    assert one.arguments["curves"]["ewc"][0] == pytest.approx(expected)
    assert one.arguments["levels"] == {"joint": pytest.approx([0.95, 0.96])}


def test_figures_of_all_groups_know_all_labels(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", (0.5, 0.6))
    for strength in (1, 3, 10):
        keep(tmp_path / "small", EWC, 100, 0.9 if strength == 3 else 0.8, strength)
    keep_all(tmp_path / "small", EWC, (0.7, 0.8), strength=3.0)
    rows = (
        *(row("finetune", "finetune.py", "One"), row("ewc", EWC, "One")),
        *(row("ewc", EWC, "Two"), row("again", "finetune.py", "Two")),
    )
    found = filled(tmp_path, table(*rows))
    for function in (drawings.curves, drawings.final_accuracies, drawings.strengths):
        orders = [one.arguments["order"] for one in function(found)]
        assert orders == [["finetune", "ewc", "again"]] * 2


def test_final_accuracies_are_the_last_rows(tmp_path: Path) -> None:
    (one,) = drawings.final_accuracies(whole(tmp_path))
    rows = {label: np.asarray(seeds).tolist() for label, seeds in one.arguments["rows"].items()}
    assert rows == {
        "finetune": [pytest.approx([0.5] * 3), pytest.approx([0.6] * 3)],
        "ewc": [pytest.approx([0.8] * 3)],
        "joint": [pytest.approx([0.95] * 3), pytest.approx([0.96] * 3)],
    }


def test_strengths_are_those_that_chose(tmp_path: Path) -> None:
    (one,) = drawings.strengths(whole(tmp_path))
    points = one.arguments["points"]
    assert list(points) == ["ewc"] and list(points["ewc"]) == [1, 3, 10]
    assert points["ewc"][3] == ([pytest.approx((0.7, 0.1)), pytest.approx((0.1, 0.1))], 0)
    assert points["ewc"][10] == ([pytest.approx((0.65, 0.1))], 1)
    assert one.title.endswith("on the validation set, 2 seeds")
    assert one.arguments["chosen"] == {"ewc": 3}


def test_means_name_the_rows_with_what_diverged(tmp_path: Path) -> None:
    (one,) = drawings.means(whole(tmp_path, "A group"))
    assert one.arguments["groups"] == {
        "A group": {
            "finetune": pytest.approx([0.5, 0.6]),
            "ewc (1 of 2 diverged)": pytest.approx([0.8]),
            "joint": pytest.approx([0.95, 0.96]),
        }
    }
    (one,) = drawings.means(whole(tmp_path))
    assert list(one.arguments["groups"]) == [""]


def test_differences_are_paired_with_the_reference(tmp_path: Path) -> None:
    (one,) = drawings.differences(whole(tmp_path, "A group"))
    (rows,) = one.arguments["groups"].values()
    assert list(rows) == ["ewc (1 of 2 diverged)", "joint"]
    mean, error, values = rows["joint"]
    pairs = [0.95 - 0.5, 0.96 - 0.6]
    assert (mean, error) == pytest.approx((np.mean(pairs), stats.sem(pairs)))
    assert values == pytest.approx(pairs)
    assert rows["ewc (1 of 2 diverged)"] == (pytest.approx(0.3), None, [pytest.approx(0.3)])


def test_updates_have_every_strength(tmp_path: Path) -> None:
    columns = tuple(Column(f"λ {one}", ACC.value, strength=one) for one in (1.0, 3.0, 10.0))
    for strength in (1, 3, 10):
        accs = (0.5, 0.6) if strength == 1 else (0.7, None) if strength == 3 else (None, None)
        keep_all(tmp_path / "small", EWC, accs, strength=float(strength))
    only = table(row("proximal", EWC, "ewc"), tuning=(), columns=columns)
    (one,) = drawings.updates(filled(tmp_path, only))
    assert one.draw is figures.updates
    assert one.arguments["points"] == {
        "ewc": {
            "proximal": {
                1: (pytest.approx([0.5, 0.6]), 0),
                3: (pytest.approx([0.7]), 1),
                10: ([], 2),
            }
        }
    }
    path = tmp_path / "figure.png"
    one.write(path)
    assert style.stored(path) == one.digest


def test_agreement_pairs_our_runs_with_theirs(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", (0.5, 0.6))
    keep_all(tmp_path / "small", "joint.py", (0.7, 0.8))
    rows = (
        Row("theirs", estimates={"ACC": Estimate.of((0.4, 0.45))}),
        row("ours", "finetune.py", reference="theirs"),
        row("alone", "joint.py"),
    )
    (one,) = drawings.agreement(filled(tmp_path, table(*rows)))
    assert one.arguments["pairs"] == {
        "finetune": ([0.4, 0.45], pytest.approx([0.5, 0.6])),
        "joint": (None, pytest.approx([0.7, 0.8])),
    }


def test_traces_are_those_of_runs_that_finished(tmp_path: Path) -> None:
    (one,) = drawings.along_training(whole(tmp_path))
    assert {label: len(seeds) for label, seeds in one.arguments["traces"].items()} == {
        "finetune": 2,
        "ewc": 1,
        "joint": 2,
    }
    assert one.arguments["traces"]["ewc"] == [TRACE]


@pytest.mark.parametrize("name", ["curves", "final"])
def test_group_without_a_finished_run_has_no_figure(tmp_path: Path, name: str) -> None:
    keep_all(tmp_path / "small", "finetune.py", (0.5, 0.6))
    keep_all(tmp_path / "small", "sgd_freeze.py", (None, None))
    rows = (row("finetune", "finetune.py", "One & only"), row("other", "sgd_freeze.py", "Lost"))
    found = DRAWN[name][0](filled(tmp_path, table(*rows)))
    assert [one.name for one in found] == [f"{name}-one-only"]
    assert all(part in found[0].title.lower() for part in ("a small table", "one & only"))
    assert drawings.strengths(filled(tmp_path, table(*rows))) == []


def test_reference_without_a_finished_run_has_no_differences(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "finetune.py", (0.5, 0.6))
    keep_all(tmp_path / "small", "sgd_freeze.py", (None, None))
    rows = (row("finetune", "finetune.py"), row("lost", "sgd_freeze.py"))
    assert drawings.differences(filled(tmp_path, table(*rows, reference="lost"))) == []


def test_group_of_joint_training_alone_has_no_curves(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", "joint.py", (0.5, 0.6))
    found = filled(tmp_path, table(row("joint", "joint.py")))
    assert found.complete
    assert drawings.curves(found) == []
