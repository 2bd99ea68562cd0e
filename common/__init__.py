"""What the methods compute: no files of runs, no terminal, no tables.

`from common import training` loads a module when it is first used, not before, so that a script
answers `--help` and finds bad arguments without waiting seconds for TensorFlow.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from types import ModuleType

# TensorFlow reads these when it is loaded: no log lines among a script's own. All programs here are
# compiled by XLA, which has no use for oneDNN's kernels.
QUIET = "3"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", QUIET)
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def lazily(package: str) -> Callable[[str], ModuleType]:
    """Returns a package's `__getattr__`, which loads a submodule at its first attribute access."""

    def load(name: str) -> ModuleType:
        fullname = f"{package}.{name}"
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[fullname] = module
        setattr(sys.modules[package], name, module)
        spec.loader.exec_module(module)
        return module

    return load


__getattr__ = lazily(__name__)
