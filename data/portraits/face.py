"""The skin of the face: light, shadows, blush and beard; and the nose."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Canvas
from .colors import NOSE, SKIN, rgb
from .geometry import Head, blob, blobs, chart_axes, ribbon, smoothstep, spline
from .parameters import hair_base_color

MOUTH_BELOW_NOSE = 0.084


def face_outline(head: Head) -> np.ndarray:
    """The face's outline in face units, from the forehead around the chin: float32 [N, 2]."""
    parameters = head.parameters
    width, man = parameters.face_width, parameters.masculinity
    half = [
        (0.55, -0.315),
        (0.88, -0.215),
        (0.985, -0.06),
        (0.99, 0.07),
        (0.5 * (0.96 + parameters.jaw_width) + 0.03, 0.155),
        (parameters.jaw_width, 0.228 + 0.012 * man),
        (parameters.chin_width, head.chin - 0.022),
    ]
    right = [(x * width, y) for x, y in half]
    left = [(-x, y) for x, y in right[::-1]]
    return head.outline(spline([(0, SKULL_LINE), *right, (0, head.chin), *left], closed=True))


SKULL_LINE = -0.338


def draw_face(canvas: Canvas, head: Head, skin: np.ndarray) -> np.ndarray:
    """Draw the skin of the face; returns its coverage, float32 [S, S], to clip what lies on it."""
    chart = _skin_chart(head, skin)
    outline = head.pixels(face_outline(head))
    canvas.fill(outline, head.warp(chart), label=SKIN)
    return canvas.clip_mask(outline)


def _skin_chart(head: Head, skin: np.ndarray) -> np.ndarray:
    light = _diffuse(head) + _features_light(head)
    light = np.clip(light, 0.12, 1.16)
    # Shadows on skin turn red before they turn dark.
    chart = skin * light[..., None] ** rgb(0.74, 1.05, 1.16)
    chart = chart * (1 - _blush(head)[..., None] * rgb(-0.03, 0.11, 0.085))
    if head.parameters.beard > 0:
        cover = _beard_cover(head)[..., None]
        stubble = np.minimum(0.75 * hair_base_color(head.parameters) + 0.01, skin * rgb(0.50, 0.44, 0.41))
        chart = chart * (1 - cover) + stubble * np.clip(light, 0.3, 1.15)[..., None] * cover
    return np.clip(chart, 0, 1).astype(np.float32)


def _diffuse(head: Head) -> np.ndarray:
    axis_x, axis_y = chart_axes()
    normal_x = (axis_x - head.shift - 0.05 * head.sine) / (1.04 * head.parameters.face_width)
    normal_y = (axis_y - 0.02) / 0.43
    normal_z = np.sqrt(np.clip(1 - 0.84 * (normal_x**2 + normal_y**2), 0.03, 1))
    light = 0.92 * (normal_x * head.light[0] + normal_y * head.light[1]) + normal_z * head.light[2]
    return 0.30 + 0.70 * np.clip(light, 0, 1.2)


def _features_light(head: Head) -> np.ndarray:
    """Soft light and shadow of sockets, cheeks, nose and chin, added to the diffuse light."""
    parameters, at = head.parameters, head.surface_x
    nose, mouth = parameters.nose_length, parameters.nose_length + MOUTH_BELOW_NOSE
    light_x = float(head.light[0])
    tip_x = at(0, nose - 0.02, 0.068) + 0.010 * light_x
    below_nose, below_lip = nose + 0.016, mouth + 0.054 + 0.055 * parameters.mouth_opening
    spots = [
        (0.11, at(0.03 * math.tanh(5 * light_x), -0.18), -0.175, 0.13, 0.06),  # forehead
        (0.13, at(0, 0.45 * nose, 0.045) + 0.008 * light_x, 0.38 * nose, 0.012, 0.065),  # bridge of the nose
        (0.17, tip_x, nose - 0.022, 0.016, 0.014),
        (-0.24, at(0, below_nose, 0.034), below_nose + 0.002, 0.95 * parameters.nose_width, 0.012),
        (-0.15, at(0, below_lip), below_lip, 0.048, 0.014),
        (0.09, at(0, head.chin - 0.04), head.chin - 0.042, 0.040, 0.026),
    ]
    return blobs(spots + _side_spots(head, -1) + _side_spots(head, 1))


def _side_spots(head: Head, side: int) -> list[tuple[float, float, float, float, float]]:
    """Light and shadow of one half of the face."""
    parameters, at = head.parameters, head.surface_x
    nose, light_x = parameters.nose_length, float(head.light[0])
    eye = at(side * parameters.eye_spacing, 0)
    smile = max(0.0, parameters.smile)
    shaded = max(0.0, -side * light_x)
    cheek = (0.085 + 0.05 * smile) * (1 + 1.5 * side * light_x)
    fold_x = at(side * (parameters.nose_width + 0.030), nose + 0.03, 0.01)
    hollow = 0.05 + 0.06 * parameters.masculinity
    return [
        (-0.15, eye, -0.034, 0.070, 0.034),  # socket
        (-0.13, at(side * 0.045, -0.01), -0.015, 0.020, 0.040),  # corner beside the nose
        (-0.06, eye, 0.048, 0.048, 0.014),
        (0.06, at(side * 1.05 * parameters.eye_spacing, -0.07), -0.072, 0.06, 0.014),  # below the brow
        (cheek, at(side * 0.125, 0.10), 0.098, 0.052, 0.042),
        (-hollow, at(side * 0.165, 0.18), 0.185, 0.040, 0.060),
        (-0.085 * (0.35 + smile), fold_x, nose + 0.036, 0.014, 0.042),
        (-0.055 - 0.42 * shaded, at(side * 0.030, 0.6 * nose, 0.03), 0.62 * nose, 0.018, 0.050),  # nose
    ]


def _blush(head: Head) -> np.ndarray:
    parameters, nose = head.parameters, head.parameters.nose_length
    strength = parameters.blush * (1 + 0.7 * parameters.makeup)
    cheeks = [(strength, head.surface_x(side * 0.135, 0.10), 0.105, 0.055, 0.042) for side in (-1, 1)]
    tip = (0.5, head.surface_x(0, nose - 0.01, 0.055), nose - 0.01, 0.036, 0.024)
    return blobs([*cheeks, tip]) * (1.15 - 0.5 * parameters.skin_tone)


def _beard_cover(head: Head) -> np.ndarray:
    """Opacity of the beard on the chart: jaw, chin and upper lip, spared lips and cheeks."""
    parameters, at = head.parameters, head.surface_x
    axis_x, axis_y = chart_axes()
    mouth = parameters.nose_length + MOUTH_BELOW_NOSE
    opened = 0.055 * parameters.mouth_opening
    center = at(0, mouth)
    distance = np.abs(axis_x - center)
    # The upper edge runs from the sideburns down to the corners of the mouth.
    edge = np.interp(distance[0], [0, 0.07, 0.13, 0.20], [mouth + 0.03, mouth + 0.005, 0.145, 0.050])[None]
    cover = smoothstep(axis_y - edge, -0.02, 0.035)
    cover = np.maximum(cover, 0.95 * blob(center, mouth - 0.042, 0.058, 0.016))
    cover = np.maximum(cover, blob(center, mouth + 0.075 + opened, 0.075, 0.040))
    cover = cover * (1 - blob(center, mouth + 0.4 * opened, 0.066, 0.024 + 0.5 * opened))
    return 0.86 * parameters.beard * np.clip(cover, 0, 1)


def draw_nose(canvas: Canvas, head: Head, skin: np.ndarray, face: np.ndarray) -> None:
    """Draw nostrils and wings of the nose on the shaded skin, and give the nose its label."""
    parameters = head.parameters
    width, length = parameters.nose_width, parameters.nose_length
    half = np.array(
        [
            (0.016, -0.005, 0.012),
            (0.019, 0.35 * length, 0.026),
            (0.027, 0.64 * length, 0.040),
            (0.98 * width, length - 0.018, 0.030),
            (0.88 * width, length + 0.007, 0.026),
        ],
        np.float32,
    )
    mirrored = half[::-1] * np.array([-1, 1, 1], np.float32)
    points = np.concatenate([half, np.array([(0, length + 0.015, 0.046)], np.float32), mirrored])
    canvas.label(head.pixels(spline(head.surface(points[:, :2], points[:, 2]), closed=True)), NOSE)
    for side in (-1, 1):
        rim = [(0.028, -0.001), (0.015, -0.004), (0.011, 0.006), (0.025, 0.008)]
        nostril = head.surface([(side * x * width / 0.040, length + y) for x, y in rim], 0.040)
        dark = skin * rgb(0.30, 0.20, 0.18)
        blur = float(head.length(0.004))
        canvas.fill(head.pixels(spline(nostril, closed=True, steps=4)), dark, 0.75, blur, clip=face)
        edge = [(0.86, -0.034), (1.02, -0.014), (0.92, 0.005)]
        wing = spline(head.surface([(side * x * width, length + y) for x, y in edge], 0.028))
        pen = head.length(np.linspace(0.0015, 0.0050, len(wing)))
        opacity = 0.65 * (0.55 + 0.8 * max(0.0, -side * float(head.light[0])))
        canvas.shade(ribbon(head.pixels(wing), pen), (0.60, 0.46, 0.42), opacity, blur, clip=face)
