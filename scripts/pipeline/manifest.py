"""``_stage.json``: the record of a stage's run."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from scripts.pipeline import files

STAGES_FOLDER = "_stages"
MANIFEST_NAME = "_stage.json"
LOCK_NAME = "lock"
HEARTBEAT_NAME = "heartbeat"
HEARTBEAT_INTERVAL_S = 1.0
KINDS = {
    **dict.fromkeys(("state", "fingerprint"), str),
    **dict.fromkeys(("depends_on", "options", "numbers", "counts", "file_counts", "sha256"), dict),
    **dict.fromkeys(("attempts", "look_at", "outputs"), list),
}
REQUIRED = {"state", "fingerprint"}


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
