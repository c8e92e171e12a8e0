"""Diagonal Gaussians of the latents: soft clamps, the residual posterior and its KL divergence.

A posterior is written relative to its prior N(m, s^2): z = m + s e with e ~ N(mean, deviation^2). So e is
N(0, 1) under the prior, whatever the scale; KL(posterior || prior) = KL(N(mean, deviation^2) || N(0, 1)), the
function that v3 uses; and a picture is its noise e, which can be decoded again under other conditions. NVAE's
residual posterior (Vahdat & Kautz 2020, equation 2) is the same with a shift that is not measured in s.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from stylegan_modified.losses import kl_terms

RIDGE = 1e-4  # of the regression of the vector on the conditions
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


class FittedPrior(nn.Module):
    """The prior of the latent vector: a Gaussian whose mean is linear in the conditions, N(W c + b, F F^T).

    It is fitted to the posteriors of the training pictures, which on their way there are far from N(0, 1): a
    decoder draws people only where it has seen some (Ghosh et al., "From variational to deterministic
    autoencoders", 2020, section 4). What the vector says of a condition follows the condition.

    Args:
        size: of the vector.
        conditions: how many numbers describe a picture.
    """

    weight: Tensor
    bias: Tensor
    factor: Tensor

    def __init__(self, size: int, conditions: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(size, conditions))
        self.register_buffer("bias", torch.zeros(size))
        self.register_buffer("factor", torch.eye(size))

    def at(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """The vector [N, D] whose place in the prior is `noise` [N, D], N(0, 1); conditions [N, C]."""
        with torch.autocast(noise.device.type, enabled=False):
            return self._mean(conditions) + noise @ self.factor.T

    def noise_of(self, vector: Tensor, conditions: Tensor) -> Tensor:
        """The inverse of `at`."""
        with torch.autocast(vector.device.type, enabled=False):
            apart = (vector - self._mean(conditions)).T
            return torch.linalg.solve_triangular(self.factor, apart, upper=False).T

    def divergence(self, posterior: Gaussian, conditions: Tensor) -> Tensor:
        """KL(posterior || prior) in nats, [N]."""
        inverse = torch.linalg.solve_triangular(
            self.factor, torch.eye(len(self.factor)).to(self.factor), upper=False
        )
        spread = ((2 * posterior.log_deviation).exp() * inverse.square().sum(dim=0)).sum(dim=1)
        distance = self.noise_of(posterior.mean, conditions).square().sum(dim=1)
        volume = self.factor.diagonal().log().sum() - posterior.log_deviation.sum(dim=1)
        return 0.5 * (spread + distance - len(self.factor)) + volume

    @torch.no_grad()
    def fit(self, posterior: Gaussian, conditions: Tensor) -> None:
        """Least squares for the mean, the covariance of what is left, from posteriors of N pictures.

        Conditions that are the same in all of them have no weight.
        """
        with torch.autocast(conditions.device.type, enabled=False):
            middle = conditions.mean(dim=0)
            known = conditions - middle
            eye = torch.eye(known.shape[1], device=known.device)
            weight = torch.linalg.solve(
                known.T @ known + RIDGE * len(known) * eye, known.T @ posterior.mean
            ).T
            rest = posterior.mean - posterior.mean.mean(dim=0) - known @ weight.T
            covariance = rest.T @ rest / len(rest) + (2 * posterior.log_deviation).exp().mean(dim=0).diag()
        self.weight.copy_(weight)
        self.bias.copy_(posterior.mean.mean(dim=0) - weight @ middle)
        self.factor.copy_(torch.linalg.cholesky(covariance))

    def _mean(self, conditions: Tensor) -> Tensor:
        return self.bias + conditions @ self.weight.T
