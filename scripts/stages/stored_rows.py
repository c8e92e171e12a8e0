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
GPU_SHARE = 0.25  # of a GPU's free memory, that pictures may take


class StoredRows:
    """Rows of bytes in a file, read like those of a uint8 tensor [N, ...]: ``rows[numbers]``.

    They are read with ``pread``: the pages of a mapped file would count as memory of the process, and a file
    that became shorter would end it.

    Args:
        file: open for reading; kept open.
        row_shape: shape of one row.
        device: where the rows that are read go.
    """

    def __init__(
        self, file: BinaryIO, row_shape: tuple[int, ...], device: torch.device | str = "cpu"
    ) -> None:
        self._file, self._row_bytes = file, math.prod(row_shape)
        self.device = torch.device(device)
        self.shape = (os.fstat(file.fileno()).st_size // self._row_bytes, *row_shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, numbers: Tensor) -> Tensor:
        """Rows uint8 [B, ...] of numbers int64 [B]; `OSError` if the file is shorter than it was."""
        found = torch.empty((len(numbers), *self.shape[1:]), dtype=torch.uint8)
        for row, number in zip(found.numpy(), numbers.tolist(), strict=True):
            target = memoryview(row).cast("B")
            if os.preadv(self._file.fileno(), [target], number * self._row_bytes) != self._row_bytes:
                raise OSError(f"row {number} of the stored pictures cannot be read")
        return found.to(self.device)


def store_rows(
    workspace: Path, parts: Iterable[np.ndarray], device: torch.device | str = "cpu"
) -> StoredRows:
    """Store parts uint8 [n, ...] that come one after the other, in a file that ends with the process.

    Raises:
        ValueError: there are none, or their rows are not of one shape.
    """
    folder = workspace / FOLDER  # the disk of temporary files may be memory
    folder.mkdir(parents=True, exist_ok=True)
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (lives as long as its rows)
    shapes = set()
    for part in parts:
        shapes.add(part.shape[1:])
        if len(shapes) > 1:
            raise ValueError(f"rows of shape {part.shape[1:]} among rows of another one")
        file.write(part.tobytes())
    if not shapes:
        raise ValueError("no row was stored")
    file.flush()
    return StoredRows(file, shapes.pop(), device)


def near(rows: StoredRows, device: torch.device) -> Rows:
    """The same rows in the memory of a GPU that has room enough for them; else as they are."""
    if device.type != "cuda" or math.prod(rows.shape) > GPU_SHARE * torch.cuda.mem_get_info(device)[0]:
        return rows
    return rows[torch.arange(len(rows))].to(device)
