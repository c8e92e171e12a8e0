"""Pairs of sketches and portraits to learn from, and the random transforms of a training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from sketch.colors import mirrored
from sketch.lines import Hand, Stroke, draw, drawn_by_hand, transformed
from sketch.recipes import SketchRecipe
from stylegan.sampling import from_uint8

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
MIRROR = np.array([[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


def split_of(person: str) -> str:
    """The split of a person. The name alone decides, so that it is the same in every data set, and a network
    that is tested on a person never learned from them.
    """
    place = int.from_bytes(hashlib.sha256(person.encode()).digest()[:8], "big") / 2**64
    for name, share in SPLITS.items():
        if place < share:
            return name
        place -= share
    return next(reversed(SPLITS))


@dataclass(frozen=True)
class SketchPairs:
    """Portraits with the lines of their faces.

    Attributes:
        portraits: uint8 [N, S, S, 3] RGB.
        sketches: uint8 [N, S, S], white on black, as they were drawn first.
        strokes: of each sketch; an empty list where it has no polylines.
        colors: float32 [N, 5, 3], RGB in [0, 255], see `sketch.colors`.
    """

    portraits: np.ndarray
    sketches: np.ndarray
    strokes: Sequence[Sequence[Stroke]]
    colors: np.ndarray

    def __len__(self) -> int:
        return len(self.portraits)

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return int(self.portraits.shape[1])

    def first(self, count: int) -> SketchPairs:
        """The first pairs alone."""
        strokes = self.strokes[:count]
        return SketchPairs(self.portraits[:count], self.sketches[:count], strokes, self.colors[:count])

    def batch(
        self, rows: Sequence[int], rng: np.random.Generator, recipe: SketchRecipe
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Random views of some pairs.

        Returns:
            sketches float [B, 1, S, S] and portraits float [B, 3, S, S] in [-1, 1], colours float [B, 5, 3].
        """
        view = self._document_view if recipe.recipe == "document" else self._joint_view
        parts = [view(row, rng, recipe) for row in rows]
        sketches, portraits, colors = (np.stack(part) for part in zip(*parts, strict=True))
        lines = torch.from_numpy(sketches)[:, None].float() / 127.5 - 1
        return lines, from_uint8(portraits), torch.from_numpy(colors)

    def _joint_view(
        self, row: int, rng: np.random.Generator, recipe: SketchRecipe
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One transform for all, and lines of an unsteady hand."""
        matrix = random_similarity(rng, recipe)
        is_mirrored = np.linalg.det(matrix[:, :2]) < 0
        colors = mirrored(self.colors[row]) if is_mirrored else self.colors[row]
        portrait = _warped(self.portraits[row], matrix, cv2.BORDER_REPLICATE)
        if not self.strokes[row]:
            return _warped(self.sketches[row], matrix, cv2.BORDER_CONSTANT), portrait, colors
        strokes, hand = list(self.strokes[row]), Hand()
        if recipe.hand > 0 and rng.random() < 0.85:
            steadiness = recipe.hand * rng.uniform(0.2, 1.8)
            strokes = drawn_by_hand(strokes, hand.scaled(steadiness), rng)
        width = float(np.exp(rng.uniform(*np.log(hand.widths))))
        return draw(transformed(strokes, matrix), self.size, width), portrait, colors

    def _document_view(
        self, row: int, rng: np.random.Generator, recipe: SketchRecipe
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each half is scaled by itself, as the document's program does, so the lines lie beside the face."""
        views = []
        for picture, border in (
            (self.sketches[row], cv2.BORDER_CONSTANT),
            (self.portraits[row], cv2.BORDER_REPLICATE),
        ):
            factor = 1 + rng.uniform(0, recipe.document_scale)
            offset = rng.uniform(0, 1, 2) * (1 - factor)
            views.append(_warped(picture, np.array([[factor, 0, offset[0]], [0, factor, offset[1]]]), border))
        return views[0], views[1], self.colors[row]


def random_similarity(rng: np.random.Generator, recipe: SketchRecipe) -> np.ndarray:
    """A random affine map [2, 3] of positions in shares of the side, mirrored half of the time."""
    angle = np.radians(rng.normal(0, recipe.turn_degrees))
    factor = np.exp(rng.normal(0, recipe.scale))
    linear = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = 0.5 - linear @ np.array([0.5, 0.5]) + rng.normal(0, recipe.shift, 2)
    matrix = np.concatenate([linear, offset[:, None]], axis=1)
    if rng.random() < 0.5:
        return np.concatenate([matrix[:, :2] @ MIRROR[:, :2], matrix @ [[1.0], [0.0], [1.0]]], axis=1)
    return matrix


def _warped(picture: np.ndarray, matrix: np.ndarray, border: int) -> np.ndarray:
    """A square picture after an affine map of positions in shares of its side."""
    size = picture.shape[0]
    # Shares count from the edge of the first pixel, OpenCV from its middle.
    linear, offset = matrix[:, :2], matrix[:, 2] * size + matrix[:, :2] @ [0.5, 0.5] - 0.5
    in_pixels = np.concatenate([linear, offset[:, None]], axis=1)
    return cv2.warpAffine(picture, in_pixels, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


def pack_strokes(strokes: Sequence[Stroke]) -> dict[str, np.ndarray]:
    """The strokes of a sketch as arrays of one file; see `unpack_strokes`."""
    return {
        "name": np.array([stroke.name for stroke in strokes], "U8"),
        "closed": np.array([stroke.closed for stroke in strokes], bool),
        "length": np.array([len(stroke.points) for stroke in strokes], np.int64),
        "points": np.concatenate([np.zeros((0, 2), np.float32), *(stroke.points for stroke in strokes)]),
    }


def unpack_strokes(arrays: Mapping[str, np.ndarray]) -> list[Stroke]:
    """Strokes from arrays of `pack_strokes`."""
    parts = np.split(arrays["points"].astype(np.float32), np.cumsum(arrays["length"])[:-1])
    return [
        Stroke(str(name), points, bool(closed))
        for name, closed, points in zip(arrays["name"], arrays["closed"], parts, strict=False)
    ]
