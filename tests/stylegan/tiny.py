"""Tiny networks and images shared by the tests of this package."""

import zlib

import numpy as np
import torch
from torch import nn

from stylegan.stylegan2_discriminator import StyleGAN2Discriminator
from stylegan.stylegan2_generator import StyleGAN2Generator
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator

GENERATOR = {
    "resolution": 16,
    "z_space_dim": 8,
    "w_space_dim": 8,
    "mapping_layers": 2,
    "mapping_fmaps": 8,
    "fmaps_base": 64,
    "fmaps_max": 8,
}
DISCRIMINATOR = {"resolution": 16, "fmaps_base": 64, "fmaps_max": 8}
STYLEGAN2_GENERATOR = {name: value for name, value in GENERATOR.items() if name != "mapping_fmaps"}


def generator(**changes: object) -> StyleGANGenerator:
    torch.manual_seed(1)
    return StyleGANGenerator(**{**GENERATOR, **changes}).eval()


def discriminator(**changes: object) -> StyleGANDiscriminator:
    torch.manual_seed(2)
    return StyleGANDiscriminator(**{**DISCRIMINATOR, **changes}).eval()


def stylegan2_generator(**changes: object) -> StyleGAN2Generator:
    torch.manual_seed(1)
    return StyleGAN2Generator(**{**STYLEGAN2_GENERATOR, **changes}).eval()


def stylegan2_discriminator(**changes: object) -> StyleGAN2Discriminator:
    torch.manual_seed(2)
    return StyleGAN2Discriminator(**{**DISCRIMINATOR, **changes}).eval()


def images(count: int = 20, size: int = 16) -> np.ndarray:
    """Smooth random pictures, uint8 [count,size,size,3]."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (count, size // 4, size // 4, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def latents(count: int = 20, size: int = 5) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(count, size)).astype(np.float32)


def fill_with_known_weights(network: nn.Module, salt: str = "") -> nn.Module:
    """Give every entry the values that the golden files were made with; returns it in eval mode."""
    state = network.state_dict()
    for key, value in state.items():
        if key.endswith((".kernel", "lod", "resample_filter")):
            continue
        rng = torch.Generator().manual_seed(zlib.crc32((salt + key).encode()))
        start = 1.0 if key.endswith("affine.bias") else 0.0
        state[key] = start + torch.randn(value.shape, generator=rng) * _factor(key)
    network.load_state_dict(state, strict=True)
    return network.eval()


def _factor(key: str) -> float:
    if key.startswith("mapping.") and key.endswith(".weight"):
        return 100.0
    small = (".bias", "apply_noise.weight", "noise_strength", "w_avg")
    return 0.1 if key.endswith(small) else 1.0
