"""The backdrop: a gradient and soft spots with exactly the requested mean and standard deviation."""

from __future__ import annotations

import cv2
import numpy as np

from .colors import hsv
from .parameters import PortraitParameters

_COARSE = 32
_STEPS = 60


def draw_background(parameters: PortraitParameters, visible: np.ndarray) -> np.ndarray:
    """Paint the backdrop of a picture: float32 [H, W, 3] in [0, 1].

    `visible` [H, W] in [0, 1] says how much of each pixel the figure leaves free; the brightness (mean of
    R, G, B), weighted by it, gets the mean and standard deviation that the parameters ask for.
    """
    field = _field(parameters, visible.shape)
    brightness = _with_statistics(field, visible, parameters.background_mean, parameters.background_std)
    return _tinted(parameters, brightness, field)


def _field(parameters: PortraitParameters, shape: tuple[int, int]) -> np.ndarray:
    """A smooth pattern without details finer than a quarter of the picture."""
    height, width = shape
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, :]
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    gradient_x, gradient_y = parameters.gradient
    field = 2.2 * (gradient_x * (x - 0.5) + gradient_y * (y - 0.5))
    for spot_x, spot_y, amplitude in parameters.blobs:
        spot = np.exp(-(((x - spot_x) / 0.26) ** 2)) * np.exp(-(((y - spot_y) / 0.26) ** 2))
        field = field + 1.6 * amplitude * spot
    return field


def _with_statistics(field: np.ndarray, visible: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """sigmoid(a + b field), in (0, 1) without clipping, with a weighted mean and standard deviation."""
    # The field is smooth: a coarse grid is enough to find a and b.
    coarse = cv2.resize(field, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA)
    weight = cv2.resize(visible, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA) + 1e-6
    weight = weight / weight.sum()
    center = (weight * coarse).sum()
    spread = max(float(np.sqrt((weight * (coarse - center) ** 2).sum())), 1e-4)
    # A single extreme spot must not eat the whole contrast.
    coarse = np.tanh(0.7 * (coarse - center) / spread)
    offset = np.log(mean / (1 - mean))
    slope = deviation / (mean * (1 - mean)) / 0.6
    for _ in range(_STEPS):
        brightness = _sigmoid(offset + slope * coarse)
        now_mean = float((weight * brightness).sum())
        now_deviation = float(np.sqrt((weight * (brightness - now_mean) ** 2).sum()))
        if abs(now_mean - mean) < 5e-4 and abs(now_deviation - deviation) < 5e-4:
            break
        offset += np.clip((mean - now_mean) / (mean * (1 - mean)), -0.7, 0.7)
        slope *= np.clip(deviation / now_deviation, 0.7, 1.3)
    return _sigmoid(offset + slope * np.tanh(0.7 * (field - center) / spread)).astype(np.float32)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _tinted(parameters: PortraitParameters, brightness: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Add colour without changing the mean of R, G and B."""
    position = (0.5 + 0.5 * np.tanh(field))[..., None]
    first = _hue_direction(parameters.background_hue)
    second = _hue_direction(parameters.background_hue + parameters.background_tint)
    direction = first * (1 - position) + second * position
    room = np.minimum(brightness, 1 - brightness)
    strength = 0.75 * parameters.background_saturation * room / (1 + 0.8 * room)
    return brightness[..., None] + strength[..., None] * direction


def _hue_direction(hue: float) -> np.ndarray:
    color = hsv(hue, 1.0, 1.0)
    direction = color - color.mean()
    return (direction / np.abs(direction).max()).astype(np.float32)
