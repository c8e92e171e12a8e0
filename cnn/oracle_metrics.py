"""Distances between sets of pictures on features of a fixed network."""

import torch
from torch import Tensor

DEGREE = 3


def kernel_inception_distance(first: Tensor, second: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3.

    The measure of Binkowski et al., "Demystifying MMD GANs", 2018, on any features; zero in expectation for
    two samples of one distribution, so it may come out slightly negative.

    Args:
        first: features [N, D], N at least 2.
        second: features [M, D], M at least 2.

    Raises:
        ValueError: fewer than two samples.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("a distance between two sets needs at least two samples of each")
    first, second = first.double(), second.double()

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** DEGREE

    def mean_between_different(x: Tensor) -> Tensor:
        values = kernel(x, x)
        return (values.sum() - torch.diagonal(values).sum()) / (len(x) * (len(x) - 1))

    cross = kernel(first, second).mean()
    return float(mean_between_different(first) + mean_between_different(second) - 2 * cross)


def nearest_distance(queries: Tensor, references: Tensor) -> Tensor:
    """Distance from every query [N, D] to the nearest of the references [M, D]: [N].

    A generator that copies its training pictures comes closer to them than new pictures do.
    """
    return torch.cdist(queries.float(), references.float()).min(dim=1).values
