"""What the scripts share.

`from common import training` loads a module when it is first used, not before, so that a script
answers `--help` and finds bad arguments without waiting seconds for TensorFlow.
"""

import importlib.util
import os
import sys
from types import ModuleType, TracebackType

# TensorFlow reads these when it is loaded: no log lines among a script's own. All programs here are
# compiled by XLA, which has no use for oneDNN's kernels.
QUIET = "3"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", QUIET)
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


_show_uncaught = sys.excepthook


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tells of Ctrl-C in one line where nothing else does: while modules are loaded."""
    # Python 3.11 wraps what is raised within `__set_name__`.
    if KeyboardInterrupt not in (kind, type(error.__cause__)):
        _show_uncaught(kind, error, trace)
        return
    name, _ = os.path.splitext(os.path.basename(sys.argv[0]))
    print(f"\n{name}: interrupted", file=sys.stderr)
    sys.exit(130)


if hasattr(sys.modules["__main__"], "__file__"):  # in an interactive session, Ctrl-C ends nothing
    sys.excepthook = _show


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
