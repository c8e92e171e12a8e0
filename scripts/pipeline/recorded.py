"""SHA-256 of every file that a finished stage wrote, so that its readers notice what changed afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scripts.pipeline import files, manifest
from scripts.pipeline.files import sha256_file

RECORD_NAME = "outputs.json"


class Recorded(NamedTuple):
    """A file as it was when its stage finished."""

    sha256: str
    maker: str


def write(workspace: Path, name: str, outputs: Iterable[str]) -> dict[str, str]:
    """Record the outputs of a stage, the files in folders among them: workspace-relative path -> SHA-256."""
    found = {
        path.relative_to(workspace).as_posix(): sha256_file(path)
        for relative in outputs
        if (workspace / relative).exists()
        for path in _files_of(workspace / relative)
    }
    files.write_json(manifest.stage_folder(workspace, name) / RECORD_NAME, found)
    return found


def file_counts(workspace: Path, folders: Iterable[str]) -> dict[str, int]:
    """How many files there are in each of these folders, by which a vanished one shows."""
    return {
        relative: sum(path.is_file() for path in (workspace / relative).iterdir())
        for relative in folders
        if (workspace / relative).is_dir()
    }


def vanished(workspace: Path, name: str, record: Mapping[str, Any], outputs: Iterable[str]) -> list[str]:
    """What a finished stage wrote and is gone: outputs, files of its folders, its list of files.

    Args:
        workspace, name: of the stage.
        record: its ``_stage.json``.
        outputs: that it has under its options.
    """
    gone = [relative for relative in outputs if not (workspace / relative).exists()]
    counts = record.get("file_counts", {})
    present = file_counts(workspace, counts)
    gone += [f"files of {folder}" for folder in counts if present.get(folder, 0) < counts[folder]]
    if "sha256" in record and not (manifest.stage_folder(workspace, name) / RECORD_NAME).exists():
        gone.append(RECORD_NAME)
    return gone


def digests(recorded: Mapping[str, str], outputs: Iterable[str]) -> dict[str, str]:
    """One SHA-256 per output of a stage; that of a folder covers names and contents of its files.

    Args:
        recorded: what `write` returned.
        outputs: the files and folders.
    """
    found = {}
    for output in outputs:
        inside = f"{output}/"
        names = {path.removeprefix(inside): sha for path, sha in recorded.items() if path.startswith(inside)}
        found[output] = recorded[output] if output in recorded else _digest_of_folder(names)
    return found


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files, as `digests` has it."""
    if not path.is_dir():
        return sha256_file(path)
    return _digest_of_folder({file.name: sha256_file(file) for file in _files_of(path)})


def _digest_of_folder(files_of_it: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name, sha in sorted(files_of_it.items()):
        digest.update(f"{sha}  {name}\n".encode())
    return digest.hexdigest()


def read(workspace: Path) -> dict[str, Recorded]:
    """What the finished stages of a workspace recorded, by workspace-relative path."""
    found = {}
    for path in sorted((workspace / manifest.STAGES_FOLDER).glob(f"*/{RECORD_NAME}")):
        name = path.parent.name
        stage = manifest.read(workspace, name)
        if stage is None or stage["state"] != "complete":  # its files may just be made anew
            continue
        try:
            record = files.read_json(path)
        except files.TextFileError:  # without the record its files count as placed by hand
            continue
        found |= {relative: Recorded(str(digest), name) for relative, digest in record.items()}
    return found


def _files_of(path: Path) -> Iterator[Path]:
    """The file itself, or the files in a folder but for the hidden ones."""
    if path.is_dir():
        yield from (file for file in sorted(path.iterdir()) if file.is_file() and file.name[0] != ".")
    else:
        yield path
