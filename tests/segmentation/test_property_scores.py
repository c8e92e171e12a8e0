"""Algorithms 1 and 2: reference numbers, constants for missing regions, and refused input."""

from pathlib import Path

import numpy as np
import pytest

from segmentation.face_classes import FaceClass
from segmentation.property_scores import compute_scores
from segmentation.property_table import PROPERTY_NAMES
from tests.segmentation.drawn_faces import draw_face, stack

INDEX = {name: index for index, name in enumerate(PROPERTY_NAMES)}
EMPTY = np.zeros((1, 224, 224), np.uint8)
GREY = np.full((1, 224, 224, 3), 77, np.uint8)


def one_score(label_map: np.ndarray, algorithm: int, name: str) -> tuple[float, bool]:
    values, valid = compute_scores(label_map, np.broadcast_to(GREY, (len(label_map), 224, 224, 3)), algorithm)
    return values[0, INDEX[name]], valid[0, INDEX[name]]


@pytest.mark.parametrize("algorithm", [1, 2])
def test_scores_equal_the_reference_whatever_the_batch(golden: Path, algorithm: int):
    with np.load(golden / "property_scores.npz") as stored:
        assert tuple(stored["names"]) == PROPERTY_NAMES
        labels, images, kinds = stored["labels"], stored["images_rgb"], list(stored["kinds"])
        expected = stored[f"scores_{algorithm}"]
    values, valid = compute_scores(np.tile(labels, (3, 1, 1)), np.tile(images, (3, 1, 1, 1)), algorithm)
    np.testing.assert_allclose(values, np.tile(expected, (3, 1)), rtol=0, atol=1e-9)
    no_background, no_eye = kinds.index("no_background"), kinds.index("no_left_eye")
    assert not valid[no_background, 5:].any() and valid[no_background, :5].all()
    assert valid[: len(kinds)][[kind == "face" for kind in kinds]].all()
    # Algorithm 1 averages both eyes, 2 takes the larger one but needs both for the pose.
    assert valid[no_eye, [INDEX["eyes"], INDEX["pose"]]].tolist() == [algorithm == 2, algorithm == 1]


@pytest.mark.parametrize(
    ("algorithm", "constants"), [(1, [0, np.nan, np.nan, 0, np.nan]), (2, [0, 127.5, 0, 0, 0])]
)
def test_constants_of_missing_regions(algorithm: int, constants: list[float]):
    values, valid = compute_scores(EMPTY, GREY, algorithm)
    assert valid[0].tolist() == [False] * 5 + [True] * 2
    np.testing.assert_array_equal(values[0], [*constants, 77, 0])
    values, valid = compute_scores(EMPTY + np.uint8(FaceClass.SKIN), GREY, algorithm)
    assert values[0, 5:].tolist() == [192.0, 0.0] and not valid[0, 5:].any()
    lips = (FaceClass.UPPER_LIP, FaceClass.INNER_MOUTH, FaceClass.LOWER_LIP)
    _, valid = compute_scores(*stack(draw_face(gap=0), draw_face(missing=lips)), algorithm)
    assert valid[:, INDEX["mouth"]].tolist() == [True, False]
    assert compute_scores(EMPTY[:0], GREY[:0], algorithm)[0].shape == (0, 7)


@pytest.mark.parametrize("count", range(1, 10))
def test_few_pixels_are_trimmed_by_the_document_s_rule(count: int):
    """Kept from index int(share n) to before int((1 - share) n); a single pixel of background stays."""
    brightness = np.random.default_rng(count).permutation(20 * np.arange(1, count + 1))
    ordered = np.sort(brightness).astype(float)
    hair = ordered[int(0.1 * count) : int(0.9 * count)]
    background = ordered[int(0.05 * count) : int(0.95 * count)] if count > 1 else ordered
    image = GREY.copy()
    image[0, 10, :count] = brightness[:, None]
    labels = np.full((2, 224, 224), FaceClass.SKIN, np.uint8)
    labels[0, 10, :count], labels[1, 10, :count] = FaceClass.BACKGROUND, FaceClass.HAIR
    expected_hair = {
        1: (np.median(brightness), True),
        2: (hair.mean(), True) if len(hair) else (127.5, False),
    }
    for algorithm, expected in expected_hair.items():
        values, valid = compute_scores(labels, image.repeat(2, axis=0), algorithm)
        np.testing.assert_allclose(values[0, 5:], [background.mean(), background.std()], atol=1e-9)
        assert valid[0, 5:].all()
        assert (values[1, INDEX["hair_color"]], valid[1, INDEX["hair_color"]]) == expected


def test_one_pixel_regions():
    labels = EMPTY.copy()
    for row, value in enumerate(FaceClass):
        labels[0, 60 + row, 100] = value
    for algorithm in (1, 2):
        values, valid = compute_scores(labels, GREY, algorithm)
        assert values[0, INDEX["eyes"]] == 0 and valid[0, INDEX["eyes"]]
    assert one_score(labels, 1, "hair_color") == (77.0, True)
    assert one_score(labels, 2, "hair_color") == (127.5, False)  # trimmed away, as the document has it
    assert not one_score(labels, 1, "pose")[1]  # a single pixel has no correlation
    assert one_score(labels, 2, "pose") == (0.0, False)  # the eyes are above each other
    assert one_score(labels, 1, "hair_length") == (70.0, True)


def test_hair_that_leaves_the_image_counts_by_its_width():
    labels = EMPTY.copy()
    labels[0, 50:, 10:50] = FaceClass.HAIR
    assert one_score(labels, 1, "hair_length") == (223 + 40 / 2, True)
    assert one_score(labels, 2, "hair_length") == (168 + (40 - 10) / 2, True)
    labels[0, -1] = FaceClass.BACKGROUND
    assert one_score(labels, 1, "hair_length") == (222.0, True)
    assert one_score(labels, 2, "hair_length") == (167.0, True)


def test_pose_of_algorithm_1_has_the_documents_sign():
    labels = EMPTY.copy()
    for step in range(20):
        labels[0, 100 + step, 90 + step : 96 + step] = FaceClass.NOSE
    falling, _ = one_score(labels, 1, "pose")
    rising, _ = one_score(labels[:, :, ::-1].copy(), 1, "pose")
    assert falling == pytest.approx(-rising) and falling < -0.5  # x and y grow together: left, below 0


def test_windows_scale_with_the_size():
    labels, images = stack(draw_face())
    double = labels.repeat(2, axis=1).repeat(2, axis=2)
    small, _ = compute_scores(labels, images, 1)
    large, valid = compute_scores(double, images.repeat(2, axis=1).repeat(2, axis=2), 1)
    assert valid.all()
    assert large[0, INDEX["eyes"]] == pytest.approx(2 * small[0, INDEX["eyes"]], abs=1)
    np.testing.assert_allclose(large[0, [1, 4, 5, 6]], small[0, [1, 4, 5, 6]], atol=0.02)


@pytest.mark.parametrize(
    ("label_map", "image", "algorithm", "message"),
    [
        (np.full((1, 8, 8), 11, np.uint8), np.zeros((1, 8, 8, 3), np.uint8), 1, "class id.* 11"),
        (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8), 1, "coloured visualization"),
        (np.zeros((1, 8, 8), np.int64), np.zeros((1, 8, 8, 3), np.uint8), 1, "int64"),
        (np.zeros((1, 8, 8), np.uint8), np.zeros((1, 8, 9, 3), np.uint8), 1, "image_rgb must be"),
        (np.zeros((1, 8, 8), np.uint8), np.zeros((1, 8, 8, 3), np.float32), 1, "image_rgb must be"),
        (np.zeros((1, 8, 8), np.uint8), np.zeros((1, 8, 8, 3), np.uint8), 4, "algorithm must be one of"),
    ],
)
def test_wrong_input_is_refused(label_map, image, algorithm, message):
    with pytest.raises(ValueError, match=message):
        compute_scores(label_map, image, algorithm)
