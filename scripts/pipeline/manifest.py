"""``_stage.json``: the record of a stage's run."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.pipeline import files
from scripts.pipeline.layers import REPOSITORY

STAGES_FOLDER = "_stages"
MANIFEST_NAME = "_stage.json"
RECORDED_PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pillow", "opencv-python-headless")
MODULE_OF_PACKAGE = {"pillow": "PIL", "opencv-python-headless": "cv2"}


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
