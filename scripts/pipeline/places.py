"""Where the repository and its scripts are."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PRESETS = REPOSITORY / "scripts" / "presets"
SCRIPT_FOLDERS = ("scripts", "scripts/bundle")


def script_path(name: str) -> str:
    """Path of a script, relative to the repository; one that does not exist counts as one of ``scripts``."""
    paths = [f"{folder}/{name}.py" for folder in SCRIPT_FOLDERS]
    return next((path for path in paths if (REPOSITORY / path).is_file()), paths[0])
