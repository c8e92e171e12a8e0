"""StyleGAN v1 discriminator, compatible with GenForce checkpoints."""

import math
from typing import Any

import torch
from torch import Tensor

from stylegan.interface import Discriminator
from stylegan.layers import EqualizedConv, EqualizedDense, GrowingNetwork, MinibatchStd, Variant, downsample
from stylegan.stylegan_generator import START_RESOLUTION, channel_count, check_resolution, variant_entry


class StyleGANDiscriminator(GrowingNetwork, Discriminator):
    """Scores pictures; the larger the score, the more real.

    Args:
        resolution: pixels per side, a power of two.
        fmaps_base, fmaps_max: a layer at resolution r has min(fmaps_base / r, fmaps_max) feature maps.
        minibatch_std_group_size: images per group of the minibatch standard deviation.
        image_channels: channels of the picture (3 = RGB).
        variant: whose arithmetic. In "openmmlab", images come in through 3x3 convolutions, the width changes
            in the first layer of a block, and the layer before the last is linear.
    """

    def __init__(
        self,
        resolution: int,
        fmaps_base: int = 16384,
        fmaps_max: int = 512,
        minibatch_std_group_size: int = 4,
        image_channels: int = 3,
        variant: Variant = "genforce",
    ) -> None:
        super().__init__()
        check_resolution(resolution)
        self.config: dict[str, Any] = {
            "resolution": resolution,
            "fmaps_base": fmaps_base,
            "fmaps_max": fmaps_max,
            "minibatch_std_group_size": minibatch_std_group_size,
            "image_channels": image_channels,
            **variant_entry(variant),
        }
        usual = variant == "genforce"
        self.resolution = resolution
        self.block_count = int(math.log2(resolution)) - 1
        self.minibatch_std = MinibatchStd(minibatch_std_group_size)
        for block in range(self.block_count):
            size = resolution >> block
            width = channel_count(size, fmaps_base, fmaps_max)
            self.add_module(
                f"input{block}", EqualizedConv(image_channels, width, kernel_size=1 if usual else 3)
            )
            if size > START_RESOLUTION:
                narrow = channel_count(size // 2, fmaps_base, fmaps_max)
                between = width if usual else narrow
                self.add_module(f"layer{2 * block}", EqualizedConv(width, between))
                self.add_module(f"layer{2 * block + 1}", EqualizedConv(between, narrow, down=True))
        last = 2 * (self.block_count - 1)
        self.add_module(f"layer{last}", EqualizedConv(width + 1, width))
        self.add_module(
            f"layer{last + 1}", EqualizedDense(width * START_RESOLUTION**2, width, activate=usual)
        )
        self.dense_layers = (f"layer{last + 1}", f"layer{last + 2}")
        self.add_module(self.dense_layers[-1], self.score_layer(width))

    @staticmethod
    def score_layer(width: int) -> EqualizedDense:
        return EqualizedDense(width, 1, gain=1.0, activate=False)

    def features(self, images: Tensor, lod: float | None = None) -> Tensor:
        """Return [N,width], what the last dense layer sees. Arguments as in `forward`."""
        lod = self.stored_lod if lod is None else float(lod)
        if images.ndim != 4 or images.shape[2:] != (self.resolution, self.resolution):
            size = self.resolution
            raise ValueError(f"images must be [N,C,{size},{size}], but they are {list(images.shape)}")
        if not 0 <= lod <= self.block_count - 1:
            raise ValueError(f"lod must be from 0 to {self.block_count - 1}, but it is {lod}")
        first = math.floor(lod)
        for _ in range(first):
            images = downsample(images)
        x = self._block(first, self.get_submodule(f"input{first}")(images))
        if lod > first:
            x = torch.lerp(x, self.get_submodule(f"input{first + 1}")(downsample(images)), lod - first)
        for block in range(first + 1, self.block_count):
            x = self._block(block, x)
        return self.get_submodule(self.dense_layers[0])(x.flatten(1))

    def _block(self, block: int, x: Tensor) -> Tensor:
        if block == self.block_count - 1:
            return self.get_submodule(f"layer{2 * block}")(self.minibatch_std(x))
        return self.get_submodule(f"layer{2 * block + 1}")(self.get_submodule(f"layer{2 * block}")(x))

    def forward(self, images: Tensor, *, lod: float | None = None) -> Tensor:
        """Score images [N,C,H,W] in [-1,1]; returns [N,1].

        Args:
            lod: level of detail as in the generator; None takes the stored `lod`.
        Raises:
            ValueError: the images have another size, or the lod is out of range.
        """
        return self.get_submodule(self.dense_layers[-1])(self.features(images, lod))
