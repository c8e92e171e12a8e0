"""Bootstrap confidence intervals (Efron 1979) by weights: a resample counts how often each latent was drawn.

Every measure that is a ratio of sums over latents becomes two matrix products, for all resamples at once; a
row of ones gives the measure itself.
"""

from __future__ import annotations

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95


def resample_weights(count: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each of `count` items is drawn in each resample: float64 [resamples, count], rows sum to it.

    Raises:
        ValueError: nothing to draw from.
    """
    if count < 1:
        raise ValueError("there is nothing to resample")
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def with_all(weights: np.ndarray) -> np.ndarray:
    """The weights [R, N] below a first row of ones, which stands for all items as they are."""
    return np.concatenate([np.ones((1, weights.shape[1])), weights])


def weighted_ratio(weights: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Ratio of weighted sums of two quantities per item, [N, ...] each: [R, ...], NaN where both are zero."""
    above = np.tensordot(weights, sums, axes=(1, 0))
    below = np.tensordot(weights, counts, axes=(1, 0))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def weighted_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted mean over items of the values [N, ...] that are not NaN: [R, ...]."""
    known = np.isfinite(values)
    return weighted_ratio(weights, np.where(known, values, 0.0), known.astype(np.float64))


def mean_of_pairs(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted mean of values [N, N] over pairs of two different items: [R], NaN where there are
    none.

    An item drawn twice makes no pair with itself, which would be a pair of equals that no sample can show.
    """
    off_diagonal = values - np.diag(np.diagonal(values))
    sums = ((weights @ off_diagonal) * weights).sum(axis=1)
    pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    return np.divide(sums, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def interval(resampled: np.ndarray, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the percentile interval over resamples [R, ...]; NaN where nothing is known."""
    tail = 50 * (1 - confidence)
    known = np.isfinite(resampled).any(axis=0)
    filled = np.where(known, resampled, 0.0)
    low, high = np.nanpercentile(filled, [tail, 100 - tail], axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
