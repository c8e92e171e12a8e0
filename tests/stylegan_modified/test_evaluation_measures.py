"""Measures of the evaluation on arrays made by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from cnn.oracle_metrics import kernel_inception_distance
from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified import evaluation_intervals
from stylegan_modified.evaluation import distinct_requests, measure_control, run_sweep, sweep_requests
from stylegan_modified.evaluation_control import control_measures, fit_lines
from stylegan_modified.evaluation_identity import identity_auc, sweep_similarity
from stylegan_modified.evaluation_intervals import interval, mean_of_pairs, resample_weights, with_all
from stylegan_modified.evaluation_preservation import (
    changes_outside,
    differences_of_people,
    hue_drifts,
    region_chromaticity,
)
from stylegan_modified.evaluation_protocol import COLUMNS, protocol_passes, protocol_requests
from stylegan_modified.evaluation_realism import diversities, kernel_distances

LEVELS = np.array([-1.6, -0.7, 0.0, 0.7, 1.6])[:, None] * np.ones(7)
REQUESTED = sweep_requests(LEVELS)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def paint(z: Tensor, properties: Tensor) -> Tensor:
    """Pictures whose left third shows the person and whose rows show the properties."""
    pictures = torch.zeros(len(z), 3, 16, 24)
    pictures[:, :, :, :8] = torch.tanh(z[:, :16, None])[:, None]
    pictures[:, :, :14, 8:] = (properties / 3).repeat_interleave(2, 1)[:, None, :, None]
    return pictures


def leaky(z: Tensor, properties: Tensor) -> Tensor:
    mixed = properties.clone()
    mixed[:, 1] += 0.5 * properties[:, 0]
    return paint(z, mixed)


def read(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = (images[:, :14:2, 12, 0] / 127.5 - 1) * 3
    return values, np.ones(values.shape, dtype=bool)


def test_control_of_perfect_leaky_dead_and_unreadable_dials() -> None:
    z = torch.randn(6, 16)
    perfect = measure_control(run_sweep(paint, z, LEVELS, batch_size=7), read)
    assert min(perfect.r.values()) > 0.999 and min(perfect.pooled_r.values()) > 0.999
    assert all(slope == pytest.approx(1, abs=0.02) for slope in perfect.slope.values())
    assert perfect.leakage < 0.01 and max(perfect.mae.values()) < 0.02 and perfect.readable == 1.0
    np.testing.assert_allclose(perfect.response, np.eye(7), atol=0.03)
    leaking = measure_control(run_sweep(leaky, z, LEVELS), read)
    assert leaking.response[0][1] == pytest.approx(0.5, abs=0.03)
    assert leaking.leakage == pytest.approx(0.5 / 42, abs=0.01)
    dead = measure_control(run_sweep(lambda z, p: paint(z, torch.zeros_like(p)), z, LEVELS), read)
    assert max(dead.r.values()) == 0

    def blind(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, valid = read(images)
        valid[:, 0] = False
        return values, valid

    unread = measure_control(run_sweep(paint, z, LEVELS), blind)
    assert np.isnan(unread.r["eyes"]) and unread.r["mouth"] > 0.99 and unread.readable == 0


def test_resamples_of_control_equal_control_of_the_repeated_latents() -> None:
    rng = np.random.default_rng(0)
    measured = REQUESTED + 0.4 * rng.normal(size=(6, *REQUESTED.shape))
    measured[2, :, 1] = np.nan
    weights = resample_weights(6, resamples=4, seed=1)
    found = control_measures(REQUESTED, measured, with_all(weights))
    for row, counts in enumerate(with_all(weights).astype(int)):
        again = control_measures(REQUESTED, measured.repeat(counts, axis=0), np.ones((1, 6)))
        for name, values in again.items():
            np.testing.assert_allclose(found[name][row], values[0], err_msg=name)
    np.testing.assert_array_equal(weights, resample_weights(6, resamples=4, seed=1))


def test_lines_bring_the_readings_of_another_judge_to_the_units_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 7))
    slopes, offsets = np.linspace(0.5, 2, 7), np.linspace(-1, 1, 7)
    lines = fit_lines((scores - offsets) / slopes, scores)
    np.testing.assert_allclose(
        [lines.slope, lines.offset, lines.r], [slopes, offsets, np.ones(7)], atol=1e-12
    )
    sweep = rng.normal(size=(3, 7, 5, 7))
    np.testing.assert_allclose(lines.scores((sweep - offsets) / slopes), sweep)
    noisy = fit_lines(-scores + rng.normal(size=scores.shape), scores)
    np.testing.assert_allclose(noisy.slope, -0.5, atol=0.15)
    np.testing.assert_allclose(noisy.r, -np.sqrt(0.5), atol=0.12)
    constant = fit_lines(np.ones((5, 7)), scores[:5])
    assert (constant.slope == 0).all() and (constant.r == 0).all()


def test_an_interval_of_the_mean_has_the_width_that_theory_gives() -> None:
    values = np.random.default_rng(0).normal(size=400)
    low, high = interval(resample_weights(400, 2000) @ values / 400)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high
    empty, _ = interval(np.full((5, 2), np.nan))
    assert np.isnan(empty).all()


def test_pairs_of_an_item_with_itself_do_not_count() -> None:
    values = np.array([[9.0, 1.0], [3.0, 9.0]])
    weights = np.array([[1.0, 1.0], [3.0, 1.0]])
    np.testing.assert_allclose(mean_of_pairs(weights, lambda rows, columns: values[rows, columns]), 2.0)


def test_identity_auc_is_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(3)
    people = rng.normal(size=(9, 1, 1, 8))
    vectors = unit(people + 0.9 * rng.normal(size=(9, 7, 5, 8)))
    area = identity_auc(vectors, with_all(resample_weights(9, 50)))
    ends = vectors[:, :, [0, -1]]
    same = (ends[:, :, 0] * ends[:, :, 1]).sum(-1).ravel()
    different = np.einsum("ajed,bjed->abje", ends, ends)[~np.eye(9, dtype=bool)].ravel()
    labels = np.repeat([1, 0], [len(same), len(different)])
    expected = roc_auc_score(labels, np.concatenate([same, different]))
    assert area[0] == pytest.approx(expected, abs=1e-12) == identity_auc(vectors)[0]
    assert 0.5 < area[0] < 1 and area[1:].std() > 0
    similarity = sweep_similarity(vectors)
    np.testing.assert_allclose(similarity[:, 2], 1)
    assert (similarity[:, [0, 4]] < 0.99).all()


def faces_of_two_colours() -> tuple[np.ndarray, np.ndarray]:
    """Ends of the dials of two people: grey pictures, a mouth and skin on background."""
    images = np.full((2, 7, 2, 32, 32, 3), 100, np.uint8)
    images[1] = 140
    label_maps = np.zeros(images.shape[:-1], np.uint8)
    label_maps[..., 8:24, 8:24] = 1
    label_maps[..., 18:21, 13:19] = 8
    return images, label_maps


def test_preservation_counts_changes_outside_the_dial_s_own_region() -> None:
    images, label_maps = faces_of_two_colours()
    mouth = PROPERTY_NAMES.index("mouth")
    images[0, mouth, 1, 18:21, 13:19] += 50
    changed, between = changes_outside(images, label_maps)
    np.testing.assert_array_equal(changed, 0)
    np.testing.assert_allclose(between, 40)
    images[0, mouth, 1, 0:4] += 50
    changed, _ = changes_outside(images, label_maps)
    assert changed[0, mouth] > 3 and changed[1, mouth] == 0
    label_maps[0, mouth] = 0
    changed, between = changes_outside(images, label_maps)
    assert np.isnan(changed[0, mouth]) and np.isnan(between[:, mouth]).all()
    people = differences_of_people(images[:, 0, 0], label_maps[:, 0, 0])
    np.testing.assert_allclose(people, 40)
    with pytest.raises(ValueError, match="even"):
        changes_outside(images[:1], label_maps[:1])


def test_hue_drift_ignores_brightness_and_is_measured_in_deviations_between_people() -> None:
    label_maps = np.zeros((4, 16, 16), np.uint8)
    label_maps[:, 4:12, 4:12] = 1
    colours = np.array([[120, 60, 60], [60, 30, 30], [60, 120, 60], [2, 2, 2]], np.uint8)
    images = np.broadcast_to(colours[:, None, None], (4, 16, 16, 3))
    shares = region_chromaticity(images, label_maps)
    np.testing.assert_allclose(shares[0], shares[1])
    assert not np.allclose(shares[0], shares[2]) and np.isnan(shares[3]).all()
    sweep = np.zeros((2, 7, 3, 2, 2))
    sweep[1] = 0.2  # the people differ by 0.2 in both shares: their deviation is 0.1 sqrt(2)
    sweep[0, 3, -1, 0] = (0.1, 0.1)
    drift = hue_drifts(sweep)
    assert drift[0, 3, 0] == pytest.approx(1) and drift.sum() == pytest.approx(1)


def test_the_protocol_passes_who_follows_and_fails_who_does_not() -> None:
    low, high = np.full(7, -1.5), np.full(7, 2.0)
    requests = protocol_requests(np.zeros(7), low, high)
    assert requests.shape == (50, 7) and len(np.unique(requests, axis=0)) == 2 * 5 * 4
    assert requests.min() == -1.5 and requests.max() == 2.0
    measured = np.tile(requests.astype(float), (4, 1, 1))
    measured[1, :, COLUMNS[1]] *= -1
    measured[2, :, COLUMNS[0]] += np.where(np.arange(50) % 2, 0.9, -0.9)
    measured[3, :15] = np.nan
    passes, strict = protocol_passes(requests, measured)
    np.testing.assert_array_equal(passes, [True, False, True, False])
    np.testing.assert_array_equal(strict, [True, False, False, False])


def test_kid_and_diversity_of_all_pictures_and_of_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    generated, reference = rng.normal(size=(40, 6)), 2 * rng.normal(size=(50, 6))
    weights = with_all(resample_weights(40, 20, 1)), with_all(resample_weights(50, 20, 2))
    distances = kernel_distances(generated, reference, *weights)
    expected = kernel_inception_distance(torch.from_numpy(generated), torch.from_numpy(reference))
    assert distances[0] == pytest.approx(expected)
    assert distances[1:].std() > 0
    assert diversities(generated, 2 * generated, weights[0], weights[0]) == pytest.approx(0.5)
    monkeypatch.setattr(evaluation_intervals, "PAIR_BLOCK", 7)  # pairs are summed block by block
    np.testing.assert_allclose(kernel_distances(generated, reference, *weights), distances)


def test_a_sweep_moves_one_property_and_renders_the_shared_median_once() -> None:
    levels = np.arange(35, dtype=float).reshape(5, 7)
    requested = sweep_requests(levels)
    np.testing.assert_array_equal(requested[3, :, 3], levels[:, 3])
    np.testing.assert_array_equal(requested[3, :, 0], np.full(5, levels[2, 0]))
    distinct, index = distinct_requests(REQUESTED)
    assert len(distinct) == 7 * 4 + 1
    np.testing.assert_array_equal(distinct[index], REQUESTED)
    rendered = []

    def generate(z: Tensor, properties: Tensor) -> Tensor:
        rendered.append(len(z))
        return (properties.sum(1) / 10 + z[:, 0])[:, None, None, None].expand(-1, 3, 4, 4)

    sweep = run_sweep(generate, torch.tensor([[0.1], [-0.1]]), LEVELS)
    assert sum(rendered) == 2 * 29
    expected = ((REQUESTED.sum(-1) / 10 + 0.1 + 1) * 127.5).round()
    np.testing.assert_array_equal(sweep.images[0, ..., 0, 0, 0], expected)
