"""Control, leakage and identity of a generator with dials, measured by a judge that was not in the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segmentation.property_table import PROPERTY_NAMES
from stylegan.sampling import to_uint8
from stylegan_modified.evaluation_control import control_measures

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


def distinct_requests(requested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Requests of a sweep without repetition; all properties share the one with everything at the median.

    Returns:
        (distinct [M, 7], index [7, levels]): ``distinct[index]`` is `requested`.
    """
    flat = requested.reshape(-1, requested.shape[-1])
    distinct, index = np.unique(flat, axis=0, return_inverse=True)
    return distinct, index.reshape(requested.shape[:-1])


def own_requests(requested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `distinct_requests`, with NaN for every property that a sweep does not turn: it stays as each person
    has it.
    """
    count, levels, _ = requested.shape
    turned = np.eye(count, dtype=bool)[:, None]
    return (
        np.where(turned, requested, np.nan).reshape(-1, count),
        np.arange(count * levels).reshape(count, levels),
    )


@torch.no_grad()
def render_requests(generate: Generate, z: Tensor, requests: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Pictures of every latent z [N, z_dim] with each of the requests [M, 7], or [N, M, 7] of its own: uint8
    [N, M, H, W, 3].
    """
    count = requests.shape[-2]
    wanted = torch.from_numpy(requests).to(z).expand(len(z), count, -1).flatten(0, 1)
    latents = z.repeat_interleave(count, dim=0)
    images = np.concatenate(
        [
            to_uint8(generate(latents[i : i + batch_size], wanted[i : i + batch_size]))
            for i in range(0, len(latents), batch_size)
        ]
    )
    return images.reshape(len(z), count, *images.shape[1:])


def run_sweep(generate: Generate, z: Tensor, percentiles: np.ndarray, batch_size: int = 64) -> Sweep:
    """Generate every picture of a sweep for latents z [N, z_dim] (on the generator's device)."""
    requested = sweep_requests(percentiles)
    distinct, index = distinct_requests(requested)
    return Sweep(requested, render_requests(generate, z, distinct, batch_size)[:, index])


def measure_control(sweep: Sweep, judge: Judge) -> ControlReport:
    """Compare what the judge reads with what was requested; unreadable values are left out, not guessed."""
    latents, count, levels = sweep.images.shape[:3]
    values, valid = judge(sweep.images.reshape(-1, *sweep.images.shape[3:]))
    measured = np.where(valid, values, np.nan).reshape(latents, count, levels, count)
    found = control_measures(sweep.requested, measured, np.ones((1, latents)))
    return ControlReport(
        latent_count=latents,
        r=_named(found["control"][0]),
        pooled_r=_named(found["pooled"][0]),
        slope=_named(found["slope"][0]),
        mae=_named(found["mae"][0]),
        response=found["response"][0].tolist(),
        leakage=float(found["leakage"][0]),
        readable=float(valid.all(axis=1).mean()),
    )


def _named(values: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(PROPERTY_NAMES, values, strict=True)}
