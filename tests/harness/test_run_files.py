"""Files of a run: its result, its checkpoint, damaged and foreign files, the lock."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from harness import results
from harness.results import ResultError, write_json
from harness.run_files import RunFiles
from tests import made_up
from tests.made_up import HISTOGRAM, MEASURES

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
LABEL = {
    "script": "some_script",
    "settings": {"tasks": 2, "hidden": [16, 8], "steps": None, "learning_rate": 0.1},
    "as_released": ["D1"],
    "lambda": 0.5,
    "seed": 3,
}
RESULT = made_up.result("finetune", 2, 0.25)


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """Return the files of a run of which nothing is stored."""
    return RunFiles(tmp_path, "a_run", LABEL)


@contextlib.contextmanager
def held(files: RunFiles) -> Iterator[None]:
    """Hold a run that nobody else has."""
    with files.locked() as mine:
        assert mine
        yield


@contextlib.contextmanager
def refused(
    *words: object, error: type[Exception] | tuple[type[Exception], ...] = ResultError
) -> Iterator[None]:
    """Expect an error whose message is a single line with certain words."""
    with pytest.raises(error) as caught:
        yield
    assert "\n" not in str(caught.value)
    for word in words:
        assert str(word) in str(caught.value)


def failing(error: int) -> Callable[..., None]:
    """Return a function that fails with an error, half-way if it writes to a file."""

    def fail(file: Any, *_: Any, **__: Any) -> None:
        if hasattr(file, "write"):
            file.write(b"half of it")
        raise OSError(error, os.strerror(error))

    return fail


# Results


def test_finish_stores_label_and_result(files: RunFiles) -> None:
    with held(files):
        files.save_checkpoint({}, {})
        files.finish(RESULT)
        assert files.load_checkpoint() is None
    expected = {"schema": results.SCHEMA, **LABEL, **RESULT}
    assert files.read() == json.loads(files.path.read_text(encoding="utf-8")) == expected


def test_truncated_result_is_refused_at_every_length(files: RunFiles) -> None:
    write_json(files.path, {**files.label, **RESULT})
    whole = files.path.read_bytes()
    for length in range(len(whole) - 1):  # the last byte is the end of the line
        files.path.write_bytes(whole[:length])
        with refused(files.path, "--fresh"):
            files.read()


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", b"[]", b"3", b"null", b'"text"', b"{}", b'{"schema": 1}', b"[" * 100_000],
)
def test_file_that_is_no_result_is_refused(files: RunFiles, content: bytes) -> None:
    files.path.write_bytes(content)
    with refused(files.path, "--fresh"):
        files.read()
    assert files.path.read_bytes() == content


@pytest.mark.parametrize("missing", RESULT)
def test_incomplete_result_is_refused(files: RunFiles, missing: str) -> None:
    content = {**files.label, **RESULT}
    del content[missing]
    write_json(files.path, content)
    with refused(files.path, missing, "--fresh"):
        files.read()


ROUND = {"task": 0, "percent": 10, "overall": 0.1, "W1": 0.1}
READING = {"task": 0, "phase": 0, "epoch": 1, "step": 16, "accuracy": [0.5]}
READINGS = [READING, {**READING, "task": 1, "accuracy": [0.125, 0.5]}]
DIVERGED = made_up.result("finetune", 2, None)
METRICS = RESULT["metrics"]
TRACED = {"trace": READINGS, "metrics": results.metrics_of(RESULT["accuracy"], READINGS)}
OWN_FIELDS = {"omega": {"all": HISTOGRAM}, "sparsity": [ROUND, {**ROUND, "percent": 20}]}
STUDY = {
    **made_up.result("cal_importance_distribution", 1, 0.9),
    "path": [{"percent": percent, **made_up.STEP} for percent in (0, 20)],
    "importance": {"before": MEASURES, "after": MEASURES},
}
LABEL_OF_STUDY = {
    **LABEL,
    "script": "cal_importance_distribution",
    "settings": {"prune_percent": 30, "prune_step": 20},
}
TRACED_LABEL = {**LABEL, "settings": {**LABEL["settings"], "evaluate_every": 1}}  # type: ignore[dict-item]


def read_back(folder: Path, label: Mapping[str, Any], result: Mapping[str, Any]) -> Any:
    """Store a result as it is, and return what is read of it."""
    files = RunFiles(folder, "a_run", label)
    files.path.write_text(json.dumps({**files.label, **result}))
    return files.read()


@pytest.mark.parametrize(
    ("label", "result"),
    [
        (LABEL, {**RESULT, **OWN_FIELDS}),
        (LABEL, {**RESULT, "versions_before": [made_up.VERSIONS], "seconds": 3}),
        (LABEL, {**RESULT, "metrics": {**METRICS, "ACC": METRICS["ACC"] + 1e-15}}),
        (LABEL, made_up.result("joint", 2, 0.25)),
        (TRACED_LABEL, {**RESULT, **TRACED}),
        (LABEL_OF_STUDY, STUDY),
        (LABEL, {**DIVERGED, "sparsity": [ROUND]}),
        (LABEL_OF_STUDY, {**DIVERGED, "path": [], "importance": {}}),
    ],
)
def test_result_that_is_right_is_read(
    tmp_path: Path, label: Mapping[str, Any], result: Mapping[str, Any]
) -> None:
    stored = read_back(tmp_path, label, result)
    assert {key: stored[key] for key in result} == result


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"status": "ok"}, "status"),
        ({"status": None}, "status"),
        ({"status": "diverged"}, "accuracy"),
        ({"accuracy": None}, "accuracy"),
        ({"accuracy": [0.5, 0.5]}, "accuracy"),
        ({"accuracy": [[0.35]]}, "accuracy"),
        ({"accuracy": [[0.35], [0.25]]}, "accuracy"),
        ({"accuracy": [[35.0], [25.0, 25.0]]}, "accuracy"),
        ({"accuracy": [[0.35], [0.25, -0.25]]}, "accuracy"),
        ({"accuracy": [[0.35], [0.25, "0.25"]]}, "accuracy"),
        ({"accuracy": [[0.35], [0.25, True]]}, "accuracy"),
        ({"accuracy": [[0.35], [0.25, math.nan]]}, "NaN"),
        ({"validation_accuracy": None}, "validation_accuracy"),
        ({"validation_accuracy": [[0.35], [0.25, 0.25], [0.2, 0.2, 0.2]]}, "validation_accuracy"),
        ({"metrics": None}, "metrics"),
        ({"metrics": {}}, "metrics"),
        ({"metrics": {**METRICS, "ACC": math.nan}}, "NaN"),
        ({"metrics": {**METRICS, "ACC": math.inf}}, "Infinity"),
        ({"metrics": {**METRICS, "ACC": 0.99}}, "ACC"),
        ({"metrics": {**METRICS, "F": None}}, "F"),
        ({"metrics": {**METRICS, "LA": [0.5]}}, "LA"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": "1"}, "seconds"),
        ({"seconds": 10**400}, "seconds"),
        ({"versions": []}, "versions"),
        ({"versions": {}}, "versions"),
        ({"versions": {**made_up.VERSIONS, "threads": 1}}, "versions"),
        ({"versions_before": made_up.VERSIONS}, "versions_before"),
        ({"date": "yesterday"}, "date"),
        ({"date": 20251125}, "date"),
        ({"trace": READINGS}, "metrics"),  # without those of the readings
        ({"trace": []}, "trace"),
        ({"omega": HISTOGRAM}, "omega"),
        ({"omega": {"all": {**HISTOGRAM, "decades": [1] * 124}}}, "omega"),
        ({"omega": {"all": {**HISTOGRAM, "decades": [0.5] * 125}}}, "omega"),
        ({"sparsity": []}, "sparsity"),
        ({"sparsity": [{**ROUND, "overall": 10}]}, "sparsity"),
        ({"sparsity": [{**ROUND, "W2": 0.2}, ROUND]}, "sparsity"),
    ],
)
def test_result_that_cannot_be_right_is_refused(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    with refused(tmp_path / "a_run.json", named, "--fresh"):
        read_back(tmp_path, LABEL, {**RESULT, **changes})


@pytest.mark.parametrize(
    ("label", "result", "named"),
    [
        (LABEL, {**DIVERGED, "accuracy": RESULT["accuracy"]}, "accuracy"),
        (LABEL, {**DIVERGED, "metrics": METRICS}, "metrics"),
        (LABEL, {**DIVERGED, "diverged": None}, "diverged"),
        (LABEL, {key: DIVERGED[key] for key in DIVERGED if key != "diverged"}, "diverged"),
        (TRACED_LABEL, RESULT, "trace"),
        (TRACED_LABEL, {**RESULT, **TRACED, "trace": READINGS[:1]}, "min_ACC"),
        (TRACED_LABEL, {**RESULT, **TRACED, "trace": [{**READING, "task": 1}]}, "trace"),
        (TRACED_LABEL, {**RESULT, **TRACED, "metrics": METRICS}, "metrics"),
        (LABEL_OF_STUDY, made_up.result("cal_importance_distribution", 1, 0.9), "path"),
        (LABEL_OF_STUDY, {**STUDY, "path": STUDY["path"][:1]}, "path"),
        (LABEL_OF_STUDY, {**STUDY, "importance": {"before": MEASURES}}, "importance"),
        (LABEL_OF_STUDY, {**STUDY, "importance": {"before": {}, "after": {}}}, "importance"),
    ],
)
def test_result_whose_parts_do_not_fit_is_refused(
    tmp_path: Path, label: Mapping[str, Any], result: Mapping[str, Any], named: str
) -> None:
    with refused(tmp_path / "a_run.json", named, "--fresh"):
        read_back(tmp_path, label, result)


def test_arrays_are_stored_beside_the_result_whole_or_not_at_all(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = {"a": np.arange(5)}
    with held(files):
        files.finish(RESULT, arrays)
    path = files.path.with_suffix(".npz")
    whole = path.read_bytes()
    with np.load(path) as stored:
        assert stored["a"].tolist() == arrays["a"].tolist()

    monkeypatch.setattr(np, "savez_compressed", failing(errno.ENOSPC))
    with held(files), pytest.raises(OSError, match="No space"):
        files.finish(RESULT, arrays)
    assert path.read_bytes() == whole
    assert names_below(path.parent) == {"a_run.json", "a_run.npz"}


def test_folder_in_place_of_the_result_is_refused(files: RunFiles) -> None:
    files.path.mkdir()
    with refused(files.path):
        files.read()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", results.SCHEMA + 1),
        ("script", "another_script"),
        ("settings", {**LABEL["settings"], "tasks": 3}),  # type: ignore[dict-item]
        ("as_released", []),
        ("lambda", None),
        ("lambda", 0.25),
        ("seed", 4),
    ],
)
def test_result_of_another_run_is_refused(files: RunFiles, key: str, value: Any) -> None:
    write_json(files.path, {**files.label, **RESULT, key: value})
    with refused(files.path, key, "--fresh"):
        files.read()


SETTINGS: Mapping[str, Any] = LABEL["settings"]  # type: ignore[assignment]
DEFAULTS = {**SETTINGS, "tasks": 10, "younger": 0.5}


@pytest.mark.parametrize(
    ("stored", "wanted", "same"),
    [
        (SETTINGS, {**SETTINGS, "younger": 0.5}, True),
        (SETTINGS, {**SETTINGS, "younger": 1}, False),
        ({**SETTINGS, "younger": 1}, {**SETTINGS, "younger": 1}, True),
        ({"tasks": 2}, {**SETTINGS, "younger": 0.5}, True),
        ({}, {**SETTINGS, "younger": 0.5}, False),
        ({**SETTINGS, "unknown": None}, {**SETTINGS, "younger": 0.5}, False),
    ],
)
def test_setting_that_a_file_lacks_has_its_default(
    tmp_path: Path, stored: dict[str, Any], wanted: dict[str, Any], same: bool
) -> None:
    old = RunFiles(tmp_path, "a_run", {**LABEL, "settings": stored})
    with held(old):
        old.save_checkpoint(POSITION, checkpoint_arrays())
    write_json(old.path, {**old.label, **RESULT})
    new = RunFiles(tmp_path, "a_run", {**LABEL, "settings": wanted}, DEFAULTS)
    if same:
        assert new.read() == {**new.label, **RESULT}
        assert_same_checkpoint(new.load_checkpoint())
    else:
        with pytest.raises(ResultError, match=r"another run \(settings differ"):
            new.read()
        with pytest.raises(ResultError, match="another run"):
            new.load_checkpoint()


# Checkpoints


def checkpoint_arrays() -> dict[str, np.ndarray]:
    """Return arrays with all that might get lost: NaN's bits, -0.0, subnormals, shapes, types."""
    bits = np.array([0x7FC12345, 0xFFC00001, 0x80000000, 0x00000001, 0x7F800000, 0x3F800001])
    return {
        "network.0": bits.astype(np.uint32).view(np.float32).reshape(2, 3),
        "network.10": np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32),
        "scalar": np.float32(1 / 3) * np.ones((), np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "counts": np.array([-(2**63), 2**63 - 1]),
        "double": np.array([np.pi]),
    }


POSITION = {"place": [1, 0, 7], "accuracy": [[1 / 3], [0.1 + 0.2, 5e-324]], "text": "λ"}


def saved_checkpoint(files: RunFiles) -> Path:
    """Save a checkpoint and return its path."""
    with held(files):
        files.save_checkpoint(POSITION, checkpoint_arrays())
    (path,) = files.path.with_suffix(".ckpt").glob("*.npz")
    return path


def assert_same_checkpoint(
    loaded: tuple[Mapping[str, Any], Mapping[str, np.ndarray]] | None,
) -> None:
    assert loaded is not None
    assert loaded[0] == POSITION
    expected = checkpoint_arrays()
    assert loaded[1].keys() == expected.keys()
    for name, array in expected.items():
        assert (loaded[1][name].dtype, loaded[1][name].shape) == (array.dtype, array.shape), name
        assert loaded[1][name].tobytes() == array.tobytes(), name


def test_checkpoint_comes_back_bit_for_bit(files: RunFiles) -> None:
    saved_checkpoint(files)
    assert_same_checkpoint(files.load_checkpoint())


@pytest.mark.parametrize("broken", [(np, "savez"), (os, "replace")])
def test_failing_save_leaves_the_last_checkpoint(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch, broken: tuple[Any, str]
) -> None:
    saved_checkpoint(files)
    monkeypatch.setattr(*broken, failing(errno.ENOSPC))
    with held(files), pytest.raises(OSError, match="No space"):
        files.save_checkpoint({"place": 2}, {"a": np.ones(2)})
    assert_same_checkpoint(files.load_checkpoint())


def test_damaged_checkpoint_is_refused_wherever_the_damage_is(files: RunFiles) -> None:
    path = saved_checkpoint(files)
    whole = path.read_bytes()
    generator = random.Random(0)
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    for place in range(0, len(whole), 3):
        flipped = bytearray(whole)
        flipped[place] ^= generator.randrange(1, 256)
        damaged.append(bytes(flipped))
    number, others = 0, set()
    for content in damaged:
        path.write_bytes(content)
        try:
            loaded = files.load_checkpoint()
        except ResultError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            number += 1
        except Exception as error:
            others.add(repr(error))
        else:  # bytes that mean nothing, as the time of writing
            assert_same_checkpoint(loaded)
    assert others == set()
    assert number > 0.5 * len(damaged)


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def archive(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("position", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"some text\n",
        npz(a=np.ones(3)),
        npz(position=np.ones(3)),
        npz(position=np.array("no json")),
        npz(position=np.array("[]")),
        npz(position=np.array("{}")),
        archive(b"no array"),
    ],
    ids=["text", "no position", "numbers", "no JSON", "list", "no label", "zip"],
)
def test_file_that_is_no_checkpoint_is_refused(files: RunFiles, content: bytes) -> None:
    path = saved_checkpoint(files)
    path.write_bytes(content)
    with refused(path):
        files.load_checkpoint()


@pytest.mark.parametrize(
    "shapes", [{"more": ()}, {"scalar": (1,)}, {"network.0": (2, 3), "network.10": (5, 4)}]
)
def test_checkpoint_without_the_wanted_arrays_is_refused(
    files: RunFiles, shapes: dict[str, tuple[int, ...]]
) -> None:
    path = saved_checkpoint(files)
    assert_same_checkpoint(files.load_checkpoint({"scalar": (), "network.0": (2, 3)}))
    with refused(path):
        files.load_checkpoint(shapes)


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_checkpoint_is_never_unpickled(files: RunFiles, tmp_path: Path) -> None:
    path = saved_checkpoint(files)
    trap = tmp_path / "trap"
    path.write_bytes(npz(position=np.array([Harmful(trap)], dtype=object)))
    with pytest.raises(ResultError):
        files.load_checkpoint()
    assert not trap.exists()


@pytest.mark.parametrize("key", ["schema", *LABEL])
def test_checkpoint_of_another_run_is_refused(files: RunFiles, key: str) -> None:
    path = saved_checkpoint(files)
    files.label[key] = "another"
    with refused(path):
        files.load_checkpoint()


def test_checkpoint_of_other_sources_is_refused_and_their_result_is_not(tmp_path: Path) -> None:
    old, new = (RunFiles(tmp_path, "a_run", LABEL, code=code) for code in ("old", "new"))
    path = saved_checkpoint(old)
    assert_same_checkpoint(old.load_checkpoint())
    with refused(path, "was made by other sources"):
        new.load_checkpoint()
    write_json(old.path, {**old.label, **RESULT})
    assert new.read() == {**new.label, **RESULT}


# The folder of a run and its lock


def names_below(folder: Path) -> set[str]:
    """Return the names of what is in a folder, without the locks, which stay."""
    return {entry.name for entry in folder.iterdir()} - {".locks"}


def test_finished_run_leaves_its_result_and_arrays_alone(files: RunFiles) -> None:
    saved_checkpoint(files)
    for name in (".a_run.json.0123abcd", ".a_run.npz.0123abcd", "a_run.ckpt/.state.npz.0123abcd"):
        (files.path.parent / name).write_bytes(b"of a killed process")
    (files.path.parent / ".another_run.json.0123abcd").write_bytes(b"of a living one")
    with held(files):
        files.finish(RESULT, {"a": np.ones(2)})
    names = {"a_run.json", "a_run.npz", ".another_run.json.0123abcd"}
    assert names_below(files.path.parent) == names


def test_discard_removes_what_was_there_before(files: RunFiles) -> None:
    saved_checkpoint(files)
    write_json(files.path, {**files.label, **RESULT})
    for name in ("a_run.npz", "another.json"):
        (files.path.parent / name).write_text("{}")
    files = RunFiles(files.path.parent, "a_run", LABEL)
    with held(files):
        files.discard()
        assert files.read() is None
        assert files.load_checkpoint() is None
        files.discard()  # nothing is left to discard
    assert names_below(files.path.parent) == {"another.json", "a_run.ckpt"}


@pytest.mark.parametrize("before", [False, True])
def test_discard_keeps_what_another_process_made_since(files: RunFiles, before: bool) -> None:
    other = RunFiles(files.path.parent, "a_run", LABEL)
    if before:
        with held(other):
            other.finish({**RESULT, "seconds": 1.0}, {"a": np.zeros(2)})
        saved_checkpoint(other)
        times = other.path.stat()
        files = RunFiles(files.path.parent, "a_run", LABEL)
    with held(other):
        other.finish(RESULT, {"a": np.ones(2)})
    if before:  # even if clocks go back
        os.utime(other.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    saved_checkpoint(other)
    with held(files):
        files.discard()
        assert files.read() == {**files.label, **RESULT}
        assert_same_checkpoint(files.load_checkpoint())
    with np.load(files.path.with_suffix(".npz")) as stored:
        assert stored["a"].tolist() == [1, 1]


def test_checkpoint_folder_may_be_a_link_to_another_file_system(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, replace = tmp_path / "scratch", os.replace
    scratch.mkdir()
    files.path.with_suffix(".ckpt").symlink_to(scratch)

    def replace_there(old: Path, new: Path) -> None:
        if old.parent != new.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(old, new)

    monkeypatch.setattr(os, "replace", replace_there)
    assert saved_checkpoint(files).resolve().parent == scratch
    assert_same_checkpoint(files.load_checkpoint())
    with held(files):
        files.finish(RESULT)
    assert list(scratch.iterdir()) == []
    assert files.path.with_suffix(".ckpt").is_symlink()  # it is the user's


def test_file_system_without_locks_is_named(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    monkeypatch.setattr(fcntl, "flock", mock.Mock(side_effect=refusal))
    with refused(files.path.parent, refusal.strerror, "--results-dir"), files.locked():
        pass


def test_run_is_held_by_one_at_a_time(files: RunFiles) -> None:
    other = RunFiles(files.path.parent, "a_run", LABEL)
    with pytest.raises(KeyboardInterrupt), held(other):
        for _ in range(2):
            with files.locked() as mine:
                assert not mine
        with held(RunFiles(files.path.parent, "another_run", LABEL)):
            raise KeyboardInterrupt
    with held(files):
        pass


def test_where_locks_keep_nobody_out_all_end_well(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    other = RunFiles(files.path.parent, "a_run", LABEL)
    replace, between = os.replace, iter([True, False])

    def finish_meanwhile(old: Path, new: Path) -> None:
        if next(between, False):  # another one ends the run, and clears up, while this one saves
            with held(other):
                other.finish(RESULT, {"a": np.ones(2)})
        replace(old, new)

    with held(files):
        monkeypatch.setattr(os, "replace", finish_meanwhile)
        files.save_checkpoint(POSITION, checkpoint_arrays())
        files.save_checkpoint(POSITION, checkpoint_arrays())
        between = iter([False, True, False])
        files.finish(RESULT, {"a": np.ones(2)})
    assert files.read() == {**files.label, **RESULT}
    assert names_below(files.path.parent) == {"a_run.json", "a_run.npz"}


# Many processes share a grid; the first one is killed in its first run.
MANY = """
import json, os, signal, sys
from pathlib import Path
from harness.run_files import RunFiles

folder, label, result = Path(sys.argv[1]), *map(json.loads, sys.argv[2:4])
pending = [RunFiles(folder / "made", f"{number}", label) for number in range(60)]
sys.stdin.read()  # until all are ready
while pending:
    passed = []
    for files in pending:
        with files.locked() as held:
            if not held:
                passed.append(files)
            elif files.read() is None:
                if sys.argv[4] == "dies":
                    files.save_checkpoint({}, {})
                    os.kill(os.getpid(), signal.SIGKILL)
                with (folder / "log").open("a") as log:
                    log.write(f"{files.path.stem}\\n")
                files.finish(result, {"a": [1]})
    pending = passed
"""


def test_no_run_is_done_twice_by_many_processes_and_none_is_lost(tmp_path: Path) -> None:
    arguments = [str(tmp_path), json.dumps(LABEL), json.dumps(RESULT)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MANY, *arguments, "lives" if number else "dies"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert errors == [""] * 4
    statuses = [process.returncode for process in processes]
    assert statuses[0] in (0, -signal.SIGKILL) and statuses[1:] == [0, 0, 0]
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(60))
    assert len(names_below(tmp_path / "made")) == 2 * 60
