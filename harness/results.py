"""What the result of a run is: its fields, its name, its JSON, and the sources that made it.

A run is one (script, settings, λ, seed). Its result is `RESULTS/<script>/<id>.json`, with the
fields

    schema               number of this description
    status               "finished" or "diverged"
    script               name without .py
    settings             every setting that changes numbers, resolved; data: SHA-256 of the files.
                         A setting younger than the file is not in it; it had its default
    as_released          defects of the release in force, D-numbers
    lambda, seed         of this run; lambda null where the method has none
    accuracy             test accuracy, rows: after task i, columns: tasks j ≤ i; fractions. Joint
                         training: one row of T. null if diverged
    validation_accuracy  likewise on the validation set
    metrics              ACC, F, BWT, F_max, LA (`common.metrics`), fractions or null; where there
                         is a trace also min_ACC, WC_ACC
    trace                of --evaluate-every, absent without it: a list of task, phase, epoch, step,
                         accuracy, the test accuracy on all tasks so far, fractions. step counts the
                         training steps of the whole run; epoch 0 is directly after a pruning,
                         before retraining
    sparsity             one entry a pruning round: task, percent, overall and each tensor; absent
                         where nothing is pruned
    omega                of the accumulated Ω at the end, one entry for all tensors together (all)
                         and each one (W1, b1, W2, b2; V, c where the head is held too): zeros, the
                         share of exact zeros; decades, the counts of the values above 0 in five
                         bins a decade from 1e-20 to 1e5, what lies beyond in the outermost bins;
                         absent for methods without Ω, and if diverged
    path, importance     of cal_importance_distribution alone: accuracy and sparsity along the
                         pruning path; statistics and histograms of EWC, MAS and ANPyC before and
                         after it
    diverged             where and what to lower; absent if finished
    seconds              by the clock, all parts of an interrupted run together: with the time for
                         which its process was stopped (Ctrl-Z), without that between two parts
    versions             python, tensorflow, numpy, platform, device; threads of a kernel, or all
                         of so many cores; code: of the sources (`code_digest`). The last two are
                         not in files from before they were stored
    versions_before      of earlier parts of an interrupted run that was continued with others, a
                         list of versions; absent if all parts had the same
    date                 when it ended, UTC

`harness.validity` says whether a stored one can be right.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from common import metrics
from harness import options

Result = Mapping[str, Any]

SCHEMA = 1
NUMBERS = ("progress",)  # the modules of harness/ that numbers depend on: the dealing out of epochs


class ResultError(ValueError):
    """A stored file that cannot be used; the message is one line for the user."""


def number(value: float) -> str:
    """Returns the shortest text of a number: 3.0 -> 3."""
    return repr(float(value)).removesuffix(".0")


def is_joint(accuracy: Sequence[Sequence[float]]) -> bool:
    """Whether accuracies are the single row of a method that learns all tasks at once."""
    return len(accuracy) < len(accuracy[-1])


def metrics_of(
    accuracy: Sequence[Sequence[float]], trace: metrics.Trace | None = None
) -> dict[str, float | None]:
    """Returns the metrics of a run: of a matrix, or of joint training's single row of T.

    Args:
        accuracy: rows of the matrix.
        trace: of the run; None or empty for none.
    """
    if is_joint(accuracy):
        return metrics.joint_summary(accuracy[0])
    return metrics.summary(accuracy, trace or None)


def validation_accuracy(result: Result) -> float:
    """Returns the validation accuracy after the last task, mean over tasks, of a finished run."""
    last = result["validation_accuracy"][-1]
    return float(sum(last) / len(last))


def run_name(strength: float | None, seed: int) -> str:
    """Returns the name of a run with its script's default settings; λ None where there is none."""
    return ("" if strength is None else f"lambda{number(strength)}_") + f"seed{seed}"


def settings_hash(identity: Mapping[str, Any], default: Mapping[str, Any]) -> str:
    """Returns what is added to a run's name: "" for the defaults, else "-" and eight hex digits.

    Only what differs from the defaults counts, so that a new setting renames no old run.

    Args:
        identity: everything but λ and seed that changes numbers, JSON.
        default: the same for the script's defaults on the shipped data.
    """
    changed = {
        key: value for key, value in identity.items() if key not in default or default[key] != value
    }
    if not changed:
        return ""
    text = json.dumps(changed, sort_keys=True)
    return "-" + hashlib.sha256(text.encode()).hexdigest()[:8]


@functools.cache
def code_digest(script: Path) -> str:
    """Returns twelve hex digits that tell the sources of a result from others.

    They are the start of a SHA-256 over the statements of the script, of every module of common/
    that it imports, directly or through others, and of `NUMBERS`. What changes no number has no
    part in it: where a statement stands, imports, docstrings, comments, formatting and the texts
    of f-strings.

    Args:
        script: path of the script.

    Raises:
        OSError: a source cannot be read.
        SyntaxError: a source is not Python.
    """
    trees: dict[Path, ast.Module] = {}
    waiting = [script, *(options.ROOT / "harness" / f"{name}.py" for name in NUMBERS)]
    while waiting:
        path = waiting.pop()
        if path not in trees:
            trees[path] = ast.parse(path.read_bytes())
            waiting += _imported(trees[path])
    return _digest(trees.values(), _Bare())


@functools.cache
def sources_digest(*paths: str) -> str:
    """Returns twelve hex digits that tell some sources from others, as `code_digest` does.

    The texts of f-strings count: they may be shown.

    Args:
        paths: of the sources, and of no others that they import.

    Raises:
        OSError: a source cannot be read.
        SyntaxError: a source is not Python.
    """
    return _digest((ast.parse(Path(path).read_bytes()) for path in paths), _BareWithTexts())


def _digest(trees: Iterable[ast.Module], bare: _Bare) -> str:
    statements = (ast.unparse(bare.visit(node)) for tree in trees for node in tree.body)
    # Sorted, so that it does not matter in which module one stands.
    return hashlib.sha256("\n".join(sorted(filter(None, statements))).encode()).hexdigest()[:12]


def _imported(tree: ast.Module) -> list[Path]:
    """Returns the modules of common/ that a module imports."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    paths = [
        options.ROOT / f"{name.replace('.', '/')}.py"
        for name in names
        if name.startswith("common.")
    ]
    return [path for path in paths if path.exists()]


class _Bare(ast.NodeTransformer):
    """Takes from a syntax tree what changes no number, or differs between versions of Python."""

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return ast.Module([], [])  # not None, in whose place a body would be one shorter
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return ast.Module([], [])
        if isinstance(node, ast.JoinedStr):
            return ast.Constant("f")
        if isinstance(node, ast.Constant):
            return ast.Constant(node.value)
        return self.generic_visit(node)


class _BareWithTexts(_Bare):
    """Keeps the texts of f-strings, in a form that is the same in all versions of Python."""

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.JoinedStr):
            return self._tuple(node.values)
        if isinstance(node, ast.FormattedValue):
            return self._tuple([node.value, ast.Constant(node.conversion), node.format_spec])
        return super().visit(node)

    def _tuple(self, parts: Sequence[ast.AST | None]) -> ast.AST:
        bare: list[Any] = [self.visit(part) for part in parts if part]
        return ast.Tuple(bare, ast.Load())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file, row by row, whole or not at all.

    Raises:
        ValueError, TypeError: content is no JSON; NaN is none.
        OSError: the file cannot be written.
    """
    # There and back, so that only lists, dicts with text as keys, and scalars are left.
    plain = json.loads(json.dumps(content, allow_nan=False))
    with replacing(path) as file:
        file.write(_rows(plain).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _rows(value: Any, end: str = "\n") -> str:
    """Returns JSON as text, a line for every field and every row.

    A list of scalars is a row, and so is each element of another list: a row of a matrix, a
    histogram, a reading of a trace.

    Args:
        value: JSON.
        end: what the last bracket follows: the end of a line, and spaces.
    """
    begin = end + " "
    if value and isinstance(value, dict):
        fields = [f"{begin}{json.dumps(name)}: {_rows(value[name], begin)}" for name in value]
        return "{" + ",".join(fields) + end + "}"
    if isinstance(value, list) and any(isinstance(element, (list, dict)) for element in value):
        return "[" + ",".join(begin + json.dumps(element) for element in value) + end + "]"
    return json.dumps(value)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file that replaces another one in the end, whole or not at all.

    Meanwhile it is `.NAME.TOKEN` in the same folder, a name that no other process has.

    Args:
        path: of the other one.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
