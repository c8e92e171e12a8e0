"""Latents of images whose true parameters are known.

An image with parameters u [P] (independent standard normals) gets z = [u, e] Q, where e are standard
normals of its own and Q is a fixed rotation. A z drawn from N(0, I) is then distributed exactly like the
z of a random image, so a generator that was fitted to pairs (z, image) can be sampled as usual.
"""

import torch
from torch import Tensor


def latent_rotation(z_dim: int, seed: int) -> Tensor:
    """Random rotation Q [z_dim,z_dim] float32 (orthogonal, uniformly distributed)."""
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(z_dim, z_dim, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    # Positive diagonal of r: makes the factorisation unique, whatever library computed it.
    return (q * r.diagonal().sign()).float()


def latents_to_z(latents: Tensor, nuisance: Tensor, rotation: Tensor) -> Tensor:
    """Join latents u [N,P] with nuisance e [N,z_dim-P] and rotate; returns z [N,z_dim]."""
    return torch.cat([latents, nuisance], dim=1) @ rotation
