"""The likelihood of pictures of 8 bits: a discretised logistic distribution for each channel of a pixel."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cvae.latents import soft_clamp

HALF_BIN = 1 / 255
MIDDLE_LOG_SCALE, LOG_SCALE_REACH = -2.0, 5.0  # from a tenth of a grey level to ten times the range


class DiscretisedLogistic(NamedTuple):
    """Salimans et al., "PixelCNN++", 2017, section 2.1, with one component.

    Attributes:
        mean: [N, 3, H, W], -1 is black and 1 white.
        log_scale: [N, 3, H, W].
    """

    mean: Tensor
    log_scale: Tensor

    @classmethod
    def of(cls, parameters: Tensor) -> DiscretisedLogistic:
        """From the last layer's [N, 6, H, W]."""
        mean, log_scale = parameters.float().chunk(2, dim=1)
        return cls(mean, MIDDLE_LOG_SCALE + soft_clamp(log_scale, LOG_SCALE_REACH))

    @property
    def picture(self) -> Tensor:
        """The median, [N, 3, H, W] in [-1, 1]."""
        return self.mean.clamp(-1, 1)

    def log_probability(self, images: Tensor) -> Tensor:
        """Natural logarithm of the probability of pictures [N, 3, H, W] in [-1, 1] with 256 levels: [N].

        The first and the last level take all that lies below and above.
        """
        inverse = (-self.log_scale).exp()
        upper = (images - self.mean + HALF_BIN) * inverse
        lower = (images - self.mean - HALF_BIN) * inverse
        below, above = F.logsigmoid(upper), F.logsigmoid(-lower)
        # log(sigmoid(u) - sigmoid(l)), exact in both tails
        inside = torch.log(-torch.expm1(lower - upper)) + below + above
        found = torch.where(images < -1 + HALF_BIN, below, inside)
        found = torch.where(images > 1 - HALF_BIN, above, found)
        return found.flatten(1).sum(dim=1)


def bits_per_dimension(nats: Tensor, dimensions: int) -> Tensor:
    """Nats for whole pictures as bits for one channel of one pixel."""
    return nats / (dimensions * math.log(2))
