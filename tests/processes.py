"""Scripts in this process, and in processes of their own that start in a moment: forked from a server with
the libraries loaded.

Importing torch takes seconds of CPU, which every fresh interpreter would spend again. A forked process is as
real as a fresh one: it has its own memory, signals, exit code and number. Its environment is that in which
the server started.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from scripts.pipeline.places import REPOSITORY, script_path

LIBRARIES = ["facenet_pytorch", "matplotlib.pyplot", "pandas", "safetensors.torch", "tqdm", "tyro"]
LIBRARIES += ["sklearn.linear_model", "torch._dynamo", "torch.utils.tensorboard", "torchvision"]
LIBRARIES += ["pytest"]  # multiprocessing imports the main module, here pytest's, into every process

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(LIBRARIES)


class ScriptProcess:
    """A running script, with the methods of `subprocess.Popen` that tests use.

    Args:
        path: the Python file; it runs as ``__main__``.
        arguments: its command line.
        folder: the current folder of the process.
        prepare: called in the process before the script; a function that can be pickled.
    """

    def __init__(
        self, path: Path, *arguments: object, folder: Path, prepare: Callable[[], None] | None = None
    ) -> None:
        self.arguments = [str(path), *map(str, arguments)]
        self._outputs = tempfile.TemporaryDirectory()
        arguments_of_run = (self.arguments, folder, self._outputs.name, prepare)
        self._process = _SERVER.Process(target=_run, args=arguments_of_run)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Exit code (minus the signal's number if a signal ended it), None while the script runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float = 180) -> CompletedProcess:
        """Wait for the end; result as of `subprocess.run`, with ``cpu_s``, the seconds of CPU it took.

        Raises:
            TimeoutError: it took longer than ``timeout`` seconds, and was killed.
        """
        self._process.join(timeout)
        ended = self.poll() is not None
        if not ended:
            self.kill()
            self._process.join()
        texts = {path.name: path.read_text() for path in Path(self._outputs.name).iterdir()}
        self._outputs.cleanup()
        if not ended:
            raise TimeoutError(f"{self.arguments} took longer than {timeout} s.\n{texts.get('stderr', '')}")
        result = CompletedProcess(
            self.arguments, self.poll(), texts.get("stdout", ""), texts.get("stderr", "")
        )
        result.cpu_s = float(texts.get("cpu_s", "nan"))
        return result


def run(path: Path, *arguments: object, folder: Path, timeout: float = 180) -> CompletedProcess:
    """Run a script to its end. See `ScriptProcess`."""
    return ScriptProcess(path, *arguments, folder=folder).wait(timeout)


def wait_until(condition: Callable[[], bool], process: ScriptProcess, timeout: float = 120) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: the process ended, or the time was over, before it held; the process is killed.
    """
    deadline = time.monotonic() + timeout
    while True:
        is_over = process.poll() is not None or time.monotonic() > deadline
        if condition():
            return
        if is_over:
            process.kill()
            raise AssertionError(f"{process.arguments} did not get there.\n{process.wait().stderr}")
        time.sleep(0.005)


def _run(arguments: list[str], folder: Path, outputs: str, prepare: Callable[[], None] | None) -> None:
    """Become the script: its output, current folder and arguments."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{outputs}/{name}", os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(folder)
    sys.argv = arguments
    if prepare is not None:
        prepare()
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    finally:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        Path(outputs, "cpu_s").write_text(f"{usage.ru_utime + usage.ru_stime}")


def exit_code(script: Path | str, *arguments: object) -> int:
    """Run a script, by its path or its name, as ``__main__`` in this process, quicker than in a new one."""
    path = str(script if isinstance(script, Path) else REPOSITORY / script_path(script))
    with mock.patch.object(sys, "argv", [path, *map(str, arguments)]):
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as ended:
            return int(ended.code or 0)
    raise AssertionError(f"{path} ended without an exit code")
