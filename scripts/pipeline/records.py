"""What is recorded of a stage, in ``<workspace>/_stages/<stage>``.

``_stage.json`` says how it went and what its result depends on; ``outputs.json`` has the SHA-256 of every
file that it wrote, so that readers notice what changed afterwards.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from scripts.pipeline import files
from scripts.pipeline.options import ToolOptions, results_options
from scripts.pipeline.spec import Input, StageSpec

STAGES_FOLDER = "_stages"
MANIFEST_NAME = "_stage.json"
OUTPUTS_NAME = "outputs.json"
# Options that earlier or later versions of a script do not have, with the value that changes nothing.
NEUTRAL = {"realism_weight": 0.0, "adversary_weight": 0.0, "others": "median"}


class Recorded(NamedTuple):
    """A file as it was when its stage finished."""

    sha256: str
    maker: str


def stage_folder(workspace: Path, name: str) -> Path:
    """Folder of a stage's record, journals and resolved options."""
    return workspace / STAGES_FOLDER / name


def read(workspace: Path, name: str) -> dict[str, Any] | None:
    """Record of a stage's last run, or None. An unreadable record counts as none."""
    try:
        record = files.read_json(stage_folder(workspace, name) / MANIFEST_NAME)
    except (FileNotFoundError, files.TextFileError):
        return None
    is_usable = all(isinstance(record.get(key), str) for key in ("state", "fingerprint"))
    return record if is_usable else None


def write(workspace: Path, name: str, record: Mapping[str, Any]) -> None:
    """Write the record of a stage's run."""
    files.write(stage_folder(workspace, name) / MANIFEST_NAME, record)


def now() -> str:
    """Current time in UTC, ISO 8601, to the second."""
    return to_text(time.time())


def to_text(seconds: float) -> str:
    """Time since the epoch in UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def write_outputs(workspace: Path, name: str, outputs: Iterable[str]) -> dict[str, str]:
    """Record the outputs of a stage, the files in folders among them.

    Returns:
        output -> SHA-256; that of a folder covers names and contents of its files.
    """
    written: dict[str, str] = {}
    digests = {}
    for output in outputs:
        path = workspace / output
        found = {file.relative_to(workspace).as_posix(): files.sha256_file(file) for file in _files_of(path)}
        written |= found
        lines = (f"{sha256}  {Path(relative).name}\n" for relative, sha256 in sorted(found.items()))
        digests[output] = found.get(output) or hashlib.sha256("".join(lines).encode()).hexdigest()
    files.write(stage_folder(workspace, name) / OUTPUTS_NAME, written)
    return digests


def read_outputs(workspace: Path) -> dict[str, Recorded]:
    """What the finished stages of a workspace recorded, by workspace-relative path."""
    found = {}
    for path in sorted((workspace / STAGES_FOLDER).glob(f"*/{OUTPUTS_NAME}")):
        stage = read(workspace, path.parent.name)
        if stage is None or stage["state"] != "complete":  # its files may just be made anew
            continue
        with suppress(files.TextFileError):  # without the record its files count as placed by hand
            for relative, sha256 in files.read_json(path).items():
                found[relative] = Recorded(str(sha256), path.parent.name)
    return found


def vanished(workspace: Path, name: str, outputs: Iterable[str]) -> list[str]:
    """Files of a finished stage that are gone: outputs, files of its folders, its list of files."""
    gone = [relative for relative in outputs if not (workspace / relative).exists()]
    try:
        written = files.read_json(stage_folder(workspace, name) / OUTPUTS_NAME)
    except (FileNotFoundError, files.TextFileError):
        return [*gone, OUTPUTS_NAME]
    lost = (path for path in written if path not in gone and not (workspace / path).exists())
    counts = Counter(path.rpartition("/")[0] for path in lost)
    return [*gone, *(f"{count} files of {folder}" for folder, count in counts.items())]


def _files_of(path: Path) -> Iterator[Path]:
    """The file itself, or the files in a folder but for the hidden ones."""
    if path.is_dir():
        yield from (file for file in sorted(path.iterdir()) if file.is_file() and file.name[0] != ".")
    elif path.exists():
        yield path


def cached_sha256(path: Path) -> str:
    """SHA-256 of a file, calculated once in this process as long as the system says that it is the same file.

    The time of change of the inode counts too, since no program can set it back.
    """
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


@cache
def _sha256(path: Path, *state: int) -> str:
    return files.sha256_file(path)


def input_state(item: Input, workspace: Path) -> str:
    """What identifies an input: a file by its contents, a folder by its maker's fingerprint.

    A folder that no recorded stage made counts by the names and sizes of its files.
    """
    path = item.locate(workspace)
    if not path.exists():
        return "absent"
    if not path.is_dir():
        return f"sha256 {cached_sha256(path)}"
    maker = read(workspace, item.made_by) if item.made_by else None
    if maker:
        return f"stage {maker['fingerprint']}"
    entries = sorted((file.name, file.stat().st_size) for file in path.iterdir() if file.is_file())
    return f"folder {hashlib.sha256(json.dumps(entries).encode('utf-8')).hexdigest()}"


def dependencies(spec: StageSpec, options: ToolOptions, workspace: Path) -> dict[str, Any]:
    """Everything that the stage's result depends on, as plain JSON: version, options and inputs."""
    return {
        "stage": spec.name,
        "version": spec.version,
        "options": results_options(options),
        "inputs": {item.path: input_state(item, workspace) for item in spec.inputs_for(options)},
    }


def fingerprint(depends_on: Mapping[str, Any]) -> str:
    """SHA-256 of the dependencies in a canonical spelling."""
    text = json.dumps(depends_on, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line per option, input or version that differs, with the old and the new value."""
    lines = []
    if old.get("version") != new.get("version"):
        lines.append(f"version of the script: was {old.get('version')}, is {new.get('version')}")
    before, after = old.get("options", {}), new["options"]
    for name in {**before, **after}:
        was, now = (options.get(name, NEUTRAL.get(name)) for options in (before, after))
        if was != now:
            was, now = _spell(was), _spell(now)
            lines.append(f"--{name.replace('_', '-')}: was {was}, is {now}")
    before, after = old.get("inputs", {}), new["inputs"]
    for name in {**before, **after}:
        was, now = before.get(name, "absent"), after.get(name, "absent")
        if was != now:
            lines.append(f"input {name}: was {was[:19]}, is {now[:19]}")
    return lines


def _spell(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value is not None else "none"
