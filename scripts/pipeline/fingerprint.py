"""Fingerprints: what a result depends on, in one number and in a list that can be compared."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from scripts.pipeline import files, manifest
from scripts.pipeline.options import ToolOptions, results_options
from scripts.pipeline.spec import Input, StageSpec

CACHE_NAME = "sha256_cache.json"
CLOCK_TICK_NS = 100_000_000  # far more than the smallest step of any file system's clock


def cached_sha256(workspace: Path, path: Path) -> str:
    """SHA-256 of a file, remembered in the workspace as long as the system says that it is the same file.

    Besides size and time of writing, the inode and its time of change count: no program can set that one
    back. A file that was changed just now is not remembered, since the clock could not tell a second change.
    """
    cache_path = workspace / manifest.STAGES_FOLDER / CACHE_NAME
    try:
        cache = files.read_json(cache_path)
    except (FileNotFoundError, files.TextFileError):
        cache = {}
    state = path.stat()
    entry = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
    known = cache.get(str(path))
    is_entry = isinstance(known, list) and len(known) == len(entry) + 1 and isinstance(known[-1], str)
    if is_entry and known[:-1] == entry:
        return known[-1]
    now_ns = time.time_ns()
    digest = files.sha256_file(path)
    if abs(now_ns - state.st_ctime_ns) > CLOCK_TICK_NS:
        with suppress(OSError):  # in a workspace that can only be read, it is calculated each time
            files.write_json(cache_path, {**cache, str(path): [*entry, digest]})
    return digest


def dependencies(
    spec: StageSpec,
    options: ToolOptions,
    workspace: Path,
    state: Callable[[Input, Path], str] | None = None,
) -> dict[str, Any]:
    """Everything that the stage's result depends on, as plain JSON: version, options and inputs.

    Args:
        spec, options, workspace: of the stage.
        state: what identifies an input; None: `input_state`.
    """
    identify = state or input_state
    return {
        "stage": spec.name,
        "version": spec.version,
        "options": results_options(options),
        "inputs": {item.path: identify(item, workspace) for item in spec.inputs_for(options)},
    }


def fingerprint(depends_on: Mapping[str, Any]) -> str:
    """SHA-256 of the dependencies in a canonical spelling."""
    text = json.dumps(depends_on, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def input_state(item: Input, workspace: Path) -> str:
    """What identifies an input: a file by its contents, a folder by its maker's fingerprint.

    A folder that no recorded stage made counts by the names and sizes of its files.
    """
    path = item.locate(workspace)
    if not path.exists():
        return "absent"
    if not path.is_dir():
        return f"sha256 {cached_sha256(workspace, path)}"
    maker = manifest.read(workspace, item.made_by) if item.made_by else None
    return f"stage {maker['fingerprint']}" if maker else f"folder {_listing(path)}"


def _listing(folder: Path) -> str:
    entries = sorted((path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(json.dumps(entries).encode("utf-8")).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line per option, input or version that differs, with the old and the new value."""
    lines = []
    if old.get("version") != new.get("version"):
        lines.append(f"version of the script: was {old.get('version')}, is {new.get('version')}")
    for name in {**old.get("options", {}), **new["options"]}:
        was, now = old.get("options", {}).get(name), new["options"].get(name)
        if was != now:
            lines.append(f"--{name.replace('_', '-')}: was {_spell(was)}, is {_spell(now)}")
    for name in {**old.get("inputs", {}), **new["inputs"]}:
        was, now = old.get("inputs", {}).get(name, "absent"), new["inputs"].get(name, "absent")
        if was != now:
            lines.append(f"input {name}: was {was[:19]}, is {now[:19]}")
    return lines


def _spell(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value is not None else "none"
