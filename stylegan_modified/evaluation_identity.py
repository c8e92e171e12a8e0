"""Whether the same person stays while dials turn, and whether different people stay different."""

from __future__ import annotations

import numpy as np

from stylegan_modified.evaluation_intervals import mean_of_pairs


def unit(vectors: np.ndarray) -> np.ndarray:
    """Descriptors [..., D] divided by their lengths, float64."""
    values = vectors.astype(np.float64)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def identity_auc(vectors: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """How surely a stranger can be told from the same person with other properties, for resampled latents.

    Area under the ROC curve of the similarity of embeddings: one latent at the two ends of a dial (positives)
    against two latents at the same setting (negatives). 1 = never confused, 0.5 = chance.

    Args:
        vectors: float [N, P, levels, D] descriptors of who is shown in the sweeps of P properties.
        weights: [R, N] how often each latent counts in each resample; None: one row of ones.

    Returns:
        [R] areas in [0, 1]; NaN for a resample of one latent alone.

    Raises:
        ValueError: fewer than two latents.
    """
    latents = len(vectors)
    if latents < 2:
        raise ValueError("an identity AUC compares people, so it needs at least two latents")
    ends = unit(vectors[:, :, [0, -1]])
    same = (ends[:, :, 0] * ends[:, :, 1]).sum(-1)
    different = np.einsum("ajed,bjed->abje", ends, ends).reshape(latents, latents, -1)
    return _resampled_area(same, different, np.ones((1, latents)) if weights is None else weights)


def anchored_identity_auc(given: np.ndarray, edited: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How surely edits of a given picture can be told from edits of other people, for resampled pictures.

    Args:
        given: float [N, D] descriptors of who the pictures show.
        edited: float [N, M, D] the same of M edits of each.
        weights: [R, N] how often each picture counts in each resample.

    Returns:
        [R] areas in [0, 1] of the similarity of a picture to its own edits (positives) against that to the
        edits of others (negatives); NaN for a resample of one picture alone.

    Raises:
        ValueError: fewer than two pictures.
    """
    if len(given) < 2:
        raise ValueError("an identity AUC compares people, so it needs at least two pictures")
    similarity = np.einsum("ad,bmd->abm", unit(given), unit(edited))
    own = np.arange(len(given))
    return _resampled_area(similarity[own, own], similarity, weights)


def _resampled_area(same: np.ndarray, different: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve [R] of positives [N, P] against negatives [N, N, Q] between two different
    items, for items that count weights [R, N]; NaN where one item is alone.
    """
    order = np.argsort(same, axis=None)
    ordered, owner = same.ravel()[order], order // same.shape[1]
    places = [np.searchsorted(ordered, different, side) for side in ("left", "right")]
    areas = np.full(len(weights), np.nan)
    for resample, weight in enumerate(weights):
        pairs = weight.sum() ** 2 - (weight**2).sum()
        if pairs <= 0:
            continue
        below = np.concatenate([[0.0], np.cumsum(weight[owner])])  # weight of the positives before a place
        share = 1 - sum(below[place] for place in places) / (2 * below[-1])
        between = share.mean(axis=2)
        np.fill_diagonal(between, 0.0)
        areas[resample] = weight @ between @ weight / pairs
    return areas


def sweep_similarity(vectors: np.ndarray) -> np.ndarray:
    """Mean cosine similarity to the picture of the median level, along each sweep.

    Args:
        vectors: float [N, P, levels, D] descriptors.

    Returns:
        [P, levels]; 1 at the middle level.
    """
    people = unit(vectors)
    middle = people[:, :, people.shape[2] // 2, None]
    return (people * middle).sum(-1).mean(axis=0)


def joint_identity_auc(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How surely two pictures of a person can be told from two people, whatever all dials are set to.

    Args:
        vectors: float [N, K, D] descriptors of N latents with K settings each, K at least 2.
        weights: [R, N] how often each latent counts in each resample.

    Returns:
        [R] areas in [0, 1] of the similarity of a latent's pictures (positives) against that of pictures of
        two latents (negatives); NaN for a resample of one latent alone.
    """
    people = unit(vectors)
    similarity = np.einsum("akd,bld->abkl", people, people)
    count, settings = people.shape[:2]
    own, (first, second) = np.arange(count), np.triu_indices(settings, 1)
    same = similarity[own, own][:, first, second]
    return _resampled_area(same, similarity.reshape(count, count, -1), weights)


def dial_distances(vectors: np.ndarray) -> np.ndarray:
    """Euclidean distance of the descriptors [N, P, levels, D] at the two ends of each dial: [N, P]."""
    ends = vectors[:, :, [0, -1]].astype(np.float64)
    return np.linalg.norm(ends[:, :, 1] - ends[:, :, 0], axis=-1)


def people_distances(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean Euclidean distance of the descriptors [N, D] of two different of N pictures, for weights [R, N]:
    [R], NaN where there are none.
    """
    values = vectors.astype(np.float64)
    squares = (values**2).sum(axis=1)

    def distances(rows: slice, columns: slice) -> np.ndarray:
        products = values[rows] @ values[columns].T
        return np.sqrt((squares[rows, None] + squares[columns] - 2 * products).clip(0))

    return mean_of_pairs(weights, distances)


def equal_setting_distances(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The same of people who are shown with equal settings, over both ends of every dial.

    Args:
        vectors: float [N, P, levels, D] descriptors; weights: [R, N].
    """
    ends = vectors[:, :, [0, -1]].reshape(len(vectors), -1, vectors.shape[-1])
    return np.mean([people_distances(ends[:, k], weights) for k in range(ends.shape[1])], axis=0)
