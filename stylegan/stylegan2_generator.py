"""StyleGAN2 generator: mapping network, truncation and skip synthesis network.

Compatible with the networks of NVIDIA's ADA program: same entry names, same arithmetic, strict loading.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from stylegan.interface import Generator
from stylegan.layers import DenseMapping
from stylegan.stylegan2_layers import DenseLayer, SynthesisLayer, ToRGB, enlarge, resample_filter
from stylegan.stylegan_generator import (
    START_RESOLUTION,
    active_layer_count,
    channel_count,
    check_resolution,
    move_average,
    styles_of,
    truncate,
)

MAPPING_LR_MUL = 0.01


class StyleGAN2Mapping(DenseMapping):
    """z [N,z_dim] -> w [N,w_dim]; keeps the average w."""

    LAYER = "fc{}"
    w_avg: Tensor

    def __init__(self, input_dim: int, output_dim: int, layer_count: int = 8) -> None:
        widths = [input_dim] + [output_dim] * layer_count
        super().__init__(
            DenseLayer(*sizes, lr_mul=MAPPING_LR_MUL, activate=True) for sizes in pairwise(widths)
        )
        self.register_buffer("w_avg", torch.zeros(output_dim))


@dataclass(frozen=True)
class StyleGAN2Truncation:
    """The truncation trick with the average w that the mapping network keeps."""

    mapping: StyleGAN2Mapping
    layer_count: int

    @property
    def w_avg(self) -> Tensor:
        return self.mapping.w_avg

    def __call__(self, w: Tensor, psi: float | None = None, layers: int | None = None) -> Tensor:
        """See `truncate`."""
        return truncate(w, self.w_avg, self.layer_count, psi, layers)

    def update_average(self, w: Tensor) -> None:
        move_average(self.w_avg, w)


class SynthesisBlock(nn.Module):
    """One resolution: two convolutions (one at the first), and the picture that they add.

    Args:
        in_channels: of the block before; 0 makes the first block, which starts from a learned constant.
    """

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        channels: int,
        resolution: int,
        w_space_dim: int,
        image_channels: int,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", resample_filter())
        if in_channels:
            self.conv0 = SynthesisLayer(in_channels, channels, resolution, w_space_dim, True, conv_clamp)
        else:
            self.const = nn.Parameter(torch.randn(channels, resolution, resolution))
        self.conv1 = SynthesisLayer(channels, channels, resolution, w_space_dim, False, conv_clamp)
        self.torgb = ToRGB(channels, image_channels, w_space_dim, conv_clamp)

    def forward(
        self, x: Tensor | None, image: Tensor | None, wp: Tensor, randomize_noise: bool
    ) -> tuple[Tensor, Tensor]:
        """Features and image of the block before (None at the first) -> those of this one.

        Args:
            wp: styles of the convolutions and of the image, [N,2 or 3,w_dim].
        """
        if x is None:
            x = self.const.expand(len(wp), -1, -1, -1).clone(memory_format=torch.channels_last)
        else:
            x = self.conv0(x, wp[:, 0], randomize_noise)
        x = self.conv1(x, wp[:, -2], randomize_noise)
        drawn = self.torgb(x, wp[:, -1])
        return x, drawn if image is None else enlarge(image, self.resample_filter) + drawn


class StyleGAN2Synthesis(nn.Module):
    """wp [N,layers,w_dim] -> image [N,channels,resolution,resolution], about [-1,1]."""

    def __init__(
        self,
        resolution: int,
        w_space_dim: int,
        fmaps_base: int,
        fmaps_max: int,
        image_channels: int,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        self.sizes = [START_RESOLUTION << block for block in range(int(math.log2(resolution)) - 1)]
        width = 0
        for size in self.sizes:
            previous, width = width, channel_count(size, fmaps_base, fmaps_max)
            block = SynthesisBlock(previous, width, size, w_space_dim, image_channels, conv_clamp)
            self.add_module(f"b{size}", block)

    def forward(self, wp: Tensor, randomize_noise: bool = False) -> Tensor:
        """Draw the picture.

        Args:
            randomize_noise: fresh noise from torch's global generator instead of the stored pictures.
        """
        x, image = self.get_submodule(f"b{self.sizes[0]}")(None, None, wp[:, :2], randomize_noise)
        for block, size in enumerate(self.sizes[1:], start=1):
            # A block's image has the style of the next block's first convolution.
            rows = wp[:, 2 * block - 1 : 2 * block + 2]
            x, image = self.get_submodule(f"b{size}")(x, image, rows, randomize_noise)
        return image


class StyleGAN2Generator(Generator):
    """StyleGAN2 generator with submodules `mapping` and `synthesis`, and `truncation`.

    Args:
        resolution: pixels per side, a power of two.
        z_space_dim, w_space_dim: sizes of the latent vectors z and w.
        mapping_layers: depth of the mapping network; its width is that of w.
        fmaps_base, fmaps_max: a layer at resolution r has min(fmaps_base // r, fmaps_max) feature maps.
        image_channels: channels of the picture (3 = RGB).
        conv_clamp: largest magnitude of any layer's result, None for any. Networks that were trained in
            float16 have one (256), and are drawn with it in every type.
        mapping: a mapping network to use instead of the usual one.
    """

    def __init__(
        self,
        resolution: int,
        z_space_dim: int = 512,
        w_space_dim: int = 512,
        mapping_layers: int = 8,
        fmaps_base: int = 32768,
        fmaps_max: int = 512,
        image_channels: int = 3,
        conv_clamp: float | None = None,
        mapping: StyleGAN2Mapping | None = None,
    ) -> None:
        super().__init__()
        check_resolution(resolution)
        self.config: dict[str, Any] = {
            "resolution": resolution,
            "z_space_dim": z_space_dim,
            "w_space_dim": w_space_dim,
            "mapping_layers": mapping_layers,
            "fmaps_base": fmaps_base,
            "fmaps_max": fmaps_max,
            "image_channels": image_channels,
            "conv_clamp": conv_clamp,
        }
        self.resolution = resolution
        self.z_space_dim = z_space_dim
        self.w_space_dim = w_space_dim
        self.layer_count = active_layer_count(resolution, 0)
        self.mapping = mapping or StyleGAN2Mapping(z_space_dim, w_space_dim, mapping_layers)
        self.truncation = StyleGAN2Truncation(self.mapping, self.layer_count)
        self.synthesis = StyleGAN2Synthesis(
            resolution, w_space_dim, fmaps_base, fmaps_max, image_channels, conv_clamp
        )

    def forward(
        self,
        z: Tensor,
        *,
        trunc_psi: float | None = None,
        trunc_layers: int | None = None,
        randomize_noise: bool = False,
        style_mixing_prob: float = 0.0,
        update_w_avg: bool = False,
    ) -> dict[str, Tensor]:
        """Generate images from z [N,z_dim].

        Args:
            trunc_psi, trunc_layers: see `truncate`.
            randomize_noise: see `StyleGAN2Synthesis`.
            style_mixing_prob: chance that an image gets a second, random z from a random layer on.
            update_w_avg: move the average w towards this batch.
        Returns:
            {"z" [N,z_dim], "w" [N,w_dim], "wp" [N,layers,w_dim], "image" [N,channels,H,W] about [-1,1]}.
        Raises:
            ValueError: z has another width, or style mixing or `update_w_avg` is asked for in eval mode.
        """
        w, wp = styles_of(self, z, trunc_psi, trunc_layers, style_mixing_prob, update_w_avg, self.layer_count)
        image = self.synthesis(wp, randomize_noise=randomize_noise)
        return {"z": z, "w": w, "wp": wp, "image": image}
