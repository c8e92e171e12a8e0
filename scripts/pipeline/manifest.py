"""``_stage.json``: the record of a stage's run; and the lock that keeps two runs apart."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.pipeline import files
from scripts.pipeline.errors import UserError
from scripts.pipeline.layers import REPOSITORY

STAGES_FOLDER = "_stages"
MANIFEST_NAME = "_stage.json"
LOCK_NAME = "lock"
KINDS = {"state": str, "fingerprint": str, "depends_on": dict, "options": dict, "numbers": dict}
REQUIRED = {"state", "fingerprint"}
RECORDED_PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pillow", "opencv-python-headless")
MODULE_OF_PACKAGE = {"pillow": "PIL", "opencv-python-headless": "cv2"}


def stage_folder(workspace: Path, name: str) -> Path:
    """Folder of a stage's record, journals and resolved options."""
    return workspace / STAGES_FOLDER / name


def read(workspace: Path, name: str) -> dict[str, Any] | None:
    """Record of a stage's last run, or None. An unreadable record counts as none."""
    try:
        record = files.read_json(stage_folder(workspace, name) / MANIFEST_NAME)
    except (FileNotFoundError, files.TextFileError):
        return None
    is_usable = record.keys() >= REQUIRED and all(
        isinstance(record[name], kind) for name, kind in KINDS.items() if name in record
    )
    return record if is_usable else None


def write(workspace: Path, name: str, record: dict[str, Any]) -> None:
    """Write the record of a stage's run."""
    files.write_json(stage_folder(workspace, name) / MANIFEST_NAME, record)


def now() -> str:
    """Current time in UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """Versions of Python and of the loaded packages, and the commit of the code."""
    versions = {"python": sys.version.split()[0]}
    for package in RECORDED_PACKAGES:
        if MODULE_OF_PACKAGE.get(package, package) in sys.modules:
            versions[package] = metadata.version(package)
    return {"versions": versions, "commit": _git_commit()}


def _git_commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None


@contextmanager
def locked(workspace: Path, name: str) -> Iterator[None]:
    """Hold the stage's lock; the system frees it when the process ends, however it ends.

    Raises:
        UserError: another process runs this stage in this workspace.
    """
    path = stage_folder(workspace, name) / LOCK_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            process = lock.read().strip() or "unknown"
            raise UserError(
                f"it is running already in {workspace} (process {process}), and two runs would write the "
                "same files. Wait for it, or give this one another --workspace."
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield
