"""Tiny networks and pictures for the fine-tuning tests."""

import torch

from stylegan.known_networks import DISCRIMINATORS, GENERATORS
from stylegan.phases import Architecture
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator
from stylegan_modified.fine_tuning import TrainingPictures
from stylegan_modified.property_cnn import PropertyCNN, PropertyCNNConfig
from stylegan_modified.stylegan_generator import transplant
from stylegan_modified.stylegan_generator_v2 import DialGenerator

RESOLUTION, Z_DIM = 32, 16
DEVICE = torch.device("cpu")  # of the networks; tests/cuda changes it


SIZES = {"resolution": RESOLUTION, "fmaps_base": 128, "fmaps_max": 8}
MAPPING = {"z_space_dim": Z_DIM, "w_space_dim": Z_DIM, "mapping_layers": 3}


def base_generator(seed: int = 0, architecture: Architecture = "stylegan") -> StyleGANGenerator:
    torch.manual_seed(seed)
    further = {"mapping_fmaps": Z_DIM} if architecture == "stylegan" else {}
    return GENERATORS[architecture](**SIZES, **MAPPING, **further).to(DEVICE).eval()


def base_discriminator(seed: int = 1, architecture: Architecture = "stylegan") -> StyleGANDiscriminator:
    torch.manual_seed(seed)
    return DISCRIMINATORS[architecture](**SIZES).to(DEVICE).eval()


def pictures(count: int = 24, seed: int = 2) -> TrainingPictures:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, RESOLUTION, RESOLUTION, 3), generator=rng, dtype=torch.uint8)
    return TrainingPictures(images, torch.randn(count, 7, generator=rng))


def property_cnn(seed: int = 3) -> PropertyCNN:
    torch.manual_seed(seed)
    return PropertyCNN(PropertyCNNConfig(RESOLUTION, width=0.25)).to(DEVICE).eval()


def dial_generator(architecture: Architecture = "stylegan") -> DialGenerator:
    torch.manual_seed(4)
    return (
        DialGenerator(transplant(base_generator(architecture=architecture)), property_cnn()).to(DEVICE).eval()
    )
