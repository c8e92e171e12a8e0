"""The faces that stage 03 cut out and parsed, read back and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scripts.face_pictures import read_picture

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


def read_whole(workspace: Path, relative: str) -> np.ndarray:
    """The picture that a face was cut from, as stage 3 saw it: uint8 [H, W, 3] RGB, upright.

    Raises:
        BadPictureError: missing or unreadable.
    """
    whole = read_picture(workspace / relative)
    if isinstance(whole, str):
        raise BadPictureError(f"{relative}: {whole}")
    return whole


def read_pixels(path: Path, relative: str, is_rgb: bool) -> np.ndarray:
    """uint8 [H, W, 3] RGB; or the pixels as stored, which for a label map are class ids, uint8 [H, W].

    For files that stage 3 wrote.

    Raises:
        BadPictureError: missing or unreadable; `relative` is what the message calls it.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB") if is_rgb else picture)
    except FileNotFoundError:
        raise BadPictureError(f"{relative} is missing") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadPictureError(
            f"{relative} cannot be read: {str(error).replace(str(path), path.name)}"
        ) from error


def read_item(workspace: Path, item: Item) -> Pictures:
    """Read and check an item's pictures.

    Raises:
        BadPictureError: one is missing or unreadable, has a wrong size, or the label map has unknown classes.
    """
    from segmentation.property_scores import check_label_map

    face_path, label_path = (f"{SEGMENTED}/{kind}_{item.img_no:06d}.png" for kind in ("face", "parsing"))
    face = read_pixels(workspace / face_path, face_path, is_rgb=True)
    label_map = read_pixels(workspace / label_path, label_path, is_rgb=False)
    whole = read_whole(workspace, item.img_path)
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
        raise BadPictureError(f"the box {item.box} does not lie in {item.img_path} of {whole.shape[1::-1]}")
    return Pictures(face, label_map, whole)
