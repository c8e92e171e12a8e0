"""The quick ways of measuring regions give what the plain ones give."""

import numpy as np
import pytest

from segmentation import mask_measures as measures


def random_masks(shape: tuple[int, ...], share: float) -> np.ndarray:
    return np.random.default_rng(0).random(shape) < share


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 255, 256), (2, 300, 520), (0, 4, 4)])
def test_counts_do_not_overflow(shape: tuple[int, ...]):
    for mask in (random_masks(shape, 0.9), np.ones(shape, bool)):
        np.testing.assert_array_equal(measures.row_counts(mask), mask.sum(axis=2))
        np.testing.assert_array_equal(measures.column_counts(mask), mask.sum(axis=1))


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
