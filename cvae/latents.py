"""Diagonal Gaussians of the latents: soft clamps, the residual posterior and its KL divergence.

A posterior is written relative to its prior N(m, s^2): z = m + s e with e ~ N(mean, deviation^2). So e is
N(0, 1) under the prior, whatever the scale; KL(posterior || prior) = KL(N(mean, deviation^2) || N(0, 1)), the
function that v3 uses; and a picture is its noise e, which can be decoded again under other conditions. NVAE's
residual posterior (Vahdat & Kautz 2020, equation 2) is the same with a shift that is not measured in s.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stylegan_modified.losses import kl_terms

MOST = 5.0  # of means, and of log deviations either way


def soft_clamp(x: Tensor, most: float = MOST) -> Tensor:
    """x where it is small, never beyond `most`, with a gradient everywhere (NVAE, appendix A)."""
    return torch.tanh(x / most) * most


class Gaussian(NamedTuple):
    """Mean and log standard deviation, both [N, ...]."""

    mean: Tensor
    log_deviation: Tensor

    @classmethod
    def of(cls, parameters: Tensor) -> Gaussian:
        """Soft-clamped halves of the channels [N, 2 C, ...], in float32."""
        mean, log_deviation = parameters.float().chunk(2, dim=1)
        return cls(soft_clamp(mean), soft_clamp(log_deviation))

    def at(self, noise: Tensor) -> Tensor:
        """The value whose place in this distribution is `noise`, N(0, 1)."""
        return self.mean + self.log_deviation.exp() * noise

    def divergence(self) -> Tensor:
        """KL(self || N(0, 1)) in nats, [N]."""
        return kl_terms(self.mean, 2 * self.log_deviation).flatten(1).sum(dim=1)
