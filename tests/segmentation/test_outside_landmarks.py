"""Mouth and pose by landmarks: what the numbers are, and that each dial gets its own."""

import numpy as np
import pytest

from segmentation import outside_landmarks
from segmentation.outside_landmarks import CHEEKS, DIALS, EYES, LIPS, NOSE_TIP, OutsideLandmarks, measure
from segmentation.property_table import PROPERTY_NAMES


def face(opening: float = 0.0, tip: float = 50.0) -> np.ndarray:
    """Landmarks of a face whose eyes are 40 px apart, cheeks at 0 and 100."""
    points = np.zeros((68, 2))
    for eye, x in zip(EYES, (30, 70), strict=True):
        points[list(eye)] = x, 40
    for above, below in LIPS:
        points[above], points[below] = (50, 80), (50, 80 + opening)
    for cheek, x in zip(CHEEKS, (0, 100), strict=True):
        points[list(cheek)] = x, 60
    points[NOSE_TIP] = tip, 60
    return points


def test_lips_and_nose_in_lengths_of_the_face() -> None:
    assert measure(face()) == pytest.approx([0, 0])
    assert measure(face(opening=10)) == pytest.approx([0.25, 0])
    assert measure(face(tip=75)) == pytest.approx([0, 0.5])
    turned = measure(face(opening=10, tip=20) * 3 + 7)
    assert turned == pytest.approx([0.25, -0.6]), "neither size nor place of the face counts"


def test_every_dial_is_read_in_its_own_sweep() -> None:
    sweeps = np.zeros((2, len(PROPERTY_NAMES), 3, 4, 4, 3), np.uint8)
    for dial, name in enumerate(PROPERTY_NAMES):
        sweeps[:, dial] = dial
        sweeps[1, dial] += 100 if name in DIALS else 0

    class Brightness(OutsideLandmarks):
        def __init__(self) -> None:
            pass

        def __call__(self, images: np.ndarray) -> np.ndarray:
            brightness = images.mean(axis=(1, 2, 3))
            return np.stack([brightness, -brightness], axis=1)

    mouth, pose = (PROPERTY_NAMES.index(name) for name in DIALS)
    found = Brightness().of_sweeps(sweeps)
    assert found.shape == (2, 2, 3)
    assert found[:, :, 0] == pytest.approx(np.array([[mouth, -pose], [mouth + 100, -pose - 100]]))


@pytest.mark.skipif(outside_landmarks.CAN_READ, reason="the optional packages are installed")
def test_without_the_packages_it_says_so() -> None:
    with pytest.raises(ImportError, match="not installed"):
        OutsideLandmarks()


@pytest.mark.skipif(not outside_landmarks.CAN_READ, reason="needs data/photographs/requirements-judges.txt")
def test_a_picture_without_a_face_has_no_numbers() -> None:
    assert np.isnan(OutsideLandmarks()(np.zeros((2, 64, 64, 3), np.uint8))).all()
