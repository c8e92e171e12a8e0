"""The layers of StyleGAN v1 written plainly: one operation after the other, as the paper draws them.

Upsampling repeats pixels, downsampling averages them, the gradients are automatic differentiation's.
"""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from stylegan.layers import (
    TRANSPOSED_FROM_RESOLUTION,
    ConstantLayer,
    EqualizedConv,
    MinibatchStd,
    SynthesisLayer,
    downsample,
    upsample,
)
from stylegan.styled_activation import LEAKY_SLOPE, NORM_EPSILON


def write_plainly(network: nn.Module) -> nn.Module:
    """Let the layers of a generator or discriminator compute plainly; returns the same network."""
    plain: dict[type, Callable[..., Tensor]] = {
        ConstantLayer: constant_layer,
        SynthesisLayer: synthesis_layer,
        EqualizedConv: convolution,
        MinibatchStd: minibatch_std,
    }
    for layer in network.modules():
        if type(layer) in plain:
            layer.forward = partial(plain[type(layer)], layer)
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()
    return network


def constant_layer(layer: ConstantLayer, w: Tensor, randomize_noise: bool) -> Tensor:
    x = layer.const.repeat(len(w), 1, 1, 1)
    return _noise_to_style(layer, x, w, randomize_noise)


def synthesis_layer(layer: SynthesisLayer, x: Tensor, w: Tensor, randomize_noise: bool) -> Tensor:
    weight = layer.weight * layer.scale
    if layer.up:
        # A transposed convolution, as the published larger layers are, turns the kernel by 180 degrees.
        turned = layer.apply_noise.noise.shape[-1] >= TRANSPOSED_FROM_RESOLUTION
        x = F.conv2d(upsample(x), weight.flip(2, 3) if turned else weight, padding=1)
        x = F.conv2d(x, layer.blur.kernel, padding=1, groups=x.shape[1])
    else:
        x = F.conv2d(x, weight, padding=1)
    return _noise_to_style(layer, x, w, randomize_noise)


def _noise_to_style(
    layer: ConstantLayer | SynthesisLayer, x: Tensor, w: Tensor, randomize_noise: bool
) -> Tensor:
    noise = layer.apply_noise(len(w), randomize_noise)
    x = x + noise * layer.apply_noise.weight[:, None, None] + layer.bias[:, None, None]
    x = F.leaky_relu(x, LEAKY_SLOPE)
    x = x - x.mean(dim=(2, 3), keepdim=True)
    x = x / (x.square().mean(dim=(2, 3), keepdim=True) + NORM_EPSILON).sqrt()
    style = F.linear(w, layer.style.weight * layer.style.scale, layer.style.bias)
    scale, shift = style[:, :, None, None].chunk(2, dim=1)
    return x * (scale + 1) + shift


def convolution(layer: EqualizedConv, x: Tensor) -> Tensor:
    x = x.contiguous()
    if layer.down:
        x = F.conv2d(x, layer.blur.kernel, padding=1, groups=x.shape[1])
    x = F.conv2d(x, layer.weight * layer.scale, padding=layer.padding)
    if layer.down:
        x = downsample(x)
    x = x + layer.bias[:, None, None]
    return F.leaky_relu(x, LEAKY_SLOPE) if layer.activate else x


def minibatch_std(layer: MinibatchStd, x: Tensor) -> Tensor:
    count, channels, height, width = x.shape
    size = max(s for s in range(1, layer.group_size + 1) if count % s == 0)
    groups = x.reshape(size, count // size, channels, height, width)
    deviation = (groups.var(dim=0, unbiased=False) + NORM_EPSILON).sqrt().mean(dim=(1, 2, 3))
    extra = deviation.repeat(size)[:, None, None, None].expand(-1, 1, height, width)
    return F.pad(x, (0, 0, 0, 0, 0, 1)) + F.pad(extra, (0, 0, 0, 0, channels, 0))
