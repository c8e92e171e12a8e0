"""The protocol of the published implementation: a grid of eyes, mouth and pose, and who passes it."""

from __future__ import annotations

from itertools import product

import numpy as np

from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified.evaluation_control import correlations

GRID = {
    "eyes": (-1.8, 1.8),
    "mouth": (-1.2, -0.6, 0.0, 0.8, 1.6),
    "pose": (-1.2, 0.0, 1.2, 2.4, 3.6),
}
COLUMNS = tuple(PROPERTY_NAMES.index(name) for name in GRID)
LEAST_R = (0.77, 0.85, 0.82)
LEAST_R_STRICT = (0.92, 0.88, 0.92)
LARGEST_ERROR = (1.0, 0.6, 1.4)
LEAST_READABLE = 0.8


def protocol_requests(median: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The 50 requests of the grid.

    Args:
        median: [7] what the other properties stay at, normalised.
        low, high: [7] 1st and 99th percentile of the training scores, which the grid is clipped to: beyond
            them there is no picture to learn from.

    Returns:
        float32 [50, 7].
    """
    requests = np.tile(median, (int(np.prod([len(levels) for levels in GRID.values()])), 1))
    requests[:, COLUMNS] = list(product(*GRID.values()))
    return np.clip(requests, low, high).astype(np.float32)


def protocol_passes(requested: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which latents pass, and which pass strictly.

    Args:
        requested: [50, 7] of `protocol_requests`.
        measured: float64 [N, 50, 7] what was read; NaN where nothing was readable.

    Returns:
        (passes, strict), bool [N]: Pearson r of eyes, mouth and pose over the grid at least `LEAST_R`
        (`LEAST_R_STRICT`), mean absolute errors at most `LARGEST_ERROR`, and at least `LEAST_READABLE` of the
        pictures readable.
    """
    asked, read = requested[:, COLUMNS].astype(np.float64), measured[:, :, COLUMNS]
    readable = np.isfinite(read)
    enough = (readable.mean(axis=1) >= LEAST_READABLE).all(axis=1)
    errors = np.where(readable, np.abs(read - asked), 0.0).sum(axis=1) / np.maximum(readable.sum(axis=1), 1)
    r = np.stack([correlations(asked[:, column], read[:, :, column]) for column in range(len(GRID))], axis=1)
    near = enough & (errors <= LARGEST_ERROR).all(axis=1)
    return near & (r >= LEAST_R).all(axis=1), near & (r >= LEAST_R_STRICT).all(axis=1)
