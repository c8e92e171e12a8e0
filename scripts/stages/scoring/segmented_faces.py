"""The faces that stage 03 cut out and parsed, read back and checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scripts.pipeline import Tool
from scripts.pipeline.image_files import ImageFileError, read_image, read_label_map

if TYPE_CHECKING:
    import numpy as np

FACES = "segmentation/faces.csv"
SEGMENTED = "segmentation/segmentation_results"
FACE_SIZE_PX = 224
BOX = ("x0", "y0", "x1", "y1")


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
        return reader(tool.workspace / relative, tool.recorded_sha256(relative))
    except ImageFileError as error:
        raise BadPictureError(f"{relative}: {error}") from error


def read_item(tool: Tool, item: Item) -> Pictures:
    """Read and check an item's pictures.

    Raises:
        BadPictureError: one is missing or unreadable, has a wrong size, or the label map has unknown classes.
    """
    from segmentation.property_scores import check_label_map

    face_path, label_path = (f"{SEGMENTED}/{kind}_{item.img_no:06d}.png" for kind in ("face", "parsing"))
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
