"""The one reader of numpy files: no Python objects, bounded memory, checksums compared."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LARGEST_BYTES = 1 << 30
DAMAGED = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, SyntaxError, MemoryError, OverflowError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error),
)


class ArrayFileError(ValueError):
    """A file of arrays is missing, damaged, too large or holds other arrays."""


def read_arrays(
    path: Path, names: Sequence[str] = (), largest_bytes: int = LARGEST_BYTES
) -> dict[str, np.ndarray]:
    """Arrays of a ``.npz`` file by name.

    Args:
        path: the file.
        names: arrays that must be there; others are left out. Empty: all.
        largest_bytes: what all arrays that are read may take in memory together.

    Raises:
        ArrayFileError: see there.
        PermissionError: it may not be read.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive:
            wanted = [f"{name}.npy" for name in names] or archive.namelist()
            declared = sum(archive.getinfo(name).file_size for name in wanted)
            if declared > largest_bytes:
                raise ArrayFileError(f"{path} would take {declared} bytes, more than {largest_bytes}.")
            found = {}
            for name in wanted:
                with archive.open(name) as entry:
                    found[name.removesuffix(".npy")] = np.lib.format.read_array(entry, allow_pickle=False)
                    if entry.read(1):  # reading to the end also compares the checksum
                        raise ValueError(f"{name} is longer than its header says")
            return found
    except (ArrayFileError, PermissionError):
        raise
    except DAMAGED as error:
        raise ArrayFileError(f"{path} is missing, damaged or no file of arrays ({error}).") from error


def map_array(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file, read-only and mapped, so that it takes no memory until it is used.

    Raises:
        ArrayFileError: see there.
        PermissionError: it may not be read.
    """
    import numpy as np

    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except PermissionError:
        raise
    except DAMAGED as error:
        raise ArrayFileError(f"{path} is missing, damaged or no array ({error}).") from error
