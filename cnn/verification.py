"""How well descriptors of faces tell one person from another."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Verification(NamedTuple):
    """Figures of two pictures of each of N people, on Euclidean distances of descriptors.

    Attributes:
        auc: chance that a pair of one person is closer than a pair of two.
        rank_1: share of first pictures whose nearest second picture is the same person's.
        same, others: mean distance within a person and between people.
        same_accepted, others_accepted: share of such pairs below the threshold; None without one.
    """

    auc: float
    rank_1: float
    same: float
    others: float
    same_accepted: float | None
    others_accepted: float | None


def share_in_order(smaller: Tensor, larger: Tensor) -> float:
    """Chance that one of the first numbers [N] is smaller than one of the others [M]; ties count half.

    The area under the ROC curve.
    """
    ordered, smaller = larger.sort().values, smaller.contiguous()
    below = torch.searchsorted(ordered, smaller, right=False) + torch.searchsorted(
        ordered, smaller, right=True
    )
    return float(1 - below.double().mean() / (2 * len(larger)))


def verify(first: Tensor, second: Tensor, threshold: float | None = None) -> Verification:
    """Compare descriptors [N, D] of people's first pictures with those of their second ones, row by row.

    Raises:
        ValueError: fewer than two people, or not two pictures of each.
    """
    if len(first) < 2 or first.shape != second.shape:
        raise ValueError(f"expected two pictures of each of at least two people, got {len(first)}")
    distances = torch.cdist(first.double(), second.double(), compute_mode="donot_use_mm_for_euclid_dist")
    is_same = torch.eye(len(first), dtype=torch.bool, device=distances.device)
    same, others = distances[is_same], distances[~is_same]
    nearest = distances.argmin(dim=1) == torch.arange(len(first), device=distances.device)

    def accepted(values: Tensor) -> float | None:
        return None if threshold is None else float((values < threshold).double().mean())

    return Verification(
        auc=share_in_order(same, others),
        rank_1=float(nearest.double().mean()),
        same=float(same.mean()),
        others=float(others.mean()),
        same_accepted=accepted(same),
        others_accepted=accepted(others),
    )
