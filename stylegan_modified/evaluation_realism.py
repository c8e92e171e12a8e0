"""How near a generator's pictures come to the training pictures, and how much they vary."""

from __future__ import annotations

import numpy as np
import torch

from cnn.oracle_metrics import DEGREE
from stylegan_modified.evaluation_intervals import Pairs, mean_of_pairs, sum_of_pairs


def kernel_distances(
    features: np.ndarray, reference: np.ndarray, weights: np.ndarray, reference_weights: np.ndarray
) -> np.ndarray:
    """KID of resampled pictures; rows of ones give `cnn.oracle_metrics.kernel_inception_distance`.

    Args:
        features: float [N, D] of generated pictures; reference: float [M, D] of training pictures.
        weights: [R, N] and reference_weights: [R, M] how often each picture counts in each resample.

    Returns:
        [R], zero in expectation for two samples of one distribution.
    """

    def kernel(x: np.ndarray, y: np.ndarray) -> Pairs:
        def of_block(rows: slice, columns: slice) -> np.ndarray:
            products = x[rows].astype(np.float64) @ y[columns].T.astype(np.float64)
            return (products / x.shape[1] + 1) ** DEGREE

        return of_block

    cross = sum_of_pairs(weights, reference_weights, kernel(features, reference))
    cross /= weights.sum(axis=1) * reference_weights.sum(axis=1)
    own = mean_of_pairs(weights, kernel(features, features))
    return own + mean_of_pairs(reference_weights, kernel(reference, reference)) - 2 * cross


def diversities(
    features: np.ndarray, reference: np.ndarray, weights: np.ndarray, reference_weights: np.ndarray
) -> np.ndarray:
    """Mean distance between two generated pictures over that between two training pictures: [R].

    Arguments as in `kernel_distances`; distances are Euclidean.
    """

    def spread(vectors: np.ndarray, counts: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(vectors).double()
        return mean_of_pairs(counts, lambda rows, columns: torch.cdist(tensor[rows], tensor[columns]).numpy())

    return spread(features, weights) / spread(reference, reference_weights)
