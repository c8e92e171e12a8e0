"""Control, leakage and identity of a generator with dials, measured by a judge that was not in the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from segmentation.property_table import PROPERTY_NAMES
from stylegan.sampling import to_uint8

# (z [N, z_dim], properties [N, 7]) -> pictures [N, 3, H, W] in [-1, 1]
Generate = Callable[[Tensor, Tensor], Tensor]
# pictures uint8 [N, H, W, 3] -> (values float64 [N, 7] normalised, valid bool [N, 7])
Judge = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Sweep:
    """Requests of an evaluation: for each property its levels, the others at the median.

    requested [7, levels, 7]; `images` uint8 [latents, 7, levels, H, W, 3].
    """

    requested: np.ndarray
    images: np.ndarray


@dataclass(frozen=True)
class ControlReport:
    """How far measured properties follow requested ones.

    r: mean over latents of the Pearson correlation of requested and measured; pooled_r and slope: over all
    latents and levels; mae: mean absolute difference (normalised units); response [7][7]: slope of measured
    property k (column) on requested property j (row); leakage: mean absolute slope off the diagonal, latent
    by latent; readable: share of pictures that the judge could read.
    """

    latent_count: int
    r: dict[str, float]
    pooled_r: dict[str, float]
    slope: dict[str, float]
    mae: dict[str, float]
    response: list[list[float]]
    leakage: float
    readable: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)


def sweep_requests(percentiles: np.ndarray) -> np.ndarray:
    """Requests for a sweep of each property.

    Args:
        percentiles: [levels, 7] normalised scores of the training pictures at rising percentiles; the middle
            row is the median.

    Returns:
        [7, levels, 7] float32: entry (j, i) has property j at level i and all others at the median.
    """
    levels, count = percentiles.shape
    requested = np.tile(percentiles[levels // 2], (count, levels, 1))
    for j in range(count):
        requested[j, :, j] = percentiles[:, j]
    return requested.astype(np.float32)


@torch.no_grad()
def run_sweep(generate: Generate, z: Tensor, percentiles: np.ndarray, batch_size: int = 64) -> Sweep:
    """Generate every picture of a sweep for latents z [N, z_dim] (on the generator's device)."""
    requested = sweep_requests(percentiles)
    flat = torch.from_numpy(requested.reshape(-1, requested.shape[-1])).to(z)
    per_latent = len(flat)
    latents = z.repeat_interleave(per_latent, dim=0)
    wanted = flat.repeat(len(z), 1)
    images = [
        to_uint8(generate(latents[i : i + batch_size], wanted[i : i + batch_size]))
        for i in range(0, len(latents), batch_size)
    ]
    stacked = np.concatenate(images)
    return Sweep(requested, stacked.reshape(len(z), *requested.shape[:2], *stacked.shape[1:]))


def measure_control(sweep: Sweep, judge: Judge) -> ControlReport:
    """Compare what the judge reads with what was requested; unreadable values are left out, not guessed."""
    latents, count, levels = sweep.images.shape[:3]
    values, valid = judge(sweep.images.reshape(-1, *sweep.images.shape[3:]))
    measured = np.where(valid, values, np.nan).reshape(latents, count, levels, count)
    slopes = np.full((latents, count, count), np.nan)
    r = np.full((latents, count), np.nan)
    for j in range(count):
        requested = sweep.requested[j, :, j]
        for k in range(count):
            slopes[:, j, k] = _slopes(requested, measured[:, j, :, k])
        r[:, j] = _correlations(requested, measured[:, j, :, j])
    diagonal = measured[:, range(count), :, range(count)]  # [7, latents, levels]
    asked = np.stack([sweep.requested[j, :, j] for j in range(count)])[:, None, :].repeat(latents, axis=1)
    off_diagonal = ~np.eye(count, dtype=bool)
    response = _mean_known(slopes, (0,))
    return ControlReport(
        latent_count=latents,
        r=_named(_mean_known(r, (0,))),
        pooled_r=_named(
            [_correlations(a.ravel(), m.reshape(1, -1))[0] for a, m in zip(asked, diagonal, strict=True)]
        ),
        slope=_named([_slopes(a.ravel(), m.reshape(1, -1))[0] for a, m in zip(asked, diagonal, strict=True)]),
        mae=_named(_mean_known(np.abs(asked - diagonal), (1, 2))),
        response=response.tolist(),
        leakage=float(_mean_known(np.abs(slopes)[:, off_diagonal], (0, 1))),
        readable=float(valid.all(axis=1).mean()),
    )


def _mean_known(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Mean over axes of the entries that are not NaN; NaN where there are none."""
    known = np.isfinite(values)
    counts = known.sum(axis=axes)
    sums = np.where(known, values, 0.0).sum(axis=axes)
    return np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=counts > 0)


def _named(values: np.ndarray | list[float]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(PROPERTY_NAMES, values, strict=True)}


def _centred(requested: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both [N, levels], centred over the readable levels; unreadable ones are zero in both."""
    known = np.isfinite(measured)
    counts = np.maximum(known.sum(axis=1, keepdims=True), 1)
    x = np.where(known, requested, 0.0)
    y = np.where(known, measured, 0.0)
    x = np.where(known, x - x.sum(axis=1, keepdims=True) / counts, 0.0)
    y = np.where(known, y - y.sum(axis=1, keepdims=True) / counts, 0.0)
    return x, y


def _slopes(requested: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Least-squares slope of each row of measured [N, levels]; NaN where fewer than two levels differ."""
    x, y = _centred(requested, measured)
    variance = (x * x).sum(axis=1)
    return np.divide((x * y).sum(axis=1), variance, out=np.full(len(y), np.nan), where=variance > 0)


def _correlations(requested: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Pearson correlation of each row; zero where nothing moved, NaN where nothing was readable."""
    x, y = _centred(requested, measured)
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    r = np.divide((x * y).sum(axis=1), scale, out=np.zeros(len(y)), where=scale > 1e-12)
    return np.where(np.isfinite(measured).sum(axis=1) < 2, np.nan, r)


def identity_auc(vectors: np.ndarray) -> float:
    """How surely a stranger can be told from the same person with other properties.

    Area under the ROC curve of the similarity of embeddings: same latent at the two ends of a dial
    (positives) against different latents at the same setting (negatives). 1 = never confused, 0.5 = chance.

    Args:
        vectors: [latents, 7, levels, D] unit vectors of who is shown in the pictures of a sweep of at least
            two latents.
    """
    ends = vectors[:, :, [0, -1]]
    same = (ends[:, :, 0] * ends[:, :, 1]).sum(-1).ravel()
    across = np.einsum("ajed,bjed->abje", ends, ends)
    different = across[~np.eye(len(ends), dtype=bool)].ravel()
    labels = np.concatenate([np.ones(len(same)), np.zeros(len(different))])
    return float(roc_auc_score(labels, np.concatenate([same, different])))
