"""All measures of a generator with dials from what judges read, each with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmentation.outside_landmarks import DIALS as LANDMARK_DIALS
from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified.evaluation_control import control_measures, correlations
from stylegan_modified.evaluation_identity import (
    dial_distances,
    equal_setting_distances,
    identity_auc,
    people_distances,
)
from stylegan_modified.evaluation_intervals import interval, weighted_mean, weighted_ratio
from stylegan_modified.evaluation_preservation import hue_drifts, judged_drifts
from stylegan_modified.evaluation_protocol import protocol_passes
from stylegan_modified.evaluation_realism import diversities, kernel_distances

BY_PROPERTY = (
    "control",
    "pooled",
    "slope",
    "mae",
    "control_by_oracle",
    "pooled_by_oracle",
    "slope_by_oracle",
    "repeatability",
    "own_property_mae",
    "z_property_r2",
    "identity_auc_per_property",
    "identity_distance_per_property",
    "joint_mae",
    "joint_slope",
    "corner_mae",
    "corner_slope",
    "preservation_per_property",
    "preservation_equal_settings_per_property",
)
AT_EQUAL_SETTINGS = (  # measures that compare people whose other dials stand alike
    "people_distance_equal_settings",
    "preservation_equal_settings",
    "preservation_equal_settings_per_property",
)


@dataclass(frozen=True)
class SweepReadings:
    """What was read from the sweeps of N latents, M distinct pictures each; NaN where it was unreadable.

    Attributes:
        requested: [7, levels, 7] the requests.
        measured: float64 [N, 7, levels, 7] properties read, normalised.
        repeated: float64 [N, K, 7] absolute difference of two readings of the same face.
        changed, between: float64 [N, 7] of `evaluation_preservation.changes_outside`.
        people: float64 [N, 7] of `evaluation_preservation.differences_of_people`.
        chromaticity: float64 [N, 7, levels, 2, 2] of `evaluation_preservation.region_chromaticity`.
        identity: float [N, 7, levels, D] descriptors of who is shown, or None without a judge.
        threshold: distance of two descriptors below which their network calls them one person, or None.
        gender, quality: float [N, M] logits, positive for a woman and for good quality, each or None.
        by_oracle: float64 [N, 7, levels, 7] what the oracle reads instead of `measured`, or None.
        by_landmarks: float64 [N, 2, levels] what landmarks tell of the dials `LANDMARK_DIALS`, on a scale of
            their own, or None.
    """

    requested: np.ndarray
    measured: np.ndarray
    repeated: np.ndarray
    changed: np.ndarray
    between: np.ndarray
    people: np.ndarray
    chromaticity: np.ndarray
    identity: np.ndarray | None = None
    threshold: float | None = None
    gender: np.ndarray | None = None
    quality: np.ndarray | None = None
    by_oracle: np.ndarray | None = None
    by_landmarks: np.ndarray | None = None


@dataclass(frozen=True)
class PopulationReadings:
    """What was read from N pictures, each of another latent, and from M training pictures.

    Attributes:
        features: float [N, D]; reference: float [M, D], of a fixed network.
        gender, quality: float [N] logits as in `SweepReadings`, each or None.
        identity: float [N, D]; reference_identity: float [M, D], descriptors as there, or None.
    """

    features: np.ndarray
    reference: np.ndarray
    gender: np.ndarray | None = None
    quality: np.ndarray | None = None
    identity: np.ndarray | None = None
    reference_identity: np.ndarray | None = None


def sweep_measures(readings: SweepReadings, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of a sweep for resamples of its latents.

    Args:
        readings: of N latents.
        weights: [R, N] how often each latent counts.

    Returns:
        Arrays [R, ...]: those of `control_measures`; `repeatability` [R, 7]; `preservation_per_property`
        [R, 7], change outside the dial's region over the difference there between two people, and its mean
        `preservation` [R]; the same over two people with equal settings, `preservation_equal_settings`;
        `hue_drift_per_dial` [R, 7, 2] and `hue_drift` [R]; `readable` [R]. As far as there are judges:
        `identity_auc` [R], `identity_auc_per_property` and `identity_distance_per_property` [R, 7] (between
        the ends of a dial), `identity_verified` [R] (of these, the share below the threshold),
        `people_distance_equal_settings` [R], `women_in_sweeps` and `good_quality_in_sweeps` [R], and
        `<measure>_by_oracle` of `control`, `pooled`, `slope` and `leakage`, and `control_by_landmarks`.
    """
    found = control_measures(readings.requested, readings.measured, weights)
    repeats = readings.repeated
    known = np.isfinite(repeats)
    found["repeatability"] = weighted_ratio(
        weights, np.where(known, repeats, 0.0).sum(axis=1), known.sum(axis=1)
    )
    changed = weighted_mean(weights, readings.changed)
    for name, people in (
        ("preservation", readings.people),
        ("preservation_equal_settings", readings.between),
    ):
        each = changed / weighted_mean(weights, people)
        found |= {name: each.mean(axis=1), f"{name}_per_property": each}
    drifts = hue_drifts(readings.chromaticity)
    judged = np.isfinite(drifts) & judged_drifts()
    found["hue_drift"] = weighted_ratio(
        weights, np.where(judged, drifts, 0.0).sum(axis=(1, 2)), judged.sum(axis=(1, 2))
    )
    found["hue_drift_per_dial"] = weighted_mean(weights, drifts)
    found["readable"] = weighted_mean(
        weights, np.isfinite(readings.measured).all(axis=-1).mean(axis=(1, 2), dtype=np.float64)
    )
    vectors = readings.identity
    if vectors is not None:
        areas = [identity_auc(vectors[:, [j]], weights) for j in range(vectors.shape[1])]
        found["identity_auc"] = identity_auc(vectors, weights)
        found["identity_auc_per_property"] = np.stack(areas, axis=1)
        apart = dial_distances(vectors)
        found["identity_distance_per_property"] = weighted_mean(weights, apart)
        found["people_distance_equal_settings"] = equal_setting_distances(vectors, weights)
        if readings.threshold is not None:
            found["identity_verified"] = weighted_mean(weights, (apart < readings.threshold).mean(axis=1))
    if readings.gender is not None:
        found["women_in_sweeps"] = weighted_mean(weights, (readings.gender > 0).mean(axis=1))
    if readings.quality is not None:
        found["good_quality_in_sweeps"] = weighted_mean(weights, (readings.quality > 0).mean(axis=1))
    if readings.by_oracle is not None:
        second = control_measures(readings.requested, readings.by_oracle, weights)
        found |= {f"{name}_by_oracle": second[name] for name in ("control", "pooled", "slope", "leakage")}
    if readings.by_landmarks is not None:
        dials = [PROPERTY_NAMES.index(name) for name in LANDMARK_DIALS]
        r = [
            correlations(readings.requested[j, :, j], readings.by_landmarks[:, column])
            for column, j in enumerate(dials)
        ]
        found["control_by_landmarks"] = weighted_mean(weights, np.stack(r, axis=1))
    return found


def protocol_measures(
    requested: np.ndarray, measured: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """`pass` and `pass_strict` [R] for resamples of the latents; arguments as in `protocol_passes`."""
    passes, strict = protocol_passes(requested, measured)
    return {
        "pass": weighted_mean(weights, passes.astype(np.float64)),
        "pass_strict": weighted_mean(weights, strict.astype(np.float64)),
    }


def population_measures(
    readings: PopulationReadings, weights: np.ndarray, reference_weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Measures [R] of a population for resamples of its pictures: `kid`, `diversity` and, as far as there are
    judges, `women`, `good_quality`, `people_distance` between two of them, and the same over that between two
    training pictures, `people_distance_to_kept`.

    Args:
        readings: of N generated and M training pictures.
        weights: [R, N]; reference_weights: [R, M].
    """
    pair = (readings.features, readings.reference, weights, reference_weights)
    found = {"kid": kernel_distances(*pair), "diversity": diversities(*pair)}
    if readings.identity is not None and readings.reference_identity is not None:
        found["people_distance"] = people_distances(readings.identity, weights)
        kept = people_distances(readings.reference_identity, reference_weights)
        found["people_distance_to_kept"] = found["people_distance"] / kept
    if readings.gender is not None:
        found["women"] = weighted_mean(weights, (readings.gender > 0).astype(np.float64))
    if readings.quality is not None:
        found["good_quality"] = weighted_mean(weights, (readings.quality > 0).astype(np.float64))
    return found


def of_dials(found: Mapping[str, np.ndarray], dials: Sequence[str]) -> dict[str, np.ndarray]:
    """The measures of a generator with these dials alone: NaN for the properties that it cannot turn."""
    has = [name in dials for name in PROPERTY_NAMES]
    return {
        name: np.where(has, values, np.nan) if name in BY_PROPERTY else values
        for name, values in found.items()
    }


def estimates(found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The measures themselves, from the first row of each array, as plain numbers; None where unknown."""
    return {name: plain(name, values[0]) for name, values in found.items()}


def confidence(found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Intervals from the other rows: per measure {"low": ..., "high": ...}, each shaped like the estimate."""
    ends = {name: interval(values[1:]) for name, values in found.items()}
    return {name: {"low": plain(name, low), "high": plain(name, high)} for name, (low, high) in ends.items()}


def plain(name: str, value: np.ndarray) -> Any:
    """A measure as JSON knows it: one number per property by name, matrices as lists, NaN as None."""
    rounded = without_nan(np.asarray(value, np.float64).tolist())
    if name == "control_by_landmarks":
        return dict(zip(LANDMARK_DIALS, rounded, strict=True))
    return dict(zip(PROPERTY_NAMES, rounded, strict=True)) if name in BY_PROPERTY else rounded


def without_nan(value: Any) -> Any:
    """Numbers in lists and tables as JSON knows them: with six digits, NaN as None."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return round(value, 6) if np.isfinite(value) else None
