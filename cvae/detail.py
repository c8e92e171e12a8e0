"""The third term of the loss, which sharpens the decoder's pictures: edges, features or a discriminator.

The document of the plain VAE names none ("??? Loss"); it enters with the second epoch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_modified.perceptual import ConvolutionFeatures

LEAK = 0.2


def edge_loss(made: Tensor, given: Tensor) -> Tensor:
    """Mean absolute difference of the steps between neighbouring pixels; pictures [N, 3, H, W], a scalar."""
    apart = made - given
    return apart.diff(dim=2).abs().mean() + apart.diff(dim=3).abs().mean()


def perceptual_loss(network: ConvolutionFeatures, made: Tensor, given: Tensor) -> Tensor:
    """Mean squared distance of a frozen network's features; pictures [N, 3, H, W] in [-1, 1], a scalar."""
    with torch.no_grad():
        asked = network(given)
    pairs = zip(network(made), asked, strict=True)
    return torch.stack([(ours - theirs).square().sum(dim=1).mean() for ours, theirs in pairs]).mean()


class PatchDiscriminator(nn.Sequential):
    """Logits of being given, one for each patch (Isola et al., 2017): [N, 3, H, W] to [N, 1, h, w]."""

    def __init__(self, width: int = 32) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for factor in (1, 2, 4):
            layers += [nn.Conv2d(channels, factor * width, 4, stride=2, padding=1), nn.LeakyReLU(LEAK)]
            channels = factor * width
        super().__init__(*layers, nn.Conv2d(channels, 1, 3, padding=1))

    def loss(self, made: Tensor, given: Tensor) -> Tensor:
        """Hinge loss of the discriminator, a scalar; `made` is detached."""
        return F.relu(1 - self(given)).mean() + F.relu(1 + self(made.detach())).mean()
