"""Results: names, sources, atomic writing."""

from __future__ import annotations

import errno
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from harness import options, results
from harness.results import run_name, settings_hash, write_json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

# Names


def test_run_name_is_readable() -> None:
    assert run_name(3.0, 0) == run_name(3, 0) == "lambda3_seed0"
    assert run_name(0.5, 12) == "lambda0.5_seed12"
    assert run_name(None, 4) == "seed4"


@given(st.floats(0, allow_infinity=False), st.integers(0, 2**31 - 1))
def test_run_name_says_λ_and_seed_in_full(strength: float, seed: int) -> None:
    name = re.fullmatch(r"lambda([^/]+)_seed(\d+)", run_name(strength, seed))
    assert name and (float(name[1]), int(name[2])) == (strength, seed)


def test_settings_hash_counts_what_differs_from_the_defaults_alone() -> None:
    default = {"tasks": 10, "hidden": [512, 256], "steps": None}
    assert settings_hash(dict(default), default) == ""
    assert settings_hash(dict(default), {**default, "younger": 1}) == ""
    for changed in ({"tasks": 9}, {"hidden": [256, 512]}, {"steps": 5}, {"new": None}):
        suffix = settings_hash({**default, **changed}, default)
        assert suffix == settings_hash(changed, {}) != ""
        younger = {"younger": [1]}
        assert settings_hash({**default, **changed, **younger}, {**default, **younger}) == suffix


def test_settings_hash_stays_the_same_in_whatever_order() -> None:
    # The names of checked-in results depend on it: another value here makes them unfindable.
    identity = {"tasks": 2, "hidden": [16, 8], "steps": None, "lr_decay": 0.9}
    assert settings_hash(identity, {}) == "-ea065a98"
    assert settings_hash(dict(reversed(identity.items())), {}) == "-ea065a98"


# Sources

SOURCES = {
    "script": '''"""Doc."""
from common import used
from harness import progress

def run(rate):
    """Doc."""
    return used.step(rate) * 0.5
''',
    "common/used": """import numpy as np
from common.deeper import square

FACTOR = 2

def step(rate):
    return square(rate) - FACTOR
""",
    "common/deeper": "def square(x):\n    return x**2\n",
    "common/unused": "x = 1\n",
    "harness/progress": "from harness import screen\n\ndef epochs(steps):\n    return steps // 2\n",
    "harness/screen": "def show():\n    print(f'{1}')\n",
}


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return the digest of a small project, some of whose text has been replaced."""
    monkeypatch.setattr(options, "ROOT", tmp_path)

    def digest(*changes: tuple[str, str, str]) -> str:
        sources = dict(SOURCES)
        for name, old, new in changes:
            assert old in sources[name]
            sources[name] = sources[name].replace(old, new)
        for name, text in sources.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        results.code_digest.cache_clear()
        return results.code_digest(tmp_path / "script.py")

    return digest


@pytest.mark.parametrize(
    "changes",
    [
        [("script", "0.5", "0.25")],
        [("common/used", "FACTOR = 2", "FACTOR = 3")],
        [("common/deeper", "x**2", "x**3")],
        [("harness/progress", "steps // 2", "steps // 3")],
    ],
)
def test_code_digest_counts_what_computes(digest: Any, changes: list[Any]) -> None:
    assert digest(*changes) != digest()


@pytest.mark.parametrize(
    "changes",
    [
        [("common/unused", "1", "2")],
        [("harness/screen", "show", "display")],
        [("script", "Doc.", "Other."), ("script", "    return", "    # λ\n    return")],
        [("script", "used\n", "used, unused\n"), ("common/unused", "x = 1\n", "")],
        [  # moved
            ("common/used", "FACTOR = 2\n", ""),
            ("common/deeper", "def", "FACTOR = 2\n\n\ndef"),
            ("common/used", "import square", "import square, FACTOR"),
        ],
    ],
)
def test_code_digest_does_not_count_what_computes_nothing(digest: Any, changes: list[Any]) -> None:
    assert digest(*changes) == digest()


def test_published_results_are_of_these_sources() -> None:
    # `results/` then says so to everyone who reproduces it. Whoever changes what is computed
    # computes them anew; whoever proves that no number changes may write the new digest into them.
    stored: dict[str, set[str]] = {}
    for path in options.ROOT.glob("results/*/*/*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        stored.setdefault(result["script"], set()).add(result["versions"]["code"])
    assert stored == {
        script: {results.code_digest(options.ROOT / f"{script}.py")} for script in stored
    }


# Writing JSON

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
)


@settings(max_examples=30)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_write_json_keeps_everything(tmp_path_factory: Any, content: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    write_json(path, content)
    assert json.loads(path.read_text(encoding="utf-8")) == content


def test_published_results_are_as_they_would_be_written_today(tmp_path: Path) -> None:
    # A row of a matrix, a histogram and a reading of a trace stand on one line each.
    one_of_each = {path.parent: path for path in options.ROOT.glob("results/*/*/*.json")}
    assert {path.name for path in one_of_each} >= {"ewc", "joint", "cal_importance_distribution"}
    for path in one_of_each.values():
        write_json(tmp_path / "again.json", json.loads(path.read_text(encoding="utf-8")))
        assert (tmp_path / "again.json").read_bytes() == path.read_bytes(), path


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
