"""Building blocks of StyleGAN2 (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN").

Entry names and arithmetic agree with the networks of NVIDIA's ADA program; no compiled operations.

A style scales the incoming features, not the weights, and the demodulation scales the outgoing ones: the
same numbers, but one convolution for the whole batch instead of one per image. All layers can be
differentiated twice, as R1 and the path length penalty need.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan.styled_activation import LEAKY_SLOPE, NORM_EPSILON
from stylegan.winograd import convolve

ACTIVATION_GAIN = math.sqrt(2.0)
RESIDUAL_GAIN = math.sqrt(0.5)
UP_GAIN = 4.0  # doubling a picture puts three zeros beside every pixel
FILTER_LINE = (1.0, 3.0, 3.0, 1.0)


def resample_filter() -> Tensor:
    """The smoothing filter [4,4] of every change of resolution; its sum is 1."""
    line = torch.tensor(FILTER_LINE)
    kernel = torch.outer(line, line)
    return kernel / kernel.sum()


def smooth(x: Tensor, kernel: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """Filter every channel of [N,C,H,W] with a symmetric kernel [4,4], zero outside the picture."""
    channels = x.shape[1]
    kernel = (kernel * gain).to(x.dtype).expand(channels, 1, -1, -1)
    return F.conv2d(x, kernel, padding=padding, groups=channels)


def enlarge(image: Tensor, kernel: Tensor) -> Tensor:
    """Double height and width of [N,C,H,W], smoothly."""
    channels = image.shape[1]
    kernel = (kernel * UP_GAIN).to(image.dtype).expand(channels, 1, -1, -1)
    return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=channels)


def clamp(x: Tensor, limit: float | None) -> Tensor:
    return x if limit is None else x.clamp(-limit, limit)


class DenseLayer(nn.Module):
    """Dense layer, [N,in] -> [N,out] float32, with weights scaled at run time.

    Args:
        lr_mul: factor on weights and biases in use; weights are stored divided by it.
        bias_start: value of the biases before training.
        activate: apply leaky ReLU, times sqrt(2), afterwards.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        lr_mul: float = 1.0,
        bias_start: float = 0.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_features,), bias_start))
        self.scale = lr_mul / math.sqrt(in_features)
        self.lr_mul = lr_mul
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        gain = ACTIVATION_GAIN if self.activate else 1.0
        # Small and sensitive: stays in float32 under mixed precision.
        with torch.autocast(x.device.type, enabled=False):
            x = F.linear(
                x.to(self.weight.dtype), self.weight * (self.scale * gain), self.bias * (self.lr_mul * gain)
            )
            return F.leaky_relu(x, LEAKY_SLOPE) if self.activate else x


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias and leaky ReLU; optionally doubles the resolution.

    Args:
        resolution: pixels per side after the layer.
        up: the incoming features have half that resolution.
        conv_clamp: largest magnitude of the result, None for any.
    """

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        resolution: int,
        w_space_dim: int,
        up: bool,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        self.affine = DenseLayer(w_space_dim, in_channels, bias_start=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("resample_filter", resample_filter())
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.up = up
        self.conv_clamp = conv_clamp

    def forward(self, x: Tensor, w: Tensor, randomize_noise: bool) -> Tensor:
        """Features [N,in,H,W] -> [N,out,resolution,resolution]; without gradients, x is overwritten."""
        style = self.affine(w)
        power = self.weight.square().sum(dim=(2, 3))
        # Leaky ReLU commutes with a positive factor, so its sqrt(2) is already in what it is applied to.
        demodulation = ACTIVATION_GAIN * torch.rsqrt(F.linear(style.square(), power) + NORM_EPSILON)
        in_place = not torch.is_grad_enabled()  # new memory costs as much as the arithmetic
        style = style.to(x.dtype)[:, :, None, None]
        x = x.mul_(style) if in_place else x * style
        if self.up:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = smooth(x, self.resample_filter, padding=1, gain=UP_GAIN)
        else:
            x = convolve(x, self.weight)
        # Channels last, as the features: what is added decides the memory format of the sum.
        noise = self.noise(len(w), randomize_noise) * ACTIVATION_GAIN
        offset = (noise[..., None] + self.bias * ACTIVATION_GAIN).permute(0, 3, 1, 2)
        demodulation = demodulation.to(x.dtype)[:, :, None, None]
        x = torch.addcmul(offset.to(x.dtype), x, demodulation, out=x if in_place else None)
        return clamp(F.leaky_relu_(x, LEAKY_SLOPE), self.conv_clamp)

    def noise(self, count: int, randomize: bool) -> Tensor:
        """Noise in use, [count,H,W]; [1,H,W] where it is the same for all."""
        if randomize:
            drawn = torch.randn(count, *self.noise_const.shape, device=self.noise_const.device)
        else:
            drawn = self.noise_const[None]
        return drawn * self.noise_strength


class ToRGB(nn.Module):
    """Features [N,in,H,W] -> image [N,channels,H,W] float32: a modulated 1x1 convolution and a bias."""

    def __init__(
        self, in_channels: int, image_channels: int, w_space_dim: int, conv_clamp: float | None
    ) -> None:
        super().__init__()
        self.affine = DenseLayer(w_space_dim, in_channels, bias_start=1.0)
        self.weight = nn.Parameter(torch.randn(image_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.scale = 1.0 / math.sqrt(in_channels)
        self.conv_clamp = conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) * self.scale
        # So few results that modulating the weights, one product per image, is the cheaper side.
        weight = (self.weight[None, :, :, 0, 0] * style[:, None, :]).to(x.dtype)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        image = torch.bmm(pixels, weight.transpose(1, 2)).float().mT.unflatten(2, x.shape[2:])
        return clamp(image + self.bias[:, None, None], self.conv_clamp)


class ConvLayer(nn.Module):
    """Convolution of the discriminator, [N,in,H,W] -> [N,out,H,W] or half the size.

    Args:
        activate: add a bias and apply leaky ReLU, times sqrt(2); otherwise neither.
        down: smooth first, and halve the resolution.
        gain: factor on the result.
        conv_clamp: largest magnitude of the result divided by `gain`, None for any.
    """

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        activate: bool = True,
        down: bool = False,
        gain: float = 1.0,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activate else None
        self.register_buffer("resample_filter", resample_filter())
        self.gain = gain * (ACTIVATION_GAIN if activate else 1.0)
        self.scale = self.gain / math.sqrt(in_channels * kernel_size**2)
        self.limit = None if conv_clamp is None else conv_clamp * gain
        self.kernel_size = kernel_size
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        bias = None if self.bias is None else self.bias * self.gain
        if not self.down:
            x = F.conv2d(x, weight, bias, padding=self.kernel_size // 2)
        elif self.kernel_size == 1:
            # Smoothing with a stride would do, but its gradient takes five times as long on a CPU.
            x = F.conv2d(smooth(x, self.resample_filter, padding=1)[:, :, ::2, ::2], weight, bias)
        else:
            x = F.conv2d(smooth(x, self.resample_filter, padding=2), weight, bias, stride=2)
        return x if bias is None else clamp(F.leaky_relu(x, LEAKY_SLOPE), self.limit)
