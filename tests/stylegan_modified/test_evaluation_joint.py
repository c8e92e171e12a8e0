"""Settings of all dials at once: how they are drawn, and what is measured of them."""

import numpy as np
import pytest

from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified.evaluation_joint import (
    JointReadings,
    corner_settings,
    drawn_settings,
    joint_measures,
)
from stylegan_modified.evaluation_summary import estimates

LATENTS, SETTINGS = 40, 4


def test_drawn_settings_have_the_marginals_of_the_scores_and_no_correlations() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(500, 1))
    scores = np.concatenate([first + 0.1 * rng.normal(size=(500, 1)) for _ in range(7)], axis=1)
    assert np.corrcoef(scores.T)[0, 1] > 0.9
    drawn = drawn_settings(scores, 2000, rng)
    assert drawn.shape == (2000, 7) and all(
        set(drawn[:, j]) <= set(np.float32(scores[:, j])) for j in range(7)
    )
    assert abs(np.corrcoef(drawn.T) - np.eye(7)).max() < 0.1
    corners = corner_settings(np.full(7, -2.0), np.full(7, 1.0), 1000, rng)
    assert set(corners.ravel()) == {-2.0, 1.0} and abs((corners > 0).mean() - 0.5) < 0.03


def test_measures_of_known_joint_readings() -> None:
    rng = np.random.default_rng(1)
    requested = rng.normal(size=(LATENTS, SETTINGS, 7)).astype(np.float32)
    measured = requested.astype(np.float64)
    measured[..., 1] = 0.5 * requested[..., 1] + 0.2
    measured[:, 0, 3] = np.nan
    people = np.repeat(rng.normal(size=(LATENTS, 1, 8)), SETTINGS, axis=1)
    weights = np.ones((1, LATENTS))
    values = estimates(joint_measures(JointReadings(requested, measured, people), weights, "joint"))
    assert values["joint_mae"][PROPERTY_NAMES[0]] == values["joint_mae"][PROPERTY_NAMES[3]] == 0
    assert values["joint_slope"][PROPERTY_NAMES[1]] == pytest.approx(0.5)
    assert values["joint_readable"] == pytest.approx(3 / 4) and values["joint_identity_auc"] == 1
    strangers = rng.normal(size=(LATENTS, SETTINGS, 8))
    found = joint_measures(JointReadings(requested, measured, strangers), weights, "corner")
    assert 0.4 < found["corner_identity_auc"][0] < 0.6
    assert "corner_identity_auc" not in joint_measures(JointReadings(requested, measured), weights, "corner")
