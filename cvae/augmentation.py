"""Variants of pictures: the documents' changes of brightness, saturation, cut-out and angle.

A variant is rotated about its middle and cut out so closely that no corner of the rotated frame shows.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
from PIL import Image, ImageEnhance

EDGE_PX = 1.5  # where the rotation mixes the picture with what lies outside


@dataclass(frozen=True)
class Change:
    """How a picture is changed, or how much at the most; the default leaves it as it is.

    Attributes:
        brightness: relative change of all grey levels, such as .1 for 10 % brighter.
        saturation: relative change of the distance from grey.
        crop: share of each side that is cut off, beyond what the rotation takes.
        rotation: degrees, counter-clockwise.
    """

    brightness: float = 0.0
    saturation: float = 0.0
    crop: float = 0.0
    rotation: float = 0.0

    def draw(self, seed: int) -> Change:
        """A change between minus and plus this one, the crop between 0 and this one."""
        rng = np.random.default_rng(seed)
        brightness, saturation, crop, rotation = rng.uniform(-1, 1, 4) * astuple(self)
        return Change(float(brightness), float(saturation), float(abs(crop)), float(rotation))

    def told(self, change: Change) -> tuple[float, ...]:
        """A smaller change in shares of this one, as a network is told it."""
        pairs = zip(astuple(change), astuple(self), strict=True)
        return tuple(value / most if most else 0.0 for value, most in pairs)


def inner_share(width: int, height: int, degrees: float) -> float:
    """Side of the largest upright frame of the same shape inside a rotated one, as a share of it."""
    angle = math.radians(abs(degrees))
    cos, sin = math.cos(angle), math.sin(angle)
    return 1 / (cos + sin * max(height / width, width / height))


def variant(picture: np.ndarray, change: Change, height: int, width: int) -> np.ndarray:
    """A changed picture: uint8 [H, W, 3] to uint8 [height, width, 3].

    A picture of another shape is cut to that of the result first, about its middle.
    """
    image = Image.fromarray(picture)
    frame_width = min(image.width, image.height * width / height)
    frame_height = frame_width * height / width
    share = inner_share(width, height, change.rotation) * (1 - 2 * change.crop)
    if change.rotation:
        image = image.rotate(change.rotation, Image.Resampling.BICUBIC)
        share -= 2 * EDGE_PX / min(frame_width, frame_height)
    half_width, half_height = frame_width * share / 2, frame_height * share / 2
    middle_x, middle_y = image.width / 2, image.height / 2
    box = (middle_x - half_width, middle_y - half_height, middle_x + half_width, middle_y + half_height)
    image = image.resize((width, height), Image.Resampling.LANCZOS, box=box)
    if change.saturation:
        image = ImageEnhance.Color(image).enhance(1 + change.saturation)
    if change.brightness:
        image = ImageEnhance.Brightness(image).enhance(1 + change.brightness)
    return np.asarray(image)
