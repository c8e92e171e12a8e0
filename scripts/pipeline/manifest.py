"""``_stage.json``: the record of a stage's run; and the lock that keeps two runs apart."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from scripts.pipeline import files
from scripts.pipeline.errors import UserError

STAGES_FOLDER = "_stages"
MANIFEST_NAME = "_stage.json"
LOCK_NAME = "lock"
HEARTBEAT_NAME = "heartbeat"
HEARTBEAT_INTERVAL_S = 1.0


def stage_folder(workspace: Path, name: str) -> Path:
    """Folder of a stage's record, journals and resolved options."""
    return workspace / STAGES_FOLDER / name


def read(workspace: Path, name: str) -> dict[str, Any] | None:
    """Record of a stage's last run, or None. An unreadable record counts as none."""
    try:
        record = files.read_json(stage_folder(workspace, name) / MANIFEST_NAME)
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) and "fingerprint" in record else None


def write(workspace: Path, name: str, record: dict[str, Any]) -> None:
    """Write the record of a stage's run."""
    files.write_json(stage_folder(workspace, name) / MANIFEST_NAME, record)


def now() -> str:
    """Current time in UTC, ISO 8601, to the second."""
    return to_text(time.time())


def to_text(seconds: float) -> str:
    """Time since the epoch in UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


class Heartbeat:
    """A file whose time of change says when a run was last alive: a killed one cannot say when it ended."""

    def __init__(self, workspace: Path, name: str) -> None:
        self.path = stage_folder(workspace, name) / HEARTBEAT_NAME
        self._beat_at = float("-inf")

    def beat(self) -> None:
        """Give a sign of life, at most once a second."""
        if time.monotonic() - self._beat_at >= HEARTBEAT_INTERVAL_S:
            self._beat_at = time.monotonic()
            with suppress(OSError):  # without it only the time of a killed run would be unknown
                self.path.touch()

    def last(self) -> float | None:
        """Time of the last sign, as of ``time.time``; None if there was none."""
        return self.path.stat().st_mtime if self.path.exists() else None


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
