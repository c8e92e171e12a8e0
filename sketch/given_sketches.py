"""Sketches as people give them, on screen or photographed, turned into lines as the network knows them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SMALLEST_SIZE, WORKING_SIZE = 128, 512  # px, in which lines are found
PAPER_SHARE = 0.06  # of the side: strokes are narrower, changes of light on paper are wider
LEAST_CONTRAST = 0.12  # of lines to paper, of full scale
LEAST_INK, MOST_INK = 0.002, 0.35  # share of the picture that lines take
MOST_TONES, LEAST_TONES = 0.8, 0.03  # pixels neither paper nor line: per pixel of a line, and besides, of all
SMALL_DRAWING = 0.5  # of the side: a smaller drawing is enlarged
FITTED = 0.8


class SketchError(ValueError):
    """A picture is no sketch; the text says why and what to do, without naming the file."""


@dataclass(frozen=True)
class Prepared:
    """A sketch as the network reads it.

    Attributes:
        lines: uint8 [S, S], white on black.
        notes: what was changed, one sentence each.
    """

    lines: np.ndarray
    notes: list[str]


def prepared(picture: np.ndarray, size: int) -> Prepared:
    """Lines of a drawing of any size and polarity, on an even ground or on photographed paper.

    Args:
        picture: uint8 [H, W, 3] RGB; what is not square is centred on its ground.
        size: side of the result in pixels.

    Raises:
        SketchError: an empty sheet, one full of ink, or a photograph of something else.
    """
    notes: list[str] = []
    grey: np.ndarray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = float(np.median(border))
    height, width = grey.shape
    if height != width:
        notes.append(f"{width} x {height} px were set on a square of the same ground")
        side = max(height, width)
        placed = np.full((side, side), ground, np.float32)
        top, left = (side - height) // 2, (side - width) // 2
        placed[top : top + height, left : left + width] = grey
        grey = placed
    ground_is_light = float(np.median(grey)) >= 0.5
    if ground_is_light:
        grey = 1 - grey  # lines are light from here on
    side = min(WORKING_SIZE, max(SMALLEST_SIZE, grey.shape[0]))
    method = cv2.INTER_AREA if grey.shape[0] > side else cv2.INTER_LINEAR
    grey = cv2.resize(grey, (side, side), interpolation=method).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), side / 500)  # grain
    reach = 2 * round(PAPER_SHARE * side / 2) + 1
    paper = cv2.morphologyEx(
        grey, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    )
    paper = cv2.GaussianBlur(paper, (0, 0), reach / 4)
    ink = np.clip(grey - paper, 0, 1)
    contrast = float(np.percentile(ink, 99.9))
    if contrast < LEAST_CONTRAST:
        raise SketchError(
            "it has no lines: the sheet is empty, of one colour, or too pale. Draw a face with a clear line"
        )
    ink = np.clip(ink / contrast, 0, 1)
    is_line, is_tone = ink > 0.5, (ink > 0.12) & (ink <= 0.5)
    if is_line.mean() > MOST_INK:
        raise SketchError(
            "more than a third of it is ink, so no line can be told. Draw thin lines on an empty sheet"
        )
    if is_tone.mean() > MOST_TONES * is_line.mean() + LEAST_TONES:
        raise SketchError(
            "it is a photograph or a painting, not a sketch. Draw its lines, or let 30_make_sketch_pairs.py "
            "--pictures draw them"
        )
    if is_line.mean() < LEAST_INK:
        raise SketchError("there is hardly a line on it. Draw outline, eyes, nose and mouth at least")
    if ground_is_light:
        notes.append("dark lines on a light ground were turned into light ones on a dark ground")
    ink = np.clip((ink - 0.15) / 0.6, 0, 1)
    ink, note = _fitted(ink)
    notes += [note] if note else []
    lines = cv2.resize(ink, (size, size), interpolation=cv2.INTER_AREA)
    strong = float(np.percentile(lines[lines > 0.1], 80)) if (lines > 0.1).any() else 1.0
    return Prepared(np.round(255 * np.clip(lines / max(strong, 0.2), 0, 1)).astype(np.uint8), notes)


def _fitted(ink: np.ndarray) -> tuple[np.ndarray, str]:
    """A drawing that takes a small part of the sheet is enlarged and centred; else as it is, and no note."""
    side = ink.shape[0]
    rows, columns = (np.flatnonzero((ink > 0.5).any(axis=axis)) for axis in (1, 0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    extent = float((box[2:] - box[:2]).max())
    if extent >= SMALL_DRAWING * side:
        return ink, ""
    factor = FITTED * side / extent
    center = (box[:2] + box[2:]) / 2
    matrix = np.array(
        [[factor, 0, side / 2 - factor * center[0]], [0, factor, side / 2 - factor * center[1]]]
    )
    return cv2.warpAffine(ink, matrix, (side, side), flags=cv2.INTER_LINEAR), (
        f"the drawing takes {extent / side:.0%} of the sheet and was enlarged"
    )
