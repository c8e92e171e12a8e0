"""The eleven classes of a face label map: ids, names and colours.

Classes are those of the LaPa data set (Liu et al. 2020), which FaceXFormer was trained on. Left and right
mean the sides of the picture, not of the person.
"""

from enum import IntEnum

import numpy as np


class FaceClass(IntEnum):
    """Value of a label map's pixel."""

    BACKGROUND = 0  # also neck, ears, clothes and accessories
    SKIN = 1
    LEFT_BROW = 2
    RIGHT_BROW = 3
    LEFT_EYE = 4
    RIGHT_EYE = 5
    NOSE = 6
    UPPER_LIP = 7
    INNER_MOUTH = 8
    LOWER_LIP = 9
    HAIR = 10


CLASS_COUNT = len(FaceClass)

CLASS_NAMES = tuple(face_class.name.lower() for face_class in FaceClass)
"""Names as tables and legends spell them; a class id is a position in this tuple."""

PALETTE = np.array(
    [
        (0, 0, 0),
        (0, 153, 255),
        (102, 255, 153),
        (0, 204, 153),
        (255, 255, 102),
        (255, 255, 204),
        (255, 153, 0),
        (255, 102, 255),
        (102, 0, 51),
        (255, 204, 255),
        (255, 0, 102),
    ],
    dtype=np.uint8,
)
"""RGB colour of each class, as FaceXFormer draws them."""

_CELEBAMASK_CLASSES = np.array(
    [
        *(FaceClass.BACKGROUND, FaceClass.SKIN, FaceClass.NOSE, FaceClass.BACKGROUND),  # the last: glasses
        *(FaceClass.RIGHT_EYE, FaceClass.LEFT_EYE, FaceClass.RIGHT_BROW, FaceClass.LEFT_BROW),
        *(FaceClass.BACKGROUND, FaceClass.BACKGROUND),  # ears
        *(FaceClass.INNER_MOUTH, FaceClass.UPPER_LIP, FaceClass.LOWER_LIP, FaceClass.HAIR),
        *[FaceClass.BACKGROUND] * 5,  # hat, earring, necklace, neck, cloth
    ],
    dtype=np.uint8,
)
"""Our classes of those of CelebAMask-HQ (Lee et al., CVPR 2020), whose left and right are the person's."""
CELEBAMASK_COUNT = len(_CELEBAMASK_CLASSES)


def from_celebamask(mask: np.ndarray) -> np.ndarray:
    """A label map uint8 `[H, W]` from a mask uint8 `[H, W]` in the 19 classes of CelebAMask-HQ, 0 to 18."""
    return _CELEBAMASK_CLASSES[mask]
