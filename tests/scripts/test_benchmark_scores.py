"""The plain versions that the speed of the scores is compared with measure the same."""

import numpy as np
import pytest

from scripts.stages.benchmarks import scores as benchmark
from segmentation.property_scores import compute_scores


@pytest.fixture(scope="module")
def faces():
    return benchmark.draw_faces(2)


@pytest.mark.parametrize("algorithm", [1, 2, 3])
def test_plain_versions_give_the_same_scores(faces, algorithm: int) -> None:
    label_maps, crops, pictures, boxes = faces
    ours, valid = compute_scores(label_maps, crops, algorithm, pictures, boxes)
    plain = [benchmark.PLAIN[algorithm](*image) for image in zip(*faces, strict=True)]
    assert valid.all()
    np.testing.assert_allclose(ours, plain, rtol=1e-9, atol=1e-9)
