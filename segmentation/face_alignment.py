"""Brings faces into the frame that a generator is trained on: similarity transform, cut and padding.

The frame is that of the published CelebA-partial generator: at 256 px facenet-pytorch's MTCNN finds the eyes
61 px apart and their midpoint at (129, 121); other sizes are scaled copies. What lies outside the picture
is filled by reflection that blurs with the distance, much as in FFHQ's preparation (Karras et al. 2019).

Coordinates are continuous: (0, 0) is the outer corner of the first pixel, whose centre is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

FRAME_PX = 256
"""Side of the square in which the frame is defined, and the unit of "frame pixels"."""
EYE_MIDPOINT = (128.5, 120.5)
"""Where (129, 121) really is: MTCNN cuts its windows at whole pixels, and so reads half a pixel too much."""
EYE_DISTANCE = 61.0
FACE_CENTER = (128.5, 139.5)

# Between the eyes and the mouth lies about one eye distance (0.87 to 1.18 of it in 48 frontal photographs).
# From 4/3 on, the head must be turned: then the mouth, which the turn leaves where it is, gives the scale.
TURNED_EYE_PER_MOUTH = 0.75

# Standard deviations of the two blurs of the padding, and the distances from the border at which each has
# taken over, as shares of the side. FFHQ's first blur is the same; its second stage is the median colour,
# which draws edges of its own where the background is not that colour.
PADDING_BLUR, PADDING_BLUR_WIDTH = 0.02, 0.06
PADDING_FAR_BLUR, PADDING_FAR_WIDTH = 0.1, 0.25

MAX_SAMPLED_PX = 8192
SHARPNESS_SIZE_PX = 128
SHARPNESS_REGION = (slice(40, 104), slice(32, 97))
SHARPNESS_SMOOTHING_PX = 1.0  # of 128: leaves little of noise, which counts as sharpness without it
SHARPNESS_SCALE = 1.8  # makes 0.02 a face that is blurred with a sigma of 3.5 px at 256 px


@dataclass(frozen=True)
class Similarity:
    """Rotation, scaling and shift of the plane without mirroring: z -> `factor` z + `offset`, z = x + iy."""

    factor: complex
    offset: complex

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Maps points `[..., 2]` (x, y) to float64 `[..., 2]`."""
        moved = self.factor * to_complex(points) + self.offset
        return np.stack([moved.real, moved.imag], axis=-1)

    def after(self, first: Similarity) -> Similarity:
        """The transform that applies `first` and then this one."""
        return Similarity(self.factor * first.factor, self.factor * first.offset + self.offset)

    def inverse(self) -> Similarity:
        """The transform that undoes this one."""
        return Similarity(1 / self.factor, -self.offset / self.factor)

    @property
    def scale(self) -> float:
        """Length after per length before."""
        return abs(self.factor)

    @property
    def angle_deg(self) -> float:
        """Rotation in degrees, -180 to 180, clockwise as one sees it (y points down)."""
        return math.degrees(math.atan2(self.factor.imag, self.factor.real))


def to_complex(points: np.ndarray) -> np.ndarray:
    """Points `[..., 2]` as complex numbers x + iy."""
    points = np.asarray(points, dtype=np.float64)
    return points[..., 0] + 1j * points[..., 1]


def similarity_from_landmarks(landmarks: np.ndarray) -> Similarity:
    """Transform from frame pixels to the picture in which these landmarks were found.

    Rotation and position come from the eyes. So does the scale, unless the head is turned so far that the
    eyes have come too close to each other; then it comes from the distance between eyes and mouth.

    Args:
        landmarks: `[5, 2]` x, y in pixels of the picture: eye, eye, nose, mouth corner, mouth corner; of
            each pair the one that is left in an upright picture comes first.

    Raises:
        ValueError: the landmarks are not finite, or all on one spot.
    """
    left, right, _, *mouth = to_complex(landmarks)
    middle = (left + right) / 2
    across, down = right - left, sum(mouth) / 2 - middle
    if not (np.isfinite(across) and np.isfinite(down)) or across == down == 0:
        raise ValueError("the landmarks of the face lie on one spot or are not finite")
    turned = abs(across) < TURNED_EYE_PER_MOUTH * abs(down)
    if turned:
        # Close together, the eyes tell little about the rotation either: FFHQ's mean of both directions.
        direction = across - 1j * down
        length = TURNED_EYE_PER_MOUTH * abs(down)
    else:
        direction, length = across, abs(across)
    factor = direction / abs(direction) * length / EYE_DISTANCE
    return Similarity(complex(factor), complex(middle - factor * complex(*EYE_MIDPOINT)))


def distance_between(first: Similarity, second: Similarity) -> float:
    """Largest distance, in frame pixels, between where two transforms put the frame's quarter points.

    The quarter points are (1/4, 1/4), (3/4, 1/4), (1/4, 3/4) and (3/4, 3/4) of the side. Both transforms
    map the frame to one picture; the distance is measured in the frame of `first`.
    """
    near, far = FRAME_PX / 4, 3 * FRAME_PX / 4
    points = np.array([[near, near], [far, near], [near, far], [far, far]])
    moved = first.inverse().after(second)(points)
    return float(np.linalg.norm(moved - points, axis=1).max())


def warp(
    image: np.ndarray, to_picture: Similarity, shape: tuple[int, int], border: int = cv2.BORDER_REFLECT
) -> np.ndarray:
    """Samples a picture on a rotated, scaled and shifted grid, without aliasing.

    Where the picture shrinks, it is sampled at least once per pixel and then reduced by a Lanczos filter.

    Args:
        image: uint8 `[H, W, 3]`.
        to_picture: maps pixels of the result to pixels of `image`.
        shape: height and width of the result.
        border: what lies outside the picture, a border mode of OpenCV.

    Returns:
        uint8 `[*shape, 3]`.
    """
    finest = max(MAX_SAMPLED_PX // max(shape), 1)
    samples = min(max(math.ceil(to_picture.scale - 1e-6), 1), finest)
    # OpenCV counts from the centre of the first pixel.
    center = 0.5 + 0.5j
    factor = to_picture.factor / samples
    offset = factor * center + to_picture.offset - center
    matrix = np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]])
    sampled = cv2.warpAffine(
        image,
        matrix,
        (shape[1] * samples, shape[0] * samples),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    if samples == 1:
        return sampled
    reduced = Image.fromarray(sampled).resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    return np.asarray(reduced)


def at_size(transform: Similarity, size_px: int) -> Similarity:
    """The transform from frame pixels as one from pixels of a frame that is `size_px` wide."""
    return transform.after(Similarity(complex(FRAME_PX / size_px), 0j))


def cut_out(image: np.ndarray, transform: Similarity, size_px: int) -> tuple[np.ndarray, float]:
    """The face in its frame, and which share of it had to be invented.

    Args:
        image: uint8 `[H, W, 3]` RGB.
        transform: from frame pixels to the picture.
        size_px: side of the result, pixels.

    Returns:
        uint8 `[size_px, size_px, 3]`, and the share of its pixels that lie outside the picture, 0 to 1.
    """
    to_picture = at_size(transform, size_px)
    aligned = warp(image, to_picture, (size_px, size_px))
    outside = _distance_outside(image.shape[:2], to_picture, size_px) / size_px
    share = float((outside > 0).mean())
    if share == 0:
        return aligned, 0.0
    sharp: np.ndarray = aligned.astype(np.float32)
    filled = sharp
    for sigma, width in ((PADDING_BLUR, PADDING_BLUR_WIDTH), (PADDING_FAR_BLUR, PADDING_FAR_WIDTH)):
        blurred = cv2.GaussianBlur(sharp, (0, 0), sigma * size_px, borderType=cv2.BORDER_REFLECT)
        filled = filled + (blurred - filled) * np.clip(outside / width, 0, 1)[..., None]
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8), share


def _distance_outside(shape: tuple[int, int], to_picture: Similarity, size_px: int) -> np.ndarray:
    """How far each pixel of the result lies outside the picture, in pixels of the result `[size, size]`."""
    centers = np.arange(size_px) + 0.5
    points = to_picture(np.stack(np.meshgrid(centers, centers), axis=-1))
    beyond = np.maximum(np.maximum(-points, points - np.array(shape[::-1])), 0)
    return np.linalg.norm(beyond, axis=-1) / to_picture.scale


def sharpness(image: np.ndarray, transform: Similarity) -> float:
    """How sharp a face is: variance of the Laplacian (Pech-Pacheco et al. 2000) over that of the brightness,
    both after a slight smoothing, which noise does not survive.

    Measured from the brows to below the mouth, in a frame of 128 px, so that neither the size of the picture
    nor its contrast matters.

    Args:
        image: uint8 `[H, W, 3]` RGB.
        transform: from frame pixels to the picture.
    """
    side = SHARPNESS_SIZE_PX
    aligned = warp(image, at_size(transform, side), (side, side))
    grey = cv2.cvtColor(aligned, cv2.COLOR_RGB2GRAY).astype(np.float64)
    smooth = cv2.GaussianBlur(grey, (0, 0), SHARPNESS_SMOOTHING_PX)
    laplacian = cv2.Laplacian(smooth, cv2.CV_64F, ksize=1)
    spread = smooth[SHARPNESS_REGION].var()
    return float(SHARPNESS_SCALE * laplacian[SHARPNESS_REGION].var() / spread) if spread > 0 else 0.0


def distinct(transforms: Sequence[Similarity], min_distance: float) -> list[int]:
    """Indices of transforms that show different faces; of two that show the same, the first stays.

    Args:
        transforms: from frame pixels to one picture, the best first.
        min_distance: two faces are different if their centres (`FACE_CENTER`) lie farther apart than this,
            in frame pixels of the smaller one.
    """
    kept: list[int] = []
    center = complex(*FACE_CENTER)
    for index, new in enumerate(transforms):
        here = new.factor * center + new.offset
        if all(
            abs(here - (old.factor * center + old.offset)) > min_distance * min(new.scale, old.scale)
            for old in (transforms[other] for other in kept)
        ):
            kept.append(index)
    return kept
