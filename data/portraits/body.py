"""Shoulders, clothes, neck and ears."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .colors import BACKGROUND, hsv, rgb
from .geometry import Head, blobs, chart_axes, ellipse, ribbon, smoothstep, spline

_SHOULDER_ROLL = 0.3
_NECK_ROLL = 0.6


def draw_body(canvas: Canvas, head: Head, skin: np.ndarray) -> None:
    """Draw shoulders with clothes, the neck with the chin's shadow, and the ears."""
    fabric = _draw_clothes(canvas, head)
    _draw_neck(canvas, head, skin, fabric)
    for side in (-1, 1):
        _draw_ear(canvas, head, skin, side)


def _neck_half_width(head: Head) -> float:
    return 0.107 + 0.034 * head.parameters.masculinity


def _draw_clothes(canvas: Canvas, head: Head) -> np.ndarray:
    parameters = head.parameters
    width = 0.40 + 0.10 * parameters.masculinity
    slope = 0.030 * parameters.masculinity
    shift = 0.5 * head.shift
    right = [
        (0.150, 0.405),
        (0.62 * width, 0.462 - slope),
        (0.93 * width, 0.515 - slope),
        (width + 0.05, 0.62),
        (width + 0.10, 0.80),
    ]
    left = [(-x, y) for x, y in right[::-1]]
    outline = spline(left + [(0, 0.395)] + right + [(0, 0.9)], closed=True) + np.array([shift, 0], np.float32)
    axis_x, axis_y = chart_axes()
    light = 0.86 + 0.30 * head.light[0] * axis_x / width - 0.55 * (axis_x / (1.4 * width)) ** 2 + 0 * axis_y
    folds = [(-0.10, side * 0.20 + shift, 0.56, 0.02, 0.10) for side in (-1, 1)]
    folds += [(0.07, side * 0.26 + shift, 0.49, 0.08, 0.03) for side in (-1, 1)]
    light = light + blobs([(-0.22, shift, 0.40, 0.20, 0.07), *folds])
    fabric = hsv(parameters.clothes_hue, parameters.clothes_saturation, parameters.clothes_value)
    chart = np.clip(fabric * np.clip(light, 0.15, 1.2)[..., None], 0, 1).astype(np.float32)
    canvas.fill(head.pixels(outline, _SHOULDER_ROLL), head.warp(chart, _SHOULDER_ROLL), label=BACKGROUND)
    return fabric


def _draw_neck(canvas: Canvas, head: Head, skin: np.ndarray, fabric: np.ndarray) -> None:
    parameters, shift = head.parameters, head.shift
    half = _neck_half_width(head)
    plunge = 0.415 + 0.085 * parameters.neckline * (1 - 0.55 * parameters.masculinity)
    right = [(half + 0.9 * shift, 0.12), (half + 0.8 * shift, 0.31), (1.16 * half + 0.5 * shift, 0.395)]
    left = [(-half + 0.9 * shift, 0.12), (-half + 0.8 * shift, 0.31), (-1.16 * half + 0.5 * shift, 0.395)]
    opening = [(0.70 * half + 0.5 * shift, plunge - 0.012), (0.5 * shift, plunge + 0.020)]
    opening += [(-0.70 * half + 0.5 * shift, plunge - 0.012)]
    outline = spline(right + opening + left[::-1], closed=True)

    axis_x, axis_y = chart_axes()
    across = (axis_x - shift) / half
    light = np.clip(0.86 + 0.22 * head.light[0] * across - 0.22 * across**2, 0.35, 1.1)
    # The chin throws a shadow to the side away from the light.
    edge = head.chin + 0.015 + 0.05 * (1 - np.clip(np.abs(across + head.light[0]), 0, 1) ** 2)
    light = light * (0.52 + 0.48 * smoothstep(axis_y - edge, -0.015, 0.055))
    light = light + blobs([(-0.07, 0.5 * shift + side * 0.040, 0.42, 0.014, 0.035) for side in (-1, 1)])
    chart = np.clip(skin * light[..., None] ** rgb(0.80, 1.06, 1.15), 0, 1).astype(np.float32)
    canvas.fill(head.pixels(outline, _NECK_ROLL), head.warp(chart, _NECK_ROLL), label=BACKGROUND)

    line = head.pixels(spline([right[-1], *opening, left[-1]]), _NECK_ROLL)
    inside = canvas.clip_mask(head.pixels(outline, _NECK_ROLL))
    soft = float(head.length(0.005))
    canvas.shade(ribbon(line, float(head.length(0.020))), (0.62, 0.52, 0.50), 0.8, 2 * soft, clip=inside)
    hem = np.clip(fabric * 0.82 + 0.03, 0, 1)
    canvas.fill(ribbon(line, float(head.length(0.011))), hem, blur=0.5 * soft, label=BACKGROUND)


def _draw_ear(canvas: Canvas, head: Head, skin: np.ndarray, side: int) -> None:
    parameters = head.parameters
    # The ear on the side to which the head turns disappears behind the cheek.
    size = float(1 - smoothstep(side * parameters.yaw, 0.05, 0.75))
    if size < 0.05:
        return
    center = np.array(
        [side * 0.985 * parameters.face_width + head.shift - 0.03 * head.sine, 0.030], np.float32
    )
    tone = np.clip(skin * rgb(0.90, 0.78, 0.74) * (1 + 0.30 * side * head.light[0]), 0, 1)
    canvas.fill(head.pixels(ellipse(center, 0.026 * size, 0.056)), tone, label=BACKGROUND)
    inner = head.pixels(ellipse(center + np.array([0.004 * side, -0.004], np.float32), 0.012 * size, 0.034))
    canvas.shade(inner, (0.66, 0.54, 0.52), 0.8, float(head.length(0.005)))
