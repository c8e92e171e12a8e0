"""Measures of a conditional VAE on pictures that no training saw: bits, decibels, divergences by latent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cvae.likelihood import bits_per_dimension
from cvae.model import ConditionalVAE
from stylegan_modified.fine_tuning import TrainingPictures

AT_ONCE = 32
DRAW_SEED = 0


def psnr(made: Tensor, given: Tensor) -> Tensor:
    """Peak signal-to-noise ratio [N] in dB of pictures [N, 3, H, W] in [-1, 1], against the range of 2."""
    error = (made - given).square().flatten(1).mean(dim=1)
    return 10 * torch.log10(4 / error.clamp_min(1e-10))


@torch.no_grad()
def held_out_measures(model: ConditionalVAE, data: TrainingPictures) -> dict[str, Any]:
    """Means over pictures and their conditions.

    Returns:
        ``bits_per_dimension``: minus the evidence lower bound, one draw from the posterior of each picture;
        ``kl_bits``: what the latents cost of it, each latent in ``kl_bits_by_latent``, the coarsest first;
        ``psnr``: dB of the picture decoded from the mean of the posterior; ``count`` of pictures.
    """
    device = next(model.parameters()).device
    dimensions = model.config.dimensions
    rng = torch.Generator().manual_seed(DRAW_SEED)
    bits, divergences, decibels = [], [], []
    for rows in torch.arange(len(data.images)).split(AT_ONCE):
        images, conditions = data.batch(rows, device)
        draws = torch.randn(len(rows), model.z_space_dim, generator=rng).to(device)
        found = model.infer(images, conditions, draws)
        nats = found.divergences.sum(dim=1) - found.likelihood.log_probability(images)
        bits.append(bits_per_dimension(nats, dimensions))
        divergences.append(bits_per_dimension(found.divergences, dimensions))
        decibels.append(psnr(model.infer(images, conditions).likelihood.picture, images))
    by_latent = torch.cat(divergences).mean(dim=0)
    return {
        "bits_per_dimension": float(torch.cat(bits).mean()),
        "kl_bits": float(by_latent.sum()),
        "kl_bits_by_latent": [round(value, 5) for value in by_latent.tolist()],
        "psnr": float(torch.cat(decibels).mean()),
        "count": len(data.images),
    }
