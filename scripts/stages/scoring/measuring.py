"""Raw values of the seven properties, measured on the faces that stage 03 cut out and parsed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from scripts.pipeline import Stage, Tool, UserError
from scripts.pipeline.image_files import ImageFileError, read_image, read_label_map
from scripts.stages.pictures import read_recorded
from scripts.stages.workspace import FACES, SCORE_TABLES, segmented_path
from segmentation.property_scores import check_label_map, compute_scores
from segmentation.property_table import PROPERTY_NAMES

FACE_SIZE_PX = 224
BOX = ("x0", "y0", "x1", "y1")
FACE_COLUMNS = ("img_no", "img_path", "status", *BOX)
ITEM_COLUMNS = ("img_no", "img_path", "status", "reason")


class Item(NamedTuple):
    """One face as stage 3 left it."""

    img_no: int
    img_path: str
    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the face crop in pixels of the picture."""


class Pictures(NamedTuple):
    """The three pictures of an item."""

    face: np.ndarray
    label_map: np.ndarray
    whole: np.ndarray


class BadPictureError(ValueError):
    """A picture of an item cannot be used; the text says why."""


def read_whole(tool: Tool, relative: str) -> np.ndarray:
    """The picture that a face was cut from, as stage 3 saw it: uint8 [H, W, 3] RGB, upright.

    Raises:
        BadPictureError: missing, unreadable, or not as its stage wrote it.
    """
    return _read(tool, relative, read_image)


def _read(tool: Tool, relative: str, reader: Callable[[Path, str], np.ndarray]) -> np.ndarray:
    try:
        return read_recorded(tool, relative, reader)
    except ImageFileError as error:
        raise BadPictureError(f"{relative}: {error}") from error


def read_item(tool: Tool, item: Item) -> Pictures:
    """Read and check an item's pictures.

    Raises:
        BadPictureError: one is missing or unreadable, has a wrong size, or the label map has unknown classes.
    """
    face_path, label_path = (segmented_path(kind, item.img_no) for kind in ("face", "parsing"))
    face = _read(tool, face_path, read_image)
    label_map = _read(tool, label_path, read_label_map)
    whole = read_whole(tool, item.img_path)
    for path, pixels in ((face_path, face), (label_path, label_map)):
        if pixels.shape[:2] != (FACE_SIZE_PX, FACE_SIZE_PX):
            size = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise BadPictureError(f"{path} has {size} pixels instead of {FACE_SIZE_PX} x {FACE_SIZE_PX}")
    try:
        check_label_map(label_map[None])
    except ValueError as error:
        raise BadPictureError(f"{label_path}: {error}") from error
    left, top, right, bottom = item.box
    if not (0 <= left < right <= whole.shape[1] and 0 <= top < bottom <= whole.shape[0]):
        raise BadPictureError(
            f"the box {item.box} in {FACES} does not lie in {item.img_path} of {whole.shape[1::-1]}"
        )
    return Pictures(face, label_map, whole)


def read_items(stage: Stage) -> list[Item]:
    """Faces that stage 3 found."""
    faces = stage.read_csv(FACES, FACE_COLUMNS)
    faces = faces[faces["status"] == "ok"]
    if not len(faces):
        raise UserError(
            f"{FACES} has no face with status ok, so there is nothing to measure. Segment again:\n    "
            f"{stage.command('03_segment_faces', '--force')}"
        )
    boxes = faces[list(BOX)].to_numpy(float)
    return [
        Item(int(img_no), img_path, tuple(box.tolist()))
        for img_no, img_path, box in zip(faces["img_no"], faces["img_path"], boxes, strict=True)
    ]


def raw_columns() -> tuple[str, ...]:
    """Columns of a value and its validity: property, then algorithm."""
    return tuple(
        f"{name}{kind}_v{algorithm}"
        for algorithm in SCORE_TABLES
        for kind in ("", "_valid")
        for name in PROPERTY_NAMES
    )


def measure(items: Sequence[Item], pictures: Sequence[Pictures]) -> list[dict[str, float | bool]]:
    """Raw values and validity of all algorithms, one row per item; whole pictures of one size."""
    faces, label_maps, wholes = (np.stack(group) for group in zip(*pictures, strict=True))
    boxes = np.array([item.box for item in items])
    parts = []
    for algorithm in SCORE_TABLES:
        parts.extend(compute_scores(label_maps, faces, algorithm, wholes, boxes))
    columns = raw_columns()
    width = len(columns) // len(parts)
    return [
        {column: parts[index // width][row, index % width].item() for index, column in enumerate(columns)}
        for row in range(len(items))
    ]


def measure_batch(
    stage: Stage, pool: ThreadPoolExecutor, items: Sequence[Item]
) -> Iterator[dict[str, float | bool | str | int]]:
    """Journal rows of a batch: measured ones, and failed ones with the reason."""
    by_size: dict[tuple[int, ...], list[tuple[Item, Pictures]]] = {}
    futures = [pool.submit(read_item, stage, item) for item in items]
    for item, future in zip(items, futures, strict=True):
        try:
            pictures = future.result()
        except BadPictureError as error:
            row = {"img_no": item.img_no, "img_path": item.img_path, "status": "failed", "reason": str(error)}
            yield row | dict.fromkeys(raw_columns())
        else:
            by_size.setdefault(pictures.whole.shape, []).append((item, pictures))
    for group in by_size.values():
        for (item, _), row in zip(group, measure(*zip(*group, strict=True)), strict=True):
            yield {"img_no": item.img_no, "img_path": item.img_path, "status": "ok", "reason": ""} | row


def measure_all(stage: Stage, options: Any, items: Sequence[Item]) -> pd.DataFrame:
    """Measure what the journal does not have yet; the journal's table, sorted by image number.

    An interrupted batch is measured again as a whole: in other company the last digits would differ.
    """
    columns = (*ITEM_COLUMNS, *raw_columns())
    with (
        stage.journal(columns) as journal,
        stage.progress(len(items), "faces", done=len(journal)) as progress,
        ThreadPoolExecutor(options.threads or min(8, os.cpu_count() or 1)) as pool,
    ):
        known = set(journal.rows)
        for start in range(0, len(items), options.batch_size):
            batch = items[start : start + options.batch_size]
            if all(item.img_no in known for item in batch):
                continue
            for row in measure_batch(stage, pool, batch):
                if row["img_no"] not in journal:
                    journal.append(row)
                    progress.update()
        table = journal.frame()
    failed = table["status"] == "failed"
    skipped = int((table["img_no"].isin(known) & ~failed).sum())
    stage.count("faces", len(table) - skipped - int(failed.sum()), skipped, int(failed.sum()))
    return table
