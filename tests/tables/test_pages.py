"""What is published of a folder of made-up results: pages, CSV files, the data of figures.

They are compared with the files in golden/. Where they are meant to change, write those anew, and
read the difference before it is committed:

    .venv/bin/python -m tests.tables.test_pages
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from harness import style
from harness.options import UsageError
from harness.results import ResultError
from tables import commands, contents, csv_files, drawings, generated, pages
from tables.contents import ACC, Column, Estimate, Row, RowResults, TableResults, metric
from tables.rows.importance import IMPORTANCE
from tests import made_up
from tests.made_up import filled, keep, keep_all, row, table

import numpy as np
import pytest
from matplotlib.figure import Figure

GOLDEN = Path(__file__).with_name("golden")
REMAKE = ".venv/bin/python -m tests.tables.test_pages"

FINETUNE, FREEZE, SINGLE, JOINT = "finetune.py", "sgd_freeze.py", "sgd_single_head.py", "joint.py"
EWC, MAS, SI = (f"{script}.py --head multi --lambda 1 3 10" for script in ("ewc", "mas", "si"))
ONE_HEAD, EXPLICIT = "ewc.py --head single", f"{EWC} --update explicit"
BY_TEST = "lwf.py --lambda 1 3 10 --as-released D12"
RELEASED = "anpyc_wi_np.py --lambda 3 --as-released"
TRACED, TRACED_EWC = (f"{line} --evaluate-every 1" for line in (FINETUNE, "ewc.py --lambda 3"))
STEPS, STEPS_FLAGS = "ewc.py --lambda 3 --gamma 0.5", "--hidden 8 4 --tasks 3 --steps 7"
STUDY = "cal_importance_distribution.py"
LOST: dict[str, Any] = {"lost": 0.125}  # F, unless an accuracy would be above 1

# ACC of the seeds 0, 1, ... by command and λ; None for a run that diverged. Their sums are exact.
RUNS: dict[tuple[str, float | None], tuple[float | None, ...]] = {
    (FINETUNE, None): (0.5, 0.625, 0.5625),
    (FREEZE, None): (None, None, None),
    (SINGLE, None): (0.375, 0.4375, 0.4375),
    (JOINT, None): (0.9375, 0.96875, 1.0),
    (EWC, 1): (0.6875, 0.75),
    (EWC, 3): (0.75, 0.8125, None),
    (EWC, 10): (0.78125, None),
    (MAS, 10): (0.75, 0.78125, 0.8125),
    (ONE_HEAD, 3): (0.53125,),
    (EXPLICIT, 1): (0.65625, 0.75),
    (EXPLICIT, 3): (0.625, None),
    (EXPLICIT, 10): (None, None),
    (BY_TEST, 1): (0.6875, 0.6875),
    (BY_TEST, 3): (0.8125, 0.84375),
    (BY_TEST, 10): (0.78125, 0.75),
    (RELEASED, 3): (0.84375, 0.8125),
    (STEPS, 3): (0.75, 0.71875),
    (TRACED, None): (0.5, 0.53125),
    (TRACED_EWC, 3): (0.75, None),
}
# Accuracies on the validation set that choose λ, of the seeds 100 and 101.
CHOICES: dict[str, dict[float, tuple[float | None, float | None]]] = {
    EWC: {1: (0.5, 0.53125), 3: (0.75, 0.71875), 10: (0.875, None)},
    MAS: {1: (0.5, 0.53125), 3: (0.6875, 0.6875), 10: (0.75, 0.75)},
    SI: {1: (None, None), 3: (None, 0.5), 10: (None, None)},
}
# What is different in somebody's own runs.
OWN_RUNS = {
    (FINETUNE, None): (0.8125, 0.875, 0.84375),
    (FREEZE, None): (0.5, 0.5625, 0.625),
    (EWC, 1): (0.75, 0.84375, 0.78125),
    (MAS, 10): (0.75, 0.8125, 0.8125),
    (ONE_HEAD, 1): (0.5,),
}
OWN_CHOICES = {EWC: {1: (0.75, 0.78125), 3: (0.5, 0.53125), 10: (0.5, None)}}

METHODS = table(
    row("finetune", FINETUNE, "Multi-head"),
    row("sgd_freeze", FREEZE, "Multi-head"),
    row("ewc", EWC, "Multi-head"),
    row('mas, "20 %"', MAS, "Multi-head"),
    row("si", SI, "Multi-head"),
    row("joint", JOINT, "Multi-head", reference=""),
    row("finetune", SINGLE, "Single-head"),
    row(
        *("ewc", ONE_HEAD, "Single-head"),
        strength_of=("methods", "Multi-head", "ewc"),
        seeds=(0,),
    ),
    row("joint", JOINT, "Joint alone", reference=""),
    name="methods",
    title="Methods, with `--lambda` (8-4 units)",
    seeds=(0, 1, 2),
    tuning=(100, 101),
    reference="finetune",
    drawings=(
        *(drawings.curves, drawings.final_accuracies, drawings.strengths),
        *(drawings.means, drawings.differences),
    ),
    note="""
        EWC has {Multi-head: ewc: ACC} with λ {Multi-head: ewc: λ}, {Multi-head: ewc: difference}
        beside no protection ({Multi-head: ewc: interval}), see
        [there](#forms-of-the-update). MAS {Multi-head: mas, "20 %": λ}.

        Joint training: {Multi-head: joint less Multi-head: finetune} to that; the frozen trunk:
        {Multi-head: sgd_freeze less Multi-head: finetune}.
    """,
)
RELEASE = table(
    Row("near", estimates={"ACC": Estimate.of((0.5625, 0.59375, 0.65625))}, lost={"ACC": 1}),
    row("finetune", FINETUNE, reference="near"),
    Row("far", estimates={"ACC": Estimate.of((0.6875, 0.71875))}),
    row("joint", JOINT, reference="far"),
    Row("one value", estimates={"ACC": Estimate.of((0.5,))}),
    row("as released", RELEASED, reference="one value"),
    row("D12: by test accuracy", BY_TEST, by_test=True, tuning=(0, 1)),
    row("steps", STEPS, flags=STEPS_FLAGS),
    name="release",
    epochs=False,
    drawings=(drawings.agreement,),
)
UPDATE = table(
    row("proximal", EWC, "ewc"),
    row("explicit", EXPLICIT, "ewc"),
    name="update",
    title="Forms of the update",
    tuning=(),
    columns=tuple(Column(f"λ {x}", ACC.value, strength=x) for x in (1, 3, 10)),
    drawings=(drawings.updates,),
)
TRAINING = table(
    row("finetune", TRACED),
    row("ewc", TRACED_EWC),
    name="training",
    columns=(ACC, metric("min_ACC"), metric("WC_ACC")),
    drawings=(drawings.along_training, drawings.differences, drawings.strengths),  # two of nothing
)
STATISTICS = dataclasses.replace(IMPORTANCE, seeds=(0, 1), shows="Statistics.", note="")
OPEN = table(row("finetune", "finetune.py --epochs 9"), name="open", drawings=(drawings.means,))
TABLES = (METHODS, RELEASE, UPDATE, TRAINING, STATISTICS, OPEN)


def store(folder: Path, runs: Any = RUNS, choices: Any = CHOICES) -> None:
    """Store all results. They are in the folder of one table, where the others find them."""
    home = folder / "methods"
    for (line, strength), accuracies in runs.items():
        more = {"flags": STEPS_FLAGS} if line == STEPS else {}
        if strength and line == BY_TEST:
            more["validation"] = strength / 16
        keep_all(home, line, accuracies, strength=strength, **more, **LOST)
    for line, by_strength in choices.items():
        for strength, accuracies in by_strength.items():
            for seed, acc in enumerate(accuracies, 100):
                keep(home, line, seed, acc and 0.25, strength, acc, **LOST)
    for k, line in enumerate((STUDY, f"{STUDY} --as-released")):
        for seed in (0, 1):
            stages = {
                stage: {
                    name: {**made_up.MEASURE, "kurtosis": 64.0 * n + 8 * k + seed}
                    for n, name in enumerate(made_up.MEASURES, 3 * pruned)
                }
                for pruned, stage in enumerate(("before", "after"))
            }
            keep(home, line, seed, 0.875, flags="", importance=stages, **LOST)


def texts_of(folder: Path) -> dict[str, str]:
    """Return all that is published of made-up results, by the names of the golden files."""
    store(folder / "published")
    store(folder / "own", RUNS | OWN_RUNS, CHOICES | OWN_CHOICES)
    names = [each.name for each in TABLES]
    published, own = (
        contents.evaluate(TABLES, names, commands.Store(folder / place))
        for place in ("published", "own")
    )
    home = folder / "published"
    texts = {
        path.relative_to(home).as_posix(): text
        for path, text in generated.texts(home, published).items()
    }
    figures = generated.figures(home, published)
    of_study = [path for path in figures if path.name.startswith("importance")]
    texts["figures.txt"] = "".join(
        f"{path.name}: {drawing.draw.__module__}.{drawing.draw.__name__}\n  {drawing.title}\n"
        + "".join(f"  {name}: {_json(data)}\n" for name, data in drawing.arguments.items())
        for path, drawing in figures.items()
        if path not in of_study  # whose data are long, and tested with harness.distribution
    )
    assert len(of_study) == 8
    texts["runs.csv"] = csv_files.of_runs([published["release"], published["training"]])
    some = ("methods", "open")
    texts["own.md"] = pages.document(
        {name: own[name] for name in some}, {name: published[name] for name in some}
    )
    return texts


def _json(data: Any) -> str:
    """Return data of a figure as JSON, without the last bits of floats."""
    text = json.dumps(data, default=np.ndarray.tolist)
    rounded = json.loads(text, parse_float=lambda digits: round(float(digits), 9))
    return json.dumps(rounded, ensure_ascii=False)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what is published of the made-up results."""
    return texts_of(tmp_path_factory.mktemp("made_up"))


def names_of_golden() -> list[str]:
    files = (path for path in GOLDEN.rglob("*") if path.is_file())
    return sorted(path.relative_to(GOLDEN).as_posix() for path in files)


@pytest.mark.parametrize("name", names_of_golden())
def test_published_text_is_the_golden_one(texts: dict[str, str], name: str) -> None:
    golden = (GOLDEN / name).read_bytes().decode()
    assert texts[name] == golden, f"if it is meant to change, call {REMAKE}"


def test_nothing_else_is_published(texts: dict[str, str]) -> None:
    assert sorted(texts) == names_of_golden()


# Numbers


def shown(value: float, sign: str = "") -> str:
    return pages.plus_minus(Estimate(value, None, 1), ACC, sign)


def test_last_bits_do_not_change_what_is_printed() -> None:
    for value in (*np.arange(0.00005, 1, 0.0370).tolist(), 0.87125, 0.00005, 0.12345, 0.0):
        near = (value + 5e-14, value - 5e-14, *map(float, np.nextafter(value, (0, 1))))
        (text,) = set(map(shown, (value, *near)))
        assert abs(float(text) - 100 * value) < 0.005 + 1e-9
    assert [shown(-0.05), shown(-0.00004), shown(0.01, "+")] == ["−5.00", "0.00", "+1.00"]
    texts = set()
    for acc in (0.1 + 0.2, 0.3):
        others = Row("theirs", estimates={"ACC": Estimate.of((acc, 0.7))})
        results = TableResults(table(others), [RowResults(others)])
        texts.add((pages.body(results), csv_files.of_table(results)))
    assert len(texts) == 1


def test_figures_without_spread_are_compared(tmp_path: Path) -> None:
    keep_all(tmp_path / "small", JOINT, (0.5, 0.5))
    for theirs, apart in ((0.5, "0.0 SE apart"), (0.9, "**inf SE apart**")):
        others = Row("theirs", estimates={"ACC": Estimate.of((theirs, theirs))})
        results = filled(tmp_path, table(others, row("ours", JOINT), reference="theirs"))
        assert pages.cells(results, results.rows[1])["ACC"] == f"50.00 ± 0.00 (2), {apart}"


@pytest.mark.parametrize(
    ("note", "meant"),
    [
        ("{finetun: ACC}", "finetun; did you mean finetune?"),
        ("{finetune: acc}", "acc; did you mean ACC?"),
        ("{finetune less ewc}", "ewc"),
        ("{finetun: interval}", "finetun; did you mean finetune?"),
    ],
)
def test_note_names_no_cell_that_is_not_there(tmp_path: Path, note: str, meant: str) -> None:
    results = filled(tmp_path, table(row("finetune", FINETUNE), note=note))
    with pytest.raises(UsageError) as refused:
        pages.note(results)
    assert str(refused.value) == f"the note of small names no cell: {meant}"


# Blocks of documents

BLOCKS = """# Head

before <!-- a comment -->
<!-- generated: small -->
| old |
<!-- end --> behind

<!-- generated: text -->
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


def test_blocks_are_replaced_and_all_else_is_kept(tmp_path: Path, page: Path) -> None:
    def made() -> str:
        results = filled(tmp_path, table(row("finetune", FINETUNE)))
        return generated.with_blocks(page, {"small": results}, {"text": "a text\n"})

    expected = BLOCKS.replace("text -->\n", "text -->\na text\n")
    assert made() == expected  # the table is not complete
    keep_all(tmp_path / "small", FINETUNE, (0.5, 0.75))
    body = pages.body(filled(tmp_path, table(row("finetune", FINETUNE))))
    assert "| finetune | 6 | 62.50" in body
    assert made() == expected.replace("| old |\n", body)
    page.write_text(made())
    assert made() == page.read_text()  # done once for all


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<!-- end --> behind", "behind", "a generated block has no end"),
        ("generated: text -->\n", "generated: text -->\r\n", "a generated block has no end"),
        ("generated: small", "generated:small", "a generated block has no end"),
        ("generated: small", "generated: smal", "no table smal for its block; did you mean small"),
    ],
)
def test_block_that_cannot_be_made_is_refused(
    tmp_path: Path, page: Path, old: str, new: str, reason: str
) -> None:
    page.write_bytes(BLOCKS.replace(old, new).encode())
    small = filled(tmp_path, table(row("finetune", FINETUNE)))
    with pytest.raises(ResultError, match=reason):
        generated.with_blocks(page, {"small": small}, {"text": None})


# Writing and checking


def draw_nothing(**_: Any) -> Figure:
    """Return an empty figure."""
    return style.figure("", 1, 1)


Made = tuple[dict[Path, str], dict[Path, style.Drawing], Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Return what there is to write into a folder: texts and figures, and the folder."""
    texts = {tmp_path / "README.md": "λ ± 1\n", tmp_path / "tables" / "small.csv": "a,b\n1,2\n"}
    figures = {
        tmp_path / "figures" / f"small-{name}.png": style.Drawing(
            name, draw_nothing, "A title", {"data": [1]}
        )
        for name in ("first", "second", "third")
    }
    return texts, figures, tmp_path


def test_written_files_are_as_they_should_be_and_not_written_again(made: Made) -> None:
    texts, figures, folder = made
    assert generated.check(*made) == [f"{path} is missing" for path in (*texts, *figures)]
    generated.write(texts, figures)
    assert generated.check(*made) == []
    written = {path: path.stat().st_ino for path in folder.rglob("*") if path.is_file()}
    assert written.keys() == texts.keys() | figures.keys()
    assert (folder / "README.md").read_text(encoding="utf-8") == "λ ± 1\n"
    generated.write(texts, figures)
    assert {path: path.stat().st_ino for path in written} == written


def test_check_names_every_file_that_is_wrong(made: Made) -> None:
    texts, figures, folder = made
    generated.write(texts, figures)
    readme, table_file = texts
    readme.write_bytes(readme.read_bytes().replace(b"\n", b"\r\n"))
    table_file.unlink()
    (folder / "tables" / "notes.txt").write_text("of no interest")
    first, second, third = figures
    figures[first] = dataclasses.replace(figures[first], arguments={"data": [2]})
    second.unlink()
    style.save(draw_nothing(), third)  # a picture that tells nothing of its data
    left = [folder / "tables" / "gone.csv", folder / "figures" / "gone.png"]  # maybe the user's
    for path in left:
        path.write_bytes(b"")
    of_none = [f"{path} is of no complete table" for path in left]
    assert generated.check(*made) == [
        f"{readme} is not what the results give",
        f"{table_file} is missing",
        f"{first} does not show what the results give",
        f"{second} is missing",
        f"{third} does not show what the results give",
        *of_none,
    ]
    generated.write(texts, figures)
    assert generated.check(*made) == of_none


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for golden, text in texts_of(Path(name)).items():
            (GOLDEN / golden).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / golden).write_text(text, encoding="utf-8")
