"""Pictures that a person gives: found in a folder, whatever they are called, and read ahead of their use."""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from scripts.pipeline import Tool, UserError
from scripts.stages.image_files import ImageFileError, NoPictureError, image_size, read_image

# A file so called is meant as a picture: a damaged one is reported where pictures are, not passed over.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"),
    *(".heic", ".heif"),
)
# Each marks a folder of results. What lies there was made from pictures, and previews and sheets are none.
RESULTS = {"align_photos.json": "align_photos.py", "train_log.csv": "train_stylegan.py"}
LONGEST_NAME_BYTES = 200  # of the 255 of file systems; temporary names and numbers need some
SHOWN_COUNT = 3
MOST_THREADS = 8

Key = TypeVar("Key")
Value = TypeVar("Value")


class Found(NamedTuple):
    """What `find_pictures` found, by path relative to the folder, as `plain_text`."""

    pictures: dict[str, Path]
    """Sorted. Each is a picture by its content, or is called like one."""
    left_out: dict[str, str]
    """Everything else, with the reason."""

    def tell(self, log: Callable[[str], None]) -> None:
        """Log what was left out, one line for each reason."""
        for reason in dict.fromkeys(self.left_out.values()):
            names = [name for name, why in self.left_out.items() if why == reason]
            log(f"left out {some_of(names)}: {reason}")


def find_pictures(folder: Path, output: Path | None = None, deep: bool = True) -> Found:
    """The pictures of a folder and of its subfolders; links are followed, but no folder is searched twice.

    Args:
        output: folder of the results, which is not searched.
        deep: search subfolders too.

    Raises:
        UserError: no such folder, or it is that of the results as well.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder, so there are no pictures in it. Name a folder of pictures.")
    results = output.resolve() if output is not None else None
    if folder.resolve() == results:
        raise UserError(
            f"{folder} would be the folder of the pictures and of the results, and the next run would take "
            "results for pictures. Name another folder for the results."
        )
    paths: list[Path] = []
    left_out: dict[Path, str] = {}
    searched = set(folder.resolve().parents)  # a link to one of them would lead here again

    def leave_out(error: OSError) -> None:
        left_out[Path(error.filename)] = f"unreadable: {error.strerror}"

    for top, folders, names in os.walk(folder, followlinks=True, onerror=leave_out):
        here = Path(top)
        if here.resolve() in searched:
            left_out[here] = "a link to a folder that is searched anyway"
            folders.clear()
            continue
        searched.add(here.resolve())
        inside = [here / name for name in (*folders, *names)]
        inside = [path for path in inside if not (path.is_dir() and path.resolve() == results)]
        reasons = {path: _why_left_out(path, deep) for path in inside}
        left_out |= {path: reason for path, reason in reasons.items() if reason}
        wanted = [path for path, reason in reasons.items() if not reason]
        paths += (path for path in wanted if not path.is_dir())
        # Links come last, so that what lies in the folder itself has its own name.
        inner = sorted((path.is_symlink(), path.name) for path in wanted if path.is_dir())
        folders[:] = [name for _, name in inner]

    def name(path: Path) -> str:
        return plain_text(path.relative_to(folder).as_posix())

    return Found(
        {name(path): path for path in sorted(paths)},
        {name(path): reason for path, reason in sorted(left_out.items())},
    )


def _why_left_out(path: Path, deep: bool) -> str:
    """Why a folder is not searched or a file is no picture; empty for those that are."""
    if path.name.startswith("."):
        return "hidden, its name begins with a dot"
    if path.is_dir():
        maker = next((RESULTS[name] for name in RESULTS if (path / name).is_file()), None)
        if maker is not None:
            return f"results of {maker}; name that folder itself to use its pictures"
        return "" if deep else "a folder in the folder"
    if not path.is_file():
        return "no file" if path.exists() else "a link to nothing"
    if path.suffix.lower() in SUFFIXES:
        return ""
    try:
        image_size(path)
    except NoPictureError:
        return "no picture"
    except ImageFileError:
        pass  # a picture, and its reader will say what is wrong with it
    return ""


def state_of(name: str, path: Path) -> list[str | int]:
    """Name, bytes and time of the last change: what tells a picture from one that replaced it."""
    state = path.stat()
    return [name, state.st_size, state.st_mtime_ns]


def read_recorded(
    tool: Tool, relative: str, reader: Callable[[Path, str], np.ndarray] = read_image
) -> np.ndarray:
    """A picture of the workspace as `reader` gives it, which refuses one that was exchanged since."""
    return reader(tool.workspace / relative, tool.recorded_sha256(relative))


def read_ahead(
    keys: Iterable[Key], read: Callable[[Key], Value], ahead: int = 1, threads: int = 1
) -> Iterator[tuple[Key, Future[Value]]]:
    """Each key with what `read` gives for it; the next ones are read while the caller works on one.

    Args:
        ahead: how many may wait.
        threads: how many are read at the same time.

    Yields:
        a key and its future, whose `result` returns what was read or raises what `read` raised.
    """
    waiting: deque[tuple[Key, Future[Value]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for key in keys:
            waiting.append((key, pool.submit(read, key)))
            if len(waiting) > ahead:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def reader_threads(tool: Tool) -> int:
    """How many pictures are read at the same time: the cores, at most eight, unless --threads says it."""
    return tool.options.threads or min(MOST_THREADS, os.cpu_count() or 1)


def plain_text(name: str) -> str:
    """A file's name as UTF-8 and one line of a table can hold it: control characters, and bytes that are no
    text, as escapes.
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", name)


def short_name(name: str, most_bytes: int = LONGEST_NAME_BYTES) -> str:
    """The name of a file, cut to so many bytes; then a hash tells it from others that begin alike."""
    encoded = name.encode()
    if len(encoded) <= most_bytes:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:10]
    return f"{encoded[: most_bytes - 11].decode(errors='ignore')}-{digest}"


def some_of(names: list[str]) -> str:
    """The first few names, and how many there are."""
    more = f" and {len(names) - SHOWN_COUNT} more" if len(names) > SHOWN_COUNT else ""
    return ", ".join(names[:SHOWN_COUNT]) + more
