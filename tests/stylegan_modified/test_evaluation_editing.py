"""Editing of given pictures: encoding, requests, and measures that broken encoders and dials must fail."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified import evaluation_summary as summary
from stylegan_modified.editing import edit_requests, encode_pictures, posterior_mean
from stylegan_modified.evaluation import render_requests, sweep_requests
from stylegan_modified.evaluation_editing import EditingReadings, editing_measures
from stylegan_modified.evaluation_identity import anchored_identity_auc
from stylegan_modified.evaluation_intervals import resample_weights, with_all
from stylegan_modified.stylegan_generator_v3 import Encoder, EncoderConfig
from tests.stylegan_modified import tiny

LEVELS = np.array([-1.6, -0.7, 0.0, 0.7, 1.6])[:, None] * np.ones(7)
REQUESTED = sweep_requests(LEVELS)
EDITED, GIVEN = 24, 240


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def edits_of(given: np.ndarray, leak: float = 0.0) -> np.ndarray:
    """Properties of perfect edits [N, 7, 5, 7]; `leak`: what the next property moves with the dial."""
    measured = edit_requests(torch.from_numpy(given), torch.from_numpy(LEVELS)).numpy()
    for j in range(7):
        measured[:, j, :, (j + 1) % 7] += leak * LEVELS[:, j]
    return measured


@pytest.fixture
def readings() -> EditingReadings:
    """A perfect editor: same person, nothing leaks, z knows nothing of the properties."""
    rng = np.random.default_rng(0)
    given, people = rng.normal(size=(GIVEN, 7)), unit(rng.normal(size=(GIVEN, 8)))
    shown = people[:EDITED]
    return EditingReadings(
        requested=REQUESTED,
        given=given,
        z=rng.normal(size=(GIVEN, 16)),
        reconstructed=given[:EDITED] + 0.1,
        measured=edits_of(given[:EDITED]),
        error=np.linspace(4, 6, EDITED),
        given_identity=people,
        reconstructed_identity=shown,
        edited_identity=shown[:, None, None].repeat(7, 1).repeat(2, 2),
    )


def measure(readings: EditingReadings, resamples: int = 40) -> tuple[dict, dict]:
    """Estimates and intervals."""
    weights = [with_all(resample_weights(count, resamples)) for count in (EDITED, GIVEN)]
    found = editing_measures(readings, *weights)
    return summary.estimates(found), summary.confidence(found)


def test_a_perfect_editor_reaches_every_goal(readings: EditingReadings) -> None:
    values, ends = measure(readings)
    assert values["reconstruction_error"] == pytest.approx(5)
    assert ends["reconstruction_error"]["low"] < 5 < ends["reconstruction_error"]["high"]
    assert values["reconstruction_identity_auc"] == values["identity_auc"] == 1
    assert values["reconstruction_similarity"] == pytest.approx(1)
    assert values["leakage"] == pytest.approx(0, abs=1e-6)
    assert values["control"] == values["slope"] == pytest.approx(dict.fromkeys(PROPERTY_NAMES, 1.0))
    assert values["own_property_mae"] == pytest.approx(dict.fromkeys(PROPERTY_NAMES, 0.1))
    assert values["z_property_r2_largest"] == max(values["z_property_r2"].values()) <= 0.05


def test_a_leaking_dial_is_found(readings: EditingReadings) -> None:
    leaking = dataclasses.replace(readings, measured=edits_of(readings.given[:EDITED], leak=0.6))
    values, _ = measure(leaking)
    assert values["leakage"] == pytest.approx(0.1)  # one of six others by 0.6
    assert values["slope"]["mouth"] == pytest.approx(1)


def test_reconstructions_and_edits_of_anybody_have_an_identity_auc_of_one_half(
    readings: EditingReadings,
) -> None:
    rng = np.random.default_rng(1)
    anybody = dataclasses.replace(
        readings,
        reconstructed_identity=unit(rng.normal(size=(EDITED, 8))),
        edited_identity=unit(rng.normal(size=(EDITED, 7, 2, 8))),
    )
    values, ends = measure(anybody, 200)
    assert values["reconstruction_identity_auc"] == pytest.approx(0.5, abs=0.15)
    assert values["identity_auc"] == pytest.approx(0.5, abs=0.06)
    low, high = (ends["reconstruction_identity_auc"][end] for end in ("low", "high"))
    assert low < values["reconstruction_identity_auc"] < high and high - low > 0.05
    assert abs(values["reconstruction_similarity"]) < 0.2


def test_a_z_that_carries_a_property_is_found(readings: EditingReadings) -> None:
    z = readings.z.copy()
    pose = PROPERTY_NAMES.index("pose")
    z[:, 3] += 5 * readings.given[:, pose]
    values, ends = measure(dataclasses.replace(readings, z=z))
    assert values["z_property_r2"]["pose"] == values["z_property_r2_largest"] > 0.9
    assert ends["z_property_r2"]["low"]["pose"] > 0.9
    assert values["z_property_r2"]["mouth"] <= 0.05
    silent = measure(dataclasses.replace(readings, z=np.zeros_like(z)))[0]
    assert silent["z_property_r2_largest"] <= 0


def test_what_nobody_could_read_is_unknown_or_left_out(readings: EditingReadings) -> None:
    given = readings.given.copy()
    given[:30] = np.nan
    blind = dataclasses.replace(
        readings, given=given, given_identity=None, reconstructed_identity=None, edited_identity=None
    )
    values, _ = measure(blind)
    assert values["own_property_mae"]["eyes"] is None
    assert values["z_property_r2"]["eyes"] <= 0.05 and "identity_auc" not in values
    given[15:] = np.nan
    values, _ = measure(dataclasses.replace(blind, given=given))
    assert values["z_property_r2"]["eyes"] is None and values["z_property_r2_largest"] is None


def test_anchored_identity_auc_is_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(2)
    given = unit(rng.normal(size=(9, 8)))
    edited = unit(given[:, None] + 0.5 * rng.normal(size=(9, 3, 8)))
    weights = with_all(resample_weights(9, 20))
    similarity = np.einsum("ad,bmd->abm", given, edited)
    for row, counts in enumerate(weights[:4].astype(int)):
        drawn = np.repeat(np.arange(9), counts)
        positive = similarity[drawn, drawn].ravel()
        negative = np.concatenate([similarity[a, b] for a in drawn for b in drawn if a != b])
        labels = np.repeat([1, 0], [len(positive), len(negative)])
        area = roc_auc_score(labels, np.concatenate([positive, negative]))
        assert anchored_identity_auc(given, edited, weights)[row] == pytest.approx(area)
    with pytest.raises(ValueError, match="two pictures"):
        anchored_identity_auc(given[:1], edited[:1], np.ones((1, 1)))


def test_an_edit_turns_one_dial_and_keeps_the_picture_s_other_properties() -> None:
    own = torch.randn(3, 7)
    requests = edit_requests(own, torch.from_numpy(LEVELS))
    assert requests.shape == (3, 7, 5, 7) and requests.dtype == own.dtype
    mouth = PROPERTY_NAMES.index("mouth")
    others = [k for k in range(7) if k != mouth]
    for level in range(5):
        torch.testing.assert_close(requests[:, mouth, level][:, others], own[:, others])
        assert (requests[:, mouth, level, mouth] == torch.tensor(LEVELS[level, mouth]).float()).all()


def test_encoding_is_the_posterior_mean_at_the_properties_that_the_cnn_reads() -> None:
    torch.manual_seed(0)
    model, encoder = tiny.dial_generator(), Encoder(EncoderConfig(tiny.RESOLUTION, tiny.Z_DIM, 7, 0.25, 32))
    images = torch.rand(3, 3, tiny.RESOLUTION, tiny.RESOLUTION) * 2 - 1
    found = encode_pictures(model, encoder, model.property_cnn, images, refine_steps=0)
    own = model.property_cnn(images)
    torch.testing.assert_close(found.own, own)
    torch.testing.assert_close(found.z, encoder(images, own)[0])
    assert not found.z.requires_grad and not found.z.is_inference()
    torch.testing.assert_close(posterior_mean(encoder, model.property_cnn, images).z, found.z)


def test_every_latent_may_have_requests_of_its_own() -> None:
    requests = np.arange(2 * 3 * 7, dtype=np.float32).reshape(2, 3, 7) / 50

    def generate(z: torch.Tensor, properties: torch.Tensor) -> torch.Tensor:
        return (z[:, 0] + properties[:, 2])[:, None, None, None].expand(-1, 3, 2, 2)

    shown = render_requests(generate, torch.tensor([[-0.5], [0.1]]), requests, batch_size=4)
    expected = (np.clip(requests[..., 2] + np.array([[-0.5], [0.1]]), -1, 1) + 1) * 127.5
    np.testing.assert_allclose(shown[..., 0, 0, 0], expected, atol=0.51)


def test_refinement_comes_closer_to_each_picture_whatever_its_batch() -> None:
    torch.manual_seed(0)
    model, encoder = tiny.dial_generator(), Encoder(EncoderConfig(tiny.RESOLUTION, tiny.Z_DIM, 7, 0.25, 32))
    with torch.no_grad():
        images = model(torch.randn(3, tiny.Z_DIM), torch.zeros(3, 7))["image"].clamp(-1, 1)

    def error(refine_steps: int) -> float:
        found = encode_pictures(model, encoder, model.property_cnn, images, refine_steps=refine_steps)
        with torch.no_grad():
            return float((model(found.z, found.own)["image"] - images).abs().mean())

    assert error(40) < 0.95 * error(0)
    together = encode_pictures(model, encoder, model.property_cnn, images, refine_steps=5)
    alone = encode_pictures(model, encoder, model.property_cnn, images[1:2], refine_steps=5)
    # Losses of a batch that influence each other differ by 3e-4 after so few steps, rounding by 2e-5.
    torch.testing.assert_close(alone.z[0], together.z[1], atol=1e-4, rtol=0.0)
    assert all(parameter.grad is None for parameter in model.parameters())
