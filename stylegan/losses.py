"""Losses of generator training."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan.layers import downsample

CHARBONNIER_EPSILON = 0.01
PYRAMID_LEVELS = 4


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Logistic loss of the discriminator (Goodfellow et al., 2014), a mean over the batch."""
    return F.softplus(-real_scores.float()).mean() + F.softplus(fake_scores.float()).mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator, a mean over the batch."""
    return F.softplus(-fake_scores.float()).mean()


def r1_penalty(real_scores: Tensor, real_images: Tensor) -> Tensor:
    """Half the mean squared gradient norm of the scores at real images (Mescheder et al., 2018).

    `real_images` must require gradients. The result can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(real_scores.float().sum(), real_images, create_graph=True)
    return 0.5 * gradient.float().square().sum(dim=(1, 2, 3)).mean()


def pyramid_loss(images: Tensor, targets: Tensor, levels: int = PYRAMID_LEVELS) -> Tensor:
    """Charbonnier distance (a smooth L1) of two batches [N,C,H,W], averaged over an image pyramid.

    The coarse levels see shape and colour, the fine ones edges, so that no scale is neglected.
    """
    images, targets = images.float(), targets.float()
    total = images.new_zeros(())
    for level in range(levels):
        if level:
            images, targets = downsample(images), downsample(targets)
        total = total + ((images - targets).square() + CHARBONNIER_EPSILON**2).sqrt().mean()
    return total / levels
