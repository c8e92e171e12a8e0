"""The eleven classes of a face label map (the LaPa data set's, which FaceXFormer predicts)."""

from enum import IntEnum


class FaceClass(IntEnum):
    """Value of a label map's pixel. Left and right are the image's, not the person's."""

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
