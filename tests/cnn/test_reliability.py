"""Calibration error, confusion at a threshold, and the figure that shows them."""

import numpy as np
import pytest

from cnn.reliability import evaluate, fit_temperature, reliability, sharpened
from scripts.stages.filtering.figures import evaluation_figure


def test_calibration_error_by_hand() -> None:
    """Two bins: four at .9 of which three are 1, one at .15 that is 0."""
    found = reliability(np.array([0.9, 0.9, 0.9, 0.9, 0.15]), np.array([1, 1, 1, 0, 0]))
    assert found.counts.tolist() == [1, 4]
    assert found.predicted == pytest.approx([0.15, 0.9])
    assert found.observed == pytest.approx([0.0, 0.75])
    assert found.expected_calibration_error == pytest.approx((0.15 + 4 * 0.15) / 5)


def test_a_temperature_undoes_overconfidence() -> None:
    """Of pictures called .99, .9 are so; the logit of .9 is that of .99 divided by 2.09."""
    probability, labels = np.full(100, 0.99), np.arange(100) < 90
    temperature = fit_temperature(probability, labels)
    assert temperature == pytest.approx(np.log(99) / np.log(9), rel=0.02)
    assert sharpened(probability, temperature) == pytest.approx(0.9, abs=0.005)
    assert sharpened(np.array([0.0, 0.3, 1.0]), 1.0) == pytest.approx([0, 0.3, 1], abs=1e-6)


def test_confusion_counts_what_the_filter_removes() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
    probability = np.array([0.1, 0.2, 0.89, 0.9, 0.95, 0.9, 0.99, 0.6, 0.97])
    found = evaluate(probability, labels, threshold=0.9)
    assert found.confusion.tolist() == [[3, 1], [1, 4]]
    assert (found.found_zeros, found.lost_ones) == (0.75, 0.2)
    assert found.auroc == pytest.approx(17.5 / 20)
    assert found.to_dict()["count"] == 9
    figure = evaluation_figure(found, "quality", "test")
    titles = [panel.get_title() for panel in figure.axes]
    assert [title.split(",")[0] for title in titles] == ["reliability", "ROC", "confusion"]


def test_the_temperature_undoes_sharpening() -> None:
    rng = np.random.default_rng(0)
    honest = rng.uniform(0.02, 0.98, 4000)
    labels = (rng.random(len(honest)) < honest).astype(int)
    sure = sharpened(honest, 0.5)
    assert abs(sure - 0.5).mean() > abs(honest - 0.5).mean()
    assert fit_temperature(sure, labels) == pytest.approx(2, rel=0.1)
    assert sharpened(sure, 2) == pytest.approx(honest)


def test_one_class_and_what_is_no_probability_are_refused() -> None:
    with pytest.raises(ValueError, match="one class"):
        evaluate(np.array([0.2, 0.8]), np.array([1, 1]), 0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        reliability(np.array([0.5, 1.1]), np.ones(2))
