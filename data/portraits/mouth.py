"""Lips, teeth and tongue."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .colors import INNER_MOUTH, LOWER_LIP, UPPER_LIP, hsv, rgb
from .face import MOUTH_BELOW_NOSE
from .geometry import Head, ellipse, ribbon, spline

MAXIMUM_GAP = 0.098
"""Between the lips at mouth opening 1, in face units."""
_UPPER_LIP, _LOWER_LIP = 0.026, 0.033
_LIFT = 0.012


class _Mouth:
    """The four curves of the lips, from corner to corner, in face units after the turn of the head."""

    def __init__(self, head: Head) -> None:
        parameters = head.parameters
        opening = parameters.mouth_opening
        smile = parameters.smile + 0.30 * opening
        self.gap = MAXIMUM_GAP * opening
        self.middle = parameters.nose_length + MOUTH_BELOW_NOSE
        half = parameters.mouth_width * (1 + 0.12 * max(smile, 0) - 0.14 * opening)
        corner = self.middle - 0.005 - 0.017 * smile + 0.06 * self.gap
        self.upper_edge = self.middle - 0.24 * self.gap
        self.lower_edge = self.middle + 0.76 * self.gap
        upper = _UPPER_LIP * parameters.lip_fullness
        self.lower = _LOWER_LIP * parameters.lip_fullness
        bow, bottom = self.upper_edge - upper, self.lower_edge + self.lower
        # Half-way to the corners, where the lips' edges bend towards them.
        upper_bend = 0.68 * self.upper_edge + 0.32 * corner
        lower_bend = 0.70 * self.lower_edge + 0.30 * corner

        def curve(middle: float, *right: tuple[float, float]) -> np.ndarray:
            """Through the corners, the points on the right and their mirror images, and the middle."""
            sides = [(1.0, corner), *right]
            left = [(-x * half, y) for x, y in sides]
            course = [*left, (0, middle), *[(x * half, y) for x, y in sides[::-1]]]
            return spline(head.surface(course, _LIFT))

        above, below = self.upper_edge, self.lower_edge
        self.outer_top = curve(bow + 0.15 * upper, (0.58, upper_bend - 0.72 * upper), (0.22, bow))
        self.inner_top = curve(above + 0.003, (0.55, upper_bend), (0.20, above + 0.001))
        self.inner_bottom = curve(below + 0.003, (0.55, lower_bend), (0.20, below + 0.001))
        side = (0.60, lower_bend + 0.68 * self.lower)
        self.outer_bottom = curve(bottom, side, (0.24, bottom - 0.03 * self.lower))


def draw_mouth(canvas: Canvas, head: Head, skin: np.ndarray, face: np.ndarray) -> None:
    """Draw the mouth; its inside has a label only when it is open."""
    mouth = _Mouth(head)
    color = _lip_color(head, skin)
    if mouth.gap > 0:
        _draw_inside(canvas, head, mouth)
    soft = float(head.length(0.0025))
    upper = head.pixels(np.concatenate([mouth.outer_top, mouth.inner_top[::-1]]))
    lower = head.pixels(np.concatenate([mouth.inner_bottom, mouth.outer_bottom[::-1]]))
    canvas.fill(upper, np.clip(color * 0.82, 0, 1), 0.95, soft, label=UPPER_LIP)
    canvas.fill(lower, np.clip(color * 1.04, 0, 1), 0.95, soft, label=LOWER_LIP)
    center = head.surface(
        [(0.006 * np.tanh(5 * head.light[0]), mouth.lower_edge + 0.45 * mouth.lower)], _LIFT
    )[0]
    shine = head.pixels(ellipse(center, 0.42 * head.parameters.mouth_width, 0.22 * mouth.lower))
    canvas.fill(shine, np.clip(color * 1.30 + 0.12, 0, 1), 0.55, float(head.length(0.006)), clip=face)
    # The line between the lips fades as the mouth opens.
    closed = max(0.0, 1 - mouth.gap / 0.02)
    if closed > 0:
        line = head.pixels(0.5 * (mouth.inner_top + mouth.inner_bottom))
        pen = head.length(0.0036 * np.sin(np.linspace(0.25, 2.9, len(line))) + 0.001)
        canvas.fill(ribbon(line, pen), color * rgb(0.38, 0.24, 0.24), 0.85 * closed, soft)
    for end in (mouth.outer_top[0], mouth.outer_top[-1]):
        canvas.shade(
            head.pixels(ellipse(end, 0.007, 0.006, 10)), (0.60, 0.44, 0.42), 0.6, 2 * soft, clip=face
        )


def _lip_color(head: Head, skin: np.ndarray) -> np.ndarray:
    parameters = head.parameters
    natural = skin * rgb(0.86, 0.58, 0.56) + rgb(0.02, 0, 0)
    lipstick = hsv(parameters.lipstick_hue, 0.70, 0.76)
    share = 0.80 * parameters.makeup
    return natural * (1 - share) + lipstick * share


def _draw_inside(canvas: Canvas, head: Head, mouth: _Mouth) -> None:
    outline = head.pixels(np.concatenate([mouth.inner_top, mouth.inner_bottom[::-1]]))
    inside = canvas.clip_mask(outline)
    canvas.fill(outline, (0.20, 0.06, 0.07), label=INNER_MOUTH)
    teeth_height = min(0.026, 0.62 * mouth.gap)
    soft = float(head.length(0.003))
    teeth = np.concatenate(
        [mouth.inner_top, (mouth.inner_top + np.array([0, teeth_height], np.float32))[::-1]]
    )
    canvas.fill(head.pixels(teeth), (0.95, 0.93, 0.89), 0.96, soft, clip=inside)
    tongue_y = mouth.lower_edge - 0.10 * mouth.gap
    center = head.surface([(0, tongue_y)], 0.0)[0]
    tongue = head.pixels(ellipse(center, 0.55 * head.parameters.mouth_width, 0.30 * mouth.gap))
    canvas.fill(tongue, (0.72, 0.33, 0.34), 0.85 * min(1.0, mouth.gap / 0.06), 2 * soft, clip=inside)
