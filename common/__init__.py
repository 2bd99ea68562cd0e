"""What the scripts share.

`from common import training` loads a module when it is first used, not before, so that a script
answers `--help` and finds bad arguments without waiting seconds for TensorFlow.
"""

import importlib.util
import os
import sys
from types import ModuleType

# TensorFlow reads these when it is loaded: no log lines among a script's own. All programs here are
# compiled by XLA, which has no use for oneDNN's kernels.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def __getattr__(name: str) -> ModuleType:
    """Returns the submodule `name`, to be executed at its first attribute access."""
    fullname = f"{__name__}.{name}"
    spec = importlib.util.find_spec(fullname)
    if spec is None or spec.loader is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[fullname] = globals()[name] = module
    spec.loader.exec_module(module)
    return module
