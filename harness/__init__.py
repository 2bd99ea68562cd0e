"""How one run is run: settings, command line, progress, results, figures. Imports common/ only.

A script comes here before it loads a package of others: where Python is too old, or packages are
not installed, it ends here with one line.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import TracebackType

from common import lazily

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
        needed, present = (".".join(map(str, v)) for v in (OLDEST_PYTHON, sys.version_info[:3]))
        lack = f"Python {needed} or newer is needed, and {sys.executable} is {present}"
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

__getattr__ = lazily(__name__)
