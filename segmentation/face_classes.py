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
