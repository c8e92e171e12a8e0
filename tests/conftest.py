"""What all tests share."""

import os
import sys
from pathlib import Path

import pytest

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
def run_script(tmp_path: Path):
    """Function that runs a Python file in a process of its own: ``run_script(path, *arguments)``.

    Returns the `subprocess.CompletedProcess` with text output and ``cpu_s``, the seconds of CPU that it took
    (the clock would also count what else the machine does). The current folder is empty.
    """
    import resource
    import subprocess

    def cpu_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def run(path: Path, *arguments: object, timeout: float = 180, **options: object):
        folder = tmp_path / "current_folder"
        folder.mkdir(exist_ok=True)
        before_s = cpu_s()
        result = subprocess.run(
            [sys.executable, str(path), *map(str, arguments)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **options,
        )
        result.cpu_s = cpu_s() - before_s
        return result

    return run
