"""How different two pictures are, to the eye of networks at hand: pixels, features and who is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_modified.losses import multiscale_l1

PIXEL_LEVELS = 4


class ConvolutionFeatures(nn.Module):
    """What the convolutions of a frozen network say of a picture: of those with one size of output, the last.

    Args:
        network: takes pictures [N, 3, H, W] in [-1, 1]; whatever it returns is ignored.
        smallest_px: features of fewer rows are left out: there `identity` looks already.
    """

    def __init__(self, network: nn.Module, smallest_px: int = 4) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.smallest_px = smallest_px
        self._seen: dict[int, Tensor] = {}
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.shape[-1] >= self.smallest_px:
            self._seen[output.shape[-1]] = output

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features [N, C, h, w], unit vectors at each place, the finest first."""
        self._seen = {}
        self.network(images)
        found = [F.normalize(self._seen[size].float(), dim=1) for size in sorted(self._seen, reverse=True)]
        self._seen = {}
        return found


@dataclass(frozen=True)
class Prepared:
    """Given pictures, and what is compared of them."""

    images: Tensor
    features: list[Tensor]
    identity: Tensor | None


class PictureDistance(nn.Module):
    """Weighted sum of a pixel pyramid, features of networks, and the angle between identities.

    Args:
        features: see `ConvolutionFeatures`; may be empty.
        identity: frozen network from pictures to unit vectors of who is shown, never the judge's; None leaves
            the term out.
        pixel_weight, feature_weight, identity_weight: of the three.
    """

    def __init__(
        self,
        features: Sequence[ConvolutionFeatures] = (),
        identity: nn.Module | None = None,
        pixel_weight: float = 1.0,
        feature_weight: float = 1.0,
        identity_weight: float = 0.2,
    ) -> None:
        super().__init__()
        self.features = nn.ModuleList(features)
        self.identity = identity
        self.pixel_weight, self.feature_weight = pixel_weight, feature_weight
        self.identity_weight = identity_weight

    @torch.no_grad()
    def prepare(self, images: Tensor) -> Prepared:
        """What `forward` compares with: given pictures [N, 3, H, W] in [-1, 1]."""
        return Prepared(images, self._features(images), self.identity(images) if self.identity else None)

    def forward(self, images: Tensor, asked: Prepared) -> Tensor:
        """Distances [N] of pictures [N, 3, H, W] from prepared ones of the same size."""
        total = self.pixel_weight * multiscale_l1(images, asked.images, PIXEL_LEVELS)
        pairs = list(zip(self._features(images), asked.features, strict=True))
        for ours, theirs in pairs:
            apart = (ours - theirs).square().sum(dim=1).mean(dim=(1, 2))
            total = total + self.feature_weight / len(pairs) * apart
        if self.identity is not None and asked.identity is not None:
            total = total + self.identity_weight * (1 - (self.identity(images) * asked.identity).sum(dim=1))
        return total

    def _features(self, images: Tensor) -> list[Tensor]:
        return [part for network in self.features for part in network(images)]
