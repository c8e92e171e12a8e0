"""Geometry, cutting and padding of the alignment, and the finder on portraits that were turned and scaled."""

import cmath
import math

import cv2
import numpy as np
import pytest

from data import portraits
from segmentation.face_alignment import (
    EYE_DISTANCE,
    EYE_MIDPOINT,
    Similarity,
    at_size,
    cut_out,
    distance_between,
    sharpness,
    similarity_from_landmarks,
    warp,
)
from segmentation.face_classes import FaceClass
from segmentation.face_landmarks import FaceFinder, FoundFace

CANVAS = (300, 400)
IN_FRAME = np.array([[98, 120.5], [159, 120.5], [128.5, 155], [104, 185.5], [153, 185.5]])


def turned(angle_deg: float, scale: float, center: complex, about: complex = 128 + 128j) -> Similarity:
    """From a picture of 256 px to a canvas: turned clockwise, scaled, its middle put at `center`."""
    factor = scale * cmath.exp(1j * math.radians(angle_deg))
    return Similarity(factor, center - factor * about)


@pytest.mark.parametrize("angle_deg", [0.0, 31.0, -170.0])
def test_transform_from_landmarks(angle_deg: float) -> None:
    expected = turned(angle_deg, 1.7, 310 + 95j)
    found = similarity_from_landmarks(expected(IN_FRAME))
    assert distance_between(expected, found) < 1e-9
    assert found.angle_deg == pytest.approx(angle_deg)
    assert found.scale == pytest.approx(1.7)
    round_trip = found.inverse().after(found)
    assert abs(round_trip.factor - 1) < 1e-12 and abs(round_trip.offset) < 1e-9


def test_turned_head_keeps_its_size() -> None:
    profile = IN_FRAME.copy()
    profile[:, 0] = 128.5 + 0.2 * (profile[:, 0] - 128.5)
    found = similarity_from_landmarks(profile)
    assert found.scale == pytest.approx(0.75 * 65 / EYE_DISTANCE)
    assert found(np.array(EYE_MIDPOINT)) == pytest.approx(EYE_MIDPOINT)
    with pytest.raises(ValueError, match="one spot"):
        similarity_from_landmarks(np.full((5, 2), 7.0))


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.3, 9.0])
def test_warp_puts_pixels_where_the_transform_says(scale: float) -> None:
    y, x = np.mgrid[:420, :420] + 0.5
    spot = np.exp(-((x - 200.25) ** 2 + (y - 170.5) ** 2) / (2 * (3 * scale) ** 2))
    image = np.repeat((255 * spot).astype(np.uint8)[..., None], 3, axis=2)
    to_picture = turned(20, scale, 200.25 + 170.5j, about=15.5 + 20.25j)
    sampled = warp(image, to_picture, (44, 36))[..., 0].astype(float)
    rows, columns = np.mgrid[:44, :36] + 0.5
    assert (sampled * columns).sum() / sampled.sum() == pytest.approx(15.5, abs=0.06)
    assert (sampled * rows).sum() / sampled.sum() == pytest.approx(20.25, abs=0.06)


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = warp(stripes, Similarity(7.3 + 0j, 0j), (50, 50))
    assert np.abs(shrunk[4:-4, 4:-4].astype(int) - 127).max() <= 2


def test_padding_reflects_blurs_and_leaves_the_picture_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    inside = Similarity(0.5 + 0j, 20 + 20j)
    aligned, share = cut_out(image, inside, 64)
    assert share == 0 and np.array_equal(aligned, warp(image, at_size(inside, 64), (64, 64)))
    to_the_left = Similarity(0.5 + 0j, -64 + 20j)
    aligned, share = cut_out(image, to_the_left, 64)
    assert share == 0.5
    assert np.array_equal(aligned[:, 32:], warp(image, at_size(to_the_left, 64), (64, 64))[:, 32:])
    spread = aligned.astype(float).std(axis=(0, 2))
    assert spread[31] > 3 * spread[24] > 3 * spread[0]
    assert aligned[:, :8].mean() == pytest.approx(image.mean(), abs=10)


def test_sharpness_falls_with_blur_and_ignores_contrast_size_and_noise() -> None:
    texture = np.random.default_rng(1).normal(0, 1, (256, 256)).astype(np.float32)
    smooth = cv2.GaussianBlur(texture, (0, 0), 4)
    image = np.repeat(np.clip(128 + 600 * smooth, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    whole = Similarity(1 + 0j, 0j)
    values = [sharpness(cv2.GaussianBlur(image, (0, 0), sigma), whole) for sigma in (0.1, 2, 4)]
    assert values[0] > 1.2 * values[1] > 1.2 * 1.2 * values[2]
    assert sharpness(image // 2 + 60, whole) == pytest.approx(values[0], rel=0.1)
    double = cv2.resize(image, (512, 512), interpolation=cv2.INTER_CUBIC)
    assert sharpness(double, Similarity(2 + 0j, 0j)) == pytest.approx(values[0], rel=0.1)
    assert sharpness(np.full((9, 9, 3), 7, np.uint8), whole) == 0
    face = portraits.render_many([3], 256).images[0]
    noise = np.random.default_rng(0).normal(0, 4, face.shape)
    noisy = np.clip(cv2.GaussianBlur(face, (0, 0), 8.6) + noise, 0, 255).astype(np.uint8)
    assert 2 * sharpness(noisy, whole) < 0.02 < sharpness(face, whole) / 2


@pytest.fixture(scope="module")
def drawn():
    return portraits.render_many([0, 3], 256)


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(min_face_px=60)


def paste(image: np.ndarray, placed: Similarity, canvas: np.ndarray) -> None:
    """Put a picture into a larger one; what lies outside it stays as it is."""
    inverse = placed.inverse()
    shape = canvas.shape[:2]
    inside = warp(np.full_like(image, 255), inverse, shape, cv2.BORDER_CONSTANT) > 127
    np.copyto(canvas, warp(image, inverse, shape, cv2.BORDER_CONSTANT), where=inside)


def find_placed(finder: FaceFinder, image: np.ndarray, placed: Similarity) -> list[FoundFace]:
    canvas = np.full((*CANVAS, 3), 110, np.uint8)
    paste(image, placed, canvas)
    return finder(canvas)


def test_eyes_of_a_portrait_come_to_the_frame(finder: FaceFinder, drawn) -> None:
    for image, label_map in zip(drawn.images, drawn.label_maps, strict=True):
        (face,) = finder(image)
        assert face.probability > 0.95
        eyes = []
        for side in (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE):
            rows, columns = np.nonzero(label_map == side)
            eyes.append((columns.mean() + 0.5, rows.mean() + 0.5))
        in_frame = face.transform.inverse()(np.array(sorted(eyes)))
        assert np.abs(in_frame - IN_FRAME[:2]).max() < 6
        assert np.linalg.norm(face.landmarks - face.transform(IN_FRAME), axis=1)[:2].max() < 0.5
        assert face.eye_distance_px == pytest.approx(EYE_DISTANCE * face.transform.scale, rel=0.01)


@pytest.mark.parametrize(
    ("angle_deg", "scale", "center"),
    [(-25, 0.8, 190 + 150j), (10, 0.9, 215.3 + 140.6j), (45, 0.7, 205 + 160j), (160, 0.7, 180 + 150j)],
)
def test_the_place_in_the_picture_does_not_matter(
    finder: FaceFinder, drawn, angle_deg: float, scale: float, center: complex
) -> None:
    (alone,) = finder(drawn.images[0])
    placed = turned(angle_deg, scale, center)
    (found,) = find_placed(finder, drawn.images[0], placed)
    assert distance_between(alone.transform, placed.inverse().after(found.transform)) < 1
    assert found.transform.angle_deg == pytest.approx(alone.transform.angle_deg + angle_deg, abs=1)


def test_all_faces_of_a_picture_largest_first(drawn) -> None:
    canvas = np.full((260, 420, 3), 110, np.uint8)
    paste(drawn.images[0], turned(0, 0.6, 90 + 130j), canvas)
    paste(drawn.images[1], turned(90, 0.8, 300 + 130j), canvas)
    faces = FaceFinder(min_face_px=60, rotations="always")(canvas)
    assert [round(face.transform.angle_deg / 90) for face in faces] == [1, 0]
    assert faces[0].side_px > faces[1].side_px
    assert not FaceFinder(rotations="never")(np.full((80, 120, 3), 127, np.uint8))
    assert not FaceFinder(rotations="never")(np.zeros((5, 9, 3), np.uint8))
    with pytest.raises(ValueError, match="fallback"):
        FaceFinder(rotations="sometimes")
