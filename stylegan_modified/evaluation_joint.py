"""All dials at once: settings in which nothing is at rest, as a user may ask for them.

A sweep turns one dial and leaves the others at the median, as most pictures of the trainings do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stylegan_modified.evaluation_control import pooled_measures
from stylegan_modified.evaluation_identity import joint_identity_auc
from stylegan_modified.evaluation_intervals import weighted_mean


@dataclass(frozen=True)
class JointReadings:
    """What was read from N latents with K joint settings of their own; NaN where it was unreadable.

    Attributes:
        requested: float [N, K, 7] the settings.
        measured: float64 [N, K, 7] properties read, normalised as the settings.
        identity: float [N, K, D] descriptors of who is shown, or None without a judge.
    """

    requested: np.ndarray
    measured: np.ndarray
    identity: np.ndarray | None = None


def drawn_settings(scores: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Settings float32 [count, 7] whose properties are drawn independently of each other, each from its own
    scores [M, 7]: the marginals are those of the scores, their correlations are gone.
    """
    rows = rng.integers(len(scores), size=(count, scores.shape[1]))
    return np.take_along_axis(scores, rows, axis=0).astype(np.float32)


def corner_settings(low: np.ndarray, high: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Corners float32 [count, 7] of the box between two ends [7] of each property, all equally likely."""
    return np.where(rng.random((count, len(low))) < 0.5, low, high).astype(np.float32)


def joint_measures(readings: JointReadings, weights: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Measures of joint settings for resamples of the latents.

    Args:
        readings: of N latents.
        weights: [R, N] how often each latent counts.
        name: what the measures begin with.

    Returns:
        `<name>_mae` and `<name>_slope` [R, 7]: mean absolute error, and least-squares slope of the measured
        property on the requested one over all pictures; `<name>_readable` [R], share of pictures with all
        properties; with a judge `<name>_identity_auc` [R] (see `joint_identity_auc`).
    """
    asked, measured = (part.swapaxes(1, 2) for part in (readings.requested, readings.measured))
    pooled = pooled_measures(asked, measured, weights)
    found = {f"{name}_{measure}": pooled[measure] for measure in ("mae", "slope")}
    known = np.isfinite(readings.measured).all(axis=2)
    found[f"{name}_readable"] = weighted_mean(weights, known.mean(axis=1, dtype=np.float64))
    if readings.identity is not None:
        found[f"{name}_identity_auc"] = joint_identity_auc(readings.identity, weights)
    return found
