"""Networks that read conditions from decoded pictures, with a gradient; they judge nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvae.conditions import ConditionScale
from stylegan_modified.property_cnn import PropertyCNN


class ScoreReader(nn.Module):
    """Conditions that are scores of properties, by a property CNN.

    Args:
        network: the property CNN.
        scale: from scores to conditions.
    """

    def __init__(self, network: PropertyCNN, scale: ConditionScale) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, C] of pictures [N, 3, H, W] in [-1, 1] of any size."""
        size = self.network.config.resolution
        scores: Tensor = self.network(F.interpolate(pictures, (size, size), mode="bilinear"))
        return self.scale.unclipped(scores.float())


class LabelReader(nn.Module):
    """Conditions that are hand labels, by regressors of squares, several for each condition.

    Args:
        networks: of each condition; each takes [N, 3, size, size] to [N].
        size: in pixels.
    """

    def __init__(self, networks: Sequence[Sequence[nn.Module]], size: int) -> None:
        super().__init__()
        self.folds = [list(folds) for folds in networks]
        self.networks = nn.ModuleList(network for folds in networks for network in folds)
        self.size = size

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, C] of pictures [N, 3, H, W] in [-1, 1] of any size."""
        seen = F.interpolate(pictures, (self.size, self.size), mode="bilinear", antialias=True)
        read = [torch.stack([network(seen) for network in folds]).mean(dim=0) for folds in self.folds]
        return torch.stack(read, dim=1).float()
