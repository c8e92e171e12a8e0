"""A simple face of ellipses with a label map, for tests of the property scores."""

import cv2
import numpy as np

from segmentation.face_classes import FaceClass

SIZE = 224
HAIR_GREY, SKIN_GREY, BACKGROUND_GREY = 60, 180, 120


def draw_face(
    eye_half_height: float = 6.0,
    gap: float = 10.0,
    turn: float = 0.0,
    hair_bottom: float = 150.0,
    missing: tuple[FaceClass, ...] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a face.

    Args:
        eye_half_height: pixels.
        gap: height of the inner mouth, pixels; 0 is closed.
        turn: shift of the nose and, less, of eyes and mouth to the image's right, pixels.
        hair_bottom: last row of the hair; may lie below the picture.
        missing: classes that are replaced by skin, or by background if skin or hair are missing.

    Returns:
        (label_map uint8 [224, 224], image uint8 [224, 224, 3]).
    """
    labels = np.zeros((SIZE, SIZE), np.uint8)

    def ellipse(center: tuple[float, float], half: tuple[float, float], value: FaceClass) -> None:
        shift = 4  # cv2's fixed-point coordinates, sixteenths of a pixel
        scaled_center = tuple(round(v * 16) for v in center)
        scaled_half = tuple(round(v * 16) for v in half)
        if min(half) > 0:
            cv2.ellipse(labels, scaled_center, scaled_half, 0, 0, 360, int(value), -1, cv2.LINE_8, shift)

    ellipse((112, 90), (76, 80), FaceClass.HAIR)
    labels[91:] = FaceClass.BACKGROUND
    last_row = int(min(hair_bottom, SIZE - 1))
    labels[90 : last_row + 1, 36:60] = FaceClass.HAIR
    labels[90 : last_row + 1, 165:189] = FaceClass.HAIR
    ellipse((112, 112), (56, 74), FaceClass.SKIN)
    ellipse((86 + 0.7 * turn, 96), (14, eye_half_height), FaceClass.LEFT_EYE)
    ellipse((138 + 0.7 * turn, 96), (14, eye_half_height), FaceClass.RIGHT_EYE)
    ellipse((112 + turn, 120), (9, 18), FaceClass.NOSE)
    mouth = (112 + 0.7 * turn, 155)
    ellipse((mouth[0], mouth[1] - gap / 2), (22, 7), FaceClass.UPPER_LIP)
    ellipse((mouth[0], mouth[1] + gap / 2), (22, 7), FaceClass.LOWER_LIP)
    if gap > 0:
        ellipse(mouth, (18, gap / 2), FaceClass.INNER_MOUTH)
    for value in missing:
        substitute = FaceClass.BACKGROUND if value in (FaceClass.SKIN, FaceClass.HAIR) else FaceClass.SKIN
        labels[labels == value] = substitute
    grey = np.full(labels.shape, SKIN_GREY, np.uint8)
    grey[labels == FaceClass.HAIR] = HAIR_GREY
    grey[labels == FaceClass.BACKGROUND] = BACKGROUND_GREY
    return labels, np.repeat(grey[..., None], 3, axis=2)


def stack(*faces: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Label maps [N, 224, 224] and images [N, 224, 224, 3] of several faces."""
    return np.stack([labels for labels, _ in faces]), np.stack([image for _, image in faces])


def with_wrong_pixels(label_map: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """The label maps with a random class in a share of the pixels."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(label_map.shape) < share
    noisy = label_map.copy()
    noisy[wrong] = rng.integers(0, len(FaceClass), wrong.sum())
    return noisy
