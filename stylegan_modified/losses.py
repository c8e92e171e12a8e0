"""Losses of the fine-tuning: properties, same person, region to keep, and the variational terms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.property_table import PROPERTY_NAMES

# LaPa classes that each property may change (see segmentation.parsing for the class list).
_FACE = (1, 2, 3, 4, 5, 6, 7, 8, 9)
_MAY_CHANGE: dict[str, tuple[tuple[int, ...], float]] = {
    # property: (classes, growth of their region as a fraction of the picture's height)
    "eyes": ((2, 3, 4, 5), 0.04),
    "hair_color": ((2, 3, 10), 0.03),
    "hair_length": ((0, 10), 0.03),
    "mouth": ((7, 8, 9), 0.08),
    "pose": ((*_FACE, 10), 0.06),
    "background_mean": ((0,), 0.03),
    "background_std": ((0,), 0.03),
}


class IdentityEmbedding(nn.Module):
    """Pictures to unit vectors of who is shown, from a network whose output has an `identity` entry;
    frozen.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Embed pictures [N, 3, H, W] in [-1, 1]; returns [N, D]."""
        return self.network(images)["identity"]


def property_loss(read: Tensor, requested: Tensor, beta: float = 0.5) -> Tensor:
    """Smooth L1 distance of read and requested properties, both [N, 7] in normalised units; a scalar."""
    return F.smooth_l1_loss(read, requested, beta=beta)


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean of 1 - cosine similarity of two sets of embeddings [N, D]; a scalar in [0, 2]."""
    return (1 - F.cosine_similarity(first, second, dim=1)).mean()


def change_masks(label_map: Tensor) -> Tensor:
    """Where each property may change the picture.

    Args:
        label_map: [N, H, W] uint8 class ids of the unedited picture.

    Returns:
        [N, 7, H, W] bool in the order of `PROPERTY_NAMES`.
    """
    height = label_map.shape[1]
    masks = []
    for name in PROPERTY_NAMES:
        classes, growth = _MAY_CHANGE[name]
        region = torch.isin(label_map, torch.tensor(classes, dtype=label_map.dtype, device=label_map.device))
        radius = max(1, round(growth * height))
        # Rows, then columns: the same square neighbourhood for a fraction of the comparisons.
        grown = F.max_pool2d(region.float(), (2 * radius + 1, 1), stride=1, padding=(radius, 0))
        grown = F.max_pool2d(grown, (1, 2 * radius + 1), stride=1, padding=(0, radius))
        masks.append(grown > 0)
    return torch.stack(masks, dim=1)


def keep_loss(edited: Tensor, original: Tensor, masks: Tensor, difference: Tensor) -> Tensor:
    """Mean absolute change outside the regions that the turned dials may touch.

    Args:
        edited, original: [N, 3, H, W] float pictures in [-1, 1].
        masks: [N, 7, H, W] bool from `change_masks`.
        difference: [N, 7] float change asked of each property; a dial moved by less than 0.05 counts as at
            rest.

    Returns:
        A scalar in [0, 2]; a picture without any region to keep contributes zero.
    """
    turned = difference.abs() > 0.05
    keep = ~(masks & turned[:, :, None, None]).any(dim=1)
    change = (edited - original).abs().mean(dim=1) * keep
    return (change.sum(dim=(1, 2)) / keep.sum(dim=(1, 2)).clamp_min(1)).mean()


def pyramid_loss(first: Tensor, second: Tensor, levels: int = 3) -> Tensor:
    """Mean absolute difference of two pictures [N, 3, H, W], averaged over `levels` halvings of their
    size.
    """
    total = F.l1_loss(first, second)
    for _ in range(levels - 1):
        first, second = F.avg_pool2d(first, 2), F.avg_pool2d(second, 2)
        total = total + F.l1_loss(first, second)
    return total / levels


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) for [N, D], averaged over N and D (Kingma & Welling 2014,
    app. B).
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def draw_requests(own: Tensor, samples: Tensor, generator: torch.Generator) -> Tensor:
    """Draw property vectors to request from a batch of people.

    A mixture: one property moved (40 %), a random subset moved (15 %), the whole vector of another sample (25
    %), and all at the median but one (20 %), the way the evaluation asks. Values come from `samples`,
    stretched by up to 15 % so that the ends of the dials are seen too; tied properties stay tied where whole
    vectors are taken.

    Args:
        own: [N, 7] float, what the people have now.
        samples: [M, 7] float, property vectors of the training pictures.
        generator: CPU random generator.

    Returns:
        [N, 7] float requested properties.
    """
    count, width = own.shape
    device = own.device
    rows = torch.randint(len(samples), (count,), generator=generator)
    other = samples[rows.to(samples.device)].to(device)
    stretch = 1 + 0.15 * torch.rand(count, 1, generator=generator).to(device)
    kind = torch.rand(count, 1, generator=generator).to(device)
    subset = (torch.rand(count, width, generator=generator) < 0.5).to(device)
    single = F.one_hot(torch.randint(width, (count,), generator=generator), width).bool().to(device)
    median = samples.median(dim=0).values.to(device).expand_as(own)
    one_moved = torch.where(single, other * stretch, own)
    subset_moved = torch.where(subset, other, own)
    at_median = torch.where(single, other * stretch, median)
    request = torch.where(kind < 0.4, one_moved, subset_moved)
    request = torch.where(kind >= 0.55, other, request)
    return torch.where(kind >= 0.8, at_median, request)
