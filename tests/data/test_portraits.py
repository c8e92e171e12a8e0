"""Portraits are decided by their latents, and show what their truth says."""

import dataclasses

import numpy as np
import pytest

from data import portraits

COUNT, SIZE = 120, 64


@pytest.fixture(scope="module")
def drawn():
    return portraits.render_many(range(COUNT), SIZE)


@pytest.fixture(scope="module")
def many_truths():
    latents = portraits.sample_latents(range(2000))
    return np.stack([portraits.truth(portraits.parameters_from_latent(latent, 0)) for latent in latents])


def column(truth: np.ndarray, name: str) -> np.ndarray:
    return truth[:, portraits.TRUTH_NAMES.index(name)]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def rows_of(mask: np.ndarray) -> np.ndarray:
    """Rows from the first to the last with the class, per picture: [N]; 0 where it is absent."""
    rows = mask.any(2)
    span = mask.shape[1] - rows[:, ::-1].argmax(1) - rows.argmax(1)
    return np.where(rows.any(1), span, 0)


def center_x(mask: np.ndarray) -> np.ndarray:
    return (mask * np.arange(mask.shape[2])).sum((1, 2)) / mask.sum((1, 2))


def with_values(seed: int, size: int = SIZE, **values) -> portraits.Portrait:
    """A portrait without blur and tilt, with some parameters replaced."""
    parameters = portraits.parameters_from_latent(portraits.sample_latents([seed])[0], seed)
    return portraits.render(dataclasses.replace(parameters, **{"blur": 0.0, "roll": 0.0, **values}), size)


def test_drawing_is_deterministic_in_any_number_of_processes(drawn):
    again = portraits.render_many([5, 17, 3, 4], SIZE, processes=2)
    for name in ("images", "label_maps", "latents", "truth"):
        assert np.array_equal(getattr(again, name), getattr(drawn, name)[[5, 17, 3, 4]])


def test_the_seed_adds_grain_only_and_small_steps_of_the_latent_little(drawn):
    regrained = portraits.render_many(range(1000, 1016), SIZE, latents=drawn.latents[:16])
    assert np.array_equal(regrained.truth, drawn.truth[:16])
    assert np.array_equal(regrained.label_maps, drawn.label_maps[:16])
    step = 0.02 * np.random.default_rng(0).standard_normal(drawn.latents[:16].shape)
    moved = portraits.render_many(range(16), SIZE, latents=drawn.latents[:16] + step.astype(np.float32))
    changes = (regrained.images, moved.images, drawn.images[16:32])
    grain, nearby, others = (np.abs(images.astype(int) - drawn.images[:16]).mean() for images in changes)
    assert 0 < grain < 0.1 * others and 0 < nearby < 0.2 * others


def test_shapes_and_classes(drawn):
    assert drawn.images.shape == (COUNT, SIZE, SIZE, 3) and drawn.images.dtype == np.uint8
    assert drawn.label_maps.shape == (COUNT, SIZE, SIZE) and drawn.label_maps.dtype == np.uint8
    assert drawn.truth.shape == (COUNT, 9) and drawn.truth.dtype == np.float32
    for label_map, mouth in zip(drawn.label_maps, column(drawn.truth, "mouth"), strict=True):
        present = set(np.unique(label_map))
        assert present <= set(range(portraits.CLASS_COUNT))
        # Brows may hide under a fringe; everything else is visible in every portrait.
        assert present >= {0, 1, 4, 5, 6, 7, 9, 10}
        assert (8 in present) == (mouth > 0) or mouth < 0.15


@pytest.mark.parametrize("size", [64, 96, 128, 192, 256])
def test_every_size_shows_the_same_picture(size):
    portrait = with_values(4, size)
    assert portrait.image.shape == (size, size, 3)
    assert portrait.label_map.shape == (size, size)
    share = [np.mean(portrait.label_map == label) for label in (0, 1, 10)]
    reference = with_values(4, 64).label_map
    reference = [np.mean(reference == label) for label in (0, 1, 10)]
    assert np.allclose(share, reference, atol=0.012)


def test_truths_are_in_range_and_nearly_independent(many_truths):
    pose = column(many_truths, "pose")
    assert pose.min() >= -1 and pose.max() <= 1 and abs(pose.mean()) < 0.05 and pose.std() > 0.4
    others = np.delete(many_truths, portraits.TRUTH_NAMES.index("pose"), 1)
    assert others.min() >= 0 and others.max() <= 1.1
    matrix = np.corrcoef(many_truths.T) - np.eye(9)
    gender, length = (portraits.TRUTH_NAMES.index(name) for name in ("gender", "hair_length"))
    assert 0.4 < matrix[gender, length] < 0.6
    matrix[gender, length] = matrix[length, gender] = 0
    assert np.abs(matrix).max() < 0.08
    assert 0.53 < column(many_truths, "gender").mean() < 0.59
    assert 0.03 < 1 - column(many_truths, "quality").mean() < 0.07
    eyes, mouth = column(many_truths, "eyes"), column(many_truths, "mouth")
    assert 0.10 < (eyes < 0.06).mean() < 0.20 and eyes.std() > 0.28
    assert 0.10 < (mouth == 0).mean() <= 0.30 and mouth.std() > 0.28


def test_truth_is_what_the_labels_show(drawn):
    labels, truth = drawn.label_maps, drawn.truth
    eye_height = 0.5 * (rows_of(labels == 4) + rows_of(labels == 5))
    assert correlation(eye_height, column(truth, "eyes")) > 0.92
    assert correlation(rows_of(labels == 8), column(truth, "mouth")) > 0.95
    hair_end = SIZE - (labels == 10).any(2)[:, ::-1].argmax(1)
    assert correlation(hair_end, column(truth, "hair_length")) > 0.99
    left, right = center_x(labels == 4), center_x(labels == 5)
    assert (left < right).all(), "left and right are the picture's"
    nose = center_x(labels == 6) - 0.5 * (left + right)
    assert correlation(nose, column(truth, "pose")) > 0.88
    turned = np.abs(column(truth, "pose")) > 0.4
    assert (np.sign(nose[turned]) == np.sign(column(truth, "pose")[turned])).mean() > 0.97


def test_truth_is_what_the_picture_shows(drawn):
    brightness = drawn.images.mean(3) / 255
    hair = np.nanmedian(np.where(drawn.label_maps == 10, brightness, np.nan), axis=(1, 2))
    assert correlation(hair, column(drawn.truth, "hair_color")) > 0.95
    # Clothes and neck, too, belong to class 0: only the upper part is the backdrop alone.
    upper = np.s_[:, : int(0.6 * SIZE)]
    backdrop = np.where(drawn.label_maps[upper] == 0, brightness[upper], np.nan).reshape(COUNT, -1)
    assert correlation(np.nanmean(backdrop, axis=1), column(drawn.truth, "background_mean")) > 0.96
    assert correlation(np.nanstd(backdrop, axis=1), column(drawn.truth, "background_std")) > 0.85


def test_closed_and_open():
    for seed in range(4):
        shut = with_values(seed, 128, eye_opening=0.0, mouth_opening=0.0, yaw=0.0, fringe=0.0)
        wide = with_values(seed, 128, eye_opening=1.0, mouth_opening=1.0, yaw=0.0, fringe=0.0)
        assert not (shut.label_map == 8).any()
        for label in (4, 5):
            assert rows_of(shut.label_map[None] == label)[0] <= 5
            assert 9 <= rows_of(wide.label_map[None] == label)[0] <= 14
        assert rows_of(wide.label_map[None] == 8)[0] >= 10
        for lip in (7, 9):
            assert (shut.label_map == lip)[:, 64 - 4 : 64 + 4].sum(0).mean() >= 2


def test_low_quality_blurs_the_top_only():
    sharp, blurred = with_values(8, blur=0.0).image, with_values(8, blur=1.0).image
    change = np.abs(sharp.astype(int) - blurred).mean((1, 2))
    assert change[: SIZE // 8].mean() > 3
    assert change[SIZE // 3 :].max() == 0


def test_same_person_keeps_the_identity(drawn):
    latents = drawn.latents[:50]
    again = portraits.same_person(latents, range(50))
    kept = (again == latents).all(0)
    assert [name for name, same in zip(portraits.COORDINATES, kept, strict=True) if same] == list(
        portraits.IDENTITY_COORDINATES
    )
    assert (again[:, ~kept] != latents[:, ~kept]).all()
    truth = np.stack([portraits.truth(portraits.parameters_from_latent(latent, 0)) for latent in again])
    assert np.array_equal(column(truth, "gender"), column(drawn.truth[:50], "gender"))


def test_wrong_sizes_are_refused():
    parameters = portraits.parameters_from_latent(portraits.sample_latents([0])[0], 0)
    with pytest.raises(ValueError, match="64 to 256"):
        portraits.render(parameters, 32)
    with pytest.raises(ValueError, match="sample_latents"):
        portraits.parameters_from_latent(np.zeros(3), 0)
    with pytest.raises(ValueError, match="one for each seed"):
        portraits.render_many([0, 1], SIZE, latents=portraits.sample_latents([0]))
