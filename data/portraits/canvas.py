"""A canvas with anti-aliased filling and a label for every pixel."""

from __future__ import annotations

import cv2
import numpy as np

_FRACTION_BITS = 4


class Canvas:
    """Premultiplied colours float32 [S, S, 3], their coverage float32 [S, S], and labels uint8 [S, S]."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.colors = np.zeros((size, size, 3), np.float32)
        self.coverage = np.zeros((size, size), np.float32)
        self.labels = np.zeros((size, size), np.uint8)

    def mask(self, polygon: np.ndarray, blur: float = 0.0) -> tuple[np.ndarray, tuple[slice, slice]] | None:
        """Coverage of a polygon [N, 2] (pixels): float32 in [0, 1] and its place; None if it is outside."""
        margin = int(3 * blur + 2)
        x0, y0 = np.maximum(np.floor(polygon.min(0)).astype(int) - margin, 0)
        x1, y1 = np.minimum(np.ceil(polygon.max(0)).astype(int) + margin, self.size)
        if x1 <= x0 or y1 <= y0:
            return None
        coverage = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(coverage, [_fixed_point(polygon - [x0, y0])], 255, cv2.LINE_AA, _FRACTION_BITS)
        coverage = coverage.astype(np.float32) * np.float32(1 / 255)
        if blur > 0.3:
            coverage = cv2.GaussianBlur(coverage, (0, 0), blur)
        return coverage, (slice(y0, y1), slice(x0, x1))

    def clip_mask(self, polygon: np.ndarray) -> np.ndarray:
        """Coverage of a polygon over the whole canvas, to clip other fills with: float32 [S, S]."""
        full = np.zeros((self.size, self.size), np.float32)
        found = self.mask(polygon)
        if found is not None:
            full[found[1]] = found[0]
        return full

    def fill(
        self,
        polygon: np.ndarray,
        color: np.ndarray | tuple[float, float, float],
        opacity: float = 1.0,
        blur: float = 0.0,
        clip: np.ndarray | None = None,
        label: int | None = None,
    ) -> None:
        """Paint a polygon [N, 2] (pixels) with one colour [3] or a canvas of colours [S, S, 3]."""
        found = self._clipped_mask(polygon, opacity, blur, clip)
        if found is not None:
            coverage, place = found
            color = np.asarray(color, np.float32)
            target, covered = self.colors[place], self.coverage[place]
            difference = (color[place] if color.ndim == 3 else color) - target
            difference *= coverage[..., None]
            target += difference
            covered += (1 - covered) * coverage
        if label is not None:
            self.label(polygon, label)

    def shade(
        self,
        polygon: np.ndarray,
        factor: tuple[float, float, float],
        opacity: float = 1.0,
        blur: float = 0.0,
        clip: np.ndarray | None = None,
    ) -> None:
        """Multiply what is there by `factor` [3] within a polygon [N, 2] (pixels)."""
        found = self._clipped_mask(polygon, opacity, blur, clip)
        if found is not None:
            coverage, place = found
            self.colors[place] *= 1 - coverage[..., None] * (1 - np.asarray(factor, np.float32))

    def _clipped_mask(
        self, polygon: np.ndarray, opacity: float, blur: float, clip: np.ndarray | None
    ) -> tuple[np.ndarray, tuple[slice, slice]] | None:
        found = self.mask(polygon, blur)
        if found is None:
            return None
        coverage, place = found
        coverage *= np.float32(opacity)
        return (coverage if clip is None else coverage * clip[place]), place

    def label(self, polygon: np.ndarray, label: int) -> None:
        """Give the pixels of a polygon [N, 2] a class."""
        cv2.fillPoly(self.labels, [_fixed_point(polygon)], int(label), cv2.LINE_8, _FRACTION_BITS)

    def small_labels(self, size: int) -> np.ndarray:
        """The most frequent label of each block: uint8 [size, size]."""
        if size == self.size:
            return self.labels.copy()
        best = np.full((size, size), -1, np.float32)
        labels = np.zeros((size, size), np.uint8)
        for label in np.unique(self.labels):
            share = cv2.resize(
                (self.labels == label).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA
            )
            wins = share > best
            labels[wins], best[wins] = label, share[wins]
        return labels


def _fixed_point(polygon: np.ndarray) -> np.ndarray:
    # OpenCV counts pixel centres at whole numbers, we count pixel borders.
    return np.round((polygon - 0.5) * (1 << _FRACTION_BITS)).astype(np.int32)
