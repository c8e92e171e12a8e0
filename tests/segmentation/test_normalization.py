"""Normalisation: the document's example, invalid rows, stored statistics, and data that cannot be scaled."""

import json

import numpy as np
import pytest

from segmentation.normalization import PERCENTILES, ScoreStatistics, fit
from segmentation.property_table import PROPERTY_NAMES


def random_scores(count: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    values = rng.normal(rng.uniform(-5, 200, 7), rng.uniform(0.1, 40, 7), (count, 7))
    valid = rng.random((count, 7)) > 0.2
    values[~valid] = np.nan
    return values, valid


def test_the_documents_example():
    values = np.array([[100.0], [250.0], [120.0], [180.0], [210.0]])
    statistics = fit(values, np.ones_like(values, bool), names=("hair_color",))
    expected = [-1.294, 1.402, -0.935, 0.144, 0.683]
    np.testing.assert_allclose(statistics.normalize(values)[:, 0], expected, atol=5e-4)


def test_only_valid_values_count():
    values, valid = random_scores()
    statistics = fit(values, valid)
    normalized = statistics.normalize(values)
    assert statistics.names == PROPERTY_NAMES
    np.testing.assert_allclose(np.nanmean(normalized, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.nanstd(normalized, axis=0), 1, atol=1e-12)
    np.testing.assert_array_equal(statistics.count, valid.sum(axis=0))
    np.testing.assert_array_equal(np.isnan(normalized), ~valid)
    expected = np.nanpercentile(normalized, PERCENTILES, axis=0).T
    np.testing.assert_allclose(statistics.normalized_percentiles(), expected, atol=1e-9)


def test_statistics_survive_json():
    values, valid = random_scores()
    statistics = fit(values, valid)
    again = ScoreStatistics.from_dict(json.loads(json.dumps(statistics.to_dict())))
    new = np.random.default_rng(2).normal(size=(5, 7))
    np.testing.assert_array_equal(again.normalize(new), statistics.normalize(new))
    np.testing.assert_array_equal(again.count, statistics.count)
    np.testing.assert_array_equal(again.percentiles, statistics.percentiles)
    assert again.percentiles.shape == (7, len(PERCENTILES)) == (7, 7)


def test_what_cannot_be_normalised_is_refused_by_name():
    values, valid = random_scores()
    with pytest.raises(ValueError, match="eyes has values that are marked valid"):
        fit(values, np.ones(values.shape, bool))
    with pytest.raises(ValueError, match="must hold the 7 properties"):
        fit(values, valid).normalize(np.zeros((4, 6)))
    equal = np.nan_to_num(values)
    equal[:, 3] = 0.1  # the deviation of which is a rounding error above 0
    with pytest.raises(ValueError, match=r"mouth is .* for all 50 faces.*standard deviation is zero"):
        fit(equal, np.ones(values.shape, bool))
    valid[1:, 2] = False
    with pytest.raises(ValueError, match=r"hair_length has . valid value"):
        fit(values, valid)


@pytest.mark.parametrize(
    "damaged", [{}, {"mean": 0.0, "std": "wide"}, {"std": 0.0}, {"percentiles": {"50": 1.0}}]
)
def test_damaged_statistics_are_refused(damaged: dict):
    stored = fit(*random_scores()).to_dict()
    stored["pose"] = stored["pose"] | damaged if damaged else {}
    with pytest.raises(ValueError, match="[Ss]core statistics"):
        ScoreStatistics.from_dict(stored)
