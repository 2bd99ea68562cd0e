"""What the tests of scripts share: a tiny data set, and the scripts run on it."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib
import io
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

# The scripts' numbers are compared between processes, all of them on the CPU.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# Half of the time goes into compiling: what one process, or an earlier one, has compiled is kept,
# for this version of TensorFlow on this machine. (Before 2.21 a process may read a program that
# another is still writing.)
TENSORFLOW = metadata.version("tensorflow")
if tuple(map(int, TENSORFLOW.split(".")[:2])) >= (2, 21):
    kept = Path(tempfile.gettempdir(), f"compiled-tests-{os.getuid()}-tensorflow-{TENSORFLOW}")
    kept.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("TF_XLA_FLAGS", f"--tf_xla_persistent_cache_directory={kept}")

from tests.idx import write_idx_dataset  # noqa: E402 (TensorFlow reads the environment)

# No test asserts how long something takes.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

ROOT = Path(__file__).resolve().parents[1]

# Files whose runs have the same shapes (`tests.runs`): one process compiles their programs once.
SAME_SHAPES = ("test_baselines", "test_anpyc", "test_distribution", "test_own_methods")
# Those that take longest begin first, so that both processes end at about the same time.
LONGEST = (*SAME_SHAPES, "test_command_line", "test_lockstep", "test_importance", "test_training")

# A run of a second or less that nevertheless learns; a script gets those flags that it has.
TINY = {
    "tasks": "2",
    "epochs": "2",
    "batch_size": "20",
    "hidden": "16 8",
    "learning_rate": "0.5",
    "dropout": "0.2",
    "strength": "3",
    "seeds": "0",
    "train_examples": "300",
    "device": "cpu",
}
# What a script needs beyond that.
PRUNING = ["--prune-percent", "20", "--prune-step", "10", "--retrain-epochs", "1"]
EXTRA = {"anpyc_wi_np": PRUNING, "cal_importance_distribution": PRUNING}


def _is_script(path: Path) -> bool:
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    return {"Settings", "run"} <= {getattr(node, "name", "") for node in nodes}


SCRIPTS = [path.stem for path in sorted(ROOT.glob("*.py")) if _is_script(path)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that all processes end at about the same time."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Give the tests of a file, or of the files with the same shapes, to one process."""

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.split("::")[0]
            return "same shapes" if Path(path).stem in SAME_SHAPES else path

    config.option.loadscopereorder = False  # the order is that of the items
    return Scheduler(config, log)


@pytest.fixture(scope="session", autouse=True)
def usual_group() -> Iterator[int]:
    """Let an importance pass compute 200 images together, and return how many it usually does.

    Ten batches of 100, written out in one program, take seconds to compile; two do not.
    """
    from common import importance

    usual = importance._GROUP
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance, "_GROUP", 200)
        yield usual


@pytest.fixture(params=SCRIPTS)
def script(request: pytest.FixtureRequest) -> str:
    """Return the name of a script; a test that asks for it runs for every script."""
    return request.param


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set of 14 x 14 pixels, 400 training and 200 test images."""
    folder = tmp_path_factory.mktemp("tiny") / "data"
    return write_idx_dataset(folder, train=5400, test=200, size=(14, 14))


@pytest.fixture(scope="session")
def tiny_arguments(tiny_data: Path) -> dict[str, list[str]]:
    """Return every script's arguments for a tiny run; later ones override them."""
    from harness import options

    arguments = {}
    # All of them now, since modules that load lazily must not do so in several threads at once.
    for script in SCRIPTS:
        declared = options.options_of(importlib.import_module(script).Settings)
        arguments[script] = ["--data-dir", str(tiny_data), *EXTRA.get(script, [])]
        for name, value in TINY.items():
            if name in declared:
                arguments[script] += [declared[name].flag, *value.split()]
    return arguments


@pytest.fixture(scope="session")
def start_script(
    tiny_arguments: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.Popen[str]]:
    """Return the function that starts a script as a process of its own, on the tiny data.

    Its arguments: the script; working directory; further flags; `closed`, numbers of closed
    streams; `encoding` of the others.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as under nohup or "&": not for children
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(
        script: str,
        cwd: Path,
        *arguments: object,
        closed: tuple[int, ...] = (),
        encoding: str = "utf-8",
    ) -> subprocess.Popen[str]:
        environment = {**os.environ, "COLUMNS": "80"}
        environment["PYTHONFAULTHANDLER"] = "1"  # where it crashed, if it does
        environment.pop("PYTHONPATH", None)
        environment["PYTHONIOENCODING"] = encoding
        flags = [*tiny_arguments[script], *map(str, arguments)]
        command = [sys.executable, str(ROOT / f"{script}.py"), *flags]
        if closed:
            closing = " ".join(f"{number}>&-" for number in closed)
            command = ["sh", "-c", f'exec "$@" {closing}', "sh", *command]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment,
            text=True,
            encoding=encoding,
        )

    return start


@dataclasses.dataclass
class Ended:
    """How a script ended: exit status, standard output, standard error."""

    status: int
    out: str
    err: str

    def assert_refused(self, *parts: object) -> None:
        """Assert status 2 and one line on standard error, an error that has certain parts."""
        assert self.status == 2, self
        assert self.err.endswith("\n") and self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err + self.out
        assert all(str(part) in self.err for part in (": error: ", *parts)), self.err


@pytest.fixture(scope="session")
def call_script(tiny_arguments: dict[str, list[str]]) -> Callable[..., Ended]:
    """Return the function that runs a script within this process, which saves seconds.

    Its arguments: the script; flags; `out`, to which it writes its output. Figures are drawn where
    a flag asks for them. What a script's `main` does not catch comes out as the exception that it
    is.
    """

    def call(script: str, *arguments: object, out: io.StringIO | None = None) -> Ended:
        from harness import experiment

        module = importlib.import_module(script)
        own_report = [module.report] if hasattr(module, "report") else []
        flags = [*tiny_arguments[script], "--figures", "none", *map(str, arguments)]
        out, err = out or io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            patch.setattr(sys, "argv", [f"{script}.py", *flags])
            experiment.main(
                module.Settings, module.run, module.__file__, module.__doc__, *own_report
            )
        return Ended(ended.value.code or 0, out.getvalue(), err.getvalue())

    return call
