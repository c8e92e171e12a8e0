"""Hair: the part behind the head, and the strands that frame the face."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import Canvas
from .colors import HAIR, rgb
from .geometry import SKULL_TOP, Head, chart_axes, smoothstep, spline
from .parameters import hair_base_color
from .textures import SIDE, strands


class Hair:
    """Outlines and shading of one head's hair; draw `draw_back` before the body, `draw_front` last."""

    def __init__(self, head: Head) -> None:
        parameters = head.parameters
        self.head = head
        self.end = head.hair_end()
        self.top = SKULL_TOP - 0.006 - parameters.hair_volume
        # 0: cropped around the ears, 1: falls over them.
        self.falls = float(smoothstep(self.end, 0.02, 0.20))
        self.half_width = parameters.face_width + 0.012 + (0.30 + 0.40 * self.falls) * parameters.hair_volume
        self.center_x = head.shift - 0.05 * head.sine
        self.part_x = self.center_x + 0.55 * parameters.parting * parameters.face_width
        self.flare = (0.012 + 0.5 * (parameters.hair_volume - 0.04)) * self.falls
        self.wave = 0.016 * parameters.hair_wave
        self.shading = self._shading()

    def draw_back(self, canvas: Canvas) -> None:
        """Draw the hair behind neck and face, in shadow."""
        left, right = self._outer(-1), self._outer(1)
        inset = 0.5 * self.half_width
        end = self.end - 0.025
        bottom = [(self.center_x + inset, end), (self.center_x - inset, end)]
        outline = spline([*left[-2::-1], *self._crown(), *right[:-1], *bottom], closed=True)
        shadow = self.shading * rgb(0.52, 0.49, 0.49)
        canvas.fill(self._pixels(outline), shadow, label=HAIR)

    def draw_front(self, canvas: Canvas, face: np.ndarray) -> None:
        """Draw the hair before the face, with the shadow that it throws on the skin."""
        left, right = self._outer(-1), self._outer(1)
        outline = [*left[::-1], *self._crown(), *right, self._tip(1), *self._inner(1)[::-1]]
        outline += [*self._hairline()[::-1], *self._inner(-1), self._tip(-1)]
        polygon = self._pixels(spline(outline, closed=True))
        length = self.head.length
        offset = np.array([-length(0.014) * self.head.light[0], length(0.020)], np.float32)
        canvas.shade(polygon + offset, (0.66, 0.53, 0.50), 1.0, float(length(0.014)), clip=face)
        canvas.fill(polygon, self.shading, blur=float(length(0.0025)), label=HAIR)

    def _pixels(self, outline: np.ndarray) -> np.ndarray:
        y = outline[:, 1]
        bend = self.wave * np.sin(26 * y + 1.0) * smoothstep(y, 0.0, 0.15) * self.falls
        return self.head.pixels(
            np.stack([outline[:, 0] + np.sign(outline[:, 0] - self.center_x) * bend, y], 1)
        )

    def _crown(self) -> list[tuple[float, float]]:
        half, parting = self.half_width, 0.12 * (self.part_x - self.center_x)
        return [
            (-0.38 * half + self.center_x, self.top + 0.012),
            (self.center_x + parting, self.top),
            (0.38 * half + self.center_x, self.top + 0.012),
        ]

    def _outer(self, side: int) -> list[tuple[float, float]]:
        """The outer contour of one side, from the crown down."""
        width, end, center = self.half_width, self.end, self.center_x
        face = self.head.parameters.face_width
        points = [
            (center + side * 0.72 * width, self.top + 0.062),
            (center + side * 0.94 * width, self.top + 0.160),
            (center + side * width, -0.115),
        ]
        start = -0.115
        for share in (0.40, 0.70, 0.91):
            y = start + share * (end - start)
            cropped = self.head.shift + side * (face + 0.016 - 0.010 * share)
            fallen = center + side * (width + self.flare * share**1.5)
            points.append((cropped + (fallen - cropped) * self.falls, y))
        return points

    def _tip(self, side: int) -> tuple[float, float]:
        """The lowest point of one side."""
        return 0.5 * (self._outer(side)[-1][0] + self._inner(side)[-1][0]), self.end

    def _inner(self, side: int) -> list[tuple[float, float]]:
        """The inner contour of one side, from the temple down along the cheek."""
        face, end = self.head.parameters.face_width, self.end
        start = -0.06
        points = []
        for share in (0.12, 0.45, 0.70, 0.91):
            y = start + share * (end - start)
            cheek = 0.955 - 0.05 * self.falls * float(smoothstep(y, 0.0, 0.10))
            drop = float(smoothstep(y, 0.20, 0.45))
            x = self.head.shift + side * face * (cheek - 0.22 * drop) + 0.02 * self.head.sine
            points.append((x, y))
        return points

    def _hairline(self) -> np.ndarray:
        """The lower edge of the hair on the forehead, from image left to right: float32 [11, 2]."""
        parameters = self.head.parameters
        parting = 0.55 * parameters.parting
        x = np.array([-0.96, -0.84, -0.62, -0.42, -0.20, 0.0, 0.20, 0.42, 0.62, 0.84, 0.96])
        # High above the parting, falling to the temples; a man's corners are squarer.
        open_y = np.interp(np.abs(x), [0, 0.45, 0.84, 0.96], [-0.240, -0.224, -0.165, -0.085])
        open_y -= 0.020 * parameters.masculinity * smoothstep(np.abs(x), 0.3, 0.8)
        open_y -= 0.022 * np.exp(-(((x - parting) / 0.25) ** 2))
        # Hair combed away from the parting hangs lower on the wider side.
        away = np.clip(-np.sign(parting) * (x - parting), 0, 1)
        open_y += 0.35 * abs(parting) * away * (1 - np.abs(x))
        covered = np.interp(np.abs(x), [0, 0.5, 0.84, 0.96], [-0.120, -0.116, -0.102, -0.070])
        covered += 0.009 * np.array([0, 0, 1, -1, 1, -1, 1, -1, 1, 0, 0])
        y = open_y + (covered - open_y) * parameters.fringe
        return self.head.surface(np.stack([x * parameters.face_width, y], 1))

    def _shading(self) -> np.ndarray:
        """Colour of the hair everywhere on the canvas: float32 [S, S, 3] in [0, 1]."""
        head, parameters = self.head, self.head.parameters
        axis_x, axis_y = chart_axes()
        axis_x, axis_y = np.broadcast_arrays(axis_x, axis_y)
        texture = self._strand_texture(axis_x, axis_y)
        dome_y = np.minimum(axis_y + 0.06, 0) / 0.36
        dome_x = (axis_x - self.center_x) / (1.08 * self.half_width)
        dome_z = np.sqrt(np.clip(1 - 0.88 * (dome_x**2 + dome_y**2), 0.04, 1))
        facing = np.clip(dome_x * head.light[0] + dome_y * head.light[1] + dome_z * head.light[2], 0, 1.2)
        light = 0.42 + 0.66 * facing
        # Beside jaw and neck little light gets in; tips are a little lighter.
        light = light - 0.22 * smoothstep(axis_y, 0.10, 0.32) * (1 - smoothstep(np.abs(dome_x), 0.55, 0.90))
        light = light + 0.10 * smoothstep(axis_y, 0.25, 0.50)
        light = light - 0.16 * (1 - parameters.fringe) * self._parting_line(axis_x, axis_y)
        band = axis_y - (-0.245 + 0.17 * dome_x**2) + 0.016 * texture
        gloss = np.exp(-((band / 0.030) ** 2)) + 0.35 * np.exp(
            -(((axis_y - 0.06 + 0.02 * texture) / 0.05) ** 2)
        )
        gloss = gloss * np.clip(facing, 0, 1) ** 2
        base = hair_base_color(parameters)
        # Dark hair shows its strands mostly in the gloss, fair hair in the shadows between them.
        light = np.clip(light * (1 + 0.13 * texture) + 0.22 * gloss, 0.12, 1.35)
        chart = base * light[..., None] + (0.075 + 0.05 * base) * (gloss * (1 + 0.4 * texture))[..., None]
        return head.warp(np.clip(chart, 0, 1).astype(np.float32))

    def _parting_line(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        lean = self.part_x + 0.25 * (self.center_x - self.part_x) * np.clip((-0.24 - y) / 0.12, 0, 1)
        return np.exp(-(((x - lean) / 0.010) ** 2)) * (1 - smoothstep(y, -0.26, -0.20))

    def _strand_texture(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Streaks that leave the parting, follow the shape of the head and then fall: float32 chart."""
        parameters = self.head.parameters
        side = np.where(x < self.part_x, -1.0, 1.0).astype(np.float32)
        reach = np.abs(self.center_x + side * self.half_width - self.part_x) + 0.02
        aside = (x - self.center_x) / self.half_width
        # Above the ears the strands are ellipses around the temple of their side, below they hang,
        # and in a fringe they hang down the forehead.
        over = np.sqrt(((x - self.part_x) / reach) ** 2 + (np.minimum(y - 0.02, 0) / (0.02 - self.top)) ** 2)
        bend = self.wave * 3.5 * np.sin(26 * y + 1.0) * smoothstep(y, 0.0, 0.15)
        hang = aside + np.sign(aside) * bend
        hanging = smoothstep(y, -0.04, 0.12)
        forehead = (
            parameters.fringe * (1 - smoothstep(np.abs(aside), 0.60, 0.85)) * smoothstep(y, -0.31, -0.17)
        )
        hanging = np.maximum(hanging, forehead)
        start_x, start_y = np.random.default_rng(parameters.seed).uniform(0, SIDE, 2)
        along = y * 180 + start_y
        texture = self._streaks(over * 150 + start_x, along - 90 * np.abs(x - self.part_x))
        texture = texture + (self._streaks(hang * 150 + start_x + 200, along) - texture) * hanging
        return texture / np.sqrt(hanging**2 + (1 - hanging) ** 2)

    @staticmethod
    def _streaks(across: np.ndarray, along: np.ndarray) -> np.ndarray:
        map_x, map_y = across.astype(np.float32), along.astype(np.float32)
        return cv2.remap(strands(), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
