"""How well given pictures are edited: reconstruction, control, identity, and what z says of properties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stylegan_modified.evaluation_control import control_measures
from stylegan_modified.evaluation_identity import anchored_identity_auc, unit
from stylegan_modified.evaluation_intervals import weighted_mean

FOLDS = 10
PENALTIES = np.logspace(0, 6, 13)


@dataclass(frozen=True)
class EditingReadings:
    """What was read from N given pictures, their reconstructions and edits; NaN where it was unreadable.

    Attributes:
        requested: [7, levels, 7] whose entry (j, i, j) is the i-th setting of dial j.
        given: float64 [M, 7] properties of the given pictures, of which the first N are edited.
        z: float [M, z_dim] the encoder's mean.
        reconstructed: float64 [N, 7] properties of the reconstructions.
        measured: float64 [N, 7, levels, 7] properties of the edits.
        error: float64 [N] mean absolute difference of picture and reconstruction, grey levels of 255.
        given_identity [M, D], reconstructed_identity [N, D], edited_identity [N, 7, 2, D] at the two ends of
            each dial: descriptors of who is shown, or None without a judge.
    """

    requested: np.ndarray
    given: np.ndarray
    z: np.ndarray
    reconstructed: np.ndarray
    measured: np.ndarray
    error: np.ndarray
    given_identity: np.ndarray | None = None
    reconstructed_identity: np.ndarray | None = None
    edited_identity: np.ndarray | None = None


def editing_measures(
    readings: EditingReadings, weights: np.ndarray, z_weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Measures of editing for resamples of the given pictures.

    Args:
        readings: of M given pictures, N of which are edited.
        weights: [R, N] how often each edited picture counts; z_weights: [R, M] each given one, for z.

    Returns:
        Arrays of R resamples: `reconstruction_error` [R]; `control`, `slope` [R, 7] and `leakage` [R] as in
        `control_measures`; `own_property_mae` [R, 7], what the reconstruction has against what the picture
        has; `z_property_r2` [R, 7] (see `explained_variance`) and its `z_property_r2_largest` [R]; with a
        judge of people `reconstruction_identity_auc`, `reconstruction_similarity` and `identity_auc` [R].
    """
    count = len(readings.error)
    found = {"reconstruction_error": weighted_mean(weights, readings.error)}
    people, copies, edits = readings.given_identity, readings.reconstructed_identity, readings.edited_identity
    if people is not None and copies is not None and edits is not None:
        given = people[:count]
        edits = edits.reshape(count, -1, given.shape[-1])
        found |= {
            "reconstruction_identity_auc": anchored_identity_auc(given, copies[:, None], weights),
            "reconstruction_similarity": weighted_mean(weights, (unit(given) * unit(copies)).sum(axis=-1)),
            "identity_auc": anchored_identity_auc(given, edits, weights),
        }
    control = control_measures(readings.requested, readings.measured, weights)
    found |= {name: control[name] for name in ("control", "slope", "leakage")}
    difference = np.abs(readings.reconstructed - readings.given[:count])
    found["own_property_mae"] = weighted_mean(weights, difference)
    explained = explained_variance(readings.given, predicted_from(readings.z, readings.given), z_weights)
    known = np.isfinite(explained).any(axis=1)
    largest = np.where(np.isfinite(explained), explained, -np.inf).max(axis=1)
    return found | {
        "z_property_r2": explained,
        "z_property_r2_largest": np.where(known, largest, np.nan),
    }


def predicted_from(z: np.ndarray, properties: np.ndarray) -> np.ndarray:
    """Properties as ridge regression on z says them, each picture by a fit on other pictures.

    Args:
        z: float [M, z_dim]; properties: float64 [M, 7].

    Returns:
        float64 [M, 7]; NaN for pictures with an unreadable property, and everywhere if few are left.
    """
    predicted = np.full(properties.shape, np.nan)
    known = np.isfinite(properties).all(axis=1)
    if known.sum() < 2 * FOLDS:
        return predicted
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES, alpha_per_target=True))
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    predicted[known] = cross_val_predict(model, z[known].astype(np.float64), properties[known], cv=folds)
    return predicted


def explained_variance(properties: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """R2 of predictions [M, 7] of properties [M, 7] for weights [R, M]: [R, 7]; zero or less where the
    predictions say nothing, NaN where nothing was predicted or all properties are equal.
    """
    known = np.isfinite(predicted)
    values = np.where(known, properties, 0.0)
    error = np.where(known, (properties - predicted) ** 2, 0.0)
    n, total, squares, unexplained = (weights @ part for part in (known * 1.0, values, values**2, error))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares - total**2 / n
        return np.where(variance > 1e-9, 1 - unexplained / variance, np.nan)
