"""What a command needs of its process and machine: exit status, streams, cores, memory, device."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn, cast

import common
from common import data
from harness import options, results

_SHOW_CURSOR = b"\x1b[?25h"  # which a bar hides
_SHOW_AT_END = "import sys; sys.stderr.buffer.write(sys.stdin.buffer.read())"
_SHOW_SECONDS = 5.0  # at most, should another process hold the pipe
_LOOK_FOR_GPU = "import tensorflow; tensorflow.config.list_physical_devices('GPU')"


@contextlib.contextmanager
def errors_in_one_line(name: str, folder: Path, interrupted: str, safe: str = "") -> Iterator[None]:
    """Ends the process on bad input (2) and on Ctrl-C (130), with one line on standard error.

    Args:
        name: of the script.
        folder: of the results, for errors that name no file.
        interrupted: what to do after Ctrl-C.
        safe: what follows an error of the file system.
    """
    line = f"\n{name}: interrupted; {interrupted}"

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _within_tensorflow(frame):
            _end_at_once(line)
        raise KeyboardInterrupt

    # Else it is ignored, as in the background of a shell, or is somebody else's.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        print(line, file=sys.stderr)
        sys.exit(130)
    except (data.DataError, options.UsageError, results.ResultError) as error:
        _refuse(name, str(error))
    except OSError as error:
        _refuse(name, f"{error.filename or folder}: {error.strerror or error}{safe}")
    finally:
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _refuse(name: str, text: str) -> NoReturn:
    print(f"{name}: error: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(2)


def _within_tensorflow(frame: FrameType | None) -> bool:
    names = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_stack(frame))
    return any(name.partition(".")[0] == "tensorflow" for name in names)


def _end_at_once(line: str) -> NoReturn:
    """Ends the process as after Ctrl-C, without an exception.

    TensorFlow calls Python from native code, which an exception can crash, or which loses it. What
    is needed to go on is in files, and locks go with the process.
    """
    try:
        if os.isatty(1):
            os.write(1, _SHOW_CURSOR)
        os.write(2, f"{line}\n".encode())
    finally:
        os._exit(130)


def usable_streams() -> None:
    """Lets a script print where a stream is closed, or its encoding has no λ."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # takes the numbers of closed streams
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (stays open)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def own_figure_settings() -> None:
    """Lets Matplotlib, not imported yet, start whatever the user's environment says of figures.

    A backend that is not there, as that of a notebook, makes the import fail; settings that do not
    fit, or fonts that are missing, are told at length. `style` draws with settings of its own.
    """
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = os.devnull
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def reason(error: Exception) -> str:
    """Returns in one line why something failed."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def writable(folder: Path, flag: str) -> Path:
    """Makes the folder of a flag, and tries to write there.

    Raises:
        UsageError: that fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise options.UsageError(
            f"cannot write to {folder}: {error.strerror}; choose another folder with {flag}"
        ) from error


def cores() -> int:
    """Returns how many cores this process may use, or its container if that has less."""
    least = _cores_of_process()
    with contextlib.suppress(OSError, ValueError):  # no such file; no number: no limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        least = min(least, max(1, int(quota) // int(period)))
    return least


def threads() -> str:
    """Returns how many threads TensorFlow takes for a kernel: "1", or "all of 8" by default."""
    return os.environ.get("TF_NUM_INTRAOP_THREADS") or f"all of {_cores_of_process()}"


def _cores_of_process() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """Returns the bytes of memory of the machine, or of the container if that has less."""
    least = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no such file; no number: no limit
            least = min(least, int(Path("/sys/fs/cgroup", limit).read_text()))
    return least


@contextlib.contextmanager
def silent_unless_failing() -> Iterator[None]:
    """Keeps back what is written to standard error, and shows it only on an error or sudden death.

    TensorFlow's libraries write there while they are loaded, before any log level counts. They may
    also abort the process, or exit: then nothing of ours runs any more, and another process shows
    what it has kept. The line after Ctrl-C is shown, and nothing else.
    """
    sys.stderr.flush()
    keeper = _keeper()
    if keeper is None:
        yield
        return
    saved, usual = os.dup(2), signal.getsignal(signal.SIGINT)

    def show_from_now_on() -> None:
        keeper.kill()  # before the pipe ends
        keeper.wait()
        os.dup2(saved, 2)

    def interrupt(number: int, frame: FrameType | None) -> None:
        show_from_now_on()
        if callable(usual):
            usual(number, frame)

    if callable(usual):  # else Ctrl-C is ignored
        signal.signal(signal.SIGINT, interrupt)
    try:
        with cast(IO[bytes], keeper.stdin) as pipe:
            os.dup2(pipe.fileno(), 2)
        yield
    except Exception:
        os.dup2(saved, 2)  # and so ends the pipe
        with contextlib.suppress(subprocess.TimeoutExpired):
            keeper.wait(_SHOW_SECONDS)
        raise
    finally:
        show_from_now_on()
        os.close(saved)
        if callable(usual):
            signal.signal(signal.SIGINT, usual)


def _keeper() -> subprocess.Popen[bytes] | None:
    """Starts a process that writes its input to standard error as soon as that ends.

    Returns:
        The process; None if there can be none, or none that outlives this one.
    """
    if os.getpid() == 1:  # all processes of a container end with the first
        return None
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _SHOW_AT_END],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C does not reach it
        )
    except OSError:
        return None


def set_up_device(wanted: str) -> str:
    """Makes TensorFlow use a device from now on, and returns its name.

    On a GPU its kernels are deterministic, and products are of float32, not of TensorFloat-32.

    Args:
        wanted: "cpu", "gpu" or "auto" (a GPU if there is one).

    Raises:
        UsageError: no GPU was found where one is wanted.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if wanted == "gpu" and not gpus:
        _show_why_no_gpu()
        raise options.UsageError("--device gpu: TensorFlow finds no GPU; use --device cpu")
    if wanted == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        return "cpu"
    tf.config.set_visible_devices(gpus[:1], "GPU")
    tf.config.experimental.set_memory_growth(gpus[0], True)
    tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu"))


def _show_why_no_gpu() -> None:
    """Has a process that logs everything look for a GPU; this one's log level is fixed by now."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != common.QUIET:
        return  # the user's own
    with contextlib.suppress(OSError):  # no process can be started
        subprocess.run(
            [sys.executable, "-P", "-c", _LOOK_FOR_GPU],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        )
