"""What the scripts share.

`from common import training` loads a module when it is first used, not before, so that a script
answers `--help` and finds bad arguments without waiting seconds for TensorFlow.

Where Python is too old, or packages are not installed, a script ends here with one line.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType

OLDEST_PYTHON = (3, 11)
PACKAGES = ("tensorflow", "numpy", "matplotlib", "rich")


def _require_python_and_packages() -> None:
    """Ends a script of this project that cannot run, with status 2 and one line on stderr.

    Raises:
        ImportError: likewise, where no such script imports this.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    venv = "python3 -m venv .venv"
    if sys.platform == "win32":
        lack = "Windows runs this only through its Linux subsystem, WSL"
    elif sys.version_info < OLDEST_PYTHON:
        needed, found = (".".join(map(str, v)) for v in (OLDEST_PYTHON, sys.version_info[:3]))
        lack = f"Python {needed} or newer is needed, and {sys.executable} is {found}"
        venv = f"python{needed} -m venv --clear .venv"  # one of the older Python may be there
    elif missing:
        lack = f"{sys.executable} has no {', '.join(missing)}"
    else:
        return
    root = Path(__file__).resolve().parents[1]
    main = Path(getattr(sys.modules["__main__"], "__file__", None) or os.devnull).resolve()
    is_script = root in main.parents and "site-packages" not in main.parts  # as in .venv/
    text = f"{lack}; install with `{venv} && .venv/bin/python -m pip install -r requirements.txt`"
    if not is_script:
        raise ImportError(text)
    run = f"run with `.venv/bin/python {main.relative_to(root)}`"
    print(f"{main.stem}: error: {text}, {run}", file=sys.stderr)
    sys.exit(2)


_require_python_and_packages()

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
