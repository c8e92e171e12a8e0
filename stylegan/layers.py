"""Building blocks of StyleGAN v1 (Karras, Laine and Aila, "A Style-Based Generator Architecture", 2019).

Entry names and arithmetic agree with the checkpoints that the GenForce library publishes.
Weights are stored at unit variance and scaled when used ("equalised learning rate").
The layers work in whatever floating-point type the incoming features have, so that mixed precision
(`torch.autocast`) and the channels-last memory format stay in effect from the first layer to the last.
"""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan.styled_activation import LEAKY_SLOPE, NORM_EPSILON, styled_activation

CONV_GAIN = math.sqrt(2.0)
TRANSPOSED_FROM_RESOLUTION = 128
OPENMMLAB_NORM_EPSILON = 1e-5

Variant = Literal["genforce", "openmmlab"]
"""Whose arithmetic the networks have; what differs is said where it does."""


def upsample(x: Tensor) -> Tensor:
    """Double height and width of [N,C,H,W] by repeating pixels."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def downsample(x: Tensor) -> Tensor:
    """Halve height and width of [N,C,H,W] by averaging 2x2 pixels."""
    return F.avg_pool2d(x, kernel_size=2)


def pixel_norm(x: Tensor) -> Tensor:
    """Scale every row of [N,C] to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + NORM_EPSILON)


def smear_matrix(scale: float, flip: bool = False) -> Tensor:
    """The linear map [9,16] from 3x3 kernels to the 4x4 kernels of (convolution, sum over 2x2 pixels).

    Args:
        scale: factor on the kernels.
        flip: turn the kernels by 180 degrees first.
    """
    line = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    matrix = torch.kron(line, line) * scale
    return matrix.flip(0) if flip else matrix


def smear_kernel(weight: Tensor, matrix: Tensor) -> Tensor:
    """Turn kernels [out,in,3,3] into [out,in,4,4] with a `smear_matrix`, in float32."""
    with torch.autocast(weight.device.type, enabled=False):
        return (weight.reshape(-1, 9) @ matrix).view(*weight.shape[:2], 4, 4)


class EqualizedDense(nn.Module):
    """Dense layer, [N,in] -> [N,out], with weights scaled at run time.

    Args:
        gain: standard deviation of the weights in use, times sqrt(in_features).
        lr_mul: factor on weights and biases in use; weights are stored divided by it.
        activate: apply leaky ReLU afterwards.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        gain: float = CONV_GAIN,
        lr_mul: float = 1.0,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.scale = gain * lr_mul / math.sqrt(in_features)
        self.lr_mul = lr_mul
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)
        return F.leaky_relu(x, LEAKY_SLOPE) if self.activate else x


class DenseMapping(nn.Module):
    """z [N,input_dim] -> w [N,output_dim] through dense layers.

    A subclass that feeds more than z has a larger `input_dim` and overrides `forward`, calling
    `super().forward` on the joined vector.
    """

    LAYER: ClassVar[str]
    """Name of layer {}."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        for number, layer in enumerate(layers):
            self.add_module(self.LAYER.format(number), layer)

    def forward(self, z: Tensor) -> Tensor:
        w = pixel_norm(z)
        for layer in self.children():
            w = layer(w)
        return w


class Blur(nn.Module):
    """Smoothing of every channel with [1,2,1] x [1,2,1] / 16, zero outside the picture."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        kernel = torch.outer(line, line) / 16.0
        self.register_buffer("kernel", kernel.expand(channels, 1, 3, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, padding=1, groups=x.shape[1])


class NoiseInjection(nn.Module):
    """Per-channel weighted noise: fixed (a stored picture) or fresh for every image."""

    noise: Tensor

    def __init__(self, resolution: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("noise", torch.randn(1, 1, resolution, resolution))
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, count: int, randomize: bool) -> Tensor:
        """Return the noise [count,1,H,W], without its weights."""
        if randomize:
            return torch.randn(count, *self.noise.shape[1:], device=self.noise.device)
        return self.noise.expand(count, -1, -1, -1)


class StyleModulation(nn.Module):
    """What the style vector w asks for: a scale and a shift per channel (AdaIN)."""

    def __init__(self, channels: int, w_space_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels * 2, w_space_dim))
        self.bias = nn.Parameter(torch.zeros(channels * 2))
        self.scale = 1.0 / math.sqrt(w_space_dim)

    def forward(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift, each [N,channels] float32, of w [N,w_space_dim]."""
        with torch.autocast(w.device.type, enabled=False):
            scale, shift = F.linear(w.float(), self.weight * self.scale, self.bias).chunk(2, dim=1)
        return scale + 1.0, shift


def norm_epsilon(variant: Variant) -> float:
    return OPENMMLAB_NORM_EPSILON if variant == "openmmlab" else NORM_EPSILON


class ConstantLayer(nn.Module):
    """First layer of the synthesis network: a learned 4x4 picture instead of a convolution."""

    def __init__(
        self, channels: int, w_space_dim: int, resolution: int = 4, variant: Variant = "genforce"
    ) -> None:
        super().__init__()
        self.epsilon = norm_epsilon(variant)
        self.const = nn.Parameter(torch.ones(1, channels, resolution, resolution))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.apply_noise = NoiseInjection(resolution, channels)
        self.style = StyleModulation(channels, w_space_dim)

    def forward(self, w: Tensor, randomize_noise: bool) -> Tensor:
        x = self.const.expand(w.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        noise = self.apply_noise(len(w), randomize_noise)
        gain, shift = self.style(w)
        return styled_activation(x, noise, self.apply_noise.weight, self.bias, gain, shift, self.epsilon)


class SynthesisLayer(nn.Module):
    """Convolution, noise, bias, leaky ReLU and style; optionally doubles the resolution first.

    Args:
        resolution: pixels per side after the layer.
        up: the incoming features have half that resolution.
        variant: in "openmmlab", bias and leaky ReLU follow the up-convolution, and another leaky ReLU the
            blur and the noise.
    """

    smear: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        resolution: int,
        w_space_dim: int,
        up: bool,
        variant: Variant = "genforce",
    ) -> None:
        super().__init__()
        self.epsilon = norm_epsilon(variant)
        self.activate_before_blur = up and variant == "openmmlab"
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.apply_noise = NoiseInjection(resolution, out_channels)
        self.style = StyleModulation(out_channels, w_space_dim)
        self.scale = CONV_GAIN / math.sqrt(in_channels * 9)
        # The published weights of the larger layers were trained as a transposed convolution, which turns
        # the kernel by 180 degrees; those of the smaller layers as an ordinary convolution.
        flip = resolution < TRANSPOSED_FROM_RESOLUTION
        self.up = up
        if up:
            self.blur = Blur(out_channels)
            self.register_buffer("smear", smear_matrix(self.scale, flip), persistent=False)

    def forward(self, x: Tensor, w: Tensor, randomize_noise: bool) -> Tensor:
        bias: Tensor = self.bias
        if self.up:
            # Equal to a 3x3 convolution of the picture with repeated pixels, at less than half the work.
            kernel = smear_kernel(self.weight, self.smear).transpose(0, 1)
            x = F.conv_transpose2d(x, kernel, stride=2, padding=1)
            if self.activate_before_blur:
                x = F.leaky_relu(x + self.bias.to(x.dtype)[:, None, None], LEAKY_SLOPE)
                bias = torch.zeros_like(bias)
            x = self.blur(x)
        else:
            x = F.conv2d(x, self.weight * self.scale, padding=1)
        noise = self.apply_noise(len(w), randomize_noise)
        gain, shift = self.style(w)
        return styled_activation(x, noise, self.apply_noise.weight, bias, gain, shift, self.epsilon)


class EqualizedConv(nn.Module):
    """Convolution with bias and optional leaky ReLU, [N,in,H,W] -> [N,out,H,W] or half the size.

    Args:
        down: blur first, and halve the resolution.
    """

    smear: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        gain: float = CONV_GAIN,
        activate: bool = True,
        down: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = gain / math.sqrt(in_channels * kernel_size**2)
        self.padding = kernel_size // 2
        self.activate = activate
        self.down = down
        if down:
            self.blur = Blur(in_channels)
            self.register_buffer("smear", smear_matrix(self.scale / 4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.down:
            x = F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)
        else:
            # Equal to a 3x3 convolution followed by a 2x2 average, at less than half the work.
            x = F.conv2d(self.blur(x), smear_kernel(self.weight, self.smear), self.bias, stride=2, padding=1)
        return F.leaky_relu(x, LEAKY_SLOPE) if self.activate else x


def minibatch_std_group(count: int, group_size: int) -> int:
    """Images in a group of `MinibatchStd`: the largest divisor of their number up to a size."""
    return next(size for size in range(min(group_size, count), 0, -1) if count % size == 0)


class MinibatchStd(nn.Module):
    """Append one channel with the mean standard deviation inside groups of images.

    Image i of N is in group i modulo (N / group size). The group size is that of `minibatch_std_group`, so no
    batch size is refused.
    """

    def __init__(self, group_size: int = 4) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        size = minibatch_std_group(count, self.group_size)
        groups = x.float().reshape(size, count // size, channels, height, width)
        # Spelled out: the library's variance over the first dimension takes ten times as long on a CPU.
        variance = (groups - groups.mean(dim=0)).square().mean(dim=0)
        deviation = (variance + NORM_EPSILON).sqrt().mean(dim=(1, 2, 3))
        extra = deviation.repeat(size).view(count, 1, 1, 1).expand(-1, 1, height, width)
        return torch.cat([x, extra.to(x.dtype)], dim=1)


class GrowingNetwork(nn.Module):
    """Holds its level of detail twice: as the buffer `lod` that weights files have, and as a number.

    Attributes:
        stored_lod: the number; reading the buffer in every forward pass would wait for the GPU.
    """

    lod: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("lod", torch.zeros(()))
        self.stored_lod = 0.0
        cast(Any, self).register_load_state_dict_post_hook(_read_lod)  # it has no types

    def set_lod(self, lod: float) -> None:
        """Set the level of detail; 0 = full detail, 1 = half the resolution, and so on."""
        self.stored_lod = float(torch.tensor(lod))  # rounded as the buffer is
        self.lod.fill_(lod)


def _read_lod(network: nn.Module, problems: Any) -> None:
    """After weights were loaded into a network."""
    if isinstance(network, GrowingNetwork) and not network.lod.is_meta:
        network.stored_lod = float(network.lod)
