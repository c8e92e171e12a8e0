"""An addition of ours to FaceXFormer: masks whose edges follow the picture's own pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskRefinement(nn.Module):
    """Enlarges masks to the picture's size and redraws them where its pixels say otherwise.

    The decoder draws a block of 4 x 4 mask pixels from each token of the picture, so eyes and brows of a few
    tokens come out coarse. Three convolutions see the masks beside the pixels (as blocks, so that they work
    at the masks' size). A new one changes nothing.

    Args:
        class_count: of the masks.
        width: channels between the convolutions.
        scale: pixels of the picture along the side of one mask pixel.
    """

    def __init__(self, class_count: int, width: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        last = nn.Conv2d(width, class_count * scale**2, kernel_size=3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.layers = nn.Sequential(
            nn.Conv2d(class_count + 3 * scale**2, width, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.GELU(),
            last,
        )

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """Logits `[N, classes, H, W]` of pictures `[N, 3, scale H, scale W]`, at the size of these."""
        pixels = F.pixel_unshuffle(images, self.scale)
        change = self.layers(torch.cat([logits.softmax(dim=1), pixels], dim=1))
        enlarged = F.interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=False)
        return enlarged + F.pixel_shuffle(change, self.scale)
