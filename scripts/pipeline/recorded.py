"""SHA-256 of every file that a finished stage wrote, so that its readers notice what changed afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.pipeline import files, manifest
from scripts.pipeline.fingerprint import sha256_file

RECORD_NAME = "outputs.json"


class Recorded(NamedTuple):
    """A file as it was when its stage finished."""

    sha256: str
    maker: str


def write(workspace: Path, name: str, outputs: Iterable[str]) -> None:
    """Record the outputs of a stage, the files in folders among them."""
    found = {
        path.relative_to(workspace).as_posix(): sha256_file(path)
        for relative in outputs
        for path in _files_of(workspace / relative)
    }
    files.write_json(manifest.stage_folder(workspace, name) / RECORD_NAME, found)


def read(workspace: Path) -> dict[str, Recorded]:
    """What the finished stages of a workspace recorded, by workspace-relative path."""
    found = {}
    for path in sorted((workspace / manifest.STAGES_FOLDER).glob(f"*/{RECORD_NAME}")):
        name = path.parent.name
        stage = manifest.read(workspace, name)
        if stage is None or stage["state"] != "complete":  # its files may just be made anew
            continue
        try:
            digests = files.read_json(path)
        except files.TextFileError:  # without the record its files count as placed by hand
            continue
        found |= {relative: Recorded(str(digest), name) for relative, digest in digests.items()}
    return found


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (entry for entry in sorted(path.iterdir()) if entry.is_file())
    else:
        yield path
