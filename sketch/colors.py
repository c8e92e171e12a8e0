"""What lines do not tell: the colours of hair, skin, clothes and both sides of the background."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from segmentation.face_classes import FaceClass
from sketch.lines import FACE, OUTSIDE, Box, placed_label_map

COLOR_NAMES = ("hair", "skin", "clothes", "background_left", "background_right")  # of the picture
CLOTHES_HEIGHT = 0.06  # of the picture, at its lower edge
SMALLEST_REGION = 8  # pixels
PALETTE_SIZE = 256  # people whose colours a network file keeps


def face_colors(picture: np.ndarray, label_map: np.ndarray, box: Box) -> np.ndarray:
    """Colours of a person.

    Args:
        picture: uint8 [S, S, 3] RGB, the whole one.
        label_map: uint8 [H, W], classes of `FaceClass` in the face crop.
        box: where the crop lies in the picture.

    Returns:
        float32 [5, 3], RGB in [0, 255] in the order of `COLOR_NAMES`: medians of the regions' pixels. A
        side of the background that is not seen has the median of all background, another region that of
        the whole picture.
    """
    size = picture.shape[0]
    labels = placed_label_map(label_map, box, size)
    face_rows = np.flatnonzero(np.isin(labels, FACE).any(axis=1))
    chin = int(face_rows.max()) if len(face_rows) else size
    is_hair = (labels == FaceClass.HAIR).astype(np.uint8)
    near_hair = cv2.dilate(is_hair, np.ones((7, 7), np.uint8)) > 0
    rows = np.arange(size)[:, None]
    columns = (np.arange(size)[None] + 0.5) / size
    is_background = np.isin(labels, (FaceClass.BACKGROUND, OUTSIDE)) & (rows < 0.8 * chin) & ~near_hair
    regions = {
        "hair": cv2.erode(is_hair, np.ones((3, 3), np.uint8)) > 0,
        "skin": labels == FaceClass.SKIN,
        "clothes": (rows >= (1 - CLOTHES_HEIGHT) * size) & (np.abs(columns - 0.5) < 0.25) & ~near_hair,
        "background_left": is_background & (columns < 0.5),
        "background_right": is_background & (columns > 0.5),
    }
    whole = np.median(picture.reshape(-1, 3), axis=0)
    behind = _median(picture, is_background, whole)
    others = {"background_left": behind, "background_right": behind}
    found = [_median(picture, regions[name], others.get(name, whole)) for name in COLOR_NAMES]
    return np.array(found, np.float32)


def _median(picture: np.ndarray, region: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    return np.median(picture[region], axis=0) if region.sum() >= SMALLEST_REGION else otherwise


def mirrored(colors: np.ndarray) -> np.ndarray:
    """The colours [..., 5, 3] of a picture whose sides are exchanged."""
    exchanged = {"background_left": "background_right", "background_right": "background_left"}
    return colors[..., [COLOR_NAMES.index(exchanged.get(name, name)) for name in COLOR_NAMES], :]


def parse_color(text: str) -> tuple[int, int, int]:
    """A colour from ``#rrggbb``; else `ValueError`."""
    digits = text.strip().removeprefix("#")
    if len(digits) != 6 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(f"{text!r} is no colour; write it as #rrggbb, such as #7a4a2b.")
    red, green, blue = (int(digits[start : start + 2], 16) for start in (0, 2, 4))
    return red, green, blue


def color_text(color: np.ndarray) -> str:
    """A colour [3] in [0, 255] as ``#rrggbb``."""
    return "#" + "".join(f"{round(float(value)):02x}" for value in np.clip(color, 0, 255))


def chosen_colors(
    palette: np.ndarray, seed: int, given: Mapping[str, tuple[int, int, int]] | None = None
) -> np.ndarray:
    """Colours for a portrait: those that are given, and for the others those of one person of a palette.

    Args:
        palette: uint8 [P, 5, 3], colours of people.
        seed: chooses the person.
        given: RGB of some of `COLOR_NAMES`.

    Returns:
        float32 [5, 3] in [0, 255].
    """
    colors = palette[np.random.default_rng(seed).integers(len(palette))].astype(np.float32)
    for name, color in (given or {}).items():
        colors[COLOR_NAMES.index(name)] = color
    return colors
