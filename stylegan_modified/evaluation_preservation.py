"""What a dial changes beside its own business: pixels outside its region, and hues of skin and background."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from segmentation.face_classes import FaceClass
from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified.losses import DARKEST_SUM, change_mask

SMALLEST_REGION = 0.005  # of the picture; smaller regions have no colour to speak of
# The two dials of the background may change its colour; every other pair of dial and region may not.
BACKGROUND_DIALS = ("background_mean", "background_std")


def partner_of(latents: int) -> np.ndarray:
    """Index [N] of another person for each latent: 0 and 1, 2 and 3, ... are partners.

    Raises:
        ValueError: an odd number of latents.
    """
    if latents % 2:
        raise ValueError(f"{latents} latents cannot be paired; give an even number")
    return np.arange(latents) ^ 1


def changes_outside(images: np.ndarray, label_maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much each dial changes where it has no business, and how much another person with equal settings
    would.

    Args:
        images: uint8 [N, 7, 2, H, W, 3], each dial at its two ends; N even.
        label_maps: uint8 [N, 7, 2, H, W] their label maps; all background: no face was found.

    Returns:
        (changed, between), both float64 [N, 7] in grey levels: mean absolute difference outside the regions
        that the dial may touch in either picture (see `losses.change_mask`), between the two ends of the
        dial, and between the partners of `partner_of` with equal settings. NaN where a face is missing or
        nothing lies outside.
    """
    partner = partner_of(len(images))
    changed, between = np.full(images.shape[:2], np.nan), np.full(images.shape[:2], np.nan)
    found = (label_maps != FaceClass.BACKGROUND).any(axis=(-2, -1)).all(axis=2)
    for j in range(images.shape[1]):
        free = _own_region(label_maps[:, j], j)
        ends = images[:, j].astype(np.int16)
        changed[:, j] = _difference(ends[:, 0], ends[:, 1], free[:, 0] | free[:, 1])
        per_end = [
            _difference(ends[:, end], ends[partner, end], free[:, end] | free[partner, end]) for end in (0, 1)
        ]
        between[:, j] = np.mean(per_end, axis=0)
    return np.where(found, changed, np.nan), np.where(found & found[partner], between, np.nan)


def differences_of_people(images: np.ndarray, label_maps: np.ndarray) -> np.ndarray:
    """How much two people with settings of their own differ where a dial has no business.

    Args:
        images: uint8 [N, H, W, 3], one picture of each person; N even.
        label_maps: uint8 [N, H, W].

    Returns:
        float64 [N, 7] in grey levels: mean absolute difference of partners outside the regions that the dial
        may touch in either picture; NaN where a face is missing or nothing lies outside.
    """
    partner = partner_of(len(images))
    found = (label_maps != FaceClass.BACKGROUND).any(axis=(1, 2))
    pictures = images.astype(np.int16)
    columns = []
    for j in range(len(PROPERTY_NAMES)):
        free = _own_region(label_maps, j)
        columns.append(_difference(pictures, pictures[partner], free | free[partner]))
    return np.where((found & found[partner])[:, None], np.stack(columns, axis=1), np.nan)


def _own_region(label_maps: np.ndarray, j: int) -> np.ndarray:
    """Where dial j may change pictures with label maps [..., H, W]: bool of the same shape."""
    return change_mask(torch.from_numpy(label_maps), j).numpy()


def _difference(first: np.ndarray, second: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Mean absolute difference [N] of int16 pictures [N, H, W, 3] where free [N, H, W] is False."""
    keep = ~free
    difference = np.abs(first - second).mean(axis=-1) * keep
    counts = keep.sum(axis=(1, 2))
    sums = difference.sum(axis=(1, 2))
    return np.divide(sums, counts, out=np.full(len(first), np.nan), where=counts > 0)


def region_chromaticity(images: np.ndarray, label_maps: np.ndarray) -> np.ndarray:
    """Hue and saturation of skin and background, whatever their brightness.

    Args:
        images: uint8 [N, H, W, 3] RGB.
        label_maps: uint8 [N, H, W]; the background counts in the upper half, above neck and clothes; both
            regions lose a margin of one pixel.

    Returns:
        float64 [N, 2, 2]: for skin, then background, the shares of red and green in the sum of the three
        mean channels; NaN for a region that is too small or too dark, or without a face.
    """
    upper = np.zeros(label_maps.shape[1:], dtype=bool)
    upper[: len(upper) // 2] = True
    found = (label_maps != FaceClass.BACKGROUND).any(axis=(1, 2))[:, None, None]
    skin, background = label_maps == FaceClass.SKIN, (label_maps == FaceClass.BACKGROUND) & upper
    regions = np.stack([skin & found, background & found], axis=1)
    # Pixels at an edge mix two colours, such as those of skin and hair.
    grown_outside = F.max_pool2d(torch.from_numpy(~regions).float(), 3, stride=1, padding=1)
    regions = (1 - grown_outside).numpy()
    counts = regions.sum(axis=(2, 3))
    sums = np.einsum("nrhw,nhwc->nrc", regions, images.astype(np.float32), dtype=np.float64)
    mean = sums / np.maximum(counts, 1)[..., None]
    brightness = mean.sum(axis=2)
    known = (counts >= SMALLEST_REGION * label_maps[0].size) & (brightness >= DARKEST_SUM)
    shares = mean[..., :2] / np.maximum(brightness, 1.0)[..., None]
    return np.where(known[..., None], shares, np.nan)


def hue_drifts(chromaticity: np.ndarray) -> np.ndarray:
    """Change of hue between the two ends of each dial, in standard deviations between people.

    Args:
        chromaticity: float64 [N, 7, levels, 2, 2] of `region_chromaticity`, N at least two.

    Returns:
        float64 [N, 7, 2] for skin and background: distance of the two ends over the root mean squared
        distance of the people from their mean, all dials at the median.
    """
    people = chromaticity[:, 0, chromaticity.shape[2] // 2]
    known = np.isfinite(people).all(axis=2)
    spread = np.full(2, np.nan)
    for region in range(2):
        points = people[known[:, region], region]
        if len(points) > 1:
            spread[region] = np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean())
    moved = chromaticity[:, :, -1] - chromaticity[:, :, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        drift = np.sqrt((moved**2).sum(axis=-1)) / spread
    return np.where(np.isfinite(drift), drift, np.nan)


def judged_drifts() -> np.ndarray:
    """bool [7, 2]: which dials must leave the hue of skin and of background alone."""
    free = np.array([name in BACKGROUND_DIALS for name in PROPERTY_NAMES])
    return np.stack([np.ones(len(free), dtype=bool), ~free], axis=1)
