"""StyleGAN2 discriminator (residual), compatible with the networks of NVIDIA's ADA program."""

import math
from typing import Any

from torch import Tensor, nn

from stylegan.interface import Discriminator
from stylegan.layers import MinibatchStd
from stylegan.stylegan2_layers import RESIDUAL_GAIN, ConvLayer, DenseLayer, resample_filter
from stylegan.stylegan_generator import START_RESOLUTION, channel_count, check_resolution


class DiscriminatorBlock(nn.Module):
    """Features [N,in,H,W] (or images, in the first block) -> [N,out,H/2,W/2].

    Args:
        image_channels: channels of the images that the block takes; 0 where it takes features.
    """

    def __init__(
        self, channels: int, out_channels: int, image_channels: int, conv_clamp: float | None
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", resample_filter())
        self.fromrgb = (
            ConvLayer(image_channels, channels, kernel_size=1, conv_clamp=conv_clamp)
            if image_channels
            else None
        )
        self.conv0 = ConvLayer(channels, channels, conv_clamp=conv_clamp)
        self.conv1 = ConvLayer(channels, out_channels, down=True, gain=RESIDUAL_GAIN, conv_clamp=conv_clamp)
        self.skip = ConvLayer(
            channels, out_channels, kernel_size=1, activate=False, down=True, gain=RESIDUAL_GAIN
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return self.skip(x) + self.conv1(self.conv0(x))


class DiscriminatorEnd(nn.Module):
    """Features [N,in+1,4,4] -> [N,in], and the score of those."""

    def __init__(self, channels: int, conv_clamp: float | None) -> None:
        super().__init__()
        self.conv = ConvLayer(channels + 1, channels, conv_clamp=conv_clamp)
        self.fc = DenseLayer(channels * START_RESOLUTION**2, channels, activate=True)
        self.out = StyleGAN2Discriminator.score_layer(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(1))


class StyleGAN2Discriminator(Discriminator):
    """Scores pictures; the larger the score, the more real.

    Args:
        resolution: pixels per side, a power of two.
        fmaps_base, fmaps_max: a layer at resolution r has min(fmaps_base // r, fmaps_max) feature maps.
        minibatch_std_group_size: images per group of the minibatch standard deviation.
        image_channels: channels of the picture (3 = RGB).
        conv_clamp: largest magnitude of the convolutions' results, None for any.
    """

    def __init__(
        self,
        resolution: int,
        fmaps_base: int = 32768,
        fmaps_max: int = 512,
        minibatch_std_group_size: int = 4,
        image_channels: int = 3,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        check_resolution(resolution)
        self.config: dict[str, Any] = {
            "resolution": resolution,
            "fmaps_base": fmaps_base,
            "fmaps_max": fmaps_max,
            "minibatch_std_group_size": minibatch_std_group_size,
            "image_channels": image_channels,
            "conv_clamp": conv_clamp,
        }
        self.resolution = resolution
        self.image_channels = image_channels
        self.sizes = [resolution >> block for block in range(int(math.log2(resolution)) - 2)]
        for size in self.sizes:
            width, narrow = (channel_count(s, fmaps_base, fmaps_max) for s in (size, size // 2))
            channels = image_channels if size == resolution else 0
            self.add_module(f"b{size}", DiscriminatorBlock(width, narrow, channels, conv_clamp))
        self.minibatch_std = MinibatchStd(minibatch_std_group_size)
        self.b4 = DiscriminatorEnd(narrow, conv_clamp)
        self.dense_layers = ("b4.fc", "b4.out")

    @staticmethod
    def score_layer(width: int) -> DenseLayer:
        return DenseLayer(width, 1)

    def features(self, images: Tensor) -> Tensor:
        """Return [N,width], what the last dense layer sees. Arguments as in `forward`."""
        size = self.resolution
        if images.ndim != 4 or images.shape[2:] != (size, size):
            raise ValueError(f"images must be [N,C,{size},{size}], but they are {list(images.shape)}")
        x = images
        for size in self.sizes:
            x = self.get_submodule(f"b{size}")(x)
        return self.b4(self.minibatch_std(x))

    def forward(self, images: Tensor) -> Tensor:
        """Score images [N,C,H,W] in [-1,1]; returns [N,1].

        Raises:
            ValueError: the images have another size.
        """
        return self.b4.out(self.features(images))
