"""Whether the same person stays while dials turn: resampled identity AUC and similarity along a sweep."""

from __future__ import annotations

import numpy as np


def resampled_identity_auc(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Identity AUC of resampled latents; a row of ones gives `evaluation.identity_auc` itself.

    The area is the probability that a pair of the same latent is more alike than a pair of two, which is a
    mean over one latent (positives) and a pair of latents (negatives).

    Args:
        vectors: float [N, P, levels, D] unit vectors of who is shown in the sweeps of P properties.
        weights: [R, N] how often each latent counts in each resample.

    Returns:
        [R] areas in [0, 1]; NaN for a resample of one latent alone.

    Raises:
        ValueError: fewer than two latents.
    """
    latents, properties = vectors.shape[:2]
    if latents < 2:
        raise ValueError("an identity AUC compares people, so it needs at least two latents")
    ends = vectors[:, :, [0, -1]].astype(np.float64)
    same = np.sort((ends[:, :, 0] * ends[:, :, 1]).sum(-1), axis=1)
    different = np.einsum("ajed,bjed->abje", ends, ends).reshape(latents, latents, -1)
    pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    total = np.zeros(len(weights))
    for latent in range(latents):
        flat = different.ravel()
        below = np.searchsorted(same[latent], flat, "left") + np.searchsorted(same[latent], flat, "right")
        share = (1 - below / (2 * properties)).reshape(different.shape).mean(axis=2)
        np.fill_diagonal(share, 0.0)
        total += weights[:, latent] * ((weights @ share) * weights).sum(axis=1)
    counted = weights.sum(axis=1) * pairs
    return np.divide(total, counted, out=np.full(len(weights), np.nan), where=counted > 0)


def sweep_similarity(vectors: np.ndarray) -> np.ndarray:
    """Mean cosine similarity to the picture of the median level, along each sweep.

    Args:
        vectors: float [N, P, levels, D] unit vectors.

    Returns:
        [P, levels]; 1 at the middle level.
    """
    middle = vectors[:, :, vectors.shape[2] // 2, None]
    return (vectors * middle).sum(-1).mean(axis=0)
