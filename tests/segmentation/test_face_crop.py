"""The detector finds drawn faces, and the crop holds what it should."""

import numpy as np
import pytest

from data import portraits
from segmentation.face_crop import FaceCropper


@pytest.fixture(scope="module")
def cropper() -> FaceCropper:
    return FaceCropper()


@pytest.fixture(scope="module")
def drawn():
    return portraits.render_many(range(8), 64)


def test_face_of_every_portrait(cropper: FaceCropper, drawn) -> None:
    for image, label_map, crop in zip(
        drawn.images, drawn.label_maps, cropper(list(drawn.images)), strict=True
    ):
        assert crop.face_count == 1 and 0.7 < crop.probability <= 1
        assert crop.image.shape == (224, 224, 3) and crop.image.dtype == np.uint8
        left, top, right, bottom = crop.box
        rows, columns = np.nonzero((label_map >= 2) & (label_map <= 9))
        assert left <= columns.min() and columns.max() < right <= 64
        assert top <= rows.min() and rows.max() < bottom <= 64
        inside = image[round(top) : round(bottom), round(left) : round(right)]
        assert np.abs(crop.image.mean((0, 1)) - inside.mean((0, 1))).max() < 6


def test_batch_and_size_do_not_matter(cropper: FaceCropper, drawn) -> None:
    large = portraits.render_many([3], 192).images[0]
    together = cropper([drawn.images[0], large, np.full((64, 64, 3), 127, np.uint8), drawn.images[1]])
    assert together[2] is None
    alone = cropper([drawn.images[1]])[0]
    assert np.abs(np.subtract(together[3].box, alone.box)).max() < 1e-3
    small = cropper([drawn.images[3]])[0]
    assert np.abs(np.subtract(together[1].box, np.array(small.box) * 3)).max() < 12
    assert cropper([]) == []
