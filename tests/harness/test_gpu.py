"""Every compiled program lowers for a GPU. None is needed: this stops before a GPU's compiler.

An operation that has no GPU kernel fails here. Nothing is run on a GPU, nor compiled for one.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from common import evaluation, importance, loop
from harness import process
from tests import runs
from tests.conftest import ROOT, SCRIPTS

import pytest
import tensorflow as tf

# Settings that lead to programs of their own, beside the defaults and all defects.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "ewc": [{"fisher": "exact"}, {"fisher": "labels"}],
    "mas": [{"output": "logits"}],
    "joint": [{"head": "multi"}, {"head": "shared"}],
    "anpyc_wo_np": [{"dropout": 0.0}, {"dropout": 0.2}, {"update": "explicit"}],
}


def clear_compiled() -> None:
    """Forget all compiled programs, so that the next call makes them anew."""
    for module in (loop, evaluation, importance):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


@pytest.fixture(scope="module")
def programs() -> Iterator[list[tuple[str, Any, Any]]]:
    """Yield every compiled program that the scripts use: its name, itself, its arguments."""
    original, seen = tf.function, {}

    def noting(**options: Any) -> Callable[[Any], Any]:
        def decorate(function: Any) -> Any:
            compiled, plain = original(**options)(function), original(function)

            @functools.wraps(function)
            def call(*arguments: Any) -> Any:
                seen.setdefault(id(compiled), (function.__qualname__, compiled, arguments))
                return plain(*arguments)  # nothing is compiled, which would take most of the time

            return call

        return decorate

    clear_compiled()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf, "function", noting)
        for script in SCRIPTS:
            module = importlib.import_module(script)
            for changes in ({}, runs.all_defects(script), *VARIANTS.get(script, [])):
                settings = runs.settings_of(script, **changes)
                given = {"strength": 0.1} if hasattr(settings, "strength") else {}
                module.run(settings, runs.TASKS[:2], **given)
    clear_compiled()
    yield list(seen.values())


@pytest.mark.slow
def test_every_compiled_program_lowers_for_a_gpu(programs: list[tuple[str, Any, Any]]) -> None:
    for name, compiled, arguments in programs:
        # Variables lie on a device, of which there is none here.
        tensors = tf.nest.map_structure(
            lambda leaf: leaf.value() if isinstance(leaf, tf.Variable) else leaf, arguments
        )
        lower = compiled.experimental_get_compiler_ir(*tensors)
        assert "ENTRY" in lower(stage="hlo", platform_name="GPU"), name


@pytest.mark.slow
def test_no_compiled_program_is_left_out(programs: list[tuple[str, Any, Any]]) -> None:
    written = set()
    for path in [*ROOT.glob("common/*.py"), *ROOT.glob("harness/*.py")]:
        for outer in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for node in ast.iter_child_nodes(outer):
                decorators = getattr(node, "decorator_list", ())
                if any("jit_compile" in ast.unparse(decorator) for decorator in decorators):
                    written.add(f"{outer.name}.<locals>.{node.name}")
    assert written
    assert written <= {name for name, _, _ in programs}


@pytest.mark.slow
def test_an_operation_without_a_gpu_kernel_is_noticed() -> None:
    @tf.function(jit_compile=True)
    def program(number: tf.Tensor) -> tf.Tensor:
        return tf.strings.length(tf.strings.as_string(number))

    with pytest.raises(ValueError, match="AsString"):
        program.experimental_get_compiler_ir(tf.constant(1.0))(stage="hlo", platform_name="GPU")


def test_a_gpu_computes_reproducibly_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    config, asked = tf.config, []
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: ["first", "second"])
    monkeypatch.setattr(config, "set_visible_devices", lambda gpus, kind: asked.append(gpus))
    for name in ("set_memory_growth", "enable_tensor_float_32_execution"):
        monkeypatch.setattr(config.experimental, name, lambda *given: asked.append(given))
    monkeypatch.setattr(
        config.experimental, "enable_op_determinism", lambda: asked.append("deterministic")
    )
    monkeypatch.setattr(
        config.experimental, "get_device_details", lambda gpu: {"device_name": f"the {gpu}"}
    )
    assert process.set_up_device("auto") == "the first"
    assert asked == [["first"], ("first", True), "deterministic", (False,)]
