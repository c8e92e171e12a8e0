"""Whether a picture's file is whole: quickly by its ends, or by decoding it."""

from __future__ import annotations

import os
from pathlib import Path

from scripts.pipeline.image_files import ImageFileError, read_image

JPEG = (b"\xff\xd8\xff", b"\xff\xd9")
STARTS_AND_ENDS = {
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".png": (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
}


def has_known_suffix(name: str) -> bool:
    """Whether a file is called like a picture that the scripts write or segment."""
    return Path(name).suffix.lower() in STARTS_AND_ENDS


def trouble(path: Path, deep: bool) -> str:
    """What is wrong with a picture, in a word; empty if nothing is.

    Args:
        path: its file; see `has_known_suffix`.
        deep: decode it; otherwise only its first and last bytes are read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start, end = STARTS_AND_ENDS[path.suffix.lower()]
            first = file.read(len(start))
            file.seek(max(0, size - len(end)))
            last = file.read()
    except OSError as error:
        return "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    if size == 0:
        return "empty"
    if first != start or last != end:
        return "damaged"
    return _decoding_trouble(path) if deep else ""


def _decoding_trouble(path: Path) -> str:
    try:
        read_image(path)
    except ImageFileError:
        return "damaged"
    return ""
