"""A StyleGAN2 that draws faces without having learned anything: its last noise picture is a portrait."""

import torch
from torch import nn

from data import portraits
from stylegan.stylegan2_discriminator import StyleGAN2Discriminator
from stylegan.stylegan2_generator import StyleGAN2Generator

RESOLUTION, Z_DIM = 64, 16
SIZES = {"resolution": RESOLUTION, "fmaps_base": 512, "fmaps_max": 8}
PORTRAIT = 0  # seed; in some lights the networks take the person for a man, in others for a woman
COLOUR = 0.3  # how much the random weights add to the portrait


@torch.no_grad()
def networks() -> dict[str, nn.Module]:
    """Generator and discriminator by their names in NVIDIA's files; people differ in light and colour."""
    torch.manual_seed(0)
    generator = StyleGAN2Generator(
        **SIZES, z_space_dim=Z_DIM, w_space_dim=Z_DIM, mapping_layers=2
    ).requires_grad_(False)
    synthesis = generator.synthesis
    for size in synthesis.sizes:
        synthesis.get_submodule(f"b{size}").torgb.weight.mul_(COLOUR)
    last = synthesis.get_submodule(f"b{RESOLUTION}")
    drawn = torch.from_numpy(portraits.render_many([PORTRAIT], RESOLUTION).images[0])
    last.conv1.noise_const.copy_(drawn.float().mean(dim=2) / 255)
    last.conv1.noise_strength.fill_(10.0)
    # Every feature shows the portrait; their mean, of any style, is the light in the picture.
    last.torgb.affine.weight.zero_()
    last.torgb.weight.fill_(2 / (10 * 2**0.5 * len(last.conv1.bias) ** 0.5))
    last.torgb.bias.fill_(-1.0)
    return {"G_ema": generator.eval(), "D": StyleGAN2Discriminator(**SIZES).eval()}
