"""Eyes with lids, lashes and catch-lights, and the brows."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .colors import IRIS_COLORS, LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE, ramp, rgb
from .geometry import Head, ellipse, ribbon, spline
from .parameters import hair_base_color

IRIS_RADIUS = 0.0340
# Of one eye, at its middle, from the line between the corners: the lids when open and when closed.
_UPPER_OPEN, _LOWER_OPEN = -0.055, 0.032
_UPPER_CLOSED, _LOWER_CLOSED = 0.010, 0.020
_LASH_COLOR = rgb(0.10, 0.07, 0.07)


class _Eye:
    """The outlines of one eye, in face units after the turn of the head."""

    def __init__(self, head: Head, side: int) -> None:
        parameters = head.parameters
        self.head, self.side = head, side
        self.center_x = side * parameters.eye_spacing
        self.opening = parameters.eye_opening
        size = parameters.eye_width / 0.0660
        upper = size * (_UPPER_CLOSED + (_UPPER_OPEN - _UPPER_CLOSED) * self.opening)
        lower = size * (_LOWER_CLOSED + (_LOWER_OPEN - _LOWER_CLOSED) * self.opening)
        corner = self.point(1, 0.004 * (1 - self.opening)), self.point(-1, 0.008)
        self.upper_points = [
            corner[1],
            self.point(-0.62, 0.66 * upper + 0.002),
            self.point(-0.05, upper),
            self.point(0.58, 0.78 * upper),
            corner[0],
        ]
        lower_points = [
            self.point(0.58, 0.86 * lower),
            self.point(0.0, lower),
            self.point(-0.58, 0.74 * lower),
        ]
        self.upper_lid = spline(head.surface(self.upper_points))
        self.lower_lid = spline(head.surface([corner[0], *lower_points, corner[1]]))
        self.outline = np.concatenate([self.upper_lid, self.lower_lid[1:-1]])
        # The crease of the lid stays where it is when the lid comes down.
        crease_height = size * (_UPPER_OPEN * (0.55 + 0.45 * self.opening) - 0.016)
        crease = [
            (-0.95, -0.012),
            (-0.6, 0.74 * crease_height),
            (-0.05, crease_height),
            (0.6, 0.82 * crease_height),
        ]
        crease += [(1.08, 0.22 * crease_height)]
        self.crease = spline(head.surface([self.point(u, v) for u, v in crease]))

    def point(self, across: float, down: float) -> tuple[float, float]:
        """`across` from -1 (inner corner) to 1 (outer corner), `down` in face units."""
        parameters = self.head.parameters
        return self.center_x + self.side * across * parameters.eye_width, down - parameters.eye_tilt * across


def draw_eyes(canvas: Canvas, head: Head, skin: np.ndarray, face: np.ndarray) -> None:
    """Draw both eyes and brows; `face` [S, S] clips them to the face."""
    for side, eye_label, brow_label in ((-1, LEFT_EYE, LEFT_BROW), (1, RIGHT_EYE, RIGHT_BROW)):
        eye = _Eye(head, side)
        _draw_lid(canvas, eye, skin, face)
        _draw_ball(canvas, eye)
        canvas.label(head.pixels(eye.outline), eye_label)
        _draw_lashes(canvas, eye, face)
        _draw_brow(canvas, head, side, brow_label, face)


def _draw_lid(canvas: Canvas, eye: _Eye, skin: np.ndarray, face: np.ndarray) -> None:
    head, parameters = eye.head, eye.head.parameters
    lid = head.pixels(np.concatenate([eye.crease, eye.upper_lid[::-1]]))
    closed = 1 - eye.opening
    lit = np.clip(skin * rgb(0.95, 0.86, 0.83), 0, 1)
    canvas.fill(lid, lit, 0.30 + 0.25 * closed, float(head.length(0.006)), clip=face)
    if parameters.makeup > 0:
        canvas.shade(lid, (0.70, 0.54, 0.58), 0.60 * parameters.makeup, float(head.length(0.008)), clip=face)
    pen = head.length(0.0042 * np.sin(np.linspace(0.25, 2.9, len(eye.crease))) + 0.001)
    crease = ribbon(head.pixels(eye.crease), pen)
    canvas.shade(crease, (0.62, 0.47, 0.44), 0.70, float(head.length(0.004)), clip=face)


def _draw_ball(canvas: Canvas, eye: _Eye) -> None:
    head, parameters = eye.head, eye.head.parameters
    outline = head.pixels(eye.outline)
    inside = canvas.clip_mask(outline)
    canvas.fill(outline, rgb(0.95, 0.93, 0.92) * (0.97 - 0.10 * parameters.skin_tone))
    gaze = (eye.center_x + 0.006 * parameters.yaw, -0.011)
    center = head.surface([gaze])[0]

    def disc(share: float, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        radius = IRIS_RADIUS * share
        return head.pixels(ellipse(center + np.array(shift, np.float32), radius * head.cosine, radius))

    iris = ramp(IRIS_COLORS, parameters.iris_tone)
    soft = float(head.length(0.003))
    canvas.fill(disc(1.0), iris * 0.45, clip=inside)
    canvas.fill(disc(0.82), np.clip(iris * 1.05, 0, 1), clip=inside, blur=soft)
    canvas.fill(disc(0.55, (0, 0.010)), np.clip(iris * 1.5 + 0.03, 0, 1), 0.7, blur=2 * soft, clip=inside)
    canvas.fill(disc(0.44), (0.03, 0.03, 0.04), clip=inside)
    lid_shadow = np.concatenate([eye.upper_lid, eye.upper_lid[::-1] + np.array([0, 0.018], np.float32)])
    canvas.shade(head.pixels(lid_shadow), (0.42, 0.38, 0.42), 0.75, 1.5 * soft, clip=inside)
    glint = 0.010 * np.tanh(6 * parameters.light_x)
    canvas.fill(disc(0.27, (glint, -0.013)), (1, 1, 1), 0.95, clip=inside)
    canvas.fill(disc(0.16, (-0.9 * glint, 0.012)), (1, 1, 1), 0.35, clip=inside)
    corner = head.pixels(ellipse(head.surface([eye.point(-0.93, 0.007)])[0], 0.008, 0.006, 10))
    canvas.shade(corner, (0.92, 0.62, 0.60), 0.8, soft, clip=inside)


def _draw_lashes(canvas: Canvas, eye: _Eye, face: np.ndarray) -> None:
    head, parameters = eye.head, eye.head.parameters
    woman = 1 - parameters.masculinity
    line = eye.upper_lid
    # A small wing beyond a woman's outer corner; closed lashes point down, open ones up.
    tip = eye.point(1.02 + 0.18 * woman, woman * (0.010 - 0.032 * eye.opening))
    line = np.concatenate([line, head.surface([tip])])
    thickness = 0.0062 + (0.0042 + 0.0030 * parameters.makeup) * woman + 0.0005 * (1 - eye.opening)
    pen = thickness * np.sin(np.linspace(0.30, 2.9, len(line))) + 0.001
    canvas.fill(
        ribbon(head.pixels(line), head.length(pen)), _LASH_COLOR, 0.93, float(head.length(0.0015)), clip=face
    )
    lower = ribbon(head.pixels(eye.lower_lid), float(head.length(0.0028)))
    canvas.shade(
        lower, (0.52, 0.36, 0.34), (0.40 + 0.35 * woman) * eye.opening, float(head.length(0.003)), clip=face
    )


def _draw_brow(canvas: Canvas, head: Head, side: int, label: int, face: np.ndarray) -> None:
    parameters = head.parameters
    arch, man = parameters.brow_arch, parameters.masculinity
    level = -parameters.brow_height - 0.012 * (parameters.eye_opening - 0.5)
    course = [
        (-0.98 - 0.06 * man, level + 0.006),
        (-0.45, level - 0.45 * arch),
        (0.30, level - arch),
        (0.85, level - 0.70 * arch),
        (1.30, level + 0.012),
    ]
    points = [
        (side * (parameters.eye_spacing + across * parameters.eye_width), down) for across, down in course
    ]
    line = spline(head.surface(points))
    share = np.linspace(0, 1, len(line))
    pen = parameters.brow_thickness * 0.78 * np.interp(share, [0, 0.12, 0.55, 1], [0.60, 0.95, 0.85, 0.15])
    brow = ribbon(head.pixels(line), head.length(pen))
    color = np.clip(0.50 * hair_base_color(parameters) + 0.03, 0, 0.5)
    canvas.fill(brow, color, 0.82 + 0.10 * man, float(head.length(0.0035)), clip=face, label=label)
