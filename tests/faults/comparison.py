"""What is left of a run that was broken: files that are torn, left over, or other than without the fault."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from scripts.pipeline.records import OUTPUTS_NAME

# How often it was begun, and what the last attempt took and used: what two runs may differ in. Hashes
# cover files that hold times; the files themselves are compared.
TIMES = {"started", "finished", "ended", "written", "seconds", "phase_seconds", "peak_memory_mib"}
TIMES |= {"attempts", "counts", "device", "device_name", "threads", "commit", "dirty", "sha256"}
TIME_COLUMNS = {"seconds", "images_per_s", "pictures_per_s", "memory_mib"}
# Files about the run, not its result. Those of a training grow with it.
ABOUT_THE_RUN = ("*/log.txt", "*/events/*", "*/lock", "*.lock", "*/heartbeat")
GROWING = (
    *(
        "*/_stage.json",
        "*/run.json",
        "*/options.json",
        "*/journal.csv",
        "*/train_log*.csv",
        "*/epoch_detail_*.csv",
    ),
    *("*/checkpoint*.pt", "*/checkpoints/*.pt", "*/files.json", "*/best_kid.json", "*.part"),
    *("*/origins.json", "*/networks.json"),  # an entry per file that 00 put, per network that 02 trained
    *("*/stylegan_model*.safetensors", "*/preview*", "*/filmstrip.*", "*/portraits_*.json"),
)
TIMED = ("*/train_log_*.csv",)
TORCH_SUFFIXES = (".pt", ".pth")


def differences(left: Path, right: Path, may_differ: Iterable[str] = ()) -> list[str]:
    """One line for each file that is in one folder only, or not the same in both."""
    ignored = (*ABOUT_THE_RUN, *may_differ)
    ours, theirs = (
        {name for name in names_in(folder) if not matches(name, ignored)} for folder in (left, right)
    )
    found = [f"{name} is missing" for name in sorted(theirs - ours)]
    found += [f"{name} is left over" for name in sorted(ours - theirs)]
    return found + [f"{name} differs" for name in sorted(ours & theirs) if not same(name, left, right)]


def torn_files(folder: Path, undisturbed: Path) -> list[str]:
    """One line for each file under its final name that is neither whole nor a growing one of an open run.

    Temporary files are not named: the next run removes them.
    """
    found = []
    for name in names_in(folder):
        path, whole = folder / name, undisturbed / name
        if matches(name, ABOUT_THE_RUN) or path.name.startswith(".") or ".part" in path.name:
            continue
        if whole.exists() and path.samefile(whole):
            continue
        if matches(name, GROWING):
            if not is_readable(path):
                found.append(f"{name} is torn")
        elif whole.exists() and not same(name, folder, undisturbed):
            found.append(f"{name} is torn or stale")
    return found


def is_readable(path: Path) -> bool:
    """Whether a JSON or torch file can be read; other files count as readable."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix in TORCH_SUFFIXES:
            torch.load(path, weights_only=True)
    except (ValueError, RuntimeError, EOFError, OSError):
        return False
    return True


def names_in(folder: Path) -> set[str]:
    """Relative names of all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a relative name matches one of the patterns, in which ``*`` stands for slashes too."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def same(name: str, left: Path, right: Path) -> bool:
    """Whether a file is the same in two folders: byte for byte, but for times and the folder's own name, and
    weights value for value.
    """
    paths = left / name, right / name
    if paths[0].samefile(paths[1]) or paths[0].read_bytes() == paths[1].read_bytes():
        return True
    try:
        contents = [_content(path, folder) for path, folder in zip(paths, (left, right), strict=True)]
    except (ValueError, RuntimeError, EOFError, OSError, SafetensorError):
        return False
    return contents[0] is not None and _equal(*contents)


def _content(path: Path, folder: Path) -> Any:
    """What a file says, as nested tables; None if its bytes are all that counts."""
    if path.suffix == ".json":
        content = json.loads(path.read_text().replace(str(folder), ""))
        if path.name == OUTPUTS_NAME:  # hashes of logs cover times; the logs themselves are compared
            return {name: "" if matches(name, TIMED) else sha for name, sha in content.items()}
        return content
    if path.suffix == ".csv":
        return _table(path)
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            notes = {name: _note(text.replace(str(folder), "")) for name, text in file.metadata().items()}
            return {name: file.get_tensor(name) for name in file.keys()} | {"notes": notes}  # noqa: SIM118
    return torch.load(path, weights_only=True) if path.suffix in TORCH_SUFFIXES else None


def _note(text: str) -> Any:
    """A note in a file of weights: JSON, or plain text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _table(path: Path) -> list[list[tuple[str, str]]]:
    """Rows of a CSV in order, as (column, text); the texts of measured times are left out."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    ignored = TIME_COLUMNS & set(header)
    return [
        [(name, "" if name in ignored else text) for name, text in zip(header, row, strict=True)]
        for row in [header, *rows]
    ]


def _equal(left: Any, right: Any) -> bool:
    """Whether two nested tables of tensors and plain values are equal, bit for bit, but for times."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        if not isinstance(right, dict) or set(left) - TIMES != set(right) - TIMES:
            return False
        return all(_equal(left[key], right[key]) for key in set(left) - TIMES)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(_equal, left, right))
    return left == right
