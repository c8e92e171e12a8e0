"""Layers of the conditional VAEs: conditioning by FiLM, residual block, depthwise cell, spatial latent."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvae.latents import Gaussian

EXPANSION = 3  # of a depthwise cell
FIRST_LOG_DEVIATION = -2.0  # of posteriors


def quiet(layer: nn.Conv2d, factor: float = 0.1) -> nn.Conv2d:
    """The layer with small first weights, so that a residual branch starts near the identity."""
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    layer.weight.data.mul_(factor)
    return layer


class FiLM(nn.Module):
    """Scale and shift of channels by an embedding of the conditions (Perez et al., "FiLM", 2018).

    It starts as the identity: conditions that scale every layer at random make the divergences explode.
    """

    def __init__(self, embedding_size: int, channels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(embedding_size, 2 * channels)
        nn.init.zeros_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [N, C, H, W], embedding [N, E]."""
        scale, shift = self.dense(embedding)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with FiLM between them, added to the input."""

    def __init__(self, channels: int, embedding_size: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = FiLM(embedding_size, channels)
        self.second = quiet(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        y = self.film(self.first(F.silu(x)), embedding)
        return x + self.second(F.silu(y))


class SqueezeExcite(nn.Module):
    """Weights of channels from the mean of the picture (Hu et al., 2018)."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.squeeze, self.excite = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.excite(F.silu(self.squeeze(x.mean(dim=(2, 3))))).sigmoid()
        return x * weights[:, :, None, None]


class DepthwiseCell(nn.Module):
    """The generative cell of NVAE (Vahdat & Kautz 2020, figure 3a): a wide depthwise convolution between two
    1 x 1, then squeeze and excitation. FiLM stands where it has batch normalisation: statistics of small
    batches would differ between training and use. Its kernels are 5 x 5; those of 3 x 3 learn five to ten
    times as fast on a CPU.
    """

    def __init__(self, channels: int, embedding_size: int) -> None:
        super().__init__()
        wide = EXPANSION * channels
        self.expand = nn.Conv2d(channels, wide, 1)
        self.film = FiLM(embedding_size, wide)
        self.depthwise = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.contract = quiet(nn.Conv2d(wide, channels, 1))
        self.attend = SqueezeExcite(channels)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        y = self.film(self.expand(F.silu(x)), embedding)
        return x + self.attend(self.contract(F.silu(self.depthwise(F.silu(y)))))


class Level(nn.Module):
    """One latent of the hierarchical VAE: its prior, its posterior, and how it enters the decoder."""

    def __init__(self, channels: int, latents: int, embedding_size: int) -> None:
        super().__init__()
        self.prior = quiet(nn.Conv2d(channels, 2 * latents, 1))
        self.join = nn.Conv2d(2 * channels, channels, 1)
        self.posterior = nn.Conv2d(channels, 2 * latents, 1)
        # It says something from the start; noise alone would first teach the decoder not to listen.
        assert self.posterior.bias is not None
        nn.init.constant_(self.posterior.bias[latents:], FIRST_LOG_DEVIATION)
        self.enter = nn.Conv2d(latents, channels, 1)
        self.cell = DepthwiseCell(channels, embedding_size)

    def prior_of(self, h: Tensor) -> Gaussian:
        """The distribution of this latent, given the coarser ones and the conditions in h [N, C, H, W]."""
        return Gaussian.of(self.prior(F.silu(h)))

    def posterior_of(self, h: Tensor, seen: Tensor) -> Gaussian:
        """That of its noise, given what the encoder saw of the picture [N, C, H, W] as well."""
        both = self.join(F.silu(torch.cat([h, seen], dim=1)))
        return Gaussian.of(self.posterior(F.silu(both)))

    def forward(self, h: Tensor, z: Tensor, embedding: Tensor) -> Tensor:
        """h with this latent [N, L, H, W] in it."""
        changed: Tensor = self.cell(h + self.enter(z.to(h.dtype)), embedding)
        return changed
