"""Losses of the fine-tuning: properties, same person, region to keep, and the variational terms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.face_classes import FaceClass
from segmentation.property_table import PROPERTY_NAMES

_BROWS, _EYES = (FaceClass.LEFT_BROW, FaceClass.RIGHT_BROW), (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE)
_MOUTH = (FaceClass.UPPER_LIP, FaceClass.INNER_MOUTH, FaceClass.LOWER_LIP)
DARKEST_SUM = 12.0  # R + G + B of 8-bit pictures below which a region has no hue
# Classes that each property may change.
_MAY_CHANGE: dict[str, tuple[tuple[FaceClass, ...], float]] = {
    # property: (classes, growth of their region as a fraction of the picture's height)
    "eyes": ((*_BROWS, *_EYES), 0.04),
    "hair_color": ((*_BROWS, FaceClass.HAIR), 0.03),
    "hair_length": ((FaceClass.BACKGROUND, FaceClass.HAIR), 0.03),
    "mouth": (_MOUTH, 0.08),
    "pose": (tuple(FaceClass)[1:], 0.06),
    "background_mean": ((FaceClass.BACKGROUND,), 0.03),
    "background_std": ((FaceClass.BACKGROUND,), 0.03),
}


FILTER_MARGIN = 3.0  # a probability of .95: the networks learned from few labels and err near their threshold


class FilterLogit(nn.Module):
    """A frozen filter network as logits of being kept: `side` is 1 or -1, the sign of its own logit there."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network, self.side = network.eval().requires_grad_(False), side

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N] of pictures [N, 3, H, W] in [-1, 1]."""
        return self.side * self.network(images)


def property_loss(read: Tensor, requested: Tensor, beta: float = 0.5) -> Tensor:
    """Smooth L1 distance of read and requested properties, both [N, 7] in normalised units; a scalar."""
    return F.smooth_l1_loss(read, requested, beta=beta)


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean of 1 - cosine similarity of two sets of embeddings [N, D]; a scalar in [0, 2]."""
    return (1 - F.cosine_similarity(first, second, dim=1)).mean()


def filter_loss(logits: Tensor, margin: float = FILTER_MARGIN) -> Tensor:
    """How far logits [N] of being kept are from a safe margin; a scalar near zero where all are beyond it."""
    return F.softplus(margin - logits).mean()


def change_mask(label_map: Tensor, dial: int) -> Tensor:
    """Where one property may change the picture.

    A turned head takes neck, collar and earrings with it, which have no class of their own: whatever lies
    below the chin may change with the pose.

    Args:
        label_map: [..., H, W] uint8 class ids of the unedited picture.
        dial: place of the property in `PROPERTY_NAMES`.

    Returns:
        [..., H, W] bool.
    """
    classes, growth = _MAY_CHANGE[PROPERTY_NAMES[dial]]
    region = torch.stack([label_map == one for one in classes]).any(dim=0)
    radius = max(1, round(growth * label_map.shape[-2]))
    # Rows, then columns: the same square neighbourhood for a fraction of the comparisons.
    grown = region.float().flatten(0, -3)[:, None]
    grown = F.max_pool2d(grown, (2 * radius + 1, 1), stride=1, padding=(radius, 0))
    grown = F.max_pool2d(grown, (1, 2 * radius + 1), stride=1, padding=(0, radius))
    free = (grown > 0).view(region.shape)
    if PROPERTY_NAMES[dial] == "pose":
        face_below = (label_map == FaceClass.SKIN).any(dim=-1).flip(-1).cumsum(dim=-1).flip(-1) > 0
        free |= (~face_below & face_below.any(dim=-1, keepdim=True))[..., None]
    return free


def change_masks(label_maps: Tensor, dials: Tensor) -> Tensor:
    """`change_mask` of label maps [N, ..., H, W], each for its own dial [N], int64 on the CPU."""
    masks = torch.empty(label_maps.shape, dtype=torch.bool, device=label_maps.device)
    for dial in dials.unique().tolist():
        rows = (dials == dial).nonzero()[:, 0].to(label_maps.device)
        masks[rows] = change_mask(label_maps[rows], dial)
    return masks


def keep_loss(first: Tensor, second: Tensor, may_change: Tensor) -> Tensor:
    """Mean absolute difference of two pictures where a dial has no business.

    Args:
        first, second: [N, 3, H, W] float pictures in [-1, 1].
        may_change: [N, H, W] bool, where the dial that tells them apart may change them.

    Returns:
        A scalar in [0, 2]; a pair without any region to keep contributes zero.
    """
    change = (first - second).abs().mean(dim=1) * ~may_change
    return (change.sum(dim=(1, 2)) / (~may_change).sum(dim=(1, 2)).clamp_min(1)).mean()


def hue_loss(first: Tensor, second: Tensor, first_region: Tensor, second_region: Tensor) -> Tensor:
    """Difference of the mean chromaticity of one region in two pictures, whatever their brightness.

    Args:
        first, second: [N, 3, H, W] float pictures in [-1, 1].
        first_region, second_region: [N, H, W] bool, the region in each; a pair in which one of them is empty
            or too dark to have a hue contributes zero.

    Returns:
        Mean over pairs and the shares of red and green in the sum of the channels; a scalar in [0, 1].
    """
    darkest = DARKEST_SUM / 127.5
    shares, known = [], []
    for images, region in ((first, first_region), (second, second_region)):
        sums = ((images + 1) * region[:, None]).sum(dim=(2, 3))
        mean = sums / region.sum(dim=(1, 2)).clamp_min(1)[:, None]
        brightness = mean.sum(dim=1, keepdim=True)
        # Else black, where generated pixels lie on both sides of -1, would have any hue, of any size.
        shares.append(mean[:, :2] / brightness.clamp_min(darkest))
        known.append(brightness[:, 0] >= darkest)
    return ((shares[0] - shares[1]).abs().mean(dim=1) * (known[0] & known[1])).mean()


def multiscale_l1(first: Tensor, second: Tensor, levels: int = 3) -> Tensor:
    """Mean absolute difference [N] of pictures [N, 3, H, W], averaged over `levels` halvings of size."""
    total = (first - second).abs().mean(dim=(1, 2, 3))
    for _ in range(levels - 1):
        first, second = F.avg_pool2d(first, 2), F.avg_pool2d(second, 2)
        total = total + (first - second).abs().mean(dim=(1, 2, 3))
    return total / levels


def kl_terms(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of each entry (Kingma & Welling 2014, app. B), in nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """`kl_terms` of [N, D], averaged over N and D."""
    return kl_terms(mean, log_variance).mean()
