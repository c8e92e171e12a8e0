"""Losses of generator training."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan.layers import downsample

CHARBONNIER_EPSILON = 0.01
PATH_LENGTH_DECAY = 0.01
PYRAMID_LEVELS = 4
# Rows and columns of the middle of a picture, as shares of its size. Not narrower: a generator puts its
# artefacts where errors weigh least, and beside the head they would show.
CENTRE = (0.15, 0.85)


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


def path_lengths(images: Tensor, wp: Tensor) -> Tensor:
    """How far each picture moves for a small step in w (Karras et al., 2020, section 3.2).

    Args:
        images: [N,C,H,W] float, computed from wp with gradients.
        wp: [N,layers,w_dim].
    Returns:
        [N] lengths, which can be differentiated again. Draws from torch's global generator.
    """
    noise = torch.randn_like(images) / (images.shape[2] * images.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((images * noise).sum(), wp, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def pyramid_loss(
    images: Tensor, targets: Tensor, levels: int = PYRAMID_LEVELS, centre_weight: float = 1.0
) -> Tensor:
    """Charbonnier distance (a smooth L1) of two batches [N,C,H,W], averaged over an image pyramid.

    The coarse levels see shape and colour, the fine ones edges, so that no scale is neglected.

    Args:
        centre_weight: weight of the middle of the picture, where eyes and mouth are, relative to the rest;
            hair and backdrop cover most pixels and would drown them.
    """
    images, targets = images.float(), targets.float()
    total = images.new_zeros(())
    for level in range(levels):
        if level:
            images, targets = downsample(images), downsample(targets)
        distance = ((images - targets).square() + CHARBONNIER_EPSILON**2).sqrt()
        weights = torch.ones_like(distance[:1, :1])
        rows, columns = ([round(size * share) for share in CENTRE] for size in distance.shape[2:])
        weights[:, :, rows[0] : rows[1], columns[0] : columns[1]] = centre_weight
        total = total + (distance * weights).mean() / weights.mean()
    return total / levels
