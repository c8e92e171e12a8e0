"""Reading the candidates: each is decoded once, by threads, ahead of the networks that look at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch

from cnn.dataset import resize
from scripts.pipeline import Stage, UserError
from scripts.pipeline.image_files import ImageFileError, image_size
from scripts.stages.pictures import read_ahead, read_recorded
from scripts.stages.stored_rows import RowStore, StoredRows
from scripts.stages.workspace import CANDIDATES

MOST_THREADS = 8
BATCHES_AHEAD = 2
STORED_AT_ONCE = 64


def check_images(stage: Stage, candidates: pd.DataFrame) -> None:
    """Raise `UserError` if pictures of the table are gone; unreadable ones are found when they are read."""
    missing = [path for path in candidates["img_path"] if not (stage.workspace / path).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(candidates)} candidates of {CANDIDATES} vanished "
            f"({', '.join(missing[:3])}), so the "
            "filter would not see them. Put them back, or generate all of them again:\n    "
            f"{stage.command('01_generate_candidates', '--force')}"
        )


class CandidateImages:
    """Reads candidates; remembers why some could not be read.

    Args:
        image_size: height and width to which pictures are shrunk, in pixels; 0 leaves them as they are.

    Attributes:
        picture_size: height and width of the pictures in their files, in pixels.
        size: those of the arrays.
        reasons: img_no -> why it could not be read.

    Raises:
        UserError: no picture can be read, or they are smaller than `image_size`.
    """

    def __init__(self, stage: Stage, candidates: pd.DataFrame, image_size: int = 0) -> None:
        self._tool = stage
        self.paths = dict(zip(candidates["img_no"], candidates["img_path"], strict=True))
        self.reasons: dict[int, str] = {}
        again = stage.command("01_generate_candidates", "--force")
        self._mend = f"Generate them again:\n    {again}"
        self.picture_size = self._first_size()
        self.size = image_size or self.picture_size
        if self.size > self.picture_size:
            raise UserError(
                f"the candidates have {self.picture_size} px, less than --image-size {image_size}, and "
                "enlarging them would add nothing to see. Use a smaller --image-size, or 0."
            )
        self._pool = ThreadPoolExecutor(stage.options.threads or min(MOST_THREADS, os.cpu_count() or 1))

    def read(self, img_nos: list[int], size: int = 0) -> tuple[list[int], np.ndarray]:
        """Numbers and pictures uint8 [N, size, size, 3] of those that can be read; 0 is the usual size."""
        size = size or self.size

        def attempt(img_no: int) -> np.ndarray | None:
            try:
                return resize(read_recorded(self._tool, self.paths[img_no]), size)
            except ImageFileError as error:
                self.reasons[img_no] = f"{self.paths[img_no]}: {error}"
                return None

        found, images = [], np.empty((len(img_nos), size, size, 3), np.uint8)
        for img_no, image in zip(img_nos, self._pool.map(attempt, img_nos), strict=True):
            if image is not None:
                images[len(found)] = image
                found.append(img_no)
        return found, images[: len(found)]

    def batches(self, img_nos: list[int], batch_size: int) -> Iterator[tuple[list[int], np.ndarray]]:
        """`read` batch by batch; the next ones are decoded while the caller works on this one."""
        parts = (img_nos[start : start + batch_size] for start in range(0, len(img_nos), batch_size))
        for _, batch in read_ahead(parts, self.read, BATCHES_AHEAD):
            yield batch.result()

    def store(self, img_nos: list[int], device: torch.device) -> tuple[list[int], StoredRows]:
        """Numbers and pictures uint8 [N, 3, size, size] of those that can be read; they stay on the disk.

        Args:
            device: where the rows go that are read from there.

        Raises:
            UserError: none can be read.
        """
        found: list[int] = []
        store = RowStore(self._tool.workspace)
        for numbers, pictures in self.batches(img_nos, STORED_AT_ONCE):
            found += numbers
            store.append(pictures.transpose(0, 3, 1, 2))
        if not found:
            raise UserError(
                f"none of the labelled pictures can be read, so there is nothing to learn from. {self._mend}"
            )
        return found, store.rows(device)

    def _first_size(self) -> int:
        for path in self.paths.values():
            try:
                return image_size(self._tool.workspace / path)[1]
            except ImageFileError:
                continue
        raise UserError(
            f"none of the candidates can be read as a picture, so there is nothing to filter. {self._mend}"
        )
