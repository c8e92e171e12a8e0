"""The original StyleGAN v1: networks, checkpoints, sampling and training."""

from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator

__all__ = ["StyleGANDiscriminator", "StyleGANGenerator"]
