"""Points of a face that sketches and portraits have, read from label maps, and how far they are apart."""

from __future__ import annotations

import numpy as np

from segmentation.face_classes import FaceClass
from sketch.lines import FACE, LIPS, SMALLEST_PART, Box

POINT_NAMES = (
    *(f"{side}_brow_{end}" for side in ("left", "right") for end in ("start", "middle", "end")),
    *(f"{side}_eye_{end}" for side in ("left", "right") for end in ("start", "end", "top", "bottom")),
    *("nose_start", "nose_end", "nose_bottom"),
    *("lips_start", "lips_end", "lips_top", "lips_bottom"),
    *("chin", "cheek_start", "cheek_end"),
)


def face_points(label_map: np.ndarray, box: Box) -> np.ndarray:
    """Extremes of the parts of a face.

    Args:
        label_map: uint8 [H, W], classes of `FaceClass` in the face crop.
        box: where the crop lies in the picture, as shares of its side.

    Returns:
        float64 [P, 2] in the order of `POINT_NAMES`, as shares of the picture's side; NaN for parts that are
        not there.
    """
    height, width = label_map.shape
    found: list[tuple[float, float]] = []
    for side in (FaceClass.LEFT_BROW, FaceClass.RIGHT_BROW):
        start, end, _, _ = _extremes(label_map == side)
        found += [start, (np.nan, np.nan) if np.isnan(start[0]) else _center(label_map == side), end]
    for side in (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE):
        found += _extremes(label_map == side)
    start, end, _, bottom = _extremes(label_map == FaceClass.NOSE)
    found += [start, end, bottom]
    found += _extremes(np.isin(label_map, LIPS))
    face = np.isin(label_map, FACE)
    _, _, _, chin = _extremes(face)
    nose_rows = np.flatnonzero((label_map == FaceClass.NOSE).any(axis=1))
    cheeks = [(np.nan, np.nan)] * 2
    if len(nose_rows) and not np.isnan(chin[0]):
        row = int(nose_rows.mean())
        columns = np.flatnonzero(face[row])
        if len(columns):
            cheeks = [(float(columns[0]), float(row)), (float(columns[-1]), float(row))]
    points = np.array([*found, chin, *cheeks])
    scale = np.array([(box[2] - box[0]) / width, (box[3] - box[1]) / height])
    return np.array(box[:2]) + (points + 0.5) * scale


def eye_distance(points: np.ndarray) -> float:
    """Distance of the middles of the eyes, in the unit of points [P, 2]; NaN without both eyes."""
    first = POINT_NAMES.index("left_eye_start")
    left, right = (points[place : place + 2].mean(axis=0) for place in (first, first + 4))
    return float(np.hypot(*(left - right)))


def landmark_distance(asked: np.ndarray, found: np.ndarray) -> float:
    """Mean distance of the points [P, 2] of two faces, of those that both have, in eye distances of `asked`.

    NaN if they have none in common.
    """
    apart = np.hypot(*(asked - found).T) / eye_distance(asked)
    return float(np.nanmean(apart)) if np.isfinite(apart).any() else float("nan")


def _extremes(region: np.ndarray) -> list[tuple[float, float]]:
    """Leftmost, rightmost, highest and lowest point (x, y) of a region; NaN if it is too small."""
    rows, columns = np.nonzero(region)
    if len(rows) < SMALLEST_PART / 4 * region.size:
        return [(np.nan, np.nan)] * 4

    def middle(is_there: np.ndarray) -> tuple[float, float]:
        return float(columns[is_there].mean()), float(rows[is_there].mean())

    return [
        middle(columns == columns.min()),
        middle(columns == columns.max()),
        middle(rows == rows.min()),
        middle(rows == rows.max()),
    ]


def _center(region: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(region)
    return float(columns.mean()), float(rows.mean())
