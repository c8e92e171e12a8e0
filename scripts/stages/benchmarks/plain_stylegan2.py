"""The layers of StyleGAN2's synthesis written plainly, as the paper draws them.

Every image has weights of its own, modulated and demodulated, in a convolution with one group per image.
"""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from stylegan.styled_activation import LEAKY_SLOPE, NORM_EPSILON
from stylegan.stylegan2_layers import ACTIVATION_GAIN, UP_GAIN, SynthesisLayer, ToRGB, clamp


def write_plainly(network: nn.Module) -> nn.Module:
    """Let the layers of a generator compute plainly; returns the same network."""
    plain: dict[type, Callable[..., Tensor]] = {SynthesisLayer: synthesis_layer, ToRGB: to_rgb}
    for layer in network.modules():
        if type(layer) in plain:
            layer.forward = partial(plain[type(layer)], layer)
    return network


def synthesis_layer(layer: SynthesisLayer, x: Tensor, w: Tensor, randomize_noise: bool) -> Tensor:
    weight = layer.weight[None] * layer.affine(w)[:, None, :, None, None]
    weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + NORM_EPSILON).sqrt()
    count = len(x)
    x = x.reshape(1, -1, *x.shape[2:])
    if layer.up:
        x = F.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=count)
        kernel = (layer.resample_filter * UP_GAIN).expand(x.shape[1], 1, -1, -1)
        x = F.conv2d(x, kernel, padding=1, groups=x.shape[1])
    else:
        x = F.conv2d(x, weight.flatten(0, 1), padding=1, groups=count)
    x = x.reshape(count, -1, *x.shape[2:])
    x = x + layer.noise(count, randomize_noise)[:, None] + layer.bias[:, None, None]
    return clamp(F.leaky_relu(x, LEAKY_SLOPE) * ACTIVATION_GAIN, layer.conv_clamp)


def to_rgb(layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    weight = layer.weight[None] * (layer.affine(w) * layer.scale)[:, None, :, None, None]
    image = F.conv2d(x.reshape(1, -1, *x.shape[2:]), weight.flatten(0, 1), groups=len(x))
    return clamp(image.reshape(len(x), -1, *x.shape[2:]) + layer.bias[:, None, None], layer.conv_clamp)
