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


def test_mouth_is_zero_when_closed_and_grows_without_a_step():
    values = series("mouth", "gap", np.arange(0.0, 4.0, 1.0))
    assert values[0] == 0 and values[1] < 0.02 and (np.diff(values) > 0).all()


def test_pose_is_zero_in_front_and_positive_to_the_right():
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
    values, valid = crop_scores(*stack(draw_face(missing=missing)))
    assert {name for name, good in zip(PROPERTY_NAMES, valid[0], strict=True) if not good} >= lost
    assert (
        valid[0, [INDEX[name] for name in PROPERTY_NAMES if name not in lost | {"background_std"}]].sum() >= 4
    )
    np.testing.assert_array_equal(np.isnan(values), ~valid)


@pytest.mark.parametrize(
    ("missing", "name"),
    [
        ((FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE), "eyes"),
        ((FaceClass.HAIR,), "hair_color"),
        ((FaceClass.HAIR,), "hair_length"),
    ],
)
def test_a_few_wrong_pixels_are_not_taken_for_a_missing_region(missing: tuple[FaceClass, ...], name: str):
    labels, images = stack(draw_face(missing=missing))
    _, valid = crop_scores(with_wrong_pixels(labels, 0.002), images)
    assert not valid[0, INDEX[name]]


def test_no_face_and_no_background_are_not_valid():
    images = np.full((3, SIZE, SIZE, 3), 90, np.uint8)
    labels = np.zeros((3, SIZE, SIZE), np.uint8)
    labels[1] = FaceClass.SKIN
    labels[2, :100] = FaceClass.HAIR
    values, valid = crop_scores(labels, images)
    assert not valid.any() and np.isnan(values).all()


def test_one_pixel_regions_are_not_measured():
    labels, images = stack(draw_face())
    small = np.full_like(labels, FaceClass.SKIN)
    for row, value in enumerate(FaceClass):
        small[0, 60 + row, 100] = value
    values, valid = crop_scores(small, images)
    assert not valid.any() and np.isnan(values).all()


def test_one_eye_counts_alone():
    both, one = (draw_face(), draw_face(missing=(FaceClass.RIGHT_EYE,)))
    values, valid = crop_scores(*stack(both, one))
    assert valid[:, INDEX["eyes"]].all()
    assert values[1, 0] == pytest.approx(values[0, 0], rel=0.05)


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


def test_brightness():
    values, _ = crop_scores(*stack(draw_face()))
    assert values[0, INDEX["hair_color"]] == HAIR_GREY
    assert values[0, INDEX["background_mean"]] == BACKGROUND_GREY
    assert values[0, INDEX["background_std"]] == 0


def test_background_reaches_beyond_the_crop():
    labels, images = stack(draw_face())
    picture = np.full((1, 400, 400, 3), 200, np.uint8)
    picture[0, 100:324, 100:324] = images[0]
    boxes = np.array([[100.0, 100.0, 324.0, 324.0]])
    inside, _ = crop_scores(labels, images)
    whole, valid = compute_scores(labels, images, 3, picture, boxes)
    assert valid.all()
    assert whole[0, INDEX["background_mean"]] > 160 > inside[0, INDEX["background_mean"]]
    assert whole[0, INDEX["background_std"]] > 20
    np.testing.assert_array_equal(whole[0, :5], inside[0, :5])


def test_neck_and_clothes_do_not_count_as_background():
    labels, images = stack(draw_face(hair_bottom=100))
    plain, _ = crop_scores(labels, images)
    images[0, 187:, 80:144] = 250  # neck
    images[0, 205:] = 250  # clothes
    dressed, _ = crop_scores(labels, images)
    assert dressed[0, INDEX["background_mean"]] == pytest.approx(plain[0, INDEX["background_mean"]], abs=1)


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
