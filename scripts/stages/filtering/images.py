"""Reading the candidates: each is decoded once, by threads, ahead of the networks that look at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
import pandas as pd
import torch
from torch import nn

from cnn.dataset import normalize, resize, to_tensor
from scripts.pipeline import Tool, UserError
from scripts.stages.image_files import ImageFileError, image_size
from scripts.stages.pictures import read_ahead, read_recorded, reader_threads, some_of
from scripts.stages.stored_rows import StoredRows, store_rows
from scripts.stages.workspace import CANDIDATES

STORED_AT_ONCE = 64


def check_images(tool: Tool, candidates: pd.DataFrame) -> None:
    """Raise `UserError` if pictures of the table are gone; unreadable ones are found when they are read."""
    missing = [path for path in candidates["img_path"] if not (tool.workspace / path).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(candidates)} candidates of {CANDIDATES} vanished ({some_of(missing)}), "
            "so the filter would not see them. Put them back, or generate all of them again:\n    "
            f"{tool.command('01_generate_candidates', '--force')}"
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

    def __init__(self, tool: Tool, candidates: pd.DataFrame, image_size: int = 0) -> None:
        self._tool = tool
        self.paths = dict(zip(candidates["img_no"], candidates["img_path"], strict=True))
        self.reasons: dict[int, str] = {}
        self._mend = f"Generate them again:\n    {tool.command('01_generate_candidates', '--force')}"
        self.picture_size = self._first_size()
        self.size = image_size or self.picture_size
        if self.size > self.picture_size:
            raise UserError(
                f"the candidates have {self.picture_size} px, less than --image-size {image_size}, and "
                "enlarging them would add nothing to see. Use a smaller --image-size, or 0."
            )

    def _first_size(self) -> int:
        for path in self.paths.values():
            try:
                return image_size(self._tool.workspace / path)[1]
            except ImageFileError:
                continue
        raise UserError(
            f"none of the candidates can be read as a picture, so there is nothing to filter. {self._mend}"
        )

    def read(self, img_no: int) -> np.ndarray:
        """A picture as it is in its file: uint8 [H, W, 3]; `ImageFileError` if it cannot be read."""
        return read_recorded(self._tool, self.paths[img_no])

    def batches(
        self, img_nos: list[int], batch_size: int, size: int = 0
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Numbers and pictures uint8 [N, size, size, 3] of those that can be read, batch by batch.

        Args:
            size: height and width; 0 is the usual one.
        """
        size = size or self.size
        pictures = read_ahead(
            img_nos, lambda n: resize(self.read(n), size), batch_size, reader_threads(self._tool)
        )
        while part := list(islice(pictures, batch_size)):
            found: list[int] = []
            images = np.empty((len(part), size, size, 3), np.uint8)
            for img_no, picture in part:
                try:
                    images[len(found)] = picture.result()
                    found.append(img_no)
                except ImageFileError as error:
                    self.reasons[img_no] = f"{self.paths[img_no]}: {error}"
            yield found, images[: len(found)]

    def store(self, img_nos: list[int]) -> tuple[list[int], StoredRows]:
        """Numbers and pictures uint8 [N, 3, size, size] of those that can be read; they stay on the disk.

        Raises:
            UserError: none can be read.
        """
        found: list[int] = []

        def parts() -> Iterator[np.ndarray]:
            for numbers, pictures in self.batches(img_nos, STORED_AT_ONCE):
                found.extend(numbers)
                yield pictures.transpose(0, 3, 1, 2)

        rows = store_rows(self._tool.workspace, parts(), self._tool.device)
        if not found:
            raise UserError(
                f"none of the labelled pictures can be read, so there is nothing to learn from. {self._mend}"
            )
        return found, rows

    def judge(self, img_nos: list[int], batch_size: int, networks: Mapping[str, nn.Module]) -> pd.DataFrame:
        """What networks say of the pictures that can be read: columns `img_no` and one per network."""
        rows = [np.empty((0, 1 + len(networks)))]
        with self._tool.progress(len(img_nos)) as progress:
            for found, pictures in self.batches(img_nos, batch_size):
                if found:
                    x = normalize(to_tensor(pictures).to(self._tool.device))
                    outputs = torch.stack([network(x) for network in networks.values()], dim=1)
                    rows.append(np.column_stack([found, outputs.double().cpu().numpy()]))
                progress.update(min(batch_size, len(img_nos) - progress.done))
        return pd.DataFrame(np.concatenate(rows), columns=["img_no", *networks]).astype({"img_no": "int64"})
