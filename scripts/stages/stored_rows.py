"""Pictures in a file instead of in memory: only the rows that are asked for are read."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from stylegan.rows import Rows

FOLDER = "_stages"


class StoredRows:
    """Rows of bytes in a file, read like those of a uint8 tensor [N, ...]: ``rows[numbers]``.

    They are read with ``pread``; the pages of a mapped file would count as memory of the process.

    Args:
        file: open for reading; kept open.
        row_shape: shape of one row.
        chosen: int64 [N], which rows of the file count, in this order; None: all.
        device: where the rows that are read go.

    Attributes:
        shape: that of all rows.
    """

    def __init__(
        self,
        file: BinaryIO,
        row_shape: tuple[int, ...],
        chosen: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._file, self._chosen, self.device = file, chosen, torch.device(device)
        self._row_bytes = math.prod(row_shape)
        count = os.fstat(file.fileno()).st_size // self._row_bytes if chosen is None else len(chosen)
        self.shape = (count, *row_shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, numbers: Tensor) -> Tensor:
        """Rows uint8 [B, ...] of numbers int64 [B] from 0 to N - 1.

        Raises:
            OSError: the file is shorter than it was.
        """
        found = torch.empty((len(numbers), *self.shape[1:]), dtype=torch.uint8)
        places = numbers.cpu() if self._chosen is None else self._chosen[numbers.cpu()]
        for row, place in zip(found.numpy(), places.tolist(), strict=True):
            target = memoryview(row).cast("B")
            if os.preadv(self._file.fileno(), [target], place * self._row_bytes) != self._row_bytes:
                raise OSError(f"row {place} of the stored pictures cannot be read")
        return found.to(self.device)


class JoinedRows:
    """Two sets of rows of one shape, one after the other."""

    def __init__(self, first: Rows, second: Rows) -> None:
        if first.shape[1:] != second.shape[1:]:
            raise ValueError(f"rows of shape {first.shape[1:]} cannot be joined with {second.shape[1:]}")
        self._first, self._second = first, second
        self.shape, self.device = (len(first) + len(second), *first.shape[1:]), first.device

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, numbers: Tensor) -> Tensor:
        """Rows uint8 [B, ...] of numbers int64 [B]."""
        is_first = numbers < len(self._first)
        found = torch.empty((len(numbers), *self.shape[1:]), dtype=torch.uint8, device=self.device)
        found[is_first] = self._first[numbers[is_first]]
        found[~is_first] = self._second[numbers[~is_first] - len(self._first)]
        return found


class RowStore:
    """A file without a name that rows are added to; it is gone when the process ends, however it ends.

    Args:
        workspace: its disk holds the file: that of temporary files may be memory.
    """

    def __init__(self, workspace: Path) -> None:
        folder = workspace / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (lives as long as its rows)
        self._row_shape: tuple[int, ...] | None = None

    def append(self, rows: np.ndarray) -> None:
        """Add uint8 rows [n, ...], all of one shape.

        Raises:
            ValueError: their shape is not that of the rows before.
        """
        if self._row_shape not in (None, rows.shape[1:]):
            raise ValueError(f"rows of shape {rows.shape[1:]} among rows of shape {self._row_shape}")
        self._row_shape = rows.shape[1:]
        self._file.write(rows.tobytes())

    def rows(self, device: torch.device | str = "cpu") -> StoredRows:
        """Everything added so far."""
        if self._row_shape is None:
            raise ValueError("no row was stored")
        self._file.flush()
        return StoredRows(self._file, self._row_shape, device=device)


def store_rows(workspace: Path, parts: Iterable[np.ndarray]) -> StoredRows:
    """Rows of parts uint8 [n, ...] that come one after the other. See `RowStore`."""
    store = RowStore(workspace)
    for part in parts:
        store.append(part)
    return store.rows()
