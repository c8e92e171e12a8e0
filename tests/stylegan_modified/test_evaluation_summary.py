"""From readings to the numbers and intervals of one version."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified import evaluation_summary as summary
from stylegan_modified.evaluation import sweep_requests
from stylegan_modified.evaluation_intervals import resample_weights, with_all
from stylegan_modified.evaluation_realism import diversities, kernel_distances

LATENTS, PICTURES = 6, 29
REQUESTED = sweep_requests(np.linspace(-1.5, 1.5, 5)[:, None] * np.ones(7))


@pytest.fixture
def readings() -> summary.SweepReadings:
    rng = np.random.default_rng(0)
    people = rng.normal(size=(LATENTS, 1, 1, 8)) + np.zeros((LATENTS, 7, 5, 8))
    return summary.SweepReadings(
        requested=REQUESTED,
        measured=np.tile(REQUESTED, (LATENTS, 1, 1, 1)) + 0.1,
        repeated=np.full((LATENTS, 14, 7), 0.2),
        changed=np.full((LATENTS, 7), 1.0),
        between=np.full((LATENTS, 7), 4.0),
        people=np.full((LATENTS, 7), 10.0),
        chromaticity=rng.normal(size=(LATENTS, 1, 1, 2, 2)) + np.zeros((LATENTS, 7, 5, 2, 2)),
        identity=people,
        threshold=0.6,
        gender=np.where(np.arange(LATENTS) < 3, 1.0, -1.0)[:, None].repeat(PICTURES, 1),
        quality=np.ones((LATENTS, PICTURES)),
        by_oracle=0.5 * np.tile(REQUESTED, (LATENTS, 1, 1, 1)),
    )


def test_measures_of_known_readings(readings: summary.SweepReadings) -> None:
    weights = with_all(resample_weights(LATENTS, 30))
    found = summary.sweep_measures(readings, weights)
    values = json.loads(json.dumps(summary.estimates(found)))
    assert set(values["control"]) == set(PROPERTY_NAMES)
    assert values["control"]["eyes"] == pytest.approx(1) and values["slope"]["pose"] == pytest.approx(1)
    assert values["mae"]["mouth"] == pytest.approx(0.1)
    assert values["repeatability"]["mouth"] == pytest.approx(0.2)
    np.testing.assert_allclose(values["response"], np.eye(7), atol=1e-6)
    assert values["leakage"] == values["hue_drift"] == values["leakage_by_oracle"] == 0
    assert values["control_by_oracle"] == values["pooled_by_oracle"] == values["control"]
    assert values["slope_by_oracle"]["pose"] == pytest.approx(0.5)
    assert values["preservation"] == pytest.approx(0.1)
    assert values["preservation_equal_settings"] == pytest.approx(0.25)
    assert values["identity_auc"] == 1 and values["women_in_sweeps"] == pytest.approx(0.5)
    assert values["identity_verified"] == 1 and values["identity_distance_per_property"]["pose"] == 0
    apart = np.linalg.norm(readings.identity[:, None, 0, 0] - readings.identity[None, :, 0, 0], axis=-1)
    expected = apart.sum() / (LATENTS * (LATENTS - 1))
    assert values["people_distance_equal_settings"] == pytest.approx(expected, abs=1e-5)
    assert values["good_quality_in_sweeps"] == values["readable"] == 1
    ends = summary.confidence(found)
    assert ends["women_in_sweeps"]["low"] < 0.5 < ends["women_in_sweeps"]["high"]
    assert ends["mae"]["low"]["mouth"] == pytest.approx(0.1)


def test_landmarks_are_a_reader_of_two_dials(readings: summary.SweepReadings) -> None:
    along = np.linspace(0.3, 0.8, 5) + np.zeros((LATENTS, 2, 5))
    along[:3, 1] *= -1  # half of the people turn the other way
    along[4, 0] = np.nan  # and in one no face was found
    found = summary.sweep_measures(dataclasses.replace(readings, by_landmarks=along), np.ones((1, LATENTS)))
    assert summary.estimates(found)["control_by_landmarks"] == {"mouth": pytest.approx(1), "pose": 0}
    assert "control_by_landmarks" not in summary.sweep_measures(readings, np.ones((1, LATENTS)))


def test_a_dial_that_moves_the_person_too_far_is_not_verified(readings: summary.SweepReadings) -> None:
    turned = readings.identity.copy()
    turned[:, 2, -1, 0] += 0.7  # one dial of seven ends farther off than the threshold
    found = summary.sweep_measures(dataclasses.replace(readings, identity=turned), np.ones((1, LATENTS)))
    values = summary.estimates(found)
    assert values["identity_verified"] == pytest.approx(6 / 7)
    assert values["identity_distance_per_property"][PROPERTY_NAMES[2]] == pytest.approx(0.7)
    unknown = dataclasses.replace(readings, threshold=None)
    assert "identity_verified" not in summary.sweep_measures(unknown, np.ones((1, LATENTS)))


def test_what_nobody_read_is_unknown(readings: summary.SweepReadings) -> None:
    measured = readings.measured.copy()
    measured[..., PROPERTY_NAMES.index("eyes")] = np.nan
    blind = dataclasses.replace(readings, measured=measured, identity=None, gender=None, quality=None)
    found = summary.sweep_measures(blind, with_all(resample_weights(LATENTS, 5)))
    values, ends = summary.estimates(found), summary.confidence(found)
    assert values["control"]["eyes"] is None and ends["control"]["low"]["eyes"] is None
    assert values["control"]["mouth"] == pytest.approx(1)
    assert values["readable"] == 0
    assert not {"identity_auc", "women_in_sweeps"} & set(values)
    assert values["slope_by_oracle"]["eyes"] == pytest.approx(0.5)
    deaf = summary.sweep_measures(dataclasses.replace(readings, by_oracle=None), np.ones((1, LATENTS)))
    assert not any(name.endswith("_by_oracle") for name in deaf)


def test_population_and_protocol() -> None:
    rng = np.random.default_rng(1)
    features, reference = rng.normal(size=(30, 4)), rng.normal(size=(20, 4))
    gender = np.where(np.arange(30) < 27, 1.0, -1.0)
    weights = with_all(resample_weights(30, 5)), with_all(resample_weights(20, 5))
    people = rng.normal(size=(30, 3))
    shown = summary.PopulationReadings(features, reference, gender, np.ones(30), people, 2 * people[:20])
    values = summary.estimates(summary.population_measures(shown, *weights))
    assert values["women"] == pytest.approx(0.9) and values["good_quality"] == 1
    assert values["kid"] == pytest.approx(kernel_distances(features, reference, *weights)[0])
    assert values["diversity"] == pytest.approx(diversities(features, reference, *weights)[0])
    apart, of_kept = (pdist(vectors).mean() for vectors in (people, 2 * people[:20]))
    assert values["people_distance"] == pytest.approx(apart)
    assert values["people_distance_to_kept"] == pytest.approx(apart / of_kept)
    without = summary.PopulationReadings(features, reference)
    assert set(summary.population_measures(without, *weights)) == {"kid", "diversity"}
    requested = rng.normal(size=(50, 7))
    measured = np.stack([requested, -requested])
    passed = summary.estimates(summary.protocol_measures(requested, measured, np.ones((1, 2))))
    assert passed == {"pass": 0.5, "pass_strict": 0.5}


def test_a_dial_that_a_generator_does_not_have_is_unknown() -> None:
    found = {"control": np.ones((3, len(PROPERTY_NAMES))), "leakage": np.ones(3)}
    known = summary.of_dials(found, [name for name in PROPERTY_NAMES if name != "mouth"])
    values, ends = summary.estimates(known), summary.confidence(known)
    assert values["control"] == dict.fromkeys(PROPERTY_NAMES, 1.0) | {"mouth": None}
    assert ends["control"]["low"]["mouth"] is None and values["leakage"] == 1
