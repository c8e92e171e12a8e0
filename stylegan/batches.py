"""Training images, and which of them a step sees."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class TrainingImages:
    """Images [N,H,W,3] uint8 RGB at the full resolution, and, if known, their latents [N,P] float32."""

    images: np.ndarray
    latents: np.ndarray | None = None
    order: np.ndarray | None = None
    """Rows [M] of one pass through the images, rare ones repeated; None: each once."""

    def batch(self, rows: np.ndarray, resolution: int, device: torch.device) -> Tensor:
        """Images [n,3,resolution,resolution] float32 in [-1,1], shrunk by averaging."""
        # Sorted reading: kind to a memory-mapped file.
        order = np.argsort(rows)
        picked = np.empty((len(rows), *self.images.shape[1:]), dtype=np.uint8)
        picked[order] = self.images[rows[order]]
        x = torch.from_numpy(picked).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return F.avg_pool2d(x, x.shape[2] // resolution) if x.shape[2] > resolution else x


class ShuffledPasses:
    """Rows of batch after batch: every image once per pass, in an order of its own for each pass."""

    def __init__(self, data: TrainingImages, seed: int) -> None:
        self.order = np.arange(len(data.images)) if data.order is None else data.order
        self.seed = seed
        self._permutations: dict[int, np.ndarray] = {}

    def rows(self, first: int, count: int) -> np.ndarray:
        """Rows [count] of the batch that follows on `first` images."""
        positions = np.arange(first, first + count)
        passes, places = np.divmod(positions, len(self.order))
        needed = np.unique(passes).tolist()
        self._permutations = {p: self._permutation(p) for p in needed}
        return np.array([self._permutations[p][n] for p, n in zip(passes.tolist(), places, strict=True)])

    def _permutation(self, number: int) -> np.ndarray:
        if number in self._permutations:
            return self._permutations[number]
        return self.order[np.random.default_rng((self.seed, number)).permutation(len(self.order))]
