"""Colours of skin, irises and fabric, and the classes of the label map with their palette."""

from __future__ import annotations

import colorsys

import numpy as np

BACKGROUND, SKIN, LEFT_BROW, RIGHT_BROW, LEFT_EYE, RIGHT_EYE = range(6)
NOSE, UPPER_LIP, INNER_MOUTH, LOWER_LIP, HAIR = range(6, 11)
CLASS_COUNT = 11

PALETTE = np.array(
    [
        *([0, 0, 0], [0, 153, 255], [102, 255, 153], [0, 204, 153], [255, 255, 102], [255, 255, 204]),
        *([255, 153, 0], [255, 102, 255], [102, 0, 51], [255, 204, 255], [255, 0, 102]),
    ],
    np.uint8,
)
"""RGB colour of each class, as FaceXFormer's visualisations have them."""

SKIN_COLORS = np.array(
    [[244, 212, 190], [238, 196, 166], [224, 174, 138], [204, 148, 110], [158, 104, 74], [112, 74, 54]],
    np.float32,
) / np.float32(255)
IRIS_COLORS = np.array(
    [[66, 36, 22], [104, 66, 36], [110, 98, 52], [92, 122, 96], [84, 132, 172], [132, 170, 204]], np.float32
) / np.float32(255)


def ramp(colors: np.ndarray, position: float) -> np.ndarray:
    """Blend along `colors` [K, 3]; `position` 0..1: float32 [3]."""
    scaled = min(max(position, 0.0), 1.0) * (len(colors) - 1)
    index = min(int(scaled), len(colors) - 2)
    share = np.float32(scaled - index)
    return colors[index] * (1 - share) + colors[index + 1] * share


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """A colour, or a factor for each channel: float32 [3]."""
    return np.array([red, green, blue], np.float32)


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Hue (circular), saturation and value in 0..1 -> RGB float32 [3]."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32)
