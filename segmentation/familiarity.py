"""Whether a picture looks like those that a parser learned from; its probabilities do not tell.

On photographs a parser of drawn portraits is as sure of its classes as on portraits, and wrong. Its features
give it away: their means over the picture, channel by channel, leave the few directions in which those of its
training pictures vary (as in detection of novelty by PCA). The rest, relative to that of training pictures
which the fit did not see, is the strangeness.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

DIRECTIONS = 32
LIMIT_QUANTILE = 0.99


class Familiarity(nn.Module):
    """How unlike the training pictures a picture is.

    Args:
        size: numbers per picture, see `describe`.
        directions: in which training pictures vary.
    """

    mean: Tensor
    deviation: Tensor
    directions: Tensor
    limit: Tensor

    def __init__(self, size: int, directions: int = DIRECTIONS) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))
        self.register_buffer("directions", torch.zeros(directions, size))
        self.register_buffer("limit", torch.ones(()))

    @torch.no_grad()
    def fit(self, described: Tensor, others: Tensor) -> None:
        """Learn what is usual.

        Args:
            described: [N, size] training pictures, see `describe`.
            others: [M, size] further ones, of which one in a hundred shall count as strange.
        """
        self.mean.copy_(described.mean(0))
        self.deviation.copy_(described.std(0).clamp_min(1e-6))
        _, _, directions = torch.linalg.svd((described - self.mean) / self.deviation, full_matrices=False)
        self.directions.copy_(directions[: len(self.directions)])
        self.limit.fill_(1.0)
        self.limit.copy_(torch.quantile(self(others), LIMIT_QUANTILE))

    def forward(self, described: Tensor) -> Tensor:
        """Strangeness [N] float32 of pictures [N, size]; above 1: farther off than 99 % of those."""
        z = (described.float() - self.mean) / self.deviation
        rest = z - (z @ self.directions.T) @ self.directions
        return rest.square().mean(dim=1) / self.limit


def describe(stages: Iterable[Tensor]) -> Tensor:
    """The numbers of each picture, [N, sum of C]: means over the places of backbone features [N, h, w, C]."""
    return torch.cat([stage.float().mean(dim=(1, 2)) for stage in stages], dim=1)
