"""The part of the aligned frame that a network looks at, cut out by differentiable resampling.

The frame is that of `segmentation.face_alignment`: a square of 256 frame pixels in which the eyes lie 61 px
apart and their midpoint at (128.5, 120.5). Every published network expects its own cut of a face; a fixed
square of the frame serves all pictures alike, so that a network sees the very change that a dial makes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FRAME_PX = 256


@dataclass(frozen=True)
class FaceWindow:
    """A square of the aligned frame, and the size at which a network reads it.

    Attributes:
        left, top, side: in frame pixels, counted from the outer corner of the first one.
        size_px: pixels per side of the network's input.
    """

    left: float
    top: float
    side: float
    size_px: int

    def __post_init__(self) -> None:
        inside = min(self.left, self.top) >= 0 and max(self.left, self.top) + self.side <= FRAME_PX
        if not inside or self.side <= 0 or self.size_px < 1:
            raise ValueError(f"{self} does not lie inside a frame of {FRAME_PX} px")

    def cut(self, images: Tensor) -> Tensor:
        """The window of pictures [N, 3, S, S] of any size S, float32 [N, 3, size_px, size_px].

        Linear interpolation whose triangles widen where the picture shrinks, so that nothing is aliased
        and every source pixel gets its gradient.

        Raises:
            ValueError: the pictures are not square or have other channels than three.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ValueError(
                f"expected aligned faces [N, 3, S, S], got {list(images.shape)}; "
                "scripts/align_photos.py brings photographs into that frame"
            )
        rows = self._weights(self.top, images)
        columns = self._weights(self.left, images)
        # Autocast would round the products to bfloat16, which has fewer levels than a picture.
        with torch.autocast(images.device.type, enabled=False):
            return rows @ images.float() @ columns.T

    def _weights(self, start: float, images: Tensor) -> Tensor:
        """How much each source pixel of one axis [S] gives to each pixel of the window: [size_px, S]."""
        source_px = images.shape[-1]
        scale = source_px / FRAME_PX
        step = self.side / self.size_px * scale
        positions = torch.arange(self.size_px, device=images.device, dtype=torch.float32)
        centers = start * scale + (positions + 0.5) * step
        source = torch.arange(source_px, device=images.device, dtype=torch.float32) + 0.5
        weights = (1 - (centers[:, None] - source).abs() / max(step, 1.0)).clamp_min(0)
        return weights / weights.sum(dim=1, keepdim=True)
