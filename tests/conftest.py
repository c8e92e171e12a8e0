"""What all tests share."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import processes

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent


# One CPU thread: the networks here are tiny, and results must not depend on the machine's cores. Set before
# torch is loaded, so that it also holds in the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def repository() -> Path:
    """Folder of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the reference numbers."""
    return TESTS / "golden"


@pytest.fixture
def current_folder(tmp_path: Path) -> Path:
    """Empty folder for scripts to run in."""
    folder = tmp_path / "current_folder"
    folder.mkdir()
    return folder


@pytest.fixture
def start_script(current_folder: Path) -> Iterator[Callable[..., processes.ScriptProcess]]:
    """Function that starts a Python file in a process of its own: ``start_script(path, *arguments)``."""
    started: list[processes.ScriptProcess] = []

    def start(path: Path, *arguments: object) -> processes.ScriptProcess:
        started.append(processes.ScriptProcess(path, *arguments, folder=current_folder))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def run_script(start_script: Callable[..., processes.ScriptProcess]):
    """Function that runs a Python file in a process of its own: ``run_script(path, *arguments)``.

    Returns the `subprocess.CompletedProcess` with text output and ``cpu_s``, the seconds of CPU that it took.
    The process is forked from one that has torch loaded; `run_interpreter` starts a new one.
    """

    def run(path: Path, *arguments: object, timeout: float = 180) -> subprocess.CompletedProcess:
        return start_script(path, *arguments).wait(timeout)

    return run


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]):
    """Function that runs a script by `processes.exit_code`: ``run_here(script, *arguments)``.

    Returns what it wrote (``out`` and ``err``); fails unless its exit code is ``expect``.
    """

    def run(script: Path | str, *arguments: object, expect: int = 0):
        code = processes.exit_code(script, *arguments)
        written = capsys.readouterr()
        assert code == expect, written.err
        return written

    return run


@pytest.fixture
def run_interpreter(current_folder: Path):
    """As `run_script`, but in a new interpreter: for what depends on what is imported, or on its start.

    ``cpu_s`` is the CPU's time, since the clock would also count what else the machine does.
    """

    def cpu_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def run(path: Path, *arguments: object, timeout: float = 180, **options: object):
        before_s = cpu_s()
        result = subprocess.run(
            [sys.executable, str(path), *map(str, arguments)],
            cwd=current_folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **options,
        )
        result.cpu_s = cpu_s() - before_s
        return result

    return run
