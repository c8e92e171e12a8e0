"""Property scores, algorithm 3: in units of the face and steady under wrong pixels, for training labels.

Areas and moments take the place of first and last rows, small parts are looked for around the median of their
pixels, and lengths are divided by lengths of the same face. The entry point is
`property_scores.compute_scores`.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from segmentation import mask_measures as measures
from segmentation.face_classes import FaceClass
from segmentation.mask_measures import Region

# Smaller regions count as missing; shares of the label map's pixels (5 and 1,004 of 224 x 224).
_MIN_PART_SHARE = 1e-4
_MIN_FACE_SHARE = 0.02


@dataclass(frozen=True)
class _Face:
    """Regions of N faces; lengths in pixels of the label map, float64 [N], NaN where a region is missing."""

    whole: Region  # skin and everything inside it
    left_eye: Region
    right_eye: Region
    nose: Region
    mouth: Region  # the lips and what they enclose
    inner_mouth_area: np.ndarray
    width: np.ndarray
    height: np.ndarray

    @property
    def eye_y(self) -> np.ndarray:
        """Row of the eyes."""
        return _mean_of_present(self.left_eye.y, self.right_eye.y)


def measure_v3(
    label_map: np.ndarray,
    brightness: np.ndarray,
    picture_brightness: np.ndarray,
    boxes: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Measure the seven properties.

    Args:
        label_map: uint8 [N, H, W], class ids.
        brightness: uint16 [N, H, W], R + G + B of the face crops.
        picture_brightness: uint16 [N, PH, PW], R + G + B of the whole pictures.
        boxes: float64 [N, 4], the crops' left, top, right and bottom in pixels of the pictures.

    Returns:
        (values float64 [N], valid bool [N]) of each property, in the order of the property table; NaN if not
        valid.
    """
    face = _find_face(label_map)
    geometry = np.stack([face.whole.x, face.whole.y, face.width, face.height, face.eye_y])
    geometry = _to_picture(geometry, boxes, label_map.shape[1:])
    picture_labels = _labels_in_picture(label_map, boxes, picture_brightness.shape[1:])
    hair = label_map == FaceClass.HAIR
    values = (
        _eyes(face),
        _hair_color(face, hair, brightness),
        _hair_length(face, hair),
        _mouth(face),
        (face.nose.x - face.whole.x) / face.width,  # pose: a turn moves the nose most and the outline least
        *_background(picture_labels, picture_brightness, geometry),
    )
    return [(value, ~np.isnan(value)) for value in values]


def _find_face(label_map: np.ndarray) -> _Face:
    pixel_count = label_map.shape[1] * label_map.shape[2]
    inside = (label_map >= FaceClass.SKIN) & (label_map <= FaceClass.LOWER_LIP)
    whole = _where_large(measures.region(inside), _MIN_FACE_SHARE * pixel_count)
    # An ellipse reaches two standard deviations to each side.
    width, height = 4 * np.sqrt(whole.variance_x), 4 * np.sqrt(whole.variance_y)

    def near(mask: np.ndarray, reach: float) -> np.ndarray:
        return measures.near_median(mask, reach * width, reach * height)

    def part(mask: np.ndarray) -> Region:
        return _where_large(measures.region(mask), _MIN_PART_SHARE * pixel_count)

    mouth = near((label_map >= FaceClass.UPPER_LIP) & (label_map <= FaceClass.LOWER_LIP), 0.35)
    return _Face(
        whole=whole,
        left_eye=part(near(label_map == FaceClass.LEFT_EYE, 0.25)),
        right_eye=part(near(label_map == FaceClass.RIGHT_EYE, 0.25)),
        nose=part(near(label_map == FaceClass.NOSE, 0.35)),
        mouth=part(mouth),
        inner_mouth_area=(mouth & (label_map == FaceClass.INNER_MOUTH)).sum(axis=(1, 2)),
        width=width,
        height=height,
    )


def _where_large(region: Region, min_area: float) -> Region:
    """The region, missing (area 0, moments NaN) where it is smaller than `min_area`."""
    large = region.area >= min_area
    moments = (region.x, region.y, region.variance_x, region.variance_y)
    return Region(np.where(large, region.area, 0.0), *(np.where(large, moment, np.nan) for moment in moments))


def _mean_of_present(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean of two measurements; the other one where one is NaN."""
    return (np.where(np.isnan(first), second, first) + np.where(np.isnan(second), first, second)) / 2


def _eyes(face: _Face) -> np.ndarray:
    """Mean height of the eyes over their mean width; 0.02 or so for a closed lid's line, 0.6 wide open."""
    both = (face.left_eye, face.right_eye)
    width = _mean_of_present(*(4 * np.sqrt(eye.variance_x) for eye in both))
    # A turn of the head widens one eye as much as it narrows the other, so both share one width. Half-found
    # lines of closed eyes are too narrow; dividing by their width would make them look open.
    width = np.fmax(width, 0.2 * face.width)
    heights = (np.where(eye.area > 0, eye.area / (np.pi / 4 * width), np.nan) for eye in both)
    return _mean_of_present(*heights) / width


def _hair_color(face: _Face, hair: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """Mean brightness of the hair without its extreme 20 %, 0 to 255.

    Hair below the mouth, often shaded, counts only where there is no other.
    """
    enough = _MIN_PART_SHARE * hair.shape[1] * hair.shape[2]
    mouth_row = face.whole.y + 0.3 * face.height
    upper = hair & (np.arange(hair.shape[1]) < mouth_row[:, None])[:, :, None]
    use_upper = upper.sum(axis=(1, 2)) >= enough
    used = np.where(use_upper[:, None, None], upper, hair)
    histograms = measures.brightness_histograms(used, brightness)
    mean, _ = measures.histogram_moments(measures.trim_shares(histograms, 0.1, 0.9))
    return np.where(histograms.sum(axis=1) >= enough, mean, np.nan)


def _hair_length(face: _Face, hair: np.ndarray) -> np.ndarray:
    """From the eyes down to the last row with a strand of hair, in widths of the face."""
    per_row = hair.sum(axis=2)
    _, last, present = measures.extents(per_row >= 0.06 * face.width[:, None])
    # Hair that leaves the crop is taken to go on below in proportion to the width at which it leaves.
    # Averaging over a few rows makes the passage gradual.
    bottom_rows = max(1, round(hair.shape[1] / 56))
    below = 0.15 * per_row[:, -bottom_rows:].mean(axis=1)
    return np.where(present, (last + below - face.eye_y) / face.width, np.nan)


def _mouth(face: _Face) -> np.ndarray:
    """Mean height of the opening between the lips, in widths of the face; 0 when closed."""
    return face.inner_mouth_area / (4 * np.sqrt(face.mouth.variance_x)) / face.width


def _background(
    labels: np.ndarray, brightness: np.ndarray, geometry: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the background's brightness without its extreme 2 %, 0 to 255.

    Class 0 has neck, ears and clothes as well: pixels below the chin count only the farther out the lower
    they are, and beside the eyes and below only those outside the face's columns count.

    Args:
        labels: uint8 [N, H, W].
        brightness: uint16 [N, H, W].
        geometry: float64 [5, N], the face's centre x and y, width, height, and row of the eyes, in pixels of
            `labels`.
    """
    center_x, center_y, width, height, eye_y = geometry[:, :, None]
    rows, columns = np.arange(labels.shape[1]) + 0.5, np.arange(labels.shape[2]) + 0.5
    aside = np.abs(columns - center_x) / width
    lowest = center_y + height * (0.5 + 0.4 * np.maximum(aside - 0.5, 0))
    free = rows[:, None] < lowest[:, None, :]
    head = (aside < 0.5)[:, None, :] & (rows > eye_y - 0.1 * height)[:, :, None]
    # Pixels at the edge of the head mix its colour with the background's.
    reach = max(1, round(labels.shape[1] / 56))
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    away_from_head = [cv2.erode((one == FaceClass.BACKGROUND).view(np.uint8), kernel) for one in labels]
    mask = np.stack(away_from_head).view(bool) & free & ~head
    histograms = measures.brightness_histograms(mask, brightness)
    enough = histograms.sum(axis=1) >= _MIN_PART_SHARE * labels.shape[1] * labels.shape[2]
    mean, std = measures.histogram_moments(measures.trim_shares(histograms, 0.01, 0.99))
    return np.where(enough, mean, np.nan), np.where(enough, std, np.nan)


def _labels_in_picture(
    label_map: np.ndarray, boxes: np.ndarray, picture_shape: tuple[int, ...]
) -> np.ndarray:
    """Label maps laid back over their whole pictures: uint8 [N, PH, PW].

    Outside the box the nearest pixel's class is continued: hair that the crop's edge cuts goes on beyond it.
    """
    size = label_map.shape[1:]
    top_left, extent = boxes[:, 1::-1], boxes[:, :1:-1] - boxes[:, 1::-1]  # (y, x) each
    rows, columns = (
        np.clip(
            (
                (np.arange(picture_shape[axis]) + 0.5 - top_left[:, axis, None])
                / extent[:, axis, None]
                * size[axis]
            ),
            0,
            size[axis] - 1,
        ).astype(np.int64)
        for axis in (0, 1)
    )
    return label_map[np.arange(len(label_map))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _to_picture(geometry: np.ndarray, boxes: np.ndarray, label_shape: tuple[int, ...]) -> np.ndarray:
    """Geometry as in `_background`, from pixels of the label map to pixels of the picture."""
    left, top, right, bottom = boxes.T
    scale_x, scale_y = (right - left) / label_shape[1], (bottom - top) / label_shape[0]
    center_x, center_y, width, height, eye_y = geometry
    return np.stack(
        [
            left + center_x * scale_x,
            top + center_y * scale_y,
            width * scale_x,
            height * scale_y,
            top + eye_y * scale_y,
        ]
    )
