"""Atomic writing: a file appears under its final name complete, or not at all; and reading of text."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

TEMPORARY_PREFIX = ".tmp-"
BLOCK_BYTES = 1 << 20
# Run lengths at level 1: a quarter of the time of zlib's default, for a tenth more bytes of our sheets.
PNG_OPTIONS = {"compress_level": 1, "compress_type": 3}


class TextFileError(ValueError):
    """A text file is not UTF-8 or not what it should be; the text says why, without its name."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; synced and renamed on success, removed on failure.

    The temporary name keeps the suffix, because many writers choose the format by it. The file is made here,
    since not every writer passes on why the system refuses one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    temporary.touch()
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's contents, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def check_writable(folder: Path) -> None:
    """Raise `OSError` if no file can be made in a folder; the folder is made if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def sync_file(path: Path) -> None:
    """Force the contents of a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folders(folders: Iterable[Path]) -> None:
    """Force the names in these folders to the disk, before a record says that their files are complete."""
    for folder in set(folders):
        sync_file(folder)


def write(path: Path, value: Any, **options: Any) -> None:
    """Write a value atomically, in the format of the name's suffix.

    Args:
        path: final name.
        value: a text; for ``.json`` plain values without NaN; for ``.csv`` a DataFrame, which is sorted by
            ``img_no`` if it has that column; for ``.npz`` arrays by name; else a matplotlib figure or a
            picture (PIL, or uint8 array [H, W, 3] RGB or [H, W] grey).
        options: passed on to ``savefig`` (120 dots per inch unless told otherwise) and
            ``PIL.Image.Image.save`` (JPEG quality 95, PNG by `PNG_OPTIONS`).
    """
    with atomic_path(path) as temporary:
        if path.suffix == ".json":
            value = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if isinstance(value, str):
            temporary.write_text(value, encoding="utf-8", newline="\n")
        elif path.suffix == ".csv":
            table = value.sort_values("img_no", ignore_index=True) if "img_no" in value.columns else value
            table.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
        elif path.suffix == ".npz":
            import numpy as np

            np.savez_compressed(temporary, **value)
        elif hasattr(value, "savefig"):
            value.savefig(temporary, **{"dpi": 120, **options})
        else:
            from PIL import Image

            picture = value if isinstance(value, Image.Image) else Image.fromarray(value)
            picture.save(temporary, **{"quality": 95, **PNG_OPTIONS, **options})


def read_text(path: Path) -> str:
    """Text of a UTF-8 file, with line ends as ``\\n`` and no byte order mark; else `TextFileError`."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextFileError(f"it is no UTF-8 text ({error})") from error
    if "\0" in text:
        raise TextFileError("it holds NUL bytes, so it is no text or damaged")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; a `TextFileError` names the file."""
    try:
        return parse_json(read_text(path))
    except TextFileError as error:
        raise TextFileError(f"{path} cannot be used: {error}.") from error


def parse_json(text: str | bytes) -> dict[str, Any]:
    """An object from JSON text; anything else is a `TextFileError`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TextFileError(f"it is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise TextFileError(f"it is a JSON {type(value).__name__} where an object should be")
    return value


class ArrayFileError(ValueError):
    """A file of arrays is missing, damaged or holds other arrays."""


def read_arrays(path: Path, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Arrays of a ``.npz`` file by name: these, or all; `ArrayFileError` if one of them cannot be read."""
    import numpy as np

    with _arrays_whole(path), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in names or archive.files}


def map_array(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file, read-only and mapped, so that it takes no memory until it is used."""
    import numpy as np

    with _arrays_whole(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)


@contextmanager
def _arrays_whole(path: Path) -> Iterator[None]:
    """Turn what numpy raises on damaged files, errors of many kinds, into `ArrayFileError`."""
    try:
        yield
    except PermissionError:
        raise
    except Exception as error:
        raise ArrayFileError(f"{path} is missing, damaged or no file of arrays ({error}).") from error


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's contents atomically."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def remove(path: Path, kept: Collection[Path] = ()) -> None:
    """Remove a file, a link or a whole folder but for some files; fine if there is none."""
    if any(path in file.parents for file in kept):
        for inner in path.iterdir():
            remove(inner, kept)
    elif path in kept:
        return
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def process_is_alive(pid: int) -> bool:
    """True if a process with this id exists, whoever owns it."""
    return Path("/proc", str(pid)).exists()


def remove_leftovers(folders: Iterable[Path], deep: bool = True) -> int:
    """Remove the temporary files that killed processes left in these folders; returns their number.

    Call it before this process writes: a file with its number is that of an earlier process.

    Args:
        folders: where to look.
        deep: look into their subfolders too, but for hidden ones.
    """
    count = 0
    for top in set(folders):
        for folder, subfolders, names in os.walk(top):
            subfolders[:] = [name for name in subfolders if deep and not name.startswith(".")]
            for name in names:
                pid, _, _ = name.removeprefix(TEMPORARY_PREFIX).partition("-")
                if not name.startswith(TEMPORARY_PREFIX) or not pid.isdigit():
                    continue
                if int(pid) == os.getpid() or not process_is_alive(int(pid)):
                    with suppress(OSError):  # they do no harm where they may not be removed
                        Path(folder, name).unlink()
                        count += 1
    return count
