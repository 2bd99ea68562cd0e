"""Files of a run: names, atomic writing, damaged and foreign files, the lock."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import results
from common.results import ResultError, RunFiles, run_name, settings_hash, write_json

ROOT = Path(__file__).resolve().parents[1]
LABEL = {
    "script": "some_script",
    "settings": {"tasks": 2, "hidden": [16, 8], "steps": None, "learning_rate": 0.1},
    "as_released": ["D1"],
    "lambda": 0.5,
    "seed": 3,
}
ROWS = [[0.5], [0.25, 1 / 3]]
RESULT = {
    "status": "finished",
    "accuracy": ROWS,
    "validation_accuracy": ROWS,
    "metrics": {"ACC": 0.25},
    "seconds": 1.5,
}


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """Return the files of a run of which nothing is stored."""
    return RunFiles(tmp_path, "a_run", LABEL)


def no_waiting(text: str) -> None:
    pytest.fail(f"nobody else has this run, and yet: {text}")


def assert_one_line(error: BaseException, *parts: str) -> None:
    """Assert that a message is a single line with certain parts."""
    assert "\n" not in str(error)
    for part in parts:
        assert part in str(error)


# Names


def test_run_name_is_readable() -> None:
    assert run_name(3.0, 0) == run_name(3, 0) == "lambda3_seed0"
    assert run_name(0.5, 12) == "lambda0.5_seed12"
    assert run_name(None, 4) == "seed4"


@given(
    st.tuples(st.floats(0, allow_infinity=False), st.integers(0, 2**31 - 1)),
    st.tuples(st.floats(0, allow_infinity=False), st.integers(0, 2**31 - 1)),
)
def test_run_names_are_different_for_different_runs(
    one: tuple[float, int], other: tuple[float, int]
) -> None:
    assert (run_name(*one) == run_name(*other)) == (one == other)
    assert "/" not in run_name(*one)


def test_neighbouring_numbers_have_different_names() -> None:
    assert run_name(0.1, 0) != run_name(float(np.nextafter(0.1, 1)), 0)
    assert float(results.number(1e22)) == 1e22 and float(results.number(1e-5)) == 1e-5


def test_settings_hash_is_empty_for_the_defaults_alone() -> None:
    default = {"tasks": 10, "hidden": [512, 256], "steps": None}
    assert settings_hash(dict(default), default) == ""
    for changed in ({"tasks": 9}, {"hidden": [256, 512]}, {"steps": 5}, {"new": 1}):
        assert settings_hash({**default, **changed}, default)


def test_settings_hash_stays_the_same_and_tells_settings_apart() -> None:
    # The names of checked-in results depend on it: another value here makes them unfindable.
    identity = {"tasks": 2, "hidden": [16, 8], "steps": None, "lr_decay": 0.9}
    assert settings_hash(identity, {}) == "-ea065a98"
    assert settings_hash(dict(reversed(identity.items())), {}) == "-ea065a98"
    changes: list[dict[str, Any]] = [
        {},
        {"tasks": 3},
        {"hidden": [8, 16]},
        {"steps": 0},
        {"lr_decay": 0.95},
        {"data": "ab"},
        {"data": "ac"},
        {"as_released": []},
        {"as_released": ["D1"]},
    ]
    hashes = {settings_hash({**identity, **change}, {}) for change in changes}
    assert len(hashes) == len(changes)


# Writing JSON


def test_write_json_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for content in ({"a": 0.1 + 0.2, "b": [None, "λ"]}, {"a": 1}):
        write_json(path, content)
        assert json.loads(path.read_text(encoding="utf-8")) == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("content", [{"a": float("nan")}, {"a": 1, "b": object()}])
def test_what_is_no_json_leaves_the_old_file(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, content)
    assert json.loads(path.read_text()) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "x.json"
    write_json(path, {"old": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(OSError, match="No space"):
            write_json(path, {"new": 1})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


# Results


def test_there_is_nothing_to_read_at_first(files: RunFiles) -> None:
    assert files.read() is None
    assert files.load_checkpoint() is None


def test_finish_stores_label_and_result(files: RunFiles) -> None:
    with files.lock(no_waiting):
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
        with pytest.raises(ResultError) as caught:
            files.read()
        assert_one_line(caught.value, str(files.path), "--fresh")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"", b"[]", b"3", b"null", b'"text"', b"{}", b'{"schema": 1}']
)
def test_file_that_is_no_result_is_refused(files: RunFiles, content: bytes) -> None:
    files.path.write_bytes(content)
    with pytest.raises(ResultError) as caught:
        files.read()
    assert_one_line(caught.value, str(files.path), "--fresh")
    assert files.path.read_bytes() == content


@pytest.mark.parametrize("missing", RESULT)
def test_incomplete_result_is_refused(files: RunFiles, missing: str) -> None:
    files.path.parent.mkdir(parents=True, exist_ok=True)
    content = {**files.label, **RESULT}
    del content[missing]
    files.path.write_text(json.dumps(content))
    with pytest.raises(ResultError) as caught:
        files.read()
    assert_one_line(caught.value, str(files.path), missing, "--fresh")


def test_arrays_are_stored_beside_the_result_whole_or_not_at_all(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = {"a": np.arange(5)}
    with files.lock(no_waiting):
        files.finish(RESULT, arrays)
    path = files.path.with_suffix(".npz")
    whole = path.read_bytes()
    with np.load(path) as stored:
        assert stored["a"].tolist() == arrays["a"].tolist()

    def fail(file: Any, **_: Any) -> None:
        file.write(b"half an archive")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with files.lock(no_waiting), pytest.raises(OSError, match="No space"):
        files.finish(RESULT, arrays)
    assert path.read_bytes() == whole
    assert sorted(path.parent.iterdir()) == [files.path, path]


def test_folder_in_place_of_the_result_is_refused(files: RunFiles) -> None:
    files.path.mkdir()
    with pytest.raises(ResultError) as caught:
        files.read()
    assert_one_line(caught.value, str(files.path))


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
    with pytest.raises(ResultError) as caught:
        files.read()
    assert_one_line(caught.value, str(files.path), key, "--fresh")


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
    with files.lock(no_waiting):
        files.save_checkpoint(POSITION, checkpoint_arrays())
    (path,) = [p for p in files.path.with_suffix(".ckpt").iterdir() if p.name != "lock"]
    return path


def assert_same_checkpoint(
    found: tuple[Mapping[str, Any], Mapping[str, np.ndarray]] | None,
) -> None:
    assert found is not None
    assert found[0] == POSITION
    expected = checkpoint_arrays()
    assert found[1].keys() == expected.keys()
    for name, array in expected.items():
        assert (found[1][name].dtype, found[1][name].shape) == (array.dtype, array.shape), name
        assert found[1][name].tobytes() == array.tobytes(), name


def test_checkpoint_comes_back_bit_for_bit(files: RunFiles) -> None:
    saved_checkpoint(files)
    assert_same_checkpoint(files.load_checkpoint())


def test_next_checkpoint_replaces_the_last(files: RunFiles) -> None:
    saved_checkpoint(files)
    with files.lock(no_waiting):
        files.save_checkpoint({"place": 2}, {"a": np.ones(2)})
    position, arrays = files.load_checkpoint() or ({}, {})
    assert position == {"place": 2}
    assert list(arrays) == ["a"]


@pytest.mark.parametrize("failing", [(np, "savez"), (os, "replace")])
def test_failing_save_leaves_the_last_checkpoint(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch, failing: tuple[Any, str]
) -> None:
    def fail(file: Any, *_: Any, **__: Any) -> None:
        if hasattr(file, "write"):
            file.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    saved_checkpoint(files)
    with monkeypatch.context() as patch, files.lock(no_waiting):
        patch.setattr(*failing, fail)
        with pytest.raises(OSError, match="No space"):
            files.save_checkpoint({"place": 2}, {"a": np.ones(2)})
    assert_same_checkpoint(files.load_checkpoint())


def test_damaged_checkpoint_is_refused_wherever_the_damage_is(files: RunFiles) -> None:
    path = saved_checkpoint(files)
    whole = path.read_bytes()
    generator = random.Random(0)
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= generator.randrange(1, 256)
        damaged.append(bytes(flipped))
    refused, others = 0, set()
    for content in damaged:
        path.write_bytes(content)
        try:
            found = files.load_checkpoint()
        except ResultError as error:
            assert_one_line(error, str(path))
            refused += 1
        except Exception as error:
            others.add(repr(error))
        else:  # bytes that mean nothing, as the time of writing
            assert_same_checkpoint(found)
    assert others == set()
    assert refused > 0.5 * len(damaged)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


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
        b"",
        b"some text\n",
        npy(np.ones(3)),
        npz(a=np.ones(3)),
        npz(position=np.ones(3)),
        npz(position=np.array("no json")),
        npz(position=np.array("[]")),
        npz(position=np.array("{}")),
        archive(b"no array"),
    ],
    ids=["empty", "text", "npy", "no position", "numbers", "no JSON", "list", "no label", "zip"],
)
def test_file_that_is_no_checkpoint_is_refused(files: RunFiles, content: bytes) -> None:
    path = saved_checkpoint(files)
    path.write_bytes(content)
    with pytest.raises(ResultError) as caught:
        files.load_checkpoint()
    assert_one_line(caught.value, str(path))


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


@pytest.mark.parametrize("key", list(LABEL))
def test_checkpoint_of_another_run_is_refused(files: RunFiles, key: str) -> None:
    path = saved_checkpoint(files)
    other = RunFiles(files.path.parent, "a_run", {**LABEL, key: "another"})
    with pytest.raises(ResultError) as caught:
        other.load_checkpoint()
    assert_one_line(caught.value, str(path))


def test_checkpoint_of_another_schema_is_refused(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_checkpoint(files)
    monkeypatch.setattr(results, "SCHEMA", results.SCHEMA + 1)
    with pytest.raises(ResultError):
        RunFiles(files.path.parent, "a_run", LABEL).load_checkpoint()


# The folder of a run and its lock


def test_folder_is_there_while_the_run_is_held_and_gone_afterwards(files: RunFiles) -> None:
    folder = files.path.with_suffix(".ckpt")
    assert not folder.exists()
    with files.lock(no_waiting):
        assert folder.is_dir()
    assert not folder.exists()


def test_folder_is_gone_after_the_result_is_stored(files: RunFiles) -> None:
    saved_checkpoint(files)
    (files.path.with_suffix(".ckpt") / "state.npz.new").write_bytes(
        b"left over by a killed process"
    )
    with files.lock(no_waiting):
        files.finish(RESULT)
    assert [entry.name for entry in files.path.parent.iterdir()] == ["a_run.json"]


def test_folder_stays_while_there_is_a_checkpoint(files: RunFiles) -> None:
    with pytest.raises(KeyboardInterrupt), files.lock(no_waiting):
        files.save_checkpoint(POSITION, checkpoint_arrays())
        raise KeyboardInterrupt
    assert_same_checkpoint(files.load_checkpoint())
    with files.lock(no_waiting):  # and the lock is free
        assert_same_checkpoint(files.load_checkpoint())


def test_folder_is_gone_after_a_run_that_saved_nothing(files: RunFiles) -> None:
    with pytest.raises(KeyboardInterrupt), files.lock(no_waiting):
        raise KeyboardInterrupt
    assert list(files.path.parent.iterdir()) == []


def test_discard_removes_result_and_checkpoint(files: RunFiles) -> None:
    saved_checkpoint(files)
    write_json(files.path, {**files.label, **RESULT})
    (files.path.parent / "another.json").write_text("{}")
    with files.lock(no_waiting):
        files.discard()
        assert files.read() is None
        assert files.load_checkpoint() is None
        files.discard()  # nothing is left to discard
    assert [entry.name for entry in files.path.parent.iterdir()] == ["another.json"]


# Another process: takes the run, notes what happens in a file that all write to, and keeps the run
# until it is told to go on.
OTHER = """
import json, sys
from pathlib import Path
from common.results import RunFiles

folder, name, label = sys.argv[1:]
files = RunFiles(Path(folder), "a_run", json.loads(label))

def note(text):
    with (Path(folder) / "notes").open("a") as file:
        file.write(f"{name} {text}\\n")
    print(text, flush=True)

with files.lock(lambda text: note("waits")):
    note("has it")
    for order in sys.stdin:
        if order == "save\\n":
            files.save_checkpoint({}, {})
            note("saved")
        if order == "end\\n":
            break
    note("leaves")
"""


class Other:
    """Another process that wants the run; `says` waits for its next line."""

    def __init__(self, files: RunFiles, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(files.path.parent), name, json.dumps(LABEL)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def does(self, order: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def ends(self) -> None:
        self.does("end")
        assert self.says() == "leaves"
        assert self.process.wait(60) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def other(files: RunFiles) -> Any:
    """Return the function that starts another process."""
    started: list[Other] = []

    def start(name: str) -> Other:
        started.append(Other(files, name))
        return started[-1]

    yield start
    for process in started:
        process.close()


def notes(files: RunFiles) -> list[str]:
    """Return what the processes have noted, without the notes of waiting."""
    lines = (files.path.parent / "notes").read_text().splitlines()
    return [line for line in lines if "waits" not in line]


def test_second_process_is_told_and_waits(files: RunFiles, other: Callable[[str], Other]) -> None:
    first = other("first")
    assert first.says() == "has it"
    second = other("second")
    assert second.says() == "waits"
    first.ends()
    assert second.says() == "has it"  # not "waits" again
    second.ends()
    expected = ["first has it", "first leaves", "second has it", "second leaves"]
    assert notes(files) == expected
    assert not files.path.with_suffix(".ckpt").exists()


def test_lock_holds_after_the_first_process_removed_the_folder(
    files: RunFiles, other: Callable[[str], Other]
) -> None:
    first = other("first")
    assert first.says() == "has it"
    second = other("second")
    assert second.says() == "waits"
    first.ends()  # and removes the folder, in which the file is that the second waits for
    assert second.says() == "has it"
    third = other("third")
    assert third.says() == "waits"
    second.does("save")
    assert second.says() == "saved"
    second.ends()
    assert third.says() == "has it"
    third.ends()
    assert files.load_checkpoint() == ({}, {})


def test_lock_goes_with_a_killed_process(files: RunFiles, other: Callable[[str], Other]) -> None:
    first = other("first")
    assert first.says() == "has it"
    first.does("save")
    assert first.says() == "saved"
    first.process.kill()
    first.process.wait()
    with files.lock(no_waiting):
        assert files.load_checkpoint() == ({}, {})


# Many processes take the run in turns; each time they count on in a file.
MANY = """
import sys
from pathlib import Path
from common.results import RunFiles

folder = Path(sys.argv[1])
files, count = RunFiles(folder, "a_run", {}), folder / "count"
for _ in range(300):
    with files.lock(lambda text: None):
        count.write_text(str(int(count.read_text()) + 1))
"""


def test_run_changes_hands_between_many_processes(files: RunFiles, tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MANY, str(tmp_path)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert errors == [""] * 4
    assert (tmp_path / "count").read_text() == "1200"
    assert [entry.name for entry in tmp_path.iterdir()] == ["count"]
