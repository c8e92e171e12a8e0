"""Tiny networks, images and trainings shared by the tests of this package."""

import zlib
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from stylegan.batches import TrainingImages
from stylegan.checkpoint import Checkpoint
from stylegan.phases import Architecture, Phase, TrainingConfig
from stylegan.stylegan2_discriminator import StyleGAN2Discriminator
from stylegan.stylegan2_generator import StyleGAN2Generator
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator
from stylegan.training import StyleGANTrainer

CPU = torch.device("cpu")
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
Network = TypeVar("Network", bound=nn.Module)


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


NETWORKS = {
    "stylegan": (generator, discriminator),
    "stylegan2": (stylegan2_generator, stylegan2_discriminator),
}


def images(count: int = 20, size: int = 16) -> np.ndarray:
    """Smooth random pictures, uint8 [count,size,size,3]."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (count, size // 4, size // 4, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def latents(count: int = 20, size: int = 5) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(count, size)).astype(np.float32)


def plan(
    *phases: Phase,
    architecture: Architecture = "stylegan",
    size: int = 16,
    generator: Mapping[str, Any] | None = None,
    discriminator: Mapping[str, Any] | None = None,
    **changes: Any,
) -> TrainingConfig:
    """A plan for networks of `size` px; `generator` and `discriminator` are changes of their arguments."""
    arguments = STYLEGAN2_GENERATOR if architecture == "stylegan2" else GENERATOR
    return TrainingConfig(
        phases=phases or (Phase("adversarial", resolution=size, kimg=1, batch=4),),
        generator={**arguments, "resolution": size, **(generator or {})},
        discriminator={**DISCRIMINATOR, "resolution": size, **(discriminator or {})},
        architecture=architecture,
        **{"precision": "float32", "r1_interval": 2, **changes},
    )


def trainer(
    *phases: Phase,
    start: Checkpoint | None = None,
    size: int = 16,
    paired: bool = False,
    device: torch.device = CPU,
    **changes: Any,
) -> StyleGANTrainer:
    """A training on `images`, with `latents` where they are paired; the other arguments as in `plan`."""
    data = TrainingImages(images(size=size), latents() if paired else None)
    return StyleGANTrainer(plan(*phases, size=size, **changes), data, device, start)


def fill_with_known_weights(network: Network, salt: str = "") -> Network:
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
