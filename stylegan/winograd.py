"""3x3 convolutions in fewer products, for drawing pictures on a CPU.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016): F(4x4, 3x3) takes 36 products for
16 pixels, where a convolution as it is defined takes 144. Going there and back pays only where channels are
many. float32 rounds about 1.5 times as much as in a plain convolution.
"""

from functools import cache
from math import sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TILE, KERNEL = 4, 3
WINDOW = TILE + KERNEL - 1
# Where polynomials are evaluated, besides infinity; the usual 0, 1, -1, 2, -2 round four times as much.
POINTS = (0.0, sqrt(0.5), -sqrt(0.5), sqrt(2.0), -sqrt(2.0))
FEWEST_CHANNELS, FEWEST_PIXELS = 64, 32
FEWEST_TILES = 64  # of one product of matrices; with more, what is between the products leaves the cache


@cache
def transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Matrices for a window of pixels [36,36], for a kernel [36,9], and from products to a tile [16,36].

    Toom's and Cook's multiplication of polynomials, transposed, along both sides of a picture.
    """
    window, kernel, tile = np.zeros((WINDOW, WINDOW)), np.zeros((WINDOW, KERNEL)), np.zeros((TILE, WINDOW))
    for row, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        window[row, : len(POINTS)] = np.poly(others)[::-1]
        kernel[row] = point ** np.arange(KERNEL) / np.prod(point - np.array(others))
        tile[:, row] = point ** np.arange(TILE)
    window[-1] = np.poly(POINTS)[::-1]
    kernel[-1, -1] = tile[-1, -1] = 1.0
    from_window, from_kernel, to_tile = (
        torch.from_numpy(np.kron(side, side)).float() for side in (window, kernel, tile)
    )
    return from_window, from_kernel, to_tile


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Features [N,in,H,W] -> [N,out,H,W]: a convolution with kernels [out,in,3,3], zero outside the picture.

    Without gradients, in float32 on a CPU, and where that is quicker, by `winograd`.
    """
    is_quicker = min(weight.shape[:2]) >= FEWEST_CHANNELS and min(x.shape[2:]) >= FEWEST_PIXELS
    if (
        is_quicker
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    ):
        return winograd(x, weight)
    return F.conv2d(x, weight, padding=1)


def winograd(x: Tensor, weight: Tensor) -> Tensor:
    """`convolve` by F(4x4, 3x3), without gradient, channels last; height and width are multiples of 4."""
    from_window, from_kernel, to_tile = transforms()
    (count, channels, height, width), out_channels = x.shape, len(weight)
    across, down = width // TILE, height // TILE
    kernels = (from_kernel @ weight.permute(2, 3, 1, 0).reshape(KERNEL**2, -1)).view(WINDOW**2, channels, -1)
    result = x.new_empty(count, down, TILE, across, TILE, out_channels)
    band = min(down, -(-FEWEST_TILES // across))  # rows of tiles
    # One memory for all bands of all images.
    padded = x.new_zeros(height + 2, width + 2, channels)
    windows = x.new_empty(WINDOW, WINDOW, band, across, channels)
    pixels = x.new_empty(WINDOW**2, band * across, channels)
    products = x.new_empty(WINDOW**2, band * across, out_channels)
    tiles = x.new_empty(TILE, TILE, band, across, out_channels)
    padded_windows = padded.unfold(0, WINDOW, TILE).unfold(1, WINDOW, TILE).permute(3, 4, 0, 1, 2)
    for image, place in zip(x, result, strict=True):
        padded[1:-1, 1:-1].copy_(image.permute(1, 2, 0))
        for top in (*range(0, down - band, band), down - band):
            windows.copy_(padded_windows[:, :, top : top + band])
            torch.mm(from_window, windows.view(WINDOW**2, -1), out=pixels.view(WINDOW**2, -1))
            torch.bmm(pixels, kernels, out=products)
            torch.mm(to_tile, products.view(WINDOW**2, -1), out=tiles.view(TILE**2, -1))
            place[top : top + band].copy_(tiles.permute(2, 0, 3, 1, 4))
    return result.view(count, height, width, -1).permute(0, 3, 1, 2)
