"""How far measured properties follow requested ones, for all latents or for resamples of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stylegan_modified.evaluation_intervals import weighted_mean, weighted_ratio


def control_measures(
    requested: np.ndarray, measured: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Measures of control from the readings of a sweep.

    Args:
        requested: [7, levels, 7] requests of the sweep (see `evaluation.sweep_requests`).
        measured: float64 [N, 7, levels, 7] what was read, normalised; NaN where nothing was readable.
        weights: [R, N] how often each latent counts in each resample.

    Returns:
        Arrays of R resamples: `control` [R, 7], mean over latents of the Pearson r of requested and measured;
        `pooled` and `slope` [R, 7], r and least-squares slope over all latents and levels; `mae` [R, 7],
        normalised units; `response` [R, 7, 7], mean over latents of the slope of measured property k (column)
        on requested property j (row); `leakage` [R], mean absolute slope off the diagonal, latent by latent.
    """
    latents, count = measured.shape[:2]
    r = np.full((latents, count), np.nan)
    slopes = np.full((latents, count, count), np.nan)
    for j in range(count):
        r[:, j] = correlations(requested[j, :, j], measured[:, j, :, j])
        for k in range(count):
            slopes[:, j, k] = least_squares_slopes(requested[j, :, j], measured[:, j, :, k])
    asked = np.stack([requested[j, :, j] for j in range(count)])
    own = measured[:, range(count), :, range(count)].swapaxes(0, 1)  # [N, 7, levels]
    side_effects = np.abs(slopes)[:, ~np.eye(count, dtype=bool)]
    readable = np.isfinite(side_effects)
    return {
        "control": weighted_mean(weights, r),
        **pooled_measures(asked, own, weights),
        "response": weighted_mean(weights, slopes),
        "leakage": weighted_ratio(
            weights, np.where(readable, side_effects, 0.0).sum(axis=1), readable.sum(axis=1)
        ),
    }


def pooled_measures(asked: np.ndarray, own: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """`pooled` (Pearson r), `slope` and `mae` [R, 7] of own [N, 7, levels] on asked [7, levels] or of own's
    shape, over latents and levels at once, from the sums of every latent; NaN in own is left out.
    """
    known = np.isfinite(own)
    x = np.where(known, asked.astype(np.float64), 0.0)
    y = np.where(known, own, 0.0)
    n, sx, sy, sxx, syy, sxy = (
        weights @ part.sum(axis=2) for part in (known.astype(np.float64), x, y, x * x, y * y, x * y)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = sxy - sx * sy / n
        x_variance, y_variance = sxx - sx**2 / n, syy - sy**2 / n
        slope = np.where(x_variance > 1e-12, covariance / x_variance, np.nan)
        r = np.where(y_variance > 1e-12, covariance / np.sqrt(x_variance * y_variance), 0.0)
    return {
        "pooled": np.where(n > 1, r, np.nan),
        "slope": np.where(n > 1, slope, np.nan),
        "mae": weighted_ratio(weights, np.abs(x - y).sum(axis=2), known.sum(axis=2)),
    }


def _centred(requested: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both [N, levels], centred over the readable levels; unreadable ones are zero in both."""
    known = np.isfinite(measured)
    counts = np.maximum(known.sum(axis=1, keepdims=True), 1)
    x = np.where(known, requested, 0.0)
    y = np.where(known, measured, 0.0)
    x = np.where(known, x - x.sum(axis=1, keepdims=True) / counts, 0.0)
    y = np.where(known, y - y.sum(axis=1, keepdims=True) / counts, 0.0)
    return x, y


def least_squares_slopes(requested: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Least-squares slope of each row of measured [N, levels] on requested [levels]; NaN where fewer than two
    readable levels differ.
    """
    x, y = _centred(requested, measured)
    variance = (x * x).sum(axis=1)
    return np.divide((x * y).sum(axis=1), variance, out=np.full(len(y), np.nan), where=variance > 0)


def correlations(requested: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Pearson r of each row of measured [N, levels] with requested [levels]; zero where nothing moved, NaN
    where fewer than two levels were readable.
    """
    x, y = _centred(requested, measured)
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    r = np.divide((x * y).sum(axis=1), scale, out=np.zeros(len(y)), where=scale > 1e-12)
    return np.where(np.isfinite(measured).sum(axis=1) < 2, np.nan, r)


@dataclass(frozen=True)
class ReadingLines:
    """Least-squares lines from another judge's readings of each property to scores.

    Attributes:
        slope, offset: float64 [7], score = offset + slope x reading.
        r: float64 [7], Pearson r of readings and scores.
    """

    slope: np.ndarray
    offset: np.ndarray
    r: np.ndarray

    def scores(self, readings: np.ndarray) -> np.ndarray:
        """Readings [..., 7] in units of the scores, float64 of the same shape."""
        return self.offset + self.slope * readings


def fit_lines(readings: np.ndarray, scores: np.ndarray) -> ReadingLines:
    """Lines from readings [M, 7] to the scores [M, 7] of the same pictures; zero slope where all readings are
    equal.
    """
    x, y = readings.astype(np.float64), scores.astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = x - x_mean, y - y_mean
    products, x_squares, y_squares = (x * y).sum(axis=0), (x * x).sum(axis=0), (y * y).sum(axis=0)
    slope = np.divide(products, x_squares, out=np.zeros(len(products)), where=x_squares > 0)
    scale = np.sqrt(x_squares * y_squares)
    r = np.divide(products, scale, out=np.zeros(len(products)), where=scale > 0)
    return ReadingLines(slope, y_mean - slope * x_mean, r)
