"""Building blocks of StyleGAN v1 (Karras, Laine and Aila, "A Style-Based Generator Architecture", 2019).

Entry names and arithmetic agree with the checkpoints that the GenForce library publishes.
Weights are stored at unit variance and scaled when used ("equalised learning rate").
The layers work in whatever floating-point type the incoming features have, so that mixed precision
(`torch.autocast`) and the channels-last memory format stay in effect from the first layer to the last.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.2
CONV_GAIN = math.sqrt(2.0)
TRANSPOSED_FROM_RESOLUTION = 128
NORM_EPSILON = 1e-8


def upsample(x: Tensor) -> Tensor:
    """Double height and width of [N,C,H,W] by repeating pixels."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def downsample(x: Tensor) -> Tensor:
    """Halve height and width of [N,C,H,W] by averaging 2x2 pixels."""
    return F.avg_pool2d(x, kernel_size=2)


def pixel_norm(x: Tensor) -> Tensor:
    """Scale every row of [N,C] to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + NORM_EPSILON)


def smear_kernel(weight: Tensor) -> Tensor:
    """Turn a 3x3 kernel into the 4x4 kernel of (convolution, then sum over 2x2 pixels)."""
    padded = F.pad(weight, (1, 1, 1, 1))
    return padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]


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


class Blur(nn.Module):
    """Smoothing of every channel with [1,2,1] x [1,2,1] / 16, zero outside the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        kernel = torch.outer(line, line) / 16.0
        self.register_buffer("kernel", kernel.expand(channels, 1, 3, 3).clone())

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(x, self.kernel, bias, padding=1, groups=x.shape[1])


class NoiseInjection(nn.Module):
    """Per-channel weighted noise: fixed (a stored picture) or fresh for every image."""

    def __init__(self, resolution: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("noise", torch.randn(1, 1, resolution, resolution))
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, randomize: bool) -> Tensor:
        """Return x [N,C,H,W] plus noise, in the type of x."""
        noise = self.noise
        if randomize:
            noise = torch.randn(x.shape[0], 1, *x.shape[2:], device=x.device, dtype=torch.float32)
        return torch.addcmul(x, noise.to(x.dtype), self.weight.view(1, -1, 1, 1).to(x.dtype))


class _AdaptiveInstanceNorm(torch.autograd.Function):
    """(x - mean) / std * gain + shift per image and channel, with a gradient in closed form.

    Half the passes over memory that automatic differentiation makes, which is what this layer costs.
    Cannot be differentiated twice.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        # Sums are left in the type of x (they accumulate in float32 anyhow): asking for float32, or letting
        # autocast ask for it, would first write a float32 copy of the features.
        with torch.autocast(x.device.type, enabled=False):
            pixels = x.shape[2] * x.shape[3]
            centred = x - x.sum(dim=(2, 3), keepdim=True) / pixels
            variance = centred.square().sum(dim=(2, 3), keepdim=True).float() / pixels
        inverse_std = torch.rsqrt(variance + NORM_EPSILON)
        ctx.save_for_backward(centred, gain, inverse_std)
        return torch.addcmul(shift.to(x.dtype), centred, (gain * inverse_std).to(x.dtype))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        centred, gain, inverse_std = ctx.saved_tensors
        pixels = centred.shape[2] * centred.shape[3]
        grad_shift = grad.sum(dim=(2, 3), keepdim=True).float()
        product = (grad * centred).sum(dim=(2, 3), keepdim=True).float()
        factor = gain * inverse_std
        grad_x = torch.addcmul((-factor * grad_shift / pixels).to(grad.dtype), grad, factor.to(grad.dtype))
        pull = (-factor * inverse_std.square() * product / pixels).to(grad.dtype)
        return grad_x.addcmul_(centred, pull), product * inverse_std, grad_shift


class StyleModulation(nn.Module):
    """Instance norm followed by the scale and shift that the style vector w asks for (AdaIN)."""

    def __init__(self, channels: int, w_space_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels * 2, w_space_dim))
        self.bias = nn.Parameter(torch.zeros(channels * 2))
        self.scale = 1.0 / math.sqrt(w_space_dim)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Normalise x [N,C,H,W] over its pixels, then modulate it by w [N,w_space_dim]."""
        with torch.autocast(w.device.type, enabled=False):
            style = F.linear(w.float(), self.weight * self.scale, self.bias)
        gain, shift = style.view(x.shape[0], 2, -1, 1, 1).unbind(dim=1)
        return _AdaptiveInstanceNorm.apply(x, gain + 1.0, shift)


class ConstantLayer(nn.Module):
    """First layer of the synthesis network: a learned 4x4 picture instead of a convolution."""

    def __init__(self, channels: int, w_space_dim: int, resolution: int = 4) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.ones(1, channels, resolution, resolution))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.apply_noise = NoiseInjection(resolution, channels)
        self.style = StyleModulation(channels, w_space_dim)

    def forward(self, w: Tensor, randomize_noise: bool) -> Tensor:
        x = self.const.expand(w.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = F.leaky_relu(
            self.apply_noise(x + self.bias.view(1, -1, 1, 1).to(x.dtype), randomize_noise), LEAKY_SLOPE
        )
        return self.style(x, w)


class SynthesisLayer(nn.Module):
    """Convolution, noise, bias, leaky ReLU and style; optionally doubles the resolution first.

    Args:
        resolution: pixels per side after the layer.
        up: the incoming features have half that resolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, resolution: int, w_space_dim: int, up: bool
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.apply_noise = NoiseInjection(resolution, out_channels)
        self.style = StyleModulation(out_channels, w_space_dim)
        self.scale = CONV_GAIN / math.sqrt(in_channels * 9)
        # The published weights of the larger layers were trained as a transposed convolution, which turns
        # the kernel by 180 degrees; those of the smaller layers as an ordinary convolution.
        self.flip = resolution < TRANSPOSED_FROM_RESOLUTION
        self.up = up
        if up:
            self.blur = Blur(out_channels)

    def forward(self, x: Tensor, w: Tensor, randomize_noise: bool) -> Tensor:
        weight = self.weight * self.scale
        if self.up:
            # Equal to a 3x3 convolution of the picture with repeated pixels, at less than half the work.
            kernel = smear_kernel(weight.flip(2, 3) if self.flip else weight).transpose(0, 1)
            x = self.blur(F.conv_transpose2d(x, kernel, stride=2, padding=1), self.bias)
        else:
            x = F.conv2d(x, weight, self.bias, padding=1)
        x = F.leaky_relu(self.apply_noise(x, randomize_noise), LEAKY_SLOPE)
        return self.style(x, w)


class EqualizedConv(nn.Module):
    """Convolution with bias and optional leaky ReLU, [N,in,H,W] -> [N,out,H,W] or half the size.

    Args:
        down: blur first, and halve the resolution.
    """

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

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if not self.down:
            x = F.conv2d(x, weight, self.bias, padding=self.padding)
        else:
            # Equal to a 3x3 convolution followed by a 2x2 average, at less than half the work.
            x = F.conv2d(self.blur(x), smear_kernel(weight) * 0.25, self.bias, stride=2, padding=1)
        return F.leaky_relu(x, LEAKY_SLOPE) if self.activate else x


class MinibatchStd(nn.Module):
    """Append one channel with the mean standard deviation inside groups of images.

    Image i of N is in group i modulo (N / group size). The group size is the largest divisor of N that
    does not exceed `group_size`, so no batch size is refused.
    """

    def __init__(self, group_size: int = 4) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        size = next(s for s in range(min(self.group_size, count), 0, -1) if count % s == 0)
        groups = x.float().reshape(size, count // size, channels, height, width)
        deviation = (groups.var(dim=0, unbiased=False) + NORM_EPSILON).sqrt().mean(dim=(1, 2, 3))
        extra = deviation.repeat(size).view(count, 1, 1, 1).expand(-1, 1, height, width)
        return torch.cat([x, extra.to(x.dtype)], dim=1)
