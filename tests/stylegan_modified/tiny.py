"""Tiny networks and pictures for the fine-tuning tests."""

import torch

from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator
from stylegan_modified.fine_tuning import TrainingPictures
from stylegan_modified.property_cnn import PropertyCNN, PropertyCNNConfig
from stylegan_modified.stylegan_generator import transplant
from stylegan_modified.stylegan_generator_v2 import DialGenerator

RESOLUTION, Z_DIM = 32, 16


def base_generator(seed: int = 0) -> StyleGANGenerator:
    torch.manual_seed(seed)
    return StyleGANGenerator(
        resolution=RESOLUTION,
        z_space_dim=Z_DIM,
        w_space_dim=Z_DIM,
        mapping_layers=3,
        mapping_fmaps=Z_DIM,
        fmaps_base=128,
        fmaps_max=8,
    ).eval()


def base_discriminator(seed: int = 1) -> StyleGANDiscriminator:
    torch.manual_seed(seed)
    return StyleGANDiscriminator(resolution=RESOLUTION, fmaps_base=128, fmaps_max=8).eval()


def pictures(count: int = 24, seed: int = 2) -> TrainingPictures:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, RESOLUTION, RESOLUTION, 3), generator=rng, dtype=torch.uint8)
    return TrainingPictures(images, torch.randn(count, 7, generator=rng))


def property_cnn(seed: int = 3) -> PropertyCNN:
    torch.manual_seed(seed)
    return PropertyCNN(PropertyCNNConfig(RESOLUTION, width=0.25)).eval()


def dial_generator() -> DialGenerator:
    torch.manual_seed(4)
    return DialGenerator(transplant(base_generator()), property_cnn()).eval()
