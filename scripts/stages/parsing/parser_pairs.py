"""Pictures with hand-made masks, to train and judge a face parser on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from scripts.pipeline import Tool, UserError
from scripts.stages.image_files import ImageFileError, read_image, read_label_map
from segmentation.face_classes import CELEBAMASK_COUNT, CLASS_COUNT, from_celebamask

IMAGES, MASKS = "images", "masks"
FEWEST = 2
ASPECT_TOLERANCE = 0.01
LAYOUT = (
    f"A folder of pairs holds {IMAGES}/NAME.jpg (or .png) and {MASKS}/NAME.png, the class of each pixel as a "
    "grey level: 0 to 18 as in CelebAMask-HQ, or 0 to 10 as in segmentation/face_classes.py."
)


class Pairs(NamedTuple):
    """Pictures and what they show."""

    images: np.ndarray
    """uint8 [N, S, S, 3] RGB."""
    label_maps: np.ndarray
    """uint8 [N, S, S], `segmentation.face_classes`."""

    def split(self, held_out: int) -> tuple[Pairs, Pairs]:
        """All but the last pairs, and these, which no training shall see."""
        return Pairs(*(part[:-held_out] for part in self)), Pairs(*(part[-held_out:] for part in self))


def read_pairs(tool: Tool, folder: Path, size_px: int) -> Pairs:
    """All pairs of a folder in the order of their names, as squares of one size.

    Pictures without a mask, masks without a picture and unreadable files are left out and named.

    Args:
        tool: the running script, which says what was left out.
        folder: see `LAYOUT`.
        size_px: side of the squares; the picture's middle square counts.

    Raises:
        UserError: no such folder, or fewer than two pairs.
    """
    files = {
        kind: {path.stem: path for path in sorted((folder / kind).glob("*")) if path.is_file()}
        for kind in (IMAGES, MASKS)
    }
    reasons = dict.fromkeys(files[IMAGES].keys() - files[MASKS].keys(), "it has no mask")
    reasons |= dict.fromkeys(files[MASKS].keys() - files[IMAGES].keys(), "its picture is missing")
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for name in sorted(files[IMAGES].keys() & files[MASKS].keys()):
        try:
            image, mask = read_image(files[IMAGES][name]), read_label_map(files[MASKS][name])
            found.append(_squares(image, mask, size_px))
        except (ImageFileError, ValueError) as error:
            reasons[name] = str(error)
    for name, reason in sorted(reasons.items()):
        tool.log(f"left out {name}: {reason}")
    if len(found) < FEWEST:
        raise UserError(
            f"{folder} holds {len(found)} usable pairs, and a parser needs some hundred to learn from and "
            f"some to be judged on. {LAYOUT}"
        )
    tool.log(f"{len(found)} pairs of {folder}" + (f", {len(reasons)} left out" if reasons else ""))
    images, masks = (np.stack(part) for part in zip(*found, strict=True))
    # A single mask of 19 classes may lack the upper ones; all of them together hardly do.
    return Pairs(images, masks if masks.max() < CLASS_COUNT else from_celebamask(masks))


def _squares(image: np.ndarray, mask: np.ndarray, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The middle squares of a picture and its mask; `ValueError` if they are no pair."""
    if mask.ndim != 2 or mask.max() >= CELEBAMASK_COUNT:
        raise ValueError("its mask is no picture of grey levels 0 to 18, the classes of the pixels")
    (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
    if abs(width / height / (mask_width / mask_height) - 1) > ASPECT_TOLERANCE:
        raise ValueError(f"its mask is {mask_width} x {mask_height} px, the picture {width} x {height}")

    def square(pixels: np.ndarray, method: int) -> np.ndarray:
        rows, columns = pixels.shape[:2]
        side = min(rows, columns)
        top, left = (rows - side) // 2, (columns - side) // 2
        middle = pixels[top : top + side, left : left + side]
        return cv2.resize(middle, (size_px, size_px), interpolation=method)

    return square(image, cv2.INTER_AREA), square(mask, cv2.INTER_NEAREST)
