"""Finds all faces of a picture and the transform that brings each into the frame of `face_alignment`.

Detector and landmarks: MTCNN (see `mtcnn`). Its five landmarks depend on where its boxes happen to fall. So
they serve as a first guess only: the landmark network (O-Net) then reads the face in windows that are placed
relative to the face itself, upright and of fixed size, and the guess is corrected until it stays where it is.
What comes out does not depend on rotation, scale or position in the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from segmentation.face_alignment import (
    EYE_DISTANCE,
    FACE_CENTER,
    FRAME_PX,
    Similarity,
    at_size,
    distance_between,
    distinct,
    similarity_from_landmarks,
    warp,
)
from segmentation.mtcnn import load_mtcnn

ONET_INPUT_PX = 48
SMALLEST_DETECTED_PX = 20

# The window of the landmark network in frame pixels, as MTCNN itself would place it on an aligned face.
WINDOW_PX = 160.0
# Windows whose readings are averaged: shift in frame pixels, scale, rotation in degrees. Each is also read
# mirrored, which cancels what the network does differently left and right.
WINDOWS = (
    (0j, 1.0, 0.0),
    (-6 + 0j, 1.0, 0.0),
    (6 + 0j, 1.0, 0.0),
    (-6j, 1.0, 0.0),
    (6j, 1.0, 0.0),
    (0j, 0.93, 0.0),
    (0j, 1.08, 0.0),
    (0j, 1.0, -8.0),
    (0j, 1.0, 8.0),
)
MIRRORED_ORDER = [1, 0, 2, 4, 3]
CHIP_PX = 160

MAX_CORRECTIONS = 8
CONVERGED_PX = 0.05
MAX_RESCALING = 3.0
# Upright faces reach 0.99. Upside down they still reach 0.9, so what lies below this is tried both ways.
DOUBTFUL_PROBABILITY = 0.98
LIKELY_PROBABILITY = 0.5
SAME_FACE_PX = EYE_DISTANCE
TURNS_DEG = (90, -90, 45, -45, 180, 135, -135)


@dataclass(frozen=True)
class FoundFace:
    """A face of a picture, in pixels of that picture."""

    transform: Similarity
    """From frame pixels to the picture."""
    landmarks: np.ndarray
    """float64 `[5, 2]`: eyes, nose, mouth corners; left ones, as one sees an upright face, first."""
    probability: float
    """The landmark network's confidence that this is a face, 0 to 1, averaged over its windows."""
    box: tuple[float, float, float, float]
    """left, top, right, bottom of the square around the face; may reach outside the picture."""

    @property
    def eye_distance_px(self) -> float:
        """Distance between the eyes."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))

    @property
    def side_px(self) -> float:
        """Side of the box."""
        return self.box[2] - self.box[0]


class FaceFinder:
    """Finds faces at any angle."""

    def __init__(
        self,
        device: torch.device | str = "cpu",
        detection_size_px: int = 1024,
        min_face_px: float = 32.0,
        min_probability: float = 0.9,
        rotations: str = "fallback",
    ) -> None:
        """Loads the networks.

        Args:
            device: where they run.
            detection_size_px: a picture whose longer side has more pixels is searched in a reduced copy.
            min_face_px: smallest face to look for, in pixels of the picture; in the reduced copy a face
                must have 20 px.
            min_probability: faces below this confidence are left out, unless there is no better one.
            rotations: whether to search copies turned by 45, 90, 135 and 180 degrees as well: "never", as a
                "fallback" until there is a face, or "always", which finds upright and tilted faces in one
                picture. MTCNN by itself finds faces tilted by up to 30 or 40 degrees.

        Raises:
            ValueError: unknown rotations.
        """
        if rotations not in ("never", "fallback", "always"):
            raise ValueError(f"rotations must be never, fallback or always, not {rotations!r}")
        self.device = torch.device(device)
        self.detection_size_px = detection_size_px
        self.min_face_px = min_face_px
        self.min_probability = min_probability
        self.rotations = rotations
        self._networks = load_mtcnn(self.device)

    def __call__(self, image: np.ndarray) -> list[FoundFace]:
        """Finds the faces of a picture.

        Args:
            image: uint8 `[H, W, 3]` RGB.

        Returns:
            faces, the largest first. If none reaches `min_probability`, the most probable one alone, unless
            it is more likely none, so that the caller can tell "unsure" from "nothing there".
        """
        faces: list[FoundFace] = []
        for angle in (0,) if self.rotations == "never" else (0, *TURNS_DEG):
            faces = self._different([*faces, *self.refine(image, self._detect(image, angle))])
            sure = [face for face in faces if face.probability >= self.min_probability]
            if sure and self.rotations == "fallback":
                break
        return sorted(sure, key=lambda face: -face.side_px) if sure else faces[:1]

    @staticmethod
    def _different(faces: Sequence[FoundFace]) -> list[FoundFace]:
        """The likely ones, the most probable first; of those that show the same face, one."""
        likely = (face for face in faces if face.probability > LIKELY_PROBABILITY)
        ordered = sorted(likely, key=lambda face: -face.probability)
        return [ordered[index] for index in distinct([face.transform for face in ordered], SAME_FACE_PX)]

    def _detect(self, image: np.ndarray, angle_deg: float) -> list[Similarity]:
        """First guesses from a turned and reduced copy of the picture."""
        height, width = image.shape[:2]
        scale = max(max(height, width) / self.detection_size_px, 1.0)
        turn = np.exp(1j * math.radians(angle_deg))
        c, s = abs(turn.real), abs(turn.imag)
        shape = (
            math.ceil((s * width + c * height) / scale - 1e-6),
            math.ceil((c * width + s * height) / scale - 1e-6),
        )
        factor = complex(scale * turn)
        offset = complex(width, height) / 2 - factor * complex(shape[1], shape[0]) / 2
        to_picture = Similarity(factor, offset)
        copy = warp(image, to_picture, shape, cv2.BORDER_CONSTANT) if angle_deg or scale > 1 else image
        smallest = max(self.min_face_px / scale, SMALLEST_DETECTED_PX)
        if min(shape) <= smallest:
            return []
        self._networks.min_face_size = smallest
        _, _, landmarks = self._networks.detect(copy, landmarks=True)
        if landmarks is None:
            return []
        return [
            to_picture.after(similarity_from_landmarks(points)) for points in landmarks.astype(np.float64)
        ]

    def refine(self, image: np.ndarray, guesses: Sequence[Similarity]) -> list[FoundFace]:
        """Corrects transforms until the landmarks, read in the frame that they give, fit the frame.

        Args:
            image: uint8 `[H, W, 3]` RGB.
            guesses: transforms from frame pixels to the picture.

        Returns:
            a face for each guess, whether it is one or not (see its probability).
        """
        faces = []
        for guess in guesses:
            face = self._correct(image, guess)
            if face.probability < DOUBTFUL_PROBABILITY:
                upside_down = Similarity(-1 + 0j, 2 * complex(*FACE_CENTER))
                turned = self._correct(image, face.transform.after(upside_down))
                face = max(face, turned, key=lambda candidate: candidate.probability)
            faces.append(face)
        return faces

    def _correct(self, image: np.ndarray, guess: Similarity) -> FoundFace:
        transform = guess
        for _ in range(MAX_CORRECTIONS):
            in_frame, probability = self._read(image, transform)
            landmarks = transform(in_frame)
            corrected = transform.after(similarity_from_landmarks(in_frame))
            if not 1 / MAX_RESCALING < corrected.scale / guess.scale < MAX_RESCALING:
                probability = 0.0  # readings of what is no face wander off
                break
            moved = distance_between(transform, corrected)
            transform = corrected
            if moved < CONVERGED_PX:
                break
        middle = transform.factor * complex(*FACE_CENTER) + transform.offset
        half = transform.scale * WINDOW_PX / 2
        box = (middle.real - half, middle.imag - half, middle.real + half, middle.imag + half)
        return FoundFace(transform, landmarks, probability, box)

    def _read(self, image: np.ndarray, transform: Similarity) -> tuple[np.ndarray, float]:
        """Landmarks `[5, 2]` in frame pixels and probability, averaged over the windows."""
        chip = warp(image, at_size(transform, CHIP_PX), (CHIP_PX, CHIP_PX))
        to_frame = [_window(*window) for window in WINDOWS]
        frame_to_chip = Similarity(complex(CHIP_PX / FRAME_PX), 0j)
        windows = np.stack(
            [warp(chip, frame_to_chip.after(window), (ONET_INPUT_PX, ONET_INPUT_PX)) for window in to_frame]
        )
        both = np.concatenate([windows, windows[:, :, ::-1]])
        batch = torch.from_numpy(both).to(self.device).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            _, points, probabilities = self._networks.onet((batch - 127.5) / 128)
        found = points.reshape(2, len(WINDOWS), 2, 5).transpose(2, 3).double().cpu().numpy()
        found[1, ..., 0] = 1 - found[1, ..., 0]
        found[1] = found[1][:, MIRRORED_ORDER]
        in_frame = [
            window(points * ONET_INPUT_PX) for window, points in zip(to_frame, found.mean(0), strict=True)
        ]
        return np.mean(in_frame, axis=0), float(probabilities[:, 1].mean())


def _window(shift: complex, scale: float, angle_deg: float) -> Similarity:
    """From pixels of the landmark network's input to frame pixels."""
    factor = complex(scale * WINDOW_PX / ONET_INPUT_PX * np.exp(1j * math.radians(angle_deg)))
    half = (1 + 1j) * ONET_INPUT_PX / 2
    return Similarity(factor, complex(*FACE_CENTER) + shift - factor * half)
