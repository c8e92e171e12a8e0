"""Mouth and pose of photographed faces by dlib's 68 landmarks, which share nothing with the face parser.

Optional: the packages of `data/photographs/requirements-judges.txt`. Without gradients, so it only judges.
"""

from __future__ import annotations

import cv2
import numpy as np

from segmentation.property_table import PROPERTY_NAMES

try:
    import dlib
    from face_recognition_models import pose_predictor_model_location
except ImportError:
    dlib = None

CAN_READ = dlib is not None
DIALS = ("mouth", "pose")
"""What the landmarks tell of the seven properties. They see the lids too, but those of photographs of this
size only with r .65 (400 photographs, 256 px).
"""
SIDE_PX = 256  # pictures are enlarged to this; dlib's detector finds faces from 80 px on

# Numbers of the landmarks (Sagonas et al., "300 Faces In-The-Wild Challenge", 2016), one less than there.
EYES = (range(36, 42), range(42, 48))
LIPS = ((61, 67), (62, 66), (63, 65))  # inner edge, above and below
NOSE_TIP = 30
CHEEKS = ((1, 2, 3), (13, 14, 15))  # of the jaw line, at the height of the nose


class OutsideLandmarks:
    """Reads mouth and pose of pictures in the aligned frame."""

    def __init__(self) -> None:
        """Raises ImportError if the packages are not installed."""
        if dlib is None:
            raise ImportError("dlib and face_recognition_models are not installed")
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(pose_predictor_model_location())

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Mouth and pose, float64 [N, 2], of pictures uint8 [N, H, W, 3]; NaN where no face is found.

        See `measure` for the numbers.
        """
        found = [self._points(image) for image in images]
        values = [np.full(len(DIALS), np.nan) if points is None else measure(points) for points in found]
        return np.array(values).reshape(len(images), len(DIALS))

    def of_sweeps(self, images: np.ndarray) -> np.ndarray:
        """What they tell of the dials `DIALS`, float64 [N, 2, levels], in sweeps uint8
        [N, 7, levels, H, W, 3] of all seven.
        """
        dials = images[:, [PROPERTY_NAMES.index(name) for name in DIALS]]
        read = self(dials.reshape(-1, *dials.shape[3:])).reshape(*dials.shape[:3], len(DIALS))
        return np.stack([read[:, column, :, column] for column in range(len(DIALS))], axis=1)

    def _points(self, image: np.ndarray) -> np.ndarray | None:
        """The landmarks [68, 2] in pixels of the enlarged picture."""
        large = cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
        boxes = self._detector(large, 0)
        if not boxes:
            return None
        largest = max(boxes, key=lambda box: box.area())
        return np.array([(point.x, point.y) for point in self._predictor(large, largest).parts()], np.float64)


def measure(points: np.ndarray) -> np.ndarray:
    """How far the lips are apart, and where the nose points, [2], of landmarks [68, 2].

    Lips: mean distance of their inner edges over that of the eyes. Nose: how far its tip lies right of the
    middle between the cheeks, over half their distance, -1 to 1.
    """
    eyes = [points[list(eye)].mean(axis=0) for eye in EYES]
    opening = np.mean([np.linalg.norm(points[above] - points[below]) for above, below in LIPS])
    left, right = (points[list(cheek), 0].mean() for cheek in CHEEKS)
    tip = points[NOSE_TIP, 0]
    return np.array([opening / np.linalg.norm(eyes[0] - eyes[1]), (2 * tip - left - right) / (right - left)])
