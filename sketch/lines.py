"""Sketches: the lines of a face as polylines, drawn by the rules of a label map or of 68 landmarks; made
uneven as by a hand; and edges of any picture.

Positions are shares of the picture's side from its upper left corner, so a sketch can be drawn at any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from segmentation.face_classes import FaceClass

POINT_DISTANCE = 0.008  # between two points of a polyline, share of the picture's side
SMOOTHING = 0.007  # standard deviation along a line, share of the side; a label map has steps of one pixel
LINE_WIDTH = 1 / 128  # the document's: 2 px of 256
SMALLEST_PART = 0.0004  # of a label map's area: smaller regions are noise of the parser
OPEN_MOUTH = 0.0008  # of the area, from which on the opening is outlined
SHORTEST_EDGE = 0.08  # share of the side, that counts as hair, neck or shoulder
OUTSIDE = 255  # class of pixels beyond the crop
SUBPIXEL_BITS = 4
FACE = tuple(range(FaceClass.SKIN, FaceClass.HAIR))
LIPS = (FaceClass.UPPER_LIP, FaceClass.INNER_MOUTH, FaceClass.LOWER_LIP)

# The 68 landmarks of 300-W (Sagonas et al., 2013) as the document joins them: name, first, last, closed.
LANDMARK_LINES = (
    ("face", 0, 16, False),
    ("brow", 17, 21, False),
    ("brow", 22, 26, False),
    ("nose", 27, 30, False),
    ("nose", 31, 35, False),
    ("eye", 36, 41, True),
    ("eye", 42, 47, True),
    ("lips", 48, 59, True),
    ("mouth", 60, 67, True),
)

Box = tuple[float, float, float, float]
"""Left, top, right, bottom of a face crop, as shares of the picture's side."""


@dataclass(frozen=True)
class Stroke:
    """One line of a sketch.

    Attributes:
        name: what it outlines, such as "eye".
        points: float32 [n, 2], x and y, n at least 2.
        closed: its end is joined with its beginning.
    """

    name: str
    points: np.ndarray
    closed: bool = False


@dataclass(frozen=True)
class Hand:
    """How unevenly a hand draws; lengths are shares of the picture's side.

    Attributes:
        wobble: standard deviation of the slow wandering of each line.
        shift: standard deviation by which a line as a whole is misplaced.
        scale: standard deviation of the factor by which it is too large or too small.
        drop: probability that a line is forgotten.
        cut: largest share of a line that is left off at its ends.
        widths: narrowest and widest pen.
    """

    wobble: float = 0.004
    shift: float = 0.003
    scale: float = 0.02
    drop: float = 0.06
    cut: float = 0.15
    widths: tuple[float, float] = (0.6 * LINE_WIDTH, 2.2 * LINE_WIDTH)

    def scaled(self, factor: float) -> Hand:
        """A hand so many times as unsteady."""
        lengths = {name: factor * getattr(self, name) for name in ("wobble", "shift", "scale")}
        return replace(self, **lengths, drop=min(1.0, factor * self.drop), cut=min(0.9, factor * self.cut))


def strokes_of_face(label_map: np.ndarray, box: Box) -> list[Stroke]:
    """Outlines of face, brows, eyes, nose, lips and hair.

    Args:
        label_map: uint8 [H, W], classes of `FaceClass` in the face crop.
        box: where the crop lies in the picture.

    Returns:
        strokes in the picture; a part that the crop does not show has none.
    """
    height, width = label_map.shape
    scale = np.array([(box[2] - box[0]) / width, (box[3] - box[1]) / height])

    def placed(name: str, points: np.ndarray, closed: bool) -> list[Stroke]:
        smooth = _smooth(np.array(box[:2]) + (points + 0.5) * scale, closed)
        return [] if smooth is None else [Stroke(name, smooth, closed)]

    def region(*classes: int) -> np.ndarray:
        return np.isin(label_map, classes).astype(np.uint8)

    face, hair = region(*FACE), region(FaceClass.HAIR)
    found: list[Stroke] = []
    for outline in _contours(face)[:1]:
        found += placed("face", outline, True)
    for name, sides in (
        ("brow", (FaceClass.LEFT_BROW, FaceClass.RIGHT_BROW)),
        ("eye", (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE)),
    ):
        for side in sides:
            for outline in _contours(region(side))[:1]:
                if name == "brow":
                    found += placed(name, _middle_line(region(side), outline), False)
                else:
                    found += placed(name, outline, True)
    for outline in _contours(region(FaceClass.NOSE))[:1]:
        found += [one for part in _runs(outline, _lower_half(outline)) for one in placed("nose", part, False)]
    for outline in _contours(region(*LIPS))[:1]:
        found += placed("lips", outline, True)
        inner = [
            part
            for part in _contours(region(FaceClass.INNER_MOUTH))[:1]
            if cv2.contourArea(part.astype(np.float32)) > OPEN_MOUTH * label_map.size
        ]
        found += placed("mouth", inner[0], True) if inner else placed("mouth", _lip_line(label_map), False)
    near_face = cv2.dilate(face, np.ones((5, 5), np.uint8))
    for outline in _contours(hair):
        # The face's outline is drawn already, and where the crop ends no line does.
        is_seen = near_face[outline[:, 1], outline[:, 0]] == 0
        is_seen &= (outline > 1).all(axis=1) & (outline < (width - 2, height - 2)).all(axis=1)
        found += [one for part in _runs(outline, is_seen) for one in placed("hair", part, False)]
    return found


def strokes_of_landmarks(points: np.ndarray) -> list[Stroke]:
    """The document's lines through 68 landmarks, float [68, 2], as shares of the picture's side."""
    if points.shape != (68, 2):
        raise ValueError(f"68 landmarks [68, 2] are needed, not {list(points.shape)}")
    return [
        Stroke(name, points[first : last + 1].astype(np.float32), closed)
        for name, first, last, closed in LANDMARK_LINES
    ]


def strokes_beyond_face(picture: np.ndarray, label_map: np.ndarray, box: Box) -> list[Stroke]:
    """Long edges where the label map says nothing: beyond the crop, and below the chin neck and shoulders.

    Args:
        picture: uint8 [S, S, 3] RGB, the whole one.
        label_map, box: see `strokes_of_face`.
    """
    size = picture.shape[0]
    labels = placed_label_map(label_map, box, size)
    face = _contours(np.isin(labels, FACE).astype(np.uint8))[:1]
    if not face:
        return []
    chin = int(face[0][:, 1].max())
    is_open = cv2.dilate((labels == OUTSIDE).astype(np.uint8), np.ones((3, 3), np.uint8))
    is_open[chin + 1 :] = 1
    is_open[cv2.dilate(np.isin(labels, (*FACE, FaceClass.HAIR)).astype(np.uint8), np.ones((5, 5))) > 0] = 0
    is_open[labels == OUTSIDE] = 1
    is_open[[0, -1]] = is_open[:, [0, -1]] = 0  # a border is no edge
    lines = _canny(cv2.GaussianBlur(picture, (0, 0), size / 100)) * is_open
    found = []
    for outline in _contours(lines, every=True):
        half = outline[: len(outline) // 2 + 1]  # around a line of one pixel, there and back
        length = float(np.hypot(*np.diff(half, axis=0).T).sum()) / size
        smooth = _smooth((half + 0.5) / size, closed=False) if length >= SHORTEST_EDGE else None
        if smooth is not None:
            found.append(Stroke("shoulder" if half[:, 1].mean() > chin else "hair", smooth))
    return found


def placed_label_map(label_map: np.ndarray, box: Box, size: int) -> np.ndarray:
    """The classes of a whole picture of `size` pixels, uint8 [size, size]; `OUTSIDE` beyond the crop."""
    columns, rows = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2)
    height, width = label_map.shape
    x = (columns - box[0]) / (box[2] - box[0]) * width - 0.5
    y = (rows - box[1]) / (box[3] - box[1]) * height - 0.5
    return cv2.remap(
        label_map,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(OUTSIDE,),
    )


def draw(strokes: Sequence[Stroke], size: int, width: float = LINE_WIDTH) -> np.ndarray:
    """The sketch, white on black: uint8 [size, size].

    Args:
        strokes: in shares of the picture's side.
        size: of the picture, in pixels.
        width: of the pen, share of the side.
    """
    canvas = np.zeros((2 * size, 2 * size), np.uint8)  # twice as large, so that the pen may have any width
    thickness = max(1, round(width * 2 * size))
    for stroke in strokes:
        points = np.round((stroke.points * 2 * size - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.polylines(canvas, [points], stroke.closed, 255, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def drawn_by_hand(strokes: Sequence[Stroke], hand: Hand, rng: np.random.Generator) -> list[Stroke]:
    """The strokes as an unsteady hand draws them; at least one is left."""
    kept = [stroke for stroke in strokes if rng.random() >= hand.drop] or list(strokes[:1])
    return [_uneven(stroke, hand, rng) for stroke in kept]


def transformed(strokes: Sequence[Stroke], matrix: np.ndarray) -> list[Stroke]:
    """The strokes after an affine map [2, 3] of positions in shares of the side."""
    linear, offset = matrix[:, :2].astype(np.float32), matrix[:, 2].astype(np.float32)
    return [replace(stroke, points=stroke.points @ linear.T + offset) for stroke in strokes]


def edges(picture: np.ndarray, kind: Literal["xdog", "canny"] = "xdog") -> np.ndarray:
    """The lines of any picture, white on black: uint8 [H, W] of uint8 [H, W, 3] RGB.

    Args:
        kind: "xdog", soft lines by an extended difference of Gaussians (Winnemöller et al., 2012), or
            "canny", lines of one pixel (Canny, 1986), thresholds from the picture's own gradients.
    """
    size = min(picture.shape[:2])
    if kind == "canny":
        return _canny(cv2.GaussianBlur(picture, (0, 0), max(0.6, size / 180)))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    sigma = max(0.5, size / 160)
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma * factor) for factor in (1.0, 1.6))
    sharpness, steepness = 20.0, 40.0
    response = (1 + sharpness) * fine - sharpness * coarse - 0.6 * fine.mean()
    ink = np.where(response >= 0, 0.0, -np.tanh(steepness / sharpness * response))
    return np.round(255 * np.clip(ink, 0, 1)).astype(np.uint8)


def _canny(picture: np.ndarray) -> np.ndarray:
    """Edges uint8 [H, W]; the thresholds are shares of the 98th percentile of the picture's gradients."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    dx, dy = (cv2.Sobel(grey, cv2.CV_16S, *order, ksize=3) for order in ((1, 0), (0, 1)))
    strong = float(np.percentile(np.abs(dx).astype(np.int32) + np.abs(dy), 98))
    return cv2.Canny(dx, dy, 0.12 * strong, 0.3 * strong)


def _contours(region: np.ndarray, every: bool = False) -> list[np.ndarray]:
    """Outlines int [n, 2] of the parts of a region, the largest first; small ones only where all count."""
    found, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not every:
        found = [part for part in found if cv2.contourArea(part) >= SMALLEST_PART * region.size]
    return [part[:, 0] for part in sorted(found, key=len, reverse=True) if len(part) > 2]


def _middle_line(region: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """From left to right through the middle of a flat region: float [n, 2]."""
    columns = np.arange(outline[:, 0].min(), outline[:, 0].max() + 1)
    columns = columns[region[:, columns].any(axis=0)]
    weights = region[:, columns].astype(np.float64)
    rows = (weights * np.arange(len(region))[:, None]).sum(axis=0) / weights.sum(axis=0)
    return np.stack([columns, rows], axis=1)


def _lip_line(label_map: np.ndarray) -> np.ndarray:
    """Where closed lips meet, from left to right: float [n, 2]; empty without both of them."""
    upper, lower = (label_map == kind for kind in (FaceClass.UPPER_LIP, FaceClass.LOWER_LIP))
    columns = np.flatnonzero(upper.any(axis=0) & lower.any(axis=0))
    bottom = len(label_map) - 1 - upper[::-1, columns].argmax(axis=0)
    return np.stack([columns, (bottom + lower[:, columns].argmax(axis=0)) / 2], axis=1)


def _lower_half(outline: np.ndarray) -> np.ndarray:
    """Which points of an outline lie in its lower half, bool [n]."""
    rows = outline[:, 1]
    return rows > (rows.min() + rows.max()) / 2


def _runs(outline: np.ndarray, is_seen: np.ndarray) -> list[np.ndarray]:
    """The parts of a closed outline whose points are seen, each as one piece."""
    if is_seen.all():
        return [outline]
    if not is_seen.any():
        return []
    start = int(np.flatnonzero(~is_seen)[0])
    outline, is_seen = np.roll(outline, -start, axis=0), np.roll(is_seen, -start)
    ends = np.flatnonzero(np.diff(np.concatenate([[False], is_seen, [False]]).astype(np.int8)))
    return [outline[first:last] for first, last in ends.reshape(-1, 2) if last - first > 3]


def _smooth(points: np.ndarray, closed: bool) -> np.ndarray | None:
    """A polyline with points at equal distances, without the steps of pixels; None if it is too short."""
    if len(points) < 2:
        return None
    path = np.concatenate([points, points[:1]]) if closed else points
    lengths = np.hypot(*np.diff(path, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    if along[-1] < 2 * POINT_DISTANCE:
        return None
    count = max(4, round(along[-1] / POINT_DISTANCE) + 1)
    places = np.linspace(0, along[-1], count, endpoint=not closed)
    even = np.stack([np.interp(places, along, path[:, axis]) for axis in (0, 1)], axis=1)
    reach = min(len(even) - 1, 4)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) * POINT_DISTANCE / SMOOTHING) ** 2)
    if closed:
        padded = np.pad(even, ((reach, reach), (0, 0)), mode="wrap")
    else:
        padded = np.pad(even, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    smooth = [np.convolve(padded[:, axis], taps / taps.sum(), mode="valid") for axis in (0, 1)]
    return np.stack(smooth, axis=1).astype(np.float32)


def _uneven(stroke: Stroke, hand: Hand, rng: np.random.Generator) -> Stroke:
    """One stroke as an unsteady hand draws it."""
    points = stroke.points.astype(np.float64)
    count = len(points)
    knots = max(3, round(count * POINT_DISTANCE / 0.06))  # the hand wanders over about 6 % of the side
    wander = rng.normal(0, hand.wobble, (knots, 2))
    if stroke.closed:
        wander[-1] = wander[0]
    places = np.linspace(0, knots - 1, count)
    points += np.stack([np.interp(places, np.arange(knots), wander[:, axis]) for axis in (0, 1)], axis=1)
    center = points.mean(axis=0)
    points = center + (points - center) * (1 + rng.normal(0, hand.scale)) + rng.normal(0, hand.shift, 2)
    first, last = (rng.uniform(0, hand.cut) * (rng.random() < 0.5) for _ in range(2))
    if stroke.closed:
        points = np.roll(points, rng.integers(count), axis=0)
    kept = points[round(first * count / 2) : count - round(last * count / 2)]
    is_whole = len(kept) == count
    return Stroke(
        stroke.name, (kept if len(kept) > 1 else points).astype(np.float32), stroke.closed and is_whole
    )
