"""Raw values of the seven properties, measured on the faces that stage 03 cut out and parsed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from scripts.pipeline import Stage, Tool, UserError
from scripts.stages.image_files import ImageFileError, read_image, read_label_map
from scripts.stages.pictures import read_ahead, read_recorded, reader_threads
from scripts.stages.workspace import FACES, SCORE_TABLES, segmented_path
from segmentation.property_scores import check_label_map, compute_scores
from segmentation.property_table import PROPERTY_NAMES

FACE_SIZE_PX = 224
BOX = ("x0", "y0", "x1", "y1")
RAW_COLUMNS = tuple(
    f"{name}{kind}_v{algorithm}"
    for algorithm in SCORE_TABLES
    for kind in ("", "_valid")
    for name in PROPERTY_NAMES
)
COLUMNS = ("img_no", "img_path", "status", "reason", *RAW_COLUMNS)
Row = dict[str, Any]


class Item(NamedTuple):
    """One face as stage 03 left it; its box (left, top, right, bottom) is in pixels of the picture."""

    img_no: int
    img_path: str
    box: tuple[float, float, float, float]


class Pictures(NamedTuple):
    """The three pictures of an item, uint8: RGB [224, 224, 3], classes [224, 224], RGB [H, W, 3]."""

    face: np.ndarray
    label_map: np.ndarray
    whole: np.ndarray


def read_items(stage: Stage) -> list[Item]:
    """Faces that stage 03 found."""
    faces = stage.read_csv(FACES, ("img_no", "img_path", "status", *BOX))
    faces = faces[faces["status"] == "ok"]
    if not len(faces):
        raise UserError(
            f"{FACES} has no face with status ok, so there is nothing to measure. Segment again:\n    "
            f"{stage.command('03_segment_faces', '--force')}"
        )
    boxes = map(tuple, faces[list(BOX)].to_numpy(float).tolist())
    return list(map(Item, faces["img_no"].tolist(), faces["img_path"], boxes))


def read_whole(
    tool: Tool, relative: str, reader: Callable[[Path, str], np.ndarray] = read_image
) -> np.ndarray:
    """A picture of the workspace as its stage wrote it; else `ImageFileError`, which names it."""
    try:
        return read_recorded(tool, relative, reader)
    except ImageFileError as error:
        raise ImageFileError(f"{relative}: {error}") from error


def read_item(tool: Tool, item: Item) -> Pictures:
    """Read and check an item's pictures.

    Raises:
        ImageFileError: one is missing or unreadable, has a wrong size, or the label map has unknown classes.
    """
    face_path, label_path = (segmented_path(kind, item.img_no) for kind in ("face", "parsing"))
    face, label_map = read_whole(tool, face_path), read_whole(tool, label_path, read_label_map)
    whole = read_whole(tool, item.img_path)
    for path, pixels in ((face_path, face), (label_path, label_map)):
        if pixels.shape[:2] != (FACE_SIZE_PX, FACE_SIZE_PX):
            size = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise ImageFileError(f"{path} has {size} pixels instead of {FACE_SIZE_PX} x {FACE_SIZE_PX}")
    try:
        check_label_map(label_map[None])
    except ValueError as error:
        raise ImageFileError(f"{label_path}: {error}") from error
    left, top, right, bottom = item.box
    if not (0 <= left < right <= whole.shape[1] and 0 <= top < bottom <= whole.shape[0]):
        raise ImageFileError(
            f"the box {item.box} in {FACES} does not lie in {item.img_path} of {whole.shape[1::-1]}"
        )
    return Pictures(face, label_map, whole)


def measure_batch(batch: Iterable[tuple[Item, Future[Pictures]]]) -> Iterator[Row]:
    """Rows of the journal: unreadable faces with the reason, then the values of all algorithms."""
    by_size: dict[tuple[int, ...], list[tuple[Item, Pictures]]] = defaultdict(list)
    for item, future in batch:
        try:
            pictures = future.result()
        except ImageFileError as error:
            row = {"img_no": item.img_no, "img_path": item.img_path, "status": "failed", "reason": str(error)}
            yield row | dict.fromkeys(RAW_COLUMNS)
        else:
            by_size[pictures.whole.shape].append((item, pictures))
    for group in by_size.values():
        items, read = zip(*group, strict=True)
        faces, label_maps, wholes = map(np.stack, zip(*read, strict=True))
        boxes = np.array([item.box for item in items])
        found = [compute_scores(label_maps, faces, algorithm, wholes, boxes) for algorithm in SCORE_TABLES]
        columns = [column.tolist() for part in chain.from_iterable(found) for column in part.T]
        for item, *values in zip(items, *columns, strict=True):
            yield dict(zip(COLUMNS, (item.img_no, item.img_path, "ok", "", *values), strict=True))


def measure_all(stage: Stage, options: Any, items: Sequence[Item]) -> pd.DataFrame:
    """Measure what the journal does not have yet; the journal's table, sorted by image number.

    An interrupted batch is measured again as a whole: in other company the last digits would differ.
    """
    with (
        stage.journal(COLUMNS) as journal,
        stage.progress(len(items), "faces", done=len(journal)) as progress,
    ):
        known = set(journal.rows)
        batches = (
            items[start : start + options.batch_size] for start in range(0, len(items), options.batch_size)
        )
        missing = [batch for batch in batches if not all(item.img_no in known for item in batch)]
        pictures = read_ahead(
            chain.from_iterable(missing), partial(read_item, stage), options.batch_size, reader_threads(stage)
        )
        for batch in missing:
            for row in measure_batch(islice(pictures, len(batch))):
                if row["img_no"] not in journal:
                    journal.append(row)
                    progress.update()
        table = journal.frame()
    failed = table["status"] == "failed"
    skipped = int((table["img_no"].isin(known) & ~failed).sum())
    stage.count("faces", len(table) - skipped - int(failed.sum()), skipped, int(failed.sum()))
    return table
