"""The outside reader of mouth and pose: what landmarks mean, and what is said where its packages miss."""

import numpy as np
import pytest

from segmentation import outside_landmarks
from segmentation.outside_landmarks import OutsideLandmarks, properties


def face(eye_height: float = 10.0, opening: float = 0.0, turn: float = 0.0) -> np.ndarray:
    """Landmarks [1, 68, 2] of a schematic face: eyes 30 px wide, jaw from 50 to 200."""
    points = np.zeros((68, 2))
    points[0], points[16] = (50, 130), (200, 130)
    points[27:36] = (125 + turn, 160)
    for first, left in ((36, 80), (42, 140)):
        columns = left + np.array([0, 10, 20, 30, 20, 10])
        rows = 120 + eye_height / 2 * np.array([0, -1, -1, 0, 1, 1])
        points[first : first + 6] = np.stack([columns, rows], axis=1)
    columns = 125 + np.array([-20, -10, 0, 10, 20, 10, 0, -10])
    points[60:68] = np.stack([columns, 200 + opening / 2 * np.array([0, -1, -1, -1, 0, 1, 1, 1])], axis=1)
    return points[None]


def test_properties_have_the_signs_of_the_property_table() -> None:
    np.testing.assert_allclose(properties(face()), [[1 / 3, 0.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(properties(face(eye_height=15)), [[1 / 2, 0.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(properties(face(opening=18)), [[1 / 3, 0.2, 0.0]], atol=1e-12)
    np.testing.assert_allclose(properties(face(turn=15)), [[1 / 3, 0.0, 0.1]], atol=1e-12)
    assert properties(face(turn=-15))[0, 2] < 0
    np.testing.assert_allclose(properties(3 * face(12, 18, 15)), properties(face(12, 18, 15)))


def test_without_dlib_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside_landmarks, "dlib", None)
    with pytest.raises(
        ImportError, match=r"pip install -r data/photographs/requirements-judges\.txt"
    ) as found:
        OutsideLandmarks()
    assert "\n" not in str(found.value)
