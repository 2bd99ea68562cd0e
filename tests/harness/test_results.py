"""Results: names, sources, atomic writing."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from common import data, training
from harness import progress, results
from harness.results import run_name, settings_hash, write_json

import pytest
from hypothesis import given
from hypothesis import strategies as st

# Names


def test_run_name_is_readable() -> None:
    assert run_name(3.0, 0) == run_name(3, 0) == "lambda3_seed0"
    assert run_name(0.5, 12) == "lambda0.5_seed12"
    assert run_name(None, 4) == "seed4"


@given(st.floats(0, allow_infinity=False), st.integers(0, 2**31 - 1))
def test_run_name_says_λ_and_seed_in_full(strength: float, seed: int) -> None:
    found = re.fullmatch(r"lambda([^/]+)_seed(\d+)", run_name(strength, seed))
    assert found and (float(found[1]), int(found[2])) == (strength, seed)


def test_settings_hash_counts_what_differs_from_the_defaults_alone() -> None:
    default = {"tasks": 10, "hidden": [512, 256], "steps": None}
    assert settings_hash(dict(default), default) == ""
    assert settings_hash(dict(default), {**default, "younger": 1}) == ""
    for changed in ({"tasks": 9}, {"hidden": [256, 512]}, {"steps": 5}, {"new": None}):
        found = settings_hash({**default, **changed}, default)
        assert found == settings_hash(changed, {}) != ""
        younger = {"younger": [1]}
        assert settings_hash({**default, **changed, **younger}, {**default, **younger}) == found


def test_settings_hash_stays_the_same_in_whatever_order() -> None:
    # The names of checked-in results depend on it: another value here makes them unfindable.
    identity = {"tasks": 2, "hidden": [16, 8], "steps": None, "lr_decay": 0.9}
    assert settings_hash(identity, {}) == "-ea065a98"
    assert settings_hash(dict(reversed(identity.items())), {}) == "-ea065a98"


# Sources

SOURCE = """
import os.path as place

class A(B, metaclass=C):
    part: int = 1

    async def f(self, a, /, b=2, *c, d=None, **e) -> None:
        async with a as q, b:
            return f"a{b!r:>{d}}" "b" f"{c=}" "λ\\u0378{" f"{a:}{{" f""

match v:
    case None | [1, *_, "a"] | {"k": w, **r} | P(1, q=2) as u if u:
        while (n := -2.5e-10) < 1j <= 3 is not ...:
            x = {**a, 1: [i async for i in j if i], "": lambda *b, c=b"\\x00": (yield a[1:2, ::3])}
"""


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a script in a small project: every module of it but results.py is `SOURCE`."""
    folder = tmp_path / "project" / "harness"
    folder.mkdir(parents=True)
    (folder.parent / "common").mkdir()
    script = folder.parent / "script.py"
    for path in (script, *(folder.parent / f"{name}.py" for name in results.COMPUTING)):
        path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(results, "__file__", str(folder / "results.py"))
    return script


digest: Callable[[Path], str] = results.code_digest.__wrapped__  # the cache would hide changes


def test_code_digest_is_the_same_for_every_version_of_python(sources: Path) -> None:
    # 3.11 to 3.13 give this; their trees of `SOURCE` are not the same.
    assert digest(sources) == "69fb6ca0603d"
    assert digest(Path(shutil.copy(sources, sources.parents[1]))) == "69fb6ca0603d"


def test_what_deals_out_tasks_and_steps_is_among_the_sources() -> None:
    for what in (data.tasks_of, training.budget, progress.Progress.epochs, training.Trainer):
        assert what.__module__ in {name.replace("/", ".") for name in results.COMPUTING}


@pytest.mark.parametrize("number", range(1 + len(results.COMPUTING)))
def test_code_digest_counts_what_is_computed_alone(sources: Path, number: int) -> None:
    modules = (f"{name}.py" for name in results.COMPUTING)
    changed = sources.parent / ["script.py", *modules][number]
    before = digest(sources)
    (changed.parent / "plots.py").write_text("x = 1\n")
    text = f'"""Doc."""\n# λ\n{SOURCE}'
    for old, new in (
        ("-> None:\n", "-> None:\n        '''Doc.'''\n"),
        ("class A(B, metaclass=C):\n", "class A(\n B, metaclass=C,\n):\n    'Doc.'\n"),
        ("q, b:", "q, (b):  # type: ignore"),
        ("import os.path as place\n", "from os import path as place\nimport sys\n"),
        ("        async with", "        import os\n        async with"),
        ('"":', 'u"":'),
        ("\n", "\r\n"),
    ):
        assert old in text
        text = text.replace(old, new)
    changed.write_bytes(text.encode())
    assert digest(sources) == before
    for old, new in (
        ("-2.5", "2.5"),
        (", b:", ":"),
        ('"a"', '""'),
        ("case None", "case False"),
        ("{d}", "{e}"),
        ("1j", "1"),
        ("match", "part = 2\nmatch"),
    ):
        assert old in SOURCE
        changed.write_text(SOURCE.replace(old, new), encoding="utf-8")
        assert digest(sources) != before


# Writing JSON

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_write_json_keeps_everything(tmp_path_factory: Any, content: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    write_json(path, content)
    assert json.loads(path.read_text(encoding="utf-8")) == content


def test_write_json_writes_row_by_row(tmp_path: Path) -> None:
    reading = {"task": 0, "accuracy": [0.5, 1 / 3]}
    content = {
        "accuracy": [[0.5], (0.25, None)],
        "metrics": {"ACC": 0.25, 1: []},
        "trace": [reading, reading],
        "deep": [[[1, 2], [3]], {"a": {"b": "λ"}}, {}],
        "none": {},
    }
    write_json(tmp_path / "x.json", content)
    assert (
        (tmp_path / "x.json").read_text()
        == """{
 "accuracy": [
  [0.5],
  [0.25, null]
 ],
 "metrics": {
  "ACC": 0.25,
  "1": []
 },
 "trace": [
  {"task": 0, "accuracy": [0.5, 0.3333333333333333]},
  {"task": 0, "accuracy": [0.5, 0.3333333333333333]}
 ],
 "deep": [
  [
   [1, 2],
   [3]
  ],
  {
   "a": {
    "b": "\\u03bb"
   }
  },
  {}
 ],
 "none": {}
}
"""
    )


@pytest.mark.parametrize(
    ("content", "broken"),
    [({"a": math.nan}, ""), ({"a": 1, "b": object()}, ""), ({}, "fsync"), ({}, "replace")],
)
def test_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any], broken: str
) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})
    if broken:
        monkeypatch.setattr(os, broken, mock.Mock(side_effect=OSError(errno.ENOSPC, "full")))
    with pytest.raises((ValueError, TypeError, OSError)):
        write_json(path, content)
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]
