"""The discriminator of the sketch document: does each patch of a portrait look real beside its sketch?

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (CVPR 2017), with the sizes
and entry names of the document's program.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sketch.unet import SLOPE, InstanceNorm, ResidualBlock


class PatchDiscriminator(nn.Module):
    """Scores of patches of 94 px. `PatchDiscriminator()` has the document's 2,767,808 parameters.

    Args:
        sketch_channels: of the sketch; the portrait has 3.
        width: channels of the first of the four levels; they double from level to level.
        residual_convolutions: of a residual block behind each level, 0: none; 1 in the document's variant.
    """

    LEVELS = 4

    def __init__(self, sketch_channels: int = 3, width: int = 64, residual_convolutions: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inner = 3 + sketch_channels
        self.ends: list[int] = []  # places of the last layer of each level
        for level in range(self.LEVELS):
            outer = width << level
            layers.append(nn.Conv2d(inner, outer, 4, stride=2, padding=1))
            layers += [InstanceNorm(outer)] if level else []
            layers.append(nn.LeakyReLU(SLOPE))
            if residual_convolutions:
                layers.append(ResidualBlock(outer, residual_convolutions, has_norm=False))
            self.ends.append(len(layers) - 1)
            inner = outer
        layers += [nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(inner, 1, 4, padding=1, bias=False)]
        self.model = nn.Sequential(*layers)

    def forward(self, portrait: Tensor, sketch: Tensor) -> Tensor:
        """Scores [N, 1, H / 16, W / 16] of portraits [N, 3, H, W] with sketches [N, C, H, W] in [-1, 1]."""
        return self.model(torch.cat([portrait, sketch], dim=1))

    def features(self, portrait: Tensor, sketch: Tensor) -> list[Tensor]:
        """What each level says, the finest first, and the scores of `forward` as the last one."""
        x = torch.cat([portrait, sketch], dim=1)
        found = []
        for place, layer in enumerate(self.model):
            x = layer(x)
            if place in self.ends:
                found.append(x)
        return [*found, x]
