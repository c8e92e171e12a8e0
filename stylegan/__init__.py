"""The original StyleGAN, v1 and v2: networks, checkpoints, sampling and training."""

from stylegan.stylegan2_discriminator import StyleGAN2Discriminator
from stylegan.stylegan2_generator import StyleGAN2Generator
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator

__all__ = ["StyleGAN2Discriminator", "StyleGAN2Generator", "StyleGANDiscriminator", "StyleGANGenerator"]
