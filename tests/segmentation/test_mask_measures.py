"""The quick ways of measuring regions give what the plain ones give."""

import numpy as np
import pytest

from segmentation import mask_measures as measures
from segmentation.face_classes import FaceClass


def random_masks(shape: tuple[int, ...], share: float) -> np.ndarray:
    return np.random.default_rng(0).random(shape) < share


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 255, 256), (2, 300, 520), (0, 4, 4)])
def test_counts_do_not_overflow(shape: tuple[int, ...]):
    for mask in (random_masks(shape, 0.9), np.ones(shape, bool)):
        np.testing.assert_array_equal(measures.row_counts(mask), mask.sum(axis=2))
        np.testing.assert_array_equal(measures.column_counts(mask), mask.sum(axis=1))


def test_classes_are_selected_by_name_and_by_range():
    labels = np.random.default_rng(1).integers(0, 11, (2, 9, 9), dtype=np.uint8)
    np.testing.assert_array_equal(measures.class_mask(labels, FaceClass.NOSE), labels == 6)
    lips = measures.class_mask(labels, FaceClass.UPPER_LIP, FaceClass.LOWER_LIP)
    np.testing.assert_array_equal(lips, np.isin(labels, (7, 8, 9)))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_histograms_hold_the_regions_brightness(share: float):
    images = np.random.default_rng(2).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    mask = random_masks((3, 40, 50), share)
    found = measures.brightness_histograms(mask[:, 5:30], images[:, 5:30])
    for histogram, inside, image in zip(found, mask[:, 5:30], images[:, 5:30], strict=True):
        sums = image[inside].astype(int).sum(axis=-1)
        np.testing.assert_array_equal(
            np.repeat(np.arange(measures.BRIGHTNESS_BINS), histogram), np.sort(sums)
        )


def test_a_window_holds_all_regions_and_no_more():
    mask = np.zeros((2, 20, 30), bool)
    assert mask[measures.window(mask)].shape == (2, 1, 1)
    mask[0, 4, 10] = mask[1, 9, 7] = True
    assert measures.window(mask) == (slice(None), slice(4, 10), slice(7, 11))
    assert mask[measures.window(mask)].sum() == 2


def test_regions_of_a_window_can_be_moved_back():
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 10:17, 20:33] = True
    whole, (_, rows, columns) = measures.region(mask), measures.window(mask)
    moved = measures.region(mask[measures.window(mask)]).moved(x=columns.start, y=rows.start)
    assert (moved.x, moved.y, moved.area) == (whole.x, whole.y, whole.area)
    assert moved.variance_x == pytest.approx(whole.variance_x)
    assert moved.variance_x == pytest.approx(13**2 / 12)
