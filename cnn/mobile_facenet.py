"""MobileFaceNet (Chen et al., "MobileFaceNets", 2018) as TensorFlow trains it: 192 numbers per face.

Our own implementation of the paper's table 1 with the widths of the bundled weights. Batch norms are folded
into the convolutions; TensorFlow's "same" padding puts the odd row and column at the bottom and right.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT_PX = 112
DESCRIPTOR_SIZE = 192
STEM_CHANNELS = 64
HEAD_CHANNELS = 512
LAST_MAP_PX = 7
INPUT_SCALE = 127.5 / 128  # it was trained on (value - 127.5) / 128
# Factor of expansion, channels, repetitions, stride of the first one.
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class SameConv2d(nn.Conv2d):
    """A convolution of any stride that pads as TensorFlow does, for inputs of even height and width."""

    def forward(self, x: Tensor) -> Tensor:
        missing = self.kernel_size[0] - self.stride[0]
        before, after = missing // 2, missing - missing // 2
        return super().forward(functional.pad(x, (before, after, before, after)) if missing > 0 else x)


class _GradientOfInput(torch.autograd.Function):
    """A parametric ReLU whose slopes get no gradient, which takes a third less of the whole network's time.

    Torch's own gradient always goes through the slopes' as well, and is not vectorised on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(x, slopes)
        return functional.prelu(x, slopes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, slopes = ctx.saved_tensors
        where_positive = torch.ops.aten.threshold_backward(gradient, x, 0)
        return torch.lerp(where_positive, gradient, slopes.view(-1, 1, 1)), None


class FrozenPReLU(nn.PReLU):
    """Parametric ReLU with a slope for each channel; quick once the slopes are frozen."""

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.requires_grad:
            return super().forward(x)
        return _GradientOfInput.apply(x, self.weight.to(x.dtype))


def activated(convolution: nn.Conv2d) -> list[nn.Module]:
    """A convolution and its parametric ReLU."""
    return [convolution, FrozenPReLU(convolution.out_channels)]


class Bottleneck(nn.Module):
    """Widen, filter each channel, narrow; added to the input where the sizes agree."""

    def __init__(self, in_channels: int, channels: int, factor: int, stride: int) -> None:
        super().__init__()
        wide = in_channels * factor
        self.adds = stride == 1 and in_channels == channels
        self.layers = nn.Sequential(
            *activated(nn.Conv2d(in_channels, wide, 1)),
            *activated(SameConv2d(wide, wide, 3, stride=stride, groups=wide)),
            nn.Conv2d(wide, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


class MobileFaceNet(nn.Module):
    """Faces to descriptors, compared by their angle."""

    def __init__(self) -> None:
        super().__init__()
        channels = STEM_CHANNELS
        layers = [
            *activated(SameConv2d(3, channels, 3, stride=2)),
            *activated(SameConv2d(channels, channels, 3, groups=channels)),
            nn.Conv2d(channels, channels, 1),
        ]
        for factor, out_channels, count, first_stride in BOTTLENECKS:
            for number in range(count):
                stride = first_stride if number == 0 else 1
                layers.append(Bottleneck(channels, out_channels, factor, stride))
                channels = out_channels
        layers += [
            *activated(nn.Conv2d(channels, HEAD_CHANNELS, 1)),
            nn.Conv2d(HEAD_CHANNELS, HEAD_CHANNELS, LAST_MAP_PX, groups=HEAD_CHANNELS),
            nn.Conv2d(HEAD_CHANNELS, HEAD_CHANNELS, 1),
            nn.Conv2d(HEAD_CHANNELS, DESCRIPTOR_SIZE, 1),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, faces: Tensor) -> Tensor:
        """Descriptors [N, 192] of faces [N, 3, 112, 112], RGB in [-1, 1]; their length is not one."""
        return self.layers(faces * INPUT_SCALE).flatten(1)
