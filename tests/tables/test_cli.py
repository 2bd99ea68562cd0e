"""`reproduce_tables.py`: its command line, and tables of one's own."""

from __future__ import annotations

import csv
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import reproduce_tables
from harness import options, style
from tables import cli, drawings, figures
from tables.contents import ACC
from tables.rows.equal_terms import SMALL
from tests import made_up
from tests.conftest import Ended
from tests.made_up import keep, keep_all, row, table

import pytest

ROOT = reproduce_tables.ROOT


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put two small tables and an empty folder in place of the real ones; return the folder."""
    folder = tmp_path / "results"
    rows = row("finetune", "finetune.py"), row("ewc", "ewc.py --lambda 1 3")
    both = (
        table(*rows, columns=(ACC,), drawings=(drawings.final_accuracies,)),
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
    made, same = (sorted(path.relative_to(f) for path in f.rglob("*.json")) for f in folders)
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
    ("line", "message"),
    [
        ("secnd", "there are small, second; did you mean second?"),
        ("--jobs 0", "--jobs 0 is not a whole number from 1"),
        ("--jobs one", "--jobs: 'one' is not a whole number from 1"),
        ("--list --check", "--check"),
        ("--lis", "did you mean --list?"),  # no flag may be shortened
        ("--csv nowhere/runs.csv", "nowhere/runs.csv"),
        ("--results-dir file/mine", "file/mine"),
        ("--results-dir=", "--results-dir"),
        ("second --check", "--check"),
        ("--results-dir foreign", "foreign/README.md"),
        ("--table nowhere.py", "nowhere.py: No such file or directory"),
        ("--table own.py --check", "--check"),
        ("--table own.py second", "own.py alone, not second"),
        ("--table own.py --results-dir results", "results is of what is published"),
    ],
)
def test_bad_command_line_is_one_line(
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
    line: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "README.md").write_text("Not ours.")
    ended = call(*line.split())
    ended.assert_refused("reproduce_tables", message)
    assert ended.out == ""
    assert not published.exists()


@pytest.mark.parametrize("line", ["", "--list", "--csv x.csv"])
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
    assert "| ewc | 3 (edge, one seed) | 3 (edge, one seed) | ACC | 75.00 ± 7.07 (2) |" in text
    assert {path: path.read_bytes() for path in before} == before
    assert call("--check", "--results-dir", other).status == 0


def test_folder_may_be_named_in_any_way(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    complete(published)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    ended = call("--results-dir", "elsewhere/../results/")
    assert ended.status == 0
    assert "differ by" not in ended.out  # it is the published one
    assert ended.out.endswith("see results/README.md\n")
    assert call("--check").status == 0


def test_what_is_left_out_is_told(published: Path, tmp_path: Path, call: Call) -> None:
    complete(published)
    next(published.glob("small/ewc/*.json")).unlink()
    gone = published / "tables" / "gone.csv"
    gone.parent.mkdir()
    gone.write_text("a user's")
    out = call("second").out
    assert "2 stored results of other sources of their script; they stay valid\n" in out
    assert "not complete either, and not shown: small\n" in out
    assert f"{gone} is of no complete table; delete it\n" in out
    assert gone.read_text() == "a user's"

    own = tmp_path / "own"
    complete(own)
    next(published.glob("second/joint/*.json")).unlink()
    out = call("second", "--results-dir", own).out
    assert "second: not published yet, so there is nothing to compare with\n" in out
    assert "differ by" not in out and "not complete either" not in out


def test_table_without_its_data_is_refused_but_left_out_of_all(
    published: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    complete(published)
    others = row("finetune", "finetune.py --data-dir no", checksum="0")
    tables = *reproduce_tables.TABLES, table(others, name="third", columns=(ACC,))
    monkeypatch.setattr(reproduce_tables, "TABLES", tables)
    call("third").assert_refused("reproduce_tables", "no does not have its data")
    ended = call()
    assert ended.status == 0
    assert "left out: table third, row 'finetune': no does not have its data" in ended.out
    assert "not complete either, and not shown: third\n" in ended.out


@pytest.mark.parametrize(("limit", "jobs"), [("150000 100000", 1), ("max 100000", 64), ("", 64)])
def test_as_many_jobs_as_cores_or_as_the_container_may_use(
    monkeypatch: pytest.MonkeyPatch, limit: str, jobs: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.setattr(Path, "read_text", lambda _: limit)
    assert cli.parse(reproduce_tables.publication(), "", []).jobs == jobs


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
        "it.TABLES = [table for table in it.TABLES if table.name == 'release-short']; it.main()"
    )
    command = [sys.executable, "-c", program, "--results-dir", str(tmp_path)]
    shutil.copytree(reproduce_tables.RESULTS / "release-short", tmp_path / "release-short")
    environment = {**os.environ, "MPLBACKEND": "module://not_there"}
    ended = subprocess.run(
        command, env=environment, cwd=reproduce_tables.ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(tmp_path.glob("figures/*.png"))


def test_matplotlib_that_cannot_be_imported_is_one_line(
    published: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    call().assert_refused("reproduce_tables", "Matplotlib cannot be imported: ")
    assert not published.exists()
    assert call("--list").status == 0  # needs none


def test_bad_data_are_told_once(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.setattr(options, "ROOT", made_up.project(tmp_path / "project", finetune="refuse"))
    ended = call("--jobs", 1)
    assert ended.status == 1
    assert ended.out.count("boom") == 1 and "\nstopped: " in ended.out
    assert not (published / "README.md").exists()


# Tables of one's own

OWN = """
from tests.made_up import row, table

TABLE = table(
    row("ewc", "ewc.py --lambda 1 3"),
    row("mine", "mas.py --lambda 1 3 10"),
    name="own",
    reference="ewc",
    note="It is {mine: difference} from EWC, with λ {mine: λ}.",
)
"""


@pytest.fixture
def own(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a table with a published row and one of one's own."""
    complete(published)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    return Path("mine.py")


def test_own_table_takes_published_runs_and_lacks_its_own(own: Path, call: Call) -> None:
    listed = call("--table", own, "--results-dir", "out", "--list")
    words = [line.split() for line in listed.out.splitlines()]
    assert [line[line.index("--lambda") + 1 : -3] for line in words] == [
        [strength, "--seeds", "100"] for strength in ("1", "3", "10")
    ]
    assert {line[4].rsplit("/", 1)[1] for line in words} == {"mas.py"}
    assert listed.err == "1 row chooses λ from these runs; then --list again, for 2 runs more\n"
    assert not Path("out").exists()


def test_own_table_is_shown_and_written(
    own: Path, published: Path, tmp_path: Path, call: Call
) -> None:
    before = {path: path.read_bytes() for path in published.rglob("*.*")}
    for strength in (1, 3, 10):
        keep(Path("out/own"), "mas.py", 100, 0.6 + strength / 100, strength)
    keep_all(Path("out/own"), "mas.py", (0.75, 0.875), strength=10.0)
    arguments = ("--table", own, "--results-dir", "out")
    ended = call(*arguments)
    assert ended.status == 0, ended
    cells = [line.replace("│", " ").split() for line in ended.out.splitlines()]
    assert [line[:3] for line in cells if line[:1] in (["ewc"], ["mine"])] == [
        *(["ewc", "3", "(edge,"], ["mine", "10", "(edge,"])
    ]
    assert "mine: λ 10 is the largest of the grid, so the best may lie beyond it" in ended.out
    assert "differ by" not in ended.out and ended.out.endswith("see out/README.md\n")
    text = Path("out/README.md").read_text(encoding="utf-8")
    command = f"reproduce_tables.py --table {tmp_path / own} --results-dir {tmp_path / 'out'}"
    assert f"\n.venv/bin/python {command}\n" in text
    assert "| ewc | 3 (edge, one seed) | 6 | 75.00 ± 7.07 (2) |" in text
    assert "+6.25 ± 1.25 (2) |\n" in text
    assert "**It is +6.25 ± 1.25 SE from EWC, with λ 10.**\n" in text
    assert [path.name for path in Path("out/tables").iterdir()] == ["own.csv"]
    assert call(*arguments, "--csv", "runs.csv").status == 0
    with Path("runs.csv").open(encoding="utf-8") as file:
        files = {line["row"]: line["file"] for line in csv.DictReader(file)}
    assert files["ewc"].startswith("../results/small/ewc/")
    assert files["mine"].startswith("own/mas/")
    assert {path: path.read_bytes() for path in published.rglob("*.*")} == before
    # The page of another table, or of the published ones, is not replaced.
    shutil.copy(own, "other.py")
    call("--table", "other.py", "--results-dir", "out").assert_refused("reproduce_tables", "README")
    call("--results-dir", "out").assert_refused("reproduce_tables", "out/README.md")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("TABLE =", "TABLES =", "TABLE has to be"),
        ("TABLE = table(", "TABLE = table((", "mine.py, line"),
        ("from tests", "from tets", "mine.py, line 2: ModuleNotFoundError: No module named 'tets'"),
        ('name="own"', 'name="small"', "there is a published table small"),
        ('name="own"', 'name="a/b"', "mine.py, line 4: table 'a/b'"),
        ('"mine", "mas', '"ewc", "mas', "two rows 'ewc'"),
        ('name="own"', 'name="own", seeds=range(3)', "seeds has to be a tuple of int"),
        ('name="own"', 'name="own", tuning=()', "several λ, and neither tuning seeds"),
        ("mas.py", "mass.py", "no script mass; did you mean mas?"),
        ("--lambda 1 3 10", "--lambda no", "row 'mine': argument --lambda"),
        ('1 3 10"', '1 --data-dir no", checksum="0"', "row 'mine': no does not have its data"),
        ('reference="ewc"', 'reference="ewcc"', "no row 'ewcc'; did you mean ewc?"),
        ("{mine: λ}", "{mine: AC}", "names no cell: AC; did you mean ACC?"),
    ],
)
def test_bad_own_table_is_one_line(own: Path, call: Call, old: str, new: str, message: str) -> None:
    assert old in OWN
    own.write_text(OWN.replace(old, new))
    call("--table", own, "--results-dir", "out").assert_refused("reproduce_tables", message)
    assert not Path("out").exists()


# The runs that choose λ are there from the start, as after Ctrl-C; in the fast suite the last one,
# too, which takes longer than all else.
@pytest.mark.parametrize("missing", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_example_of_the_guide_with_a_script_of_ones_own(missing: int, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for package in ("common", "harness", "tables"):
        shutil.copytree(ROOT / package, project / package)
    for path in ROOT.glob("*.py"):
        shutil.copy(path, project)
    for name in ("data", "results"):
        (project / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "mas.py", project / "mymethod.py")
    guide = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```py\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    assert example.count("\n") <= 30
    tiny = "--lambda 1 10 --hidden 8 4 --tasks 2 --epochs 1 --batch-size 50 --train-examples 300"
    for old, new in {
        "--lambda 0.1 1 10 100": f"{tiny} --device cpu",
        "seeds=(0, 1, 2, 3, 4)": "seeds=(0,)",
        "tuning=TUNING": "tuning=(100,)",
    }.items():
        assert old in example
        example = example.replace(old, new)
    (project / "compare.py").write_text(example, encoding="utf-8")
    folder = project / "runs" / "compare"
    for seed, acc, strength in [(100, 0.5, 1), (100, 0.6, 10), (0, 0.6, 10)][: 3 - missing]:
        line, flags = f"mas.py {tiny}", f"{SMALL} --head multi"
        path = keep(folder / "compare", line, seed, acc, strength, flags=flags)
        path.write_text(path.read_text().replace('"mas"', '"mymethod"'))
    path.parent.rename(path.parent.with_name("mymethod"))
    ended = subprocess.run(
        [sys.executable, "reproduce_tables.py", "--table", "compare.py", "--jobs", "1"],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert "failed" not in ended.stdout
    made = sorted(path.relative_to(folder).parent for path in folder.rglob("*.json"))
    assert made == [Path("compare/mymethod")] * 3  # two λ, then the one that is chosen
    text = (folder / "README.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")][2:]
    assert rows == ["| finetune", "| ewc", "| mas", "| my method"]
    names = ("curves", "differences", "strengths")
    drawn = sorted((folder / "figures").iterdir())
    assert [path.name for path in drawn] == [f"compare-{name}.png" for name in names]
    assert all(map(style.stored, drawn))
    assert not list(folder.glob("compare/*/*.png"))  # runs draw none of their own
