"""Curves, and where a point of the head lands in the picture when the head turns and tilts."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from numpy.typing import ArrayLike

from .parameters import PortraitParameters

EYE_LINE = 0.46
"""Row of the eyes as a share of the picture's height."""
MAXIMUM_YAW = 0.52
"""Radians at yaw 1."""
SKULL_TOP = -0.335
HAIR_ROWS = (0.455, 0.995)
"""Lowest hair row, as a share of the height, at hair length 0 and 1."""
CHART_SIZE = 160
_CHART_HALF_WIDTH = 0.56


@functools.cache
def _basis(steps: int) -> np.ndarray:
    t = np.linspace(0, 1, steps, endpoint=False)
    columns = (-(t**3) + 2 * t**2 - t, 3 * t**3 - 5 * t**2 + 2, -3 * t**3 + 4 * t**2 + t, t**3 - t**2)
    return (0.5 * np.stack(columns, 1)).astype(np.float32)


def spline(points: ArrayLike, closed: bool = False, steps: int = 6) -> np.ndarray:
    """Catmull-Rom curve through `points` [N, 2], `steps` points per section: float32 [M, 2]."""
    points = np.asarray(points, np.float32)
    if closed:
        sections = np.stack([np.roll(points, shift, 0) for shift in (1, 0, -1, -2)], 1)
    else:
        padded = np.concatenate([points[:1], points, points[-1:]])
        sections = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]], 1)
    curve = np.einsum("nk,skd->snd", _basis(steps), sections).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def ribbon(line: np.ndarray, half_widths: np.ndarray | float) -> np.ndarray:
    """The outline of a line [N, 2] drawn with a pen of varying half width ([N] or one number)."""
    tangent = np.gradient(line, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
    offset = normal * np.broadcast_to(np.asarray(half_widths, np.float32), len(line))[:, None]
    return np.concatenate([line + offset, (line - offset)[::-1]]).astype(np.float32)


def ellipse(center: np.ndarray, radius_x: float, radius_y: float, points: int = 20) -> np.ndarray:
    """An ellipse's outline: float32 [points, 2]."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    offset = np.stack([radius_x * np.cos(angle), radius_y * np.sin(angle)], 1)
    return (np.asarray(center, np.float32) + offset).astype(np.float32)


def smoothstep(x: np.ndarray | float, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((np.asarray(x, np.float32) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


class Head:
    """Places the points of one head on a canvas of `canvas_size` pixels.

    Features lie on an ellipsoid, so a turn of the head moves the nose most and the ears least.
    """

    def __init__(self, parameters: PortraitParameters, canvas_size: int) -> None:
        self.parameters = parameters
        self.canvas_size = canvas_size
        angle = parameters.yaw * MAXIMUM_YAW
        self.sine, self.cosine = math.sin(angle), math.cos(angle)
        # The skull swings back a little, so that the head stays in the middle of the picture.
        self.shift = -0.36 * self.sine * parameters.face_width
        self.origin = np.array([0.5 + parameters.offset_x, EYE_LINE + parameters.offset_y], np.float32)
        light = np.array([parameters.light_x, parameters.light_y, 1.0])
        self.light = (light / np.linalg.norm(light)).astype(np.float32)
        self._matrices: dict[float, np.ndarray] = {}
        self.chin = parameters.face_length + 0.022 * parameters.mouth_opening

    def depth(self, points: np.ndarray) -> np.ndarray:
        """How far the face's surface bulges towards the viewer at `points` [N, 2]: [N]."""
        width = self.parameters.face_width
        inside = 1 - (points[:, 0] / (1.10 * width)) ** 2 - (np.abs(points[:, 1]) / 0.43) ** 2
        return 0.88 * width * np.sqrt(np.clip(inside, 0, 1))

    def surface(self, points: ArrayLike, lift: np.ndarray | float = 0.0) -> np.ndarray:
        """Points [N, 2] of the front face, `lift` above its surface, after the turn of the head."""
        points = np.asarray(points, np.float32)
        depth = self.depth(points) + lift
        x = points[:, 0] * self.cosine + depth * self.sine + self.shift
        return np.stack([x, points[:, 1]], 1).astype(np.float32)

    def surface_x(self, x: float, y: float, lift: float = 0.0) -> float:
        """The x of one front point after the turn of the head."""
        return float(self.surface([(x, y)], lift)[0, 0])

    def outline(self, points: ArrayLike) -> np.ndarray:
        """Points [N, 2] of the head's silhouette; the chin swings out with the turn."""
        points = np.asarray(points, np.float32)
        inner = np.clip(1 - (points[:, 0] / self.parameters.face_width) ** 2, 0, 1)
        swing = 0.60 * self.parameters.face_width * inner * smoothstep(points[:, 1], -0.05, 0.28)
        return np.stack([points[:, 0] + self.shift + self.sine * swing, points[:, 1]], 1).astype(np.float32)

    def _matrix(self, roll_share: float) -> np.ndarray:
        """Affine map [2, 3] from face units to canvas pixels."""
        if roll_share in self._matrices:
            return self._matrices[roll_share]
        roll = self.parameters.roll * roll_share
        rotation = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
        linear = rotation * self.parameters.scale * self.canvas_size
        matrix = np.concatenate([linear, self.origin[:, None] * self.canvas_size], 1)
        self._matrices[roll_share] = matrix
        return matrix

    def pixels(self, points: ArrayLike, roll_share: float = 1.0) -> np.ndarray:
        """Face units [N, 2] -> canvas pixels [N, 2]; shoulders follow the tilt with a small share."""
        matrix = self._matrix(roll_share)
        return (np.asarray(points, np.float32) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)

    def length(self, units: np.ndarray | float) -> np.ndarray | float:
        """A length in face units -> canvas pixels."""
        return units * self.canvas_size * self.parameters.scale

    def hair_end(self) -> float:
        """The y, in face units, at which the hair ends so that its lowest row shows the hair length."""
        roll, parameters = self.parameters.roll, self.parameters
        row = HAIR_ROWS[0] + (HAIR_ROWS[1] - HAIR_ROWS[0]) * parameters.hair_length
        below_eyes = (row - float(self.origin[1])) / parameters.scale
        return (below_eyes - abs(math.sin(roll)) * parameters.face_width) / math.cos(roll)

    def warp(self, chart: np.ndarray, roll_share: float = 1.0) -> np.ndarray:
        """A chart (see `chart_axes`) [CHART_SIZE, CHART_SIZE(, C)] -> canvas [S, S(, C)]."""
        step = 2 * _CHART_HALF_WIDTH / CHART_SIZE
        to_units = np.array(
            [[step, 0, -_CHART_HALF_WIDTH + step / 2], [0, step, -_CHART_HALF_WIDTH + step / 2]]
        )
        matrix = self._matrix(roll_share)
        combined = np.concatenate(
            [matrix[:, :2] @ to_units[:, :2], matrix @ np.append(to_units[:, 2:], [[1]], 0)], 1
        )
        combined[:, 2] -= 0.5
        size = (self.canvas_size, self.canvas_size)
        return cv2.warpAffine(chart, combined, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@functools.cache
def chart_axes() -> tuple[np.ndarray, np.ndarray]:
    """Axes of a chart, the small upright grid on which light is computed: x [1, N] and y [N, 1]."""
    step = 2 * _CHART_HALF_WIDTH / CHART_SIZE
    axis = ((np.arange(CHART_SIZE) + 0.5) * step - _CHART_HALF_WIDTH).astype(np.float32)
    return axis[None, :], axis[:, None]


def blob(x: float, y: float, sigma_x: float, sigma_y: float) -> np.ndarray:
    """A soft spot on the chart, 1 in its middle: float32 [CHART_SIZE, CHART_SIZE]."""
    return blobs([(1.0, x, y, sigma_x, sigma_y)])


def blobs(spots: list[tuple[float, float, float, float, float]]) -> np.ndarray:
    """The sum of soft spots (amplitude, x, y, sigma x, sigma y): float32 [CHART_SIZE, CHART_SIZE].

    exp(-(x/s)^2 - (y/t)^2) is a product of two functions of one variable, so the sum is one matrix product.
    """
    amplitude, x, y, sigma_x, sigma_y = np.asarray(spots, np.float32).T[:, None, :]
    axis = chart_axes()[1]
    along_x = np.exp(-(((axis - x) / sigma_x) ** 2))
    along_y = np.exp(-(((axis - y) / sigma_y) ** 2)) * amplitude
    # OpenCV rather than NumPy: a product this small must not wake the threads of a BLAS library.
    added = np.empty(0, np.float32)  # nothing
    return cv2.gemm(along_y, along_x, 1.0, added, 0.0, flags=cv2.GEMM_2_T)
