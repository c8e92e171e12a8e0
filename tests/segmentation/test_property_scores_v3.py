"""Algorithm 3: continuous, signed, honest about missing regions, and steady under wrong pixels."""

import numpy as np
import pytest

from segmentation.face_classes import FaceClass
from segmentation.property_scores import compute_scores
from segmentation.property_table import PROPERTY_NAMES
from tests.segmentation.drawn_faces import (
    BACKGROUND_GREY,
    HAIR_GREY,
    SIZE,
    draw_face,
    stack,
    with_wrong_pixels,
)

INDEX = {name: index for index, name in enumerate(PROPERTY_NAMES)}
WHOLE_CROP = (0.0, 0.0, float(SIZE), float(SIZE))


def crop_scores(label_map: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of crops that are their own pictures."""
    return compute_scores(label_map, images, 3, images, np.tile(WHOLE_CROP, (len(images), 1)))


def series(name: str, argument: str, steps: np.ndarray) -> np.ndarray:
    values, valid = crop_scores(*stack(*(draw_face(**{argument: float(step)}) for step in steps)))
    assert valid.all()
    return values[:, INDEX[name]]


@pytest.mark.parametrize(
    ("name", "argument", "steps"),
    [
        ("eyes", "eye_half_height", np.arange(1.0, 13.0, 1.0)),
        ("mouth", "gap", np.arange(0.0, 30.0, 1.0)),
        ("pose", "turn", np.arange(-20.0, 21.0, 2.0)),
        ("hair_length", "hair_bottom", np.arange(100.0, 224.0, 4.0)),
    ],
)
def test_follows_what_it_measures_linearly(name: str, argument: str, steps: np.ndarray):
    values = series(name, argument, steps)
    assert (np.diff(values) > -1e-9).all()
    assert np.corrcoef(values, steps)[0, 1] > 0.995


def test_zero_is_a_closed_mouth_and_a_face_in_front():
    mouth = series("mouth", "gap", np.arange(0.0, 4.0, 1.0))
    assert mouth[0] == 0 and mouth[1] < 0.02 and (np.diff(mouth) > 0).all()
    left, front, right = series("pose", "turn", np.array([-12.0, 0.0, 12.0]))
    assert abs(front) < 0.01 and right > 0.05 and left == pytest.approx(-right, abs=0.01)


def test_hair_grows_on_below_the_crop():
    labels, images = stack(draw_face(hair_bottom=300), draw_face(hair_bottom=300))
    labels[1, 150:, 20:36] = FaceClass.HAIR  # the second head has more hair at the bottom edge
    values, _ = crop_scores(labels, images)
    inside = series("hair_length", "hair_bottom", np.array([222.0]))
    assert inside[0] < values[0, INDEX["hair_length"]] < values[1, INDEX["hair_length"]]


def test_is_independent_of_the_faces_size_in_the_crop():
    labels, images = stack(draw_face())
    small_labels = np.zeros_like(labels)
    small_images = np.full_like(images, BACKGROUND_GREY)
    small_labels[0, 30:142, 50:162] = labels[0, ::2, ::2]
    small_images[0, 30:142, 50:162] = images[0, ::2, ::2]
    large, _ = crop_scores(labels, images)
    small, valid = crop_scores(small_labels, small_images)
    assert valid.all()
    np.testing.assert_allclose(small[0, :5], large[0, :5], rtol=0.08, atol=0.02)


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        ((FaceClass.HAIR,), {"hair_color", "hair_length"}),
        ((FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE), {"eyes", "hair_length"}),
        ((FaceClass.LEFT_EYE,), set()),
        ((FaceClass.NOSE,), {"pose"}),
        ((FaceClass.UPPER_LIP, FaceClass.INNER_MOUTH, FaceClass.LOWER_LIP), {"mouth"}),
    ],
)
def test_missing_regions_are_nan_and_not_valid(missing: tuple[FaceClass, ...], lost: set[str]):
    """A few wrong pixels are not taken for them, and one eye counts alone."""
    labels, images = stack(draw_face(missing=missing), draw_face())
    values, valid = crop_scores(
        np.concatenate([labels, with_wrong_pixels(labels[:1], 0.002)]), images[[0, 1, 0]]
    )
    assert {name for name, good in zip(PROPERTY_NAMES, valid[0], strict=True) if not good} >= lost
    assert valid[0].sum() >= 4 and not valid[2, [INDEX[n] for n in lost & {"eyes", "hair_color"}]].any()
    np.testing.assert_array_equal(np.isnan(values), ~valid)
    if "eyes" not in lost:
        assert values[0, 0] == pytest.approx(values[1, 0], rel=0.05)


def test_no_face_and_single_pixels_are_not_valid():
    images = np.full((4, SIZE, SIZE, 3), 90, np.uint8)
    labels = np.zeros((4, SIZE, SIZE), np.uint8)
    labels[1] = labels[3] = FaceClass.SKIN
    labels[2, :100] = FaceClass.HAIR
    for row, value in enumerate(FaceClass):
        labels[3, 60 + row, 100] = value
    values, valid = crop_scores(labels, images)
    assert not valid.any() and np.isnan(values).all()


def test_wrong_pixels_hardly_move_the_scores():
    rng = np.random.default_rng(3)
    faces = [
        draw_face(rng.uniform(1, 12), rng.uniform(0, 28), rng.uniform(-20, 20), rng.uniform(100, 240))
        for _ in range(24)
    ]
    labels, images = stack(*faces)
    images = np.clip(images.astype(int) * rng.uniform(0.5, 1.3, (24, 1, 1, 1)), 0, 255).astype(np.uint8)
    clean, _ = crop_scores(labels, images)
    noisy, valid = crop_scores(with_wrong_pixels(labels, 0.002), images)
    assert valid.all()
    shift = np.abs(noisy - clean).mean(axis=0)[:6]
    assert (shift < 0.1 * clean.std(axis=0)[:6]).all()


def test_background_reaches_beyond_the_crop_but_not_to_neck_and_clothes():
    labels, images = stack(draw_face(hair_bottom=100))
    inside, _ = crop_scores(labels, images)
    assert inside[0, INDEX["hair_color"]] == HAIR_GREY
    assert inside[0, INDEX["background_mean"] :].tolist() == [BACKGROUND_GREY, 0]
    picture = np.full((1, 400, 400, 3), 200, np.uint8)
    picture[0, 100:324, 100:324] = images[0]
    whole, valid = compute_scores(labels, images, 3, picture, np.array([[100.0, 100.0, 324.0, 324.0]]))
    assert valid.all() and whole[0, INDEX["background_mean"]] > 160 and whole[0, INDEX["background_std"]] > 20
    np.testing.assert_array_equal(whole[0, :5], inside[0, :5])
    images[0, 187:, 80:144] = 250  # neck
    images[0, 205:] = 250  # clothes
    dressed, _ = crop_scores(labels, images)
    assert dressed[0, INDEX["background_mean"]] == pytest.approx(BACKGROUND_GREY, abs=1)


@pytest.mark.parametrize(
    ("pictures", "boxes", "message"),
    [
        (None, None, "needs pictures and boxes"),
        (np.zeros((1, 9, 9, 3), np.uint8), None, "needs pictures and boxes"),
        (np.zeros((1, 9, 9), np.uint8), np.array([[0, 0, 9, 9]]), "pictures must be"),
        (np.zeros((1, 9, 9, 3), np.uint8), np.array([0, 0, 9, 9]), "boxes must be"),
        (np.zeros((1, 9, 9, 3), np.uint8), np.array([[5, 0, 5, 9]]), "holds no pixel"),
        (np.zeros((1, 9, 9, 3), np.uint8), np.array([[0, 0, np.nan, 9]]), "holds no pixel"),
    ],
)
def test_pictures_and_boxes_are_checked(pictures, boxes, message):
    labels, images = stack(draw_face())
    with pytest.raises(ValueError, match=message):
        compute_scores(labels, images, 3, pictures, boxes)
