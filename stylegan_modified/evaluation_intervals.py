"""Bootstrap confidence intervals (Efron 1979) by weights: a resample counts how often each latent was drawn.

Every measure that is a ratio of sums over latents becomes two matrix products, for all resamples at once; a
row of ones gives the measure itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 1000
PAIR_BLOCK = 1024  # items; a block of pairs takes 8 MB
CONFIDENCE = 0.95
Pairs = Callable[[slice, slice], np.ndarray]
"""Values [n, m] of the pairs of n rows and m columns."""


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


def sum_of_pairs(first_weights: np.ndarray, second_weights: np.ndarray, values: Pairs) -> np.ndarray:
    """Weighted sum over all pairs of one of N items and one of M items: [R].

    Args:
        first_weights: [R, N]; second_weights: [R, M].
        values: of the pairs of some rows and columns; asked block by block, since all N x M would not fit
            into memory for many pictures.
    """
    total = np.zeros(len(first_weights))
    for rows in _blocks(first_weights.shape[1]):
        for columns in _blocks(second_weights.shape[1]):
            found = first_weights[:, rows] @ values(rows, columns)
            total += (found * second_weights[:, columns]).sum(axis=1)
    return total


def _blocks(count: int) -> list[slice]:
    return [slice(start, min(start + PAIR_BLOCK, count)) for start in range(0, count, PAIR_BLOCK)]


def mean_of_pairs(weights: np.ndarray, values: Pairs) -> np.ndarray:
    """Weighted mean over pairs of two different of N items, weights [R, N]: [R], NaN where there are none.

    An item drawn twice makes no pair with itself, which would be a pair of equals that no sample can show.
    """

    def of_different_items(rows: slice, columns: slice) -> np.ndarray:
        found = values(rows, columns)
        return found - np.diag(np.diagonal(found)) if rows == columns else found

    sums = sum_of_pairs(weights, weights, of_different_items)
    pairs = weights.sum(axis=1) ** 2 - np.einsum("rn,rn->r", weights, weights)
    return np.divide(sums, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def interval(resampled: np.ndarray, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the percentile interval over resamples [R, ...]; NaN where nothing is known."""
    tail = 50 * (1 - confidence)
    known = np.isfinite(resampled).any(axis=0)
    filled = np.where(known, resampled, 0.0)
    low, high = np.nanpercentile(filled, [tail, 100 - tail], axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
